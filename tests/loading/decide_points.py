"""Kill `decide` at its n-th effect, decide again, compare with an undisturbed one. A program, so that it may fork.

    python decide_points.py [--every 1]

Prints JSON: {"points": …, "bad": [{"point": …, "at": …, "why": …}]}.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

_spec = importlib.util.spec_from_file_location("crash_points", Path(__file__).with_name("crash_points.py"))
assert _spec is not None
assert _spec.loader is not None
crash_points = importlib.util.module_from_spec(_spec)
sys.modules["crash_points"] = crash_points
_spec.loader.exec_module(crash_points)
fakes = crash_points.fakes

from dentlib.loading import (  # noqa: E402
    Choice,
    Mark,
    Patience,
    apply_schema,
    decide,
    list_undecided,
    plan_delta,
    switches_off,
)
from dentlib.loading.deciding import _Doing  # noqa: E402
from dentlib.loading.decisions import decided_missing, standing_conflicts  # noqa: E402

HOW = {"1": "delete", "2": "mark", "3": "keep", "5": "ours", "6": "theirs", "7": "ours"}


def set_up(folder: Path) -> None:
    """A run, changes by hand, and a delta that lists three records that are gone and three conflicts."""
    world = fakes.World(folder)
    apply_schema(world.ledger, world.destination, world.destination.plan(fakes.WANTED), clock=world.clock)
    fakes.prepare(world.con, {"carriers": [], "patients": [fakes.patient(str(n), city="Ghent") for n in range(1, 9)]})
    world.load()
    for n in (5, 6, 7):
        with world.crm:
            world.crm.change("person", fakes.record_id(fakes.ENGAGEMENT, "patients", str(n)), {"city": "Bruges"})
    later = [fakes.patient(str(n), city="Leuven" if n < 8 else "Ghent") for n in range(4, 9)]
    fakes.prepare(world.con, {"carriers": [], "patients": later})
    gone = plan_delta(world.ledger, world.con, fakes.STEPS).deletions
    world.load("delta-1", "delta")
    found = list_undecided(world.ledger, world.destination, gone, run_id="delta-1", patience=Patience(world.clock))
    choices = [[c.ref, c.record_id, c.field, HOW[c.source_key], ""] for c in found.conflicts]
    choices += [[m.ref, m.record_id, "", HOW[m.source_key], ""] for m in found.missing]
    assert len(choices) == 6, choices
    (folder / "choices.json").write_text(json.dumps(choices))
    world.close()


def decide_once(folder: Path, killer: Any) -> dict[str, Any]:
    """Decide in a folder and tell everything that is compared."""
    world = fakes.World(folder, hook=killer)
    choices = [Choice(*row) for row in json.loads((folder / "choices.json").read_text())]
    carried = decide(
        world.ledger, world.destination, choices, marks={"patients": Mark("city", "Gone")}, by="A. Analyst",
        run_id="decide-1", clock=world.clock, hook=killer,
    )  # fmt: skip
    counts = carried.done + carried.already
    told = {
        "counts": dict(counts),
        "refused": [r.reason for r in carried.refused],
        "crm": [list(map(str, row)) for row in world.crm.dump()["record"]],
        "switches": [list(row) for row in world.crm.dump()["switch"]],
        "off": switches_off(world.ledger),
        "open": len(world.ledger.open_calls()),
        "missing": sorted([*k, d.decision] for k, d in decided_missing(world.ledger).items()),
        "conflicts": sorted([*k, c.decision] for k, c in standing_conflicts(world.ledger).items()),
        "effects": killer.count,
    }
    world.reopen()
    assert world.ledger.head  # opening again walked the whole chain
    world.close()
    return told


def plant_noted_first() -> None:
    """Plant a bug: a deletion is noted as done before the record is destroyed."""

    def hasty(self: Any, deletions: Any) -> None:
        first = deletions[0].current
        rows = [(d.current.source_key, d.current.record_id, d.current.row_hash) for d in deletions]
        call = self._ledger.begin_call(
            run=self._run_id, step=first.step, object_name=first.object, op="destroy", tag="decided", rows=rows
        )
        self._ledger.end_call(call, run=self._run_id, result="written")
        self._hook("outcome committed")
        self._looking.destination.destroy(first.object, [d.current.record_id for d in deletions], "hasty")
        self._carried.done["delete"] += len(deletions)

    _Doing._destroy_batch = hasty  # type: ignore[method-assign]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--control", choices=["", "noted-first"], default="")
    parser.add_argument("--every", type=int, default=1)
    options = parser.parse_args()
    if options.control:
        plant_noted_first()
    root = Path(tempfile.mkdtemp(prefix="decide-points-"))
    killer = crash_points.Killer
    try:
        before = crash_points.fresh(root / "before")
        code, told = crash_points.in_child(lambda: set_up(before))
        if code:
            raise SystemExit(f"setting up failed: {told}")
        calm = shutil.copytree(before, root / "calm")
        code, expected = crash_points.in_child(lambda: decide_once(calm, killer(0)))
        if code:
            raise SystemExit(f"the undisturbed decisions failed: {expected}")
        bad = []
        points = range(1, expected["effects"] + 1, options.every)
        for point in points:
            folder = shutil.copytree(before, root / f"p{point}")
            at = folder / "killed-at"
            code, got = crash_points.in_child(lambda f=folder, p=point, a=at: decide_once(f, killer(p, a)))
            if code == -signal.SIGKILL:
                code, got = crash_points.in_child(lambda f=folder: decide_once(f, killer(0)))
            if why := crash_points.compare(expected, got):
                bad.append({"point": point, "at": at.read_text() if at.exists() else "", "why": why, "got": got})
            shutil.rmtree(folder)
        told = {"counts": expected["counts"], "refused": expected["refused"]}
        print(json.dumps({"effects": expected["effects"], "points": len(points), "bad": bad, **told}))
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
