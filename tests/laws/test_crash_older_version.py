"""Crash anywhere while loading into the older version of the destination, resume: as if it had never crashed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from running import every, found_by


@pytest.mark.law
def test_points_of_a_load() -> None:
    """The same kinds of points as on the newer version, fewer of them."""
    found = found_by("points.py", "--version", "1.17", "--start", "1", *every(7))
    assert found["points"] >= 60
    assert found["bad"] == []
