"""Reconciliation: success is declared here, by what the destination answers, not by the loader.

Writes schema `reconcile` of the work store (control tables only: counts, sums, links; no value of a patient), on which
the suites `reconciliation` and `lookups` are judged. Reads the ledger and the destination; writes neither.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
import orjson

from dentlib.loading.ledger import Ledger
from dentlib.loading.readback import compare_record, field_types
from dentlib.model import JSON, Destination, LoadStep, Progress
from dentlib.workdb import quoted

READ_ROWS = 200
"""Records per read: their ids fit in one request of every destination."""

_TABLES = """
CREATE SCHEMA IF NOT EXISTS reconcile;
CREATE OR REPLACE TABLE reconcile.counts (step VARCHAR, object_name VARCHAR, prepared BIGINT, sent BIGINT,
  confirmed BIGINT, read_back BIGINT, live BIGINT, at_destination BIGINT);
CREATE OR REPLACE TABLE reconcile.money (step VARCHAR, field VARCHAR, records BIGINT, sent_micros HUGEINT,
  stored_micros HUGEINT);
CREATE OR REPLACE TABLE reconcile.links (step VARCHAR, field VARCHAR, expected BIGINT, children BIGINT, orphans BIGINT);
CREATE OR REPLACE TABLE reconcile.fields (step VARCHAR, field VARCHAR, records BIGINT, different BIGINT,
  reason VARCHAR);
"""


@dataclass(slots=True)
class _Tally:
    """What reading one step back adds up to."""

    prepared: int = 0
    confirmed: int = 0
    read_back: int = 0
    money: dict[str, list[int]] = field(default_factory=dict)  # field: [records, sent, stored]
    links: dict[str, list[int]] = field(default_factory=dict)  # field: [expected, children, orphans]
    fields: dict[str, list[Any]] = field(default_factory=dict)  # field: [records, different, first reason]


def reconcile(
    con: duckdb.DuckDBPyConnection,
    ledger: Ledger,
    destination: Destination,
    steps: Sequence[LoadStep],
    *,
    run_id: str,
    only_sample: bool = False,
    progress: Progress,
) -> None:
    """Read every confirmed record back, compare it field by field with what was prepared, and write the control tables.

    Idempotent (tables are replaced). Memory holds the ids of records, not the records. Rows that
    the run `run_id` could not write are not expected there. Raises DestinationError where it can't be read.
    """
    con.execute(_TABLES)
    types = {o.name: field_types(o) for o in destination.describe().objects.values()}
    live = {step.name: {c.record_id for c in ledger.records(step.name)} for step in steps}
    known = set().union(*live.values()) | {m.id for m in destination.members()}
    for step in steps:
        tally = _Tally()
        task = f"read back {(step.label or step.name).lower()}"
        rows = con.execute(f"SELECT count(*) FROM prepared.{quoted(step.table)}").fetchone()
        progress.start(task, rows[0] if rows else 0, "records")
        for batch in _prepared(con, step, only_sample):
            tally.prepared += len(batch)
            confirmed = [r for r in batch if r["id"] in live[step.name]]
            tally.confirmed += len(confirmed)
            stored = destination.read(step.object_name, [r["id"] for r in confirmed])
            for record in confirmed:
                _compare(tally, record, stored.get(record["id"]), types.get(step.object_name, {}), known)
            progress.advance(task, len(batch))
        progress.finish(task)
        there = (
            destination.count(step.object_name, source_prefix=step.source_prefix)
            if step.source_prefix
            else len(destination.read(step.object_name, sorted(live[step.name])))
        )
        refused = len(ledger.trouble(run_id, step.name))
        _write(con, step, tally, refused=refused, live=len(live[step.name]), there=there)


def _prepared(con: duckdb.DuckDBPyConnection, step: LoadStep, only_sample: bool) -> Iterator[list[JSON]]:
    """Stream the prepared records in batches."""
    where = "WHERE in_sample" if only_sample else ""
    cursor = con.cursor()
    cursor.execute(f"SELECT payload FROM prepared.{quoted(step.table)} {where} ORDER BY ordinal")
    while block := cursor.fetchmany(READ_ROWS):
        yield [orjson.loads(payload) for (payload,) in block]


def _compare(tally: _Tally, intended: JSON, stored: JSON | None, types: Mapping[str, str], known: set[str]) -> None:
    linked = [n for n, v in intended.items() if n.endswith("Id") and v is not None and types.get(n) == "UUID"]
    for name in linked:  # expected before looking: a record that can't be read back must not take its links along
        tally.links.setdefault(name, [0, 0, 0])[0] += 1
    if stored is None:
        return
    tally.read_back += 1
    for name in linked:
        links = tally.links[name]
        links[1] += 1
        links[2] += stored.get(name) != intended[name] or intended[name] not in known
    for comparison in compare_record(intended, stored, types):
        entry = tally.fields.setdefault(comparison.field, [0, 0, ""])
        entry[0] += 1
        if not comparison.same:
            entry[1] += 1
            entry[2] = entry[2] or comparison.reason
    for name, value in intended.items():
        if isinstance(value, dict) and value.get("amountMicros") is not None:
            money = tally.money.setdefault(name, [0, 0, 0])
            money[0] += 1
            money[1] += int(value["amountMicros"])
            money[2] += int((stored.get(name) or {}).get("amountMicros") or 0)


def _write(
    con: duckdb.DuckDBPyConnection, step: LoadStep, tally: _Tally, *, refused: int, live: int, there: int
) -> None:
    con.execute(
        "INSERT INTO reconcile.counts VALUES (?,?,?,?,?,?,?,?)",
        [
            *(step.name, step.object_name, tally.prepared, tally.prepared - refused),
            *(tally.confirmed, tally.read_back, live, there),
        ],
    )
    for name, (records, sent, stored) in tally.money.items():
        con.execute("INSERT INTO reconcile.money VALUES (?,?,?,?,?)", [step.name, name, records, sent, stored])
    for name, (expected, children, orphans) in tally.links.items():
        con.execute("INSERT INTO reconcile.links VALUES (?,?,?,?,?)", [step.name, name, expected, children, orphans])
    for name, (records, different, reason) in tally.fields.items():
        con.execute("INSERT INTO reconcile.fields VALUES (?,?,?,?,?)", [step.name, name, records, different, reason])
