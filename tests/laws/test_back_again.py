"""Law: run and rollback is before, table by table, schema included; running again afterwards works."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from back import STANDS_FOR, Site
from running import VERSIONS

from dentlib.loading import preview, rollback

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
