"""Reconcile a hundred thousand and a million patients; the destination answers at once. Speed, calls, memory."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bench_delta
import duckdb
import orjson
import people

from dentlib.clock import ManualClock
from dentlib.loading import Ledger
from dentlib.loading.reconcile import reconcile
from dentlib.model import JSON, Capabilities, DestinationField, DestinationObject, DestinationSchema, LastWrite, Silence
from dentlib.workdb import open_work_db

SIZES = (100_000, 1_000_000)
_TYPES = {
    "name": "FULL_NAME", "emails": "EMAILS", "phones": "PHONES", "homeAddress": "ADDRESS", "dateOfBirth": "DATE",
    "createdAt": "DATE_TIME", "carrierCompanyId": "UUID", "secondCarrierCompanyId": "UUID",
    "referringCompanyId": "UUID", "referringPersonId": "UUID", "gender": "SELECT", "patientStatus": "SELECT",
}  # fmt: skip


@dataclass
class Stats:
    """What was done so far."""

    calls: int = 0
    refused_for_rate: int = 0
    retries: int = 0


@dataclass
class Echo:
    """A destination that holds exactly what is prepared, read from the same store in the same order."""

    con: duckdb.DuckDBPyConnection
    records: int
    names: Sequence[str]
    name: str = "echo"
    stats: Stats = field(default_factory=Stats)
    waiting: dict[str, JSON] = field(default_factory=dict)
    cursor: Any = None

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(200, None, True, True, 10_000_000, None, True, "target", read_rows=500)

    def describe(self) -> DestinationSchema:
        fields = {n: DestinationField(n, n, _TYPES.get(n, "TEXT")) for n in self.names}
        return DestinationSchema({"person": DestinationObject("person", "person", "people", fields=fields)})

    def members(self) -> list[Any]:
        return []

    def read(self, object_name: str, ids: Sequence[str], *, deleted: bool = False) -> dict[str, JSON]:
        self.stats.calls += 1
        if self.cursor is None:
            self.cursor = self.con.cursor().execute("SELECT record_id::VARCHAR, payload FROM prepared.patients")
        wanted = set(ids)
        while not wanted <= self.waiting.keys():
            rows = self.cursor.fetchmany(600)
            if not rows:
                break
            self.waiting |= {rid: orjson.loads(payload) for rid, payload in rows}
        found = {rid: self.waiting.pop(rid) for rid in ids if rid in self.waiting}
        self.waiting = dict(list(self.waiting.items())[-1200:])  # rows that were never written are not asked for
        return found

    def count(self, object_name: str, *, source_prefix: str | None = None, deleted: bool = False) -> int:
        self.stats.calls += 1
        return self.records

    def last_writes(self, object_name: str, ids: Sequence[str]) -> dict[str, LastWrite]:
        self.stats.calls += 1
        return {}

    def digests(self, object_name: str, ids: Sequence[str], field_name: str) -> Iterator[tuple[str, str, int]]:
        yield from ()


def measure(root: Path) -> dict[str, float]:
    """Reconcile in this process, so that its peak memory is its own."""
    con = open_work_db(root / "work.duckdb")
    with Ledger.open(
        root / "ledger.sqlite",
        workspace=bench_delta.WORKSPACE,
        engagement="bench",
        clock=ManualClock(),
        read_only=True,
    ) as ledger:
        opened_gb = _peak_gb()
        (payload,) = con.execute("SELECT payload FROM prepared.patients LIMIT 1").fetchone() or ("{}",)
        live = sum(ledger.live_counts().values())
        echo: Any = Echo(con, live, list(orjson.loads(payload)))
        before, started = time.process_time(), time.perf_counter()
        reconcile(con, ledger, echo, [bench_delta.STEP], run_id="run-1", progress=Silence())
        took, cpu = time.perf_counter() - started, time.process_time() - before
        (read,) = con.execute("SELECT read_back FROM reconcile.counts").fetchone() or (0,)
    con.close()
    return {
        "records_per_s": read / took,
        "cpu_us_a_record": 1e6 * cpu / read,
        "calls_per_1000": 1000 * echo.stats.calls / read,
        "peak_gb": _peak_gb(),
        "peak_gb_ledger_opened": opened_gb,
    }


def _peak_gb() -> float:
    return people.peak_gb()


def run(sizes: Sequence[int] = SIZES) -> dict[str, float]:
    """Build store and ledger of each size, reconcile each in a fresh process; figures are named by size."""
    told: dict[str, float] = {}
    for records in sizes:
        with tempfile.TemporaryDirectory(prefix="dentlib-bench-") as folder:
            _in_process("build", folder, records)
            for line in _in_process("measure", folder, records).split():
                name, value = line.split("=")
                told[f"{name}_{records}"] = float(value)
    told["peak_growth"] = told[f"peak_gb_{sizes[-1]}"] / told[f"peak_gb_{sizes[0]}"]
    return told


def _in_process(what: str, folder: str, records: int) -> str:
    command = [sys.executable, __file__, what, folder, str(records)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return done.stdout


if __name__ == "__main__":
    if len(sys.argv) == 1:
        for name, value in run().items():
            sys.stdout.write(f"{name}={value:.4g}\n")
    elif sys.argv[1] == "build":
        bench_delta.build(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        for name, value in measure(Path(sys.argv[2])).items():
            sys.stdout.write(f"{name}={value}\n")
