"""Killed while it carries decisions out, and started again: each decision is carried out once. By fork and SIGKILL."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).with_name("decide_points.py")


def points(*options: str) -> dict[str, Any]:
    """Run the program of crash points and return what it found."""
    done = subprocess.run([sys.executable, str(PROGRAM), *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_some_points_of_decide() -> None:
    """Every fifth effect: intent, request, outcome, decision, switch."""
    found = points("--every", "5")
    assert found["bad"] == []
    assert found["counts"] == {"theirs": 1, "ours": 2, "keep": 1, "mark": 1, "delete": 1}


@pytest.mark.law
def test_every_point_of_decide() -> None:
    """Before and after each effect there is."""
    found = points()
    assert found["points"] >= 25
    assert found["bad"] == []


@pytest.mark.law
def test_a_planted_bug_is_seen() -> None:
    """Decisions recorded before they are carried out must turn this red, or it proves nothing."""
    assert points("--control", "noted-first")["bad"]
