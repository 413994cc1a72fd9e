"""The throw-away store: one DuckDB file per engagement, rebuilt from the export whenever needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import duckdb

from dentlib.errors import Locked, UsageError

T = TypeVar("T")
ATTACHED = "work"
USUAL_MEMORY = "1GB"
FRUGAL_MEMORY = "64MB"
"""Enough to stream a step's rows; a million of them then take hardly more than a hundred thousand."""

GROUP_ROWS = 16_384
"""Rows per group of a raw table. A thread takes a whole group, so with DuckDB's own 122,880 a table of fifty thousand
patients would be read by one thread only."""


def open_work_db(path: Path, read_only: bool = False, *, group_rows: int = 0) -> duckdb.DuckDBPyConnection:
    """Open an engagement's `work.duckdb`, creating it unless `read_only`; the caller closes the connection.

    Two threads, 1 GB of memory (DuckDB spills to a folder beside the file above that), rows in the order of their
    files, no extension is ever downloaded. Raises UsageError where there is nothing to read, Locked where another
    process has the file open. `group_rows`: tables written through this connection are laid down in groups of so many
    rows (0: DuckDB's own size); its cursors need a `USE` of their own then.
    """
    if read_only and not path.is_file():
        raise UsageError(f"there is no work database at {path}", "take the export in first: dentlib audit <engagement>")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        con = duckdb.connect(
            ":memory:" if group_rows else str(path),
            read_only=read_only and not group_rows,
            config={
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "threads": 2,
                "memory_limit": USUAL_MEMORY,
                "temp_directory": f"{path}.tmp",
                "preserve_insertion_order": True,
            },
        )
        if group_rows:
            con.execute(f"ATTACH {literal(str(path))} AS {ATTACHED} (ROW_GROUP_SIZE {group_rows})")
            con.execute(f"USE {ATTACHED}")
    except duckdb.IOException as error:
        if "lock" in str(error).lower():
            raise Locked(
                f"another process works with {path.name}", "wait until it has ended, or end it, and start again"
            ) from error
        raise UsageError(
            f"{path} can't be opened as a work database", "move it away: it is rebuilt from the export"
        ) from error
    if not read_only:
        path.chmod(0o600)
    return con


def quoted(name: str) -> str:
    """Return a name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text as a SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def frugally(con: duckdb.DuckDBPyConnection, work: Callable[[], T], *, memory: str = FRUGAL_MEMORY) -> T:
    """Do work that reads a store from end to end with little memory, so that its peak doesn't grow with the store.

    DuckDB would keep in memory whatever it has read until its limit is full. Where the little is not enough (texts of
    megabytes), the work is done once more with what is usual: so it must be resumable, or write nothing.
    """
    try:
        con.execute(f"SET memory_limit = {literal(memory)}")
        return work()
    except duckdb.OutOfMemoryException:
        con.execute(f"SET memory_limit = {literal(USUAL_MEMORY)}")
        return work()
    finally:
        con.execute(f"SET memory_limit = {literal(USUAL_MEMORY)}")
