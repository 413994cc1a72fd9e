"""Find what a new export changes against what was written: created, changed, deleted, by content and not by dates.

Reads only. `load(kind="delta")` writes what is created and changed; deletions are a list for a person (`listing`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import duckdb

from dentlib.loading.ledger import Current, Ledger
from dentlib.loading.rows import check_prepared, table_of
from dentlib.model import LoadStep

_MERGE_ROWS = 10_000
_SORTED_ROWS = 100_000
_UP_TO = """
    ($low::VARCHAR IS NULL OR encode(source_key) >= encode($low::VARCHAR))
    AND ($high::VARCHAR IS NULL OR encode(source_key) < encode($high::VARCHAR))
"""


@dataclass(frozen=True, slots=True)
class Deletion:
    """A record of ours whose source row is gone, or isn't loaded any more (`why`: deleted or its outcome now)."""

    step: str
    source_key: str
    record_id: str
    object: str
    why: str


@dataclass(frozen=True, slots=True)
class StepDelta:
    """What is to do in one step. `created` counts keys that were never written or destroyed since."""

    step: str
    created: int
    changed: int
    unchanged: int
    deleted: int


@dataclass(frozen=True, slots=True)
class DeltaPlan:
    """All steps, and the deletions for review."""

    steps: tuple[StepDelta, ...]
    deletions: tuple[Deletion, ...]


def plan_delta(ledger: Ledger, con: duckdb.DuckDBPyConnection, steps: Sequence[LoadStep]) -> DeltaPlan:
    """Compare prepared rows with what was written. Two streams sorted by source key, so memory does not grow."""
    check_prepared(con, steps)
    found: list[StepDelta] = []
    deletions: list[Deletion] = []
    for step in steps:
        created = changed = unchanged = 0
        gone: list[Current] = []
        for prepared_hash, current in _merged(_prepared(con, step), ledger.records(step.name)):
            if current is None:
                created += 1
            elif prepared_hash is None:
                gone.append(current)
            elif prepared_hash == current.row_hash:
                unchanged += 1
            else:
                changed += 1
        aside = _aside(con, step, [c.source_key for c in gone])
        deletions += [
            Deletion(c.step, c.source_key, c.record_id, c.object, aside.get(c.source_key, "deleted")) for c in gone
        ]
        found.append(StepDelta(step.name, created, changed, unchanged, len(gone)))
    return DeltaPlan(tuple(found), tuple(deletions))


def _prepared(con: duckdb.DuckDBPyConnection, step: LoadStep) -> Iterator[tuple[str, str]]:
    """Stream keys and hashes sorted by key, a stretch of keys at a time: one sort over all would hold them all."""
    table, cursor = table_of(step), con.cursor()
    (rows,) = cursor.execute(f"SELECT count(*) FROM {table}").fetchone() or (0,)
    parts = max(1, rows // _SORTED_ROWS)
    shares = [part / parts for part in range(1, parts)]
    bounds: list[str] = []
    if shares:
        found = cursor.execute(f"SELECT quantile_disc(source_key, {shares}) FROM {table}").fetchone()
        bounds = sorted({str(b) for b in found[0]}, key=str.encode) if found else []
    for low, high in pairwise([None, *bounds, None]):
        sql = f"SELECT source_key, row_hash FROM {table} WHERE {_UP_TO} ORDER BY encode(source_key)"
        cursor.execute(sql, {"low": low, "high": high})
        while chunk := cursor.fetchmany(_MERGE_ROWS):
            yield from chunk


def _merged(
    prepared: Iterator[tuple[str, str]], written: Iterator[Current]
) -> Iterator[tuple[str | None, Current | None]]:
    """Pair up two streams sorted by source key; what is in one only comes with None. Code points sort as bytes do."""
    left, right = next(prepared, None), next(written, None)
    while left is not None or right is not None:
        if right is None or (left is not None and left[0] < right.source_key):
            assert left is not None
            yield left[1], None
            left = next(prepared, None)
        elif left is None or left[0] > right.source_key:
            yield None, right
            right = next(written, None)
        else:
            yield left[1], right
            left, right = next(prepared, None), next(written, None)


def _aside(con: duckdb.DuckDBPyConnection, step: LoadStep, keys: Sequence[str]) -> Mapping[str, str]:
    if not keys:
        return {}
    sql = """
        SELECT source_key, max(outcome) FROM prepared.outcomes
        WHERE step = ? AND source_key IN (SELECT unnest(?::VARCHAR[])) GROUP BY 1
    """
    return dict(con.cursor().execute(sql, [step.name, list(keys)]).fetchall())
