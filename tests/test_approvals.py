"""Tests of gates as hashes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dentlib.approvals import Approval, add, destination_base_hash, latest, require
from dentlib.errors import GateClosed, UsageError
from dentlib.model import (
    Decision,
    DestinationField,
    DestinationObject,
    DestinationSchema,
    Option,
    SchemaItem,
    SchemaPlan,
    WantedField,
    WantedObject,
)

NOW = {"map": "m1", "structure": "s1", "plan": "p1", "destination": "d1"}


def approval(what: str = "map", **hashes: str) -> Approval:
    """An approval of `NOW`, with changes."""
    return Approval(what=what, by="A. Analyst", at=datetime(2026, 1, 5, tzinfo=UTC), hashes={**NOW, **hashes})


def test_no_approval_closes_the_gate(tmp_path: Path) -> None:
    """Nothing approved: the message says what to call."""
    with pytest.raises(GateClosed, match="dentlib approve bright map"):
        require(tmp_path / "approvals.yaml", "map", NOW, "bright")


@pytest.mark.parametrize(
    ("what", "words"),
    [("map", "the map was edited"), ("structure", "the export has other"), ("destination", "changed otherwise")],
)
def test_an_approval_is_void_when_what_it_covers_changes(tmp_path: Path, what: str, words: str) -> None:
    """Each hash that differs is told in words; the rest stays silent."""
    file = tmp_path / "approvals.yaml"
    add(file, approval())
    assert require(file, "map", NOW, "bright").by == "A. Analyst"
    with pytest.raises(GateClosed, match=words):
        require(file, "map", {**NOW, what: "other"}, "bright")


def test_an_approval_covers_nothing_that_it_does_not_name(tmp_path: Path) -> None:
    """Without the hash of a part it is no yes to that part, whoever left it out."""
    file = tmp_path / "approvals.yaml"
    add(file, approval().model_copy(update={"hashes": {"map": "m1"}}))
    with pytest.raises(GateClosed, match="the export has other"):
        require(file, "map", NOW, "bright")


def test_the_latest_approval_counts_and_history_stays(tmp_path: Path) -> None:
    """A second approval replaces the first; both stay on file."""
    file = tmp_path / "approvals.yaml"
    add(file, approval(map="old"))
    add(file, approval())
    found = latest(file, "map")
    assert found is not None
    assert found.hashes["map"] == "m1"
    assert file.read_text().count("A. Analyst") == 2


@pytest.mark.parametrize("text", ["- what: map\n  by: me\n", "{[", "map: approved\n"])
def test_a_broken_file_is_told(tmp_path: Path, text: str) -> None:
    """A hand-edited approvals file is refused, not read as 'nothing approved'."""
    file = tmp_path / "approvals.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="broken"):
        latest(file, "map")


def schema(*objects: DestinationObject) -> DestinationSchema:
    """A schema of these objects."""
    return DestinationSchema({o.name: o for o in objects})


def obj(name: str, *fields: DestinationField) -> DestinationObject:
    """An object with these fields."""
    return DestinationObject(f"id-{name}", name, f"{name}s", fields={f.name: f for f in fields})


CLAIM = WantedObject("claim", "claims", "Claim", "Claims")
PATIENT = WantedField("claim", "patient", "RELATION", "Patient", target="person", inverse_label="Insurance claims")
BIRTH = WantedField("person", "dateOfBirth", "DATE", "Date of birth")
STAGE = WantedField("deal", "stage", "SELECT", "Stage", options=(Option("WON", "Won"),), extend=True)
PLAN = SchemaPlan(
    (
        SchemaItem(Decision.CREATE, "claim", wanted_object=CLAIM),
        SchemaItem(Decision.CREATE, "claim", "patient", "RELATION", wanted_field=PATIENT),
        SchemaItem(Decision.CREATE, "person", "dateOfBirth", "DATE", wanted_field=BIRTH),
        SchemaItem(Decision.EXTEND, "deal", "stage", "SELECT", wanted_field=STAGE, add_options=STAGE.options),
    )
)
NAME = DestinationField("1", "name", "FULL_NAME")
STAGE_BEFORE = DestinationField("2", "stage", "SELECT", options=(Option("NEW", "New"),))
BEFORE = schema(obj("person", NAME), obj("deal", STAGE_BEFORE))
AFTER = schema(
    obj(
        "person",
        NAME,
        DestinationField("3", "dateOfBirth", "DATE"),
        DestinationField("4", "insuranceClaims", "RELATION", target="claim"),
    ),
    obj("deal", replace(STAGE_BEFORE, options=(Option("NEW", "New"), Option("WON", "Won")))),
    obj("claim", DestinationField("5", "patient", "RELATION", target="person")),
)


def test_applying_the_plan_voids_nothing() -> None:
    """The base hash is the same before and after our own objects, fields, options and inverse lists exist."""
    assert destination_base_hash(BEFORE, PLAN) == destination_base_hash(AFTER, PLAN)


@pytest.mark.parametrize(
    "drifted",
    [
        schema(obj("person", replace(NAME, type="TEXT")), obj("deal", STAGE_BEFORE)),
        schema(obj("person", NAME), obj("deal", replace(STAGE_BEFORE, options=()))),
        schema(obj("person", NAME), obj("deal", STAGE_BEFORE), obj("foreign")),
        schema(obj("person", NAME, DestinationField("9", "shoeSize", "NUMBER")), obj("deal", STAGE_BEFORE)),
    ],
)
def test_a_destination_that_drifted_otherwise_voids(drifted: DestinationSchema) -> None:
    """Another type, option, object or field than at the approval gives another hash."""
    assert destination_base_hash(drifted, PLAN) != destination_base_hash(BEFORE, PLAN)
