"""Read a sandbox's whole state for comparison: every table, row by row."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path

Rows = dict[str, list[tuple[object, ...]]]


def dump_state(path: Path) -> Rows:
    """Return the sorted rows of every table of a state file; reads only, also while the server runs.

    File contents are part of it. The server's waiting side effects are rows of `job`: settle it first.
    """
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        tables = [
            row[0]
            for row in db.execute("SELECT name FROM sqlite_master WHERE type='table' AND name NOT LIKE 'sqlite_%'")
        ]
        return {table: sorted(db.execute(f"SELECT * FROM {table}").fetchall(), key=repr) for table in sorted(tables)}
    finally:
        db.close()


def differences(before: Mapping[str, list[tuple[object, ...]]], after: Mapping[str, list[tuple[object, ...]]]) -> Rows:
    """Return, per table, the rows that only one of the two has; empty when they are equal.

    The workspace's metadata version, which only ever grows, is left out of the comparison.
    """
    out: Rows = {}
    for table in sorted({*before, *after}):
        old, new = (_comparable(table, side.get(table, [])) for side in (before, after))
        only = sorted(old ^ new, key=repr)
        if only:
            out[table] = list(only)
    return out


def _comparable(table: str, rows: list[tuple[object, ...]]) -> set[tuple[object, ...]]:
    if table != "workspace":
        return set(rows)
    return {(*row[:5], *row[6:]) for row in rows}
