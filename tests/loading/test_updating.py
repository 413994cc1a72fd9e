"""Tests of updates in batches, and of what is not sent because it is known to be refused."""

from __future__ import annotations

from typing import Any

import pytest
from loading_fakes import BAD, STEPS, carrier, patient, prepare

from dentlib.loading import rollback
from dentlib.loading.rows import stream
from dentlib.model import record_id


def outcomes(result: Any, step: str = "patients") -> dict[str, int]:
    facts = next(s for s in result.steps if s.step == step)
    assert facts.adds_up
    names = ("created", "updated", "unchanged", "merged", "rejected", "excluded", "failed", "matched")
    return {n: v for n in names if (v := getattr(facts, n))}


def cities(world: Any) -> list[str]:
    return [p.get("city") for p in world.crm.all("person")]


def changed(world: Any, rows: int = 10, **options: Any) -> Any:
    """Load patients who live in Ghent, move them all to Leuven, and load again."""
    prepare(world.con, {"patients": [patient(str(n), city="Ghent") for n in range(rows)]})
    world.load()
    prepare(world.con, {"patients": [patient(str(n), city="Leuven") for n in range(rows)]})
    return world.load("delta-1", "delta", **options)


def test_updates_go_a_batch_at_a_time(world: Any) -> None:
    """Ten changes in batches of four: three calls, counted as three."""
    result = changed(world)
    assert world.destination.update_sizes == [4, 4, 2]
    assert world.destination.single_updates == 0
    assert outcomes(result) == {"updated": 10}
    assert result.calls == 3
    assert set(cities(world)) == {"Leuven"}


def test_few_changes_among_many_rows_are_gathered(world: Any) -> None:
    """One changed row in each chunk that is read costs no call of its own."""
    rows = [patient(str(n), city="Ghent") for n in range(700)]
    world.destination.batch_rows = 200
    prepare(world.con, {"patients": rows})
    world.load()
    world.destination.reads = 0
    prepare(world.con, {"patients": [patient(str(n), city="Ghent" if n % 100 else "Leuven") for n in range(700)]})
    assert outcomes(world.load("delta-1", "delta")) == {"updated": 7, "unchanged": 693}
    assert world.destination.update_sizes == [7]
    assert world.destination.reads == 1


@pytest.mark.parametrize("fault", ["lost", "never sent", "half", "half refused", "rate"])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_fault_among_updates_changes_nothing(world: Any, fault: str, at: int) -> None:
    """An answer lost, half a batch written, a refusal for nothing: every change is made, once, and told once."""
    world.destination.update_faults[at] = fault
    result = changed(world)
    assert outcomes(result) == {"updated": 10}
    assert set(cities(world)) == {"Leuven"}


def test_one_bad_change_costs_nobody_else(world: Any) -> None:
    """A refused batch is read back and halved until the bad change stands alone."""
    rows = [patient(str(n), city="Ghent") for n in range(8)]
    prepare(world.con, {"patients": rows})
    world.load()
    moved = [patient(str(n), city="Leuven" if n != 3 else f"{BAD} Leuven") for n in range(8)]
    prepare(world.con, {"patients": moved})
    result = world.load("delta-1", "delta")
    assert outcomes(result) == {"updated": 7, "failed": 1}
    assert "Leuven" not in result.reasons[0].reason
    assert sorted(cities(world)) == ["Ghent", *["Leuven"] * 7]


def test_a_field_changed_while_a_batch_was_in_doubt_stays(world: Any) -> None:
    """What someone changed between our read and the second try is theirs, and is listed."""
    world.destination.update_faults[1] = "never sent"
    send = world.destination.update_batch
    theirs = record_id("demo", "patients", "1")

    def meanwhile(*call: Any) -> None:
        if len(world.destination.update_sizes) == 0:
            world.crm.put("person", world.crm.get("person", theirs) | {"city": "Bruges"})
        send(*call)

    world.destination.update_batch = meanwhile
    result = changed(world)
    assert world.crm.get("person", theirs)["city"] == "Bruges"
    assert [(c.field, c.base, c.meant, c.stored) for c in result.conflicts] == [("city", "Ghent", "Leuven", "Bruges")]
    assert sorted(set(cities(world))) == ["Bruges", "Leuven"]


def test_unique_fields_go_one_by_one(world: Any) -> None:
    """An e-mail is never changed in a batch, where it could find another record."""
    prepare(world.con, {"patients": [patient(str(n), city="Ghent") for n in range(4)]})
    world.load()
    new = {"primaryEmail": "new@example.com"}
    rows = [patient("0", city="Leuven", emails=new), *(patient(str(n), city="Leuven") for n in range(1, 4))]
    prepare(world.con, {"patients": rows})
    result = world.load("delta-1", "delta")
    assert outcomes(result) == {"updated": 4}
    assert (world.destination.update_sizes, world.destination.single_updates, result.calls) == ([3], 1, 2)


def test_an_address_that_moves_from_one_record_to_another_arrives(world: Any) -> None:
    """Whoever comes first in load order: the one who gives it up goes before the one who takes it."""
    shared = {"primaryEmail": "desk@example.com"}
    prepare(world.con, {"patients": [patient("1"), patient("2", emails=shared)]})
    world.load()
    prepare(world.con, {"patients": [patient("0", emails=shared), patient("1"), patient("2")]})
    assert outcomes(world.load("delta-1", "delta")) == {"created": 1, "updated": 1, "unchanged": 1}
    prepare(world.con, {"patients": [patient("0"), patient("1", emails=shared), patient("2")]})
    result = world.load("delta-2", "delta")
    assert outcomes(result) == {"updated": 2, "unchanged": 1}
    assert result.reasons == ()
    holder = world.destination.find("person", "emails.primaryEmail", ["desk@example.com"])
    assert [h["id"] for h in holder] == [record_id("demo", "patients", "1")]


def test_a_record_that_went_away_does_not_count_against_the_budget(world: Any) -> None:
    """Nor what belongs to it: someone took it away there, and a person decides."""
    prepare(world.con, {"carriers": [carrier("1", createdAt="2020")], "patients": []})
    world.load()
    world.crm.remove("company", record_id("demo", "carriers", "1"))
    prepare(world.con, {"carriers": [carrier("1", createdAt="2021")], "patients": [patient("1", "1")]})
    from dentlib.loading import load
    from dentlib.model import LoadStep

    strict = [
        LoadStep("carriers", "company", "carriers", "carrier:", error_budget=0.0),
        LoadStep("patients", "person", "patients", "patient:", error_budget=0.0),
    ]
    result = load(world.ledger, world.destination, world.con, strict, run_id="d", kind="delta", clock=world.clock)
    assert [(r.step, r.code) for r in result.reasons] == [("carriers", "gone"), ("patients", "parent_failed")]


# ---- before anything is sent ---------------------------------------------------------------------------------------


def test_what_is_known_to_be_refused_is_not_sent(world: Any) -> None:
    """A NUL character and a value that stands twice cost no call and no batch."""
    twice = {"primaryEmail": "ANA.1@example.com"}
    rows = [patient("1"), patient("2", city="a\x00b"), patient("3", emails=twice), patient("4")]
    prepare(world.con, {"patients": rows})
    result = world.load()
    assert outcomes(result) == {"created": 2, "failed": 2}
    assert world.destination.sizes == [2]
    words = {r.code: r.reason for r in result.reasons}
    assert "NUL" in words["unfit_text"]
    assert words["not_unique"] == (
        "its emails.primaryEmail belongs to row 1 of patients, which comes first; it must be unique"
    )


@pytest.mark.parametrize("binned", [False, True])
def test_a_value_that_a_record_of_the_workspace_holds_is_named_before_sending(world: Any, binned: bool) -> None:
    """Live or in the bin: the row fails with the record in the way, and its batch arrives in one call."""
    theirs: dict[str, Any] = {"id": "them", "emails": {"primaryEmail": "ana.2@example.com"}}
    world.crm.insert("person", [theirs])
    if binned:
        world.crm.put("person", theirs | {"deletedAt": "2026-01-01T00:00:00.000Z"})
    prepare(world.con, {"patients": [patient(str(n)) for n in range(1, 5)]})
    result = world.load()
    assert outcomes(result) == {"created": 3, "failed": 1}
    assert world.destination.sizes == [3]
    where = "a record in the destination's bin" if binned else "a record of the destination"
    assert result.reasons[0].reason == f"its emails.primaryEmail belongs to {where}, them"


def test_in_a_large_workspace_the_refusal_finds_who_is_in_the_way(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where reading everything would cost too much: one refused call, one question, and the rest in one call."""
    monkeypatch.setattr("dentlib.loading.clashes.PAGES_AT_MOST", 0)
    world.crm.insert("person", [{"id": "them", "emails": {"primaryEmail": "ana.2@example.com"}}])
    prepare(world.con, {"patients": [patient(str(n)) for n in range(1, 5)]})
    result = world.load()
    assert outcomes(result) == {"created": 3, "failed": 1}
    assert (world.destination.sizes, world.destination.finds) == ([4, 3], 1)
    assert "A duplicate entry was detected; its emails.primaryEmail belongs to" in result.reasons[0].reason


def test_a_workspace_with_nothing_of_its_own_is_not_asked(world: Any) -> None:
    """No record of others: no reading, no question."""
    prepare(world.con, {"patients": [patient(str(n)) for n in range(1, 9)]})
    world.load()
    assert world.destination.finds == 0


def test_what_is_printed_of_a_row_or_a_conflict_names_nobody(world: Any) -> None:
    """Rows and results may end up in an error's trace: no value of a patient does."""
    changed(world)
    key = record_id("demo", "patients", "3")
    world.crm.put("person", world.crm.get("person", key) | {"city": "Namur"})
    prepare(world.con, {"patients": [patient(str(n), city="Mons") for n in range(10)]})
    result = world.load("delta-2", "delta")
    assert len(result.conflicts) == 1
    (row, *_), *_ = stream(world.con, STEPS[1], only_sample=False)
    assert "Mons" in row.text
    assert not {w for w in ("Leuven", "Mons", "Namur", "Neil") if w in f"{result} {row}"}


# ---- back again ----------------------------------------------------------------------------------------------------


def test_batches_of_updates_go_back(world: Any) -> None:
    """Pre-images are in the ledger before anything is sent; a rollback leaves nothing behind."""
    before = world.crm.dump()
    changed(world)
    assert rollback(world.ledger, world.destination, clock=world.clock).differences == ()
    assert world.crm.dump()["record"] == before["record"]
