"""What is set up in the CRM, as sections of the map's facts: schema checklist, owners, what to build again."""

from __future__ import annotations

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
        tables=(
            Table(
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
                rows=tuple(_schema_row(i) for i in facts.schema),
            ),
        ),
        sign="The additions to the workspace are agreed.",
    )


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
        i.reason or None,
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


def _owners(facts: MappingFacts) -> Section:
    other = [o for o in facts.owners if o.how != "matched"]
    nobody = any(o.how == "unassigned" for o in facts.owners)
    return Section(
        name="owners",
        heading="Dentists and staff",
        finding=f"{numbers.share_of(len(matched(facts)), len(facts.owners), 'owner')} of the old system are matched "
        "with a member of the CRM by their e-mail. "
        + (
            f"The records of the other {numbers.count(len(other))} "
            f"({numbers.count(sum(o.records for o in other))}) go where the table says."
            if other
            else "Nobody's records go elsewhere."
        ),
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
                    Column("Their e-mail", "code"),
                    Column("Member of the CRM"),
                    Column("Member's e-mail", "code"),
                    Column("Records", "number"),
                    Column("Why"),
                ),
                rows=tuple(_owner_row(o) for o in sorted(facts.owners, key=lambda o: (o.how == "matched", -o.records))),
            ),
        ),
        sign="The owners above are right.",
    )


def _owner_row(o: OwnerRow) -> tuple[object, ...]:
    return (
        _OWNERS.get(o.how, Status(o.how, Tone.CHECK)),
        o.name,
        o.role or None,
        o.email or None,
        o.member_name or None,
        o.member_email or None,
        o.records,
        o.reason or None,
    )


def _rebuild(facts: MappingFacts) -> Section:
    return Section(
        name="rebuild",
        heading="To build again",
        finding=f"{numbers.things(len(facts.rebuild), 'automatic step').capitalize()} of the old system "
        "can't be moved and must be built again in the CRM."
        if facts.rebuild
        else "The export describes no automatic steps.",
        status=Status("to do", Tone.CHECK) if facts.rebuild else Status("nothing", Tone.PLAIN),
        tables=(
            Table(
                name="rebuild",
                caption="What the old system did by itself, and what does it in the CRM",
                columns=(
                    Column("Done", "tick"),
                    Column("Kind"),
                    Column("Name"),
                    Column("When"),
                    Column("If"),
                    Column("Then"),
                    Column("Built again with"),
                ),
                rows=tuple(
                    ("", *(d.get(k) or None for k in ("kind", "name", "trigger", "condition", "action", "means")))
                    for d in facts.rebuild
                ),
            ),
        )
        if facts.rebuild
        else (),
    )
