"""Bugs planted on purpose: laws that do not see them prove nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from planted import CONTROLS
from running import found_by


@pytest.mark.law
@pytest.mark.parametrize("control", CONTROLS)
def test_a_planted_bug_is_seen(control: str) -> None:
    """Each is caught by some of the points."""
    found = found_by("points.py", "--control", control, "--every", "23", "--start", "11")
    assert found["bad"]
