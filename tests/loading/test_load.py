"""Tests of the loader: every row has one outcome, every record is written once, whatever happens on the way."""

from __future__ import annotations

from typing import Any

import pytest
from loading_fakes import BAD, carrier, patient, prepare, row_of

from dentlib.errors import AccessDenied, BudgetExceeded, DestinationError, InDoubt, Unreachable
from dentlib.loading import switches_off
from dentlib.model import LoadStep, record_id


def outcomes(result: Any, step: str) -> dict[str, int]:
    facts = next(s for s in result.steps if s.step == step)
    assert facts.adds_up
    names = ("created", "updated", "unchanged", "merged", "rejected", "excluded", "failed")
    return {n: v for n in names if (v := getattr(facts, n))}


def test_a_practice_with_trouble_arrives_and_every_row_has_one_outcome(world: Any) -> None:
    """Bad records never cost their batch; children of what is missing are told so; the rest arrives."""
    result = world.load()
    assert outcomes(result, "carriers") == {"created": 5, "failed": 1}
    # patients 5 and 11 belong to the refused carrier 6, patient 13 shares an e-mail
    assert outcomes(result, "patients") == {"created": 10, "failed": 3, "rejected": 1, "excluded": 1, "merged": 1}
    assert outcomes(result, "documents") == {"created": 2, "failed": 2}
    reasons = {(r.step, r.outcome, r.code): r.count for r in result.reasons}
    assert reasons["patients", "failed", "parent_failed"] == 2
    assert reasons["documents", "failed", "file_missing"] == 1
    assert reasons["patients", "rejected", "birth_date"] == 1
    assert len(world.crm.all("person")) == 10


def test_no_patients_value_is_in_a_reason(world: Any) -> None:
    """The destination's words are kept, the values in them are not."""
    prepare(world.con, {"patients": [patient("1", city=f"Springfield {BAD}")]})
    reasons = world.load().reasons
    assert "Invalid value" in reasons[0].reason
    assert "Springfield" not in reasons[0].reason


def test_a_second_run_writes_nothing(world: Any) -> None:
    """What is live with the same content is unchanged; no call is made for it."""
    world.load()
    before, creates = world.crm.dump(), world.destination.creates
    prepare(world.con, {"carriers": [carrier(str(n)) for n in range(1, 6)]})
    result = world.load("run-2")
    assert outcomes(result, "carriers") == {"unchanged": 5}
    assert world.destination.creates == creates
    assert world.crm.dump() == before


def test_the_sample_comes_first_and_the_run_adds_the_rest(world: Any) -> None:
    """A sample writes its rows only; the run counts them as unchanged."""
    prepare(world.con, {"patients": [patient(str(n)) for n in range(1, 9)]})
    sample = world.load("sample-1", "sample", only_sample=True)
    assert outcomes(sample, "patients") == {"created": 3}
    assert outcomes(world.load(), "patients") == {"created": 5, "unchanged": 3}


@pytest.mark.parametrize("fault", ["lost", "never sent", "stall", "rate", "unreachable"])
@pytest.mark.parametrize("at", range(1, 9))
def test_one_fault_changes_nothing(world: Any, tmp_path_factory: pytest.TempPathFactory, fault: str, at: int) -> None:
    """An answer lost, a request lost or late, a refusal for the rate: the same records and the same outcomes."""
    from loading_fakes import World

    calm = World(tmp_path_factory.mktemp("calm"))
    expected = calm.load()
    world.destination.faults[at] = fault
    result = world.load()
    assert result.steps == expected.steps
    assert without_files(world.crm.dump()) == without_files(calm.crm.dump())
    calm.close()


def without_files(dump: dict[str, Any]) -> dict[str, Any]:
    """File ids are the destination's choice; compare everything else."""
    kept = {k: v for k, v in dump.items() if k not in ("file", "record")}
    return kept | {"record": [r[:2] for r in dump["record"]], "files": len(dump["file"])}


def test_a_batch_of_which_only_some_is_there_stops_the_run(world: Any) -> None:
    """In doubt and half there: nobody guesses."""
    world.destination.faults[1] = "lost"
    create = world.destination.create

    def and_lose_one(object_name: str, records: Any, tag: str) -> None:
        try:
            create(object_name, records, tag)
        finally:
            world.crm.remove(object_name, records[0]["id"])

    world.destination.create = and_lose_one
    with pytest.raises(DestinationError, match="1 of 4 records are missing"):
        world.load()


def test_doubt_without_end_stops_and_the_next_run_goes_on(world: Any) -> None:
    """The number of tries is bounded; the same command goes on later."""
    world.destination.faults = dict.fromkeys(range(1, 50), "never sent")
    with pytest.raises(InDoubt):
        world.load()
    world.destination.faults = {}
    world.reopen()
    assert outcomes(world.load(), "carriers") == {"created": 5, "failed": 1}


@pytest.mark.parametrize(("fault", "error"), [("denied", AccessDenied), ("unreachable", Unreachable)])
def test_a_stop_on_the_way_leaves_nothing_switched_off(world: Any, fault: str, error: type[Exception]) -> None:
    """A revoked key or a dead line ends the run; automation is on again; the run goes on afterwards."""
    world.destination.faults = dict.fromkeys(range(2, 50), fault)
    with pytest.raises(error):
        world.load()
    assert switches_off(world.ledger) == []
    assert [s.id for s in world.destination.switches()] == ["trigger"]
    world.destination.faults = {}
    assert outcomes(world.load(), "carriers") == {"created": 5, "failed": 1}


def test_automation_is_off_while_records_are_written(world: Any) -> None:
    """Every create happens while the trigger is off."""
    seen = []
    create = world.destination.create
    world.destination.create = lambda *a: (seen.append(len(world.destination.switches())), create(*a))[1]
    result = world.load()
    assert set(seen) == {0}
    assert result.switched_off == ("Create company when adding a person",)
    assert len(world.destination.switches()) == 1


def test_the_error_budget_stops_the_run_after_the_step(world: Any) -> None:
    """More failures than the map allows: later steps are not begun, and mended rows go through the same run."""
    strict = [LoadStep("carriers", "company", "carriers", "carrier:", error_budget=0.1)]
    from dentlib.loading import load

    with pytest.raises(BudgetExceeded, match="1 of 6") as stop:
        load(world.ledger, world.destination, world.con, strict, run_id="r", kind="run", clock=world.clock)
    assert "steps: {carriers: {error_budget: 0.1}}" in stop.value.hint
    prepare(world.con, {"carriers": [carrier(str(n)) for n in range(1, 7)]})
    mended = load(world.ledger, world.destination, world.con, strict, run_id="r", kind="run", clock=world.clock)
    assert outcomes(mended, "carriers") == {"created": 6}
    assert mended.reasons == ()


def test_a_record_larger_than_a_call_is_not_sent(world: Any) -> None:
    """It fails by itself, with the limit in the reason."""
    prepare(world.con, {"carriers": [carrier("1"), carrier("2", name="x" * 20_000), carrier("3")]})
    result = world.load()
    assert outcomes(result, "carriers") == {"created": 2, "failed": 1}
    assert result.reasons[0].code == "too_large"


def test_batches_fit_the_body_limit(world: Any) -> None:
    """Few large records go in more calls than many small ones."""
    prepare(world.con, {"carriers": [carrier(str(n), name="x" * 3_000) for n in range(1, 9)]})
    world.load()
    assert world.destination.sizes == [2, 2, 2, 2]


def test_a_changed_row_is_updated_and_a_foreign_change_is_left_alone(world: Any) -> None:
    """Three-way: only what the source changed is sent; what someone changed in the CRM stays and is listed."""
    rows = [patient(str(n), city="Ghent") for n in range(1, 4)]
    prepare(world.con, {"patients": rows})
    world.load()
    theirs = record_id("demo", "patients", "2")
    world.crm.put("person", world.crm.get("person", theirs) | {"city": "Bruges"})
    prepare(world.con, {"patients": [patient("1", city="Leuven"), patient("2", city="Leuven"), rows[2]]})
    result = world.load("delta-1", "delta")
    assert outcomes(result, "patients") == {"updated": 1, "unchanged": 2}
    assert world.crm.get("person", record_id("demo", "patients", "1"))["city"] == "Leuven"
    assert world.crm.get("person", theirs)["city"] == "Bruges"
    (conflict,) = result.conflicts
    assert (conflict.field, conflict.base, conflict.meant, conflict.stored) == ("city", "Ghent", "Leuven", "Bruges")


def test_an_update_sends_only_what_the_source_changed(world: Any) -> None:
    """A field that only the CRM's people changed is not even in the request."""
    prepare(world.con, {"patients": [patient("1", city="Ghent")]})
    world.load()
    sent: list[Any] = []
    update = world.destination.update_batch
    world.destination.update_batch = lambda o, c, t: (sent.extend(f for _, f in c), update(o, c, t))[1]
    prepare(world.con, {"patients": [patient("1")]})  # the source no longer knows the city
    world.load("delta-1", "delta")
    assert sent == [{"city": None}]


def test_a_record_destroyed_by_someone_is_not_made_again(world: Any) -> None:
    """Their decision stands; the row fails with the reason."""
    prepare(world.con, {"patients": [patient("1", city="Ghent")]})
    world.load()
    world.crm.remove("person", record_id("demo", "patients", "1"))
    prepare(world.con, {"patients": [patient("1", city="Leuven")]})
    result = world.load("delta-1", "delta")
    assert outcomes(result, "patients") == {"failed": 1}
    assert result.reasons[0].code == "gone"


def test_a_ledger_that_was_lost_is_made_up_for(world: Any) -> None:
    """Records under our ids and as we send them are found, not doubled and not refused."""
    world.load()
    before = world.crm.dump()
    world.ledger.close()
    for name in ("ledger.sqlite", "ledger.sqlite.head", "ledger.sqlite-wal", "ledger.sqlite-shm"):
        (world.folder / name).unlink(missing_ok=True)
    world._ledger = None
    prepare(world.con, {"carriers": [carrier(str(n)) for n in range(1, 6)]})
    assert outcomes(world.load(), "carriers") == {"created": 5}
    assert world.crm.dump()["record"] == before["record"]


def test_a_file_is_sent_once(world: Any) -> None:
    """A run that stops after the upload does not upload again."""
    scan = world.folder / "scan.pdf"
    rows = [row_of("documents", str(n), {"name": "scan"}, file_path=str(scan)) for n in range(3)]
    prepare(world.con, {"documents": rows})
    world.destination.faults[1] = "denied"
    with pytest.raises(AccessDenied):
        world.load()
    assert world.destination.uploads == 3
    result = world.load()
    assert outcomes(result, "documents") == {"created": 3}
    assert world.destination.uploads == 3
    assert world.destination.download("attachment", record_id("demo", "documents", "1"), "file") == scan.read_bytes()
