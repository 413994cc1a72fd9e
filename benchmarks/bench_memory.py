"""Peak memory of loading and of reconciling, at one and at ten times as many records, each in a process of its own."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import people

from dentlib import loading
from dentlib.clock import SystemClock
from dentlib.loading import Ledger
from dentlib.loading.reconcile import reconcile
from dentlib.model import Silence


def do(what: str, folder: Path, rows: int) -> None:
    """Do one thing in this process and print its peak memory."""
    con = people.open_work_db(folder / "work.duckdb")
    destination = people.connected(os.environ["BENCH_URL"], os.environ["BENCH_KEY"])
    file, clock = folder / "ledger.sqlite", SystemClock()
    started = time.perf_counter()
    with Ledger.open(file, workspace=destination.workspace(), engagement="bench", clock=clock) as ledger:
        if what == "load":
            loading.load(ledger, destination, con, [people.STEP], run_id="run", kind="run", clock=clock)
        else:
            reconcile(con, ledger, destination, [people.STEP], run_id="run", progress=Silence())
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6} {time.perf_counter() - started}")
    destination.close()


def measure(rows: int) -> dict[str, float]:
    """Return the peaks in GB and the seconds at a number of records."""
    found: dict[str, float] = {}
    with (
        tempfile.TemporaryDirectory(prefix="dentlib-bench-") as name,
        people.served(Path(name) / "state.sqlite") as (url, key),
    ):
        folder = Path(name)
        people.quieten(url, key)
        people.prepare(folder / "work.duckdb", "memory", rows).close()
        env = {**os.environ, "BENCH_URL": url, "BENCH_KEY": key}
        for what in ("load", "reconcile"):
            command = [sys.executable, __file__, what, str(folder), str(rows)]
            done = subprocess.run(
                command, env=env, capture_output=True, text=True, check=False, cwd=Path(__file__).parent
            )
            if done.returncode:
                raise RuntimeError(done.stderr[-2000:])
            peak_gb, took_s = map(float, done.stdout.split())
            found |= {f"{what}_peak_gb_at_{rows}": peak_gb, f"{what}_s_at_{rows}": took_s}
    return found


def compared(small: int, large: int) -> dict[str, float]:
    """Return the peaks at both sizes and the larger one's share of the smaller one's."""
    found = {**measure(small), **measure(large)}
    for what in ("load", "reconcile"):
        found[f"{what}_peak_growth"] = found[f"{what}_peak_gb_at_{large}"] / found[f"{what}_peak_gb_at_{small}"]
    found["peak_gb"] = max(value for name, value in found.items() if "_peak_gb_at_" in name)
    return found


def run() -> dict[str, float]:
    """Compare 20,000 with 200,000 records: what grows with their number shows already."""
    return compared(20_000, 200_000)


def run_long() -> dict[str, float]:
    """Compare 100,000 with 1,000,000 records."""
    return compared(100_000, 1_000_000)


if __name__ == "__main__":
    do(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
