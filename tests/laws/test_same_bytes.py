"""Two rehearsals of one export under an injected clock leave the same behind, byte for byte."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from dentlib import samples
from dentlib.sandbox.twenty.snapshot import differences, dump_state

sys.path.insert(0, str(Path(__file__).parent))

from running import VERSIONS

PROGRAM = Path(__file__).with_name("rehearse.py")
STORES = ("ledgers", ".sqlite", ".duckdb", ".lock")
"""Files of databases, whose bytes depend on how they were written: their content is compared instead."""


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with closing(socket.socket()) as door:
        door.bind(("127.0.0.1", 0))
        port: int = door.getsockname()[1]
        return port


def rehearse(home: Path, export: Path, later: Path, port: int, version: str, hash_seed: str) -> None:
    """Walk the line in a process with its own order of sets."""
    env = {**os.environ, "PYTHONHASHSEED": hash_seed}
    env.pop("DENTLIB_RUN_DIR", None)
    command = [sys.executable, str(PROGRAM), str(home), str(export), str(later), str(port), version]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def files(root: Path) -> dict[str, str]:
    """Return every file but the stores': path → sha256."""
    found = {}
    for file in sorted(p for p in root.rglob("*") if p.is_file()):
        name = str(file.relative_to(root))
        if not any(part in name for part in STORES):
            found[name] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def ledger(root: Path) -> list[tuple[object, ...]]:
    """Return the whole journal; the last hash is the head of the chain."""
    (file,) = (root / "ledgers").glob("*.sqlite")
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
        return db.execute("SELECT seq, at, kind, run, body, block, hash FROM entry ORDER BY seq").fetchall()


def prepared(root: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return what was prepared, table by table, in its own order."""
    with closing(duckdb.connect(str(root / "work.duckdb"), read_only=True)) as con:
        sql = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'prepared' ORDER BY 1"
        names = [name for (name,) in con.execute(sql).fetchall()]
        return {name: con.execute(f'SELECT * FROM prepared."{name}"').fetchall() for name in names}


@pytest.mark.law
@pytest.mark.parametrize("version", VERSIONS)
def test_two_rehearsals_are_the_same(tmp_path: Path, version: str) -> None:
    """Records, ids, the chain of the ledger, pages and evidence: new, audit, review, sample, run, delta, reconcile."""
    first, second = tmp_path / "export", tmp_path / "later"
    samples.write_samples("dent-o-soft", first, 40, 11)
    samples.write_samples("dent-o-soft", second, 40, 11, round=2)
    home, port = tmp_path / "home", free_port()
    rehearse(home, first, second, port, version, "1")
    shutil.move(home, tmp_path / "one")
    rehearse(home, first, second, port, version, "2")
    one, two = tmp_path / "one" / "same", home / "same"
    for mine, other in zip(ledger(one), ledger(two), strict=True):
        assert mine == other
    assert prepared(one) == prepared(two)
    states = [dump_state(place / "sandbox-twenty.sqlite") for place in (one, two)]
    assert differences(*states) == {}
    assert files(one) == files(two)
