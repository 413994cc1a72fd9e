"""Tests of the sample, of what explains a record, and of the mapping document's facts."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from dentlib.mapping import choose_sample, explain, mapping_facts

Prepared = Any  # the fixture of conftest


@pytest.fixture(scope="module")
def facts(practice: Prepared) -> Any:
    """The mapping facts of the practice."""
    return mapping_facts(practice.con, practice.map, engagement="e", client="c", problems=(), schema=())


def test_the_sample_is_closed_under_its_lookups(practice: Prepared) -> None:
    """Whatever a sample record points to is in the sample, links have both ends, every step is there."""
    total = choose_sample(practice.con, practice.map, practice.facts.steps, size=200)
    assert 100 <= total <= 300
    inside: set[str] = set()
    for step in practice.facts.steps:
        rows = practice.con.execute(f'SELECT payload FROM prepared."{step.table}" WHERE in_sample').fetchall()
        assert rows, step.name
        for (payload,) in rows:
            record = orjson.loads(payload)
            for name, lookup in practice.map.pair.step(step.name).lookups.items():
                if lookup.write and record[f"{name}Id"]:
                    assert record[f"{name}Id"] in inside, (step.name, name)
            inside.add(record["id"])


def test_the_sample_is_the_same_every_time_and_holds_odd_values(practice: Prepared) -> None:
    """Chosen by ids, not by chance; years, owners and rows with problems are in it."""

    def chosen() -> list[Any]:
        return [
            practice.con.execute(f'SELECT source_key FROM prepared."{s.table}" WHERE in_sample ORDER BY 1').fetchall()
            for s in practice.facts.steps
        ]

    choose_sample(practice.con, practice.map, practice.facts.steps, size=200)
    first = chosen()
    choose_sample(practice.con, practice.map, practice.facts.steps, size=200)
    assert chosen() == first
    odd = practice.con.execute(
        "SELECT count(*) FROM prepared.patients SEMI JOIN (SELECT source_key FROM prepared.problems "
        "WHERE step = 'patients') AS o USING (source_key) WHERE in_sample"
    ).fetchone()
    years = practice.con.execute(
        "SELECT count(DISTINCT year(createdAt)) FROM prepared.patients WHERE in_sample"
    ).fetchone()
    assert odd[0] >= 1
    assert years[0] >= 3


def test_a_record_is_explained_field_by_field(practice: Prepared) -> None:
    """Source column and text beside the intended value, with the class by which it is masked."""
    (key,) = practice.con.execute("SELECT source_key FROM prepared.patients ORDER BY ordinal LIMIT 1").fetchone()
    rows = {r.field: r for r in explain(practice.con, practice.map, "patients", [key])}
    payload = practice.payloads("patients")[key]
    assert rows["sourceSystemId"].intended == f"patient:{key}"
    assert (rows["name.lastName"].source_columns, rows["name.lastName"].identifier_class) == ("LName", "name")
    assert rows["name.lastName"].intended == payload["name"]["lastName"]
    assert rows["phones"].source_columns == "WirelessPhone, HmPhone, WkPhone"
    assert rows["personKind"].source_columns == "(constant of the map)"
    assert rows["sourceRemarks"].identifier_class == "free_text"
    assert all(r.record_id == payload["id"] for r in rows.values())


def test_the_reason_stands_beside_the_value(practice: Prepared) -> None:
    """Where source and intended differ, the problem says why."""
    key, field = practice.con.execute(
        "SELECT source_key, field FROM prepared.problems WHERE step = 'patients' AND code = 'date_impossible' LIMIT 1"
    ).fetchone()
    row = next(r for r in explain(practice.con, practice.map, "patients", [key]) if r.field == field)
    assert "no such day" in row.problem
    assert row.source
    assert row.intended == ""


def test_every_column_has_exactly_one_line(practice: Prepared, facts: Any) -> None:
    """Mapped, kept elsewhere, not migrated or a definition: nothing is passed over."""
    expected = practice.con.execute(
        "SELECT count(*) FROM duckdb_columns() WHERE schema_name = 'raw' AND database_name = current_database() "
        "AND column_name NOT IN ('_file', '_row', '_line')"
    ).fetchone()
    assert len(facts.lines) == expected[0] == len({(x.table, x.column) for x in facts.lines})
    status = {(x.table, x.column): x.status for x in facts.lines}
    assert status["patients", "Birthdate"] == "mapped"
    assert status["patients", "SSN"] == "not_migrated"
    assert status["staff", "EMail"] == "kept_elsewhere"
    assert status["definitions", "DefName"] == "definition"
    assert all(x.reason for x in facts.lines if x.status != "mapped")
    gender = next(x for x in facts.lines if (x.table, x.column) == ("patients", "Gender"))
    assert (gender.destination_object, gender.offer_name) == ("person", "Gender__c")


def test_value_maps_come_with_frequencies(facts: Any) -> None:
    """Each value of the data, how often, and what it becomes or what the map decides."""
    found = next(v for v in facts.value_maps if (v.step, v.field) == ("plans", "stage"))
    targets = {value: target for value, _, target in found.rows}
    assert targets["Proposed"] == "INITIAL_EXAM"
    assert targets["Completed"] == "CLOSED_WON"


def test_definitions_are_listed_for_rebuilding(facts: Any) -> None:
    """Trigger, condition, action and the means; and that there are no native e-mail sequences."""
    kinds = {r["kind"] for r in facts.rebuild}
    assert {"Workflow", "View", "Permission", "Reminder", "Note"} <= kinds
    assert all(r["means"] for r in facts.rebuild)
    assert any("no native e-mail sequences" in r["means"] for r in facts.rebuild)
    assert [t[0] for t in facts.tables_not_migrated] == ["definitions", "staff"]


def test_scope_and_consent_are_counted(practice: Prepared, facts: Any) -> None:
    """How many rows each rule leaves out, and how many people may not be contacted."""
    by_hand = practice.con.execute("SELECT count(*) FROM raw.patients WHERE DoNotContact = 'Y'").fetchone()
    assert dict(facts.consent)["may not be contacted"] == by_hand[0]
    assert any(step == "patients" and "archived" in reason for step, reason, _ in facts.scope)


def test_a_column_that_nobody_knows_is_listed(practice: Prepared) -> None:
    """No column disappears because its header is new."""
    from dentlib.vocabulary.match import TableShape, assign

    found = assign([TableShape("patients", ("PatNum", "LName", "ShoeSize"))], practice.map.vocabulary)
    assert found.tables["patients"].columns["ShoeSize"].field == ""
