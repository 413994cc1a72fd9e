"""What people vouch for, as sections: who will see what, values that arrived differently, who confirmed what."""

from __future__ import annotations

from dentlib.documents import numbers
from dentlib.documents.outcomes import harmless
from dentlib.documents.view import Column, Section, Status, Table, Tone
from dentlib.facts import HouseholdFacts, MappingFacts, RunFacts


def mapping_sections(facts: MappingFacts) -> tuple[Section, ...]:
    """Return what a person agrees to with the map: who will see it, and what families share. Pure."""
    return (access_section(facts), households_section(facts))


def access_section(facts: MappingFacts) -> Section:
    """Return who will be able to read what is confidential; approving the map confirms it. Pure."""
    rows = facts.access
    unknown = [r for r in rows if not r.roles]
    return Section(
        name="access",
        heading="Who will see it",
        finding=f"{numbers.things(len({r.what for r in rows}), 'kind').capitalize()} of confidential values go to the "
        "CRM. Whoever approves the map confirms that these roles may read them."
        if rows
        else "The map carries nothing that is marked as confidential.",
        status=Status("confirm", Tone.STOP if unknown else Tone.CHECK) if rows else Status("nothing", Tone.GOOD),
        note="Roles are changed in the settings of the CRM, not here." if rows else "",
        tables=(
            Table(
                name="access",
                caption="Confidential values, where they go, and which roles of the CRM can read that object",
                columns=(
                    Column("What"),
                    Column("Object in the CRM", "code"),
                    Column("Fields", "code"),
                    Column("Roles that can read it"),
                ),
                rows=tuple(
                    (
                        numbers.first_upper(r.what),
                        r.object,
                        ", ".join(r.fields),
                        numbers.listing(list(r.roles), most=20) or Status("not known", Tone.STOP),
                    )
                    for r in rows
                ),
            ),
        )
        if rows
        else (),
        sign="I confirm that these roles may read these values." if rows else "",
    )


def remarks_section(facts: RunFacts) -> Section:
    """Return the values that did not arrive as they stand in the export, counted by field and reason. Pure."""
    total = sum(rows for *_, rows in facts.remarks)
    return Section(
        name="remarks",
        heading="Values that arrived differently",
        finding=f"{numbers.things(total, 'value').capitalize()} arrived otherwise than in the export, each for a "
        "reason that is counted here."
        if total
        else "Every value that the map carries arrived.",
        status=Status("check", Tone.CHECK) if total else Status("none", Tone.GOOD),
        note="Row by row, with the number of the record: value-remarks.csv." if total else "",
        tables=(
            Table(
                name="remarks",
                caption="Fields, and why their value is another than in the export",
                columns=(Column("What"), Column("Field"), Column("Why"), Column("Values", "number")),
                rows=tuple(
                    (label, field or None, numbers.first_upper(harmless(reason)), rows)
                    for _, label, field, _, reason, rows in sorted(facts.remarks, key=lambda r: -r[-1])
                ),
            ),
        )
        if total
        else (),
    )


def confirmed_section(facts: RunFacts) -> Section:
    """Return what people confirmed before the run, by name and time. Pure."""
    who = list(dict.fromkeys(by for _, by, _ in facts.confirmed))
    return Section(
        name="confirmed",
        heading="Who confirmed what",
        finding=f"{numbers.things(len(facts.confirmed), 'confirmation').capitalize()} by {numbers.listing(who)}."
        if facts.confirmed
        else "Nothing is recorded as confirmed.",
        status=Status("recorded", Tone.GOOD) if facts.confirmed else Status("none", Tone.CHECK),
        tables=(
            Table(
                name="confirmed",
                caption="Approvals, and what they vouched for besides",
                columns=(Column("What"), Column("By"), Column("When")),
                rows=tuple((numbers.first_upper(what), by, numbers.moment(at)) for what, by, at in facts.confirmed),
            ),
        )
        if facts.confirmed
        else (),
    )


_SHARED = {
    "first_keeps_it": "the first keeps it, the others get it beside",
    "keep_all": "everyone keeps it",
}


def households_section(facts: MappingFacts) -> Section:
    """Say what the map does with addresses and numbers that several people share; nobody is merged. Pure."""
    shown = [h for h in facts.households if h.households]
    people = sum(h.people for h in shown)
    return Section(
        name="households",
        heading="Families who share an address or a number",
        finding=f"{numbers.things(people, 'person', 'people').capitalize()} share an e-mail address or a telephone "
        "number with others; they stay different people. Who keeps what is listed person by person."
        if shown
        else "Nobody shares an e-mail address or a telephone number that the CRM keeps apart.",
        tables=(
            Table(
                name="households",
                caption="Person by person: households.csv, beside this page",
                columns=(
                    Column("Records"),
                    Column("Field", "code"),
                    Column("Rule of the map"),
                    Column("Households", "number"),
                    Column("People", "number"),
                    Column("Keep it", "number"),
                    Column("Have it beside", "number"),
                    Column("Largest", "number"),
                ),
                rows=tuple(
                    (
                        h.label,
                        h.field,
                        _SHARED.get(h.rule, h.rule),
                        h.households,
                        h.people,
                        h.kept,
                        h.further,
                        h.largest,
                    )
                    for h in shown
                ),
            ),
        )
        if shown
        else (),
    )


def _counts(h: HouseholdFacts) -> tuple[int, ...]:
    return h.households, h.people, h.kept, h.further, h.largest
