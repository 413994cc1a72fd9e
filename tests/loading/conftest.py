"""Fixtures of the loading tests. `fakes.py` is loaded by path, since test folders are not packages."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_NAME = "loading_fakes"
_spec = importlib.util.spec_from_file_location(_NAME, Path(__file__).with_name("fakes.py"))
assert _spec is not None
assert _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
sys.modules[_NAME] = _module
_spec.loader.exec_module(_module)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Any]:
    """Give an empty CRM, a ledger and a small prepared practice, all in a fresh folder."""
    made = _module.World(tmp_path)
    yield made
    made.close()
