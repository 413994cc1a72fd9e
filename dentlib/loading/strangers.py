"""Records that nobody should have made: with a source id of ours but unknown to the ledger, or the same as one of ours.

Looked for only where the destination counts more records of an object than the ledger knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import duckdb
import pyarrow as pa

from dentlib.loading.comparing import likeness
from dentlib.loading.ledger import Ledger
from dentlib.loading.patience import Patience
from dentlib.model import Destination, LoadStep

T = TypeVar("T")
MOST_STRANGERS = 50_000
"""More records of others than this are not held against ours one by one; the counts say that they were not."""

_ROWS = 20_000


class Strangers:
    """Looks for records of one object that are not ours."""

    def __init__(
        self, con: duckdb.DuckDBPyConnection, ledger: Ledger, destination: Destination, patience: Patience
    ) -> None:
        self._con = con
        self._ledger = ledger
        self._destination = destination
        self._patience = patience

    def look(
        self, object_name: str, steps: Sequence[LoadStep], names: Mapping[str, Sequence[str]], *, marked: bool
    ) -> None:
        """Find and name them. `names`: the fields by which a step's records are alike. `marked`: has source ids."""
        self._know(object_name)
        fields = ["sourceSystemId"] if marked else ["createdAt"]
        columns = "object_name VARCHAR, record_id VARCHAR, source_id VARCHAR"
        self._con.execute(f"CREATE OR REPLACE TABLE reconcile.strangers ({columns})")
        batch: list[tuple[str, str]] = []
        for record in self._destination.scan(object_name, fields=fields):
            batch.append((record["id"], str(record.get("sourceSystemId") or "")))
            if len(batch) >= _ROWS:
                self._keep_unknown(object_name, batch)
        self._keep_unknown(object_name, batch)
        for step in steps:
            self._unknown(step)
        self._twins(object_name, steps, names)

    def _know(self, object_name: str) -> None:
        self._con.execute("CREATE OR REPLACE TABLE reconcile.known (record_id VARCHAR)")
        sql = "SELECT record_id FROM current WHERE object = ? AND state = 'live'"
        batch: list[str] = []
        for (record_id,) in self._ledger.rows(sql, object_name):
            batch.append(record_id)
            if len(batch) >= _ROWS:
                self._insert_known(batch)
        self._insert_known(batch)

    def _insert_known(self, batch: list[str]) -> None:
        if batch:
            self._con.register("reconcile_batch", pa.table({"record_id": batch}))
            self._con.execute("INSERT INTO reconcile.known SELECT record_id FROM reconcile_batch")
            self._con.unregister("reconcile_batch")
            batch.clear()

    def _keep_unknown(self, object_name: str, batch: list[tuple[str, str]]) -> None:
        if batch:
            ids, sources = zip(*batch, strict=True)
            self._con.register("reconcile_batch", pa.table({"record_id": list(ids), "source_id": list(sources)}))
            self._con.execute(
                "INSERT INTO reconcile.strangers SELECT ?, record_id, source_id FROM reconcile_batch "
                "ANTI JOIN reconcile.known USING (record_id)",
                [object_name],
            )
            self._con.unregister("reconcile_batch")
            batch.clear()

    def _unknown(self, step: LoadStep) -> None:
        """Name records that carry a source id of the step and that the ledger doesn't know."""
        if not step.source_prefix:
            return
        rows = self._con.execute(
            "SELECT record_id FROM reconcile.strangers WHERE starts_with(source_id, ?) ORDER BY record_id",
            [step.source_prefix],
        ).fetchall()
        self._name(step, [rid for (rid,) in rows], "unknown", "it carries a source id of ours; we never wrote it")
        self._con.execute("UPDATE reconcile.counts SET unknown = ? WHERE step = ?", [len(rows), step.name])

    def _twins(self, object_name: str, steps: Sequence[LoadStep], names: Mapping[str, Sequence[str]]) -> None:
        """Name records of others that hold the same as one of ours in every field that the step writes."""
        ids = [rid for (rid,) in self._con.execute("SELECT record_id FROM reconcile.strangers").fetchall()]
        if len(ids) > MOST_STRANGERS:
            return
        read: dict[str, dict[int, list[str]]] = {step.name: {} for step in steps}
        for start in range(0, len(ids), 500):
            part = ids[start : start + 500]
            for rid, record in self._ask(lambda part=part: self._destination.read(object_name, part)).items():  # type: ignore[misc]
                for step in steps:
                    alike = likeness(object_name, record, names[step.name])
                    if alike is not None:
                        read[step.name].setdefault(alike, []).append(rid)
        for step in steps:
            found = self._alike(read[step.name])
            self._name(step, found, "twin", "somebody's record that holds the same as one of ours")
            self._con.execute("UPDATE reconcile.counts SET twins = ? WHERE step = ?", [len(found), step.name])

    def _alike(self, by_likeness: Mapping[int, Sequence[str]]) -> list[str]:
        if not by_likeness:
            return []
        self._con.register("reconcile_batch", pa.table({"likeness": list(by_likeness)}))
        rows = self._con.execute(
            "SELECT DISTINCT likeness FROM reconcile_batch SEMI JOIN "
            "(SELECT likeness FROM reconcile.seen) USING (likeness)"
        ).fetchall()
        self._con.unregister("reconcile_batch")
        return sorted(rid for (alike,) in rows for rid in by_likeness[alike])

    def _name(self, step: LoadStep, ids: Sequence[str], kind: str, how: str) -> None:
        rows = [(step.name, step.object_name, rid, "", kind, how) for rid in ids[:1000]]
        if rows:
            self._con.executemany("INSERT INTO reconcile.differences VALUES (?, ?, ?, ?, ?, ?)", rows)

    def _ask(self, what: Callable[[], T]) -> T:
        return self._patience.transient(what)
