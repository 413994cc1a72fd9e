"""Row by row: what did not arrive, and what arrived otherwise than it stood in the source, each with its reason.

No value of a patient stands here: a row names record numbers, fields and reasons, as the audit log does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import duckdb

from dentlib.mapping.map import Map
from dentlib.model import PREPARED_OUTCOMES, PREPARED_PROBLEMS


@dataclass(frozen=True, slots=True)
class ValueRemark:
    """One value that was not carried as it is. `detail`: the other record that has to do with it."""

    step: str
    label: str
    source_key: str
    field: str
    code: str
    reason: str
    detail: str
    source_file: str
    source_row: int


@dataclass(frozen=True, slots=True)
class SetAside:
    """One row that a step did not carry: rejected, excluded or merged."""

    step: str
    label: str
    source_key: str
    outcome: str
    code: str
    reason: str
    source_file: str
    source_row: int


def value_remarks(con: duckdb.DuckDBPyConnection, map: Map) -> Iterator[ValueRemark]:
    """Return every remark on a value of the last preparation, in the order of the load. Reads only."""
    labels = {s.step: s.label for s in map.active_steps}
    rows = con.execute(
        f"SELECT step, source_key, field, code, reason, detail, source_file, source_row FROM {PREPARED_PROBLEMS} "
        "ORDER BY list_position(?, step), source_file, source_row, field",
        [list(labels)],
    ).fetchall()
    return (ValueRemark(r[0], labels[r[0]], *r[1:]) for r in rows)


def remark_counts(con: duckdb.DuckDBPyConnection, map: Map) -> tuple[tuple[str, str, str, str, str, int], ...]:
    """Return (step, label, field, code, reason, rows) of the remarks, in the order of the load. Reads only."""
    labels = {s.step: s.label for s in map.active_steps}
    rows = con.execute(
        f"SELECT step, field, code, any_value(reason), count(*)::BIGINT FROM {PREPARED_PROBLEMS} "
        "GROUP BY step, field, code ORDER BY list_position(?, step), field, code",
        [list(labels)],
    ).fetchall()
    return tuple((step, labels[step], field, code, reason, n) for step, field, code, reason, n in rows)


def rows_set_aside(con: duckdb.DuckDBPyConnection, map: Map) -> Iterator[SetAside]:
    """Return every row that a step of the last preparation did not carry, in the order of the load. Reads only."""
    labels = {s.step: s.label for s in map.active_steps}
    rows = con.execute(
        f"SELECT step, source_key, outcome, code, reason, source_file, source_row FROM {PREPARED_OUTCOMES} "
        "ORDER BY list_position(?, step), source_file, source_row",
        [list(labels)],
    ).fetchall()
    return (SetAside(r[0], labels[r[0]], *r[1:]) for r in rows)
