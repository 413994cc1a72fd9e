"""Which records a reconciliation reads back, and the reading: pages by id, one under way while another is compared.

Every record where the calls allow, else as many of each step as they allow, chosen by a hash of seed and record id: the
same seed chooses the same records on every machine.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import duckdb

from dentlib.loading.ledger import Current, Ledger
from dentlib.loading.rows import table_of
from dentlib.model import JSON, LoadStep

T = TypeVar("T")
SEED = 7
NO_LIMIT_MINUTES = 120.0
"""How long reading everything back may take at the rate allowed before a sample is read instead."""


@dataclass(frozen=True, slots=True)
class ReadBudget:
    """How much may be read. `calls` None: everything. `files` None: every file, else so many of each step."""

    calls: int | None = None
    seed: int = SEED
    files: int | None = None

    @classmethod
    def within(cls, minutes: float, calls_per_minute: int | None, *, seed: int = SEED) -> ReadBudget:
        """Return what can be read in so many minutes at a rate; everything where nothing limits."""
        return cls(None if calls_per_minute is None else max(1, int(minutes * calls_per_minute)), seed)

    def of_files(self, ids: Iterable[str]) -> list[str]:
        """Return the records whose files are fetched: all, or as many as allowed, chosen by the seed."""
        chosen = sorted(ids, key=lambda rid: (hashlib.sha256(f"{self.seed}{rid}".encode()).digest(), rid))
        return chosen if self.files is None else chosen[: self.files]


def sample_sizes(rows: Mapping[str, int], page_rows: int, budget: ReadBudget) -> dict[str, int]:
    """Return how many records of each step to read: all of the small steps, the same number of each larger one.

    As many of each, not in proportion: what a sample can show depends on its size, hardly on that of the whole.
    """
    if budget.calls is None or sum(math.ceil(n / page_rows) for n in rows.values()) <= budget.calls:
        return dict(rows)
    left, waiting, chosen = budget.calls, sorted(rows, key=lambda s: (rows[s], s)), {}
    while waiting:
        step = waiting.pop(0)
        pages = max(1, min(math.ceil(rows[step] / page_rows), left // (len(waiting) + 1)))
        chosen[step] = min(rows[step], pages * page_rows)
        left = max(0, left - pages)
    return {step: chosen[step] for step in rows}


def chance_of_seeing(records: int, read: int, share: float = 0.01) -> float:
    """Return the chance that a fault in `share` of the records shows in `read` of them, drawn without return."""
    if read >= records:
        return 1.0
    faulty = max(1, math.ceil(records * share))
    if read > records - faulty:
        return 1.0
    unseen = (
        sum(math.log1p(-read / (records - n)) for n in range(faulty))
        if faulty < 10_000
        else faulty * math.log1p(-read / records)
    )
    return 1.0 - math.exp(unseen)


@dataclass(slots=True)
class Expected:
    """One record to be read back: what it should hold, where that comes from, and what the ledger knows of it."""

    source_key: str
    record_id: str
    row_hash: str
    payload: str | None  # None: not chosen to be read
    current: Current | None


def expected(
    con: duckdb.DuckDBPyConnection,
    ledger: Ledger,
    step: LoadStep,
    *,
    only_sample: bool,
    chosen: int | None,
    seed: int,
    page_rows: int,
) -> Iterator[list[Expected]]:
    """Stream the prepared rows of a step beside what the ledger knows of them. `chosen` None: all are to be read."""
    payload = "payload"
    if chosen is not None:
        con.execute(
            f"CREATE OR REPLACE TABLE reconcile.chosen AS SELECT source_key FROM {table_of(step)} "
            "ORDER BY md5(? || record_id::VARCHAR), record_id LIMIT ?",
            [str(seed), chosen],
        )
        for key in ledger.adopted(step.name):  # records that were there before us are all read: few, and told apart
            con.execute("INSERT INTO reconcile.chosen VALUES (?)", [key])
        payload = "CASE WHEN source_key IN (SELECT source_key FROM reconcile.chosen) THEN payload END"
    where = "WHERE in_sample" if only_sample else ""
    cursor = con.cursor().execute(
        f"SELECT source_key, record_id::VARCHAR, row_hash, {payload} FROM {table_of(step)} {where}"
    )
    while rows := cursor.fetchmany(page_rows):
        known = ledger.current(step.name, [row[0] for row in rows])
        yield [Expected(key, rid, digest, text, known.get(key)) for key, rid, digest, text in rows]


@dataclass(slots=True)
class Pages:
    """Gathers records into full pages and reads them, one page ahead. The destination serves one call at a time."""

    read: Callable[[Sequence[str]], Mapping[str, JSON]]
    page_rows: int
    _waiting: list[Expected] = field(default_factory=list)
    _under_way: tuple[list[Expected], Future[Mapping[str, JSON]]] | None = None
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "read-back"))

    def add(self, records: Sequence[Expected]) -> Iterator[tuple[list[Expected], Mapping[str, JSON]]]:
        """Take records in; yield the pages that are read meanwhile."""
        self._waiting += records
        while len(self._waiting) >= self.page_rows:
            page, self._waiting = self._waiting[: self.page_rows], self._waiting[self.page_rows :]
            yield from self._turn(page)

    def rest(self) -> Iterator[tuple[list[Expected], Mapping[str, JSON]]]:
        """Read what is left over and end."""
        if self._waiting:
            page, self._waiting = self._waiting, []
            yield from self._turn(page)
        if self._under_way is not None:
            page, future = self._under_way
            self._under_way = None
            yield page, future.result()

    def _turn(self, page: list[Expected]) -> Iterator[tuple[list[Expected], Mapping[str, JSON]]]:
        before = self._under_way
        found = before[1].result() if before else {}
        self._under_way = (page, self._pool.submit(self.read, [e.record_id for e in page]))
        if before:
            yield before[0], found

    def call(self, what: Callable[[], T]) -> T:
        """Make another call of the destination, after the one under way."""
        return self._pool.submit(what).result()

    def close(self) -> None:
        """Let go of the thread, whatever happened. Idempotent."""
        self._pool.shutdown(wait=True, cancel_futures=True)
