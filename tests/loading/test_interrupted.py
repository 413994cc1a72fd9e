"""Tests of what follows a run that was stopped: another command than the same one, or the same one on mended data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from loading_fakes import BAD, STEPS, carrier, patient, prepare, row_of

from dentlib.errors import BudgetExceeded, DestinationError
from dentlib.loading import load, match, reassign, rollback
from dentlib.loading.comparing import kept_values
from dentlib.loading.ledger import Ledger
from dentlib.loading.listing import note_gone
from dentlib.loading.outcomes import outcomes_of
from dentlib.loading.patience import Patience
from dentlib.model import LastWrite, LoadStep, MatchRules

BY = (("name.lastName", "name.firstName"),)
RULED = replace(STEPS[1], match=MatchRules(BY, "update", "create"))


class Stop(BaseException):
    """Where a test stops the work."""


def stop_at(world: Any, effect: str) -> None:
    """Stop at the first effect of this name."""

    def hook(name: str) -> None:
        if name == effect:
            raise Stop

    world.destination.hook = hook


def go_on(world: Any) -> None:
    """Open the ledger again, as the next command does."""
    world.destination.hook = lambda name: None
    world.reopen()


def prepared(world: Any, **more: Any) -> None:
    """Prepare one patient, who stands for `them-1`."""
    row = patient("1", **more)
    record = orjson.loads(row["payload"]) | {"id": "them-1"}
    row |= {"record_id": "them-1", "payload": orjson.dumps(record).decode(), "row_hash": f"h{more}"}
    prepare(world.con, {"patients": [row]})


def load_one(world: Any, run_id: str = "run-1", steps: Any = (RULED,)) -> Any:
    more = {"clock": world.clock}
    return load(world.ledger, world.destination, world.con, steps, run_id=run_id, kind="run", **more)


def adopted(world: Any, **theirs: Any) -> Any:
    """Give the workspace a person of its own, match it with the row, and prepare that; return the CRM as it was."""
    name = {"firstName": "Ana", "lastName": "O'Neil 1"}
    empty = {"city": "", "sourceSystemId": None, "emails": {"primaryEmail": ""}}
    world.crm.insert("person", [{"id": "them-1", "name": name, **empty, **theirs}])
    prepare(world.con, {"patients": [patient("1")]})
    match(world.con, world.ledger, world.destination, [RULED], patience=Patience(world.clock))
    return world.crm.dump()["record"]


@pytest.mark.parametrize("effect", ["crm before update", "crm after update", "refused"])
def test_a_second_change_that_may_not_have_arrived_hides_no_first(world: Any, effect: str) -> None:
    """A rollback after a stopped delta finds out what stands of theirs; the first value is put back either way."""
    before = adopted(world, city="Bruges")
    prepared(world, city="Ghent")
    load_one(world)
    assert world.crm.get("person", "them-1")["city"] == "Ghent"
    prepared(world, city=BAD if effect == "refused" else "Leuven")
    if effect == "refused":
        load_one(world, "delta-1")
    else:
        stop_at(world, effect)
        with pytest.raises(Stop):
            load_one(world, "delta-1")
    go_on(world)
    facts = rollback(world.ledger, world.destination, clock=world.clock)
    assert (facts.kept, facts.differences) == ((), ())
    assert world.crm.dump()["record"] == before


def test_a_change_of_theirs_after_a_lost_answer_stays(world: Any) -> None:
    """Neither what we sent nor what was there before: somebody chose it."""
    adopted(world, city="Bruges")
    prepared(world, city="Ghent")
    stop_at(world, "crm after update")
    with pytest.raises(Stop):
        load_one(world)
    go_on(world)
    world.crm.put("person", world.crm.get("person", "them-1") | {"city": "Namur"})
    facts = rollback(world.ledger, world.destination, clock=world.clock)
    assert [(rid, why) for _, rid, why in facts.kept] == [("them-1", "city: somebody changed it since")]
    stored = world.crm.get("person", "them-1")
    assert (stored["city"], stored["sourceSystemId"]) == ("Namur", None)


def test_a_rollback_that_was_stopped_tells_all_that_it_left(world: Any) -> None:
    """The reason was found before the kill; the page of the one that goes on has it, and no word of another author."""
    adopted(world, city="Bruges")
    prepared(world, city="Ghent")
    world.con.execute(
        "INSERT INTO prepared.patients SELECT 2, $key, $rid, $text, 'h2', NULL, '', '', 1, false",
        {"key": "2", "rid": patient("2")["record_id"], "text": patient("2")["payload"]},
    )
    load_one(world)
    world.crm.put("person", world.crm.get("person", "them-1") | {"city": "Namur"})
    stop_at(world, "crm before destroy")
    with pytest.raises(Stop):
        rollback(world.ledger, world.destination, clock=world.clock)
    go_on(world)
    facts = rollback(world.ledger, world.destination, clock=world.clock)
    assert [(rid, why) for _, rid, why in facts.kept] == [("them-1", "city: somebody changed it since")]
    assert facts.differences == ()


def test_what_a_record_of_theirs_was_tied_to_by_hand_stays(world: Any) -> None:
    """It stands for a row of ours, and the link is none of ours: destroying what it points to would cut it."""
    adopted(world)
    prepared(world)
    row = carrier("1")
    world.con.execute(
        "INSERT INTO prepared.carriers SELECT 1, $key, $rid, $text, 'h', NULL, '', '', 1, false",
        {"key": "1", "rid": row["record_id"], "text": row["payload"]},
    )
    load_one(world, steps=(STEPS[0], RULED))
    world.crm.put("person", world.crm.get("person", "them-1") | {"companyId": row["record_id"]})
    facts = rollback(world.ledger, world.destination, clock=world.clock)
    assert (row["record_id"], "somebody attached something to it since (1 person)") in [k[1:] for k in facts.kept]
    assert world.crm.get("company", row["record_id"]) is not None


def test_what_was_left_alone_before_a_rollback_explains_nothing_after_it(world: Any) -> None:
    """Otherwise a value that the next run should have written, and did not, would pass as theirs."""
    adopted(world, city="Bruges", sourceSystemId="other:9")
    prepared(world, city="Ghent")
    load_one(world)
    assert ("them-1", "sourceSystemId") in kept_values(world.ledger, "patients")
    rollback(world.ledger, world.destination, clock=world.clock)
    assert kept_values(world.ledger, "patients") == {}


@pytest.mark.parametrize("by_member", [True, False])
def test_a_record_that_a_member_changed_before_the_run_went_on_stops_nothing(
    world: Any, monkeypatch: pytest.MonkeyPatch, by_member: bool
) -> None:
    """The answer was lost in a kill and the practice went on working; what nobody of them wrote is a reason to stop."""
    prepare(world.con, {"patients": [patient("1"), patient("2")]})
    stop_at(world, "crm after create")
    with pytest.raises(Stop):
        load_one(world)
    go_on(world)
    rid = patient("1")["record_id"]
    world.crm.put("person", world.crm.get("person", rid) | {"name": {"firstName": "Anna", "lastName": "O'Neil 1"}})
    last = LastWrite("2026-01-02T00:00:00.000Z", "MANUAL", "Member", "member-1" if by_member else "")
    monkeypatch.setattr(world.destination, "last_writes", lambda name, ids: dict.fromkeys(ids, last), raising=False)
    if not by_member:
        with pytest.raises(DestinationError, match="not there as it was sent"):
            load_one(world)
        return
    assert [(s.created, s.failed) for s in load_one(world).steps] == [(2, 0)]
    assert world.crm.get("person", rid)["name"]["firstName"] == "Anna"


def test_owners_assigned_after_a_stop_leave_the_rest_to_be_filled(world: Any) -> None:
    """Only one field is sent; what the stopped run wanted to fill is filled when it goes on."""
    adopted(world, city="Ghent")
    prepared(world, city="Ghent")
    stop_at(world, "crm before update")
    with pytest.raises(Stop):
        load_one(world)
    go_on(world)
    prepared(world, city="Leuven")
    world.con.execute("ALTER TABLE prepared.patients ADD COLUMN owner_key VARCHAR DEFAULT '2'")
    options = {"by": "A. Analyst", "run_id": "owners-1", "clock": world.clock}
    done = reassign(world.ledger, world.destination, world.con, [(RULED, "city")], {"2": "x@example.com"}, **options)
    assert done.changed == {"patients": 1}
    load_one(world)
    stored = world.crm.get("person", "them-1")
    assert (stored["city"], stored["sourceSystemId"]) == ("Leuven", "patient:1")


def test_a_file_that_went_with_its_record_is_sent_anew(world: Any, tmp_path: Path) -> None:
    """A document was destroyed, by decision or by hand, and its row comes back."""
    scan = tmp_path / "scan.pdf"
    scan.write_bytes(b"%PDF-1.4 invented")
    document = row_of("documents", "1", {"name": scan.name}, file_path=str(scan))
    prepare(world.con, {"documents": [document]})
    load_one(world, steps=STEPS)
    destroyed(world, STEPS[2], "1")
    result = load_one(world, "delta-1", steps=STEPS)
    assert [(s.created, s.failed) for s in result.steps if s.step == "documents"] == [(1, 0)]
    assert world.destination.uploads == 2
    rollback(world.ledger, world.destination, clock=world.clock)
    assert world.crm.dump()["file"] == []


def destroyed(world: Any, step: LoadStep, key: str) -> None:
    """Destroy a record as a decision does."""
    ledger: Ledger = world.ledger
    current = ledger.current(step.name, [key])[key]
    world.destination.destroy_side_effects(step.object_name, [current.record_id])
    world.destination.destroy(step.object_name, [current.record_id], "decided")
    note_gone(ledger, [current], "decide-1")


def test_a_step_over_its_budget_is_told_anew_when_it_was_mended(world: Any) -> None:
    """The ledger's last word on the step is what the mended rows came to; what is set aside now has not failed too."""
    strict = [replace(STEPS[0], error_budget=0.0)]
    good, bad = carrier("1"), carrier("2", createdAt=BAD)
    prepare(world.con, {"carriers": [good, bad]})
    with pytest.raises(BudgetExceeded):
        load_one(world, steps=strict)
    world.reopen()
    prepare(world.con, {"carriers": [good]}, [("carriers", "carriers", "2", "c.csv", 2, "excluded", "where", "old")])
    load_one(world, steps=strict)
    steps, reasons = outcomes_of(world.ledger, "run-1")
    assert [(s.created, s.failed, s.excluded, s.adds_up) for s in steps] == [(1, 0, 1, True)]
    assert [(r.outcome, r.count) for r in reasons] == [("excluded", 1)]
