"""How long a run takes: forecast beside fact."""

from __future__ import annotations

from dentlib.documents import numbers
from dentlib.documents.switches import switches_section
from dentlib.documents.view import Column, Section, Status, Table, Tone
from dentlib.facts import Forecast, RunFacts


def pace_section(facts: RunFacts) -> Section:
    """Say how the run went beside what was foreseen. Pure."""
    switches = switches_section(facts.switches)
    took = numbers.duration((facts.ended_at - facts.started_at).total_seconds())
    return Section(
        name="pace",
        heading="How it went",
        finding=f"Took {took} with {numbers.things(facts.calls, 'writing call')} to the CRM; "
        + (
            f"{numbers.count(facts.refused_for_rate)} were refused for their rate."
            if facts.refused_for_rate
            else "none was refused for its rate."
        ),
        status=Status("check", Tone.CHECK) if facts.refused_for_rate else Status("fine", Tone.GOOD),
        tables=(*((_beside(facts),) if facts.forecast.steps else ()), *switches.tables),
        items=(
            f"Started {numbers.moment(facts.started_at)}, ended {numbers.moment(facts.ended_at)}"
            + (f"; the last record was written {numbers.moment(facts.written_at)}." if facts.written_at else "."),
            f"Foreseen: {foreseen(facts.forecast)}.",
            *((f"Needed: {_needed(facts)}.",) if facts.counted_calls else ()),
            f"{numbers.things(facts.retries, 'call')} tried again after a passing failure.".capitalize(),
            switches.finding,
            f"Run {facts.run_id}; the ledger's last entry is {facts.ledger_head}.",
        ),
    )


def foreseen(forecast: Forecast) -> str:
    """Say in words what a run needs: records, calls, time. Pure."""
    calls = f"{numbers.things(forecast.records, 'record')} in {numbers.things(forecast.calls, 'writing call')}"
    if forecast.reading:
        calls += f", then about {numbers.things(forecast.reading, 'call')} to read everything back"
    return f"{calls}; {_time(forecast)}"


def _time(forecast: Forecast) -> str:
    if forecast.minutes is None:
        return "the CRM sets no rate and nothing was timed yet, so no time was foreseen"
    length = numbers.duration(forecast.minutes * 60)
    if forecast.calls_per_minute:
        told = f" ({forecast.rate_from})" if forecast.rate_from else ""
        return f"{length} at {numbers.count(forecast.calls_per_minute)} calls a minute{told}"
    return f"{length}, by the time that the last load took for a call"


def _needed(facts: RunFacts) -> str:
    length = numbers.duration((facts.ended_at - facts.started_at).total_seconds())
    reading = max(0, facts.counted_calls - facts.calls)
    return (
        f"{numbers.things(facts.calls, 'writing call')} and {numbers.things(reading, 'call')} to read, {length} in all"
    )


def _beside(facts: RunFacts) -> Table:
    """Put forecast and fact of each step side by side."""
    made = dict(facts.calls_by_step)
    written = {s.step: s.created + s.updated for s in facts.steps}
    steps = facts.forecast.steps
    counts = [(s.create + s.change, written.get(s.step, 0), s.calls, made.get(s.step, 0)) for s in steps]
    return Table(
        name="forecast",
        caption="Forecast and fact",
        columns=(
            Column("Step"),
            Column("Records foreseen", "number"),
            Column("written", "number"),
            Column("Calls foreseen", "number"),
            Column("made", "number"),
        ),
        rows=tuple((s.label, *counted) for s, counted in zip(steps, counts, strict=True)),
        total=("all", *map(sum, zip(*counts, strict=True))),
    )
