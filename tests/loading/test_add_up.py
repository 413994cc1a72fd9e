"""The law that outcomes add up: every row read has exactly one, in every run, retry and delta."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loading_fakes import BAD, STEPS, World, carrier, patient, prepare

from dentlib.errors import DentlibError
from dentlib.facts import StepFacts
from dentlib.loading.outcomes import outcomes_of
from dentlib.loading.stepping import StepLoad

CARRIERS = st.dictionaries(st.sampled_from("12"), st.sampled_from(["good", "other", "bad"]))
TROUBLES = st.sampled_from(["good", "moved", "bad", "nul", "shared", "orphan", "rejected", "excluded"])
PATIENTS = st.dictionaries(st.sampled_from("123456"), TROUBLES)
ROUNDS = st.lists(st.tuples(st.sampled_from(["run", "retry", "delta"]), CARRIERS, PATIENTS), min_size=1, max_size=4)
Round = tuple[str, dict[str, str], dict[str, str]]


def exported(world: Any, carriers: dict[str, str], patients: dict[str, str]) -> None:
    """Prepare one round of the practice, as bad as it is said to be."""
    rows: dict[str, list[Any]] = {"carriers": [], "patients": []}
    aside = []
    for key, how in sorted(carriers.items()):
        rows["carriers"].append(carrier(key, createdAt={"good": "2020", "other": "2021", "bad": BAD}[how]))
    more: dict[str, dict[str, Any]] = {
        "good": {},
        "moved": {"city": "Leuven"},
        "bad": {"city": BAD},
        "nul": {"city": "a\x00b"},
        "shared": {"emails": {"primaryEmail": "desk@example.com"}},
        "orphan": {},
    }
    for key, how in sorted(patients.items()):
        if how in more:
            rows["patients"].append(patient(key, "2" if how == "orphan" else None, **more[how]))
        else:
            aside.append(("patients", "patients", key, "patients.csv", int(key), how, "code", "a reason"))
    prepare(world.con, rows, aside)


def assert_adds_up(world: Any, result: Any, read: dict[str, int]) -> None:
    """What is told, what the ledger knows and what is in the CRM are one and the same partition of the rows."""
    for facts in result.steps:
        assert facts.adds_up
        assert facts.read == read[facts.step]
        trouble = world.ledger.trouble(result.run_id, facts.step)
        keys = {k for (k,) in world.con.execute(f"SELECT source_key FROM prepared.{facts.step}").fetchall()}
        assert set(trouble) <= keys, "only rows that are there have failed"
        assert facts.failed == len(trouble)
        live = {c.source_key for c in world.ledger.records(facts.step)}
        assert keys - set(trouble) <= live
        assert facts.created + facts.updated + facts.unchanged == len(keys - set(trouble))
        named = sum(r.count for r in result.reasons if r.step == facts.step)
        assert named == facts.merged + facts.rejected + facts.excluded + facts.failed
        assert {r["id"] for r in world.crm.all(facts.object)} >= {c.record_id for c in world.ledger.records(facts.step)}
    told, reasons = outcomes_of(world.ledger, result.run_id)
    assert told == result.steps
    assert sorted(map(repr, reasons)) == sorted(map(repr, result.reasons))


def rounds_add_up(folder: Path, rounds: list[Round]) -> None:
    """Load round after round; a retry takes up the run before it."""
    world = World(folder)
    try:
        run = "run-0"
        for number, (kind, carriers, patients) in enumerate(rounds):
            exported(world, carriers, patients)
            if kind != "retry":
                run = f"{kind}-{number}"
            result = world.load(run, "delta" if kind == "delta" else "run", retry_failed=kind == "retry")
            assert_adds_up(world, result, {"carriers": len(carriers), "patients": len(patients), "documents": 0})
            world.reopen()
    finally:
        world.close()


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ROUNDS)
def test_outcomes_are_a_partition(rounds: list[Round]) -> None:
    """Any sequence of runs, retries and deltas over rows as bad as they come."""
    with tempfile.TemporaryDirectory() as folder:
        rounds_add_up(Path(folder), rounds)


@pytest.mark.law
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ROUNDS)
def test_outcomes_are_a_partition_at_length(rounds: list[Round]) -> None:
    """The same, many times."""
    with tempfile.TemporaryDirectory() as folder:
        rounds_add_up(Path(folder), rounds)


def test_a_row_without_an_outcome_stops_the_run(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check can fail: a loader that forgets rows is told so, and its run does not end."""
    monkeypatch.setattr(StepLoad, "_count_failed", lambda self, failed, record=True: None)
    with pytest.raises(DentlibError, match="do not add up"):
        world.load()
    assert world.ledger.last("kind = 'run_end'") is None


def test_a_retry_writes_what_was_mended_and_nothing_else(world: Any) -> None:
    """Same run id; what was written stays untouched, what is mended is written, what is still bad says so."""
    exported(world, {"1": "good", "2": "bad"}, {"1": "good", "2": "bad", "3": "nul", "4": "orphan"})
    first = world.load("run-1")
    before = {r["id"]: r for r in world.crm.all("person")}
    assert [(s.created, s.failed) for s in first.steps[:2]] == [(1, 1), (1, 3)]
    exported(world, {"1": "good", "2": "good"}, {"1": "good", "2": "moved", "3": "nul", "4": "orphan"})
    world.destination.sizes.clear()
    again = world.load("run-1", retry_failed=True)
    assert [(s.created, s.failed) for s in again.steps[:2]] == [(2, 0), (3, 1)]
    assert world.destination.sizes == [1, 2]
    assert {r["id"]: r for r in world.crm.all("person")} | before == {r["id"]: r for r in world.crm.all("person")}
    assert [r.code for r in again.reasons] == ["unfit_text"]
    assert StepFacts.adds_up.fget is not None
    assert [s.name for s in STEPS] == [s.step for s in again.steps]
