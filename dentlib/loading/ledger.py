"""The ledger: the one precious file, which alone knows what was done to a client's CRM.

A journal that is only ever appended to, chained by hash (`chain.py`), with projections that are kept in the same
transaction and can be rebuilt (`projection.py`). Every commit is flushed to disk before the call returns, so a request
that leaves after `begin_call` is known to the ledger whatever happens next.

Kinds of entries and their bodies:
    ledger        engagement, workspace: the first entry, one per file
    run, run_end  kind, params | verdict
    call          step, object, op (create | update | adopt | destroy), tag, rows [[source key, record id, row hash]];
                  block: {"new": records as meant; updates also "sent": changed fields, "was": those fields before};
                  updates also calls: how many it takes; an adopt of records that were there before us also matched:
                  {"found": match_only | update_empty | update, "rules": [rule of each row]}, and its row hash is empty
                  while the row's update is still to come. Tag `imported`: a create that the CRM's own importer made;
                  a destroy's tag says whether a rollback destroyed, put back, left or let go
    done          call, result (written | found | refused | not_written | partly), failed [[key, code, words]],
                  unwritten [key]; rows named in neither list are written
    rows          step, outcome, rows [[source key, record id, code, reason, file, row]], `failed` with the row hash;
                  `unchanged` also until: the ordinal up to which they are noted; outcome `settled`: rows that failed
                  before in this run and don't any more
    step_end      step, facts
    schema, schema_done, schema_undone      item | call, recipe | call
    switch        switch, state (off | seen_off | on, with seen)
    upload        step, key, object, field, path, sha256, ticket, state (begun | sent | void | refused, with code and
                  words)
    conflicts     step, rows [[source key, record id, object, field]]; block: {"was": [{base, meant, stored}]}
    kept          the same, of fields that a record had before us and keeps by the map's rule
    deletions     part, rows [[step, source key, record id, object, why, "", fields changed in the CRM]]
    decision      what (conflicts | deletions), by, rows [[listing's entry, row number, decision]]
    lost          rows [[step, source key, record id, object]]: records of ours that others should point to, and gone
    left          rows [[object, record id, why]]: what a rollback leaves as it is in records that were there before us
    owners        by, assigned {key of the staff: member's e-mail}
    snapshot, probe, rollback, rollback_end
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

from dentlib.clock import Clock, stamp
from dentlib.errors import DentlibError, LedgerDamaged, UsageError
from dentlib.loading.chain import EMPTY, Head, SideFile, link
from dentlib.loading.lock import WriterLock
from dentlib.loading.projection import project, projection_differs
from dentlib.model import JSON, Workspace

FORMAT = 1
_SCHEMA = Path(__file__).with_name("schema.sql")

Op = Literal["create", "update", "adopt", "destroy"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the journal, read back."""

    seq: int
    at: str
    kind: str
    run: str
    body: JSON
    block: bytes | None = None

    def records(self, part: Literal["new", "sent", "was"] = "new") -> list[JSON]:
        """Return the records of a call: whole as meant, the fields sent (updates), those fields as they were before."""
        if self.block is None:
            return []
        found: list[JSON] = orjson.loads(zlib.decompress(self.block)).get(part, [])
        return found


@dataclass(frozen=True, slots=True)
class Current:
    """What a source row became: its record, what was last written, and by which run."""

    step: str
    source_key: str
    record_id: str
    object: str
    row_hash: str
    state: str
    op: str
    run: str
    made: int
    call: int

    @property
    def live(self) -> bool:
        """Tell whether the record is (as far as we did anything about it) in the destination."""
        return self.state == "live"


@dataclass(frozen=True, slots=True)
class Adopted:
    """A record that was in the workspace before us and stands for a source row since: by which rule, and what the map
    says is done to it (`found`: match_only, update_empty, update)."""

    source_key: str
    record_id: str
    found: str
    rule: str


class Ledger:
    """An open ledger. One writer at a time, held by a lock; readers may look at any time."""

    def __init__(
        self, path: Path, db: sqlite3.Connection, *, clock: Clock, lock: WriterLock | None, engagement: str
    ) -> None:
        self.path = path
        self.engagement = engagement
        self.clock = clock
        self._db = db
        self._lock = lock
        self._side = SideFile(path)
        self._head = EMPTY
        self._pending: Head | None = None

    # ---- opening -----------------------------------------------------------------------------------------------

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        workspace: Workspace | None,
        engagement: str,
        clock: Clock,
        read_only: bool = False,
        wait_s: float = 0.0,
        purpose: str = "",
    ) -> Ledger:
        """Open (a writer makes it where there is none), check the whole chain and the projections.

        Raises Locked where another writer holds it (after `wait_s` seconds), LedgerDamaged naming the first bad row,
        UsageError where it belongs to another workspace or engagement, or is to be read and doesn't exist.
        `workspace` None: not compared (for looking at a ledger while the destination is down).
        """
        lock = None
        if read_only:
            if not path.exists():
                _require_not_gone(path, SideFile(path).read())
                raise UsageError(f"there is no ledger {path.name}: nothing was written yet", "run the sample first")
        else:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = WriterLock(path.with_name(path.name + ".lock"), clock=clock, purpose=purpose, wait_s=wait_s)
        try:
            return cls._opened(path, workspace, engagement, clock, lock)
        except BaseException:
            if lock:
                lock.release()
            raise

    @classmethod
    def _opened(
        cls, path: Path, workspace: Workspace | None, engagement: str, clock: Clock, lock: WriterLock | None
    ) -> Ledger:
        noted = SideFile(path).read()  # before the ledger itself: a writer may go on between the two looks
        if lock and not path.exists():
            _require_not_gone(path, noted)
            SideFile(path).write(EMPTY)
            noted = EMPTY
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10.0)
            if lock:
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = FULL")
                db.executescript(_SCHEMA.read_text(encoding="utf-8"))
            else:
                db.execute("PRAGMA query_only = ON")
            ledger = cls(path, db, clock=clock, lock=lock, engagement=engagement)
            ledger._verify(noted)
            if lock and ledger._head.seq == 0:
                if workspace is None:
                    raise UsageError("a new ledger needs to know its workspace", "check the destination's url and key")
                ledger.append("ledger", {"format": FORMAT, "engagement": engagement, "workspace": _as_json(workspace)})
        except sqlite3.DatabaseError as error:
            if _no_room(error):
                raise _cannot_write(path, error) from error
            raise LedgerDamaged(f"{path.name} is not a readable ledger: {error}", "put back a copy of it") from error
        ledger._same_place(workspace)
        return ledger

    def _verify(self, noted: Head | None) -> None:
        self._head = self._walked(noted)
        if noted is None and self._head.seq:
            raise LedgerDamaged(
                f"{self._side.path.name} is missing, so rows cut off the ledger's end would not be seen",
                "put back the ledger and its .head from one copy",
            )
        if noted is not None and noted.seq > self._head.seq:
            raise LedgerDamaged(
                f"{self.path.name} ends at entry {self._head.seq}, but had {noted.seq}: cut off, or an older copy",
                "put back the newest copy of the ledger and its .head",
            )
        if difference := projection_differs(self._db):
            raise LedgerDamaged(
                f"{self.path.name}: table {difference} does not agree with the journal", "put back a copy of it"
            )

    def _walked(self, noted: Head | None) -> Head:
        """Walk the whole chain and return its head. Raises LedgerDamaged naming the first row that doesn't fit."""
        head = EMPTY
        rows = self._db.execute("SELECT seq, at, kind, run, body, block, hash FROM entry ORDER BY seq")
        for seq, at, kind, run, body, block, digest in rows:
            expected = link(head.digest, seq, at, kind, run, body, block) if isinstance(body, str) else b""
            if seq != head.seq + 1 or expected != digest:
                raise LedgerDamaged(
                    f"{self.path.name}: entry {head.seq + 1} was edited or removed ({kind} of {at})",
                    "put back a copy of the ledger and its .head; the copies made after each phase lie beside it",
                )
            head = Head(seq, digest)
            if noted is not None and noted.seq == seq and noted.digest != digest:
                raise LedgerDamaged(
                    f"{self.path.name}: entry {seq} is not the one that was written", "put back a copy of the ledger"
                )
        return head

    def _same_place(self, workspace: Workspace | None) -> None:
        first = self._db.execute("SELECT body FROM entry WHERE seq = 1").fetchone()
        birth: JSON = orjson.loads(first[0]) if first else {"engagement": self.engagement, "workspace": {}}
        if birth["engagement"] != self.engagement:
            raise UsageError(
                f"{self.path.name} belongs to the engagement {birth['engagement']!r}, not {self.engagement!r}",
                "each engagement has ledgers of its own",
            )
        if workspace is not None and birth["workspace"].get("id", workspace.id) != workspace.id:
            raise UsageError(
                f"{self.path.name} belongs to the workspace {birth['workspace']['id']}, not {workspace.id}",
                "check url and key; each workspace has a ledger of its own",
            )

    def close(self) -> None:
        """Close and let go of the lock. Idempotent."""
        self._side.close()
        self._db.close()
        if self._lock:
            self._lock.release()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- writing -----------------------------------------------------------------------------------------------

    @property
    def head(self) -> str:
        """Number and hash of the last entry, as reports print it."""
        return str(self._head)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit several entries at once: all or none. Nesting joins the outer one."""
        if self._pending is not None:
            yield
            return
        if self._lock is None:
            raise UsageError("this ledger is open for reading", "open it for writing")
        before = self._head
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._pending = before
            yield
            self._db.execute("COMMIT")
            self._head = self._pending
        except BaseException as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            self._head = self._stored_head()  # Ctrl-C mostly comes out of the commit, after it was made
            if _no_room(error):
                raise _cannot_write(self.path, error) from error
            raise
        finally:
            self._pending = None
        self._side.write(self._head)

    def _stored_head(self) -> Head:
        found = self._db.execute("SELECT seq, hash FROM entry ORDER BY seq DESC LIMIT 1").fetchone()
        return Head(*found) if found else EMPTY

    def append(self, kind: str, body: JSON, *, run: str = "", block: JSON | bytes | None = None) -> int:
        """Append one entry and its effect on the projections; return its number. On disk when this returns.

        `block`: records to keep compressed, as JSON or already serialised.
        """
        with self.transaction():
            assert self._pending is not None
            seq, at = self._pending.seq + 1, stamp(self.clock.now())
            text = orjson.dumps(body).decode()
            packed = (
                None if block is None else zlib.compress(block if isinstance(block, bytes) else orjson.dumps(block), 1)
            )
            digest = link(self._pending.digest, seq, at, kind, run, text, packed)
            self._db.execute("INSERT INTO entry VALUES (?,?,?,?,?,?,?)", (seq, at, kind, run, text, packed, digest))
            project(self._db, seq, kind, run, body)
            self._pending = Head(seq, digest)
        return seq

    def begin_call(
        self,
        *,
        run: str,
        step: str,
        object_name: str,
        op: Op,
        tag: str,
        rows: Sequence[tuple[str, str, str]],
        block: JSON | bytes | None = None,
        more: JSON | None = None,
    ) -> int:
        """Commit the intent of a call, before it is made. `rows`: (source key, record id, row hash).

        `more`: `calls` (how many calls it takes, where not one), `matched` (see above).
        """
        body = {"step": step, "object": object_name, "op": op, "tag": tag, "rows": rows, **(more or {})}
        return self.append("call", body, run=run, block=block)

    def end_call(
        self,
        call: int,
        *,
        run: str,
        result: str,
        failed: Sequence[tuple[str, str, str]] = (),
        unwritten: Iterable[str] = (),
    ) -> None:
        """Commit what became of a call, after it returned. `failed`: (source key, code, words)."""
        body = {"call": call, "result": result, "failed": failed, "unwritten": list(unwritten)}
        self.append("done", body, run=run)

    def copy_aside(self, label: str) -> Path:
        """Copy the ledger and its head beside itself (`<name>.<label>.copy`), consistent, replacing an older copy."""
        target = self.path.with_name(f"{self.path.name}.{label}.copy")
        fresh = target.with_name(target.name + ".new")
        fresh.unlink(missing_ok=True)
        os.close(os.open(fresh, os.O_RDWR | os.O_CREAT, 0o600))
        other = sqlite3.connect(fresh)
        other.execute("PRAGMA synchronous = OFF")  # flushed once, below
        self._db.backup(other)
        other.execute("PRAGMA journal_mode = DELETE")
        other.close()
        with fresh.open("rb") as file:
            os.fsync(file.fileno())
        fresh.replace(target)
        side = SideFile(target)
        side.write(self._head)
        side.close()
        return target

    # ---- reading -----------------------------------------------------------------------------------------------

    def rows(self, sql: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        """Run a reading query over journal and projections, streamed."""
        yield from self._db.execute(sql, values)

    def entry(self, seq: int) -> Entry:
        """Return one entry by its number."""
        return next(self.entries("seq = ?", seq))

    def entries(self, where: str = "TRUE", *values: Any, blocks: bool = True) -> Iterator[Entry]:
        """Stream entries in order; `blocks` False leaves the compressed records on disk."""
        sql = f"SELECT seq, at, kind, run, body, {'block' if blocks else 'NULL'} FROM entry WHERE {where} ORDER BY seq"
        for seq, at, kind, run, body, block in self._db.execute(sql, values):
            yield Entry(seq, at, kind, run, orjson.loads(body), block)

    def last(self, where: str, *values: Any) -> Entry | None:
        """Return the newest entry that fits, or None."""
        found = self._db.execute(f"SELECT max(seq) FROM entry WHERE {where}", values).fetchone()[0]
        return None if found is None else self.entry(found)

    def open_calls(self) -> list[Entry]:
        """Return calls whose intent is recorded and whose outcome is not, oldest first."""
        return list(self.entries("seq IN (SELECT seq FROM open_call)"))

    def current(self, step: str, keys: Sequence[str]) -> dict[str, Current]:
        """Return what these source rows of a step have become, by source key."""
        marks = ",".join("?" * len(keys))
        sql = f"SELECT * FROM current WHERE step = ? AND source_key IN ({marks})"
        return {row[1]: Current(*row) for row in self._db.execute(sql, (step, *keys))}

    def records(self, step: str, *, live_only: bool = True) -> Iterator[Current]:
        """Stream the records of a step, sorted by source key (binary order)."""
        sql = "SELECT * FROM current WHERE step = ? AND (state = 'live' OR ?) ORDER BY source_key"
        for row in self._db.execute(sql, (step, not live_only)):
            yield Current(*row)

    def adopted(self, step: str) -> dict[str, Adopted]:
        """Return the records of a step that were in the workspace before us, by source key."""
        sql = "SELECT source_key, record_id, found, rule FROM adopted WHERE step = ? ORDER BY source_key"
        return {row[0]: Adopted(*row) for row in self._db.execute(sql, (step,))}

    def live_counts(self) -> dict[str, int]:
        """Return how many live records the ledger knows, per step."""
        return dict(self._db.execute("SELECT step, count(*) FROM current WHERE state = 'live' GROUP BY step"))

    def trouble(self, run: str, step: str) -> dict[str, tuple[str, str, str]]:
        """Return the rows that a run could not write: source key → (row hash, code, reason)."""
        sql = "SELECT source_key, row_hash, code, reason FROM trouble WHERE run = ? AND step = ?"
        return {key: (row_hash, code, why) for key, row_hash, code, why in self._db.execute(sql, (run, step))}

    @property
    def epoch(self) -> int:
        """Number of the entry that ended the last rollback (0: none). What lies before it is history."""
        found: int = self._db.execute("SELECT coalesce(max(seq), 0) FROM entry WHERE kind = 'rollback_end'").fetchone()[
            0
        ]
        return found


def _no_room(error: BaseException) -> bool:
    """Tell a full disk from a damaged file: the one mends itself as soon as there is room."""
    return isinstance(error, sqlite3.OperationalError) and ("full" in str(error) or "I/O" in str(error))


def _cannot_write(path: Path, error: BaseException) -> DentlibError:
    return DentlibError(
        f"the ledger {path.name} can't be written: {error}",
        "make room on the disk and run the same command again: it goes on where it stopped",
    )


def _require_not_gone(path: Path, noted: Head | None) -> None:
    if noted and noted.seq:
        raise LedgerDamaged(f"{path.name} is gone, but its head file knows {noted.seq} entries", "put the ledger back")


def _as_json(workspace: Workspace) -> JSON:
    return {"id": workspace.id, "name": workspace.name, "url": workspace.url}
