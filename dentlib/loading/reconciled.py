"""Tell what the control tables of the last reconciliation hold. Reads the work store only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import duckdb
import orjson

from dentlib.errors import UsageError
from dentlib.facts import (
    ExplainedFacts,
    FileFactsBack,
    GroupFacts,
    LinkFacts,
    NamedDifference,
    ReconciliationFacts,
    StepCounts,
    SumFacts,
)

MOST_NAMED = 1_000
"""Differences that the facts name; the control tables hold more."""

GRAVEST = (
    *("missing", "unknown", "twin", "file", "unexplained", "lost", "truncated", "defaulted"),
    *("listed", "changed", "kept", "normalised", "identical"),
)
"""Kinds of differences, the gravest first."""


def was_read_back(con: duckdb.DuckDBPyConnection) -> bool:
    """Tell whether there are control tables of a reconciliation that came to its end."""
    there = "SELECT 1 FROM duckdb_tables WHERE schema_name = 'reconcile' AND table_name = 'told'"
    return bool(con.execute(there).fetchall()) and bool(con.execute("SELECT 1 FROM reconcile.told LIMIT 1").fetchall())


def reconciliation_facts(con: duckdb.DuckDBPyConnection) -> ReconciliationFacts:
    """Return the facts of the last reconciliation. Raises UsageError where nothing was ever read back."""
    if not was_read_back(con):
        raise UsageError("nothing was read back yet", "dentlib reconcile <engagement>")
    told = {name: orjson.loads(v) for name, v in con.execute("SELECT name, value FROM reconcile.told").fetchall()}
    named = [
        NamedDifference(*row) for row in _rows(con, "differences", f"ORDER BY {_gravity()}, step, field, record_id")
    ]
    (groups,) = con.execute("SELECT count(*) FROM reconcile.groups").fetchone() or (0,)
    (found,) = con.execute(
        "SELECT (SELECT coalesce(sum(n), 0) FROM reconcile.explanations WHERE kind NOT IN ('identical', 'normalised')) "
        "+ (SELECT count(*) FROM reconcile.differences WHERE kind IN ('missing', 'unknown', 'twin', 'file', 'listed'))"
    ).fetchone() or (0,)
    year = datetime.fromisoformat(told["ended_at"]).year
    return ReconciliationFacts(
        run_id=told["run_id"],
        started_at=datetime.fromisoformat(told["started_at"]),
        ended_at=datetime.fromisoformat(told["ended_at"]),
        calls=told["calls"],
        calls_allowed=told["calls_allowed"],
        page_rows=told["page_rows"],
        seed=told["seed"],
        steps=tuple(StepCounts(**row) for row in _named(con, "counts", StepCounts, object="object_name")),
        sums=tuple(_without_dates(SumFacts(**row), year) for row in _named(con, "sums", SumFacts, ends_same=_ENDS)),
        links=tuple(LinkFacts(**row) for row in _named(con, "links", LinkFacts)),
        groups=groups,
        groups_different=tuple(
            GroupFacts(**row) for row in _named(con, "groups", GroupFacts, where="WHERE sent <> stored")
        ),
        explained=tuple(ExplainedFacts(**row) for row in _named(con, "explanations", ExplainedFacts, count="n")),
        differences=tuple(named[:MOST_NAMED]),
        differences_found=int(found),
        files=tuple(FileFactsBack(**row) for row in _named(con, "files", FileFactsBack)),
    )


def _gravity() -> str:
    return "list_position([" + ", ".join(f"'{k}'" for k in GRAVEST) + "], kind)"


def _rows(con: duckdb.DuckDBPyConnection, table: str, order: str) -> list[tuple[Any, ...]]:
    return con.execute(f"SELECT * FROM reconcile.{table} {order} LIMIT {MOST_NAMED}").fetchall()


def _named(
    con: duckdb.DuckDBPyConnection, table: str, facts: type[Any], where: str = "", **renamed: str
) -> Iterator[dict[str, Any]]:
    """Yield a control table's rows by the names of a fact's fields; DuckDB's wide sums as plain integers."""
    names = list(facts.__slots__)
    columns = ", ".join(renamed.get(n, n) for n in names)
    for row in con.execute(f"SELECT {columns} FROM reconcile.{table} {where}").fetchall():
        values = (v if v is None or isinstance(v, str | int | float) else int(v) for v in row)
        yield dict(zip(names, values, strict=True))


_ENDS = "(sent_min IS NOT DISTINCT FROM stored_min AND sent_max IS NOT DISTINCT FROM stored_max)"
_EPOCH = date(1970, 1, 1).toordinal()
_OLDEST_TOLD = 89
"""Years of age from which a year of birth tells who somebody is (HIPAA Safe Harbor: all ages over 89)."""


def _without_dates(s: SumFacts, year: int) -> SumFacts:
    """Take from a sum of dates whatever could be somebody's date: years are left, none of the very old."""
    if s.kind not in ("date", "moment"):
        return s
    return replace(
        s,
        sent_sum=0,
        stored_sum=s.stored_sum - s.sent_sum,
        sent_min=_year(s.kind, year - _OLDEST_TOLD, s.sent_min),
        stored_min=_year(s.kind, year - _OLDEST_TOLD, s.stored_min),
        sent_max=_year(s.kind, year - _OLDEST_TOLD, s.sent_max),
        stored_max=_year(s.kind, year - _OLDEST_TOLD, s.stored_max),
    )


def _year(kind: str, oldest: int, value: int | None) -> int | None:
    if value is None:
        return None
    return max(oldest, date.fromordinal(value if kind == "date" else _EPOCH + value // 86_400_000).year)
