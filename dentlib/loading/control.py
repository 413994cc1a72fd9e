"""The control tables of a reconciliation, filled page by page so that memory doesn't grow with the records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import duckdb
import orjson
import pyarrow as pa

from dentlib.loading.comparing import EXAMPLES, Found
from dentlib.loading.reading import ReadBudget, chance_of_seeing
from dentlib.model import LoadStep

FLUSH_ROWS = 20_000
"""Rows kept in memory before they go to the work store."""

Existing = Callable[[str, Sequence[str]], set[str]]
"""Returns those of some ids that are live records of an object."""

_WORKING = ("seen", "parents", "parent_totals", "moved", "chosen", "strangers", "known", "no_parents")


class Control:
    """Writes `reconcile.*`; one for each reconciliation."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con = con
        self._links: list[tuple[int, str, str, str, Found]] = []  # number, step, field, kind

    def flush(self, step: LoadStep, found: Found, *, all_: bool = False) -> None:
        """Write out what has gathered in memory."""
        if found.differences:
            rows = [(step.name, step.object_name, d.record_id, d.field, d.kind, d.how) for d in found.differences]
            self._insert("differences", ("step", "object_name", "record_id", "field", "kind", "how"), rows)
            found.differences.clear()
        if all_ or len(found.seen) >= FLUSH_ROWS:
            rows_seen = [(step.object_name, *row) for row in found.seen]
            self._insert("seen", ("object_name", "record_id", "source_id", "likeness"), rows_seen)
            found.seen.clear()
        links = found.links
        if all_ or len(links.parents) >= FLUSH_ROWS:
            totals = [(n, parent, sent, stored) for (n, parent), (sent, stored) in links.parents.items()]
            self._insert("parents", ("link", "parent", "sent", "stored"), totals)
            links.parents.clear()
        if all_ or len(links.moved) >= FLUSH_ROWS:
            self._insert("moved", ("link", "record_id", "sent", "stored"), links.moved)
            links.moved.clear()

    def _insert(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        if not rows:
            return
        batch = pa.table(dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True)))
        self._con.register("reconcile_batch", batch)
        names = ", ".join(columns)
        self._con.execute(f"INSERT INTO reconcile.{table} ({names}) SELECT {names} FROM reconcile_batch")
        self._con.unregister("reconcile_batch")

    # ---- one step ----------------------------------------------------------------------------------------------

    def missing(self, step: LoadStep, records: Sequence[str], in_bin: set[str]) -> None:
        """Name records that the ledger calls live and that are not there."""
        rows = [
            (step.name, step.object_name, rid, "", "missing", "in the bin" if rid in in_bin else "not there")
            for rid in records
        ]
        self._insert("differences", ("step", "object_name", "record_id", "field", "kind", "how"), rows)

    def step(self, step: LoadStep, found: Found) -> None:
        """Write what one step's fields add up to."""
        self._insert(
            "explanations",
            ("step", "field", "kind", "how", "n"),
            [(step.name, name, kind, how, n) for (name, kind, how), n in found.explanations.items()],
        )
        measured = found.measured
        for (name, unit), total in measured.sums.items():
            one, other = total.sent, total.stored
            row = [one.n, other.n, one.total, other.total, one.least, other.least, one.most, other.most]
            values = [step.name, name, total.kind, unit, *row, measured.left_out[name]]
            self._con.execute(f"INSERT INTO reconcile.sums VALUES ({_marks(values)})", values)
        for (name, kind), (sent, stored) in measured.groups.items():
            rows = [(step.name, name, kind, v, sent[v], stored[v]) for v in sorted(sent.keys() | stored.keys())]
            self._insert("groups", ("step", "field", "kind", "value", "sent", "stored"), rows)
        for name, number in found.links.numbers.items():
            self._links.append((number, step.name, name, found.links.kinds[name], found))

    def counts(self, step: LoadStep, found: Found, *, live: int, there: int, expected_there: int) -> None:
        """Write a step's counts. What was missing is told by its differences."""
        row = self._con.execute(
            "SELECT count(*) FILTER (how = 'in the bin'), count(*) FILTER (how <> 'in the bin') "
            "FROM reconcile.differences WHERE step = ? AND kind = 'missing'",
            [step.name],
        ).fetchone()
        in_bin, gone = row or (0, 0)
        values = [
            *(step.name, step.label or step.name, step.object_name),
            *(found.prepared, found.refused, found.prepared - found.refused, found.confirmed, found.stale),
            *(found.matched, found.listed, found.looked_at, found.read_back, in_bin, gone),
            *(live, there, expected_there, 0, None),
            chance_of_seeing(found.confirmed - found.listed, found.looked_at),
        ]
        self._con.execute(f"INSERT INTO reconcile.counts VALUES ({_marks(values)})", values)

    # ---- files -------------------------------------------------------------------------------------------------

    def seen_ids(self, step: LoadStep, wanted: Mapping[str, str], budget: ReadBudget) -> list[str]:
        """Return the records whose files are to be fetched: all that were read back, or as many as are allowed."""
        rows = self._con.execute(
            "SELECT record_id FROM reconcile.seen WHERE object_name = ? ORDER BY md5(? || record_id), record_id",
            [step.object_name, str(budget.seed)],
        ).fetchall()
        ids = [rid for (rid,) in rows if rid in wanted]
        return ids if budget.files is None else ids[: budget.files]

    def files(
        self, step: LoadStep, wanted: Mapping[str, str], looked_at: int, digests: Iterable[tuple[str, str, int]]
    ) -> None:
        """Compare the hashes of fetched files with those that the ledger noted before sending."""
        same = other = missing = size = 0
        differences = []
        for record_id, sha256, size_bytes in digests:
            size += size_bytes
            if sha256 == wanted[record_id]:
                same += 1
                continue
            other, missing = (other + 1, missing) if sha256 else (other, missing + 1)
            how = "other bytes than were sent" if sha256 else "there is no file to fetch"
            differences.append((step.name, step.object_name, record_id, step.file_field, "file", how))
        missing += looked_at - same - other - missing
        self._insert(
            "differences", ("step", "object_name", "record_id", "field", "kind", "how"), differences[: 5 * EXAMPLES]
        )
        values = [
            *(step.name, len(wanted), looked_at, same, other, missing, size),
            chance_of_seeing(len(wanted), looked_at),
        ]
        self._con.execute(f"INSERT INTO reconcile.files VALUES ({_marks(values)})", values)

    # ---- links -------------------------------------------------------------------------------------------------

    def links(self, existing: Existing, targets: Callable[[str, str], str], excused: frozenset[str]) -> None:
        """Compare children per parent, and find parents that don't exist.

        `targets`: (step, field) → object. `excused`: members, and parents that somebody removed, as the ledger lists.
        """
        con = self._con
        con.execute(
            "CREATE OR REPLACE TABLE reconcile.parent_totals AS SELECT link, parent, sum(sent)::BIGINT AS sent, "
            "sum(stored)::BIGINT AS stored FROM reconcile.parents GROUP BY ALL"
        )
        for number, step, name, kind, found in self._links:
            orphans = 0 if kind == "family" else self._orphans(number, targets(step, name), existing, excused)
            parents, different = self._parents(number)
            links = found.links
            values = [
                *(step, name, kind, links.expected[name], links.children[name], orphans, links.moved_count[name]),
                *(parents, different, found.measured.left_out[name]),
            ]
            con.execute(f"INSERT INTO reconcile.links VALUES ({_marks(values)})", values)
            con.execute(
                """
                INSERT INTO reconcile.distribution
                SELECT ?, ?, n, sum(a)::BIGINT, sum(b)::BIGINT FROM (
                  SELECT sent AS n, 1 AS a, 0 AS b FROM reconcile.parent_totals WHERE link = ? AND sent > 0 UNION ALL
                  SELECT stored, 0, 1 FROM reconcile.parent_totals WHERE link = ? AND stored > 0
                ) GROUP BY n ORDER BY n
                """,
                [step, name, number, number],
            )

    def _parents(self, number: int) -> tuple[int, int]:
        """Return (parents, those of them that have other children than they were sent)."""
        row = self._con.execute(
            """
            WITH moved AS (SELECT sent AS parent FROM reconcile.moved WHERE link = $n
                           UNION SELECT stored FROM reconcile.moved WHERE link = $n AND stored <> '')
            SELECT count(*) FILTER (t.sent > 0),
                   count(*) FILTER (t.sent <> t.stored OR t.parent IN (SELECT parent FROM moved))
            FROM reconcile.parent_totals AS t WHERE t.link = $n
            """,
            {"n": number},
        ).fetchone()
        return (int(row[0]), int(row[1])) if row else (0, 0)

    def _orphans(self, number: int, target: str, existing: Existing, excused: frozenset[str]) -> int:
        """Count children whose parent, as stored, is neither a record that was read back nor found by asking."""
        rows = self._con.execute(
            "SELECT t.parent, t.stored FROM reconcile.parent_totals AS t "
            "ANTI JOIN reconcile.seen AS s ON s.record_id = t.parent WHERE t.link = ? AND t.stored > 0",
            [number],
        ).fetchall()
        unread = {parent: children for parent, children in rows if parent not in excused}
        there = existing(target, list(unread)) if unread else set()
        return sum(children for parent, children in unread.items() if parent not in there)

    def no_strangers(self, steps: Sequence[str]) -> None:
        """Note that the destination holds nobody else's records of these steps' object."""
        for step in steps:
            self._con.execute("UPDATE reconcile.counts SET twins = 0 WHERE step = ?", [step])

    # ---- the end -----------------------------------------------------------------------------------------------

    def told(self, **facts: Any) -> None:
        """Write when, of which run, and how much was read."""
        for name, value in facts.items():
            self._con.execute("INSERT INTO reconcile.told VALUES (?, ?)", [name, orjson.dumps(value).decode()])

    def clean(self) -> None:
        """Drop the working tables."""
        for name in _WORKING:
            self._con.execute(f"DROP TABLE IF EXISTS reconcile.{name}")


def _marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))
