"""What is set up in the CRM, as sections of the map's facts: schema checklist, owners, what to build again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dentlib.documents import numbers
from dentlib.documents.view import Column, Section, Status, Table, Tone
from dentlib.facts import MappingFacts, OwnerRow
from dentlib.model import Decision, SchemaItem


def sections(facts: MappingFacts) -> tuple[Section, ...]:
    """Return schema, owners and rebuild reference. Pure."""
    return (_schema(facts), _owners(facts), _rebuild(facts))


_DECISIONS = {
    Decision.CREATE: Status("add", Tone.GOOD),
    Decision.EXTEND: Status("add options", Tone.GOOD),
    Decision.REUSE: Status("is there", Tone.PLAIN),
    Decision.CONFLICT: Status("conflict", Tone.STOP),
}


def changes(facts: MappingFacts) -> list[SchemaItem]:
    """Return the lines of the plan that will change the destination."""
    return [i for i in facts.schema if i.decision in (Decision.CREATE, Decision.EXTEND)]


def name_of(item: SchemaItem) -> str:
    """Return `object.field`, or the object's name."""
    return f"{item.object}.{item.field}" if item.field else item.object


def _schema(facts: MappingFacts) -> Section:
    conflicts = sum(i.decision is Decision.CONFLICT for i in facts.schema)
    objects = sum(i.decision is Decision.CREATE and not i.field for i in facts.schema)
    fields = len(changes(facts)) - objects
    there = sum(i.decision is Decision.REUSE for i in facts.schema)
    return Section(
        name="schema",
        heading="Objects and fields",
        finding=f"{numbers.things(objects, 'object').capitalize()} and {numbers.things(fields, 'field')} are added or "
        f"extended, {numbers.are(there)} there already"
        + (f", {numbers.things(conflicts, 'conflict')} must be settled." if conflicts else "; nothing is in the way."),
        status=Status("decide", Tone.STOP) if conflicts else Status("ready", Tone.GOOD),
        note="Nothing that exists is renamed or removed. A rollback takes the additions away again.",
        tables=(replace(_schema_table(facts.schema), parts=_by_object(facts.schema)),),
        sign="The additions to the workspace are agreed.",
    )


def _schema_table(items: Sequence[SchemaItem]) -> Table:
    return Table(
        name="schema",
        caption="In the order in which they are made; tick what you have checked in the settings of the CRM",
        columns=(
            Column("Done", "tick"),
            Column("Status", "status"),
            Column("Object", "code"),
            Column("Field", "code"),
            Column("Label"),
            Column("Type", "code"),
            Column("Options"),
            Column("Called in the offer", "code"),
            Column("Remark"),
        ),
        rows=tuple(_schema_row(i) for i in items),
    )


def _by_object(items: Sequence[SchemaItem]) -> tuple[Table, ...]:
    """Return one table for each object, headed by its name; the object itself is its first line."""
    names = dict.fromkeys(i.object for i in items)
    return tuple(_object_table(name, [i for i in items if i.object == name]) for name in names)


def _object_table(name: str, items: Sequence[SchemaItem]) -> Table:
    whole = _schema_table(sorted(items, key=lambda i: bool(i.field)))
    new = any(i.decision is Decision.CREATE and not i.field for i in items)
    fields = sum(bool(i.field) for i in items)
    part = replace(
        whole,
        name=f"schema-{name}",
        caption=f"{name}, {'a new object' if new else 'an object of the CRM'}: {numbers.things(fields, 'field')}",
        columns=tuple(c for c in whole.columns if c.title != "Object"),
        rows=tuple((*row[:2], row[3] or "(the object)", *row[4:]) for row in whole.rows),
    )
    return part.without_empty(keep=3)


def _schema_row(i: SchemaItem) -> tuple[object, ...]:
    wanted = i.wanted_field or i.wanted_object
    options = i.add_options or (i.wanted_field.options if i.wanted_field else ())
    return (
        "",
        _DECISIONS[i.decision],
        i.object,
        i.field or None,
        i.label or None,
        i.type or ("object" if not i.field else None),
        numbers.listing([o.label for o in options], most=8) or None,
        (wanted.offer_name if wanted else "") or None,
        None
        if i.decision is Decision.CREATE
        else numbers.first_upper(i.reason) or None,  # of an addition: that it isn't there
    )


_OWNERS = {
    "matched": Status("matched", Tone.GOOD),
    "fallback": Status("fallback", Tone.CHECK),
    "placeholder": Status("placeholder", Tone.CHECK),
    "unassigned": Status("no owner", Tone.STOP),
}


def matched(facts: MappingFacts) -> list[OwnerRow]:
    """Return the owners that have a member of the CRM by their e-mail."""
    return [o for o in facts.owners if o.how == "matched"]


def staff(facts: MappingFacts) -> list[OwnerRow]:
    """Return the owners that are people of the practice; the rest are records that name nobody known."""
    return [o for o in facts.owners if o.name]


def _owners(facts: MappingFacts) -> Section:
    other = [o for o in facts.owners if o.how != "matched"]
    nobody = any(o.how == "unassigned" and not o.allowed for o in facts.owners)
    return Section(
        name="owners",
        heading="Dentists and staff",
        finding=f"{numbers.share_of(len(matched(facts)), len(staff(facts)), 'dentist or member of staff', _STAFF)} "
        f"{'was' if len(matched(facts)) == 1 else 'were'} found in the CRM by e-mail. "
        + (_others(other) if other else "Nobody's records go elsewhere."),
        status=Status("decide", Tone.STOP)
        if nobody
        else Status("check", Tone.CHECK)
        if other
        else Status("fine", Tone.GOOD),
        note="Members are never created by the migration. Invite who is missing, and run the check again.",
        tables=(
            Table(
                name="owners",
                caption="Each dentist and member of staff, and whom their records go to",
                columns=(
                    Column("Status", "status"),
                    Column("In the old system"),
                    Column("Role"),
                    Column("Their e-mail", "email"),
                    Column("Records", "number"),
                    Column("Go to"),
                    Column("Why"),
                ),
                rows=tuple(_owner_row(o) for o in sorted(facts.owners, key=lambda o: (o.how == "matched", -o.records))),
            ).without_empty(keep=2),
        ),
        sign="The owners above are right.",
    )


_STAFF = "dentists and members of staff"


def _others(other: Sequence[OwnerRow]) -> str:
    """Say how many records of others go to whom."""
    by_member: Counter[str] = Counter()
    for o in other:
        by_member[f"{o.member_name} ({o.member_email})" if o.member_email else o.member_name or "nobody"] += o.records
    told = [f"{numbers.things(n, 'record')} to {name}" for name, n in by_member.most_common() if n]
    return f"What is not theirs goes to others: {numbers.listing(told)}." if told else "The others have no records."


def _owner_row(o: OwnerRow) -> tuple[object, ...]:
    unknown = f"number {o.source_key}" if o.source_key else "nobody named"
    return (
        Status("no owner", Tone.CHECK) if o.allowed and o.how == "unassigned" else _OWNERS[o.how],
        o.name or unknown,
        o.role or None,
        o.email or None,
        o.records,
        o.member_name or None,
        numbers.first_upper(o.reason) or None,
    )


_REBUILT = ("kind", "name", "applies_to", "trigger", "condition", "action", "means")


def to_rebuild(facts: MappingFacts) -> list[dict[str, Any]]:
    """Return the definitions that must be built again; a line without a name only remarks on all of them."""
    return [d for d in facts.rebuild if d.get("name")]


def _rebuild(facts: MappingFacts) -> Section:
    named = to_rebuild(facts)
    remarks = tuple(str(d["means"]) for d in facts.rebuild if not d.get("name") and d.get("means"))
    by_kind = Counter(str(d.get("kind") or "other") for d in named)
    told = numbers.listing([numbers.things(n, kind.lower()) for kind, n in by_kind.items()], most=20)
    return Section(
        name="rebuild",
        heading="To build again",
        finding=f"{told.capitalize()} of the old system can't be moved and must be built again in the CRM."
        if named
        else "The export describes no automatic steps.",
        status=Status("to do", Tone.CHECK) if named else Status("nothing", Tone.PLAIN),
        items=remarks,
        tables=(
            replace(
                _rebuild_table("rebuild", "What the old system did by itself, and what does it in the CRM", named),
                parts=tuple(_of_kind(kind, named) for kind in by_kind),
            ),
        )
        if named
        else (),
    )


def _rebuild_table(name: str, caption: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    return Table(
        name=name,
        caption=caption,
        columns=(
            Column("Done", "tick"),
            Column("Kind"),
            Column("Name"),
            Column("Of"),
            Column("When"),
            Column("If"),
            Column("Then"),
            Column("Built again with"),
            Column("Remark"),
        ),
        rows=tuple(("", *(d.get(k) or None for k in _REBUILT), _off(d)) for d in rows),
    )


def _off(d: Mapping[str, Any]) -> str | None:
    return "switched off in the old system" if d.get("enabled") in ("N", "n", "0", "false", False) else None


def _of_kind(kind: str, named: Sequence[Mapping[str, Any]]) -> Table:
    """Return one kind's part; what it is built again with stands above it where it is the same for all of them."""
    rows = [d for d in named if str(d.get("kind") or "other") == kind]
    means = {str(d.get("means") or "") for d in rows}
    same = means.pop() if len(means) == 1 else ""
    shown = [{**d, "kind": None, "means": None if same else d.get("means")} for d in rows]
    caption = numbers.things(len(rows), kind.lower()) + (f". Built again with: {same}" if same else "")
    return _rebuild_table(f"rebuild-{kind.lower()}", caption, shown).without_empty()
