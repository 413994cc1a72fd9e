"""Load into the sandbox with limits off, against a bare loop that sends the same batches: paired windows, AB/BA.

Also our own CPU time a batch (this process's, bare loop's subtracted nowhere), and how many calls a load and a delta
take of those they cannot do without: one for every 200 records created or changed.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import quantiles

import people

from dentlib import loading
from dentlib.clock import SystemClock
from dentlib.loading import Ledger
from dentlib.model import Silence

ROWS = 10_000
PAIRS = 12
CPU_ROWS = 60_000
"""Rows of the load whose CPU time is told by the batch: many, so that what a load costs once hardly counts."""


def bare(url: str, key: str, window: str) -> tuple[float, float]:
    """Send the batches and do nothing else; return seconds and CPU seconds."""
    ready = people.bodies(window, ROWS)
    with people.bare_client(url, key) as client:
        started, cpu_started = time.perf_counter(), time.process_time()
        for body in ready:
            people.send(client, body)
        return time.perf_counter() - started, time.process_time() - cpu_started


def ours(ledger: Ledger, url: str, key: str, window: str, work: Path, rows: int = ROWS) -> tuple[float, float]:
    """Load as many rows through the ledger; return seconds and CPU seconds."""
    con = people.prepare(work, window, rows)
    destination = people.connected(url, key)
    loading.load(ledger, destination, con, [], run_id=f"warm-{window}", kind="run", clock=SystemClock())
    started, cpu_started = time.perf_counter(), time.process_time()
    loading.load(ledger, destination, con, [people.STEP], run_id=f"run-{window}", kind="run", clock=SystemClock())
    took = time.perf_counter() - started, time.process_time() - cpu_started
    destination.close()
    con.close()
    return took


def calls(ledger: Ledger, url: str, key: str, work: Path) -> dict[str, float]:
    """Return calls used ÷ calls needed, of a load and of a delta that changes 1 % and creates as many."""
    used: dict[str, float] = {}
    for kind, rows, changed in (("run", ROWS, 0), ("delta", ROWS + ROWS // 100, 10)):
        con = people.prepare(work, "calls", rows, changed_per_thousand=changed)
        destination = people.connected(url, key)
        loading.load(
            ledger,
            destination,
            con,
            [people.STEP],
            run_id=f"{kind}-calls",
            kind=kind,
            clock=SystemClock(),
            progress=Silence(),
        )  # type: ignore[arg-type]
        needed = -(-ROWS // people.BATCH_ROWS) if kind == "run" else 2 * -(-(ROWS // 100) // people.BATCH_ROWS)
        used[f"{kind}_calls_per_call_needed"] = destination.stats.calls / needed
        used[f"{kind}_calls"] = float(destination.stats.calls)
        destination.close()
        con.close()
    return used


def run() -> dict[str, float]:
    """Alternate bare loop and loader; return shares of the bare loop's speed, CPU a batch, and calls."""
    shares, bare_ms = [], []
    with (
        tempfile.TemporaryDirectory(prefix="dentlib-bench-") as folder,
        people.served(Path(folder) / "state.sqlite") as (url, key),
    ):
        people.quieten(url, key)
        destination = people.connected(url, key)
        workspace, file, work = destination.workspace(), Path(folder) / "ledger.sqlite", Path(folder) / "work.duckdb"
        destination.close()
        with Ledger.open(file, workspace=workspace, engagement="bench", clock=SystemClock()) as ledger:
            _, cpu_s = ours(ledger, url, key, "cpu", work, CPU_ROWS)
            for pair in range(PAIRS):
                first = bare(url, key, f"a{pair}") if pair % 2 == 0 else None
                mine_s, _ = ours(ledger, url, key, f"b{pair}", work)
                bare_s, bare_cpu_s = first or bare(url, key, f"a{pair}")
                shares.append(bare_s / mine_s)
                bare_ms.append(1000 * bare_cpu_s / (ROWS / people.BATCH_ROWS))
            counted = calls(ledger, url, key, work)
    low, middle, high = quantiles(shares, n=4)
    return {
        "share_of_bare_loop": middle,
        "share_of_bare_loop_lower_quartile": low,
        "share_of_bare_loop_upper_quartile": high,
        "cpu_ms_per_batch": 1000 * cpu_s / (CPU_ROWS / people.BATCH_ROWS),
        "bare_loop_cpu_ms_per_batch": quantiles(bare_ms, n=4)[1],
        **counted,
        "records_per_window": float(ROWS),
        "windows": float(PAIRS),
    }
