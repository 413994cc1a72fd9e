"""A full disk, a jumping clock, a revoked key: it stops with words that help, and goes on to the same end."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from running import VERSIONS, found_by


def test_a_full_disk_is_told_and_got_over() -> None:
    """At a few sizes of a real limit; as soon as there is room the load goes on."""
    found = found_by("disturbed.py", "--what", "disk", "--every", "14")
    assert found["points"] >= 2
    assert found["said"] == ["DentlibError"]
    assert found["bad"] == []


@pytest.mark.law
def test_a_disk_that_is_full_at_any_size() -> None:
    """The kernel refuses whatever would make a file of the engagement larger than the limit."""
    found = found_by("disturbed.py", "--what", "disk", "--every", "2")
    assert found["points"] >= 15
    assert found["said"] == ["DentlibError"]
    assert found["bad"] == []


@pytest.mark.law
def test_a_file_system_that_is_too_small() -> None:
    """Where one may be mounted."""
    found = found_by("disturbed.py", "--what", "small-disk", "--every", "2")
    if not found["points"]:
        pytest.skip("no file system can be mounted here")
    assert found["said"] == ["DentlibError"]
    assert found["bad"] == []


@pytest.mark.law
@pytest.mark.parametrize("version", VERSIONS)
def test_a_clock_that_jumps(version: str) -> None:
    """A day back, 400 days ahead, right again, at each look; alone and with crashes."""
    found = found_by("disturbed.py", "--what", "clock", "--every", "5", "--version", version)
    assert found["points"] >= 10
    assert found["bad"] == []


@pytest.mark.law
@pytest.mark.parametrize("version", VERSIONS)
def test_a_key_that_is_revoked(version: str) -> None:
    """Before every ninth call; the same command with a new key ends as if nothing had been."""
    found = found_by("disturbed.py", "--what", "key", "--every", "9", "--version", version)
    assert found["points"] >= 10
    assert found["said"] == ["AccessDenied"]
    assert found["bad"] == []
