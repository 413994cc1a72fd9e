"""What the loading benchmarks share: a sandbox in a process of its own, invented people, and their work store."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import httpx
import orjson

from dentlib.clock import SystemClock
from dentlib.destinations import open_destination
from dentlib.model import Destination, LoadStep
from dentlib.workdb import open_work_db

BATCH_ROWS = 200
STEP = LoadStep(name="people", object_name="person", table="people", source_prefix="")
MUTATION = "mutation($d:[PersonCreateInput!]!){createPeople(data:$d){id}}"
_ROWS = """
    WITH one AS (SELECT n, md5($window || '-' || n) AS h FROM range($rows) AS r(n)),
    ided AS (SELECT n, concat_ws('-', h[1:8], h[9:12], '4' || h[14:16], '8' || h[18:20], h[21:32]) AS id FROM one),
    made AS (
      SELECT n, id, '{"id":"' || id || '","name":{"firstName":"First' || n || '","lastName":"Last' || $window
        || '"},"emails":{"primaryEmail":"p' || n || '.' || $window || '@example.com","additionalEmails":[]},"phones":'
        || '{"primaryPhoneNumber":"4155552671","primaryPhoneCountryCode":"US","primaryPhoneCallingCode":"+1"},'
        || '"jobTitle":"' || CASE WHEN n % 1000 < $changed THEN 'former patient' ELSE 'patient' END
        || '","createdAt":"2020-02-03T10:00:00.000Z"}' AS payload
      FROM ided)
"""
"""Invented people, as large as a patient; of every thousand `changed` have another job than in a store with 0."""


def peak_gb() -> float:
    """Return this process's peak memory. Not `ru_maxrss`: that begins with the peak of whoever started the process."""
    (line,) = [x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM")]
    return int(line.split()[1]) / 1e6


@contextmanager
def served(state: Path, limits: str = "off") -> Iterator[tuple[str, str]]:
    """Run the sandbox in a process of its own, as an engagement does; give url and key."""
    key = secrets.token_urlsafe(24)
    command = [sys.executable, "-m", "dentlib", "sandbox", "twenty", "--port", "0", "--limits", limits]
    command += ["--state", str(state), "--die-with-parent"]
    env = {**os.environ, "DENTLIB_SANDBOX_API_KEY": key}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as child:
        assert child.stdout is not None
        yield orjson.loads(child.stdout.readline())["url"], key
        child.terminate()


def connected(url: str, key: str, calls_per_minute: int | None = None) -> Destination:
    """Open the workspace."""
    return open_destination("twenty", url, key, clock=SystemClock(), calls_per_minute=calls_per_minute)


def quieten(url: str, key: str) -> None:
    """Switch triggers off for good: for both sides of a comparison, else only the bare one would pay for their runs."""
    destination = connected(url, key)
    for switch in destination.switches():
        destination.switch_off(switch)
    destination.close()


def bodies(window: str, rows: int) -> list[bytes]:
    """Return the bodies of a bare loop's requests."""
    payloads = [
        text
        for (text,) in duckdb.execute(f"{_ROWS} SELECT payload FROM made ORDER BY n", _with(window, rows)).fetchall()
    ]
    front = orjson.dumps({"query": MUTATION})[:-1] + b',"variables":{"d":['
    return [
        front + ",".join(payloads[start : start + BATCH_ROWS]).encode() + b"]}}" for start in range(0, rows, BATCH_ROWS)
    ]


def bare_client(url: str, key: str) -> httpx.Client:
    """Return a plain client, as anyone would write it."""
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60)


def send(client: httpx.Client, body: bytes) -> None:
    """Send one batch and look at no more than whether it was refused."""
    answer = client.post("/graphql", content=body, headers={"Content-Type": "application/json"})
    if b'"errors"' in answer.content:
        raise RuntimeError("the bare loop was refused")


def prepare(file: Path, window: str, rows: int, *, changed_per_thousand: int = 0) -> duckdb.DuckDBPyConnection:
    """Lay the people out as the stage `prepare` does, in place of any before; return the open work store."""
    con = open_work_db(file)
    con.execute("CREATE SCHEMA IF NOT EXISTS prepared")
    con.execute(
        "CREATE OR REPLACE TABLE prepared.people (ordinal BIGINT, source_key VARCHAR, record_id VARCHAR, "
        "payload VARCHAR, row_hash VARCHAR, file_path VARCHAR, source_table VARCHAR, source_file VARCHAR, "
        "source_row BIGINT, in_sample BOOLEAN)"
    )
    con.execute(
        "CREATE OR REPLACE TABLE prepared.outcomes (step VARCHAR, source_table VARCHAR, source_key VARCHAR, "
        "source_file VARCHAR, source_row BIGINT, outcome VARCHAR, code VARCHAR, reason VARCHAR)"
    )
    con.execute(
        f"INSERT INTO prepared.people {_ROWS} SELECT n, $window || '-' || n, id, payload, sha256(payload), NULL, "
        "'people', 'people.csv', n, false FROM made ORDER BY n",
        _with(window, rows, changed_per_thousand),
    )
    return con


def _with(window: str, rows: int, changed: int = 0) -> dict[str, object]:
    return {"window": window, "rows": rows, "changed": changed}
