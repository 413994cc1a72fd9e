"""The command line: exit codes, one clear message, JSON, and that nothing is written where something is wrong."""

from __future__ import annotations

import errno
import sqlite3
import subprocess
import sys
import zipfile
from pathlib import Path

import duckdb
import orjson
import pytest

from dentlib import samples
from dentlib.engagement import Engagement
from dentlib.results import as_ours
from dentlib.sandbox.twenty.server import TwentySandbox
from dentlib.sandbox.twenty.snapshot import differences, dump_state

FLAGS = ["--client", "Bright Smile", "--time-zone", "America/Los_Angeles", "--currency", "USD", "--phone-country", "US"]
FLAGS += ["--languages", "en", "--fallback-owner", "admin@brightsmile.example"]


def dentlib(*words: str) -> subprocess.CompletedProcess[str]:
    """Call the command line as a person does."""
    return subprocess.run([sys.executable, "-m", "dentlib", *words], capture_output=True, text=True, check=False)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home."""
    monkeypatch.setenv("DENTLIB_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DENTLIB_RUN_DIR", raising=False)
    monkeypatch.delenv("DENTLIB_TRACEBACK", raising=False)
    return tmp_path / "home"


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small sample export."""
    folder = tmp_path_factory.mktemp("samples") / "export"
    samples.write_samples("dent-o-soft", folder, 25, 3)
    return folder


def refused(told: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """One message with the way out, on standard error, and no traceback."""
    assert told.returncode == code, (told.returncode, told.stdout, told.stderr)
    assert "Traceback" not in told.stderr
    assert "way out" in told.stderr
    for word in words:
        assert word in told.stderr, told.stderr


def new(name: str, export: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Call `dentlib new`."""
    return dentlib(
        "new", name, "--source", "dent-o-soft", "--destination", "twenty", "--export", str(export), *FLAGS, *flags
    )


def test_unusable_exports_end_with_2_and_leave_nothing(home: Path, tmp_path: Path) -> None:
    """No such folder, an empty zip, a table that is no text."""
    empty = tmp_path / "empty.zip"
    zipfile.ZipFile(empty, "w").close()
    binary = tmp_path / "binary"
    binary.mkdir()
    (binary / "Patients.csv").write_bytes(bytes(range(256)) * 64)
    refused(new("a", tmp_path / "nowhere"), 2, "nowhere")
    refused(new("b", empty), 2)
    refused(new("c", binary), 2, "Patients.csv")
    assert not [p for p in home.glob("*") if p.name != ".locks"]


def test_unknown_things_end_with_2(home: Path, export: Path) -> None:
    """Unknown product, engagement, option: the message names what is known."""
    unknown = dentlib("new", "x", "--source", "nope", "--destination", "twenty", "--export", str(export))
    refused(unknown, 2, "dent-o-soft")
    refused(dentlib("audit", "nobody"), 2, "no engagement 'nobody'")
    refused(dentlib("run", "nobody", "--colour", "red"), 2, "dentlib run --help")
    refused(dentlib("frob"), 2, "dentlib --help")
    refused(dentlib("sandbox", "zoho"), 2, "dentlib sandbox --help")
    refused(new("bad", export, "--currency", "dollars"), 2, "currency")


def test_a_machine_reads_one_object_whatever_happens(home: Path, export: Path) -> None:
    """With --json a refusal, a wrong option and a closed gate in a notebook are each one object on standard output."""
    for words, code, error in (
        (["status", "nobody"], 2, "UsageError"),
        (["run", "nobody", "--colour", "red"], 2, "UsageError"),
    ):
        told = dentlib(*words, "--json")
        said = orjson.loads(told.stdout)
        assert (told.returncode, said["exit_code"], said["error"]) == (code, code, error)
        assert said["message"]
        assert said["hint"]
        refused(told, code)
    assert new("bright", export).returncode == 0
    told = dentlib("run", "bright", "--json")
    said = orjson.loads(told.stdout)
    assert (told.returncode, said["exit_code"], said["error"]) == (1, 1, "GateClosed")


def test_a_terminal_without_utf8_costs_nothing(home: Path, export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with letters that the terminal does not have is shown with escapes; JSON stays JSON."""
    assert new("bright", export, "--client", "Żółw Café").returncode == 0
    for encoding in ("ascii", "cp1252"):
        monkeypatch.setenv("PYTHONIOENCODING", encoding)
        shown = subprocess.run([sys.executable, "-m", "dentlib", "status", "bright"], capture_output=True, check=False)
        assert shown.returncode == 0, shown.stderr
        assert b"\\u017b" in shown.stdout
        told = subprocess.run(
            [sys.executable, "-m", "dentlib", "status", "bright", "--json"], capture_output=True, check=False
        )
        assert orjson.loads(told.stdout)["client"] == "Żółw Café"


def test_a_full_disk_is_told_without_quoting_anything() -> None:
    """From Python, SQLite and DuckDB alike; a right that is missing too; anything else stays unexpected."""
    for error in (
        OSError(errno.ENOSPC, "No space left on device", "/x/Ana O'Neil.pdf"),
        sqlite3.OperationalError("database or disk is full"),
        duckdb.IOException('Could not write file "/x/work.duckdb": No space left on device'),
    ):
        known = as_ours(error)
        assert known is not None
        assert known.hint
        assert str(known).startswith("the disk is full")
    denied = as_ours(PermissionError(errno.EACCES, "Permission denied", "/x/Ana O'Neil.pdf"))
    assert denied is not None
    assert "Ana" not in str(denied)
    assert as_ours(ValueError("Ana O'Neil")) is None


def test_the_way_to_a_first_write(home: Path, export: Path) -> None:
    """new, status, audit and review run as notebooks; a run without approvals ends with 1 and writes nothing."""
    assert new("bright", export).returncode == 0
    told = orjson.loads(dentlib("status", "bright", "--json").stdout)
    assert told["map"] == "not approved"
    audit = dentlib("audit", "bright", "--json")
    assert audit.returncode == 0, audit.stderr
    facts = orjson.loads(audit.stdout)["facts"]
    assert {t["name"] for t in facts["tables"]} >= {"patients", "appointments"}
    review = dentlib("review", "bright")
    assert review.returncode == 0, review.stderr
    engagement = Engagement.open("bright")
    before = dump_state(engagement.root / "sandbox-twenty.sqlite")
    refused(dentlib("run", "bright"), 1, "not approved")
    refused(dentlib("sample", "bright"), 1, "not approved")
    assert differences(before, dump_state(engagement.root / "sandbox-twenty.sqlite")) == {}
    assert (engagement.reports / "index.html").is_file()
    assert list(engagement.folder("runs").glob("*-audit/01_audit.ipynb"))


def test_a_destination_that_says_no(home: Path, export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A workspace that is down, a wrong key, a field in the way: told with the way out, nothing written."""
    assert new("bright", export).returncode == 0
    monkeypatch.setenv("BRIGHT_KEY", "no-key-of-this-workspace")
    down = dentlib("configure", "bright", "--url", "http://127.0.0.1:9", "--api-key", "env:BRIGHT_KEY")
    assert down.returncode == 0, down.stderr
    refused(dentlib("review", "bright"), 2, "127.0.0.1:9")
    with TwentySandbox(tmp_path / "theirs.sqlite", limits="off") as sandbox:
        dentlib("configure", "bright", "--url", sandbox.url)
        wrong = dentlib("review", "bright")
        refused(wrong, 2, "key")
        assert "no-key-of-this-workspace" not in wrong.stderr + wrong.stdout
        monkeypatch.setenv("BRIGHT_KEY", sandbox.api_key)
        _in_the_way(sandbox)
        before = dump_state(tmp_path / "theirs.sqlite")
        told = dentlib("review", "bright")
        refused(told, 1, "sourceSystemId")
        refused(dentlib("approve", "bright", "map", "--by", "A. Analyst"), 1, "sourceSystemId")
        assert differences(before, dump_state(tmp_path / "theirs.sqlite")) == {}
        assert sandbox.api_key not in told.stdout + told.stderr
    for file in [p for p in home.rglob("*") if p.is_file() and p.suffix in (".json", ".yaml", ".ipynb", ".html")]:
        assert sandbox.api_key not in file.read_text(encoding="utf-8"), file


def _in_the_way(sandbox: TwentySandbox) -> None:
    """Give the workspace a `sourceSystemId` of another type on person."""
    import httpx

    def ask(query: str, **variables: object) -> dict[str, object]:
        answer = httpx.post(
            f"{sandbox.url}/metadata",
            json={"query": query, "variables": variables},
            headers={"Authorization": f"Bearer {sandbox.api_key}"},
        )
        data: dict[str, object] = answer.json()
        assert "errors" not in data, data
        return data

    found = ask("{objects(paging:{first:200}){edges{node{id nameSingular}}}}")
    nodes = [e["node"] for e in found["data"]["objects"]["edges"]]  # type: ignore[index]
    person = next(n["id"] for n in nodes if n["nameSingular"] == "person")
    field = {"objectMetadataId": person, "type": "NUMBER", "name": "sourceSystemId", "label": "Source System ID"}
    ask("mutation($f:CreateOneFieldMetadataInput!){createOneField(input:$f){id}}", f={"field": field})
