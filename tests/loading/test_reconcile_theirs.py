"""Reconciliation beside records and values of others: what was theirs, what they changed since, what they removed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
from loading_fakes import BAD, STEPS, patient, prepare

from dentlib.checks import load_suite
from dentlib.loading import Patience, load, match
from dentlib.loading.reconcile import reconcile
from dentlib.model import MatchRules, Silence, record_id

PATIENTS = STEPS[1]
BY = (("name.lastName", "name.firstName"),)


def ours(key: str) -> str:
    return record_id("demo", "patients", key)


def reconciled(world: Any, run: str, steps: Any = (PATIENTS,)) -> set[str]:
    """Read back; return the rules that fail."""
    reconcile(world.con, world.ledger, world.destination, steps, run_id=run, clock=world.clock, progress=Silence())
    return {
        e["meta"]["rule"]
        for suite in ("reconciliation", "lookups")
        for e in load_suite(suite)["expectations"]
        if world.con.execute(e["kwargs"]["unexpected_rows_query"].format(batch=e["meta"]["table"])).fetchall()
    }


def differences(world: Any) -> set[tuple[str, str, str]]:
    return set(world.con.execute("SELECT record_id, field, kind FROM reconcile.differences").fetchall())


def one_matched(world: Any, found: str, **more: Any) -> None:
    """Load one patient onto a record that somebody made before, and one that is new."""
    them = {"id": "them-1", "name": {"firstName": "Ana", "lastName": "O'Neil 1"}, "city": "Bruges"}
    world.crm.insert("person", [them | {"companyId": None, "sourceSystemId": None, "emails": {"primaryEmail": ""}}])
    steps = [replace(PATIENTS, match=MatchRules(BY, found, "create"))]
    rows = [patient("1", city="Ghent", **more), patient("2", city="Ghent")]
    prepare(world.con, {"patients": rows})
    match(world.con, world.ledger, world.destination, steps, patience=Patience(world.clock))
    rows[0] |= {"record_id": "them-1", "payload": rows[0]["payload"].replace(ours("1"), "them-1")}
    prepare(world.con, {"patients": rows})
    load(world.ledger, world.destination, world.con, steps, run_id="run-1", kind="run", clock=world.clock)


def test_of_a_matched_record_only_what_we_filled_is_ours(world: Any) -> None:
    """What was left alone is told as theirs; a value that we filled and that is gone fails."""
    one_matched(world, "update_empty")
    assert reconciled(world, "run-1") == set()
    assert ("them-1", "city", "kept") in differences(world)
    counts = world.con.execute("SELECT confirmed, matched, at_destination, expected_there FROM reconcile.counts")
    assert counts.fetchone() == (2, 1, 2, 2)
    world.crm.change("person", "them-1", {"emails": {"primaryEmail": ""}, "city": "Antwerp"})
    assert reconciled(world, "run-1") == {"nothing_lost"}
    assert ("them-1", "emails", "lost") in differences(world)


def test_a_record_that_only_stands_for_a_row_is_only_counted(world: Any) -> None:
    """match_only: nothing of it is compared, it is not expected to carry our mark, but it has to be there."""
    one_matched(world, "match_only")
    assert reconciled(world, "run-1") == set()
    assert differences(world) == set()
    counts = world.con.execute("SELECT live, at_destination, expected_there FROM reconcile.counts")
    assert counts.fetchone() == (2, 1, 1)
    world.crm.remove("person", "them-1")
    assert "confirmed_equals_read_back" in reconciled(world, "run-1")
    assert ("them-1", "", "missing") in differences(world)


def test_a_conflict_is_theirs_until_they_change_it_again(world: Any) -> None:
    """The value that the ledger lists as left alone explains itself; another value than that does not."""
    prepare(world.con, {"patients": [patient("1", city="Ghent"), patient("2", city="Ghent")]})
    load(world.ledger, world.destination, world.con, [PATIENTS], run_id="run-1", kind="run", clock=world.clock)
    world.crm.change("person", ours("1"), {"city": "Bruges"})
    prepare(world.con, {"patients": [patient("1", city="Leuven"), patient("2", city="Leuven")]})
    load(world.ledger, world.destination, world.con, [PATIENTS], run_id="delta-1", kind="delta", clock=world.clock)
    assert reconciled(world, "delta-1") == set()
    assert differences(world) == {(ours("1"), "city", "kept")}
    world.crm.change("person", ours("1"), {"city": "Antwerp"})
    assert reconciled(world, "delta-1") == {"fields_explained"}


def test_what_somebody_removed_and_the_run_listed_is_not_missing(world: Any) -> None:
    """A record that a delta wanted to update and found gone is listed; another that is gone is missing."""
    prepare(world.con, {"patients": [patient(str(n), city="Ghent") for n in range(4)]})
    load(world.ledger, world.destination, world.con, [PATIENTS], run_id="run-1", kind="run", clock=world.clock)
    world.crm.remove("person", ours("1"))
    prepare(world.con, {"patients": [patient(str(n), city="Leuven" if n < 2 else "Ghent") for n in range(4)]})
    load(world.ledger, world.destination, world.con, [PATIENTS], run_id="delta-1", kind="delta", clock=world.clock)
    assert reconciled(world, "delta-1") == set()
    assert differences(world) == {(ours("1"), "", "listed")}
    world.crm.remove("person", ours("3"))
    assert reconciled(world, "delta-1") == {"confirmed_equals_read_back", "ledger_equals_destination"}
    assert (ours("3"), "", "missing") in differences(world)


def test_an_update_that_was_refused_is_told_by_its_outcome(world: Any) -> None:
    """The record is compared with what was written last; prepared otherwise without any run, it is stale."""
    prepare(world.con, {"patients": [patient("1", city="Ghent")]})
    load(world.ledger, world.destination, world.con, [PATIENTS], run_id="run-1", kind="run", clock=world.clock)
    prepare(world.con, {"patients": [patient("1", city=BAD)]})
    load(world.ledger, world.destination, world.con, [PATIENTS], run_id="delta-1", kind="delta", clock=world.clock)
    assert reconciled(world, "delta-1") == set()
    prepare(world.con, {"patients": [patient("1", city="Leuven")]})
    assert reconciled(world, "run-1") == {"nothing_stale"}


@pytest.mark.parametrize("broken", [True, False])
def test_memory_holds_pages_not_records(world: Any, broken: bool) -> None:
    """Whatever differs, no more than a page of records and the named examples are kept."""
    prepare(world.con, {"patients": [patient(str(n), city="Ghent") for n in range(1200)]})
    world.destination.batch_rows = 200
    load(world.ledger, world.destination, world.con, [PATIENTS], run_id="run-1", kind="run", clock=world.clock)
    if broken:
        with world.crm:
            world.crm.db.execute("UPDATE record SET doc = replace(doc, 'Ghent', 'Bruges')")
    failed = reconciled(world, "run-1")
    assert failed == ({"fields_explained"} if broken else set())
    (named,) = world.con.execute("SELECT count(*) FROM reconcile.differences").fetchone()
    (counted,) = world.con.execute("SELECT sum(n) FROM reconcile.explanations WHERE kind = 'unexplained'").fetchone()
    assert (named, counted) == ((200, 1200) if broken else (0, None))
    told = dict(world.con.execute("SELECT name, value FROM reconcile.told").fetchall())
    assert orjson.loads(told["page_rows"]) == 500
