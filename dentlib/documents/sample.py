"""The sample's facts as sections: outcomes, where fields differ, and source → intended → stored, field by field.

Masked by default: values of identifying fields show their shape, records their number in the sample instead of their
key. Only `reveal=True`, for the practice's own copy, shows them.
"""

from __future__ import annotations

from collections import Counter

from dentlib.documents import numbers
from dentlib.documents.audit import problem_table
from dentlib.documents.outcomes import harmless, outcomes_section, totals
from dentlib.documents.view import Column, Figure, Section, Share, Status, Table, Tone
from dentlib.facts import DiffRow, SampleFacts
from dentlib.model import Severity
from dentlib.privacy import mask

_LONGEST_SHOWN = 240
"""Characters of a value on the page; how long it is in full is said beside it."""


def sections(facts: SampleFacts, reveal: bool = False) -> tuple[Section, ...]:
    """Return the sample's sections. Unmasked only where `reveal` is true."""
    outcomes = outcomes_section(facts.steps, "What was written")
    return (_summary(facts, outcomes), _differences(facts, reveal), _diff(facts, reveal))


def summary(facts: SampleFacts) -> Section:
    """Return what the sample says in one sentence, with its key figures."""
    total = totals(facts.steps)
    asked = decisions(facts)
    arrived = total["created"] + total["updated"] + total["unchanged"]
    return Section(
        name="summary",
        heading="In short",
        finding=f"{numbers.things(arrived, 'record').capitalize()} of {facts.client} were written as a trial and read "
        f"back: {_differ(facts)}.",
        status=Status("decide", Tone.STOP) if asked else Status("ready to approve", Tone.GOOD),
        figures=(
            Figure("records written", numbers.count(arrived), f"of {numbers.count(total['read'])} rows read"),
            Figure("fields compared", numbers.count(facts.fields_compared)),
            _alarm("fields that differ", facts.fields_different),
            _alarm("lookups failed", facts.failed_lookups),
            _alarm("owners not matched", facts.unmatched_owners, Tone.CHECK),
        ),
    )


def _differ(facts: SampleFacts) -> str:
    return f"{numbers.share_of(facts.fields_different, facts.fields_compared, 'field')} differ from what was intended"


def _alarm(label: str, n: int, tone: Tone = Tone.STOP) -> Figure:
    return Figure(label, numbers.count(n), tone=tone if n else Tone.GOOD)


def decisions(facts: SampleFacts) -> tuple[str, ...]:
    """Return what a person has to decide before the sample can be approved."""
    asked = [
        f"{p.where}: {numbers.sentence(p.message, p.hint)}" for p in facts.problems if p.severity is Severity.ERROR
    ]
    unexplained = sum(not d.same and not d.reason for d in facts.diff)
    if unexplained:
        asked.append(f"{numbers.things(unexplained, 'field')} differ without a reason: look at them before approving.")
    if facts.failed_lookups:
        asked.append(f"{numbers.things(facts.failed_lookups, 'lookup')} did not find the record they point at.")
    failed = sum(s.failed for s in facts.steps)
    if failed:
        asked.append(f"{numbers.things(failed, 'row')} failed and have to be explained or mended.")
    return tuple(asked)


def _summary(facts: SampleFacts, outcomes: Section) -> Section:
    tables = list(outcomes.tables)
    if facts.problems:
        tables.append(problem_table("sample-problems", "What the sample brought up", facts.problems))
    return Section(
        name="summary",
        heading=outcomes.heading,
        finding=outcomes.finding,
        status=outcomes.status,
        note=f"The approval holds for the data of this sample: {facts.data_hash}",
        tables=tuple(tables),
    )


_COLUMNS = (
    Column("Record"),
    Column("Your column", "code"),
    Column("Field in the CRM", "code"),
    Column("Source", "value"),
    Column("Intended", "value"),
    Column("Stored", "value"),
    Column("Status", "status"),
    Column("Reason"),
)


def _differences(facts: SampleFacts, reveal: bool) -> Section:
    compared = Counter((d.step, d.field) for d in facts.diff)
    found = Counter((d.step, d.field, d.reason) for d in facts.diff if not d.same)
    unexplained = sum(n for (_, _, reason), n in found.items() if not reason)
    return Section(
        name="differences",
        heading="Where fields differ",
        finding=f"{_differ(facts)}"
        + (f"; {numbers.count(unexplained)} of them without a reason." if unexplained else ", each for a known reason.")
        if facts.fields_different
        else f"All {numbers.things(facts.fields_compared, 'field')} read back exactly as intended.",
        status=Status("look", Tone.STOP)
        if unexplained
        else Status("check", Tone.CHECK)
        if found
        else Status("equal", Tone.GOOD),
        tables=(_by_reason(found, compared, reveal), _each_difference(facts, reveal)) if found else (),
    )


def _by_reason(found: Counter[tuple[str, str, str]], compared: Counter[tuple[str, str]], reveal: bool) -> Table:
    return Table(
        name="differences",
        caption="Fields that differ, by reason",
        columns=(Column("Step"), Column("Field", "code"), Column("Differ", "share"), Column("Reason")),
        rows=tuple(
            (
                step,
                field,
                Share(n, compared[step, field]),
                (reason if reveal else harmless(reason)) or Status("no reason known", Tone.STOP),
            )
            for (step, field, reason), n in sorted(found.items(), key=lambda x: (bool(x[0][2]), -x[1], x[0]))
        ),
    )


def _each_difference(facts: SampleFacts, reveal: bool) -> Table:
    names = _record_names(facts.diff, reveal)
    return Table(
        name="different",
        caption="Every field that differs",
        columns=_COLUMNS,
        rows=tuple(_diff_row(d, names, reveal) for d in sorted(facts.diff, key=lambda d: bool(d.reason)) if not d.same),
    )


def _diff(facts: SampleFacts, reveal: bool) -> Section:
    names = _record_names(facts.diff, reveal)
    differing = {(d.step, d.source_key) for d in facts.diff if not d.same}
    place = {record: i for i, record in enumerate(names)}
    ordered = sorted(
        facts.diff, key=lambda d: ((d.step, d.source_key) not in differing, place[d.step, d.source_key], d.same)
    )
    return Section(
        name="diff",
        heading="Record by record",
        finding=f"{numbers.things(len(names), 'record').capitalize()}: what your export says, what was intended, and "
        "what the CRM stored.",
        note="This copy shows values as they are: it belongs to the practice alone."
        if reveal
        else "Values that identify a person are masked: letters as a, digits as 9. Records carry their number in the "
        "sample.",
        tables=(
            Table(
                name="diff",
                caption="Source → intended → stored; records with a difference come first",
                columns=_COLUMNS,
                rows=tuple(_diff_row(d, names, reveal) for d in ordered),
            ),
        ),
        sign="I have compared the sample, and agree to the full run.",
    )


def _record_names(diff: tuple[DiffRow, ...], reveal: bool) -> dict[tuple[str, str], str]:
    names: dict[tuple[str, str], str] = {}
    per_step: Counter[str] = Counter()
    for d in diff:
        if (d.step, d.source_key) not in names:
            per_step[d.step] += 1
            names[d.step, d.source_key] = f"{d.step} {d.source_key if reveal else f'no. {per_step[d.step]}'}"
    return names


def _diff_row(d: DiffRow, names: dict[tuple[str, str], str], reveal: bool) -> tuple[object, ...]:
    return (
        names[d.step, d.source_key],
        d.source_columns or None,
        d.field,
        *(_value(v, d.identifier_class, reveal) for v in (d.source, d.intended, d.stored)),
        Status("equal", Tone.GOOD) if d.same else Status("differs", Tone.CHECK if d.reason else Tone.STOP),
        (d.reason if reveal else harmless(d.reason)) or None,
    )


def _value(value: str, identifier_class: str, reveal: bool) -> str | None:
    if value == "":
        return None
    if identifier_class and not reveal:
        return mask(value, identifier_class)
    if len(value) > _LONGEST_SHOWN:
        return f"{value[:_LONGEST_SHOWN]}… ({numbers.things(len(value), 'character')} in all)"
    return value
