"""Peak memory of loading, at one and at ten times as many records, each in a process of its own.

Reconciling at both sizes is in `bench_reconcile`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import people

from dentlib import loading
from dentlib.clock import SystemClock
from dentlib.loading import Ledger


def load(folder: Path) -> None:
    """Load in this process and print its peak memory and how long it took."""
    con = people.open_work_db(folder / "work.duckdb")
    destination = people.connected(os.environ["BENCH_URL"], os.environ["BENCH_KEY"])
    file, clock = folder / "ledger.sqlite", SystemClock()
    started = time.perf_counter()
    with Ledger.open(file, workspace=destination.workspace(), engagement="bench", clock=clock) as ledger:
        loading.load(ledger, destination, con, [people.STEP], run_id="run", kind="run", clock=clock)
    print(f"{people.peak_gb()} {time.perf_counter() - started}")
    destination.close()


def measure(rows: int) -> dict[str, float]:
    """Return the peak in GB and the seconds at a number of records."""
    with (
        tempfile.TemporaryDirectory(prefix="dentlib-bench-") as name,
        people.served(Path(name) / "state.sqlite") as (url, key),
    ):
        folder = Path(name)
        people.quieten(url, key)
        people.prepare(folder / "work.duckdb", "memory", rows).close()
        env = {**os.environ, "BENCH_URL": url, "BENCH_KEY": key}
        command = [sys.executable, __file__, str(folder)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        peak_gb, took_s = map(float, done.stdout.split())
        return {f"load_peak_gb_at_{rows}": peak_gb, f"load_s_at_{rows}": took_s}


def compared(small: int, large: int) -> dict[str, float]:
    """Return the peaks at both sizes, and the larger one ÷ the smaller one."""
    found = {**measure(small), **measure(large)}
    one, ten = found[f"load_peak_gb_at_{small}"], found[f"load_peak_gb_at_{large}"]
    return {**found, "load_peak_growth": ten / one, "peak_gb": max(one, ten)}


def run() -> dict[str, float]:
    """Compare 20,000 with 200,000 records: what grows with their number shows already."""
    return compared(20_000, 200_000)


def run_long() -> dict[str, float]:
    """Compare 100,000 with 1,000,000 records."""
    return compared(100_000, 1_000_000)


if __name__ == "__main__":
    load(Path(sys.argv[1]))
