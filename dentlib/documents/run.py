"""A run's facts as sections: outcomes, reconciliation, reasons, source tables, pace. A delta's are the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import takewhile

from dentlib.documents import delta, numbers
from dentlib.documents.outcomes import harmless, not_arrived, outcomes_section, totals, word
from dentlib.documents.pace import pace_section
from dentlib.documents.view import Column, Figure, Section, Share, Status, Table, Tone
from dentlib.facts import CheckFacts, ReasonCount, RunFacts

_POINTS = {
    "extract": "when the export was read",
    "prepared": "before writing",
    "lookups": "between records",
    "reconciliation": "after writing",
}


def sections(facts: RunFacts) -> tuple[Section, ...]:
    """Return the run's sections in reading order. Pure."""
    heading = "What changed" if facts.kind == "delta" else "What became of every row"
    outcomes = outcomes_section(facts.steps, heading)
    outcomes = replace(outcomes, tables=(*outcomes.tables, *delta.tables(facts)))
    return (outcomes, _checks(facts), _reasons(facts), _tables(facts), pace_section(facts))


def summary(facts: RunFacts) -> Section:
    """Return the run's verdict in one sentence, with its key figures."""
    total = totals(facts.steps)
    passed = sum(c.success is True for c in facts.checks)
    status = verdict(facts)
    opening = "Everything agrees" if status.tone is Tone.GOOD else "Something has to be looked at"
    later = facts.kind == "delta"
    told = _changed(facts, total) if later else _arrived(facts, total)
    return Section(
        name="summary",
        heading="In short",
        finding=f"{opening}: {told}. {numbers.share_of(passed, len(facts.checks), 'check').capitalize()} passed.",
        status=status,
        figures=(
            Figure("rows read", numbers.count(total["read"])),
            Figure("records created", numbers.count(total["created"])),
            *((Figure("updated", numbers.count(total["updated"])),) if later else ()),
            *(() if later else (Figure("left out by rule", numbers.count(total["excluded"])),)),
            Figure("set aside", numbers.count(total["rejected"]), "with a reason"),
            Figure("failed", numbers.count(total["failed"]), tone=Tone.STOP if total["failed"] else Tone.GOOD),
            Figure("checks passed", numbers.count(passed), f"of {numbers.count(len(facts.checks))}"),
        ),
    )


def _arrived(facts: RunFacts, total: dict[str, int]) -> str:
    arrived = total["created"] + total["updated"] + total["unchanged"] + total["merged"]
    rows = numbers.share_of(arrived, total["read"], "row")
    return f"{rows} of {facts.client} arrived, {not_arrived(total)}"


def _changed(facts: RunFacts, total: dict[str, int]) -> str:
    return (
        f"{numbers.things(total['created'], 'record')} of {facts.client} created, {numbers.count(total['updated'])} "
        f"updated, {numbers.count(total['unchanged'])} unchanged, "
        f"{numbers.count(total['failed']) if total['failed'] else 'none'} failed" + delta.told(facts)
    )


def verdict(facts: RunFacts) -> Status:
    """Return the reconciliation's verdict: `reconciled` only if every row adds up, none failed and all checks passed.

    Without a single check nothing is proven, and the verdict says so.
    """
    if any(not s.adds_up for s in facts.steps):
        return Status("does not add up", Tone.STOP)
    if any(c.success is None for c in facts.checks):
        return Status("a check could not run", Tone.STOP)
    if any(c.success is False for c in facts.checks) or any(s.failed for s in facts.steps):
        return Status("differences", Tone.STOP)
    if not any(c.point == "reconciliation" for c in facts.checks):
        return Status("not reconciled", Tone.CHECK)
    return Status("reconciled", Tone.GOOD)


def decisions(facts: RunFacts) -> tuple[str, ...]:
    """Return what a person has to decide after the run."""
    asked = [
        f"{c.description or c.rule}: {_verdict_word(c).word}, {numbers.share(c.numerator, c.denominator)} not in order."
        for c in facts.checks
        if c.success is not True
    ]
    failed = sum(s.failed for s in facts.steps)
    if failed:
        asked.append(f"{numbers.things(failed, 'row')} failed: see the reasons, mend, and try these rows again.")
    asked += [f"The outcomes of {s.label or s.step} do not add up." for s in facts.steps if not s.adds_up]
    asked += delta.asked(facts)
    return tuple(asked)


def _verdict_word(c: CheckFacts) -> Status:
    if c.success is None:
        return Status("could not run", Tone.STOP)
    return Status("passed", Tone.GOOD) if c.success else Status("failed", Tone.STOP)


def _checks(facts: RunFacts) -> Section:
    passed = sum(c.success is True for c in facts.checks)
    whole = _check_table("checks", "Each check, what it counted, and why it is made", _check_rows(facts.checks))
    part = _check_table("checks-grouped", whole.caption, _grouped(facts))
    return Section(
        name="checks",
        heading="Reconciliation",
        finding=f"{numbers.share_of(passed, len(facts.checks), 'check')} passed."
        if facts.checks
        else "No check was run, so nothing is proven.",
        status=verdict(facts),
        tables=(replace(whole, parts=(part.without_empty(),)),) if facts.checks else (),
    )


def _check_table(name: str, caption: str, rows: tuple[tuple[object, ...], ...]) -> Table:
    columns = (
        Column("Status", "status"),
        Column("What is checked"),
        Column("When"),
        Column("Not in order", "share"),
        Column("Why"),
        Column("Detail"),
    )
    return Table(name=name, caption=caption, columns=columns, rows=rows)


def _check_rows(checks: Sequence[CheckFacts]) -> tuple[tuple[object, ...], ...]:
    order = {None: 0, False: 1, True: 2}
    points = list(_POINTS)
    ordered = sorted(
        checks, key=lambda c: (order[c.success], -points.index(c.point) if c.point in points else 1, c.rule)
    )
    return tuple(
        (
            _verdict_word(c),
            c.description or c.rule,
            _POINTS.get(c.point, c.point),
            Share(c.numerator, c.denominator),
            c.why or None,
            harmless(c.detail) or None,
        )
        for c in ordered
    )


def _grouped(facts: RunFacts) -> tuple[tuple[object, ...], ...]:
    """Return the checks as rows, those passed for one reason in several steps as one; any other stands alone."""
    label = {s.step: s.label or s.step for s in facts.steps}
    same: dict[tuple[str, str], list[CheckFacts]] = {}
    for c in facts.checks:
        step, _, asked = c.description.partition(": ")
        of_step = c.success is True and step in label and bool(asked) and not c.detail
        same.setdefault((c.point, c.why if of_step else c.rule), []).append(c)
    told = [_together(checks, label) for checks in same.values()]
    return tuple((*row[:3], _none_of(row[3]), *row[4:]) for row in _check_rows(told))


def _none_of(wrong: object) -> str:
    return f"none of {numbers.count(wrong.of)}" if isinstance(wrong, Share) and wrong.n == 0 else str(wrong)


def _together(checks: Sequence[CheckFacts], label: Mapping[str, str]) -> CheckFacts:
    """Return one check that stands for several; what they ask has the same end: `… is filled in every record`."""
    first = checks[0]
    step, _, asked = first.description.partition(": ")
    if len(checks) == 1:
        return replace(first, description=f"{label[step]}: {asked}" if step in label else first.description)
    questions = {c.description.partition(": ")[2] for c in checks}
    subject = "" if len(questions) == 1 else "each field "
    words = _shared_end([q.split() for q in questions])
    description = f"{subject}{' '.join(words)} ({numbers.things(len(checks), 'check')})"
    return replace(
        first,
        description=description[:1].upper() + description[1:],
        numerator=sum(c.numerator for c in checks),
        denominator=sum(c.denominator for c in checks),
    )


def _shared_end(questions: Sequence[Sequence[str]]) -> list[str]:
    backwards = zip(*(reversed(words) for words in questions), strict=False)  # as long as the shortest
    return [same[0] for same in takewhile(lambda words: len(set(words)) == 1, backwards)][::-1]


def _reasons(facts: RunFacts) -> Section:
    total = sum(r.count for r in facts.reasons)
    rows = _reason_rows(facts)
    return Section(
        name="reasons",
        heading="Why rows were not created",
        finding=f"{numbers.things(total, 'row').capitalize()} were set aside, left out, joined or failed, for "
        f"{numbers.things(len(rows), 'reason')}."
        if facts.reasons
        else "No row was set aside, left out, joined or failed.",
        status=Status("check", Tone.CHECK) if facts.reasons else Status("none", Tone.GOOD),
        tables=(
            Table(
                name="reasons",
                caption="Every reason, with the rows it holds for",
                columns=(Column("Reason"), Column("Outcome"), Column("Rows", "number"), Column("Of these")),
                rows=rows,
            ),
            *((_kept(facts),) if facts.kept else ()),
        )
        if facts.reasons or facts.kept
        else (),
    )


def _kept(facts: RunFacts) -> Table:
    """List the fields that records which were there before kept as theirs."""
    label = {s.step: s.label or s.step for s in facts.steps}
    return Table(
        name="kept",
        caption="Fields that were left as they are in the CRM, in records that were there before",
        columns=(Column("Records"), Column("Field", "code"), Column("Number", "number")),
        rows=tuple((label.get(step, step), name, n) for step, name, n in facts.kept),
    )


def _reason_rows(facts: RunFacts) -> tuple[tuple[object, ...], ...]:
    """Return a row for each reason and outcome, what failed first; its steps stand beside it with their rows."""
    label = {s.step: s.label or s.step for s in facts.steps}
    by_reason: dict[tuple[str, str], list[ReasonCount]] = {}
    for r in facts.reasons:
        by_reason.setdefault((r.outcome, harmless(r.reason)), []).append(r)
    ordered = sorted(by_reason.items(), key=lambda x: (_GRAVEST.index(x[0][0]), -sum(r.count for r in x[1]), x[0][1]))
    return tuple(
        (
            f"{reason[:1].upper()}{reason[1:]}",
            word(outcome),
            sum(r.count for r in of),
            ", ".join(
                f"{label.get(r.step, r.step)} {numbers.count(r.count)}"
                for r in sorted(of, key=lambda r: (-r.count, r.step))
            ),
        )
        for (outcome, reason), of in ordered
    )


_GRAVEST = ("failed", "rejected", "excluded", "merged", "unchanged", "updated", "created")


def _tables(facts: RunFacts) -> Section:
    rows, reached = sum(t[1] for t in facts.tables), sum(t[2] for t in facts.tables)
    nowhere = sum(t[3] for t in facts.tables)
    return Section(
        name="tables",
        heading="From the export's side",
        finding=f"{numbers.share_of(reached, rows, 'row')} of the export reached a step; "
        f"{numbers.count(nowhere) if nowhere else 'none'} belong to no step of the map.",
        status=Status("check", Tone.CHECK) if nowhere else Status("complete", Tone.GOOD),
        tables=(
            Table(
                name="source-tables",
                caption="Each table of the export",
                columns=(
                    Column("Table", "code"),
                    Column("Rows", "number"),
                    Column("Reached a step", "share"),
                    Column("In no step", "number"),
                ),
                rows=tuple((name, n, Share(r, n, bar=True), none) for name, n, r, none in facts.tables),
            ),
        )
        if facts.tables
        else (),
    )
