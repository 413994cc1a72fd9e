"""Bugs planted on purpose: laws that do not see them prove nothing. (A quick one is in tests/loading/test_crash.py.)"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from planted import CONTROLS, SCENARIO
from running import found_by


@pytest.mark.law
@pytest.mark.parametrize("control", CONTROLS)
def test_a_planted_bug_is_seen(control: str) -> None:
    """Each is caught by some of the points."""
    where = SCENARIO.get(control, "load")
    every = "31" if where == "load" else "61"
    assert found_by("points.py", "--scenario", where, "--control", control, "--every", every, "--start", "11")["bad"]


@pytest.mark.law
@pytest.mark.parametrize("control", ["assume-written", "only-resend"])
def test_a_planted_bug_is_seen_by_spoilt_answers(control: str) -> None:
    """What a loader believes of a lost answer shows without any crash."""
    options = ("--kind", "lost,reset,stall", "--every", "12", "--control", control)
    assert found_by("answers.py", *options)["bad"]
