"""Kill a load half way through 50,000 rows; how long after starting again until the first new record is written."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import people

from dentlib import loading
from dentlib.clock import SystemClock
from dentlib.loading import Ledger

ROWS = 50_000


def work(folder: Path) -> None:
    """Load, or go on loading. Tells when the process was up, and when the ledger was open."""
    print(f"up={time.time()}", flush=True)
    con = people.open_work_db(folder / "work.duckdb")
    destination = people.connected(os.environ["BENCH_URL"], os.environ["BENCH_KEY"])
    file = folder / "ledger.sqlite"
    with Ledger.open(
        file, workspace=destination.workspace(), engagement="bench", clock=SystemClock(), wait_s=5
    ) as ledger:
        loading.load(ledger, destination, con, [people.STEP], run_id="run", kind="run", clock=SystemClock())
    destination.close()


def run() -> dict[str, float]:
    """Return seconds from the start of the process, and from its being up, to the first new call's outcome."""
    with (
        tempfile.TemporaryDirectory(prefix="dentlib-bench-") as name,
        people.served(Path(name) / "state.sqlite") as (url, key),
    ):
        folder = Path(name)
        people.prepare(folder / "work.duckdb", "resume", ROWS).close()
        env = {**os.environ, "BENCH_URL": url, "BENCH_KEY": key}
        command = [sys.executable, __file__, str(folder)]

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, cwd=Path(__file__).parent)

        began = time.time()
        first = start()
        while _written(folder) < ROWS // 2:
            time.sleep(0.01)
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        half_s = time.time() - began
        known = _written(folder)
        started = time.time()
        second = start()
        assert second.stdout is not None
        up = float(second.stdout.readline().split(b"=")[1])
        while _written(folder) <= known:
            time.sleep(0.005)
        resumed = time.time()
        if second.wait():
            raise RuntimeError("the resumed load failed")
        if _written(folder) != ROWS:
            raise RuntimeError("the resumed load did not load everything")
        return {
            "resume_s": resumed - up,
            "process_start_s": up - started,
            "written_before_the_kill": float(known),
            "seconds_to_the_kill": half_s,
            "rows": float(ROWS),
        }


def _written(folder: Path) -> int:
    """Count the records that the ledger knows as written."""
    file = folder / "ledger.sqlite"
    if not file.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
            return int(db.execute("SELECT count(*) FROM current WHERE state = 'live'").fetchone()[0])
    except sqlite3.OperationalError:
        return 0  # not made yet


if __name__ == "__main__":
    work(Path(sys.argv[1]))
