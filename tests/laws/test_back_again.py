"""Law: run and rollback is before, table by table, schema included; running again afterwards works."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from back import STANDS_FOR, Site
from running import VERSIONS

from dentlib.destinations.twenty import TwentyDestination
from dentlib.loading import preview, rollback
from dentlib.loading.restoring import Restorer
from dentlib.model import JSON

pytestmark = pytest.mark.law


@pytest.fixture(params=[(v, full) for v in VERSIONS for full in (False, True)], ids=lambda p: f"{p[0]}-{p[1]}")
def site(request: Any, tmp_path: Path) -> Iterator[Site]:
    version, full = request.param
    made = Site(tmp_path, version, full=full)
    yield made
    made.close()


def test_a_run_and_three_deltas_and_back(site: Site) -> None:
    """Everything as before; the preview said the same; a second rollback does nothing; and once more from the start."""
    before = site.stored()
    with site.ledger() as ledger:
        for turn in (1, 2):
            site.forward(ledger)
            for round_ in (1, 2, 3) if turn == 1 else ():
                site.delta(ledger, round_)
            told = preview(ledger, site.twenty, clock=site.clock)
            facts = rollback(ledger, site.twenty, clock=site.clock)
            assert facts.differences == ()
            assert (facts.kept_why, facts.schema_kept) == ((), ())
            assert site.left_over(before) == {}
            assert facts.destroyed == told.destroyed
            assert facts.schema_removed == told.schema_removed
            assert sum(n for _, n in facts.restored) == (len(STANDS_FOR) if site.full else 0)
            seen = ledger.head
            assert rollback(ledger, site.twenty, clock=site.clock).nothing
            assert ledger.head == seen


class Stop(BaseException):
    """What stops a load or a rollback at one of its effects."""


def stop_at(number: int) -> Callable[[str], None]:
    """Return a hook that stops at the n-th effect."""
    left = iter(range(number - 1, -1, -1))

    def hook(name: str) -> None:
        if next(left, -1) == 0:
            raise Stop(name)

    return hook


def test_a_stopped_run_and_a_stopped_rollback_and_back(site: Site) -> None:
    """Wherever the run ended, and however often the rollback was stopped on its way: as before."""
    before = site.stored()
    for run_stops, back_stops in ((4, (2, 6, 9)), (21, (11, 3, 17)), (48, (5, 30, 45))):
        with site.ledger() as ledger, suppress(Stop):
            site.forward(ledger, hook=stop_at(run_stops))
        for number in back_stops:
            with site.ledger() as ledger, suppress(Stop):
                rollback(ledger, site.twenty, clock=site.clock, hook=stop_at(number))
        with site.ledger() as ledger:
            facts = rollback(ledger, site.twenty, clock=site.clock)
            assert (facts.differences, facts.kept_why) == ((), ())
            assert site.left_over(before) == {}


def forgets_a_field(monkeypatch: pytest.MonkeyPatch) -> None:
    """A restore that leaves one field as we wrote it."""
    whole = Restorer._way_back

    def without(self: Restorer, *given: Any) -> Any:
        back, theirs = whole(self, *given)
        return {n: v for n, v in back.items() if n != "jobTitle"}, theirs

    monkeypatch.setattr(Restorer, "_way_back", without)


def forgets_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A restore that leaves the time of the last change as the restore made it."""
    whole = Restorer._way_back

    def without(self: Restorer, *given: Any) -> Any:
        back, theirs = whole(self, *given)
        return {n: v for n, v in back.items() if n != "updatedAt"}, theirs

    monkeypatch.setattr(Restorer, "_way_back", without)


def puts_into_the_bin(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rollback that soft-deletes."""

    def binned(self: TwentyDestination, object_name: str, ids: Sequence[str], tag: str) -> None:
        for number, rid in enumerate(ids):
            self.update(object_name, rid, {"deletedAt": "2026-01-01T00:00:00.000Z"}, f"{tag}_{number}")

    monkeypatch.setattr(TwentyDestination, "destroy", binned)


def leaves_the_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rollback that says it removed an object and didn't."""
    whole = TwentyDestination.undo

    def undo(self: TwentyDestination, recipe: JSON) -> None:
        if recipe["kind"] != "options":
            whole(self, recipe)

    monkeypatch.setattr(TwentyDestination, "undo", undo)


def leaves_the_timeline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rollback that forgets what the destination wrote by itself."""
    monkeypatch.setattr(TwentyDestination, "destroy_side_effects", lambda *_, **__: 0)


BUGS = (forgets_a_field, forgets_the_time, puts_into_the_bin, leaves_the_schema, leaves_the_timeline)


@pytest.mark.parametrize("bug", BUGS, ids=lambda b: b.__name__)
def test_a_planted_bug_shows(bug: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the tables, and on the page as a difference by name: the proof can fail."""
    monkeypatch.setattr("back.PEOPLE", 5)
    site = Site(tmp_path, "2.21", full=True)
    before = site.stored()
    with site.ledger() as ledger:
        site.forward(ledger)
        bug(monkeypatch)
        facts = rollback(ledger, site.twenty, clock=site.clock)
    assert facts.differences
    assert site.left_over(before)
    site.close()
