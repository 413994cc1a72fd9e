"""How many records a CPU second the Twenty sandbox creates: the server's own CPU time, read from its process.

Runs the real program as a child, as a demo does: batches of 200 people, `createPeople(data) { id }`, limits off, the
prefilled workflow's trigger left active, so that timeline rows and workflow runs are part of the price; then the same
with the trigger soft-deleted, and by REST with every field in the answer.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import orjson

BATCH_ROWS = 200
_CREATE = "mutation($d:[PersonCreateInput!]!){createPeople(data:$d){id}}"
_CHILD = "from pathlib import Path; from dentlib.sandbox.twenty.server import serve; import sys; \
serve(port=0, state=Path(sys.argv[1]), limits='off', die_with_parent=True)"


def _people(batch: int) -> list[dict[str, Any]]:
    return [
        {
            "name": {"firstName": f"First{batch}", "lastName": f"Last{row}"},
            "emails": {"primaryEmail": f"p{batch}.{row}@example.com"},
            "phones": {"primaryPhoneNumber": f"+1415555{(batch * BATCH_ROWS + row) % 10000:04d}"},
            "jobTitle": "Patient",
            "createdAt": "2019-05-06T07:08:09.000Z",
        }
        for row in range(BATCH_ROWS)
    ]


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _measure(client: httpx.Client, pid: int, path: str, bodies: list[bytes]) -> float:
    client.post("/sandbox/settle", json={})
    before = _cpu_s(pid)
    for body in bodies:
        answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
        if answer.status_code >= 300 or b'"errors"' in answer.content:
            raise RuntimeError(answer.text[:300])
    client.post("/sandbox/settle", json={})
    return len(bodies) * BATCH_ROWS / (_cpu_s(pid) - before)


def run(batches: int = 60) -> dict[str, Any]:
    """Measure and return creates per CPU second of the server, for three ways of creating."""
    key = secrets.token_hex(16)
    with tempfile.TemporaryDirectory() as folder:
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(Path(folder) / "state.sqlite")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "DENTLIB_SANDBOX_API_KEY": key},
        )
        assert child.stdout is not None
        url = json.loads(child.stdout.readline())["url"]
        client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60)
        try:
            return _run(client, child.pid, batches)
        finally:
            client.close()
            child.terminate()
            child.wait(timeout=20)


def _run(client: httpx.Client, pid: int, batches: int) -> dict[str, Any]:
    def graphql(first: int) -> list[bytes]:
        return [
            orjson.dumps({"query": _CREATE, "variables": {"d": _people(batch)}})
            for batch in range(first, first + batches)
        ]

    _measure(client, pid, "/graphql", graphql(900_000)[:3])
    started = time.perf_counter()
    with_runs = _measure(client, pid, "/graphql", graphql(0))
    elapsed_s = time.perf_counter() - started
    triggers = client.get("/rest/workflowAutomatedTriggers").json()["data"]["workflowAutomatedTriggers"]
    client.delete(f"/rest/workflowAutomatedTriggers/{triggers[0]['id']}?soft_delete=true")
    plain = _measure(client, pid, "/graphql", graphql(batches))
    rest = _measure(
        client, pid, "/rest/batch/people", [orjson.dumps(_people(batch)) for batch in range(5 * batches, 6 * batches)]
    )
    return {
        "graphql_id_only_per_cpu_s": round(plain),
        "graphql_with_workflow_runs_per_cpu_s": round(with_runs),
        "rest_all_fields_per_cpu_s": round(rest),
        "wall_per_s_with_runs": round(batches * BATCH_ROWS / elapsed_s),
        "records": 3 * batches * BATCH_ROWS,
    }


if __name__ == "__main__":
    print(json.dumps(run(), indent=1))
