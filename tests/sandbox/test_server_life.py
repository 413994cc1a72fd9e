"""Starting, stopping, dying: the state survives, keys stay valid, the program ends with its parent."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from dentlib.errors import UsageError
from dentlib.sandbox.twenty.server import TwentySandbox
from dentlib.sandbox.twenty.snapshot import dump_state

_SERVE = (
    "import sys; from pathlib import Path; from dentlib.sandbox.twenty.server import serve; "
    "serve(port=0, state=Path(sys.argv[1]), limits='off', die_with_parent=True)"
)
KEY = "an-opaque-key-of-the-parent"


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Any]:
    """Start the server as a program of its own; returns the process and its ready line."""
    running: list[subprocess.Popen[bytes]] = []

    def start(key: str | None = KEY) -> tuple[subprocess.Popen[bytes], dict[str, str]]:
        env = {**os.environ, **({"DENTLIB_SANDBOX_API_KEY": key} if key else {})}
        child = subprocess.Popen(
            [sys.executable, "-c", _SERVE, str(tmp_path / "state.sqlite")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=env,
        )
        running.append(child)
        assert child.stdout is not None
        return child, json.loads(child.stdout.readline())

    yield start
    for child in running:
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()


def _client(url: str, key: str = KEY) -> httpx.Client:
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=20)


def test_records_schema_and_keys_survive_a_restart(tmp_path: Path, connect: Any) -> None:
    """The same state file is the same workspace: same id, same records, an old key still good."""
    path = tmp_path / "kept.sqlite"
    with TwentySandbox(path, limits="off") as first:
        crm = connect(first)
        crm.new_object("recall", "recalls")
        crm.rest("POST", "recalls", {"name": "kept"}, status=201)
        key, workspace = first.api_key, first.workspace_id
    with TwentySandbox(path, limits="off") as second:
        again = connect(second, key)
        assert again.rest("GET", "recalls")["data"]["recalls"][0]["name"] == "kept"
        assert second.workspace_id == workspace
        assert connect(second).rest("GET", "recalls", status=200)


def test_a_killed_server_goes_on_where_it_was(program: Any, tmp_path: Path) -> None:
    """SIGKILL after an answer loses nothing of it, and the waiting timeline rows are written by the next start."""
    child, line = program()
    with _client(line["url"]) as client:
        client.post("/sandbox/settle", json={})
        assert client.post("/rest/batch/people", json=[{"jobTitle": "x"}] * 50).status_code == 201
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert sqlite3.connect(tmp_path / "state.sqlite").execute("PRAGMA integrity_check").fetchone() == ("ok",)
    _, line = program()
    with _client(line["url"]) as client:
        assert client.get('/rest/people?filter=jobTitle[eq]:"x"').json()["totalCount"] == 50
        assert client.get('/rest/timelineActivities?filter=name[eq]:"person.created"').json()["totalCount"] == 50


def test_the_program_ends_with_its_parent(program: Any) -> None:
    """End of standard input is the end of the server."""
    child, _ = program()
    assert child.stdin is not None
    child.stdin.close()
    assert child.wait(timeout=10) == 0


def test_sigterm_leaves_a_settled_state(program: Any, tmp_path: Path) -> None:
    """A polite end writes the waiting side effects first."""
    child, line = program()
    with _client(line["url"]) as client:
        client.post("/rest/people", json={})
        child.terminate()
        assert child.wait(timeout=10) == 0
    assert dump_state(tmp_path / "state.sqlite")["job"] == []


def test_no_key_is_stored_or_printed(program: Any, tmp_path: Path) -> None:
    """The parent's key is nowhere in the state, and the ready line holds address and workspace only."""
    _, line = program()
    assert set(line) == {"url", "workspace"}
    with _client(line["url"]) as client:
        assert client.post("/rest/people", json={}).status_code == 201
    assert KEY.encode() not in (tmp_path / "state.sqlite").read_bytes()
    assert {stat.S_IMODE(p.stat().st_mode) for p in tmp_path.glob("state.sqlite*")} == {0o600}


def test_without_a_given_key_one_is_written_for_its_owner_only(program: Any) -> None:
    """The key file is private, and its key is good."""
    _, line = program(key=None)
    path = Path(line["key_file"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with _client(line["url"], path.read_text().strip()) as client:
        assert client.get("/rest/people").status_code == 200


@pytest.mark.parametrize(
    ("key", "status", "message"),
    [
        (None, 403, "Missing authentication token"),
        ("abc", 401, "Token invalid."),
        ("a.b.c", 401, "Token invalid."),
    ],
)
def test_bad_tokens_are_refused(sandbox: TwentySandbox, key: str | None, status: int, message: str) -> None:
    """With the words of the recorded answers."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    answer = httpx.get(f"{sandbox.url}/rest/people", headers=headers)
    assert (answer.status_code, answer.json()["messages"]) == (status, [message])


def test_expired_and_revoked_keys_are_refused(sandbox: TwentySandbox, connect: Any) -> None:
    """An expired key is 401, a revoked one 403; one signed by somebody else is no key at all."""
    expired = sandbox.make_key(expires_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert connect(sandbox, expired).rest("GET", "people", status=401)["messages"] == ["Token has expired."]
    revoked = sandbox.make_key(revoked=True)
    assert connect(sandbox, revoked).rest("GET", "people", status=403)["messages"] == ["This API Key is revoked"]
    with TwentySandbox() as other:
        connect(other, sandbox.api_key).rest("GET", "people", status=401)


def test_each_opaque_token_gets_a_workspace_of_its_own(connect: Any) -> None:
    """In per-token mode two tokens see nothing of each other."""
    with TwentySandbox(limits="off", workspaces="per-token") as sandbox:
        one, other = connect(sandbox, "token-one"), connect(sandbox, "token-two")
        one.new_object("recall", "recalls")
        one.rest("POST", "recalls", {"name": "mine"}, status=201)
        other.rest("GET", "recalls", status=400)
        assert one.rest("GET", "recalls")["totalCount"] == 1


def test_members_come_from_a_file(tmp_path: Path, connect: Any) -> None:
    """CSV with a name and an e-mail is enough; by default the sample practice's staff are there."""
    path = tmp_path / "members.csv"
    path.write_text("name,email\nMara Velden,Mara@Example.com\n", encoding="utf-8")
    with TwentySandbox(members=path) as sandbox:
        rows = connect(sandbox).rest("GET", "workspaceMembers")["data"]["workspaceMembers"]
    assert [(row["name"]["lastName"], row["userEmail"]) for row in rows] == [("Velden", "mara@example.com")]
    with TwentySandbox() as sandbox:
        assert connect(sandbox).rest("GET", "workspaceMembers")["totalCount"] == 6


def test_bad_settings_say_the_way_out(tmp_path: Path) -> None:
    """An unknown version, a members file that is none."""
    with pytest.raises(UsageError, match=r"known: 2\.21"):
        TwentySandbox(version="9.9")
    with pytest.raises(UsageError, match="can't be read"):
        TwentySandbox(members=tmp_path / "none.csv")
