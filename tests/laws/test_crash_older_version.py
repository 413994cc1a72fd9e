"""Crash anywhere while loading into the older version of the destination, resume: as if it had never crashed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from running import found_by


@pytest.mark.law
def test_every_third_point_of_a_load() -> None:
    """The same points as on the newer version, every third one."""
    found = found_by("points.py", "--version", "1.17", "--every", "3")
    assert found["points"] >= 130
    assert found["bad"] == []
