"""Reconciliation: success is declared here, by what the destination answers, not by the loader.

Writes schema `reconcile` of the work store (control tables only: counts, sums, links, verdicts by field, ids of records
that differ; no value of a patient), on which the suites `reconciliation` and `lookups` are judged, now or again later.
Reads the ledger and the destination; writes neither.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import duckdb

from dentlib.checks import run_suite
from dentlib.clock import Clock, SystemClock
from dentlib.errors import UsageError
from dentlib.facts import CheckFacts
from dentlib.loading.comparing import SOURCE_ID, Found, StepComparison, listed_as_removed
from dentlib.loading.control import Control
from dentlib.loading.files import file_keys
from dentlib.loading.ledger import Ledger
from dentlib.loading.measures import Links
from dentlib.loading.patience import Patience
from dentlib.loading.readback import field_types
from dentlib.loading.reading import Expected, Pages, ReadBudget, expected, sample_sizes
from dentlib.loading.reconciled import was_read_back
from dentlib.loading.rows import count_rows
from dentlib.loading.strangers import Strangers
from dentlib.loading.targets import link_targets
from dentlib.model import JSON, Destination, LastWrite, LoadStep, Progress
from dentlib.workdb import frugally

T = TypeVar("T")
READ_ROWS = 500
"""Records that one read asks for where a destination doesn't say: their ids fit in one request."""

FILES_AT_ONCE = 100
"""Files whose addresses are asked for in one call, and that are fetched again together after a break."""

_FILES = """
    SELECT c.record_id, u.sha256 FROM upload AS u JOIN current AS c USING (step, source_key)
    WHERE u.step = ? AND u.state = 'sent' AND c.state = 'live'
"""
_SCHEMA = Path(__file__).with_name("reconcile.sql")

_MEMORY = "128MB"
"""Enough for the tables that are compared; more would only keep what was read."""


def reconcile(
    con: duckdb.DuckDBPyConnection,
    ledger: Ledger,
    destination: Destination,
    steps: Sequence[LoadStep],
    *,
    run_id: str,
    only_sample: bool = False,
    budget: ReadBudget | None = None,
    clock: Clock | None = None,
    progress: Progress,
) -> None:
    """Read the confirmed records back, compare them field by field with what was prepared, write the control tables.

    Every record within the budget (None: every record), else a sample whose size and worth the tables state. Rows that
    the run `run_id` could not write are not expected there. Idempotent (tables are replaced); bounded memory: records
    are held a page at a time, their ids lie in the work store. Raises DestinationError where it can't be read.
    """

    def read() -> None:
        con.execute(_SCHEMA.read_text(encoding="utf-8"))
        reading = _Reading(con, ledger, destination, Patience(clock or SystemClock()), budget or ReadBudget())
        try:
            reading.all(steps, run_id=run_id, only_sample=only_sample, progress=progress)
        finally:
            reading.close()

    frugally(con, read, memory=_MEMORY)


def judged_again(con: duckdb.DuckDBPyConnection) -> list[CheckFacts]:
    """Judge the stored control tables by the suites as they are now. Reads nothing of the destination.

    Raises UsageError where nothing was ever read back.
    """
    if not was_read_back(con):
        raise UsageError("nothing was read back yet that could be judged again", "dentlib reconcile <engagement>")
    return [*run_suite(con, "reconciliation"), *run_suite(con, "lookups")]


@dataclass(slots=True)
class _Scope:
    """What is known before the first record is read."""

    rows: dict[str, int]  # prepared, by step
    sizes: dict[str, int]  # to be read, by step
    live: dict[str, int]  # by object, as the ledger knows
    there: dict[str, int]  # by object, as the destination counts


class _Reading:
    """One reconciliation under way."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        ledger: Ledger,
        destination: Destination,
        patience: Patience,
        budget: ReadBudget,
    ) -> None:
        self._con = con
        self._ledger = ledger
        self._destination = destination
        self._patience = patience
        self._budget = budget
        self._control = Control(con)
        self._schema = patience.transient(destination.describe)
        self._members = frozenset(m.id for m in patience.transient(destination.members))
        self._page_rows = getattr(destination.capabilities, "read_rows", READ_ROWS)
        self._pages: Pages | None = None
        self._links = 0
        self._listed: frozenset[str] = frozenset()

    def close(self) -> None:
        if self._pages is not None:
            self._pages.close()

    def all(self, steps: Sequence[LoadStep], *, run_id: str, only_sample: bool, progress: Progress) -> None:
        started_at, calls = self._patience.clock.now(), self._destination.stats.calls
        self._listed = listed_as_removed(self._ledger, run_id)
        scope = self._scope(steps, only_sample)
        read = {s.name: self._step(s, steps, scope, run_id, only_sample, progress) for s in steps}
        by_step = self._ledger.live_counts()
        for step in steps:
            self._count(step, read[step.name], by_step.get(step.name, 0))
        targets = {s.name: link_targets(self._schema, s.object_name) for s in steps}
        excused = self._members | self._listed
        self._control.links(self._existing, lambda step, name: targets[step].get(name, ""), excused)
        self._strangers(steps, read, scope)
        self._control.told(
            run_id=run_id,
            started_at=started_at.isoformat(),
            ended_at=self._patience.clock.now().isoformat(),
            calls=self._destination.stats.calls - calls,
            calls_allowed=self._budget.calls,
            page_rows=self._page_rows,
            seed=self._budget.seed,
            sample=only_sample,
        )
        self._control.clean()

    def _scope(self, steps: Sequence[LoadStep], only_sample: bool) -> _Scope:
        rows = {s.name: count_rows(self._con, s, only_sample=only_sample) for s in steps}
        by_step = self._ledger.live_counts()
        live: Counter[str] = Counter()
        for step in steps:
            live[step.object_name] += by_step.get(step.name, 0)
        there = {}
        for name in live:
            there[name] = self._ask(partial(self._destination.count, name))
        return _Scope(rows, sample_sizes(rows, self._page_rows, self._budget), dict(live), there)

    def _ask(self, what: Callable[[], T]) -> T:
        return self._patience.transient(what)

    # ---- one step ----------------------------------------------------------------------------------------------

    def _step(
        self,
        step: LoadStep,
        steps: Sequence[LoadStep],
        scope: _Scope,
        run_id: str,
        only_sample: bool,
        progress: Progress,
    ) -> Found:
        pages = self._pages = Pages(partial(self._read, step.object_name), self._page_rows)
        comparison = self._comparison(step, steps, run_id, pages)
        rows, size = scope.rows[step.name], scope.sizes[step.name]
        task = f"read back {(step.label or step.name).lower()}"
        progress.start(task, size, "records")
        for some in expected(
            self._con,
            self._ledger,
            step,
            only_sample=only_sample,
            chosen=None if size >= rows else size,
            seed=self._budget.seed,
            page_rows=self._page_rows,
        ):
            for page, stored in pages.add(comparison.confirmed(some)):
                self._take(step, comparison, page, stored)
                progress.advance(task, len(page))
        for page, stored in pages.rest():
            self._take(step, comparison, page, stored)
            progress.advance(task, len(page))
        pages.close()
        found = comparison.found
        self._links += len(found.links.numbers)
        self._control.flush(step, found, all_=True)
        self._control.step(step, found)
        if step.file_field:
            self._files(step)
        progress.finish(task)
        return found

    def _comparison(self, step: LoadStep, steps: Sequence[LoadStep], run_id: str, pages: Pages) -> StepComparison:
        described = self._schema.objects[step.object_name]
        types = field_types(described)
        prefixes = tuple(s.source_prefix for s in steps if s.source_prefix)

        def last_writes(ids: Sequence[str]) -> Mapping[str, LastWrite]:
            return pages.call(lambda: self._ask(lambda: self._destination.last_writes(step.object_name, ids)))

        return StepComparison(
            self._ledger,
            step,
            run_id=run_id,
            types=types,
            defaults={f.name: f.default for f in described.fields.values() if f.default is not None},
            unique=frozenset(f.name for f in described.fields.values() if f.unique),
            links=Links(self._links, prefixes, self._members, types),
            last_writes=last_writes,
            file_keys=partial(file_keys, self._destination, step),
            listed=self._listed,
        )

    def _read(self, object_name: str, ids: Sequence[str]) -> Mapping[str, JSON]:
        return self._ask(lambda: self._destination.read(object_name, ids))

    def _take(
        self, step: LoadStep, comparison: StepComparison, page: Sequence[Expected], stored: Mapping[str, JSON]
    ) -> None:
        comparison.take(page, stored)
        found = comparison.found
        if found.missing:
            assert self._pages is not None
            missing = list(found.missing)
            in_bin = self._pages.call(
                lambda: self._ask(lambda: self._destination.read(step.object_name, missing, deleted=True))
            )
            self._control.missing(step, missing, set(in_bin))
            found.missing.clear()
        self._control.flush(step, found)

    def _files(self, step: LoadStep) -> None:
        """Fetch the files' bytes and compare their hashes with those that the ledger noted before sending."""
        wanted = {rid: sha256 for rid, sha256 in self._ledger.rows(_FILES, step.name) if rid not in self._listed}
        ids = self._budget.of_files(wanted)
        self._control.files(step, wanted, ids, self._digests(step, ids))

    def _digests(self, step: LoadStep, ids: Sequence[str]) -> Iterator[tuple[str, str, int]]:
        for start in range(0, len(ids), FILES_AT_ONCE):
            some = ids[start : start + FILES_AT_ONCE]
            yield from self._ask(partial(self._all_digests, step, some))

    def _all_digests(self, step: LoadStep, ids: Sequence[str]) -> list[tuple[str, str, int]]:
        return list(self._destination.digests(step.object_name, ids, step.file_field))

    # ---- after all steps ---------------------------------------------------------------------------------------

    def _count(self, step: LoadStep, found: Found, live: int) -> None:
        """Count at the destination again, by source id; where records carry none, those that were found by their id."""
        if step.source_prefix:
            there = self._ask(lambda: self._destination.count(step.object_name, source_prefix=step.source_prefix))
            # others' records that stand for ours keep their own mark; what somebody removed is listed
            expected_there = live - found.unmarked - found.listed
        else:
            there, expected_there = found.read_back, found.looked_at
        self._control.counts(step, found, live=live, there=there, expected_there=expected_there)

    def _existing(self, object_name: str, ids: Sequence[str]) -> set[str]:
        """Return those of some ids that are live records: parents that were not read as records of ours."""
        if object_name not in self._schema.objects:
            return set()
        return set(self._read(object_name, ids))

    def _strangers(self, steps: Sequence[LoadStep], read: Mapping[str, Found], scope: _Scope) -> None:
        """Where the destination counts more records than are ours, look at the others."""
        strangers = Strangers(self._con, self._ledger, self._destination, self._patience)
        for name, there in scope.there.items():
            of_object = [s for s in steps if s.object_name == name]
            missing = sum(read[s.name].looked_at - read[s.name].read_back + read[s.name].listed for s in of_object)
            if there <= scope.live[name] - missing:
                self._control.no_strangers([s.name for s in of_object])
                continue
            alike = {s.name: read[s.name].alike_by for s in of_object}
            marked = SOURCE_ID in self._schema.objects[name].fields
            strangers.look(name, of_object, alike, marked=marked)
