"""Tests of what is read from the ledger: delta, audit log, runs; and of switches and schema across a crash."""

from __future__ import annotations

import csv
from dataclasses import asdict, replace
from typing import Any

import pytest
from loading_fakes import STEPS, WANTED, carrier, patient, prepare

from dentlib.clock import ManualClock
from dentlib.errors import AccessDenied, DentlibError
from dentlib.loading import (
    Patience,
    apply_schema,
    open_run,
    plan_delta,
    record_deletions,
    restore_switches,
    rollback,
    runs,
    switches_off,
    write_audit_log,
)
from dentlib.loading.outcomes import outcomes_of


def test_a_delta_is_found_by_content(world: Any) -> None:
    """Created, changed, unchanged and deleted add up; a row set aside now is not called deleted."""
    prepare(world.con, {"patients": [patient(str(n), city="Ghent") for n in range(1, 31)]})
    world.load()
    rows = [patient(str(n), city="Ghent") for n in range(1, 26)] + [patient("26", city="Leuven"), patient("4711")]
    aside = [("patients", "patients", "27", "patients.csv", 27, "excluded", "where", "moved away")]
    prepare(world.con, {"patients": rows}, aside)
    plan = plan_delta(world.ledger, world.con, STEPS)
    step = next(s for s in plan.steps if s.step == "patients")
    assert (step.created, step.changed, step.unchanged, step.deleted) == (1, 1, 25, 4)
    assert {(d.source_key, d.why) for d in plan.deletions} == {
        ("27", "excluded"), ("28", "deleted"), ("29", "deleted"), ("30", "deleted"),
    }  # fmt: skip
    before = world.crm.dump()
    record_deletions(world.ledger, "delta-1", plan.deletions)
    assert world.crm.dump() == before, "deletions are a list for a person"


def test_a_delta_after_the_load_of_a_delta_is_empty(world: Any) -> None:
    """What was written is known; keys in any script sort alike in both stores."""
    keys = ["10", "9", "é", "ß", "Ş", "😀", "", "a|b", "Z", "a"]
    rows = [carrier(k) for k in keys]
    prepare(world.con, {"carriers": rows})
    world.load()
    step = plan_delta(world.ledger, world.con, STEPS).steps[0]
    assert (step.created, step.changed, step.unchanged, step.deleted) == (0, 0, len(keys), 0)


def test_the_audit_log_has_a_line_for_every_row(world: Any) -> None:
    """Loaded, failed, rejected, excluded, merged: each with ids, operation, outcome and reason."""
    prepare(world.con, {"carriers": [carrier("=cmd|1"), carrier("2")], "patients": [patient("1", "2")]},
            [("patients", "patients", "7", "p.csv", 7, "rejected", "birth_date", "no such day")])  # fmt: skip
    world.load()
    path = world.folder / "audit-log.csv"
    assert write_audit_log(world.ledger, path) == 4
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(r["step"], r["source_id"], r["operation"], r["outcome"]) for r in lines] == [
        ("carriers", "'=cmd|1", "create", "created"),
        ("carriers", "2", "create", "created"),
        ("patients", "1", "create", "created"),
        ("patients", "7", "none", "rejected"),
    ]
    assert lines[3]["reason"] == "no such day (p.csv, row 7)"
    assert lines[0]["destination_id"]
    rollback(world.ledger, world.destination, clock=world.clock)
    assert write_audit_log(world.ledger, path) == 7


def test_the_reasons_of_a_run_told_again_are_those_it_gave(world: Any) -> None:
    """A row that failed without being sent (its parent is missing, its file too) is counted once, not twice."""
    result = world.load()
    steps, reasons = outcomes_of(world.ledger, "run-1")
    assert steps == result.steps
    told = {(r.step, r.outcome, r.code): r.count for r in result.reasons}
    assert told["patients", "failed", "parent_failed"] == 2
    assert {(r.step, r.outcome, r.code): r.count for r in reasons} == told


def test_runs_are_remembered(world: Any) -> None:
    """Kind, verdict and times; an ended run is not open."""
    world.load("sample-1", "sample", only_sample=True)
    world.load()
    assert [(r.run_id, r.kind, r.verdict) for r in runs(world.ledger)] == [
        ("sample-1", "sample", "loaded"), ("run-1", "run", "loaded"),
    ]  # fmt: skip
    assert open_run(world.ledger, "run") is None


def test_switches_that_a_crash_left_off_are_put_on_by_the_next_load(world: Any) -> None:
    """The ledger knows how they were before they were touched."""
    (switch,) = world.destination.switches()
    world.ledger.append("switch", {"switch": asdict(switch), "state": "off"})
    world.destination.switch_off(switch)  # … and here the process died
    assert [s["id"] for s in switches_off(world.ledger)] == ["trigger"]
    result = world.load()
    assert result.switched_off == ("Create company when adding a person",)
    assert len(world.destination.switches()) == 1
    assert switches_off(world.ledger) == []


def test_a_refusal_to_switch_off_leaves_no_other_switch_off(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is off already when the second is refused: it goes on again before the error is told."""
    (switch,) = world.destination.switches()
    other = replace(switch, id="other", label="Another")
    monkeypatch.setattr(type(world.destination), "switches", lambda self: [switch, other])
    switch_off = type(world.destination).switch_off

    def refuse_other(self: Any, wanted: Any) -> None:
        if wanted.id == "other":
            raise AccessDenied("this trigger may not be touched")
        switch_off(self, wanted)

    monkeypatch.setattr(type(world.destination), "switch_off", refuse_other)
    with pytest.raises(AccessDenied):
        world.load()
    assert switches_off(world.ledger) == []
    monkeypatch.undo()
    assert world.destination.switches() == [switch]


def test_switches_can_be_put_on_without_a_load(world: Any) -> None:
    """For the command that finds them off."""
    (switch,) = world.destination.switches()
    world.ledger.append("switch", {"switch": asdict(switch), "state": "off"})
    world.destination.switch_off(switch)
    assert restore_switches(world.ledger, world.destination, patience=Patience(world.clock)) == (switch.label,)
    assert restore_switches(world.ledger, world.destination, patience=Patience(world.clock)) == ()


def test_a_schema_change_that_a_crash_left_open_is_finished_from_the_ledger(world: Any) -> None:
    """A plan made after the crash calls the field found; the ledger still knows that it is ours to undo."""
    before = world.crm.dump()
    item = world.destination.plan(WANTED).items[0]
    world.ledger.append("schema", {"item": asdict(item)})
    world.destination.apply(item)  # … and here the process died
    again = world.destination.plan(WANTED)
    assert not again.changes
    assert apply_schema(world.ledger, world.destination, again, clock=world.clock) == (item,)
    assert apply_schema(world.ledger, world.destination, again, clock=world.clock) == ()
    rollback(world.ledger, world.destination, clock=world.clock)
    assert world.crm.dump() == before


def test_a_full_disk_stops_before_the_request_and_can_be_resumed(world: Any) -> None:
    """No intent on disk, no request; with room again the same command goes on."""
    pages = world.ledger._db.execute("PRAGMA page_count").fetchone()[0]
    world.ledger._db.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(DentlibError, match="can't be written"):
        world.load()
    sent = world.destination.creates
    assert sent <= len(list(world.ledger.entries("kind = 'call'")))
    world.reopen()
    assert all(s.adds_up for s in world.load().steps)


def test_patience_is_bounded_and_grows() -> None:
    """Pauses double up to the longest; then the error is raised."""
    clock = ManualClock()
    patience = Patience(clock, attempts=8)

    def never() -> None:
        from dentlib.errors import RateLimited

        raise RateLimited("no")

    with pytest.raises(DentlibError):
        patience.transient(never)
    assert patience.retries == 7
    assert clock.elapsed_s == 0.5 + 1 + 2 + 4 + 8 + 16 + 30


def test_a_large_step_is_compared_a_stretch_at_a_time(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stretches of keys in the order of their bytes, in any script: each key once, none between two stretches lost."""
    keys = ["10", "9", "é", "ß", "Ş", "😀", "", "a|b", "Z", "a", *(str(n) for n in range(100, 140))]
    prepare(world.con, {"carriers": [carrier(k) for k in keys]})
    world.load()
    monkeypatch.setattr("dentlib.loading.delta._SORTED_ROWS", 7)
    rows = [carrier(k) for k in keys[3:]] + [carrier("new"), carrier("Ω")]
    prepare(world.con, {"carriers": rows})
    plan = plan_delta(world.ledger, world.con, STEPS)
    step = plan.steps[0]
    assert (step.created, step.changed, step.unchanged, step.deleted) == (2, 0, len(keys) - 3, 3)
    assert {d.source_key for d in plan.deletions} == set(keys[:3])
