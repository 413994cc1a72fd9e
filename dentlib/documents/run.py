"""A run's facts as sections: outcomes, reconciliation, reasons, source tables, pace. A delta's are the same."""

from __future__ import annotations

from dentlib.documents import numbers
from dentlib.documents.outcomes import harmless, outcomes_section, totals, word
from dentlib.documents.view import Column, Figure, Section, Share, Status, Table, Tone
from dentlib.facts import CheckFacts, RunFacts

_POINTS = {
    "extract": "when the export was read",
    "prepared": "before writing",
    "lookups": "between records",
    "reconciliation": "after writing",
}


def sections(facts: RunFacts) -> tuple[Section, ...]:
    """Return the run's sections in reading order. Pure."""
    heading = "What changed" if facts.kind == "delta" else "What became of every row"
    return (outcomes_section(facts.steps, heading), _checks(facts), _reasons(facts), _tables(facts), _pace(facts))


def summary(facts: RunFacts) -> Section:
    """Return the run's verdict in one sentence, with its key figures."""
    total = totals(facts.steps)
    arrived = total["created"] + total["updated"] + total["unchanged"] + total["merged"]
    passed = sum(c.success is True for c in facts.checks)
    status = verdict(facts)
    opening = "Everything agrees" if status.tone is Tone.GOOD else "Something has to be looked at"
    return Section(
        name="summary",
        heading="In short",
        finding=f"{opening}: {numbers.share_of(arrived, total['read'], 'row')} arrived for {facts.client}, and "
        f"{numbers.share_of(passed, len(facts.checks), 'check')} passed.",
        status=status,
        figures=(
            Figure("rows read", numbers.count(total["read"])),
            Figure("records created", numbers.count(total["created"])),
            Figure("set aside", numbers.count(total["rejected"]), "with a reason"),
            Figure("failed", numbers.count(total["failed"]), tone=Tone.STOP if total["failed"] else Tone.GOOD),
            Figure("checks passed", numbers.count(passed), f"of {numbers.count(len(facts.checks))}"),
        ),
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
        f"{c.rule}: {c.description} — {_verdict_word(c).word} ({numbers.share(c.numerator, c.denominator)})."
        for c in facts.checks
        if c.success is not True
    ]
    failed = sum(s.failed for s in facts.steps)
    if failed:
        asked.append(f"{numbers.things(failed, 'row')} failed: see the reasons, mend, and try these rows again.")
    asked += [f"The outcomes of {s.label or s.step} do not add up." for s in facts.steps if not s.adds_up]
    return tuple(asked)


def _verdict_word(c: CheckFacts) -> Status:
    if c.success is None:
        return Status("could not run", Tone.STOP)
    return Status("passed", Tone.GOOD) if c.success else Status("failed", Tone.STOP)


def _checks(facts: RunFacts) -> Section:
    passed = sum(c.success is True for c in facts.checks)
    order = {None: 0, False: 1, True: 2}
    points = list(_POINTS)
    ordered = sorted(
        facts.checks,
        key=lambda c: (order[c.success], -points.index(c.point) if c.point in points else 1, c.rule),
    )
    status = verdict(facts)
    return Section(
        name="checks",
        heading="Reconciliation",
        finding=f"{numbers.share_of(passed, len(facts.checks), 'check')} passed."
        if facts.checks
        else "No check was run, so nothing is proven.",
        status=status,
        tables=(
            Table(
                name="checks",
                caption="Each check, what it counted, and why it is made",
                columns=(
                    Column("Status", "status"),
                    Column("What is checked"),
                    Column("When"),
                    Column("In order", "share"),
                    Column("Why"),
                    Column("Detail"),
                ),
                rows=tuple(
                    (
                        _verdict_word(c),
                        c.description or c.rule,
                        _POINTS.get(c.point, c.point),
                        Share(c.numerator, c.denominator),
                        c.why or None,
                        harmless(c.detail) or None,
                    )
                    for c in ordered
                ),
            ),
        )
        if facts.checks
        else (),
    )


def _reasons(facts: RunFacts) -> Section:
    ordered = sorted(facts.reasons, key=lambda r: (r.outcome != "failed", r.outcome, -r.count, r.step))
    label = {s.step: s.label or s.step for s in facts.steps}
    total = sum(r.count for r in facts.reasons)
    return Section(
        name="reasons",
        heading="Why rows were not created",
        finding=f"{numbers.things(total, 'row').capitalize()} were set aside, left out, joined or failed, for "
        f"{numbers.things(len(facts.reasons), 'reason')}."
        if facts.reasons
        else "No row was set aside, left out, joined or failed.",
        status=Status("check", Tone.CHECK) if facts.reasons else Status("none", Tone.GOOD),
        tables=(
            Table(
                name="reasons",
                caption="Every reason, with the rows it holds for",
                columns=(Column("What"), Column("Outcome"), Column("Rows", "number"), Column("Reason")),
                rows=tuple((label.get(r.step, r.step), word(r.outcome), r.count, harmless(r.reason)) for r in ordered),
            ),
        )
        if facts.reasons
        else (),
    )


def _tables(facts: RunFacts) -> Section:
    rows, reached = sum(t[1] for t in facts.tables), sum(t[2] for t in facts.tables)
    nowhere = sum(t[3] for t in facts.tables)
    return Section(
        name="tables",
        heading="From the export's side",
        finding=f"{numbers.share_of(reached, rows, 'row')} of the export reached a step; "
        f"{numbers.count(nowhere)} belong to no step of the map.",
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


def _pace(facts: RunFacts) -> Section:
    took = numbers.duration((facts.ended_at - facts.started_at).total_seconds())
    rate = facts.forecast.calls_per_minute
    return Section(
        name="pace",
        heading="How it went",
        finding=f"Took {took} with {numbers.things(facts.calls, 'call')} to the CRM; "
        + (
            f"{numbers.count(facts.refused_for_rate)} were refused for their rate."
            if facts.refused_for_rate
            else "none was refused for its rate."
        ),
        status=Status("check", Tone.CHECK) if facts.refused_for_rate else Status("fine", Tone.GOOD),
        items=(
            f"Started {numbers.moment(facts.started_at)}, ended {numbers.moment(facts.ended_at)}.",
            f"Foreseen: {numbers.things(facts.forecast.records, 'record')} in "
            f"{numbers.things(facts.forecast.calls, 'call')}, {numbers.duration(facts.forecast.minutes * 60)}"
            + (f" at {numbers.count(rate)} calls a minute." if rate else ", no limit of rate."),
            f"{numbers.things(facts.retries, 'call')} tried again after a passing failure.".capitalize(),
            "Switched off during the run: " + numbers.listing(list(facts.switched_off), most=20) + "."
            if facts.switched_off
            else "Nothing of the CRM had to be switched off.",
            f"Run {facts.run_id}; the ledger's last entry is {facts.ledger_head}.",
        ),
    )
