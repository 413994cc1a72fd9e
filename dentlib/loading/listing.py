"""After a delta: look at what a person has to decide, as it is now in the destination, and list it in the ledger.

Conflicts that stand are read again: one that is none any more is closed, one decided `theirs` comes back only where
either side changed since. A record whose row is gone is listed until somebody decides, with the fields that somebody
changed in the destination; one that is gone there as well is noted as gone. Nothing is written to the destination.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TypeVar

from dentlib.loading.decisions import (
    BINNED_THERE,
    DESTROYED_THERE,
    GONE,
    IN_BIN,
    KEEP,
    THEIRS,
    VOID,
    Absent,
    Conflict,
    Decided,
    Place,
    decided_missing,
    holding,
    let_go,
    list_conflicts,
    list_missing,
    newest_missing,
    record_decisions,
    standing_conflicts,
)
from dentlib.loading.delta import Deletion
from dentlib.loading.files import file_keys
from dentlib.loading.ledger import Current, Ledger
from dentlib.loading.patience import Patience
from dentlib.loading.readback import differing, field_types, normalise_equal
from dentlib.model import JSON, Destination, LoadStep

_LOOKED_UP = 500
T = TypeVar("T", Conflict, Absent, Deletion)


@dataclass(frozen=True, slots=True)
class Undecided:
    """What a person has to decide now. `settled`: (theirs | keep | mark, records) decided before, and still so."""

    conflicts: tuple[Conflict, ...]
    missing: tuple[Absent, ...]
    settled: tuple[tuple[str, int], ...]


class LastWritten:
    """What was written last into a record, field by field. Records of one call follow each other: its block is kept."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._block: tuple[int, dict[str, JSON]] = (0, {})

    def of(self, current: Current) -> JSON:
        """Return the fields as last meant; an empty mapping where the ledger doesn't hold them."""
        if self._block[0] != current.call:
            entry = self._ledger.entry(current.call)
            ids = [rid for _, rid, _ in entry.body["rows"]]
            self._block = (current.call, dict(zip(ids, entry.records("new"), strict=False)))
        return self._block[1].get(current.record_id, {})


class Looking:
    """Reads the destination's records beside what the ledger knows of them. Reads only."""

    def __init__(self, ledger: Ledger, destination: Destination, patience: Patience) -> None:
        self.ledger = ledger
        self.destination = destination
        self.patience = patience
        self.written = LastWritten(ledger)
        schema = patience.transient(destination.describe)
        self._types = {name: field_types(o) for name, o in schema.objects.items()}

    def types(self, object_name: str) -> Mapping[str, str]:
        """Return the types of an object's fields."""
        return self._types.get(object_name, {})

    def current(self, step: str, keys: Sequence[str]) -> dict[str, Current]:
        """Return what the source rows have become, the live ones."""
        return {k: c for k, c in self.ledger.current(step, keys).items() if c.live}

    def read(self, object_name: str, ids: Sequence[str]) -> dict[str, JSON]:
        """Read records, those in the bin as well."""
        return self.patience.transient(lambda: self.destination.read(object_name, list(ids), deleted=True))

    def changed(self, current: Current, stored: JSON) -> tuple[str, ...]:
        """Name the fields that hold something else than was written last; `deletedAt` where it lies in the bin."""
        types, whole = self.types(current.object), self.written.of(current)
        # a file is named in another form when it is read; whether its bytes are still the same is not asked here
        named = file_keys(self.destination, LoadStep(current.step, current.object, "", "", file_field="file"), whole)
        base = {n: v for n, v in whole.items() if n not in {"id", *named} and types.get(n) != "FILES"}
        found = sorted(differing(base, stored, types))
        return (*found, "deletedAt") if stored.get("deletedAt") and "deletedAt" not in found else tuple(found)

    def of(self, listed: Sequence[T], step: str, object_name: str) -> Iterator[tuple[T, Current | None, JSON | None]]:
        """Yield each listed row with what it has become and what is stored, in calls of the destination's size."""
        size = self.destination.capabilities.batch_rows
        for start in range(0, len(listed), size):
            some = listed[start : start + size]
            keys = [row.source_key for row in some]
            current = self.current(step, keys)
            present = self.read(object_name, [c.record_id for c in current.values()])
            for row, key in zip(some, keys, strict=True):
                now = current.get(key)
                yield row, now, present.get(now.record_id) if now else None


def list_undecided(
    ledger: Ledger, destination: Destination, deletions: Sequence[Deletion], *, run_id: str, patience: Patience
) -> Undecided:
    """List what is to be decided after the delta `run_id`, whose plan found `deletions`. Idempotent; resumable."""
    looking = Looking(ledger, destination, patience)
    settled: Counter[str] = Counter()
    conflicts = _conflicts(looking, run_id, settled)
    missing = _missing(looking, deletions, run_id, settled)
    return Undecided(conflicts, missing, tuple(sorted(settled.items())))


def list_lost(
    ledger: Ledger,
    destination: Destination,
    undecided: Undecided,
    missing: Sequence[tuple[str, str]],
    *,
    run_id: str,
    patience: Patience,
) -> Undecided:
    """Add records of ours that the reconciliation didn't find (step, record id) to what is to be decided."""
    looking, listed = Looking(ledger, destination, patience), {m.record_id for m in undecided.missing}
    fresh: list[Absent] = []
    for start in range(0, len(missing), _LOOKED_UP):
        some = {rid: step for step, rid in missing[start : start + _LOOKED_UP] if rid not in listed}
        marks = ",".join("?" * len(some))
        sql = f"SELECT step, source_key FROM current WHERE state = 'live' AND record_id IN ({marks})"
        for step, key in sorted(ledger.rows(sql, *some)) if some else ():
            current = looking.current(step, [key]).get(key)
            if current is None or some.get(current.record_id) != step:
                continue
            stored = looking.read(current.object, [current.record_id]).get(current.record_id)
            if stored is None or stored.get("deletedAt"):
                why = DESTROYED_THERE if stored is None else BINNED_THERE
                fresh.append(Absent(0, 0, step, key, current.record_id, current.object, why))
    if not fresh:
        return undecided
    list_missing(ledger, run_id, fresh, more=True)
    return replace(undecided, missing=tuple(newest_missing(ledger).values()))


def _conflicts(looking: Looking, run_id: str, settled: Counter[str]) -> tuple[Conflict, ...]:
    ledger = looking.ledger
    standing = sorted(standing_conflicts(ledger).values(), key=lambda c: (c.step, c.object, c.source_key, c.field))
    failed = set(ledger.rows("SELECT step, source_key FROM trouble WHERE run = ?", run_id))
    void: list[tuple[int, int, str]] = []
    again: list[Conflict] = []
    for (step, object_name), group in groupby(standing, key=lambda c: (c.step, c.object)):
        for conflict, current, stored in looking.of(list(group), step, object_name):
            # a row that failed was not written, so the ledger doesn't hold what it means: the conflict stands as it is
            unwritten = (step, conflict.source_key) in failed
            now = conflict if unwritten else _as_it_is(looking, conflict, current, stored)
            if now is None:
                void.append((conflict.entry, conflict.number, VOID))
            elif now is not conflict:
                again.append(now)
            elif conflict.decision == THEIRS:
                settled[THEIRS] += 1
    with ledger.transaction():
        record_decisions(ledger, "conflicts", "", void, run_id)
        list_conflicts(ledger, run_id, again)
    listed = [c for c in standing_conflicts(ledger).values() if not c.decision]
    return tuple(sorted(listed, key=lambda c: (c.entry, c.number)))


def _as_it_is(looking: Looking, conflict: Conflict, current: Current | None, stored: JSON | None) -> Conflict | None:
    """Return the conflict as listed where it still is so, with its new values where not, None where it is none."""
    if current is None or stored is None or current.record_id != conflict.record_id:
        return None
    kind = looking.types(conflict.object).get(conflict.field, "")
    meant, found = looking.written.of(current).get(conflict.field), stored.get(conflict.field)
    if normalise_equal(meant, found, kind)[0]:
        return None
    same = normalise_equal(conflict.meant, meant, kind)[0] and normalise_equal(conflict.stored, found, kind)[0]
    return conflict if same else replace(conflict, meant=meant, stored=found, decision="")


def _missing(looking: Looking, deletions: Sequence[Deletion], run_id: str, settled: Counter[str]) -> tuple[Absent, ...]:
    ledger, decided = looking.ledger, decided_missing(looking.ledger)
    listed: list[Absent] = []
    ordered = sorted(deletions, key=lambda d: (d.step, d.object))
    for (step, object_name), group in groupby(ordered, key=lambda d: (d.step, d.object)):
        nowhere: list[Current] = []
        for deletion, current, stored in looking.of(list(group), step, object_name):
            if current is None:
                continue
            if stored is None:
                nowhere.append(current)
            elif earlier := holding(decided, (step, deletion.source_key), current.call):
                settled[earlier.decision] += 1
            else:
                changed = looking.changed(current, stored)
                listed.append(
                    Absent(0, 0, step, current.source_key, current.record_id, object_name, deletion.why, changed)
                )
        note_gone(ledger, nowhere, run_id)
    listed += _lost(looking, decided, run_id)
    if stays := let_go(ledger):
        settled[KEEP] += len(stays)
    list_missing(ledger, run_id, listed)
    return tuple(newest_missing(ledger).values())


def _lost(looking: Looking, decided: Mapping[Place, Decided], run_id: str) -> Iterator[Absent]:
    """Yield records that this run wanted to update, or to point to, and that are not in the destination any more."""
    sql = "SELECT step, source_key, code FROM trouble WHERE run = ? AND code IN (?, ?) ORDER BY step, source_key"
    lost = {(step, key): code for step, key, code in looking.ledger.rows(sql, run_id, GONE, IN_BIN)}
    for entry in looking.ledger.entries("kind = 'lost' AND run = ?", run_id, blocks=False):
        lost |= {(step, key): GONE for step, key, _, _ in entry.body["rows"]}
    for (step, key), code in sorted(lost.items()):
        current = looking.current(step, [key]).get(key)
        if current is None:
            continue
        if holding(decided, (step, key), current.call) is None:
            why = DESTROYED_THERE if code == GONE else BINNED_THERE
            yield Absent(0, 0, step, key, current.record_id, current.object, why)


def note_gone(ledger: Ledger, records: Sequence[Current], run_id: str) -> None:
    """Note records as destroyed that somebody else destroyed; nothing is sent."""
    if not records:
        return
    with ledger.transaction():
        call = ledger.begin_call(
            run=run_id,
            step=records[0].step,
            object_name=records[0].object,
            op="destroy",
            tag="gone",
            rows=[(c.source_key, c.record_id, c.row_hash) for c in records],
        )
        ledger.end_call(call, run=run_id, result="found")
