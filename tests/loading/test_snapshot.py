"""Tests of the picture of a workspace: how closely it looks, what differs, and what quiet sees and records."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from loading_fakes import World

from dentlib.errors import DestinationError
from dentlib.loading import Patience, switch_history
from dentlib.loading.quiet import quiet
from dentlib.loading.snapshot import closeness, differences, snapshot
from dentlib.model import Capabilities

CAPS = Capabilities(200, 100, True, True, 10_000, 1.0, True, "target")
UNLIMITED = replace(CAPS, calls_per_minute=None)


@pytest.mark.parametrize(
    ("counts", "caps", "expected"),
    [
        ({"a": 0, "b": 10, "c": 190_000}, CAPS, {"a": "values", "b": "values", "c": "values"}),
        ({"b": 10, "c": 210_000}, CAPS, {"b": "values", "c": "times"}),
        ({"b": 150_000, "c": 150_000}, CAPS, {"b": "values", "c": "times"}),
        ({"b": 10, "c": 1_000_000}, CAPS, {"b": "values", "c": "times"}),
        ({"b": 10, "c": 1_000_000, "d": 2_000_000}, CAPS, {"b": "values", "c": "times", "d": "counted"}),
        ({"b": 10, "c": 1_900_000}, UNLIMITED, {"b": "values", "c": "values"}),
    ],
)
def test_what_the_rate_allows_is_read_in_full(counts: dict[str, int], caps: Any, expected: dict[str, str]) -> None:
    """Four minutes at the rate: the smallest objects with every value, then times, then the number."""
    assert closeness(counts, caps) == expected


def pictures(world: World, *, before: Any, after: Any, per_minute: int | None = None) -> list[str]:
    """Take two pictures around something, and return what differs."""
    patience = Patience(world.clock)
    before(world)
    one = snapshot(world.destination, world.folder / "one.gz", patience=patience)
    after(world)
    two = snapshot(world.destination, world.folder / "two.gz", patience=patience, like=one)
    return [str(d) for d in differences(one, two)]


def put(object_name: str, rid: str, **fields: Any) -> Any:
    """Return a step that puts a record there."""
    return lambda world: world.crm.put(object_name, {"id": rid, **fields})


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (put("company", "1", name="A"), put("company", "1", name="A", city=""), []),
        (put("company", "1", name="A"), put("company", "1", name="B"), ["company 1: was changed"]),
        (put("company", "1", name="A"), put("company", "2", name="A"), ["company 2: is new"]),
        (put("company", "1", deletedAt="x"), put("company", "1"), ["company 1: was changed"]),
        (put("company", "1"), lambda w: w.crm.remove("company", "1"), ["company 1: is gone"]),
        (
            put("company", "1"),
            lambda w: w.crm.db.execute("INSERT INTO field VALUES ('company', 'size', 'NUMBER')"),
            ["the data model, company.size: is new"],
        ),
    ],
)
def test_a_difference_is_told_by_name(world: World, before: Any, after: Any, expected: list[str]) -> None:
    """New, gone, changed, binned or restored; an empty field more is none; fields are part of it."""
    assert pictures(world, before=before, after=after) == expected


def test_the_same_workspace_gives_the_same_file(world: World) -> None:
    """Byte for byte, so that a ledger that names its hash can be repeated."""
    put("company", "1", name="A")(world)
    patience = Patience(world.clock)
    one = snapshot(world.destination, world.folder / "one.gz", patience=patience)
    two = snapshot(world.destination, world.folder / "two.gz", patience=patience)
    assert one.path.read_bytes() == two.path.read_bytes()
    assert (one.path.stat().st_mode & 0o777, one.sha256) == (0o600, two.sha256)


def test_a_switch_is_seen_off_and_seen_on(world: World) -> None:
    """The ledger has the times of both, and that both were looked at."""
    with quiet(world.ledger, world.destination, patience=Patience(world.clock), run_id="r"):
        world.clock.sleep(60)
    (line,) = switch_history(world.ledger, "r")
    assert (line.off_seen, line.verified) == (True, True)
    assert line.on_at is not None
    assert line.on_at - line.off_at >= timedelta(minutes=1)
    assert switch_history(world.ledger, "another") == ()


def test_a_switch_that_stays_on_stops_the_load(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Switched off and still on: nothing is written."""
    monkeypatch.setattr(type(world.destination), "switch_off", lambda *_: None)
    with pytest.raises(DestinationError, match="still on"):
        world.load()
    assert world.destination.creates == 0


def test_a_switch_that_comes_back_otherwise_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put on, but not as it was: the ledger doesn't say that it was seen."""
    monkeypatch.setattr(type(world.destination), "switch_on", lambda *_: None)
    with quiet(world.ledger, world.destination, patience=Patience(world.clock), run_id="r"):
        pass
    (line,) = switch_history(world.ledger, "r")
    assert (line.on_at is not None, line.verified) == (True, False)
