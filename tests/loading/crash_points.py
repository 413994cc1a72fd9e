"""Kill a load at its n-th effect, resume it, compare everything: a program of its own, so that it may fork.

    python crash_points.py --every 7 [--start 0] [--control NAME] [--scenario load|back]

Nothing is used before the fork that keeps threads. For each point a child runs and is killed by SIGKILL there, a
second child resumes, and the CRM and the outcomes are compared with an undisturbed run. Prints JSON:
{"points": …, "bad": [{"point": …, "at": …, "why": …}]}. Controls plant a bug that has to show.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

_spec = importlib.util.spec_from_file_location("loading_fakes", Path(__file__).with_name("fakes.py"))
assert _spec is not None
assert _spec.loader is not None
fakes = importlib.util.module_from_spec(_spec)
sys.modules["loading_fakes"] = fakes
_spec.loader.exec_module(fakes)

from dentlib.loading import apply_schema, preview, probe, rollback, switches_off, write_audit_log  # noqa: E402
from dentlib.loading.sending import Sender, Sent, Written  # noqa: E402


class Killer:
    """Counts effects and kills the process at one of them (0: never)."""

    def __init__(self, point: int, log: Path | None = None) -> None:
        self.point = point
        self.count = 0
        self.log = log

    def __call__(self, name: str) -> None:
        self.count += 1
        if self.count == self.point:
            if self.log:
                self.log.write_text(name)
            os.kill(os.getpid(), signal.SIGKILL)


def forward(world: Any) -> list[Any]:
    """Schema, probe, sample, run: whatever was done is not done again."""
    plan = world.destination.plan(fakes.WANTED)
    apply_schema(world.ledger, world.destination, plan, clock=world.clock, hook=world.hook)
    if not world.ledger.live_counts():
        facts = probe(world.ledger, world.destination, world.con, fakes.STEPS[:2], clock=world.clock, hook=world.hook)
        assert facts.passed, facts
    world.load("sample-1", "sample", only_sample=True)
    return [list(map(repr, world.load().steps))]


def back(world: Any) -> list[Any]:
    """The same, then everything back."""
    if not world.ledger.last("kind IN ('rollback', 'rollback_end')"):
        forward(world)
    facts = rollback(world.ledger, world.destination, clock=world.clock, hook=world.hook)
    assert facts.differences == (), facts.differences
    assert not preview(world.ledger, world.destination, clock=world.clock).destroyed
    return []


SCENARIOS: dict[str, Callable[[Any], list[Any]]] = {"load": forward, "back": back}


def plant(control: str) -> None:
    """Plant a bug by name."""
    if control == "outcome-first":
        intend = Sender.intend

        def both(self: Sender, step: Any, rows: Any, **more: Any) -> Sent:
            sent = intend(self, step, rows, **more | {"after": None})
            self.ledger.end_call(sent.call, run=self.run_id, result="written")
            return sent

        def nothing_more(self: Sender, sent: Sent, result: str) -> Written:
            self.hook("before outcome")
            return Written(created=len(sent.rows))

        Sender.intend = both  # type: ignore[method-assign, assignment]
        Sender._end = nothing_more  # type: ignore[method-assign]
    elif control == "assume-written":

        def assume(self: Sender, entry: Any) -> None:
            self.ledger.end_call(entry.seq, run=entry.run, result="found")

        Sender._settle_create = assume  # type: ignore[method-assign]
    elif control == "only-resend":

        def resend(self: Sender, entry: Any) -> None:
            self._not_written(entry, [key for key, _, _ in entry.body["rows"]])

        def believe(self: Sender, object_name: str, ids: Any) -> dict[str, Any]:
            return {}

        Sender._settle_create = resend  # type: ignore[method-assign]
        Sender._read = believe  # type: ignore[method-assign]
    elif control:
        raise SystemExit(f"no such control: {control}")


def in_child(action: Callable[[], Any]) -> tuple[int, Any]:
    """Run in a forked child; return (signal or exit status, what it returned)."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        status = 1
        try:
            answer = json.dumps(action())
            status = 0
        except BaseException:
            answer = json.dumps(traceback.format_exc()[-1500:])
        with os.fdopen(writer, "w") as pipe:
            pipe.write(answer)
        os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    return code, json.loads(text) if text else None


def run_once(folder: Path, scenario: str, killer: Killer, batch_rows: int) -> dict[str, Any]:
    """Run the scenario in a folder and tell everything that is compared."""
    world = fakes.World(folder, hook=killer, batch_rows=batch_rows)
    steps = SCENARIOS[scenario](world)
    off = switches_off(world.ledger)
    lines = write_audit_log(world.ledger, folder / "audit.csv")
    open_calls = len(world.ledger.open_calls())
    world.reopen()
    assert world.ledger.head  # opening again walked the whole chain
    dump = world.crm.dump()
    # the destination names files itself, and counts them: compare what they hold
    files = sorted(row[1].decode() for row in dump.pop("file"))
    records = [(o, i, {k: v for k, v in json.loads(d).items() if k != "file"}) for o, i, d in dump.pop("record")]
    world.close()
    return {
        "steps": steps, "off": off, "open": open_calls, "files": files, "records": records, "rest": dump,
        "effects": killer.count, "has_log": lines > 0,
    }  # fmt: skip


def compare(expected: dict[str, Any], got: Any) -> str:
    """Say what is different, or nothing."""
    if not isinstance(got, dict):
        return f"resume failed: {got}"
    wrong = [name for name in expected if name != "effects" and got[name] != expected[name]]
    return f"differs: {', '.join(wrong)}" if wrong else ""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--control", default="")
    parser.add_argument("--scenario", default="load")
    parser.add_argument("--batch-rows", type=int, default=4)
    options = parser.parse_args()
    plant(options.control)
    size = options.batch_rows
    root = Path(tempfile.mkdtemp(prefix="crash-points-"))
    try:
        code, expected = in_child(lambda: run_once(fresh(root / "calm"), options.scenario, Killer(0), size))
        if code:
            raise SystemExit(f"the undisturbed run failed: {expected}")
        bad = []
        points = range(1 + options.start, expected["effects"] + 1, options.every)
        for point in points:
            folder = fresh(root / f"p{point}")
            at = folder / "killed-at"
            code, got = in_child(lambda f=folder, p=point, a=at: run_once(f, options.scenario, Killer(p, a), size))
            if code != -signal.SIGKILL:  # threads made it a few effects shorter this time
                why = compare(expected, got)
            else:
                code, got = in_child(lambda f=folder: run_once(f, options.scenario, Killer(0), size))
                why = compare(expected, got)
            if why:
                bad.append({"point": point, "at": at.read_text() if at.exists() else "", "why": why})
            shutil.rmtree(folder)
        print(json.dumps({"effects": expected["effects"], "points": len(points), "bad": bad}))
    finally:
        shutil.rmtree(root, ignore_errors=True)


def fresh(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    main()
