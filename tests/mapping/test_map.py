"""Tests of the map: proposals, the patch, its hash, and everything that a check finds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pytest

from dentlib.errors import MapError
from dentlib.mapping import check, load_map, propose, wanted_schema, write_proposals
from dentlib.mapping.check import RESERVED
from dentlib.model import DestinationField, DestinationObject, DestinationSchema, Option, Severity
from dentlib.pairs import load_pair
from dentlib.vocabulary import load_vocabulary

Prepared = Any  # the fixture of conftest
PAIR = load_pair("dent-o-soft", "twenty")


def test_no_patch_is_the_pair_as_it_is() -> None:
    """An engagement starts from the pair, and its hash doesn't change by itself."""
    assert load_map(PAIR).pair == PAIR
    assert load_map(PAIR).hash() == load_map(PAIR).hash()


PATCHES = [
    'steps: {patients: {fields: {gender: {values: {"9": OTHER}}}}}',
    "steps: {patients: {fields: {dateOfBirth: {invalid: reject}}}}",
    "steps: {tooth_records: {error_budget: 0.5}}",
    "choices: {archived_patients: migrate}",
    "formats: {date_order: dmy}",
    "tables: {people: {object: patient, columns: {Id: patient_id}}}",
    "schema: {fields: {person: {gender: {label: Sex}}}}",
    "owners: {match: [email, name]}",
]


@pytest.mark.parametrize("patch", PATCHES)
def test_any_change_changes_the_hash(patch: str, tmp_path: Path) -> None:
    """An approval names the hash, so nothing that decides what arrives may leave it as it was."""
    (tmp_path / "map.yaml").write_text(patch + "\n")
    assert load_map(PAIR, tmp_path / "map.yaml").hash() != load_map(PAIR).hash()


def test_comments_and_layout_do_not_change_the_hash(tmp_path: Path) -> None:
    """What is hashed is the effective map, not its text."""
    (tmp_path / "a.yaml").write_text("choices: {archived_patients: migrate}\n")
    (tmp_path / "b.yaml").write_text("# said by the practice\nchoices:\n  archived_patients: migrate\n")
    assert load_map(PAIR, tmp_path / "a.yaml").hash() == load_map(PAIR, tmp_path / "b.yaml").hash()


BROKEN = [
    ("steps:\n  patients:\n    fields:\n      gender:\n        valuez: {}\n", "valuez"),
    ("steps: {patientz: {label: x}}\n", "patientz"),
    ("choices: {archived_patients: maybe}\n", "maybe"),
    ("choices: {colour: red}\n", "colour"),
    ("tables: {p: {object: patient}}\n", "columns"),
    ("formats: {date_order: ydm}\n", "date_order"),
    ("- a list\n", "mapping"),
    ("a: [1\n", "line"),
]


@pytest.mark.parametrize(("text", "named"), BROKEN)
def test_a_broken_map_names_its_place(text: str, named: str, tmp_path: Path) -> None:
    """One clear message with the way out."""
    (tmp_path / "map.yaml").write_text(text)
    with pytest.raises(MapError) as error:
        load_map(PAIR, tmp_path / "map.yaml")
    assert named in str(error.value)
    assert error.value.hint


def test_a_later_proposal_keeps_what_a_person_wrote(practice: Prepared, tmp_path: Path) -> None:
    """New tables and columns are added; decisions and comments stay."""
    path = tmp_path / "map.yaml"
    path.write_text(
        "# ours\ntables:\n  patients:\n    object: patient\n    columns:\n"
        "      PatNum: patient_id\n      SSN:   # asked\n"
    )
    proposals = propose(practice.con, load_vocabulary("dent-o-soft"), PAIR)
    assert write_proposals(proposals, tmp_path) == path
    text = path.read_text()
    assert "# ours" in text
    assert "# asked" in text
    chosen = load_map(PAIR, path)
    assert chosen.tables["patients"].columns["SSN"] is None
    assert chosen.tables["patients"].columns["LName"] == "last_name"
    assert chosen.tables["labs"].object == "lab"


def test_proposals_say_what_where_how_surely_and_why(practice: Prepared, tmp_path: Path) -> None:
    """proposals.json has a line per column, with the target in the destination."""
    proposals = propose(practice.con, load_vocabulary("dent-o-soft"), PAIR)
    write_proposals(proposals, tmp_path)
    rows = orjson.loads((tmp_path / "proposals.json").read_bytes())
    line = next(r for r in rows if (r["table"], r["column"]) == ("patients", "Birthdate"))
    assert (line["target_object"], line["target_field"], line["sure"]) == ("person", "dateOfBirth", True)
    assert line["evidence"]
    assert line["candidates"]
    assert proposals.date_order == "mdy"


def test_the_shipped_map_of_the_sample_practice_has_no_errors(practice: Prepared) -> None:
    """Unknown codes are warnings with counts; nothing keeps the map from being approved."""
    found = check(practice.map, practice.con)
    assert not [p for p in found if p.severity is Severity.ERROR]
    assert {p.code for p in found} == {"values_unmapped"}


def person_only(
    con: duckdb.DuckDBPyConnection, tmp_path: Path, patch: str, columns: str = "PatNum, LName, Birthdate"
) -> Any:
    """Return a map over a table of patients with a patch."""
    con.execute("CREATE SCHEMA raw")
    cells = ", ".join(f"'1' AS {c.strip()}" for c in columns.split(","))
    con.execute(f"CREATE TABLE raw.patients AS SELECT {cells}, 'p.csv' AS _file, 1::BIGINT AS _row, 2::BIGINT AS _line")
    (tmp_path / "map.yaml").write_text(patch)
    return load_map(PAIR, tmp_path / "map.yaml")


COLUMNS = (
    "tables: {patients: {object: patient, columns: {PatNum: patient_id, LName: last_name, Birthdate: birth_date}}}\n"
)
RULES = [
    (
        "tables: {patients: {object: patient, columns: {PatNum: patient_id, LName: last_nam, Birthdate: null}}}\n",
        "unknown_field",
    ),
    ("tables: {patients: {object: patients, columns: {}}}\n", "unknown_object"),
    ("tables: {patients: {object: patient, columns: {PatNum: patient_id, LName: last_name}}}\n", "column_undecided"),
    ("tables: {}\n", "table_undecided"),
    (
        "tables: {patients: {object: patient, columns: {PatNum: patient_id, LName: patient_id, Birthdate: null}}}\n",
        "field_twice",
    ),
    (
        "tables: {patients: {object: patient, columns: {PatNum: null, LName: last_name, Birthdate: null}}}\n",
        "key_absent",
    ),
    (
        "tables: {patients: {object: patient, columns: {PatNum: patient_id, LName: null, Birthdate: null}}}\n",
        "required_source_absent",
    ),
    (COLUMNS + "steps: {patients: {lookups: {carrierCompany: {step: carrierz}}}}\n", "lookup_step_unknown"),
    (COLUMNS + "steps: {patients: {lookups: {carrierCompany: {step: plans}}}}\n", "lookup_not_before"),
    (COLUMNS + "steps: {patients: {lookups: {referringPerson: {step: patients}}}}\n", "lookup_not_before"),
    (COLUMNS + "steps: {patients: {fields: {dateOfBirth: {invalid: null}}}}\n", "rule_not_usable"),
    (COLUMNS + "steps: {patients: {fields: {dateOfBirth: {apply: [birthday]}}}}\n", "rule_not_usable"),
    (COLUMNS + "steps: {patients: {fields: {dateOfBirth: {source: birthday}}}}\n", "rule_not_usable"),
    (
        COLUMNS + "steps: {patients: {where: [{when: {statuz: {in: [x]}}, code: x, reason: x}]}}\n",
        "condition_not_usable",
    ),
    (COLUMNS + "steps: {patients: {fields: {gender: {values: {M: MAN}}}}}\n", "option_absent"),
    (COLUMNS + "steps: {patients: {lookups: {carrierCompany: {orphan: reject}}}}\n", ""),
]


@pytest.mark.parametrize(("patch", "code"), RULES)
def test_a_check_finds(con: duckdb.DuckDBPyConnection, tmp_path: Path, patch: str, code: str) -> None:
    """One broken map per rule."""
    found = check(person_only(con, tmp_path, patch), con)
    errors = [p for p in found if p.severity is Severity.ERROR]
    assert [p.code for p in errors][:1] == ([code] if code else []), found


def test_a_check_finds_everything_at_once_and_names_the_line(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    """A person mends a map in one go."""
    patch = (
        "tables:\n  patients:\n    object: patient\n    columns:\n"
        "      PatNum: patient_no\n      LName: surname\n      Birthdate: null\n"
    )
    found = [p for p in check(person_only(con, tmp_path, patch), con) if p.code == "unknown_field"]
    assert [p.where.split(":")[0] for p in found] == ["map.yaml, line 5", "map.yaml, line 6"]


def test_dates_that_nobody_can_read_must_be_decided(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    """Ambiguous dates are an error until the map says which comes first."""
    chosen = person_only(con, tmp_path, COLUMNS)
    con.execute("UPDATE raw.patients SET Birthdate = '03/04/1980'")
    assert "date_order_unknown" in {p.code for p in check(chosen, con)}
    (tmp_path / "map.yaml").write_text(COLUMNS + "formats: {date_order: dmy}\n")
    assert "date_order_unknown" not in {p.code for p in check(load_map(PAIR, tmp_path / "map.yaml"), con)}


# ---- the destination's side ----


def destination(**fields: DestinationField) -> DestinationSchema:
    """Return a destination with the standard objects and these fields on person."""
    standard = {n: DestinationField(n, n, "TEXT") for n in ("name", "emails", "phones", "createdAt")}
    person = DestinationObject("p", "person", "people", fields=standard | fields)
    return DestinationSchema({"person": person})


def test_a_field_that_the_destination_lacks_and_nobody_declares(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    """The map is held against the live schema."""
    patch = COLUMNS + "steps: {patients: {fields: {shoeSize: {constant: 43}}}}\n"
    found = check(person_only(con, tmp_path, patch), con, destination())
    assert [p.where for p in found if p.code == "unknown_destination_field"] == ["patients: shoeSize"]


def test_options_of_the_destination_count(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    """An option that is already there needs no declaration."""
    patch = COLUMNS + "steps: {patients: {fields: {gender: {values: {M: MAN}}}}}\n"
    there = destination(gender=DestinationField("g", "gender", "SELECT", options=(Option("MAN", "Man"),)))
    assert "option_absent" not in {p.code for p in check(person_only(con, tmp_path, patch), con, there)}


def test_the_wanted_schema_is_what_the_map_writes(practice: Prepared) -> None:
    """Custom objects first, keys unique on every loaded object, relations last, names that the destination takes."""
    wanted = wanted_schema(practice.map, practice.con)
    assert {o.name for o in wanted.objects} == {
        "procedure",
        "perToothRecord",
        "insuranceClaim",
        "labPrescription",
        "payment",
    }
    loaded = {s.to for s in practice.map.active_steps if s.prefix}
    assert {f.object for f in wanted.fields if f.name == "sourceSystemId" and f.unique} == loaded
    assert {f.object for f in wanted.fields if f.name == "originalCreatedAt"} == loaded
    kinds = [f.type == "RELATION" for f in wanted.fields]
    assert kinds == sorted(kinds)
    assert not {f.name for f in wanted.fields} & RESERVED
    inverse = [(f.target, f.inverse_label) for f in wanted.fields if f.type == "RELATION"]
    assert len(inverse) == len(set(inverse))
    offers = {f.offer_name for f in wanted.fields}
    assert {
        "Source_System_ID__c",
        "Gender__c",
        "Insurance_Group__c",
        "Carrier_Company__c",
        "Task_Type__c",
        "Recall_Type__c",
    } <= offers


def test_procedure_codes_become_options_with_the_practices_own_wording(practice: Prepared) -> None:
    """Codes of the known shape only; labels without commas, from the data."""
    wanted = wanted_schema(practice.map, practice.con)
    field = next(f for f in wanted.fields if (f.object, f.name) == ("procedure", "procedureCode"))
    assert field.options
    for option in field.options:
        assert option.value.startswith("D")
        assert option.label.startswith(option.value)
        assert "," not in option.label


def test_nothing_is_declared_for_what_the_export_lacks(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    """An export of patients alone needs no object for claims."""
    wanted = wanted_schema(person_only(con, tmp_path, COLUMNS), con)
    assert wanted.objects == ()
    assert {f.object for f in wanted.fields} == {"person"}


def test_stages_of_the_workspace_only_get_options_added(practice: Prepared) -> None:
    """The opportunity's stage is extended, never replaced."""
    wanted = wanted_schema(practice.map, practice.con)
    stage = next(f for f in wanted.fields if (f.object, f.name) == ("opportunity", "stage"))
    assert stage.extend
    assert [o.value for o in stage.options] == ["INITIAL_EXAM", "TREATMENT_PLAN", "CLOSED_WON", "CLOSED_LOST"]


def test_a_callable_fixture_prepares(work: Callable[..., Prepared]) -> None:
    """An export without any table that a step reads prepares to nothing, and says so."""
    done = work({"supplies": [{"SKU": "1", "Quantity": "2"}]}, source="other")
    assert done.facts.steps == ()
    assert done.facts.tables == ()
