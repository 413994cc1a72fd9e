"""What is listed for a person to decide, and what was decided: conflicts and deletions, from the ledger alone.

A listing is an entry of the ledger (`conflicts`, `deletions`), its rows numbered from 1; `c412-3` and `d500-1` name a
row of one and stand in the files that a person fills in. A `decision` entry names rows of listings:

    decision      what (conflicts | deletions), by, rows [[listing's entry, row number, decision]]

Decisions about a conflict: `theirs`, `ours`; `void`: it is none any more. About a record whose row is gone: `keep`,
`mark`, `delete`; about a record that is gone itself: `keep`, `recreate`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from dentlib.loading.delta import Deletion
from dentlib.loading.ledger import Entry, Ledger

THEIRS, OURS, VOID = "theirs", "ours", "void"
KEEP, MARK, DELETE, RECREATE = "keep", "mark", "delete", "recreate"
CONFLICT_DECISIONS = (THEIRS, OURS)

GONE, IN_BIN = "gone", "in_bin"
"""Why a record is listed: somebody destroyed it in the destination since, or put it into its bin."""

DESTROYED_THERE = "destroyed in the CRM"
BINNED_THERE = "in the CRM's bin"

Place = tuple[str, str]
"""(step, source key)"""

_LISTED_ROWS = 1_000
_REF = re.compile(r"([cd])(\d+)-(\d+)")


@dataclass(frozen=True, slots=True)
class Conflict:
    """A field that was changed on both sides, as it was listed. `decision` empty: nobody decided yet."""

    entry: int
    number: int
    at: str
    step: str
    source_key: str = dataclasses.field(repr=False)
    record_id: str
    object: str
    field: str
    base: Any = dataclasses.field(repr=False)
    meant: Any = dataclasses.field(repr=False)
    stored: Any = dataclasses.field(repr=False)
    decision: str = ""

    @property
    def ref(self) -> str:
        """Return the name under which a person decides it."""
        return f"c{self.entry}-{self.number}"


@dataclass(frozen=True, slots=True)
class Absent:
    """A listed record whose source row is gone (or isn't loaded any more), or that is itself gone from the destination.

    `changed`: fields that somebody changed in the destination since we wrote them.
    """

    entry: int
    number: int
    step: str
    source_key: str = dataclasses.field(repr=False)
    record_id: str
    object: str
    why: str
    changed: tuple[str, ...] = ()

    @property
    def ref(self) -> str:
        """Return the name under which a person decides it."""
        return f"d{self.entry}-{self.number}"

    @property
    def choices(self) -> tuple[str, ...]:
        """Return what may be decided about it."""
        if self.why == DESTROYED_THERE:
            return (KEEP, RECREATE)
        return (KEEP,) if self.why == BINNED_THERE else (KEEP, MARK, DELETE)


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision about a record, when (number of its entry) and by whom."""

    decision: str
    seq: int
    by: str
    why: str


def parsed_ref(text: str) -> tuple[str, int, int] | None:
    """Return (kind, entry, row number) of a name such as `c412-3`; None where it is none."""
    match = _REF.fullmatch(text.strip())
    return (match[1], int(match[2]), int(match[3])) if match else None


def conflicts_of(entry: Entry) -> list[Conflict]:
    """Return the rows of a listing of conflicts."""
    found, step = [], entry.body["step"]
    for n, (row, was) in enumerate(zip(entry.body["rows"], entry.records("was"), strict=True), 1):
        key, rid, object_name, name = row
        values = (was["base"], was["meant"], was["stored"])
        found.append(Conflict(entry.seq, n, entry.at, step, key, rid, object_name, name, *values))
    return found


def missing_of(entry: Entry) -> list[Absent]:
    """Return the rows of a listing of deletions."""
    found = []
    for n, row in enumerate(entry.body["rows"], 1):
        step, key, rid, name, why = row[:5]
        found.append(Absent(entry.seq, n, step, key, rid, name, why, tuple(row[6]) if len(row) > 6 else ()))
    return found


def standing_conflicts(ledger: Ledger) -> dict[tuple[str, str, str], Conflict]:
    """Return the newest listing of every conflict since the last rollback, with its decision, by (step, key, field).

    Those that are void or were decided as ours are left out: nothing is left of them.
    """
    found: dict[tuple[str, str, str], Conflict] = {}
    by_ref: dict[tuple[int, int], tuple[str, str, str]] = {}
    for entry in ledger.entries("kind IN ('conflicts', 'decision') AND seq > ?", ledger.epoch):
        if entry.kind == "conflicts":
            for conflict in conflicts_of(entry):
                place = (conflict.step, conflict.source_key, conflict.field)
                found[place] = conflict
                by_ref[conflict.entry, conflict.number] = place
        elif entry.body["what"] == "conflicts":
            for listing, number, decision in entry.body["rows"]:
                place = by_ref[listing, number]
                now = found.get(place)
                if now is None or (now.entry, now.number) != (listing, number):
                    continue
                if decision == THEIRS:
                    found[place] = _with(now, decision)
                else:
                    del found[place]
    return found


def _with(conflict: Conflict, decision: str) -> Conflict:
    values = {name: getattr(conflict, name) for name in Conflict.__slots__}
    return Conflict(**values | {"decision": decision})


def decided_missing(ledger: Ledger) -> dict[Place, Decided]:
    """Return the newest decision about each listed record since the last rollback, whether or not it still holds."""
    found: dict[Place, Decided] = {}
    listings: dict[int, list[list[Any]]] = {}
    for entry in ledger.entries("kind IN ('deletions', 'decision') AND seq > ?", ledger.epoch, blocks=False):
        if entry.kind == "deletions":
            listings[entry.seq] = entry.body["rows"]
        elif entry.body["what"] == "deletions":
            for listing, number, decision in entry.body["rows"]:
                row = listings[listing][number - 1]
                found[row[0], row[1]] = Decided(decision, entry.seq, entry.body["by"], row[4])
    return found


def holding(decided: Mapping[Place, Decided], place: Place, last_write: int) -> Decided | None:
    """Return the decision about a record if nothing was written to it since (`last_write`: number of that call)."""
    found = decided.get(place)
    return found if found is not None and found.seq > last_write else None


def let_go(ledger: Ledger) -> set[Place]:
    """Return the rows whose record somebody took away in the destination, and which stay without one by decision."""
    found = set()
    for place, decided in decided_missing(ledger).items():
        if decided.decision == KEEP and decided.why in (DESTROYED_THERE, BINNED_THERE):
            current = ledger.current(place[0], [place[1]]).get(place[1])
            if current is not None and decided.seq > current.call:
                found.add(place)
    return found


def newest_missing(ledger: Ledger) -> dict[Place, Absent]:
    """Return the newest listing of deletions, by place: what is gone as far as the last delta knows."""
    first = ledger.last("kind = 'deletions' AND seq > ? AND coalesce(body ->> 'part', 1) = 1", ledger.epoch)
    if first is None:
        return {}
    entries = ledger.entries("kind = 'deletions' AND seq >= ?", first.seq, blocks=False)
    return {(m.step, m.source_key): m for entry in entries for m in missing_of(entry)}


def list_missing(ledger: Ledger, run_id: str, missing: Sequence[Absent], *, more: bool = False) -> None:
    """Append a listing of records that are missing on one side, in parts; an empty one says that there is none.

    `more`: they belong to the newest listing.
    """
    with ledger.transaction():
        for part, start in enumerate(range(0, max(len(missing), 1), _LISTED_ROWS), 2 if more else 1):
            rows = [
                [m.step, m.source_key, m.record_id, m.object, m.why, "", m.changed]
                for m in missing[start : start + _LISTED_ROWS]
            ]
            ledger.append("deletions", {"rows": rows, "part": part}, run=run_id)


def record_deletions(ledger: Ledger, run_id: str, deletions: Sequence[Deletion]) -> None:
    """List what a plan found gone, without a look at the destination. Nothing is destroyed here."""
    list_missing(ledger, run_id, [Absent(0, 0, d.step, d.source_key, d.record_id, d.object, d.why) for d in deletions])


def record_decisions(ledger: Ledger, what: str, by: str, rows: Sequence[tuple[int, int, str]], run_id: str) -> None:
    """Append decisions. `rows`: (listing's entry, row number, decision)."""
    if rows:
        ledger.append("decision", {"what": what, "by": by, "rows": rows}, run=run_id)


def list_conflicts(ledger: Ledger, run_id: str, conflicts: Iterable[Any]) -> None:
    """Append a listing for each step of conflicts: step, source_key, record_id, object, field and the three values."""
    by_step: dict[str, list[Any]] = {}
    for conflict in conflicts:
        by_step.setdefault(conflict.step, []).append(conflict)
    for step, some in by_step.items():
        ledger.append(
            "conflicts",
            {"step": step, "rows": [[c.source_key, c.record_id, c.object, c.field] for c in some]},
            run=run_id,
            block={"was": [{"base": c.base, "meant": c.meant, "stored": c.stored} for c in some]},
        )


def as_text(value: Any) -> str:
    """Return a value for a person to read: texts as they are, nothing as nothing, everything else as JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
