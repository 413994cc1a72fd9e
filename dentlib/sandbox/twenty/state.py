"""The sandbox's whole state: one SQLite file in WAL mode, one transaction per request.

Tables hold what the real server's database holds and nothing of our own, so that a rollback can be proven by comparing
them row by row. Nothing uses AUTOINCREMENT: a deleted row leaves no trace. The limiter's and the faults' state is in
memory only.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from dentlib.errors import UsageError
from dentlib.sandbox.twenty.versions import NEWEST, RELEASES, Release, release

SCHEMA = """
CREATE TABLE IF NOT EXISTS workspace (
  ws INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, token_hash TEXT UNIQUE, secret TEXT NOT NULL,
  display_name TEXT NOT NULL, metadata_version INTEGER NOT NULL, flags TEXT NOT NULL, created_at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS role (ws INTEGER NOT NULL, id TEXT NOT NULL, doc TEXT NOT NULL, PRIMARY KEY (ws, id))
  WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS api_key (ws INTEGER NOT NULL, id TEXT NOT NULL, role TEXT NOT NULL, doc TEXT NOT NULL,
  PRIMARY KEY (ws, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS webhook (ws INTEGER NOT NULL, id TEXT NOT NULL, doc TEXT NOT NULL, PRIMARY KEY (ws, id))
  WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS object_metadata (ws INTEGER NOT NULL, slot INTEGER NOT NULL, doc TEXT NOT NULL,
  PRIMARY KEY (ws, slot)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS field_metadata (ws INTEGER NOT NULL, slot INTEGER NOT NULL, obj INTEGER NOT NULL,
  doc TEXT NOT NULL, PRIMARY KEY (ws, slot)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS index_metadata (ws INTEGER NOT NULL, id TEXT NOT NULL, obj INTEGER NOT NULL,
  doc TEXT NOT NULL, PRIMARY KEY (ws, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS view (ws INTEGER NOT NULL, id TEXT NOT NULL, obj INTEGER NOT NULL, doc TEXT NOT NULL,
  PRIMARY KEY (ws, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS view_field (ws INTEGER NOT NULL, id TEXT NOT NULL, view TEXT NOT NULL,
  field INTEGER NOT NULL, doc TEXT NOT NULL, PRIMARY KEY (ws, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS record (
  ws INTEGER NOT NULL, obj INTEGER NOT NULL, id TEXT NOT NULL, deleted_at TEXT, created_at TEXT, position REAL,
  doc TEXT NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS record_id ON record (ws, obj, id);
CREATE TABLE IF NOT EXISTS unique_value (ws INTEGER NOT NULL, field INTEGER NOT NULL, value NOT NULL, id TEXT NOT NULL,
  PRIMARY KEY (ws, field, value)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS link (ws INTEGER NOT NULL, target TEXT NOT NULL, field INTEGER NOT NULL, id TEXT NOT NULL,
  PRIMARY KEY (ws, target, field, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS file (ws INTEGER NOT NULL, id TEXT NOT NULL, field INTEGER NOT NULL, doc TEXT NOT NULL,
  content BLOB, PRIMARY KEY (ws, id));
CREATE TABLE IF NOT EXISTS job (seq INTEGER PRIMARY KEY, ws INTEGER NOT NULL, kind TEXT NOT NULL,
  payload TEXT NOT NULL);
"""


class State:
    """One open state file.

    Not thread-safe: the server's event loop is the only user. Reads outside `write()` see the last committed state.
    """

    def __init__(self, path: Path | None, version: str = NEWEST) -> None:
        self.path = path
        self.release: Release = release(version)
        if path:
            path.touch(mode=0o600)  # SQLite gives its side files the same rights; it holds what a practice sent
        self.db = sqlite3.connect(
            str(path) if path else ":memory:", isolation_level=None, check_same_thread=False, cached_statements=512
        )
        try:
            self.db.execute("PRAGMA journal_mode=WAL")
        except sqlite3.DatabaseError as error:
            self.db.close()
            raise UsageError(f"{path} can't be used as a sandbox's state: {error}", "move it away") from error
        self.db.execute("PRAGMA synchronous=NORMAL")
        # Rare checkpoints: random ids touch many pages a batch, and each page is then copied once instead of often.
        self.db.execute("PRAGMA wal_autocheckpoint=20000")
        self.db.execute("PRAGMA cache_size=-196608")
        self.db.execute("PRAGMA temp_store=MEMORY")
        self.db.execute("PRAGMA case_sensitive_like=ON")
        self.db.create_function("fold", 1, _fold, deterministic=True)
        self._claim(path)
        self.db.executescript(SCHEMA)
        self._depth = 0

    def _claim(self, path: Path | None) -> None:
        """Note the version in a new file; refuse a file of another one."""
        number = self.db.execute("PRAGMA user_version").fetchone()[0]
        if not number and self.db.execute("SELECT 1 FROM sqlite_master WHERE name='workspace'").fetchone():
            number = RELEASES["2.21"].state_number  # written before versions were noted
        if number and number != self.release.state_number:
            self.db.close()
            known = {one.state_number: one.name for one in RELEASES.values()}
            raise UsageError(
                f"{path} is the state of a Twenty {known.get(number, 'of an unknown version')}, "
                f"not of a {self.release.name}",
                f"start it with --version {known[number]}, or use another --state"
                if number in known
                else "use another --state",
            )
        self.db.execute(f"PRAGMA user_version={self.release.state_number}")

    def close(self) -> None:
        """Close the file; everything committed is in it."""
        self.db.close()

    @contextmanager
    def write(self) -> Iterator[None]:
        """Run the block in one transaction; nested blocks are savepoints, undone alone when they raise."""
        if self._depth == 0:
            self.db.execute("BEGIN IMMEDIATE")
        else:
            self.db.execute(f"SAVEPOINT s{self._depth}")
        self._depth += 1
        try:
            yield
        except BaseException:
            self._depth -= 1
            if self._depth == 0:
                self.db.execute("ROLLBACK")
            else:
                self.db.execute(f"ROLLBACK TO s{self._depth}")
                self.db.execute(f"RELEASE s{self._depth}")
            raise
        self._depth -= 1
        self.db.execute("COMMIT" if self._depth == 0 else f"RELEASE s{self._depth}")

    def all(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Fetch every row."""
        return self.db.execute(sql, parameters).fetchall()

    def one(self, sql: str, parameters: Sequence[object] = ()) -> tuple[Any, ...] | None:
        """Fetch the first row, or None."""
        row: tuple[Any, ...] | None = self.db.execute(sql, parameters).fetchone()
        return row


def dumps(value: object) -> str:
    """Write JSON as stored: minified, keys in the order given."""
    return orjson.dumps(value).decode()


def _fold(value: object) -> str | None:
    return None if value is None else str(value).casefold()
