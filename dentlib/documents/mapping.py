"""The map's facts as sections: field map, value maps, scope, consent, what stays behind, check of the map."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from dentlib.documents import numbers
from dentlib.documents.audit import problem_table
from dentlib.documents.setup import changes, matched, name_of, staff, to_rebuild
from dentlib.documents.view import Column, Figure, Section, Share, Status, Table, Tone
from dentlib.facts import MapLine, MappingFacts, ValueMapFacts
from dentlib.model import Decision, Severity

_CARRIED = ("mapped", "kept_elsewhere")
_SURE = 0.8
"""Confidence from which a proposal is shown as sure."""


def sections(facts: MappingFacts) -> tuple[Section, ...]:
    """Return the sections of the mapping document, in reading order. Pure."""
    return (
        _fields(facts),
        _values(facts),
        _scope(facts),
        _consent(facts),
        _not_migrated(facts),
        _problems(facts),
    )


def summary(facts: MappingFacts) -> Section:
    """Return what the mapping says in one sentence, with its key figures."""
    carried = [x for x in facts.lines if x.status in _CARRIED]
    asked = decisions(facts)
    return Section(
        name="summary",
        heading="In short",
        finding=f"{numbers.share_of(_columns(carried), _columns(facts.lines), 'column')} of the export have a place in "
        "the CRM; the others are listed with the reason why they stay behind. "
        + (f"{numbers.things(len(asked), 'decision').capitalize()} open." if asked else "No decision is open."),
        status=Status("decide", Tone.STOP) if asked else Status("ready to approve", Tone.GOOD),
        figures=(
            Figure("columns carried", numbers.count(_columns(carried)), f"of {numbers.count(_columns(facts.lines))}"),
            Figure("added to the CRM", numbers.count(len(changes(facts))), "objects, fields and options"),
            Figure("dentists and staff matched", numbers.count(len(matched(facts))), f"of {len(staff(facts))}"),
            Figure("to build again", numbers.count(len(to_rebuild(facts))), "by hand"),
            Figure("decisions open", numbers.count(len(asked)), "", Tone.STOP if asked else Tone.GOOD),
        ),
    )


def decisions(facts: MappingFacts) -> tuple[str, ...]:
    """Return what a person has to decide before the map can be approved."""
    asked = [
        f"{p.where}: {numbers.sentence(p.message, p.hint)}" for p in facts.problems if p.severity is Severity.ERROR
    ]
    asked += [
        f"{name_of(i)} can't be added to the CRM: {i.reason}." for i in facts.schema if i.decision is Decision.CONFLICT
    ]
    unassigned = [o for o in facts.owners if o.how == "unassigned" and not o.allowed]
    if unassigned:
        asked.append(
            f"{numbers.things(len(unassigned), 'dentist or member of staff', 'dentists and members of staff')} "
            f"with {numbers.things(sum(o.records for o in unassigned), 'record')} would have no owner: name one."
        )
    return tuple(asked)


def _fields(facts: MappingFacts) -> Section:
    lines = [x for x in facts.lines if x.status in _CARRIED]
    unsure = [x for x in lines if x.confidence < _SURE]
    whole = _field_table("fields", "Your column, and the field in which you will find it", lines)
    by_table = {name: [x for x in lines if x.table == name] for name in dict.fromkeys(x.table for x in lines)}
    return Section(
        name="fields",
        heading="Field map",
        finding=f"{numbers.share_of(_columns(lines), _columns(facts.lines), 'column')} are carried over; "
        + (f"{numbers.are(_columns(unsure))} worth a second look." if unsure else "each is sure."),
        status=Status("check", Tone.CHECK) if unsure else Status("fine", Tone.GOOD),
        note=f"The approval holds for this map and no other: {facts.map_hash}",
        tables=(replace(whole, parts=tuple(_of_table(name, of) for name, of in sorted(by_table.items()))),),
    )


def _columns(lines: Sequence[MapLine]) -> int:
    """Count columns: one that goes to several places has several lines."""
    return len({(x.table, x.column) for x in lines})


def _field_table(name: str, caption: str, lines: Sequence[MapLine]) -> Table:
    return Table(
        name=name,
        caption=caption,
        columns=(
            Column("Your column", "code"),
            Column("Object in the CRM"),
            Column("Field in the CRM", "code"),
            Column("Called in the offer", "code"),
            Column("How"),
            Column("Filled", "share"),
            Column("Sure", "status"),
            Column("Because"),
        ),
        rows=tuple(_field_row(x) for x in sorted(lines, key=lambda x: (x.table, x.destination_object))),
    )


def _field_row(x: MapLine) -> tuple[object, ...]:
    sure = Status("sure", Tone.GOOD) if x.confidence >= _SURE else Status(f"{x.confidence:.0%} sure", Tone.CHECK)
    return (
        f"{x.table}.{x.column}",
        x.destination_object or None,
        x.destination_field or None,
        x.offer_name or None,
        _how(x),
        Share(x.filled, x.rows),
        sure,
        x.evidence or None,
    )


def _how(x: MapLine) -> str:
    if x.status == "kept_elsewhere":
        return x.reason or "kept elsewhere"
    return x.transform or "as it is"


def _of_table(table: str, lines: Sequence[MapLine]) -> Table:
    """Return one source table's part: in the order of its columns, without what says the same in each line."""
    rows = max(x.rows for x in lines)
    unsure = any(x.confidence < _SURE for x in lines)
    part = Table(
        name=f"fields-{table}",
        caption=f"{table}: {numbers.things(_columns(lines), 'column')}, {numbers.things(rows, 'row')}",
        columns=(
            Column("Your column", "code"),
            Column("In the CRM", "code"),
            Column("Called in the offer", "code"),
            Column("How"),
            Column("Filled", "number"),
            Column("Sure", "status"),
            Column("Because"),
        ),
        rows=tuple(_part_row(x, unsure) for x in lines),
    )
    return part.without_empty()


def _part_row(x: MapLine, unsure: bool) -> tuple[object, ...]:
    place = f"{x.destination_object}.{x.destination_field}" if x.destination_field else x.destination_object
    share = "all" if x.filled == x.rows else numbers.percent(x.filled, x.rows)
    sure = Status(f"{x.confidence:.0%} sure", Tone.CHECK if x.confidence < _SURE else Tone.GOOD)
    return (x.column, place or None, x.offer_name or None, _how(x), share, sure if unsure else None, x.evidence or None)


def _values(facts: MappingFacts) -> Section:
    unmapped = [(m, row) for m in facts.value_maps for row in m.rows if _undecided(m, row)]
    rows = sum(row[1] for _, row in unmapped)
    return Section(
        name="values",
        heading="Value maps",
        finding=f"{numbers.things(len(facts.value_maps), 'list').capitalize()} of values "
        + (
            f"with {numbers.things(len(unmapped), 'value')} that nothing is said about "
            f"({numbers.things(rows, 'row')}); the rule for them stands in the last column."
            if unmapped
            else "translate every value found."
        ),
        status=Status("check", Tone.CHECK) if unmapped else Status("fine", Tone.GOOD),
        tables=(replace(_value_table(facts.value_maps), parts=tuple(_of_map(m) for m in facts.value_maps)),),
    )


def _value_table(maps: Sequence[ValueMapFacts]) -> Table:
    return Table(
        name="values",
        caption="What each code of the old system becomes",
        columns=(
            Column("Your column", "code"),
            Column("Your value", "value"),
            Column("Rows", "number"),
            Column("Field in the CRM", "code"),
            Column("Becomes", "value"),
        ),
        rows=tuple(
            (f"{m.table}.{m.column}", value, rows, f"{m.step} · {m.field}", becomes)
            for m in maps
            for value, rows, becomes in _value_rows(m)
        ),
    )


def _of_map(m: ValueMapFacts) -> Table:
    return Table(
        name=f"values-{m.step}-{m.field}",
        caption=f"{m.table}.{m.column} → {m.field} of {m.step.replace('_', ' ')}",
        columns=(Column("Your value", "value"), Column("Rows", "number"), Column("Becomes", "value")),
        rows=_value_rows(m),
    )


def _value_rows(m: ValueMapFacts) -> tuple[tuple[object, ...], ...]:
    return tuple(
        (
            row[0] or "(empty)",
            row[1],
            Status(m.unmapped.replace("_", " "), Tone.CHECK) if _undecided(m, row) else row[2],
        )
        for row in m.rows
    )


def _undecided(m: ValueMapFacts, row: tuple[str, int, str]) -> bool:
    return row[2] == "" or row[2] == m.unmapped


def _scope(facts: MappingFacts) -> Section:
    by_rule: Counter[str] = Counter()
    for _, rule, rows in facts.scope:
        by_rule[rule] += rows
    total = sum(by_rule.values())
    return Section(
        name="scope",
        heading="What is left out by rule",
        finding=f"{numbers.things(len(by_rule), 'rule').capitalize()} "
        f"{'leaves' if len(by_rule) == 1 else 'leave'} out {numbers.things(total, 'row')}; each is counted with its "
        "reason."
        if facts.scope
        else "No rule leaves anything out.",
        status=Status("check", Tone.CHECK) if total else Status("fine", Tone.GOOD),
        note="A row is counted in each step that leaves it out: an appointment, and its place on the person's timeline."
        if facts.scope
        else "",
        tables=(
            Table(
                name="scope",
                caption="Rules of the map that leave rows out, and where they do",
                columns=(Column("Rule"), Column("Rows", "number"), Column("Of these")),
                rows=tuple(
                    (numbers.first_upper(rule), rows, _where(facts, rule)) for rule, rows in by_rule.most_common()
                ),
            ),
        )
        if facts.scope
        else (),
    )


def _where(facts: MappingFacts, rule: str) -> str:
    of = sorted(((rows, step) for step, r, rows in facts.scope if r == rule), reverse=True)
    return ", ".join(f"{numbers.count(rows)} {step.replace('_', ' ')}" for rows, step in of)


def _consent(facts: MappingFacts) -> Section:
    return Section(
        name="consent",
        heading="Consent",
        finding=numbers.sentence(
            "; ".join(f"{what}: {numbers.things(n, 'person', 'people')}" for what, n in facts.consent)
        )
        if facts.consent
        else "The export says nothing about who may be contacted: nobody is marked either way.",
        status=Status("check", Tone.CHECK) if not facts.consent else Status("carried", Tone.GOOD),
        tables=(
            Table(
                name="consent",
                caption="Flags that travel with the person",
                columns=(Column("What"), Column("People", "number")),
                rows=tuple((numbers.first_upper(what), people) for what, people in facts.consent),
            ),
        )
        if facts.consent
        else (),
    )


def _not_migrated(facts: MappingFacts) -> Section:
    left = [x for x in facts.lines if x.status not in (*_CARRIED, "definition")]
    with_data = [x for x in left if x.filled]
    rows = sum(n for _, n, _ in facts.tables_not_migrated)
    return Section(
        name="not_migrated",
        heading="What stays behind",
        finding=f"{numbers.things(len(facts.tables_not_migrated), 'table').capitalize()} with "
        f"{numbers.things(rows, 'row')} and {numbers.things(len(left), 'column')} are not carried over; "
        f"{numbers.count(len(with_data))} of these columns hold data.",
        status=Status("sign", Tone.CHECK) if facts.tables_not_migrated or left else Status("nothing", Tone.GOOD),
        tables=tuple(
            t
            for t in (
                Table(
                    name="tables-not-migrated",
                    caption="Tables that stay behind",
                    columns=(Column("Table", "code"), Column("Rows", "number"), Column("Why")),
                    rows=tuple((name, n, numbers.first_upper(why)) for name, n, why in facts.tables_not_migrated),
                ),
                Table(
                    name="columns-not-migrated",
                    caption="Columns that stay behind",
                    columns=(
                        Column("Column", "code"),
                        Column("Filled", "share"),
                        Column("Why"),
                    ),
                    rows=tuple(
                        (
                            f"{x.table}.{x.column}",
                            Share(x.filled, x.rows),
                            numbers.first_upper(x.reason) or None,
                        )
                        for x in sorted(left, key=lambda x: (x.filled == 0, x.table, x.column))
                    ),
                ),
            )
            if t.rows
        ),
        sign="I have read what stays behind, and agree that it is not carried over.",
    )


def _problems(facts: MappingFacts) -> Section:
    errors = sum(p.severity is Severity.ERROR for p in facts.problems)
    return Section(
        name="problems",
        heading="Check of the map",
        finding=f"{numbers.things(len(facts.problems), 'problem').capitalize()} found; "
        f"{numbers.are(errors)} to be settled before the approval."
        if facts.problems
        else "The map agrees with the export and with the CRM.",
        status=Status("decide", Tone.STOP)
        if errors
        else Status("check", Tone.CHECK)
        if facts.problems
        else Status("fine", Tone.GOOD),
        tables=(problem_table("map-problems", "What the check of the map says", facts.problems),)
        if facts.problems
        else (),
    )
