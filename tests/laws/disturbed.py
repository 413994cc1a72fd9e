"""Take away what a load stands on, let it stop, give it back, let it end, compare: a program of its own.

    python disturbed.py --what disk|small-disk|clock|key [--every 7] [--start 0] …

disk: the ledger may not grow over a limit (a real one of the kernel's), at many sizes. small-disk: the engagement lies
on a file system of its own that is too small; told as skipped where none can be mounted. clock: now a day back, now
400 days ahead, at each look. key: revoked before a call, at many calls; the next start has a new one. Prints JSON as
`points.py` does, with "said": the errors with which it stopped.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import crm
import httpx
from killing import Killer, in_child, use
from scenarios import QuickClock
from trials import Trials, main_with

import dentlib.errors
from dentlib.sandbox.twenty.tokens import claims_of

SAID: set[str] = set()
ALLOWED = {"disk": {"DentlibError"}, "small-disk": {"DentlibError"}, "key": {"AccessDenied"}, "clock": set()}
"""What a stopped run may say; anything else, such as a bare OSError, is a fault."""


class JumpingClock(QuickClock):
    """A clock that somebody sets at each look: now a day back, now 400 days ahead."""

    def __init__(self) -> None:
        super().__init__()
        self._looks = 0

    def now(self) -> datetime:
        self._looks += 1
        return super().now() + timedelta(days=(-1, 400, 0)[self._looks % 3])


def stopped_and_resumed(
    trials: Trials,
    name: str,
    what: str,
    first: Callable[[Path, str], Any],
    again: Callable[[Path, str], Any],
) -> dict[str, Any] | None:
    """Let it run disturbed, then undisturbed, and compare; the disturbed one may end well, or with a known error."""
    with trials.place(name) as (state, folder):
        with crm.served(state, version=trials.ground.version) as server:
            code, told = in_child(lambda: first(folder, server.url))
            if code:
                error = told["error"] if isinstance(told, dict) else str(told)
                SAID.add(error)
                if error not in ALLOWED[what] or not issubclass(
                    getattr(dentlib.errors, error, Exception), dentlib.errors.DentlibError
                ):
                    return {"point": name, "at": what, "why": f"it stopped with {told}"}
                code, told = in_child(lambda: again(folder, server.url))
        return trials.judged(name, what, state, code, told)


def _again(trials: Trials, *, key: int = 0) -> Callable[[Path, str], Any]:
    def again(folder: Path, url: str) -> Any:
        use(Killer())
        return trials.run(folder, url, key=key)

    return again


def disk(trials: Trials, options: argparse.Namespace) -> list[Any]:
    """No file may grow over so many bytes, from next to nothing to nearly what a whole run needs."""
    biggest = _size_of_a_ledger(trials)
    found = []
    for limit in range(4096, biggest, max(4096, biggest * options.every // 40)):

        def first(folder: Path, url: str, limit: int = limit) -> Any:
            use(Killer())
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then the kernel says EFBIG, as it says ENOSPC elsewhere
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            return trials.run(folder, url)

        found.append(stopped_and_resumed(trials, f"disk-{limit}", "disk", first, _again(trials)))
    return found


def _size_of_a_ledger(trials: Trials) -> int:
    """Return the bytes of the biggest file of an undisturbed run."""
    with trials.place("measured") as (state, folder):
        with crm.served(state, version=trials.ground.version) as server:
            in_child(lambda: _again(trials)(folder, server.url))
        return max(file.stat().st_size for file in folder.iterdir() if file.name.startswith("ledger"))


def small_disk(trials: Trials, options: argparse.Namespace) -> list[Any]:
    """The ledger lies on a file system of its own that fills up; afterwards it lies on a larger one."""
    needed = 2 * _size_of_a_ledger(trials) // 1024
    found = []
    for size_kb in range(64, needed, max(16, needed * options.every // 20)):
        name = f"small-{size_kb}"
        place = trials.ground.root / f"mount-{size_kb}"
        place.mkdir()
        if subprocess.run(_mount(size_kb, place), capture_output=True, check=False).returncode:
            return found

        def first(folder: Path, url: str, place: Path = place) -> Any:
            use(Killer())
            shutil.copytree(folder, place, dirs_exist_ok=True)
            return trials.run(place, url)

        def again(folder: Path, url: str, place: Path = place) -> Any:
            use(Killer())
            shutil.copytree(place, folder, dirs_exist_ok=True)
            return trials.run(folder, url)

        try:
            found.append(stopped_and_resumed(trials, name, "small-disk", first, again))
        finally:
            subprocess.run(["umount", str(place)], check=True)
    return found


def _mount(size_kb: int, place: Path) -> list[str]:
    return ["mount", "-t", "tmpfs", "-o", f"size={size_kb}k", "tmpfs", str(place)]


def clock(trials: Trials, options: argparse.Namespace) -> list[Any]:
    """The clock jumps at each look; also with a crash in between."""

    def first(folder: Path, url: str) -> Any:
        use(Killer())
        return trials.run(folder, url, clock=JumpingClock())

    found = [stopped_and_resumed(trials, "clock", "clock", first, first)]
    for point in range(7 + options.start, len(trials.effects), len(trials.effects) * options.every // 60 + 1):
        found.append(_jumping_crash(trials, point))
    return found


def _jumping_crash(trials: Trials, point: int) -> dict[str, Any] | None:
    def run(folder: Path, url: str, killer: Killer) -> Any:
        use(killer)
        return trials.run(folder, url, clock=JumpingClock())

    with trials.place(f"clock-{point}") as (state, folder):
        with crm.served(state, version=trials.ground.version) as server:
            code, told = in_child(lambda: run(folder, server.url, Killer(point)))
            if code == -signal.SIGKILL:
                code, told = in_child(lambda: run(folder, server.url, Killer()))
        return trials.judged(f"clock-{point}", "clock", state, code, told)


class Revoked:
    """A network behind which the key is revoked right before the n-th request."""

    def __init__(self, request: int, revoke: Callable[[], None]) -> None:
        self.left, self.revoke = request, revoke

    def __call__(self, request: httpx.Request, send: Callable[[httpx.Request], httpx.Response]) -> httpx.Response:
        self.left -= 1
        if self.left == 0:
            self.revoke()
        return send(request)


def key(trials: Trials, options: argparse.Namespace) -> list[Any]:
    """The key is revoked before every n-th call; whoever starts again has a new one."""
    requests = sum(1 for name in trials.effects if name.startswith("before ") and "/" in name)
    found = []
    for number in range(1 + options.start, requests, options.every):

        def first(folder: Path, url: str, number: int = number) -> Any:
            state = trials.ground.root / f"key-{number}.sqlite"
            use(Killer(), Revoked(number, lambda: revoke(state, trials.ground.keys[0])))
            return trials.run(folder, url)

        found.append(stopped_and_resumed(trials, f"key-{number}", "key", first, _again(trials, key=1)))
    return found


def revoke(state: Path, token: str) -> None:
    """Revoke a key as its owner does on the settings page: beside the API, in the server's own store."""
    claims = claims_of(token) or {}
    with sqlite3.connect(state, timeout=10) as db:
        sql = "UPDATE api_key SET doc = json_set(doc, '$.revokedAt', '2026-01-05T09:00:00.000Z') WHERE id = ?"
        assert db.execute(sql, (claims["jti"],)).rowcount == 1


WHAT = {"disk": disk, "small-disk": small_disk, "clock": clock, "key": key}


def go(trials: Trials, options: argparse.Namespace) -> tuple[int, list[Any]]:
    """Disturb as asked."""
    found = WHAT[options.what](trials, options)
    return len(found), [bad for bad in found if bad]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--what", required=True)
    main_with(parser, go, more=lambda: {"said": sorted(SAID)})
