"""What a stage works with, opened together and closed together: engagement, work store, destination, ledger.

The destination is the workspace whose URL the settings give; without a URL it is the built-in sandbox, started here as
a child process on a free loopback port, with its state in the engagement's folder. Nothing past this module knows which
of the two it is.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import duckdb
import orjson

from dentlib.clock import Clock, SystemClock
from dentlib.destinations import open_destination
from dentlib.engagement import Engagement, Settings, home
from dentlib.errors import UsageError
from dentlib.loading import Ledger, WriterLock
from dentlib.model import Destination, Progress, Silence, Workspace
from dentlib.workdb import open_work_db

LOCK_WAIT_S = 4.0
"""How long a stage waits for another to let go: a killed command's kernel takes up to a second to notice."""


class Desk:
    """An engagement at work. Parts are opened when first asked for, and closed with the desk."""

    def __init__(
        self, engagement: Engagement, purpose: str, clock: Clock, progress: Progress, stack: ExitStack
    ) -> None:
        self.purpose = purpose
        self.engagement = engagement
        self.settings: Settings = engagement.settings.decided()
        self.clock = clock
        self.progress = progress
        self._stack = stack
        self._con: duckdb.DuckDBPyConnection | None = None
        self._destination: Destination | None = None
        self._workspace: Workspace | None = None
        self._ledger: Ledger | None = None

    @property
    def name(self) -> str:
        """Return the engagement's name."""
        return self.engagement.name

    @property
    def con(self) -> duckdb.DuckDBPyConnection:
        """Return the open work store; raises UsageError before the first export."""
        if self._con is None:
            if not self.engagement.work_db.is_file():
                raise UsageError(
                    f"'{self.name}' has no work store",
                    f"dentlib new {self.name} … or dentlib delta {self.name} --export …",
                )
            self._con = open_work_db(self.engagement.work_db)
            self._stack.callback(self._con.close)
        return self._con

    @property
    def destination(self) -> Destination:
        """Return the open destination; raises DestinationError where it can't be reached."""
        if self._destination is None:
            settings = self.settings.destination
            if settings.url is None:
                url, key = self._stack.enter_context(_embedded_sandbox(self.engagement))
            else:
                url, key = settings.url, self.engagement.api_key().get_secret_value()
            destination = open_destination(
                settings.product, url, key, clock=self.clock, calls_per_minute=settings.allowed_calls_per_minute
            )
            self._stack.callback(destination.close)
            self._destination = destination
        return self._destination

    @property
    def workspace(self) -> Workspace:
        """Return the workspace behind the destination."""
        if self._workspace is None:
            self._workspace = self.destination.workspace()
        return self._workspace

    @property
    def ledger(self) -> Ledger:
        """Return the ledger of this workspace, open for writing and verified; raises LedgerDamaged or Locked.

        No other engagement may write to the same workspace meanwhile.
        """
        if self._ledger is None:
            shared = home() / ".locks" / f"{self.workspace.id}.lock"
            self._stack.enter_context(
                WriterLock(shared, clock=self.clock, purpose=f"{self.purpose} of {self.name}", wait_s=LOCK_WAIT_S)
            )
            path = self.engagement.ledger(self.workspace.id)
            self._ledger = Ledger.open(
                path, workspace=self.workspace, engagement=self.name, clock=self.clock, purpose=self.purpose
            )
            self._stack.callback(self._ledger.close)
        return self._ledger


@contextmanager
def open_desk(
    name: str, purpose: str, *, clock: Clock | None = None, progress: Progress | None = None
) -> Iterator[Desk]:
    """Open an engagement for one writer; raises Locked when another process has it for longer than LOCK_WAIT_S."""
    clock = clock or SystemClock()
    engagement = Engagement.open(name)
    with ExitStack() as stack:
        stack.enter_context(
            WriterLock(engagement.root / f"{name}.lock", clock=clock, purpose=purpose, wait_s=LOCK_WAIT_S)
        )
        yield Desk(engagement, purpose, clock, progress or Silence(), stack)


@contextmanager
def _embedded_sandbox(engagement: Engagement) -> Iterator[tuple[str, str]]:
    """Start the built-in sandbox for one stage; it ends with this process, however this process ends."""
    product = engagement.settings.destination.product
    key = secrets.token_urlsafe(24)
    state: Path = engagement.root / f"sandbox-{product}.sqlite"
    command = [sys.executable, "-m", "dentlib", "sandbox", product, "--port", "0", "--state", str(state)]
    settings = engagement.settings.destination
    command += ["--limits", settings.sandbox_limits, "--version", settings.sandbox_version, "--die-with-parent"]
    log = engagement.root / f"sandbox-{product}.log"
    log.touch(mode=0o600)
    with log.open("wb") as told:
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=told,
            start_new_session=True,  # Ctrl-C is for the stage, which needs the sandbox once more to put things back
            env={**os.environ, "DENTLIB_SANDBOX_API_KEY": key},
        )
    try:
        line = child.stdout.readline() if child.stdout else b""
        if not line.strip():
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(5)
            raise UsageError(
                f"the built-in {product} sandbox did not start (exit code {child.poll()})",
                f"its last words are in {log}; by hand: dentlib sandbox {product} --port 3001 --state {state}",
            )
        yield orjson.loads(line)["url"], key
    finally:
        if child.stdin:
            child.stdin.close()
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(10)
        if child.poll() is None:
            child.kill()
            child.wait()
        if child.stdout:
            child.stdout.close()
