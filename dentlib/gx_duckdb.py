"""A SQLAlchemy dialect that lets Great Expectations read through the workbench's own open DuckDB connection.

GX closes its connection before it fetches, and the roll-back on close drops DuckDB's pending result; so transactions
are left alone here. Real tables only: GX sees neither temporary tables nor views.
"""

from __future__ import annotations

from typing import Any, ClassVar

import duckdb
import duckdb_engine


class GxDuck(duckdb_engine.Dialect):  # type: ignore[misc]
    """DuckDB over a connection that belongs to somebody else."""

    con: ClassVar[duckdb.DuckDBPyConnection | None] = None
    supports_statement_cache = False

    def connect(self, *args: Any, **kwargs: Any) -> Any:
        """Hand out a cursor of the open connection."""
        if GxDuck.con is None:
            raise RuntimeError("GxDuck.con must be set before a suite runs")
        return duckdb_engine.ConnectionWrapper(GxDuck.con.cursor())

    def do_begin(self, connection: Any) -> None:
        """Leave transactions to the owner of the connection."""

    do_commit = do_rollback = do_begin
