"""What the journal's entries mean, as tables: kept in the transaction of each entry, rebuilt to be compared.

Pure functions of (journal so far, entry); no clock, no destination.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import orjson

from dentlib.model import JSON

_TABLES = {
    "current": "step, source_key, record_id, object, row_hash, state, op, run, made, call",
    "trouble": "run, step, source_key, row_hash, code, reason",
    "open_call": "seq",
    "upload": "step, source_key, sha256, ticket, state",
    "adopted": "step, source_key, record_id, found, rule",
}

_WRITE = """
    INSERT INTO {t}current VALUES (?,?,?,?,?,'live',?,?,?,?)
    ON CONFLICT (step, source_key) DO UPDATE SET record_id = excluded.record_id, object = excluded.object,
        row_hash = excluded.row_hash, state = 'live', op = excluded.op, run = excluded.run, call = excluded.call,
        made = CASE WHEN excluded.op = 'create' OR state <> 'live' THEN excluded.made ELSE made END
"""


def project(db: sqlite3.Connection, seq: int, kind: str, run: str, body: JSON, prefix: str = "") -> None:
    """Apply one entry's effect. `prefix`: schema of the tables (`temp.` while rebuilding)."""
    effect = _EFFECTS.get(kind)
    if effect is not None:
        effect(db, seq, run, body, prefix)


def _call(db: sqlite3.Connection, seq: int, run: str, body: JSON, prefix: str) -> None:
    db.execute(f"INSERT INTO {prefix}open_call VALUES (?)", (seq,))


def _done(db: sqlite3.Connection, seq: int, run: str, body: JSON, prefix: str) -> None:
    number = body["call"]
    db.execute(f"DELETE FROM {prefix}open_call WHERE seq = ?", (number,))
    text, its_run = db.execute("SELECT body, run FROM main.entry WHERE seq = ?", (number,)).fetchone()
    call = orjson.loads(text)
    step, op = call["step"], call["op"]
    failed = {key: (code, words) for key, code, words in body["failed"]}
    aside = set(body["unwritten"]) | set(failed)
    written = [row for row in call["rows"] if row[0] not in aside]
    if op == "destroy":
        db.executemany(
            f"UPDATE {prefix}current SET state = 'destroyed' WHERE step = ? AND source_key = ?",
            [(step, row[0]) for row in written],
        )
        db.executemany(
            f"DELETE FROM {prefix}adopted WHERE step = ? AND source_key = ?", [(step, row[0]) for row in written]
        )
        return
    if matched := call.get("matched"):
        rules = {row[0]: rule for row, rule in zip(call["rows"], matched["rules"], strict=True)}
        db.executemany(
            f"INSERT OR REPLACE INTO {prefix}adopted VALUES (?,?,?,?,?)",
            [(step, key, rid, matched["found"], rules[key]) for key, rid, _ in written],
        )
    db.executemany(
        _WRITE.format(t=prefix),
        [(step, key, rid, call["object"], digest, op, its_run, number, number) for key, rid, digest in written],
    )
    if failed:
        hashes = {key: digest for key, _, digest in call["rows"]}
        db.executemany(
            f"INSERT OR REPLACE INTO {prefix}trouble VALUES (?,?,?,?,?,?)",
            [(its_run, step, key, hashes[key], code, words) for key, (code, words) in failed.items()],
        )
    if written:
        db.executemany(
            f"DELETE FROM {prefix}trouble WHERE run = ? AND step = ? AND source_key = ?",
            [(its_run, step, row[0]) for row in written],
        )


def _rows(db: sqlite3.Connection, seq: int, run: str, body: JSON, prefix: str) -> None:
    if body["outcome"] == "failed":
        db.executemany(
            f"INSERT OR REPLACE INTO {prefix}trouble VALUES (?,?,?,?,?,?)",
            [(run, body["step"], row[0], row[6], row[2], row[3]) for row in body["rows"]],
        )
    elif body["outcome"] == "settled":
        db.executemany(
            f"DELETE FROM {prefix}trouble WHERE run = ? AND step = ? AND source_key = ?",
            [(run, body["step"], row[0]) for row in body["rows"]],
        )


def _upload(db: sqlite3.Connection, seq: int, run: str, body: JSON, prefix: str) -> None:
    db.execute(
        f"INSERT OR REPLACE INTO {prefix}upload VALUES (?,?,?,?,?)",
        (body["step"], body["key"], body["sha256"], orjson.dumps(body["ticket"]).decode(), body["state"]),
    )


_EFFECTS: dict[str, Callable[[sqlite3.Connection, int, str, JSON, str], None]] = {
    "call": _call,
    "done": _done,
    "rows": _rows,
    "upload": _upload,
}


def projection_differs(db: sqlite3.Connection) -> str | None:
    """Rebuild all projections from the journal in temporary tables; return the first table that differs, or None."""
    db.execute("PRAGMA query_only = OFF")
    db.execute("BEGIN")
    try:
        written = dict(db.execute("SELECT name, sql FROM main.sqlite_schema WHERE type = 'table'"))
        # a ledger from before a table was thought of has nothing to put into it; the next writer makes it
        present = [name for name in _TABLES if name in written]
        for name in present:
            sql: str = written[name]
            db.execute(sql.replace(f"CREATE TABLE {name}", f"CREATE TEMP TABLE {name}", 1))
        kinds = ",".join(f"'{k}'" for k in _EFFECTS)
        journal = db.execute(f"SELECT seq, kind, run, body FROM main.entry WHERE kind IN ({kinds}) ORDER BY seq")
        for seq, kind, run, body in journal:
            project(db, seq, kind, run, orjson.loads(body), "temp.")
        for name in present:
            columns = _TABLES[name]
            one, other = f"SELECT {columns} FROM main.{name}", f"SELECT {columns} FROM temp.{name}"
            differs = f"SELECT EXISTS ({one} EXCEPT {other}) OR EXISTS ({other} EXCEPT {one})"
            if db.execute(differs).fetchone()[0]:
                return name
        return None
    finally:
        db.execute("ROLLBACK")
