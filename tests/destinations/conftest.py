"""Make the fakes beside these tests importable, and open a sandbox of each version."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from sandbox_workspace import VERSIONS, WANTED, QuickClock, Workspace

from dentlib.destinations.twenty import TwentyDestination, open_twenty
from dentlib.sandbox.twenty.server import TwentySandbox


@pytest.fixture(scope="session", params=VERSIONS)
def workspace(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Workspace]:
    """One server of each version for all; every test leaves it as it was."""
    state = tmp_path_factory.mktemp("sandbox") / "state.sqlite"
    with TwentySandbox(state, limits="off", version=request.param) as server:
        yield Workspace(server, state)


@pytest.fixture
def sandbox(workspace: Workspace) -> TwentySandbox:
    """The server alone."""
    return workspace.server


@pytest.fixture
def twenty(sandbox: TwentySandbox) -> Iterator[TwentyDestination]:
    """The workspace behind the admin key."""
    opened = open_twenty(sandbox.url, sandbox.api_key, clock=QuickClock(), calls_per_minute=None, timeout_s=10)
    yield opened
    opened.close()


@pytest.fixture
def applied(twenty: TwentyDestination) -> Iterator[TwentyDestination]:
    """The wanted schema, applied, and taken back afterwards."""
    recipes = [twenty.apply(item) for item in twenty.plan(WANTED).items]
    yield twenty
    for recipe in reversed(recipes):
        twenty.undo(recipe)
