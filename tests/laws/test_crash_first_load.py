"""Crash anywhere in a first load of the real destination, resume: as if it had never crashed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from running import found_by


def test_some_points_of_a_load() -> None:
    """Every 101st effect: enough to notice a broken resume within seconds."""
    found = found_by("points.py", "--every", "101", "--start", "40")
    assert found["points"] >= 4
    assert found["bad"] == []


@pytest.mark.law
@pytest.mark.parametrize("start", ["0", "1"])
def test_every_point_of_a_load(start: str) -> None:
    """Around each request, each commit of the ledger, each copy of it: schema, sample, files, matched records, run."""
    found = found_by("points.py", "--every", "2", "--start", start)
    assert found["points"] >= 200
    assert found["bad"] == []
