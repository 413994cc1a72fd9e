"""Crash anywhere in a later round and on the way back, and at any time at all: as if it had never crashed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from running import VERSIONS, found_by


@pytest.mark.law
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("scenario", ["delta", "back"])
def test_every_point(scenario: str, version: str) -> None:
    """A later round with changes, conflicts and deletions; a rollback, which ends where it all began."""
    every = "1" if version == VERSIONS[0] else "2"
    found = found_by("points.py", "--scenario", scenario, "--version", version, "--every", every)
    assert found["points"] >= 60
    assert found["bad"] == []


@pytest.mark.law
@pytest.mark.parametrize("version", VERSIONS)
def test_at_random_times(version: str) -> None:
    """A parent kills at a random moment, twenty times on each version: no list of points can leave one out."""
    found = found_by("points.py", "--version", version, "--random", "20", "--seed", "11")
    assert found["points"] == 20
    assert found["bad"] == []
