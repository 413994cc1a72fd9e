"""How long a run takes: the forecast before it, and forecast beside fact after it."""

from __future__ import annotations

from dentlib.documents import numbers
from dentlib.documents.view import Column, Figure, Section, Status, Table, Tone
from dentlib.facts import Forecast, PreviewFacts, RunFacts


def pace_section(facts: RunFacts) -> Section:
    """Say how the run went beside what was foreseen. Pure."""
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
        tables=(_beside(facts),) if facts.forecast.steps else (),
        items=(
            f"Started {numbers.moment(facts.started_at)}, ended {numbers.moment(facts.ended_at)}"
            + (f"; the last record was written {numbers.moment(facts.written_at)}." if facts.written_at else "."),
            f"Foreseen: {_foreseen(facts.forecast)}.",
            *((f"Needed: {_needed(facts)}.",) if facts.counted_calls else ()),
            f"{numbers.things(facts.retries, 'call')} tried again after a passing failure.".capitalize(),
            "Switched off during the run: " + numbers.listing(list(facts.switched_off), most=20) + "."
            if facts.switched_off
            else "Nothing of the CRM had to be switched off.",
            f"Run {facts.run_id}; the ledger's last entry is {facts.ledger_head}.",
        ),
    )


def _foreseen(forecast: Forecast) -> str:
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


# ---- before the run ------------------------------------------------------------------------------------------------


def preview_sections(facts: PreviewFacts) -> tuple[Section, ...]:
    """Return the sections of the page before a run. Pure."""
    return (_forecast(facts), _reactions(facts), _owners(facts))


def preview_summary(facts: PreviewFacts) -> Section:
    """Return in one sentence what the run will need."""
    forecast = facts.forecast
    ends = f", so it ends about {numbers.moment(forecast.ends_at)}" if forecast.ends_at else ""
    return Section(
        name="summary",
        heading="In short",
        finding=f"Nothing is written yet. The run into {facts.workspace or 'the workspace'} needs {_foreseen(forecast)}"
        f"{ends}.",
        status=Status("to decide", Tone.STOP) if facts.undecided else Status("ready", Tone.GOOD),
        figures=(
            Figure("records to write", numbers.count(forecast.records)),
            Figure("writing calls", numbers.count(forecast.calls)),
            Figure("reading calls", numbers.count(forecast.reading), "about"),
            Figure("time", "—" if forecast.minutes is None else numbers.duration(forecast.minutes * 60)),
        ),
    )


def preview_decisions(facts: PreviewFacts) -> tuple[str, ...]:
    """Return what has to be decided before the run."""
    return facts.undecided


def _forecast(facts: PreviewFacts) -> Section:
    steps = facts.forecast.steps
    ends = facts.forecast.ends_at
    counts = [(s.create, s.change, s.stay, s.calls) for s in steps]
    return Section(
        name="forecast",
        heading="How much, and how long",
        finding=f"{_foreseen(facts.forecast)}.".capitalize()
        + (f" Begun now, it ends about {numbers.moment(ends)}." if ends else ""),
        tables=(
            Table(
                name="forecast",
                caption="Records and writing calls, step by step; files go besides and cost no rate",
                columns=(
                    Column("Step"),
                    Column("Object", "code"),
                    Column("To create", "number"),
                    Column("To change", "number"),
                    Column("There already", "number"),
                    Column("Calls", "number"),
                ),
                rows=tuple((s.label, s.object, *counted) for s, counted in zip(steps, counts, strict=True)),
                total=("all", "", *map(sum, zip(*counts, strict=True))) if counts else (),
            ),
        ),
    )


def _reactions(facts: PreviewFacts) -> Section:
    off = tuple((label, "switched off for the run, and on again after it", "") for label in facts.switches)
    stay = tuple((r.label, "can't be switched off", r.detail) for r in facts.reactions)
    webhooks = sum(r.kind == "webhook" for r in facts.reactions)
    return Section(
        name="reactions",
        heading="What reacts to the run",
        finding=f"{numbers.things(len(off), 'automation')} will be switched off for the run; "
        f"{numbers.things(len(stay), 'thing')} will react to every record and can't be switched off"
        + (f", {numbers.count(webhooks)} of them webhooks that tell other systems." if webhooks else "."),
        status=Status("other systems are told", Tone.CHECK) if webhooks else Status("fine", Tone.GOOD),
        tables=(
            Table(
                name="reactions",
                caption="Tell the people concerned before the run",
                columns=(Column("What"), Column("During the run"), Column("What it does")),
                rows=(*off, *stay),
            ),
        )
        if off or stay
        else (),
    )


def _owners(facts: PreviewFacts) -> Section:
    invited = (
        "Whether invitations are open can't be seen with this key."
        if facts.invited is None
        else f"{numbers.things(facts.invited, 'invitation')} not accepted yet."
        if facts.invited
        else "No invitation is open."
    )
    return Section(
        name="assigned",
        heading="Who gets the records",
        finding=numbers.listing([f"{numbers.things(n, 'person', 'people')} {how}" for how, n, _ in facts.owners]) + "."
        if facts.owners
        else "Nobody owns records in this map.",
        tables=(
            Table(
                name="assigned",
                caption="How owners are matched to members of the CRM",
                columns=(Column("How"), Column("People", "number"), Column("Records", "number")),
                rows=facts.owners,
            ),
        )
        if facts.owners
        else (),
        items=(invited,),
    )
