"""Answers lost, doubled, cut, refused, late; each at many calls, alone and with a crash: nothing twice or lost."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from running import VERSIONS, every, found_by

KINDS = "lost,reset,half,twice,limit,429,500,502,stall"


@pytest.mark.law
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("crash", [(), ("--crash",)], ids=["alone", "and a crash"])
def test_a_spoilt_answer_changes_nothing(version: str, crash: tuple[str, ...]) -> None:
    """Each kind at every 32nd call, the kinds at different ones."""
    start = "6" if crash else "0"
    found = found_by("answers.py", "--kind", KINDS, *every(32), "--start", start, "--version", version, *crash)
    assert found["points"] >= 30
    assert found["bad"] == []
