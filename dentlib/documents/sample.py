"""The sample's facts as sections: outcomes, where fields differ, and source → intended → stored, field by field.

Masked by default: values of identifying fields show their shape, records their number in the sample instead of their
key. Only `reveal=True`, for the practice's own copy, shows them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from typing import Any

import orjson

from dentlib.documents import numbers
from dentlib.documents.audit import problem_table
from dentlib.documents.outcomes import harmless, outcomes_section, totals, without_addresses
from dentlib.documents.view import Column, Figure, Section, Share, Status, Table, Tone
from dentlib.facts import DiffRow, SampleFacts
from dentlib.model import Severity
from dentlib.privacy import mask

_RECORDS_SHOWN = 2
"""Records of each step on the page; all are in the CSV beside it."""

_LONGEST_MASKED = 40
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
        f"back. {_differ(facts)}.",
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
    if not facts.fields_different:
        return f"All {numbers.things(facts.fields_compared, 'field')} say what was intended"
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
        differ = "differs without a reason: look at it" if unexplained == 1 else "differ without a reason: look at them"
        asked.append(f"{numbers.things(unexplained, 'field')} {differ} before approving.")
    if facts.failed_lookups:
        points = "it points" if facts.failed_lookups == 1 else "they point"
        asked.append(f"{numbers.things(facts.failed_lookups, 'lookup')} did not find the record {points} at.")
    failed = sum(s.failed for s in facts.steps)
    if failed:
        asked.append(
            f"{numbers.things(failed, 'row')} failed and {'has' if failed == 1 else 'have'} to be explained or mended."
        )
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
    whole = Table(
        name="diff",
        caption="Source → intended → stored; records with a difference come first",
        columns=_COLUMNS,
        rows=tuple(_diff_row(d, names, reveal) for d in ordered),
    )
    return Section(
        name="diff",
        heading="Record by record",
        finding=f"{numbers.things(len(names), 'record').capitalize()}: what your export says, what was intended, and "
        "what the CRM stored.",
        note=(
            "This copy shows values as they are: it belongs to the practice alone. "
            if reveal
            else "Values that identify a person are masked: letters as a, digits as 9. Records carry their number in "
            "the sample. "
        )
        + f"Shown here are {_RECORDS_SHOWN} records of each kind, those that differ first; fields that are empty "
        "everywhere are left out.",
        tables=(replace(whole, parts=_by_step(facts, names, reveal)),),
        sign="I have compared the sample, and agree to the full run.",
    )


def _by_step(facts: SampleFacts, names: dict[tuple[str, str], str], reveal: bool) -> tuple[Table, ...]:
    """Return one table for each step, with the records that differ or say most."""
    label = {s.step: s.label or s.step for s in facts.steps}
    of_step: dict[str, dict[str, list[DiffRow]]] = {}
    for d in facts.diff:
        of_step.setdefault(d.step, {}).setdefault(d.source_key, []).append(d)
    most_first = sorted(of_step.items(), key=lambda x: -len(x[1]))
    return tuple(_step_table(label.get(step, step), step, of, names, reveal) for step, of in most_first)


def _step_table(
    label: str, step: str, records: dict[str, list[DiffRow]], names: dict[tuple[str, str], str], reveal: bool
) -> Table:
    told = sorted(records.values(), key=lambda r: (all(d.same for d in r), -sum(bool(d.stored) for d in r)))
    shown = told[:_RECORDS_SHOWN]
    shown += [r for r in told[_RECORDS_SHOWN:] if not all(d.same for d in r)]
    rows = [d for r in shown for d in sorted(r, key=lambda d: d.same) if _source(d) or d.intended or d.stored]
    differs = any(not d.same for d in rows)
    table = Table(
        name=f"diff-{step}",
        caption=f"{label}: {numbers.count(len(shown))} of {numbers.things(len(records), 'record')}",
        columns=_COLUMNS,
        rows=tuple(_step_row(d, names, reveal, differs) for d in rows),
    )
    return table.without_empty(keep=3)


def _step_row(d: DiffRow, names: dict[tuple[str, str], str], reveal: bool, differs: bool) -> tuple[object, ...]:
    """Return a row of a step's table: a verdict that is the same everywhere is said once, above."""
    record, *cells, status, reason = _diff_row(d, names, reveal)
    return (str(record).removeprefix(f"{d.step} "), *cells, status if differs else None, reason)


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
        *(_value(v, d.identifier_class, reveal) for v in (_source(d), *_readable(d))),
        Status("equal", Tone.GOOD) if d.same else Status("differs", Tone.CHECK if d.reason else Tone.STOP),
        (d.reason if reveal else harmless(d.reason)) or None,
    )


def _value(value: str, identifier_class: str, reveal: bool) -> str | None:
    """Write a value as a person reads it; masked unless revealed."""
    if value == "":
        return None
    shown = value
    if not reveal:
        shown = mask(shown, identifier_class, longest=_LONGEST_MASKED) if identifier_class else without_addresses(shown)
    if len(shown) > _LONGEST_SHOWN:
        return f"{shown[:_LONGEST_SHOWN]}… ({numbers.things(len(value), 'character')} in all)"
    return shown or None


def _source(d: DiffRow) -> str:
    """Return the source's text; nothing where there is no column and the text only says so again."""
    return "" if d.source_columns == f"({d.source})" else d.source


def _readable(d: DiffRow) -> tuple[str, str]:
    """Return intended and stored as a person reads them; as they are where reading them so would hide a difference."""
    intended, stored = _spread(d.intended), _spread(d.stored)
    return (d.intended, d.stored) if not d.same and intended == stored else (intended, stored)


def _spread(value: str) -> str:
    """Write the parts of a composite value without its machine names: `+1 · US · 4155550100`, `CROWN, BRIDGE`."""
    if not value.startswith(("{", "[")):
        return value
    try:
        data = orjson.loads(value)
    except orjson.JSONDecodeError:
        return value  # a text that only begins like one
    return _amount(data) or _note(data) or _joined(data)


def _note(data: Any) -> str:
    """Return the text of a note, a line for each of its blocks; empty where this is no note."""
    blocks = data.get("blocknote") if isinstance(data, dict) else None
    if not isinstance(blocks, str) or not blocks.startswith("["):
        return ""
    lines = [block.get("content") or [] for block in orjson.loads(blocks)]
    return "\n".join("".join(str(run.get("text", "")) for run in line) for line in lines)


def _amount(data: Any) -> str:
    if not isinstance(data, dict) or set(data) != {"amountMicros", "currencyCode"}:
        return ""
    micros = data["amountMicros"]
    return f"{Decimal(micros) / 1_000_000:,.2f} {data['currencyCode']}" if isinstance(micros, int | str) else ""


def _joined(data: Any) -> str:
    if isinstance(data, dict):
        return " · ".join(x for x in map(_joined, data.values()) if x)
    if isinstance(data, list):
        return ", ".join(x for x in map(_joined, data) if x)
    return "" if data is None else str(data)
