"""Run the programs of trials from tests and return what they found."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

VERSIONS = ("2.21", "1.17")


def found_by(program: str, *options: str) -> dict[str, Any]:
    """Run a program of this folder with its options; return its JSON."""
    command = [sys.executable, str(Path(__file__).with_name(program)), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout[-1000:]}{done.stderr[-3000:]}"
    found: dict[str, Any] = json.loads(done.stdout)
    return found
