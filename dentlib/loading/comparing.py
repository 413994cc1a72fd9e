"""Compare one step's records with what they should hold, page by page, and add up what that shows.

Ours to answer for is what we wrote: of records that were there before us only the fields we filled, of fields that
somebody kept or changed since none. What explains a difference is looked up (who wrote the record last, which values
the ledger says were left alone) only for records that differ.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from dentlib.loading.decisions import let_go
from dentlib.loading.differences import SAME, Kind, explain
from dentlib.loading.ledger import Adopted, Current, Entry, Ledger
from dentlib.loading.measures import Links, Measured
from dentlib.loading.readback import is_empty, normalise_equal
from dentlib.loading.reading import Expected
from dentlib.model import JSON, LastWrite, LoadStep

EXAMPLES = 200
"""Differences of one field and kind that are named by record; the counts have no limit."""

ASKED_ABOUT = 20_000
"""Records of a step that the destination is asked about who wrote them last; a step with more is wrong as a whole."""

_NOT_LIKENESS = frozenset({"id", "sourceSystemId", "createdAt", "updatedAt", "createdBy", "position"})
MATCH_ONLY = "match_only"
SOURCE_ID = "sourceSystemId"
REMOVED = ("gone", "in_bin")
"""Codes of rows whose record somebody else removed."""

LastWrites = Callable[[Sequence[str]], Mapping[str, LastWrite]]


@dataclass(frozen=True, slots=True)
class Difference:
    """One field of one record that is not as it was meant, and what explains it."""

    record_id: str
    field: str
    kind: Kind
    how: str


@dataclass(slots=True)
class Found:
    """What reading one step back adds up to."""

    measured: Measured
    links: Links
    prepared: int = 0
    refused: int = 0
    confirmed: int = 0
    stale: int = 0
    matched: int = 0
    looked_at: int = 0
    read_back: int = 0
    unmarked: int = 0  # records that were there before us and don't carry our source id: no count by it finds them
    listed: int = 0  # confirmed records that somebody removed, which the ledger lists for a decision
    missing: list[str] = field(default_factory=list)
    explanations: Counter[tuple[str, Kind, str]] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    seen: list[tuple[str, int | None]] = field(default_factory=list)  # record id, likeness
    alike_by: tuple[str, ...] = ()  # the fields by which others' records are told to be the same
    _named: Counter[tuple[str, Kind]] = field(default_factory=Counter)

    def name(self, difference: Difference) -> None:
        """Note a difference; of many of one field and kind only the first are named."""
        self.explanations[difference.field, difference.kind, difference.how] += 1
        self._named[difference.field, difference.kind] += 1
        if self._named[difference.field, difference.kind] <= EXAMPLES:
            self.differences.append(difference)


class StepComparison:
    """One step under comparison."""

    def __init__(
        self,
        ledger: Ledger,
        step: LoadStep,
        *,
        run_id: str,
        types: Mapping[str, str],
        defaults: Mapping[str, Any],
        unique: frozenset[str],
        links: Links,
        last_writes: LastWrites,
        file_keys: Callable[[JSON], Sequence[str]],
        listed: frozenset[str],
    ) -> None:
        self._ledger = ledger
        self._step = step
        self._types = types
        self._defaults = defaults
        self._unlike = _NOT_LIKENESS | unique
        self._last_writes = last_writes
        self._file_keys = file_keys
        self._listed = listed
        self._trouble = ledger.trouble(run_id, step.name)
        self._let_go = {key for name, key in let_go(ledger) if name == step.name}
        self._adopted = ledger.adopted(step.name)
        self._filled = filled_fields(ledger, step.name, self._adopted)
        self._kept = kept_values(ledger, step.name)
        self._block: tuple[int, dict[str, JSON]] = (0, {})
        self._asked = 0
        self._names: set[str] = set()
        self.found = Found(Measured(types), links)

    def confirmed(self, rows: Sequence[Expected]) -> list[Expected]:
        """Count rows and return those whose record the ledger calls live and that were chosen to be read."""
        found, live = self.found, []
        for row in rows:
            found.prepared += 1
            if row.current is not None and row.current.live:
                found.confirmed += 1
                found.stale += row.current.row_hash != row.row_hash and row.source_key not in self._trouble
                found.matched += row.source_key in self._adopted
                if row.payload is not None:
                    live.append(row)
            elif row.source_key in self._trouble or row.source_key in self._let_go:
                found.refused += 1
        return live

    def take(self, page: Sequence[Expected], stored: Mapping[str, JSON]) -> None:
        """Compare a page of records with what was read of them."""
        open_: list[tuple[str, str, Kind, str, Any]] = []
        meant: dict[str, JSON] = {}
        identical: dict[str, int] = {}
        linked: dict[str, list[tuple[str, str]]] = {}
        theirs: set[tuple[str, str]] = set()
        for row in page:
            assert row.current is not None
            record_id = row.current.record_id
            intended = meant[record_id] = self._meant(row, row.current)
            self.found.looked_at += 1
            linked[record_id] = self.found.links.of(intended)
            self.found.links.expect(linked[record_id])
            record = stored.get(record_id)
            if record is None:
                self._not_there(record_id)
                continue
            self.found.read_back += 1
            filled = self._filled.get(row.source_key)
            if filled is not None and self._step.source_prefix:
                self.found.unmarked += not str(record.get(SOURCE_ID) or "").startswith(self._step.source_prefix)
            for name, value in intended.items():
                there = record.get(name)
                if value == there:
                    identical[name] = identical.get(name, 0) + 1
                    continue
                kind, how = explain(value, there, self._types.get(name, ""), self._defaults.get(name))
                if kind in SAME:
                    self.found.explanations[name, kind, how] += 1
                elif filled is not None and name not in filled:
                    theirs.add((record_id, name))
                    self.found.name(Difference(record_id, name, Kind.KEPT, "it was there before us and was left alone"))
                elif is_empty(there) and isinstance(value, str) and value in self._listed:
                    theirs.add((record_id, name))
                    how = "somebody removed the record that it led to, as the ledger lists"
                    self.found.name(Difference(record_id, name, Kind.CHANGED, how))
                else:
                    open_.append((record_id, name, kind, how, there))
        for name, n in identical.items():
            self.found.explanations[name, Kind.IDENTICAL, ""] += n
        theirs |= self._settle(open_)
        for record_id, intended in meant.items():
            if record_id in stored:
                self._measure(record_id, intended, stored[record_id], linked[record_id], theirs)

    def _not_there(self, record_id: str) -> None:
        """Count a record that is missing; one that the ledger lists as removed by somebody is not expected there."""
        if record_id not in self._listed:
            self.found.missing.append(record_id)
            return
        self.found.looked_at -= 1
        self.found.listed += 1
        self.found.differences.append(
            Difference(record_id, "", Kind.LISTED, "somebody removed it, as the ledger lists")
        )

    # ---- what was meant ----------------------------------------------------------------------------------------

    def _meant(self, row: Expected, current: Current) -> JSON:
        """Return the fields that we answer for: as prepared, or where that was not written, as written last."""
        adopted = self._adopted.get(row.source_key)
        if adopted is not None and (adopted.found == MATCH_ONLY or not current.row_hash):
            return {}
        if row.payload is not None and current.row_hash == row.row_hash:
            meant: JSON = orjson.loads(row.payload)
        else:
            meant = dict(self._written_last(current))
            for name in self._file_keys(meant):  # prepared rows don't name it; its bytes are compared apart
                del meant[name]
        meant.pop("id", None)
        return meant

    def _written_last(self, current: Current) -> JSON:
        if self._block[0] != current.call:
            entry: Entry = self._ledger.entry(current.call)
            ids = [rid for _, rid, *_ in entry.body["rows"]]
            self._block = (current.call, dict(zip(ids, entry.records("new"), strict=True)))
        return self._block[1][current.record_id]

    # ---- what explains a difference ----------------------------------------------------------------------------

    def _settle(self, open_: Sequence[tuple[str, str, Kind, str, Any]]) -> set[tuple[str, str]]:
        """Look for evidence about values that differ; return the fields of records that others answer for."""
        theirs: set[tuple[str, str]] = set()
        left: list[tuple[str, str, Kind, str]] = []
        for record_id, name, kind, how, value in open_:
            kept = self._kept.get((record_id, name), _NOTHING)
            if kept is not _NOTHING and normalise_equal(kept, value, self._types.get(name, ""))[0]:
                theirs.add((record_id, name))
                self.found.name(
                    Difference(record_id, name, Kind.KEPT, "their value was left alone, as the ledger lists")
                )
            else:
                left.append((record_id, name, kind, how))
        by_person = self._by_person({record_id for record_id, *_ in left})
        for record_id, name, kind, how in left:
            if record_id in by_person:
                theirs.add((record_id, name))
                kind, how = Kind.CHANGED, "a person has written this record since our last write"
            self.found.name(Difference(record_id, name, kind, how))
        return theirs

    def _by_person(self, ids: set[str]) -> set[str]:
        """Return those records whose last writer is a person: our own writes always leave the key as the writer."""
        if not ids or self._asked >= ASKED_ABOUT:
            return set()
        self._asked += len(ids)
        return {rid for rid, last in self._last_writes(sorted(ids)).items() if last.member_id}

    # ---- sums, groups, links -----------------------------------------------------------------------------------

    def _measure(
        self,
        record_id: str,
        intended: JSON,
        stored: JSON,
        linked: Sequence[tuple[str, str]],
        theirs: set[tuple[str, str]],
    ) -> None:
        measured, links = self.found.measured, self.found.links
        for name in measured.names & intended.keys():
            if theirs and (record_id, name) in theirs:
                measured.left_out[name] += 1
            else:
                measured.take(name, intended[name], stored.get(name))
        for name, parent in linked:
            if theirs and (record_id, name) in theirs:
                measured.left_out[name] += 1
                links.expected[name] -= 1
            else:
                links.take(record_id, name, parent, stored.get(name))
        if not intended.keys() <= self._names:
            self._names |= intended.keys()
            self.found.alike_by = tuple(sorted(self._names - self._unlike))
        alike = likeness(self._step.object_name, stored, self.found.alike_by) if intended else None
        self.found.seen.append((record_id, alike))


_NOTHING = object()


def likeness(object_name: str, record: JSON, names: Sequence[str]) -> int | None:
    """Return a fingerprint of what a record holds in these fields; None where that is less than two values."""
    values = [(n, v) for n in names if (v := record.get(n)) and not (isinstance(v, dict) and is_empty(v))]
    if len(values) < 2:
        return None
    digest = hashlib.blake2b(orjson.dumps([object_name, values], option=orjson.OPT_SORT_KEYS), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def listed_as_removed(ledger: Ledger, run_id: str) -> frozenset[str]:
    """Return the records that the run found removed by somebody else, and listed."""
    marks = ", ".join("?" * len(REMOVED))
    sql = f"""
        SELECT c.record_id FROM trouble AS t JOIN current AS c USING (step, source_key)
        WHERE t.run = ? AND t.code IN ({marks}) AND c.state = 'live'
    """
    found = {record_id for (record_id,) in ledger.rows(sql, run_id, *REMOVED)}
    for entry in ledger.entries("kind = 'lost' AND seq > ?", ledger.epoch, blocks=False):
        found |= {record_id for _, _, record_id, _ in entry.body["rows"]}
    return frozenset(found)


def filled_fields(ledger: Ledger, step: str, adopted: Mapping[str, Adopted]) -> dict[str, set[str]]:
    """Return the fields that we wrote since the last rollback of records that were there before us, by source key."""
    filled: dict[str, set[str]] = {key: set() for key in adopted}
    if filled:
        where = "kind = 'call' AND body ->> 'op' = 'update' AND body ->> 'step' = ? AND seq > ?"
        for entry in ledger.entries(where, step, ledger.epoch):
            if any(row[0] in filled for row in entry.body["rows"]):
                for row, sent in zip(entry.body["rows"], entry.records("sent"), strict=True):
                    if row[0] in filled:
                        filled[row[0]] |= sent.keys()
    return filled


def kept_values(ledger: Ledger, step: str) -> dict[tuple[str, str], Any]:
    """Return the values of others that were left alone since the last rollback, by record and field, as listed last."""
    found: dict[tuple[str, str], Any] = {}
    where = "kind IN ('conflicts', 'kept') AND body ->> 'step' = ? AND seq > ?"
    for entry in ledger.entries(where, step, ledger.epoch):
        for (_, record_id, _, name, *_), was in zip(entry.body["rows"], entry.records("was"), strict=True):
            found[record_id, name] = was["stored"]
    return found
