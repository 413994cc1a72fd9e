"""Change records that are there already, field by field, and never over someone else's change.

Three values decide about a field: what we wrote last (base), what the source says now (meant), what is stored. Where
the source didn't change it, nothing is sent. Where the stored value still is ours, the new one is sent, and the old one
is committed to the ledger first. Otherwise somebody changed it in the destination: it stays, and is listed.

Records that were in the workspace before us are brought up to date by `dentlib.loading.adopting`; both send through
`Updater.send`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from dentlib.errors import InDoubt, Refused
from dentlib.loading.files import file_keys
from dentlib.loading.ledger import Current, Entry
from dentlib.loading.readback import normalise_equal
from dentlib.loading.rows import Row
from dentlib.loading.sending import MOST_DOUBTS, Sender
from dentlib.loading.words import gone, in_the_bin, refused_reason
from dentlib.model import JSON, LoadStep

_ENVELOPE_BYTES = 4_096


@dataclass(frozen=True, slots=True)
class FieldConflict:
    """A field that someone changed in the destination and that the source changed as well. It was left alone."""

    step: str
    source_key: str = dataclasses.field(repr=False)
    record_id: str
    object: str
    field: str
    base: Any = dataclasses.field(repr=False)
    meant: Any = dataclasses.field(repr=False)
    stored: Any = dataclasses.field(repr=False)


@dataclass(slots=True)
class Updated:
    """What became of the rows: changed, nothing to change, failed with code and reason, and fields left alone.

    `kept`: fields of records that were there before us, which stay as they are by the map's rule.
    """

    updated: int = 0
    unchanged: int = 0
    failed: list[tuple[Row, str, str]] = field(default_factory=list)
    conflicts: list[FieldConflict] = field(default_factory=list)
    kept: list[FieldConflict] = field(default_factory=list)


@dataclass(slots=True)
class Change:
    """One record to change: the row, the record as meant as a whole, the fields to send, and those fields before."""

    row: Row
    whole: JSON
    sent: JSON
    was: JSON


@dataclass(slots=True)
class _Delivered:
    written: list[Change] = field(default_factory=list)
    failed: list[tuple[Change, str, str]] = field(default_factory=list)


class Updater:
    """Updates rows of one run: one read for up to a batch of rows, one call for up to a batch of changes."""

    def __init__(self, sender: Sender) -> None:
        self.sender = self._sender = sender
        self._blocks: tuple[int, dict[str, JSON]] = (0, {})

    def update(self, step: LoadStep, rows: Sequence[tuple[Row, Current]]) -> Updated:
        """Bring the records up to date. Resumable: what was sent reads back as sent and is not sent again."""
        result = Updated()
        present = self.stored(step, [current.record_id for _, current in rows], result, [row for row, _ in rows])
        changes: list[Change] = []
        same: list[Change] = []
        for row, current in rows:
            stored = present.get(current.record_id)
            if stored is None:
                continue
            change, conflicts = self._compare(step, row, current, stored)
            result.conflicts += conflicts
            (changes if change.sent else same).append(change)
        with self._sender.ledger.transaction():
            self.note(step, "conflicts", result.conflicts)
            if same:
                call = self.begin(step, same, "adopt")
                self._sender.ledger.end_call(call, run=self._sender.run_id, result="found")
        result.unchanged += len(same)
        self.send(step, changes, result)
        return result

    def stored(self, step: LoadStep, ids: Sequence[str], result: Updated, rows: Sequence[Row]) -> dict[str, JSON]:
        """Read the live records; rows whose record is gone or in the bin fail."""
        sender = self._sender
        present = sender.patience.transient(lambda: sender.destination.read(step.object_name, ids, deleted=True))
        live: dict[str, JSON] = {}
        for rid, row in zip(ids, rows, strict=True):
            if (found := present.get(rid)) is None:
                result.failed.append((row, *gone()))
            elif found.get("deletedAt"):
                result.failed.append((row, *in_the_bin()))
            else:
                live[rid] = found
        return live

    def _compare(self, step: LoadStep, row: Row, current: Current, stored: JSON) -> tuple[Change, list[FieldConflict]]:
        base = self._base(current)
        meant = dict(row.payload)
        for name in file_keys(self._sender.destination, step, base):
            meant[name] = base[name]  # the file stays; prepared rows don't name it
        types = self._sender.types(step.object_name)
        change = Change(row, meant, {}, {})
        conflicts = []
        for name in sorted((meant.keys() | base.keys()) - {"id"}):
            old, new, found = base.get(name), meant.get(name), stored.get(name)
            kind = types.get(name, "")
            if normalise_equal(old, new, kind)[0] or normalise_equal(new, found, kind)[0]:
                continue
            if normalise_equal(old, found, kind)[0]:
                change.sent[name], change.was[name] = new, found
            else:
                conflicts.append(
                    FieldConflict(step.name, row.source_key, current.record_id, step.object_name, name, old, new, found)
                )
        return change, conflicts

    def _base(self, current: Current) -> Mapping[str, Any]:
        """Return what we wrote last. Rows of one call follow each other, so its block is unpacked once."""
        if self._blocks[0] != current.call:
            entry: Entry = self._sender.ledger.entry(current.call)
            ids = [rid for _, rid, _ in entry.body["rows"]]
            self._blocks = (current.call, dict(zip(ids, entry.records("new"), strict=True)))
        return self._blocks[1][current.record_id]

    # ---- the ledger --------------------------------------------------------------------------------------------

    def note(self, step: LoadStep, kind: Literal["conflicts", "kept"], fields: Sequence[FieldConflict]) -> None:
        """Record fields that were left alone, their three values in the block."""
        if fields:
            self._sender.ledger.append(
                kind,
                {"step": step.name, "rows": [[c.source_key, c.record_id, c.object, c.field] for c in fields]},
                run=self._sender.run_id,
                block={"was": [{"base": c.base, "meant": c.meant, "stored": c.stored} for c in fields]},
            )

    def begin(
        self, step: LoadStep, changes: Sequence[Change], op: Literal["adopt", "update"], more: JSON | None = None
    ) -> int:
        """Commit the intent of these changes, their pre-images with it; return the call's number."""
        return self._sender.ledger.begin_call(
            run=self._sender.run_id,
            step=step.name,
            object_name=step.object_name,
            op=op,
            tag=op,
            rows=[c.row.intent for c in changes],
            block={
                "new": [c.whole for c in changes],
                "sent": [c.sent for c in changes],
                "was": [c.was for c in changes],
            },
            more=more,
        )

    # ---- sending -----------------------------------------------------------------------------------------------

    def send(self, step: LoadStep, changes: Sequence[Change], result: Updated) -> None:
        """Write changes as they are given, up to a batch a call; those of unique fields one by one.

        Intent with pre-images committed first. In doubt: read, compare, only the rest again. What the destination is
        known to refuse is not sent; what it refuses is halved until the bad changes stand alone.
        """
        fit = self._without_objections(step, changes, result)
        capabilities = self._sender.destination.capabilities
        alone = self._sender.unique_fields(step.object_name) | capabilities.not_in_batch
        together = [c for c in fit if capabilities.batch_updates and not c.sent.keys() & alone]
        for part in _parts(together, capabilities.batch_rows, capabilities.max_body_bytes):
            self._call(step, part, result, batch=True)
        among = {c.row.record_id for c in together}
        singly = [c for c in fit if c.row.record_id not in among]
        for start in range(0, len(singly), capabilities.batch_rows):
            self._call(step, singly[start : start + capabilities.batch_rows], result, batch=False)

    def _without_objections(self, step: LoadStep, changes: Sequence[Change], result: Updated) -> list[Change]:
        if not changes:
            return []
        records = [{"id": c.row.record_id, **c.sent} for c in changes]
        objections = self._sender.destination.objections(step.object_name, records)
        for change in changes:
            if reason := objections.get(change.row.record_id):
                result.failed.append((change.row, *reason))
        return [c for c in changes if c.row.record_id not in objections]

    def _call(self, step: LoadStep, changes: list[Change], result: Updated, *, batch: bool) -> None:
        sender = self._sender
        sender.hook("before intent")
        call = self.begin(step, changes, "update", {"calls": 1 if batch else len(changes)})
        sender.hook("intent committed")
        attempts = iter(range(1, 1_000_000))
        done = self._deliver(step, call, changes, attempts, result) if batch else self._one_by_one(step, call, changes)
        failed = [(c.row.source_key, code, words) for c, code, words in done.failed]
        sender.ledger.end_call(call, run=sender.run_id, result="written", failed=failed)
        sender.hook("outcome committed")
        result.updated += len(done.written)
        result.failed += [(c.row, code, words) for c, code, words in done.failed]

    def _one_by_one(self, step: LoadStep, call: int, changes: list[Change]) -> _Delivered:
        sender, done = self._sender, _Delivered()
        for number, change in enumerate(changes, 1):
            tag = f"{sender.tag(call, 1)}_{number}"
            try:
                sender.patience.idempotent(
                    lambda change=change, tag=tag: sender.destination.update(  # type: ignore[misc]
                        step.object_name, change.row.record_id, change.sent, tag
                    )
                )
            except Refused as refusal:
                done.failed.append((change, *self._reason(step, change, refusal)))
            else:
                done.written.append(change)
            sender.hook("updated")
        return done

    def _reason(self, step: LoadStep, change: Change, refusal: Refused) -> tuple[str, str]:
        """Say why; a record that went away since it was read is gone, whatever the destination calls it."""
        if refusal.code in ("NOT_FOUND", "RECORD_NOT_FOUND"):
            return gone()
        clash = self._sender.clashes(step, {change.row.record_id: change.sent}, refusal)
        return clash.get(change.row.record_id) or refused_reason(refusal, change.sent)

    def _deliver(
        self, step: LoadStep, call: int, changes: list[Change], attempts: Iterator[int], result: Updated
    ) -> _Delivered:
        """Send one call and bring it to its end; a refused or lost one is read back before anything is sent again."""
        sender, done = self._sender, _Delivered()

        def once() -> None:
            fields = [(c.row.record_id, c.sent) for c in changes]
            sender.destination.update_batch(step.object_name, fields, sender.tag(call, next(attempts)))

        for doubts in range(1, MOST_DOUBTS + 1):
            try:
                sender.patience.transient(once)
            except InDoubt:
                changes = self._unwritten(step, changes, done, result)
                if not changes:
                    return done
                sender.patience.pause(doubts)
            except Refused as refusal:
                before = len(changes)
                changes = self._unwritten(step, changes, done, result)
                if refusal.code == "RECORD_NOT_FOUND" and 0 < len(changes) < before:
                    continue  # those that went away since they were read are known now
                if before == 1:
                    done.failed += [(c, *self._reason(step, c, refusal)) for c in changes]
                else:
                    self._halve(step, call, changes, attempts, done, result)
                return done
            else:
                sender.hook("updated")
                done.written += changes
                return done
        raise InDoubt(
            f"{len(changes)} changes of {step.name} were sent {MOST_DOUBTS} times without a trustworthy answer",
            "look at the destination and the network; the same command goes on where this one stopped",
        )

    def _halve(
        self,
        step: LoadStep,
        call: int,
        changes: list[Change],
        attempts: Iterator[int],
        done: _Delivered,
        result: Updated,
    ) -> None:
        """Send the halves: only a change that was refused alone is the one that is bad."""
        middle = len(changes) // 2
        for half in (changes[:middle], changes[middle:]):
            if half:
                part = self._deliver(step, call, half, attempts, result)
                done.written += part.written
                done.failed += part.failed

    def _unwritten(self, step: LoadStep, changes: list[Change], done: _Delivered, result: Updated) -> list[Change]:
        """Read the records and return what is still to be sent; a field that someone changed meanwhile is theirs."""
        lost = Updated()
        present = self.stored(step, [c.row.record_id for c in changes], lost, [c.row for c in changes])
        by_id = {c.row.record_id: c for c in changes}
        done.failed += [(by_id[row.record_id], code, words) for row, code, words in lost.failed]
        types = self._sender.types(step.object_name)
        rest: list[Change] = []
        theirs: list[FieldConflict] = []
        for change in changes:
            stored = present.get(change.row.record_id)
            if stored is None:
                continue
            for name, new in list(change.sent.items()):
                found, kind = stored.get(name), types.get(name, "")
                if normalise_equal(new, found, kind)[0]:
                    continue
                if not normalise_equal(change.was.get(name), found, kind)[0]:
                    row = change.row
                    theirs.append(
                        FieldConflict(
                            step.name, row.source_key, row.record_id, step.object_name, name,
                            change.was.get(name), new, found,
                        )
                    )  # fmt: skip
                    change.sent = {n: v for n, v in change.sent.items() if n != name}
            pending = [n for n, v in change.sent.items() if not normalise_equal(v, stored.get(n), types.get(n, ""))[0]]
            (rest if pending else done.written).append(change)
        self.note(step, "conflicts", theirs)
        result.conflicts += theirs
        return rest


def _parts(changes: Sequence[Change], rows: int, max_body_bytes: int) -> Iterator[list[Change]]:
    """Yield changes that fit one call."""
    part: list[Change] = []
    size = _ENVELOPE_BYTES
    for change in changes:
        more = len(orjson.dumps(change.sent)) + 64
        if part and (len(part) >= rows or size + more > max_body_bytes):
            yield part
            part, size = [], _ENVELOPE_BYTES
        part.append(change)
        size += more
    if part:
        yield part
