"""Crash anywhere + resume = never crashed; run (crashed, too) + rollback = before. By fork and SIGKILL."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).with_name("crash_points.py")
CONTROLS = ("outcome-first", "assume-written", "only-resend")


def points(*options: str) -> dict[str, Any]:
    """Run the program of crash points and return what it found."""
    done = subprocess.run([sys.executable, str(PROGRAM), *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("scenario", ["load", "back"])
def test_some_crash_points(scenario: str) -> None:
    """Every 23rd effect: enough to notice a broken resume within seconds."""
    found = points("--scenario", scenario, "--every", "23", "--start", "5")
    assert found["points"] >= 7
    assert found["bad"] == []


@pytest.mark.law
@pytest.mark.parametrize("scenario", ["load", "back"])
def test_every_crash_point(scenario: str) -> None:
    """Before and after each request, each commit of the ledger, each file, each switch and schema change."""
    found = points("--scenario", scenario, "--batch-rows", "1")
    assert found["points"] >= 180
    assert found["bad"] == []


@pytest.mark.law
@pytest.mark.parametrize("control", CONTROLS)
def test_planted_bugs_are_seen(control: str) -> None:
    """A loader that trusts too much must turn these tests red, or they prove nothing."""
    assert points("--control", control, "--every", "9")["bad"]


def test_a_planted_bug_is_seen() -> None:
    """The short version of the above: an outcome recorded before its request."""
    assert points("--control", "outcome-first", "--every", "23", "--start", "5")["bad"]
