"""Give records that were in the workspace before us their values back, field by field, where ours still stand.

A field that somebody changed since stays as it is and is listed. Where nothing else was changed in a record, the time
of its last change is put back as well; who changed it last can't be: no call of the destination sets that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from dentlib.errors import Refused
from dentlib.loading.clashes import unique_paths
from dentlib.loading.keeping import RESTORE, Fates, OurRecord
from dentlib.loading.ledger import Ledger
from dentlib.loading.patience import Hook, Patience
from dentlib.loading.readback import differing, field_types, is_empty
from dentlib.loading.words import without_values
from dentlib.model import JSON, Destination

GIVEN_BACK = "given_back"
"""Tag of the ledger's calls that let go of a record without writing to it."""

RESTORED = "restored"
"""Tag of the ledger's calls that put values of a record back."""

LEFT = "left_as_is"
"""Tag of those that let go of a record that we wrote to and in which there is nothing to put back (any more)."""

Kept = tuple[str, str, str]
_NEVER_SENT = frozenset(("id", "updatedAt", "updatedBy", "searchVector", "position", "deletedAt"))
_MOVED = ("position",)
"""What some versions change by themselves when a record is updated among others."""

_BY_ITSELF = frozenset(("updatedAt", *_MOVED))


@dataclass(frozen=True, slots=True)
class Back:
    """One record to write to: the fields, and the record as it stands."""

    record: OurRecord
    fields: JSON
    stored: JSON


@dataclass(slots=True)
class Restored:
    """What became of the records: how many got values back, by object, and what stays as it is, with the reason."""

    records: Counter[str] = field(default_factory=Counter)
    kept: list[Kept] = field(default_factory=list)
    later: list[tuple[OurRecord, JSON]] = field(default_factory=list)  # refused; worth another try at the end


def noted_kept(ledger: Ledger, since: int) -> tuple[Kept, ...]:
    """Return what a rollback that began with entry `since` left as it is, with the reason. Reads the ledger only."""
    entries = ledger.entries("kind = 'left' AND seq > ?", since, blocks=False)
    return tuple(dict.fromkeys((name, rid, why) for entry in entries for name, rid, why in entry.body["rows"]))


class Restorer:
    """Puts back the changes of one rollback."""

    def __init__(
        self, ledger: Ledger, destination: Destination, fates: Fates, *, patience: Patience, hook: Hook
    ) -> None:
        self._ledger = ledger
        self._destination = destination
        self._fates = fates
        self._patience = patience
        self._hook = hook
        self._block = lru_cache(maxsize=8)(self._unpacked)
        self._doubtful: set[tuple[int, str]] = set()
        self._calls = self._updates()

    def _updates(self) -> dict[tuple[str, str], list[tuple[int, int]]]:
        """Index the update calls of records that were there before us: (step, key) → (entry, row), oldest first."""
        wanted = {(r.step, r.source_key) for group in self._fates.groups(RESTORE, 1_000) for r in group}
        found: dict[tuple[str, str], list[tuple[int, int]]] = {}
        if wanted:
            updates = "kind = 'call' AND seq > ? AND body ->> 'op' = 'update'"
            for entry in self._ledger.entries(updates, self._ledger.epoch, blocks=False):
                for number, (key, _, _) in enumerate(entry.body["rows"]):
                    if (entry.body["step"], key) in wanted:
                        found.setdefault((entry.body["step"], key), []).append((entry.seq, number))
            self._doubtful = self._not_known_as_written()
        return found

    def _not_known_as_written(self) -> set[tuple[int, str]]:
        """Return (entry, key) of changes that were refused or whose answer was lost: they may stand or not."""
        doubtful: set[tuple[int, str]] = set()
        where = (
            "kind = 'done' AND seq > ? AND (json_array_length(body, '$.failed') > 0 "
            "OR json_array_length(body, '$.unwritten') > 0)"
        )
        for entry in self._ledger.entries(where, self._ledger.epoch, blocks=False):
            keys = [key for key, *_ in entry.body["failed"]] + list(entry.body["unwritten"])
            doubtful.update((entry.body["call"], key) for key in keys)
        return doubtful

    def count(self) -> Counter[str]:
        """Count the records that were written to, by object. Reads the ledger only."""
        counts: Counter[str] = Counter()
        for group in self._fates.groups(RESTORE, 1_000):
            counts[group[0].object] += sum((r.step, r.source_key) in self._calls for r in group)
        return counts

    def fields_sent(self) -> dict[str, set[str]]:
        """Return id → the fields that we wrote to records that were there before us. Reads the ledger only."""
        found: dict[str, set[str]] = {}
        for group in self._fates.groups(RESTORE, 1_000):
            for record in group:
                for seq, number in self._calls.get((record.step, record.source_key), ()):
                    found.setdefault(record.id, set()).update(self._change(seq, number)[0])
        return found

    def restore_all(self) -> Iterator[tuple[int, Restored]]:
        """Put back group by group, the newest first; yield how many records are done and the result so far."""
        result = Restored()
        for group in self._fates.groups(RESTORE, self._destination.capabilities.batch_rows):
            self._group(group, result)
            yield len(group), result
        yield 0, result

    def again(self, result: Restored) -> None:
        """Try once more what was refused: a unique value may be free now that our records are gone."""
        waiting, result.later = result.later, []
        for record, back in waiting:
            reason = self._write(record.object, record.id, back)
            told = len(result.kept)
            self._told(record, back, reason, result)
            with self._ledger.transaction():
                self._note_kept(result.kept[told:])
                self._let_go([record], RESTORED)

    # ---- one group ---------------------------------------------------------------------------------------------

    def _group(self, group: Sequence[OurRecord], result: Restored) -> None:
        object_name = group[0].object
        if object_name not in self._fates.schema.objects:
            self._let_go(group, GIVEN_BACK)
            return
        changed = [r for r in group if (r.step, r.source_key) in self._calls]
        types = field_types(self._fates.schema.objects[object_name])
        present = self._patience.idempotent(
            lambda: self._destination.read(object_name, [r.id for r in changed], deleted=True)
        )
        backs: list[Back] = []
        told = len(result.kept)
        for record in changed:
            stored = present.get(record.id)
            if stored is None:
                result.kept.append((object_name, record.id, "somebody destroyed it since"))
                continue
            back, theirs = self._way_back(record, stored, types)
            result.kept += [(object_name, record.id, f"{n}: somebody changed it since") for n in sorted(theirs)]
            if back:
                backs.append(Back(record, back, stored))
        self._note_kept(result.kept[told:])
        call = self._begin([b.record for b in backs], RESTORED)
        refused = self._send(object_name, backs)
        for one in backs:
            if one.record.id in refused:
                result.later.append((one.record, one.fields))
            else:
                self._told(one.record, one.fields, "", result)
        self._hook("values put back")
        self._end(call, [b.record.source_key for b in backs if b.record.id in refused])
        done = {b.record.id for b in backs}
        written = {r.id for r in changed} - done
        self._let_go([r for r in group if r.id in written], LEFT)
        self._let_go([r for r in group if r.id not in written | done], GIVEN_BACK)

    def _note_kept(self, kept: Sequence[Kept]) -> None:
        """Record what stays: should this rollback be stopped, the one that goes on with it has to tell it too."""
        if kept:
            self._ledger.append("left", {"rows": kept})

    def _told(self, record: OurRecord, back: JSON, reason: str, result: Restored) -> None:
        if reason:
            names = ", ".join(sorted(back.keys() - _BY_ITSELF))
            result.kept.append((record.object, record.id, f"{names}: the earlier value is refused: {reason}"))
        elif back.keys() - _BY_ITSELF:
            result.records[record.object] += 1

    def _way_back(self, record: OurRecord, stored: JSON, types: Mapping[str, str]) -> tuple[JSON, set[str]]:
        """Return the fields to send, and the names of those that somebody changed since we wrote them.

        Each change is undone from the newest to the oldest as long as what stands is what was sent. A field that
        already holds what this comes to was put back by a rollback that was stopped. Of changes whose answer was lost
        or that were refused only those count that stand.
        """
        calls = self._calls[record.step, record.source_key]
        changes = [self._change(seq, number) for seq, number in reversed(calls)]
        doubtful = [(seq, record.source_key) in self._doubtful for seq, _ in reversed(calls)]
        back: JSON = {}
        theirs: set[str] = set()
        for name in {n for sent, _ in changes for n in sent}:
            ways = [
                (sent[name], was.get(name), doubt)
                for (sent, was), doubt in zip(changes, doubtful, strict=True)
                if name in sent
            ]
            first = ways[-1][1]
            while ways and ways[0][2] and differing({name: ways[0][0]}, stored, types):
                ways.pop(0)
            mine = target = ways[0][0] if ways else first
            for sent_value, was_value, _ in ways:
                if not differing({name: sent_value}, {name: target}, types):
                    target = was_value
            if differing({name: mine}, stored, types):
                if differing({name: target}, stored, types):
                    theirs.add(name)
            elif differing({name: target}, stored, types):
                back[name] = _as_unset(target)
        before = self._before(record)
        if before and not theirs and self._untouched_else(before, stored, changes, types):
            moved = {n: before[n] for n in _MOVED if n in before and stored.get(n) != before[n]}
            if moved or back or stored.get("updatedAt") != before["updatedAt"]:
                back |= {**moved, "updatedAt": before["updatedAt"]}
        elif back and stored.get("updatedAt"):
            back["updatedAt"] = stored["updatedAt"]  # that of whoever changed something else in it
        return back, theirs

    def _change(self, seq: int, number: int) -> tuple[JSON, JSON]:
        _, sent, was = self._block(seq)
        return sent[number], was[number]

    def _unpacked(self, seq: int) -> tuple[list[str], list[JSON], list[JSON]]:
        """Return (source keys, fields sent, fields before) of a call, each in the order of its rows."""
        entry = self._ledger.entry(seq)
        return [key for key, _, _ in entry.body["rows"]], entry.records("sent"), entry.records("was")

    def _before(self, record: OurRecord) -> JSON:
        """Return the whole record as it was found, where the ledger has it."""
        keys, _, kept = self._block(record.made)
        found: JSON = kept[keys.index(record.source_key)] if kept else {}
        return found if "updatedAt" in found else {}

    @staticmethod
    def _untouched_else(
        before: JSON, stored: JSON, changes: Sequence[tuple[JSON, JSON]], types: Mapping[str, str]
    ) -> bool:
        ours = {n for sent, _ in changes for n in sent}
        rest = {n: v for n, v in before.items() if n not in ours | _NEVER_SENT and n in stored}
        return stored.get("deletedAt") == before.get("deletedAt") and not differing(rest, stored, types)

    # ---- writing -----------------------------------------------------------------------------------------------

    def _send(self, object_name: str, backs: Sequence[Back]) -> set[str]:
        """Write the fields, together where the destination can; return the ids of records that were refused."""
        caps = self._destination.capabilities
        unique = {p.field for p in unique_paths(self._fates.schema.objects[object_name])}
        alone = caps.not_in_batch - {"updatedAt"}
        together = [
            b
            for b in backs
            if caps.batch_updates
            and not b.stored.get("deletedAt")  # a batch would bring it back to life
            and not any(n in alone or (n in unique and not is_empty(v)) for n, v in b.fields.items())
        ]
        if len(together) > 1 and self._write_together(object_name, together):
            backs = [b for b in backs if b not in together]
        return {b.record.id for b in backs if self._write(object_name, b.record.id, b.fields)}

    def _write_together(self, object_name: str, backs: Sequence[Back]) -> bool:
        """Write them in one call; False where it is refused: then each is tried alone."""
        created = {b.record.id: str(b.stored.get("createdAt")) for b in backs}
        # some versions move what is updated among others, unless they are told where it stands
        fields = [(b.record.id, {n: b.stored[n] for n in _MOVED if n in b.stored} | b.fields) for b in backs]
        tag = f"restore_all_{backs[0].record.id.replace('-', '')}"
        try:
            self._patience.idempotent(lambda: self._destination.update_batch(object_name, fields, tag, created=created))
        except Refused:
            return False
        self._hook("put back")
        return True

    def _write(self, object_name: str, rid: str, back: JSON) -> str:
        """Write one record's fields; return the destination's words, without values, where it refuses."""
        try:
            self._patience.idempotent(
                lambda: self._destination.update(object_name, rid, back, f"restore_{rid.replace('-', '')}")
            )
        except Refused as refusal:
            return without_values(refusal.message, back)
        self._hook("put back")
        return ""

    def _begin(self, records: Sequence[OurRecord], tag: str) -> int:
        if not records:
            return 0
        call = self._ledger.begin_call(
            run="", step=records[0].step, object_name=records[0].object, op="destroy", tag=tag,
            rows=[r.intent for r in records],
        )  # fmt: skip
        self._hook("intent committed")
        return call

    def _end(self, call: int, unwritten: Sequence[str] = ()) -> None:
        if call:
            self._ledger.end_call(call, run="", result="partly" if unwritten else "written", unwritten=unwritten)
            self._hook("outcome committed")

    def _let_go(self, records: Sequence[OurRecord], tag: str) -> None:
        self._end(self._begin(records, tag))


def _as_unset(value: Any) -> Any:
    """Return a value to put back, its empty lists as null: an unset list reads as an empty one, and most are unset."""
    if isinstance(value, dict):
        return {name: _as_unset(part) for name, part in value.items()}
    return None if value == [] else value
