"""Tests of records that are in the workspace before us: recognised, previewed, adopted by rule, and given back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import orjson
import pytest
from loading_fakes import ENGAGEMENT, STEPS, patient, prepare

from dentlib.errors import UsageError
from dentlib.loading import forecast, kept_fields, load, match, match_facts, remembered, rollback
from dentlib.loading.adopting import Treatment, treatment
from dentlib.loading.patience import Patience
from dentlib.loading.sample_diff import KEPT, compare_sample
from dentlib.model import LoadStep, MatchRules, record_id

BY = (("emails.primaryEmail", "name.firstName"), ("name.lastName", "name.firstName"))
Rows = dict[str, dict[str, Any]]


def steps(found: str = "update_empty", ambiguous: str = "create", by: Any = BY) -> list[LoadStep]:
    return [STEPS[0], replace(STEPS[1], match=MatchRules(by, found, ambiguous))]


def them(number: int | str, **fields: Any) -> dict[str, Any]:
    """Return a record of the workspace's own."""
    name = {"firstName": "Ana", "lastName": f"o'neil {number}"}
    empty = {"city": "", "companyId": None, "sourceSystemId": None, "emails": {"primaryEmail": ""}}
    return {"id": f"them-{number}", "name": name, **empty, **fields}


class Practice:
    """Patients prepared as the map prepares them, with the records that they stand for."""

    def __init__(self, world: Any, rows: dict[str, dict[str, Any]]) -> None:
        self.world, self.rows = world, rows
        self.told: dict[str, str] = {}

    def prepare(self) -> None:
        made = []
        for key, more in self.rows.items():
            row = patient(key, **more)
            if rid := self.told.get(key):
                record = orjson.loads(row["payload"]) | {"id": rid}
                row |= {"record_id": rid, "payload": orjson.dumps(record).decode(), "row_hash": f"{rid}{more}"}
            made.append(row)
        prepare(self.world.con, {"patients": made})

    def match(self, ruled: list[LoadStep]) -> Any:
        """Prepare, match, prepare again: as the stages do; return the facts."""
        world, patience = self.world, Patience(self.world.clock)
        self.told = remembered(world.ledger, ["patients"]).get("patients", {})
        self.prepare()
        found = match(world.con, world.ledger, world.destination, ruled, patience=patience)
        self.told = dict(found.matched.get("patients", {}))
        self.prepare()
        (facts,) = match_facts(world.con, world.ledger, world.destination, ruled, patience=patience).steps
        return facts

    def load(self, ruled: list[LoadStep], run: str = "run-1") -> Any:
        world = self.world
        more = {"clock": world.clock, "hook": world.hook}
        return load(world.ledger, world.destination, world.con, ruled, run_id=run, kind="run", **more)


@pytest.fixture
def practice(world: Any) -> Callable[[Rows], Practice]:
    return lambda rows: Practice(world, rows)


def counts(result: Any) -> tuple[int, ...]:
    facts = next(s for s in result.steps if s.step == "patients")
    assert facts.adds_up
    return facts.created, facts.updated, facts.unchanged, facts.failed, facts.matched


def test_what_is_empty_there_is_filled_and_the_rest_stays(world: Any, practice: Any) -> None:
    """Told before with counts; loaded into their record; what is kept is listed; taken back to the letter."""
    world.crm.insert("person", [them(1, emails={"primaryEmail": "ana.1@example.com"}), them(2, city="Bruges")])
    before = world.crm.dump()
    one = practice({"1": {"city": "Ghent"}, "2": {"city": "Ghent"}, "3": {}})
    facts = one.match(steps())
    assert [(r.rule, r.matched, r.ambiguous) for r in facts.rules] == [
        ("emails.primaryEmail + name.firstName", 1, 0),
        ("name.lastName + name.firstName", 1, 0),
    ]
    assert (facts.rows, facts.records, facts.matched, facts.new) == (3, 2, 2, 1)
    assert facts.would_fill == (("city", 1), ("emails", 1), ("sourceSystemId", 2))
    assert facts.would_keep == (("city", 1), ("name", 2))
    assert world.crm.dump() == before
    result = one.load(steps())
    assert counts(result) == (1, 2, 0, 0, 2)
    assert result.kept == (("patients", "city", 1), ("patients", "name", 2))
    listed = [(k.source_key, k.record_id, k.field) for k in kept_fields(world.ledger)]
    assert listed == [("1", "them-1", "name"), ("2", "them-2", "city"), ("2", "them-2", "name")]
    assert [(k.in_the_export, k.in_the_crm) for k in kept_fields(world.ledger) if k.field == "city"] == [
        ("Ghent", "Bruges")
    ]
    assert world.crm.get("person", "them-1")["city"] == "Ghent"
    assert world.crm.get("person", "them-2")["city"] == "Bruges"
    assert world.crm.get("person", "them-2")["sourceSystemId"] == "patient:2"
    assert rollback(world.ledger, world.destination, clock=world.clock).differences == ()
    assert world.crm.dump()["record"] == before["record"]


@pytest.mark.parametrize(
    ("found", "new", "stored", "kind", "made", "becomes"),
    [
        ("update_empty", True, False, "BOOLEAN", {"f"}, Treatment.FILL),  # off in a field of ours: nobody set it
        ("update_empty", True, False, "BOOLEAN", set(), Treatment.KEEP),
        ("match_only", True, False, "BOOLEAN", {"f"}, Treatment.KEEP),
        ("update_empty", None, "x", "TEXT", set(), Treatment.SAME),  # nothing is ever emptied
        ("update", "", "x", "TEXT", set(), Treatment.SAME),
        ("update", "y", "x", "TEXT", set(), Treatment.OVERWRITE),
        ("update_empty", "y", "", "TEXT", set(), Treatment.FILL),
        ("update_empty", "Y@example.com", "y@example.com", "EMAIL", set(), Treatment.KEEP),
        (
            "update_empty",
            {"amountMicros": 1},
            {"amountMicros": None, "currencyCode": "USD"},
            "CURRENCY",
            set(),
            Treatment.FILL,
        ),
        (
            "update_empty",
            {"primaryPhoneNumber": "4155552671"},
            {"primaryPhoneNumber": "", "primaryPhoneCountryCode": "US", "additionalPhones": []},
            "PHONES",
            set(),
            Treatment.FILL,
        ),
    ],
)
def test_what_becomes_of_a_field(found: str, new: Any, stored: Any, kind: str, made: set[str], becomes: Any) -> None:
    """Filled where it holds nothing, overwritten only where the map says so, emptied never."""
    assert treatment(found, "f", new, stored, kind, made) is becomes


@dataclass(frozen=True)
class _Told:
    step: str = "patients"
    source_key: str = "1"
    record_id: str = "them-1"
    field: str = "city"
    source_columns: str = "City"
    source: str = "Ghent"
    identifier_class: str = ""
    problem: str = ""


def test_the_sample_says_what_a_record_keeps() -> None:
    """A difference that the map's rule makes has that as its reason."""
    intended, stored = {"them-1": {"city": "Ghent"}}, {"them-1": {"city": "Bruges"}}
    (row,) = compare_sample([_Told()], intended, stored, {"city": "TEXT"}, {("them-1", "city")})
    assert (row.same, row.reason) == (False, KEPT)
    (row,) = compare_sample([_Told()], intended, stored, {"city": "TEXT"})
    assert row.reason != KEPT


def test_match_only_writes_nothing_now_nor_later(world: Any, practice: Any) -> None:
    """Their record stands for the row; a row changed since changes nothing."""
    world.crm.insert("person", [them(1)])
    before = world.crm.dump()["record"]
    one = practice({"1": {"city": "Ghent"}})
    one.match(steps("match_only"))
    assert counts(one.load(steps("match_only"))) == (0, 0, 1, 0, 1)
    one.rows["1"] = {"city": "Leuven"}
    one.match(steps("match_only"))
    assert counts(one.load(steps("match_only"), "delta-1")) == (0, 0, 1, 0, 1)
    assert world.crm.dump()["record"] == before


@pytest.mark.parametrize(("found", "foreseen"), [("update_empty", (1, 1, 0)), ("match_only", (1, 0, 1))])
def test_the_forecast_makes_no_record_that_is_there(world: Any, practice: Any, found: str, foreseen: Any) -> None:
    """A row that stands for a record of the workspace is a change, or nothing to write; once taken up it stays."""
    world.crm.insert("person", [them(1)])
    one = practice({"1": {"city": "Ghent"}, "2": {"city": "Leuven"}})
    one.match(steps(found))
    assert _foreseen(world, steps(found)) == foreseen
    one.load(steps(found))
    assert _foreseen(world, steps(found)) == (0, 0, 2)


def test_what_a_rollback_gave_back_is_recognised_again(world: Any, practice: Any) -> None:
    """A run after a rollback takes up the same records once more, and makes none beside them."""
    world.crm.insert("person", [them(1)])
    one = practice({"1": {"city": "Ghent"}})
    one.match(steps())
    one.load(steps())
    rollback(world.ledger, world.destination, clock=world.clock)
    assert one.match(steps()).matched == 1
    assert _foreseen(world, steps()) == (0, 1, 0)


def _foreseen(world: Any, ruled: list[LoadStep]) -> tuple[int, int, int]:
    can = world.destination.capabilities
    told = forecast(world.ledger, world.con, ruled, can, read_rows=60, now=world.clock.now())
    (step,) = [s for s in told.steps if s.step == "patients"]
    return step.create, step.change, step.stay


def test_update_overwrites_and_the_old_values_come_back(world: Any, practice: Any) -> None:
    """Never an empty value over theirs, never their source id; a rollback restores what was replaced."""
    theirs = them(1, city="Bruges", sourceSystemId="other:9", companyId=None)
    world.crm.insert("person", [theirs])
    before = world.crm.dump()["record"]
    one = practice({"1": {"city": "Ghent"}})
    facts = one.match(steps("update"))
    assert facts.would_overwrite == (("city", 1), ("name", 1))
    assert facts.would_keep == (("sourceSystemId", 1),)
    assert counts(one.load(steps("update"))) == (0, 1, 0, 0, 1)
    stored = world.crm.get("person", "them-1")
    assert (stored["city"], stored["sourceSystemId"]) == ("Ghent", "other:9")
    rollback(world.ledger, world.destination, clock=world.clock)
    assert world.crm.dump()["record"] == before


def test_create_counts_and_makes_new_ones(world: Any, practice: Any) -> None:
    """The map may say that what is found doesn't matter."""
    world.crm.insert("person", [them(1)])
    one = practice({"1": {}})
    assert one.match(steps("create")).matched == 1
    assert counts(one.load(steps("create"))) == (1, 0, 0, 0, 0)


def test_one_record_for_one_row_or_a_person_decides(world: Any, practice: Any) -> None:
    """Two records for a row, two rows for a record, and a record that another rule gave away: ambiguous, listed."""
    address = {"primaryEmail": "ana.5@example.com"}
    world.crm.insert("person", [them(1), them(1) | {"id": "them-1b"}, them(2), them(5, emails=address)])
    rows = {
        "1": {},  # two records have its name
        "2": {},
        "3": {"name": {"firstName": "Ana", "lastName": "O'Neil 2"}},  # shares record 2 with row 2
        "4": {"name": {"firstName": "ana ", "lastName": "O'Neil  5"}},  # record 5 goes to row 5 by its address
        "5": {},
        "6": {},
    }
    one = practice(rows)
    facts = one.match(steps(by=BY))
    assert (facts.matched, facts.ambiguous, facts.new) == (1, 4, 1)
    told = match_facts(world.con, world.ledger, world.destination, steps(), patience=Patience(world.clock))
    assert {(key, rid) for _, key, rid, _ in told.ambiguous_pairs} == {
        ("1", "them-1"), ("1", "them-1b"), ("2", "them-2"), ("3", "them-2"), ("4", "them-5"),
    }  # fmt: skip
    assert one.told == {"5": "them-5"}
    assert counts(one.load(steps())) == (5, 1, 0, 0, 1)


def test_ambiguous_rows_may_be_rejected(world: Any, practice: Any) -> None:
    """The map says so; prepare is told which."""
    world.crm.insert("person", [them(1), them(1) | {"id": "them-1b"}])
    one = practice({"1": {}, "2": {}})
    one.prepare()
    patience = Patience(world.clock)
    found = match(world.con, world.ledger, world.destination, steps(ambiguous="reject"), patience=patience)
    assert found.ambiguous == {"patients": frozenset({"1"})}


def test_a_match_is_remembered_and_a_later_round_changes_only_what_is_ours(world: Any, practice: Any) -> None:
    """Even where the record was renamed since: the row keeps it. What we filled follows the source, the rest stays."""
    world.crm.insert("person", [them(1, companyId=None)])
    one = practice({"1": {"city": "Ghent"}})
    one.match(steps())
    one.load(steps())
    renamed = world.crm.get("person", "them-1") | {"name": {"firstName": "Zoe", "lastName": "Zed"}}
    world.crm.put("person", renamed)
    one.rows["1"] = {"city": "Leuven"}
    facts = one.match(steps())
    assert (facts.remembered, facts.rows) == (1, 0)
    assert counts(one.load(steps(), "delta-1")) == (0, 1, 0, 0, 1)
    assert world.crm.get("person", "them-1") == renamed | {"city": "Leuven"}


def test_rows_prepared_without_their_records_are_not_loaded(world: Any, practice: Any) -> None:
    """Children would point to records that are never made."""
    world.crm.insert("person", [them(1)])
    one = practice({"1": {}})
    one.match(steps())
    one.told = {}
    one.prepare()
    with pytest.raises(UsageError, match="prepare again"):
        one.load(steps())


def test_few_new_rows_in_a_large_workspace_are_asked_for_by_value(world: Any, practice: Any) -> None:
    """Later rounds don't read everything again: the unusual way is the cheap one."""
    one = practice({str(n): {} for n in range(30)})
    by = (("emails.primaryEmail", "name.firstName"),)
    one.match(steps(by=by))
    one.load(steps(by=by))
    world.crm.insert("person", [them(99, emails={"primaryEmail": "ana.99@example.com"})])
    one.rows["99"] = {}
    world.destination.finds, world.destination.thin_rows = 0, 5
    facts = one.match(steps(by=by))
    assert (facts.matched, world.destination.finds) == (1, 1)
    assert one.told["99"] == "them-99"


def test_a_record_made_by_us_and_destroyed_can_be_followed_by_an_adopted_one(world: Any, practice: Any) -> None:
    """After a rollback the same row may stand for a record of theirs: it is restored, never destroyed."""
    one = practice({"1": {}})
    one.match(steps())
    one.load(steps())
    rollback(world.ledger, world.destination, clock=world.clock)
    world.crm.insert("person", [them(1)])
    one.match(steps())
    one.load(steps(), "run-2")
    rollback(world.ledger, world.destination, clock=world.clock)
    assert world.crm.get("person", "them-1") is not None
    assert world.crm.get("person", record_id(ENGAGEMENT, "patients", "1")) is None


def test_a_record_under_the_id_that_we_would_give_is_ours(world: Any, practice: Any) -> None:
    """The answer was lost, or the ledger was: it is found again and a rollback takes it away."""
    one = practice({"1": {}})
    one.prepare()
    (text,) = world.con.execute("SELECT payload FROM prepared.patients").fetchone()
    world.crm.insert("person", [orjson.loads(text)])
    assert one.match(steps()).matched == 0
    assert counts(one.load(steps())) == (1, 0, 0, 0, 0)
    rollback(world.ledger, world.destination, clock=world.clock)
    assert world.crm.all("person") == []


class _Stop(Exception):
    pass


@pytest.mark.parametrize("point", range(1, 12))
def test_stopped_anywhere_it_is_finished_by_the_next(world: Any, practice: Any, point: int) -> None:
    """The ledger knows of a record before it is touched; what is not filled yet is filled on the way back."""
    world.crm.insert("person", [them(n) for n in range(1, 7)])
    one = practice({str(n): {"city": "Ghent"} for n in range(1, 8)})
    one.match(steps())
    seen = 0

    def stop(name: str) -> None:
        nonlocal seen
        seen += 1
        if seen == point:
            raise _Stop

    world.destination.hook = stop
    more = {"clock": world.clock, "hook": stop}
    with pytest.raises(_Stop):
        load(world.ledger, world.destination, world.con, steps(), run_id="run-1", kind="run", **more)
    world.destination.hook = lambda name: None
    world.reopen()
    one.match(steps())
    assert counts(one.load(steps())) == (1, 6, 0, 0, 6)
    assert [p["city"] for p in world.crm.all("person")] == ["Ghent"] * 7
