"""Load at default limits into the sandbox for some minutes: calls a minute after the burst, and the share refused."""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path

import people

from dentlib import loading
from dentlib.clock import SystemClock
from dentlib.loading import Ledger

MINUTES = 11
CEILING = 100


def run() -> dict[str, float]:
    """Load so many people that it takes ten minutes after the burst; count the calls of each minute."""
    rows = (CEILING * MINUTES) * people.BATCH_ROWS
    moments: list[tuple[float, int, int]] = []
    with (
        tempfile.TemporaryDirectory(prefix="dentlib-bench-") as folder,
        people.served(Path(folder) / "state.sqlite", limits="default") as (url, key),
    ):
        con = people.prepare(Path(folder) / "work.duckdb", "real", rows)
        destination = people.connected(url, key, CEILING)
        over = threading.Event()

        def watch() -> None:
            while not over.wait(1.0):
                moments.append((time.monotonic(), destination.stats.calls, destination.stats.refused_for_rate))

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            file = Path(folder) / "ledger.sqlite"
            with Ledger.open(
                file, workspace=destination.workspace(), engagement="bench", clock=SystemClock()
            ) as ledger:
                loading.load(ledger, destination, con, [people.STEP], run_id="run", kind="run", clock=SystemClock())
        finally:
            over.set()
            watcher.join()
        destination.close()
        con.close()
    start = next(moment for moment in moments if moment[0] - moments[0][0] >= 60)
    end = moments[-1]
    minutes = (end[0] - start[0]) / 60
    sent, refused = end[1] - start[1], end[2] - start[2]
    per_minute = (sent - refused) / minutes
    return {
        "minutes_after_the_burst": minutes,
        "calls_a_minute_after_the_burst": per_minute,
        "refused_share": refused / sent,
        "share_of_ceiling": per_minute / CEILING,
        "records_a_minute": per_minute * people.BATCH_ROWS,
    }
