"""Tests of the way back: run + rollback = before, and the next run starts afresh."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from loading_fakes import STEPS, WANTED, World, carrier, patient, prepare

from dentlib.errors import AccessDenied, GateClosed, SchemaConflict
from dentlib.loading import apply_schema, open_run, preview, probe, rollback, rolled_back_at
from dentlib.model import Decision, SchemaItem, SchemaPlan


def whole_way(world: World) -> None:
    plan = world.destination.plan(WANTED)
    apply_schema(world.ledger, world.destination, plan, clock=world.clock)
    assert probe(world.ledger, world.destination, world.con, STEPS, clock=world.clock).passed
    world.load("sample-1", "sample", only_sample=True)
    world.load()


def test_addresses_that_others_hold_are_no_fault_of_the_schema(world: Any) -> None:
    """A workspace that holds every address of the practice already: the probe passes, and leaves nothing behind."""
    apply_schema(world.ledger, world.destination, world.destination.plan(WANTED), clock=world.clock)
    rows = world.con.execute("SELECT payload FROM prepared.patients").fetchall()
    addresses = {orjson.loads(text).get("emails", {}).get("primaryEmail", "").lower() for (text,) in rows} - {""}
    for number, address in enumerate(sorted(addresses)):
        world.crm.insert("person", [{"id": f"own-{number}", "name": {}, "emails": {"primaryEmail": address}}])
    before = world.crm.dump()["record"]
    facts = probe(world.ledger, world.destination, world.con, STEPS, clock=world.clock)
    assert facts.passed
    assert "patients" in {f.step for f in facts.fields}
    assert world.crm.dump()["record"] == before


def test_run_and_rollback_is_before(world: Any) -> None:
    """Schema, probe, sample, run, delta; then the workspace is as it was, with records of its own in it."""
    own = {"id": "own-1", "name": {"firstName": "Own"}, "emails": {"primaryEmail": "own@example.com"}}
    world.crm.insert("person", [own])
    before = world.crm.dump()
    whole_way(world)
    prepare(world.con, {"carriers": [carrier("1", name="renamed"), carrier("77")]})
    world.load("delta-1", "delta")
    assert world.crm.dump() != before
    told = preview(world.ledger, world.destination, clock=world.clock)
    facts = rollback(world.ledger, world.destination, clock=world.clock)
    assert world.crm.dump() == before
    assert facts.differences == ()
    assert facts.destroyed == told.destroyed
    assert facts.schema_removed == told.schema_removed == ("person.recallDate",)
    assert rolled_back_at(world.ledger)


def test_running_again_after_a_rollback_works(world: Any) -> None:
    """Keys destroyed before are created anew; so is what a second rollback destroys."""
    before = world.crm.dump()
    first = world.load()
    rollback(world.ledger, world.destination, clock=world.clock)
    world.reopen()
    assert open_run(world.ledger, "run") is None
    again = world.load("run-2")
    assert again.steps == first.steps
    assert rollback(world.ledger, world.destination, clock=world.clock).differences == ()
    assert world.crm.dump() == before


def test_a_rollback_names_what_others_changed(world: Any) -> None:
    """What somebody else did meanwhile is not ours to take back, but is told by name."""
    world.crm.insert("company", [{"id": "own-1", "name": "Own"}])
    world.load()
    world.crm.put("company", {"id": "own-1", "name": "Renamed by someone"})
    facts = rollback(world.ledger, world.destination, clock=world.clock)
    assert facts.differences == ("company own-1: was changed (by somebody else: this migration never wrote to it)",)


def test_a_rollback_of_nothing_changes_nothing(world: Any) -> None:
    """Without a run there is nothing to take back and nothing to compare with."""
    before = world.crm.dump()
    assert rollback(world.ledger, world.destination, clock=world.clock).destroyed == ()
    assert world.crm.dump() == before


def test_a_rollback_of_a_stopped_run(world: Any) -> None:
    """What was in doubt when the run stopped is looked for and taken back as well."""
    before = world.crm.dump()
    world.destination.faults = {3: "denied"}
    with pytest.raises(AccessDenied):
        world.load()
    facts = rollback(world.ledger, world.destination, clock=world.clock)
    assert facts.differences == ()
    assert world.crm.dump() == before


def test_a_schema_with_conflicts_is_not_begun(world: Any) -> None:
    """Not even its harmless parts."""
    made = world.destination.plan(WANTED).items[0]
    clash = SchemaItem(Decision.CONFLICT, "person", "city", "DATE", reason="it is TEXT there")
    with pytest.raises(SchemaConflict, match=r"person\.city"):
        apply_schema(world.ledger, world.destination, SchemaPlan((made, clash)), clock=world.clock)
    assert world.ledger.last("kind = 'schema'") is None


def test_a_probe_sees_a_field_that_is_not_kept_and_leaves_nothing(world: Any) -> None:
    """Accepted and dropped without an error: found on one record instead of on all."""
    prepare(world.con, {"patients": [patient("1", city="Ghent")]})
    before = world.crm.dump()
    world.destination.forgets = ("city",)
    facts = probe(world.ledger, world.destination, world.con, STEPS, clock=world.clock)
    assert [(f.field, f.reason) for f in facts.fields if not f.same] == [("city", "sent but not kept")]
    assert not facts.passed
    assert world.crm.dump() == before


def test_a_probe_follows_lookups_to_probe_records(world: Any) -> None:
    """A child is probed with the parent's probe record; nothing of the real ids is written."""
    before = world.crm.dump()
    facts = probe(world.ledger, world.destination, world.con, STEPS, clock=world.clock)
    assert facts.passed
    assert "companyId" in {f.field for f in facts.fields if f.step == "patients"}
    assert world.crm.dump() == before


def test_files_that_never_got_a_record_are_taken_back_too(world: Any) -> None:
    """Sent, or only begun: the rollback leaves no file behind that it knows of."""
    before = world.crm.dump()
    world.destination.hook = die_at("crm after finish upload", 2)
    with pytest.raises(KeyboardInterrupt):
        world.load()
    world.destination.hook = lambda name: None
    assert len(world.crm.db.execute("SELECT * FROM file WHERE state = 'sent'").fetchall()) == 2
    facts = rollback(world.ledger, world.destination, clock=world.clock)
    assert len(facts.kept) == 1, "the file that was refused can't be finished, only told"
    assert world.crm.dump() == before
    assert len(world.crm.db.execute("SELECT * FROM file").fetchall()) == 1


def die_at(wanted: str, time: int) -> Any:
    """Return a hook that interrupts at the n-th effect of that name."""
    seen: list[str] = []

    def hook(name: str) -> None:
        seen.append(name)
        if name == wanted and seen.count(wanted) == time:
            raise KeyboardInterrupt

    return hook


def test_nothing_is_written_before_a_rollback_is_finished(world: Any) -> None:
    """Half taken back is no state to go on from; the rollback itself goes on."""
    before = world.crm.dump()
    world.load()
    world.destination.hook = die_at("crm after destroy", 2)
    with pytest.raises(KeyboardInterrupt):
        rollback(world.ledger, world.destination, clock=world.clock)
    world.destination.hook = lambda name: None
    with pytest.raises(GateClosed, match="was not finished"):
        world.load("run-2")
    assert rollback(world.ledger, world.destination, clock=world.clock).differences == ()
    assert world.crm.dump() == before


def test_a_picture_that_was_lost_is_a_difference(world: Any) -> None:
    """Without the picture from before nothing is proved, and that is said."""
    world.load()
    (picture,) = world.folder.glob("*.picture.gz")
    picture.write_bytes(b"something else")
    facts = rollback(world.ledger, world.destination, clock=world.clock)
    assert [d.split(":")[0] for d in facts.differences] == ["the proof can't be made"]
