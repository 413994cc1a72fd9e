"""Tests of the package where rows stand for records of the workspace's own: neither written over nor taken for ours."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
from loading_fakes import STEPS, patient, prepare

from dentlib.loading import load, match, remembered, rollback
from dentlib.loading.package import take_up, write_package
from dentlib.loading.patience import Patience
from dentlib.loading.snapshot import ensure_baseline
from dentlib.model import JSON, LoadStep, MatchRules

BY = (("name.lastName", "name.firstName"),)
RULED = replace(STEPS[1], match=MatchRules(BY, "update_empty", "create"))


@dataclass
class Form:
    """An importer's form that takes everything."""

    left: dict[str, str] = field(default_factory=dict)
    titles: list[str] = field(default_factory=lambda: ["id"])
    max_rows: int = 100
    opens: str = "People"

    def cells(self, record: JSON) -> list[str]:
        return [record["id"]]

    def carried(self, record: JSON) -> JSON:
        return record


def prepared(world: Any, keys: tuple[str, ...], theirs: dict[str, str]) -> None:
    """Prepare patients, those in `theirs` under the ids of the records that they stand for."""
    rows = [patient(key) for key in keys]
    for row in rows:
        if rid := theirs.get(row["source_key"]):
            row |= {"payload": row["payload"].replace(row["record_id"], rid), "record_id": rid}
    prepare(world.con, {"patients": rows})


def matched(world: Any, steps: list[LoadStep]) -> Any:
    return match(world.con, world.ledger, world.destination, steps, patience=Patience(world.clock))


def test_their_records_are_neither_written_over_nor_taken_for_ours(world: Any, tmp_path: Path) -> None:
    """They go in no file, are said to wait for the run, and a rollback leaves them where they are."""
    world.crm.insert("person", [{"id": "them-1", "name": {"firstName": "Ana", "lastName": "O'Neil 1"}}])
    before = world.crm.dump()["record"]
    ensure_baseline(world.ledger, world.destination, patience=Patience(world.clock))
    prepared(world, ("1", "2"), {})
    found = matched(world, [RULED])
    prepared(world, ("1", "2"), found.matched["patients"])
    package = write_package(world.con, [RULED], lambda *_: Form(), tmp_path / "package")
    assert [(f.step, f.rows) for f in package.files] == [("patients", 1)]
    assert [(step, rows) for step, _, rows, _ in package.steps_left] == [("patients", 1)]
    world.crm.insert("person", [_record("2")])
    (facts,) = take_up(
        world.ledger, world.destination, world.con, [RULED], lambda *_: Form(), run_id="imported-1", clock=world.clock
    )
    assert (facts.created, facts.failed, facts.adds_up) == (1, 1, True)
    assert rollback(world.ledger, world.destination, clock=world.clock).differences == ()
    assert world.crm.dump()["record"] == before


def _record(key: str) -> JSON:
    record: JSON = orjson.loads(patient(key)["payload"])
    return record


def test_records_taken_up_before_go_in_no_file_either(world: Any, tmp_path: Path) -> None:
    """A file written after a run would put the export's values over theirs as well."""
    world.crm.insert("person", [{"id": "them-1", "name": {"firstName": "Ana", "lastName": "O'Neil 1"}}])
    prepared(world, ("1", "2"), {})
    found = matched(world, [RULED])
    prepared(world, ("1", "2"), found.matched["patients"])
    load(world.ledger, world.destination, world.con, [RULED], run_id="run-1", kind="run", clock=world.clock)
    matched(world, [RULED])
    known = remembered(world.ledger, ["patients"])
    package = write_package(world.con, [RULED], lambda *_: Form(), tmp_path / "package", remembered=known)
    assert [f.rows for f in package.files] == [1]


def test_what_was_taken_up_is_remembered_without_a_rule(world: Any) -> None:
    """The rule was taken out of the map after a run: its rows go on standing for the same records."""
    world.crm.insert("person", [{"id": "them-1", "name": {"firstName": "Ana", "lastName": "O'Neil 1"}}])
    prepared(world, ("1", "2"), {})
    found = matched(world, [RULED])
    prepared(world, ("1", "2"), found.matched["patients"])
    load(world.ledger, world.destination, world.con, [RULED], run_id="run-1", kind="run", clock=world.clock)
    assert matched(world, [STEPS[1]]).matched == {"patients": {"1": "them-1"}}


def test_a_row_whose_answer_was_lost_is_not_matched_with_another(world: Any) -> None:
    """Its record is there under our id, unheard of; somebody has made the same person by hand meanwhile."""
    world.crm.insert("person", [_record("1"), {"id": "them-1", "name": {"firstName": "Ana", "lastName": "O'Neil 1"}}])
    prepared(world, ("1",), {})
    found = matched(world, [RULED])
    assert (found.fresh, found.ambiguous) == (0, {})
