"""The control tables of a reconciliation, filled page by page so that memory doesn't grow with the records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import duckdb
import orjson
import pyarrow as pa

from dentlib.loading.comparing import EXAMPLES, Found
from dentlib.loading.reading import chance_of_seeing
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
            self._insert("seen", ("record_id", "likeness"), found.seen, as_="hash(record_id), likeness")
            found.seen.clear()
        links = found.links
        if all_ or len(links.parents) >= FLUSH_ROWS:
            totals = [(n, parent, sent, stored) for (n, parent), (sent, stored) in links.parents.items()]
            self._insert("parents", ("link", "parent", "sent", "stored"), totals)
            links.parents.clear()
        if all_ or len(links.moved) >= FLUSH_ROWS:
            self._insert("moved", ("link", "record_id", "sent", "stored"), links.moved)
            links.moved.clear()

    def _insert(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]], as_: str = "") -> None:
        if not rows:
            return
        batch = pa.table(dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True)))
        self._con.register("reconcile_batch", batch)
        names = ", ".join(columns)
        into = "" if as_ else f"({names})"
        self._con.execute(f"INSERT INTO reconcile.{table} {into} SELECT {as_ or names} FROM reconcile_batch")
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
        """Write what one step's fields add up to, in the order of their names: pages are the same each time."""
        self._insert(
            "explanations",
            ("step", "field", "kind", "how", "n"),
            [(step.name, name, kind, how, n) for (name, kind, how), n in sorted(found.explanations.items())],
        )
        measured = found.measured
        for (name, unit), total in sorted(measured.sums.items(), key=lambda item: item[0]):
            one, other = total.sent, total.stored
            row = [one.n, other.n, one.total, other.total, one.least, other.least, one.most, other.most]
            values = [step.name, name, total.kind, unit, *row, measured.left_out[name]]
            self._con.execute(f"INSERT INTO reconcile.sums VALUES ({_marks(values)})", values)
        for (name, kind), (sent, stored) in sorted(measured.groups.items(), key=lambda item: item[0]):
            rows = [(step.name, name, kind, v, sent[v], stored[v]) for v in sorted(sent.keys() | stored.keys())]
            self._insert("groups", ("step", "field", "kind", "value", "sent", "stored"), rows)
        for name, number in sorted(found.links.numbers.items()):
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

    def files(
        self, step: LoadStep, wanted: Mapping[str, str], ids: Sequence[str], digests: Iterable[tuple[str, str, int]]
    ) -> None:
        """Compare the hashes of fetched files with those that the ledger noted before sending.

        `wanted`: the hash of each record's file; `ids`: those that were to be fetched.
        """
        same = other = size = 0
        differences, unseen = [], set(ids)
        for record_id, sha256, size_bytes in digests:
            size += size_bytes
            if sha256:
                unseen.discard(record_id)
            if sha256 == wanted[record_id]:
                same += 1
            elif sha256:
                other += 1
                differences.append((record_id, "other bytes than were sent"))
        differences += [(record_id, "there is no file to fetch") for record_id in sorted(unseen)]
        rows = [(step.name, step.object_name, rid, step.file_field, "file", how) for rid, how in differences]
        columns = ("step", "object_name", "record_id", "field", "kind", "how")
        self._insert("differences", columns, rows[: 5 * EXAMPLES])
        values = [
            *(step.name, len(wanted), len(ids), same, other, len(unseen), size),
            chance_of_seeing(len(wanted), len(ids)),
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
            "ANTI JOIN reconcile.seen AS s ON s.id = hash(t.parent) WHERE t.link = ? AND t.stored > 0",
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
