"""Stream the prepared rows of a step in load order, with bounded memory, and pack them into batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import duckdb
import orjson

from dentlib.errors import UsageError
from dentlib.model import JSON, LoadStep

CHUNK_ROWS = 200
"""About one call: small steps fit into the time that the call before is under way."""
_STRETCH = 10_000
"""How many ordinals are read in one query; a multiple of CHUNK_ROWS."""
_ASIDE_ROWS = 1_000
_ENVELOPE_BYTES = 2_048
"""What a request needs around its records."""


MATCHES = "matching.matches"
"""Rows that stand for records which were in the workspace before us: step, source_key, record_id, rule, found."""


@dataclass(frozen=True, slots=True)
class Match:
    """A record that was in the workspace before us, for a row; `found`: what the map says is done to it."""

    record_id: str
    found: str
    rule: str


@dataclass(slots=True)
class Row:
    """One prepared row. `text` is its JSON as prepared, `size_bytes` long; `payload` parses it once."""

    ordinal: int
    source_key: str
    record_id: str
    row_hash: str
    text: str = field(repr=False)
    size_bytes: int
    file_path: str | None = field(repr=False)
    _payload: JSON | None = field(default=None, init=False, repr=False)

    @property
    def payload(self) -> JSON:
        """The record as it is sent. Changing it (a file's id) changes what is sent."""
        if self._payload is None:
            self._payload = orjson.loads(self.text)
        return self._payload

    @property
    def json(self) -> bytes:
        """The record as it is sent, serialised; as prepared unless its file's id was put in."""
        return self.text.encode() if self.file_path is None else orjson.dumps(self.payload)

    @property
    def intent(self) -> tuple[str, str, str]:
        """What the ledger records of it."""
        return self.source_key, self.record_id, self.row_hash


def table_of(step: LoadStep) -> str:
    """Return the quoted, qualified name of the step's table."""
    return "prepared." + '"' + step.table.removeprefix("prepared.").replace('"', '""') + '"'


def count_rows(con: duckdb.DuckDBPyConnection, step: LoadStep, *, only_sample: bool) -> int:
    """Count the prepared rows of a step."""
    where = " WHERE in_sample" if only_sample else ""
    found = con.cursor().execute(f"SELECT count(*) FROM {table_of(step)}{where}").fetchone()
    return int(found[0]) if found else 0


def stream(con: duckdb.DuckDBPyConnection, step: LoadStep, *, only_sample: bool) -> Iterator[list[Row]]:
    """Yield chunks of rows in load order. A cursor of its own, so other queries may run meanwhile.

    Reads a stretch of ordinals at a time: sorting a whole step would hold all of its payloads in memory.
    """
    table, sampled = table_of(step), " AND in_sample" if only_sample else ""
    columns = "ordinal, source_key, record_id, row_hash, payload, strlen(payload), file_path"
    cursor = con.cursor()
    low, high = cursor.execute(f"SELECT min(ordinal), max(ordinal) FROM {table}").fetchone() or (None, None)
    for start in range(low, high + 1, _STRETCH) if low is not None else ():
        where = f"ordinal >= {start} AND ordinal < {start + _STRETCH}{sampled}"
        cursor.execute(f"SELECT {columns} FROM {table} WHERE {where} ORDER BY ordinal")
        while chunk := cursor.fetchmany(CHUNK_ROWS):
            yield [Row(*values) for values in chunk]


class Packing:
    """Packs rows into batches that fit one call, in order. A row that fits no call is the caller's to sort out."""

    def __init__(self, *, batch_rows: int, max_body_bytes: int) -> None:
        self._batch_rows, self._whole = batch_rows, max_body_bytes - _ENVELOPE_BYTES
        self._batch: list[Row] = []
        self._room = self._whole

    def add(self, rows: Iterable[Row]) -> Iterator[list[Row]]:
        """Take rows up and yield the batches that are full."""
        for row in rows:
            size = row.size_bytes + 1
            if self._batch and (len(self._batch) >= self._batch_rows or size > self._room):
                yield self.rest()
            self._batch.append(row)
            self._room -= size

    def rest(self) -> list[Row]:
        """Give what is left, perhaps nothing."""
        batch, self._batch, self._room = self._batch, [], self._whole
        return batch


def matches_of(con: duckdb.DuckDBPyConnection, step: LoadStep) -> dict[str, Match]:
    """Return the step's rows that stand for records of the workspace, by source key; none where nothing was matched."""
    schema, table = MATCHES.split(".")
    cursor = con.cursor()
    made = "SELECT 1 FROM information_schema.tables WHERE table_schema = ? AND table_name = ?"
    if cursor.execute(made, [schema, table]).fetchone() is None:
        return {}
    sql = f"SELECT source_key, record_id, found, rule FROM {MATCHES} WHERE step = ? AND found <> 'create'"
    return {key: Match(*rest) for key, *rest in cursor.execute(sql, [step.name]).fetchall()}


def fits(row: Row, max_body_bytes: int) -> bool:
    """Tell whether one record alone fits into a call."""
    return row.size_bytes + _ENVELOPE_BYTES < max_body_bytes


def aside_of(con: duckdb.DuckDBPyConnection, step: LoadStep) -> Iterator[list[tuple[Any, ...]]]:
    """Yield blocks of (outcome, source_key, code, reason, file, row): rows of the step that never reach the loader."""
    sql = """
        SELECT outcome, source_key, code, reason, source_file, source_row FROM prepared.outcomes
        WHERE step = ? ORDER BY outcome, source_file, source_row, source_key
    """
    cursor = con.cursor().execute(sql, [step.name])
    while chunk := cursor.fetchmany(_ASIDE_ROWS):
        yield chunk


def aside_counts(con: duckdb.DuckDBPyConnection, step: LoadStep) -> list[tuple[str, str, str, int]]:
    """Return (outcome, code, reason, rows) of the rows of the step that never reach the loader."""
    sql = """
        SELECT outcome, code, reason, count(*) FROM prepared.outcomes WHERE step = ?
        GROUP BY ALL ORDER BY ALL
    """
    return con.cursor().execute(sql, [step.name]).fetchall()


def check_prepared(con: duckdb.DuckDBPyConnection, steps: Iterable[LoadStep]) -> None:
    """Raise UsageError where a step's table isn't there: `prepare` has not run."""
    found = {
        name
        for (name,) in con.cursor()
        .execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'prepared'")
        .fetchall()
    }
    missing = [s.name for s in steps if s.table.removeprefix("prepared.") not in found]
    if missing or "outcomes" not in found:
        raise UsageError(f"nothing is prepared for: {', '.join(missing) or 'outcomes'}", "run prepare first")
