"""Run the programs of trials from tests and return what they found.

All laws together have to end within fifteen minutes on two cores, so most tests take every second, third, … point. With
DENTLIB_EVERY_POINT in the environment they take each, which needs about an hour.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

VERSIONS = ("2.21", "1.17")


def every(points: int) -> tuple[str, str]:
    """Return the option for every so manieth point, or for each of them."""
    return "--every", "1" if os.environ.get("DENTLIB_EVERY_POINT") else str(points)


def found_by(program: str, *options: str) -> dict[str, Any]:
    """Run a program of this folder with its options; return its JSON."""
    command = [sys.executable, str(Path(__file__).with_name(program)), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout[-1000:]}{done.stderr[-3000:]}"
    found: dict[str, Any] = json.loads(done.stdout)
    return found
