"""Change records that we wrote before, field by field, and never over someone else's change.

Three values decide about a field: what we wrote last (base), what the source says now (meant), what is stored. Where
the source didn't change it, nothing is sent. Where the stored value still is ours, the new one is sent, and the old one
is committed to the ledger first. Otherwise somebody changed it in the destination: it stays, and is listed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dentlib.errors import Refused
from dentlib.loading.ledger import Current, Entry
from dentlib.loading.readback import normalise_equal
from dentlib.loading.rows import Row
from dentlib.loading.sending import Sender
from dentlib.loading.words import in_the_bin, refused_reason
from dentlib.model import JSON, LoadStep

_GONE = ("gone", "someone destroyed this record in the destination since; it is not made again")


@dataclass(frozen=True, slots=True)
class FieldConflict:
    """A field that someone changed in the destination and that the source changed as well. It was left alone."""

    step: str
    source_key: str
    record_id: str
    object: str
    field: str
    base: Any
    meant: Any
    stored: Any


@dataclass(slots=True)
class Updated:
    """What became of the rows: changed, nothing to change, failed with code and reason, and fields left alone."""

    updated: int = 0
    unchanged: int = 0
    failed: list[tuple[Row, str, str]] = field(default_factory=list)
    conflicts: list[FieldConflict] = field(default_factory=list)


@dataclass(slots=True)
class _Change:
    row: Row
    whole: JSON
    sent: JSON
    was: JSON


class Updater:
    """Updates rows of one run. One read for up to a batch of rows, one call for each that differs."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._blocks: tuple[int, dict[str, JSON]] = (0, {})

    def update(self, step: LoadStep, rows: Sequence[tuple[Row, Current]]) -> Updated:
        """Bring the records up to date. Resumable: what was sent reads back as sent and is not sent again."""
        sender, result = self._sender, Updated()
        ids = [current.record_id for _, current in rows]
        present = sender.patience.transient(lambda: sender.destination.read(step.object_name, ids, deleted=True))
        changes: list[_Change] = []
        same: list[_Change] = []
        for row, current in rows:
            stored = present.get(current.record_id)
            if stored is None or stored.get("deletedAt"):
                result.failed.append((row, *(_GONE if stored is None else in_the_bin())))
                continue
            change, conflicts = self._compare(step, row, current, stored)
            result.conflicts += conflicts
            (changes if change.sent else same).append(change)
        self._record_unchanged(step, same, result)
        if changes:
            self._send(step, changes, result)
        return result

    def _compare(self, step: LoadStep, row: Row, current: Current, stored: JSON) -> tuple[_Change, list[FieldConflict]]:
        base = self._base(current)
        meant = dict(row.payload)
        if step.file_field in base:
            meant[step.file_field] = base[step.file_field]  # the file stays; prepared rows don't name it
        types = self._sender.types(step.object_name)
        change = _Change(row, meant, {}, {})
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

    def _record_unchanged(self, step: LoadStep, same: list[_Change], result: Updated) -> None:
        ledger = self._sender.ledger
        with ledger.transaction():
            if result.conflicts:
                ledger.append(
                    "conflicts",
                    {
                        "step": step.name,
                        "rows": [[c.source_key, c.record_id, c.object, c.field] for c in result.conflicts],
                    },
                    run=self._sender.run_id,
                    block={"was": [{"base": c.base, "meant": c.meant, "stored": c.stored} for c in result.conflicts]},
                )
            if same:
                call = self._begin(step, same, "adopt")
                ledger.end_call(call, run=self._sender.run_id, result="found")
        result.unchanged += len(same)

    def _begin(self, step: LoadStep, changes: list[_Change], op: Any) -> int:
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
        )

    def _send(self, step: LoadStep, changes: list[_Change], result: Updated) -> None:
        sender = self._sender
        sender.hook("before intent")
        call = self._begin(step, changes, "update")
        sender.hook("intent committed")
        failed: list[tuple[str, str, str]] = []
        for number, change in enumerate(changes, 1):
            tag = f"{sender.tag(call, 1)}_{number}"
            try:
                sender.patience.idempotent(
                    lambda change=change, tag=tag: sender.destination.update(  # type: ignore[misc]
                        step.object_name, change.row.record_id, change.sent, tag
                    )
                )
            except Refused as refusal:
                code, words = refused_reason(refusal, change.sent)
                failed.append((change.row.source_key, code, words))
                result.failed.append((change.row, code, words))
            else:
                result.updated += 1
            sender.hook("updated")
        sender.ledger.end_call(call, run=sender.run_id, result="written", failed=failed)
        sender.hook("outcome committed")
