"""Load into the sandbox with limits off, against a bare loop that sends the same batches: paired windows, AB/BA."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import duckdb
import httpx
import orjson
import pyarrow as pa

from dentlib import loading
from dentlib.clock import SystemClock
from dentlib.destinations import open_destination
from dentlib.loading import Ledger
from dentlib.model import LoadStep

ROWS = 10_000
PAIRS = 12
BATCH = 200
STEP = LoadStep(name="people", object_name="person", table="people", source_prefix="")
MUTATION = "mutation($d:[PersonCreateInput!]!){createPeople(data:$d){id}}"


@contextmanager
def served(state: Path) -> Iterator[tuple[str, str]]:
    """Run the sandbox in a process of its own, as an engagement does."""
    key = secrets.token_urlsafe(24)
    command = [sys.executable, "-m", "dentlib", "sandbox", "twenty", "--port", "0", "--limits", "off"]
    command += ["--state", str(state), "--die-with-parent"]
    env = {**os.environ, "DENTLIB_SANDBOX_API_KEY": key}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as child:
        assert child.stdout is not None
        yield orjson.loads(child.stdout.readline())["url"], key
        child.terminate()


def person(window: str, number: int) -> dict[str, object]:
    """One invented person, as large as a patient."""
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{window}-{number}")),
        "name": {"firstName": f"First{number}", "lastName": f"Last{window}"},
        "emails": {"primaryEmail": f"p{number}.{window}@example.com", "additionalEmails": []},
        "phones": {
            "primaryPhoneNumber": "4155552671",
            "primaryPhoneCountryCode": "US",
            "primaryPhoneCallingCode": "+1",
        },
        "jobTitle": "patient",
        "createdAt": "2020-02-03T10:00:00.000Z",
    }


def bare(url: str, key: str, window: str) -> float:
    """Send the batches and do nothing else; return seconds."""
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as client:
        rows = [person(window, n) for n in range(ROWS)]
        started = time.perf_counter()
        for start in range(0, ROWS, BATCH):
            body = orjson.dumps({"query": MUTATION, "variables": {"d": rows[start : start + BATCH]}})
            answer = client.post("/graphql", content=body, headers={"Content-Type": "application/json"})
            if "errors" in answer.json():
                raise RuntimeError("the bare loop was refused")
        return time.perf_counter() - started


def prepared(window: str) -> duckdb.DuckDBPyConnection:
    """Lay the same rows out as prepare does."""
    con = duckdb.connect()
    con.execute("CREATE SCHEMA prepared")
    con.execute(
        "CREATE TABLE prepared.people (ordinal BIGINT, source_key VARCHAR, record_id VARCHAR, payload VARCHAR, "
        "row_hash VARCHAR, file_path VARCHAR, source_table VARCHAR, source_file VARCHAR, source_row BIGINT, "
        "in_sample BOOLEAN)"
    )
    con.execute(
        "CREATE TABLE prepared.outcomes (step VARCHAR, source_table VARCHAR, source_key VARCHAR, source_file VARCHAR, "
        "source_row BIGINT, outcome VARCHAR, code VARCHAR, reason VARCHAR)"
    )
    rows = [person(window, n) for n in range(ROWS)]
    columns = {
        "n": list(range(ROWS)),
        "id": [r["id"] for r in rows],
        "payload": [orjson.dumps(r).decode() for r in rows],
    }
    con.register("rows", pa.table(columns))
    con.execute(
        "INSERT INTO prepared.people SELECT n, $1 || '-' || n, id, payload, sha256(payload), NULL, 'people', "
        "'people.csv', n, false FROM rows",
        [window],
    )
    return con


def ours(ledger: Ledger, url: str, key: str, window: str) -> float:
    """Load the same number of rows through the ledger; return seconds."""
    con = prepared(window)
    destination = open_destination("twenty", url, key, clock=SystemClock(), calls_per_minute=None)
    loading.load(ledger, destination, con, [], run_id=f"warm-{window}", kind="run", clock=SystemClock())
    started = time.perf_counter()
    loading.load(ledger, destination, con, [STEP], run_id=f"run-{window}", kind="run", clock=SystemClock())
    elapsed_s = time.perf_counter() - started
    destination.close()
    return elapsed_s


def run() -> dict[str, float]:
    """Alternate bare loop and loader; return the median share of the bare loop's speed."""
    shares = []
    with (
        tempfile.TemporaryDirectory(prefix="dentlib-bench-") as folder,
        served(Path(folder) / "state.sqlite") as (url, key),
    ):
        destination = open_destination("twenty", url, key, clock=SystemClock(), calls_per_minute=None)
        for switch in destination.switches():  # off for both, else the bare loop alone would pay for workflow runs
            destination.switch_off(switch)
        workspace, file = destination.workspace(), Path(folder) / "ledger.sqlite"
        with Ledger.open(file, workspace=workspace, engagement="bench", clock=SystemClock()) as ledger:
            for pair in range(PAIRS):
                first = bare(url, key, f"a{pair}") if pair % 2 == 0 else 0.0
                second = ours(ledger, url, key, f"b{pair}")
                shares.append((first or bare(url, key, f"a{pair}")) / second)
        destination.close()
    return {"share_of_bare_loop": median(shares), "records_per_window": float(ROWS), "windows": float(PAIRS)}
