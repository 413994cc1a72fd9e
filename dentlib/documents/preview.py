"""The page before a run: how much and how long, what is there already, what reacts to it, who gets what."""

from __future__ import annotations

from dentlib.documents import numbers
from dentlib.documents.pace import foreseen
from dentlib.documents.view import Column, Figure, Section, Status, Table, Tone
from dentlib.facts import MatchStepFacts, PreviewFacts


def sections(facts: PreviewFacts) -> tuple[Section, ...]:
    """Return the sections of the page before a run. Pure."""
    return (_forecast(facts), _matches(facts), _reactions(facts), _owners(facts), _probed(facts))


def summary(facts: PreviewFacts) -> Section:
    """Return in one sentence what the run will need."""
    forecast = facts.forecast
    ends = f", so it ends about {numbers.moment(forecast.ends_at)}" if forecast.ends_at else ""
    return Section(
        name="summary",
        heading="In short",
        finding=f"Nothing is written yet. The run into {facts.workspace or 'the workspace'} needs {foreseen(forecast)}"
        f"{ends}.",
        status=Status("to decide", Tone.STOP) if facts.undecided else Status("ready", Tone.GOOD),
        figures=(
            Figure("records to write", numbers.count(forecast.records)),
            Figure("writing calls", numbers.count(forecast.calls)),
            Figure("reading calls", numbers.count(forecast.reading), "about"),
            Figure("time", "—" if forecast.minutes is None else numbers.duration(forecast.minutes * 60)),
        ),
    )


def decisions(facts: PreviewFacts) -> tuple[str, ...]:
    """Return what has to be decided before the run."""
    asked = list(facts.undecided)
    if facts.matches.ambiguous:
        asked.append(
            f"Rows that fit several records of the CRM, or one record together with other rows: "
            f"{numbers.count(facts.matches.ambiguous)}. Look at them, or make the rules in the map (match:) tell them "
            "apart."
        )
    return tuple(asked)


def _forecast(facts: PreviewFacts) -> Section:
    steps = facts.forecast.steps
    ends = facts.forecast.ends_at
    counts = [(s.create, s.change, s.stay, s.calls) for s in steps]
    return Section(
        name="forecast",
        heading="How much, and how long",
        finding=numbers.first_upper(f"{foreseen(facts.forecast)}.")
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
    stay = tuple((f"{r.kind}: {r.label}", "can't be switched off", r.detail) for r in facts.reactions)
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


_FOUND = {
    "match_only": "linked to, not changed",
    "update_empty": "only empty fields are filled",
    "update": "fields are overwritten, old values kept for a rollback",
    "create": "made beside what is there",
}


def _matches(facts: PreviewFacts) -> Section:
    steps = facts.matches.steps
    changed = [(s, *change) for s in steps for change in _changes(s)]
    return Section(
        name="matches",
        heading="What is in the CRM already",
        finding=f"Rows that stand for records that are there: {numbers.count(facts.matches.matched)}; "
        f"rows that need a person: {numbers.count(facts.matches.ambiguous) or 'none'}."
        if steps
        else "No step of the map looks for records that are there already.",
        status=Status("to decide", Tone.CHECK) if facts.matches.ambiguous else Status("fine", Tone.GOOD),
        tables=(
            *((_match_table(steps),) if steps else ()),
            *(
                (
                    Table(
                        name="match-fields",
                        caption="What would become of the fields of records that are there already",
                        columns=(Column("Step"), Column("Field", "code"), Column("What"), Column("Records", "number")),
                        rows=tuple((s.label, name, what, n) for s, name, what, n in changed),
                    ),
                )
                if changed
                else ()
            ),
        ),
    )


def _match_table(steps: tuple[MatchStepFacts, ...]) -> Table:
    rows = tuple(
        (s.label, r.rule, r.matched, r.ambiguous, _FOUND.get(s.found, s.found), s.if_ambiguous)
        for s in steps
        for r in s.rules
    )
    return Table(
        name="matches",
        caption="Rules in the order in which they are tried",
        columns=(
            Column("Step"),
            Column("Equal in", "code"),
            Column("Rows matched", "number"),
            Column("Not clear", "number"),
            Column("Matched records are"),
            Column("Where not clear"),
        ),
        rows=rows,
    )


def _changes(step: MatchStepFacts) -> list[tuple[str, str, int]]:
    told = (
        ("filled where empty", step.would_fill),
        ("overwritten", step.would_overwrite),
        ("left as it is in the CRM", step.would_keep),
    )
    return [(name, what, n) for what, fields in told for name, n in fields]


def _probed(facts: PreviewFacts) -> Section:
    return Section(
        name="probed",
        heading="What the CRM says of itself",
        finding="Asked, not assumed: no version is trusted." if facts.probed else "Nothing was asked.",
        tables=(
            Table(
                name="probed",
                caption="What was asked, and how it is known",
                columns=(Column("What"), Column("Answer"), Column("How")),
                rows=tuple((f.name, f.value or "unknown", f.how) for f in facts.probed),
            ),
        )
        if facts.probed
        else (),
    )
