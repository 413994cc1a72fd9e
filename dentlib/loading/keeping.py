"""Decide, before anything is taken back, what becomes of each of our records: destroyed, put back, or kept and why.

Reads only. Kept is a record of ours that a live record of somebody else's points to, and whatever a kept record itself
points to. What the destination wrote or tied by itself (timeline and the like) doesn't keep anything.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import orjson

from dentlib.errors import AccessDenied, Refused
from dentlib.loading.ledger import Ledger
from dentlib.loading.patience import Patience
from dentlib.loading.probe import PREFIX
from dentlib.model import JSON, Destination, DestinationSchema, Progress

LOOKED_AT = "looking at the workspace"
_CHUNK_ROWS = 5_000
MOST_STRANGERS = 20_000
"""Of how many records of others it is looked whether they hold something in our fields; that costs a read for 500."""

_TABLES = """
    CREATE TABLE ours (
        id TEXT PRIMARY KEY, object TEXT, step TEXT, source_key TEXT, row_hash TEXT, made INTEGER,
        fate TEXT, why TEXT, there INTEGER, binned INTEGER, by_hand INTEGER
    ) WITHOUT ROWID;
    CREATE INDEX ours_made ON ours (fate, made, step);
    CREATE TABLE told (id TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE stranger (object TEXT, id TEXT, PRIMARY KEY (object, id)) WITHOUT ROWID;
"""
DESTROY, RESTORE, KEEP, PROBE = "destroy", "restore", "keep", "probe"


@dataclass(frozen=True, slots=True)
class OurRecord:
    """One record of ours, as the plan has it. `there` False: somebody destroyed it already."""

    id: str
    object: str
    step: str
    source_key: str
    row_hash: str
    made: int
    there: bool

    @property
    def intent(self) -> tuple[str, str, str]:
        """Return what a call's intent names."""
        return self.source_key, self.id, self.row_hash


class Fates:
    """What becomes of each of our records. Lives in a temporary database on disk, so memory does not grow."""

    def __init__(self, ledger: Ledger, destination: Destination, patience: Patience) -> None:
        self._ledger = ledger
        self._destination = destination
        self._patience = patience
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.executescript(_TABLES)
        self.schema: DestinationSchema = patience.idempotent(destination.describe)
        self.unseen: list[str] = []  # objects that the key may not look into

    def close(self) -> None:
        """Throw the plan away."""
        self._db.close()

    def __enter__(self) -> Fates:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- making the plan ---------------------------------------------------------------------------------------

    def plan(self, progress: Progress) -> None:
        """Read the ledger and look at the workspace: a few short fields of every record, then what matters of it."""
        self._from_ledger()
        if not self._one("SELECT EXISTS (SELECT 1 FROM ours)"):
            return
        candidates = self._look(progress)
        held = self._held_by_others(candidates)
        self.keep({rid: why for rid, why in held.items() if self._fate(rid) == DESTROY})

    def _from_ledger(self) -> None:
        # each call's body is read once: a join would parse two hundred rows of JSON for every record
        calls = """
            SELECT seq, body ->> 'op' FROM entry
            WHERE seq IN (SELECT DISTINCT made FROM current WHERE state = 'live')
        """
        fates = {seq: DESTROY if op == "create" else RESTORE for seq, op in self._ledger.rows(calls)}
        live = "SELECT record_id, object, step, source_key, row_hash, made FROM current WHERE state = 'live'"
        insert = "INSERT OR IGNORE INTO ours VALUES (?,?,?,?,?,?,?,'',0,0,0)"
        self._db.execute("BEGIN")
        self._db.executemany(
            insert,
            ((*row, PROBE if row[2].startswith(PREFIX) else fates[row[5]]) for row in self._ledger.rows(live)),
        )
        for entry in self._ledger.open_calls():
            if entry.body["op"] == "create":
                body = entry.body
                fate = PROBE if body["step"].startswith(PREFIX) else DESTROY
                doubt = [(rid, body["object"], body["step"], key, h, entry.seq, fate) for key, rid, h in body["rows"]]
                self._db.executemany(insert, doubt)
        self._db.execute("COMMIT")

    def _look(self, progress: Progress) -> dict[str, set[str]]:
        """Read every object that holds ours or may point to ours; return object → our ids that others point to."""
        caps = self._destination.capabilities
        holding = {name for (name,) in self._db.execute("SELECT DISTINCT object FROM ours")}
        candidates: dict[str, set[str]] = {}
        objects = {
            name: [c for f in described.fields.values() if f.active for c in f.columns]
            for name, described in self.schema.objects.items()
            if described.active and not name.startswith(caps.by_itself or ("\0",))
        }
        progress.start(LOOKED_AT, None, "records")
        for name, columns in objects.items():
            if columns or name in holding:
                try:
                    found = self._patience.idempotent(
                        lambda name=name, columns=columns: self._look_into(name, columns, progress)  # type: ignore[misc]
                    )
                    for rid, owner in found.items():
                        candidates.setdefault(owner, set()).add(rid)
                except (AccessDenied, Refused):
                    self.unseen.append(name)
        progress.finish(LOOKED_AT)
        return candidates

    def _look_into(self, name: str, columns: Sequence[str], progress: Progress) -> dict[str, str]:
        """Note which of ours are there and whose the rest is; return our ids that others point to, with object."""
        pointed_to: dict[str, str] = {}
        rows = iter(self._destination.scan(name, deleted=True, fields=(*columns, "deletedAt", "updatedBy")))
        while chunk := list(islice(rows, _CHUNK_ROWS)):
            ours = self._known([r["id"] for r in chunk], name)
            seen = [(bool(r.get("deletedAt")), _by_hand(r), r["id"]) for r in chunk if r["id"] in ours]
            self._db.execute("BEGIN")
            self._db.executemany("UPDATE ours SET there = 1, binned = ?, by_hand = ? WHERE id = ?", seen)
            others = [r for r in chunk if r["id"] not in ours]
            self._db.executemany("INSERT OR IGNORE INTO stranger VALUES (?,?)", [(name, r["id"]) for r in others])
            self._db.execute("COMMIT")
            pointed = {r[c] for r in others if not r.get("deletedAt") for c in columns if r.get(c)}
            pointed_to |= self._known(pointed)
            progress.advance(LOOKED_AT, len(chunk))
        return pointed_to

    def _held_by_others(self, candidates: dict[str, set[str]]) -> dict[str, str]:
        """Ask the destination who points to these, leave out what is ours, and say of each what holds it."""
        held: dict[str, str] = {}
        for name, ids in candidates.items():
            if name in self.schema.objects:
                held |= self.held_by_others(name, sorted(ids))
        return held

    def held_by_others(self, object_name: str, ids: Sequence[str], *, put_back: bool = False) -> dict[str, str]:
        """Return which of these records of ours live records of others point to right now, with the reason.

        `put_back`: records that were there before us have their values back; what they still point to, others chose.
        """
        found = self._patience.idempotent(lambda: self._destination.attached(object_name, ids))
        fates = self.fates_of({rid for pointers in found.values() for _, rid in pointers})
        ours = {rid for rid, fate in fates.items() if not (put_back and fate == RESTORE)}
        held: dict[str, str] = {}
        for rid, pointers in found.items():
            counts = Counter(name for name, other in pointers if other not in ours)
            if counts:
                what = ", ".join(f"{n} {name}" for name, n in sorted(counts.items()))
                held[rid] = f"somebody attached something to it since ({what})"
        return held

    def keep(self, held: dict[str, str]) -> None:
        """Keep these, and every record of ours that a kept one points to: nothing that stays loses what it needs."""
        while held:
            self._db.executemany(
                "UPDATE ours SET fate = 'keep', why = ? WHERE id = ? AND fate = 'destroy'",
                [(why, rid) for rid, why in held.items()],
            )
            by_object: dict[str, list[str]] = {}
            for rid, name in self._known(held).items():
                by_object.setdefault(name, []).append(rid)
            needed: dict[str, str] = {}
            for name, ids in by_object.items():
                columns = [c for f in self.schema.objects[name].fields.values() for c in f.columns]
                present = self._patience.idempotent(
                    lambda name=name, ids=ids: self._destination.read(name, ids, deleted=True)  # type: ignore[misc]
                )
                needed |= {
                    r[c]: f"a record that is kept ({name}) needs it"
                    for r in present.values()
                    for c in columns
                    if r.get(c)
                }
            held = {rid: why for rid, why in needed.items() if self._fate(rid) == DESTROY}

    # ---- telling it --------------------------------------------------------------------------------------------

    def groups(self, fate: str, most: int) -> Iterator[list[OurRecord]]:
        """Yield our records of this fate, the newest call first, in groups of one step and at most so many."""
        sql = """
            SELECT id, object, step, source_key, row_hash, made, there FROM ours WHERE fate = ?
            ORDER BY made DESC, step, id
        """
        group: list[OurRecord] = []
        for row in self._db.cursor().execute(sql, (fate,)):
            record = OurRecord(row[0], row[1], row[2], row[3], row[4], row[5], bool(row[6]))
            if group and (len(group) == most or (group[0].step, group[0].object) != (record.step, record.object)):
                yield group
                group = []
            group.append(record)
        if group:
            yield group

    def still(self, group: Sequence[OurRecord], fate: str) -> list[OurRecord]:
        """Return those of a group that still have this fate: a neighbour's may have become kept meanwhile."""
        return [r for r in group if self._fate(r.id) == fate]

    def fates_of(self, ids: Iterable[str]) -> dict[str, str]:
        """Return id → fate of those that are records of ours."""
        sql = "SELECT id, fate FROM ours WHERE id IN (SELECT value FROM json_each(?))"
        return dict(self._db.execute(sql, (orjson.dumps(list(ids)).decode(),)))

    def note_told(self, ids: Iterable[str]) -> None:
        """Note records of which it is told already that something in them stays as it is."""
        self._db.executemany("INSERT OR IGNORE INTO told VALUES (?)", ((rid,) for rid in ids))

    def is_told(self, rid: str) -> bool:
        """Tell whether this was noted."""
        return self._one("SELECT 1 FROM told WHERE id = ?", rid) is not None

    def counts(self) -> list[tuple[str, str, str, int, int, int, int]]:
        """Return (object, fate, why, records, of which there, in the bin, last changed by hand)."""
        sql = """
            SELECT object, fate, why, count(*), sum(there), sum(binned), sum(by_hand) FROM ours
            WHERE fate <> 'probe' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        """
        return list(self._db.execute(sql))

    def kept(self) -> Iterator[tuple[str, str, str]]:
        """Stream (object, id, why) of what is kept."""
        yield from self._db.execute("SELECT object, id, why FROM ours WHERE fate = 'keep' ORDER BY object, id")

    def staying(self, object_name: str) -> list[str]:
        """Return the ids of the records that stay: others' and kept ones; at most one more than is looked into."""
        sql = """
            SELECT id FROM stranger WHERE object = ?
            UNION ALL SELECT id FROM ours WHERE object = ? AND fate IN ('keep', 'restore') LIMIT ?
        """
        return [rid for (rid,) in self._db.execute(sql, (object_name, object_name, MOST_STRANGERS + 1))]

    # ---- looking up --------------------------------------------------------------------------------------------

    def _known(self, ids: Iterable[str], object_name: str | None = None) -> dict[str, str]:
        sql = "SELECT id, object FROM ours WHERE id IN (SELECT value FROM json_each(?))"
        found = self._db.execute(sql, (orjson.dumps(list(ids)).decode(),))
        return {rid: name for rid, name in found if object_name in (None, name)}

    def _fate(self, rid: str) -> str:
        return self._one("SELECT fate FROM ours WHERE id = ?", rid) or ""

    def _one(self, sql: str, *values: Any) -> Any:
        row = self._db.execute(sql, values).fetchone()
        return row[0] if row else None


def _by_hand(record: JSON) -> bool:
    return bool((record.get("updatedBy") or {}).get("workspaceMemberId"))
