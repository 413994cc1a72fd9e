"""Run a scenario on a copy of the ground, disturb it somehow, let it end, compare it with an undisturbed run.

Used by the programs `points.py` (crashes) and `answers.py` (answers that go wrong); nothing here starts a thread in the
process that forks.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import crm
import practice
from killing import Killer, begin_child, end_child, in_child, instrument, use
from scenarios import BEGINS_AFTER, QuickClock, after, file_field, others, run_once, small_batches

from dentlib.destinations.twenty import open_twenty

JSON = dict[str, Any]


@dataclass
class Ground:
    """What every trial of a scenario begins with: a state file, an engagement's folder, and two keys."""

    root: Path
    version: str
    keys: tuple[str, str]
    state: Path
    engagement: Path
    furnished: JSON

    def fresh(self, name: str) -> tuple[Path, Path]:
        """Copy state and engagement for one trial; return (state file, engagement's folder)."""
        folder = self.root / name
        folder.mkdir()
        if self.engagement.exists():
            for file in self.engagement.iterdir():
                shutil.copy(file, folder / file.name)
        return crm.copy_state(self.state, self.root / f"{name}.sqlite"), folder

    def drop(self, name: str) -> None:
        """Remove a trial's files."""
        shutil.rmtree(self.root / name)
        for file in self.root.glob(f"{name}.sqlite*"):
            file.unlink()


def ground(root: Path, scenario: str, version: str) -> Ground:
    """Prepare what a scenario begins with: a workspace with records of others, and the scenarios before it done."""
    state = root / "ground.sqlite"
    keys = crm.new_state(state, version=version)
    with crm.served(state, version=version) as server:
        _must(in_child(lambda: _furnish(server.url, keys[0], root)))
    made = Ground(root, version, keys, state, root / "nothing-yet", crm.told(state))
    for earlier in _earlier(scenario):
        made = _grown(made, earlier)
    return made


def _grown(found: Ground, earlier: str) -> Ground:
    """Return the ground after a whole scenario on it, and after what people do then."""
    state, folder = found.fresh(f"after-{earlier}")
    with crm.served(state, version=found.version) as server:
        _must(in_child(lambda: run_once(folder, earlier, server.url, found.keys[0])))
        _must(in_child(lambda: _people_go_on(earlier, server.url, found.keys[0])))
    return replace(found, state=state, engagement=folder)


def _must(done: tuple[int, Any]) -> None:
    if done[0]:
        raise SystemExit(f"what comes before the trials failed: {done[1]}")


def _earlier(scenario: str) -> list[str]:
    before = BEGINS_AFTER[scenario]
    return [*_earlier(before), before] if before else []


def _furnish(url: str, key: str, root: Path) -> None:
    twenty = open_twenty(url, key, clock=QuickClock(), calls_per_minute=None)
    others(twenty, url, key)
    order = practice.steps(file_field(twenty))
    for round_ in (0, 1):
        tables = practice.rows(root, twenty.capabilities.link_prefix, round_=round_)
        practice.prepare(root / f"work-{round_}.duckdb", tables, order)
    twenty.close()


def _people_go_on(scenario: str, url: str, key: str) -> None:
    twenty = open_twenty(url, key, clock=QuickClock(), calls_per_minute=None)
    after(scenario, twenty)
    twenty.close()


Disturb = Callable[[Path], Any]
"""Called in the child before it runs: sets killers, networks, limits. Gets the engagement's folder."""


@dataclass
class Trials:
    """All trials of one scenario on one version."""

    ground: Ground
    scenario: str
    expected: JSON
    effects: list[str]
    run_s: float

    @classmethod
    def of(cls, root: Path, scenario: str, version: str) -> Trials:
        """Prepare the ground and run once undisturbed."""
        trials = cls(ground(root, scenario, version), scenario, {}, [], 0.0)
        state, folder = trials.ground.fresh("calm")
        names = folder / "names.json"

        def run() -> Any:
            killer = Killer()
            use(killer)
            told = trials.run(folder, server.url)
            names.write_text(json.dumps(killer.names))
            return told

        crm.warm(state, version=version)
        with crm.served(state, version=version) as server:
            begun = time.monotonic()
            code, told = in_child(run)
            trials.run_s = time.monotonic() - begun
        if code:
            raise SystemExit(f"the undisturbed run failed: {told}")
        trials.expected = {"ledger": told, "crm": crm.told(state)}
        crm.warm(state, version=version)
        trials.effects = json.loads(names.read_text())
        trials.ground.drop("calm")
        if scenario == "back" and (found := crm.first_difference(trials.ground.furnished, trials.expected["crm"])):
            raise SystemExit(f"after the way back it is not as before: {found}")
        return trials

    def run(self, folder: Path, url: str, *, key: int = 0, clock: Any = None) -> JSON:
        """Run the scenario, or go on with it, in this process."""
        return run_once(folder, self.scenario, url, self.ground.keys[key], clock=clock)

    def crash(self, name: str, killer: Killer, *, kill_after_s: float | None = None) -> JSON | None:
        """Kill at the killer's point (or after some time), resume, compare; return what is wrong, or None."""
        with self.place(name) as (state, folder):
            killer.log = folder / "killed-at"
            with crm.served(state, version=self.ground.version) as server:
                child = begin_child(lambda: self._used(killer, folder, server.url))
                if kill_after_s is not None:
                    time.sleep(kill_after_s)
                    kill(child[0])
                code, told = end_child(*child)
                if code == -signal.SIGKILL:
                    code, told = in_child(lambda: self._used(Killer(), folder, server.url))
            at = killer.log.read_text() if killer.log.exists() else f"after {kill_after_s} s"
            return self.judged(name, at, state, code, told)

    def _used(self, killer: Killer, folder: Path, url: str) -> JSON:
        use(killer)
        return self.run(folder, url)

    @contextmanager
    def place(self, name: str) -> Iterator[tuple[Path, Path]]:
        """Give (state file, engagement's folder) for one trial."""
        yield self.ground.fresh(name)
        self.ground.drop(name)

    def judged(self, name: str, at: str, state: Path, code: int, told: Any) -> JSON | None:
        """Compare the end of a trial with the undisturbed run."""
        if code:
            return {"point": name, "at": at, "why": f"it failed: {told}"}
        why = difference(self.expected, {"ledger": told, "crm": crm.told(state)})
        return {"point": name, "at": at, "why": why} if why else None


def kill(pid: int) -> None:
    """Send SIGKILL to a child of ours, which may have ended by now but was not waited for yet."""
    os.kill(pid, signal.SIGKILL)


def difference(expected: JSON, got: JSON) -> str:
    """Say what differs from the undisturbed run, or nothing."""
    expected, got = (json.loads(json.dumps(one)) for one in (expected, got))
    for part in ("ledger", "crm"):
        if found := crm.first_difference(expected[part], got[part]):
            return f"{part}: {found}"
    return ""


def main_with(
    parser: argparse.ArgumentParser,
    go: Callable[[Trials, argparse.Namespace], tuple[int, list[Any]]],
    more: Callable[[], JSON] = dict,
) -> None:
    """Read the command line, prepare the ground in memory, do the trials, print what was found as JSON."""
    parser.add_argument("--scenario", default="load")
    parser.add_argument("--version", default="2.21")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--start", type=int, default=0)
    options = parser.parse_args()
    small_batches()
    instrument()
    root = crm.shared_memory()
    begun = time.monotonic()
    try:
        trials = Trials.of(root, options.scenario, options.version)
        done, bad = go(trials, options)
        took = {"seconds": round(time.monotonic() - begun, 1), "cpu_s": round(sum(os.times()[:4]), 1)}
        told = {
            "effects": len(trials.effects),
            "points": done,
            "run_s": round(trials.run_s, 3),
            **took,
            **more(),
            "bad": bad,
        }
        print(json.dumps(told))
    finally:
        shutil.rmtree(root, ignore_errors=True)
