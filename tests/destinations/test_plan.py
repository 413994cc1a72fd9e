"""What a schema plan decides about each wanted object and field, and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from twenty_answers import OBJECTS, destination, field, good, page, thing

from dentlib.destinations.twenty.names import camel, fault_of
from dentlib.model import (
    Decision,
    Option,
    SchemaItem,
    WantedField,
    WantedObject,
    WantedSchema,
)

CLAIM = WantedObject("insuranceClaim", "insuranceClaims", "Insurance claim", "Insurance claims")
TEXT = WantedField("person", "chartNumber", "TEXT", "Chart number")
PATIENT = WantedField("insuranceClaim", "patient", "RELATION", "Patient", target="person", inverse_label="Claims")


def lines(*wanted: WantedObject | WantedField, objects: list[dict[str, Any]] | None = None) -> list[SchemaItem]:
    """Plan against the fake workspace."""
    there = destination(lambda r: good(r, page(objects or OBJECTS)))
    schema = WantedSchema(
        tuple(w for w in wanted if isinstance(w, WantedObject)), tuple(w for w in wanted if isinstance(w, WantedField))
    )
    return list(there.plan(schema).items)


CASES: list[tuple[str, WantedObject | WantedField, Decision, str]] = [
    ("a new object", CLAIM, Decision.CREATE, "not there"),
    ("an object that is there", WantedObject("task", "tasks", "Task", "Tasks"), Decision.REUSE, "exists"),
    ("another plural", WantedObject("task", "works", "Task", "Tasks"), Decision.CONFLICT, "`tasks`"),
    ("a deactivated object", WantedObject("oldThing", "oldThings", "O", "Os"), Decision.CONFLICT, "deactivated"),
    ("the name of a plural", WantedObject("x", "people", "X", "Xs"), Decision.CONFLICT, "another object"),
    ("singular is plural", WantedObject("sheep", "sheep", "Sheep", "Sheep"), Decision.CONFLICT, "both"),
    ("a reserved object", WantedObject("plan", "plans", "Plan", "Plans"), Decision.CONFLICT, "reserved"),
    ("snake case", WantedObject("lab_order", "labOrders", "L", "Ls"), Decision.CONFLICT, "camel case"),
    ("a new field", TEXT, Decision.CREATE, "not there"),
    ("a field that is there", replace(TEXT, name="sourceSystemId", unique=True), Decision.REUSE, "exists"),
    ("another type", replace(TEXT, name="sourceSystemId", type="NUMBER"), Decision.CONFLICT, "TEXT, NUMBER is wanted"),
    ("not unique", replace(TEXT, name="jobTitle", unique=True, object="company"), Decision.CREATE, "not there"),
    (
        "not unique while wanted",
        WantedField("task", "title", "TEXT", "T", unique=True),
        Decision.CONFLICT,
        "not unique",
    ),
    (
        "unique can't be",
        WantedField("task", "who", "FULL_NAME", "W", unique=True),
        Decision.CONFLICT,
        "can't be unique",
    ),
    ("a reserved field", replace(TEXT, name="type"), Decision.CONFLICT, "reserved"),
    ("too long a name", replace(TEXT, name="a" * 64), Decision.CONFLICT, "longer than 63"),
    ("a deactivated field", WantedField("opportunity", "oldField", "TEXT", "O"), Decision.CONFLICT, "deactivated"),
    ("a column of a composite", replace(TEXT, name="nameFirstName"), Decision.CONFLICT, "`nameFirstName` is taken"),
    ("a column of a relation", replace(TEXT, name="companyId"), Decision.CONFLICT, "`companyId` is taken"),
    ("no such object", replace(TEXT, object="nothing"), Decision.CONFLICT, "no object `nothing`"),
    ("a choice without options", replace(TEXT, type="SELECT"), Decision.CONFLICT, "without options"),
    ("not creatable", replace(TEXT, type="NUMERIC"), Decision.CONFLICT, "can't be made"),
    (
        "a relation as it is",
        WantedField("person", "company", "RELATION", "C", target="company"),
        Decision.REUSE,
        "exists",
    ),
    (
        "a relation that points elsewhere",
        WantedField("person", "company", "RELATION", "C", target="task"),
        Decision.CONFLICT,
        "points to company",
    ),
    (
        "the list of a relation",
        WantedField("person", "taskTargets", "RELATION", "T", target="taskTarget"),
        Decision.CONFLICT,
        "list of taskTarget",
    ),
    (
        "an inverse name that is taken",
        WantedField("task", "employer", "RELATION", "E", target="company", inverse_label="People"),
        Decision.CONFLICT,
        "`people`, which is taken on company",
    ),
    (
        "nothing to point to",
        WantedField("task", "employer", "RELATION", "E", target="firm", inverse_label="Staff"),
        Decision.CONFLICT,
        "no object `firm`",
    ),
    (
        "options that are there",
        WantedField("opportunity", "stage", "SELECT", "Stage", options=(Option("NEW", "New"),), extend=True),
        Decision.REUSE,
        "exists",
    ),
    (
        "extending what is not there",
        WantedField("opportunity", "phase", "SELECT", "Phase", options=(Option("NEW", "New"),), extend=True),
        Decision.CONFLICT,
        "no field `phase`",
    ),
]


@pytest.mark.parametrize(("name", "wanted", "decision", "reason"), CASES, ids=[c[0] for c in CASES])
def test_each_wanted_thing_is_decided_with_its_reason(
    name: str, wanted: WantedObject | WantedField, decision: Decision, reason: str
) -> None:
    """Create, reuse, extend or conflict; the reason names what is in the way."""
    (item,) = lines(wanted)
    assert item.decision is decision
    assert reason in item.reason


def test_extending_adds_only_the_options_that_are_missing() -> None:
    """The plan lists the new options alone."""
    options = (Option("NEW", "New"), Option("ACCEPTED", "Accepted"), Option("DECLINED", "Declined"))
    (item,) = lines(WantedField("opportunity", "stage", "SELECT", "Stage", options=options, extend=True))
    assert item.decision is Decision.EXTEND
    assert [o.value for o in item.add_options] == ["ACCEPTED", "DECLINED"]


def test_fields_and_relations_of_an_object_to_come_are_planned_with_it() -> None:
    """A new object's fields are created after it, its inborn ones reused."""
    name = WantedField("insuranceClaim", "name", "TEXT", "Name")
    items = lines(CLAIM, name, PATIENT)
    assert [i.decision for i in items] == [Decision.CREATE, Decision.REUSE, Decision.CREATE]


def test_two_relations_with_one_label_for_the_other_side_conflict() -> None:
    """The second list on the person would have the name of the first."""
    items = lines(CLAIM, PATIENT, replace(PATIENT, name="guarantor"))
    assert [i.decision for i in items] == [Decision.CREATE, Decision.CREATE, Decision.CONFLICT]
    assert "`claims`" in items[2].reason


def test_the_same_field_twice_conflicts() -> None:
    """One map can't want one name twice."""
    items = lines(TEXT, replace(TEXT, type="NUMBER"))
    assert [i.decision for i in items] == [Decision.CREATE, Decision.CONFLICT]


def test_the_plan_hash_stays_the_same_once_it_is_applied() -> None:
    """What is wanted doesn't change by having been made."""
    after = [thing("person", "people", field("chartNumber", "TEXT"))]
    wanted = WantedSchema((), (TEXT,))
    before_hash = destination(lambda r: good(r, page(OBJECTS))).plan(wanted).hash()
    assert destination(lambda r: good(r, page(after))).plan(wanted).hash() == before_hash


@pytest.mark.parametrize(
    ("label", "name"), [("Lab orders", "labOrders"), ("Per-tooth records", "perToothRecords"), ("Claims", "claims")]
)
def test_labels_become_names_as_in_twenty(label: str, name: str) -> None:
    """The list on the other side of a relation is named after its label."""
    assert camel(label) == name


@pytest.mark.parametrize("name", ["order", "group", "select", "count", "owner", "data", "homeAddress"])
def test_names_that_only_look_reserved_are_fine(name: str) -> None:
    """Twenty takes these, as recorded."""
    assert fault_of(name) == ""
