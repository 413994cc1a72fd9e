"""Crash anywhere in a later round, while deciding, on the way back, at any time at all: as if it had never crashed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from running import VERSIONS, every, found_by

SCENARIOS = {"delta": (2, 4), "decide": (2, 4), "back": (5, 8)}
"""Scenario → every how manieth point on the newer and on the older version."""


@pytest.mark.law
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_points(scenario: str, version: str) -> None:
    """A later round, decisions about it, and the way back, which ends where it all began."""
    thinned = every(SCENARIOS[scenario][VERSIONS.index(version)])
    found = found_by("points.py", "--scenario", scenario, "--version", version, *thinned)
    assert found["points"] >= 15
    assert found["bad"] == []


@pytest.mark.law
@pytest.mark.parametrize("version", VERSIONS)
def test_at_random_times(version: str) -> None:
    """A parent kills at a random moment, twenty times on each version: no list of points can leave one out."""
    found = found_by("points.py", "--version", version, "--random", "20", "--seed", "11")
    assert found["points"] == 20
    assert found["bad"] == []
