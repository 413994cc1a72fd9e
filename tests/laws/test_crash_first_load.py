"""Crash anywhere in a first load of the real destination, resume: as if it had never crashed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from running import every, found_by


def test_some_points_of_a_load() -> None:
    """Every 101st effect: enough to notice a broken resume within seconds."""
    found = found_by("points.py", "--every", "101", "--start", "40")
    assert found["points"] >= 4
    assert found["bad"] == []


@pytest.mark.law
def test_points_of_a_load() -> None:
    """Around requests, commits of the ledger, copies of it: schema, sample, files, matched records, run."""
    found = found_by("points.py", *every(4))
    assert found["points"] >= 110
    assert found["bad"] == []
