"""Check decisions, as a person filled them in, against the ledger and the destination. Nothing is written here.

What is no longer as it was listed is refused with its reason. A record is not destroyed while others point to it, when
it was there before us, or when somebody changed it in the destination after it was listed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from dentlib.loading.decisions import (
    DESTROYED_THERE,
    KEEP,
    MARK,
    OURS,
    RECREATE,
    THEIRS,
    Absent,
    Conflict,
    Decided,
    conflicts_of,
    decided_missing,
    missing_of,
    newest_missing,
    parsed_ref,
    standing_conflicts,
)
from dentlib.loading.ledger import Current
from dentlib.loading.listing import Looking
from dentlib.loading.readback import normalise_equal
from dentlib.model import JSON

_AGAIN = "run the delta again for a fresh list"


@dataclass(frozen=True, slots=True)
class Choice:
    """One filled-in row: which listed row, what is decided, and where it stands (file and row) for messages."""

    ref: str
    record_id: str
    field: str
    decision: str
    where: str


@dataclass(frozen=True, slots=True)
class Mark:
    """The field, and its value, by which a step's records tell that their source row is gone."""

    field: str
    value: str | bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that was not carried out, and why."""

    where: str
    ref: str
    reason: str


@dataclass(slots=True)
class Carried:
    """What came of the decisions: carried out by kind, found done already, refused."""

    done: Counter[str] = field(default_factory=Counter)
    already: Counter[str] = field(default_factory=Counter)
    refused: list[Refusal] = field(default_factory=list)

    def refuse(self, choice: Choice, reason: str) -> None:
        """Count a row as refused."""
        self.refused.append(Refusal(choice.where, choice.ref, reason))


@dataclass(slots=True)
class RecordChange:
    """Decisions about one record that are one change of it."""

    current: Current
    stored: JSON
    sent: JSON = field(default_factory=dict)
    whole: JSON = field(default_factory=dict)
    row_hash: str = ""
    choices: list[tuple[Choice, int, int]] = field(default_factory=list)


@dataclass(slots=True)
class Destruction:
    choice: Choice
    listed: Absent
    current: Current
    stored: JSON | None


@dataclass(slots=True)
class Judged:
    """What is to be done, and the decisions for which nothing has to be sent."""

    changes: dict[tuple[str, str, str], RecordChange] = field(default_factory=dict)  # by kind, step, key
    destructions: list[Destruction] = field(default_factory=list)
    absent: list[tuple[Choice, Absent, Current]] = field(default_factory=list)
    notes: dict[str, list[tuple[int, int, str]]] = field(default_factory=lambda: defaultdict(list))

    @property
    def writes(self) -> bool:
        """Tell whether anything is to be sent."""
        return bool(self.changes or self.destructions)


class Judging:
    """Judges the choices of one call; refusals and what was done before go straight into `carried`."""

    def __init__(self, looking: Looking, marks: Mapping[str, Mark], carried: Carried) -> None:
        self._looking = looking
        self._ledger = looking.ledger
        self._marks = marks
        self._carried = carried
        self._judged = Judged()

    def look(self, choices: Sequence[Choice]) -> Judged:
        """Check every choice against the ledger and the destination."""
        conflicts: list[tuple[Choice, Conflict]] = []
        missing: list[tuple[Choice, Absent]] = []
        listings: dict[int, list[Conflict] | list[Absent]] = {}
        for choice in choices:
            row = self._listed(choice, listings)
            if row is None:
                self._carried.refuse(choice, "no such row was listed since the last rollback: use the file as written")
            elif row.record_id != choice.record_id or (isinstance(row, Conflict) and row.field != choice.field):
                self._carried.refuse(choice, "its record or field is not the one that was listed: the row was edited")
            elif isinstance(row, Conflict):
                conflicts.append((choice, row))
            else:
                missing.append((choice, row))
        self._look_at_conflicts(conflicts)
        self._look_at_missing(missing)
        self._hold_back_parents()
        return self._judged

    def _listed(self, choice: Choice, listings: dict[int, list[Conflict] | list[Absent]]) -> Conflict | Absent | None:
        ref = parsed_ref(choice.ref)
        if ref is None:
            return None
        kind, entry, number = ref
        if entry not in listings:
            wanted = "conflicts" if kind == "c" else "deletions"
            found = self._ledger.last("seq = ? AND kind = ? AND seq > ?", entry, wanted, self._ledger.epoch)
            listings[entry] = [] if found is None else conflicts_of(found) if kind == "c" else missing_of(found)
        rows = listings[entry]
        return rows[number - 1] if 0 < number <= len(rows) else None

    def _look_at_conflicts(self, chosen: list[tuple[Choice, Conflict]]) -> None:
        standing = {(c.entry, c.number): c for c in standing_conflicts(self._ledger).values()}
        done = self._conflict_decisions()
        chosen.sort(key=lambda pair: (pair[1].step, pair[1].object))
        for (step, object_name), group in groupby(chosen, key=lambda pair: (pair[1].step, pair[1].object)):
            pairs = list(group)
            looked = self._looking.of([row for _, row in pairs], step, object_name)
            for (choice, row), (_, current, stored) in zip(pairs, looked, strict=True):
                earlier = done.get((row.entry, row.number), "")
                if earlier == choice.decision:
                    self._carried.already[choice.decision] += 1
                elif (row.entry, row.number) not in standing:
                    words = f"it was decided as {earlier}" if earlier else "it was listed again, or is none any more"
                    self._carried.refuse(choice, f"{words}: {_AGAIN}")
                else:
                    self._look_at_conflict(choice, row, current, stored)

    def _conflict_decisions(self) -> dict[tuple[int, int], str]:
        entries = self._ledger.entries("kind = 'decision' AND seq > ?", self._ledger.epoch, blocks=False)
        return {(e, n): d for entry in entries if entry.body["what"] == "conflicts" for e, n, d in entry.body["rows"]}

    def _look_at_conflict(self, choice: Choice, row: Conflict, current: Current | None, stored: JSON | None) -> None:
        if current is None or stored is None or stored.get("deletedAt"):
            self._carried.refuse(choice, f"its record is not in the CRM any more: {_AGAIN}")
            return
        kind = self._looking.types(row.object).get(row.field, "")
        base = self._looking.written.of(current)
        found = stored.get(row.field)
        if not normalise_equal(row.meant, base.get(row.field), kind)[0]:
            self._carried.refuse(choice, f"the source says something else by now: {_AGAIN}")
        elif choice.decision == OURS and normalise_equal(row.meant, found, kind)[0]:
            self._carried.already[OURS] += 1  # written by a call that was stopped before it noted the decision
            self._judged.notes["conflicts"].append((row.entry, row.number, OURS))
        elif not normalise_equal(row.stored, found, kind)[0]:
            self._carried.refuse(choice, f"somebody changed it again in the CRM since it was listed: {_AGAIN}")
        elif choice.decision == THEIRS:
            self._carried.done[THEIRS] += 1
            self._judged.notes["conflicts"].append((row.entry, row.number, THEIRS))
        else:
            change = self._change("conflicts", current, stored, base, current.row_hash)
            change.sent[row.field] = row.meant
            change.choices.append((choice, row.entry, row.number))

    def _change(self, kind: str, current: Current, stored: JSON, base: JSON, row_hash: str) -> RecordChange:
        fresh = RecordChange(current, stored, whole=dict(base), row_hash=row_hash)
        return self._judged.changes.setdefault((kind, current.step, current.source_key), fresh)

    def _look_at_missing(self, chosen: list[tuple[Choice, Absent]]) -> None:
        newest = newest_missing(self._ledger)
        decided = decided_missing(self._ledger)
        chosen.sort(key=lambda pair: (pair[1].step, pair[1].object))
        for (step, object_name), group in groupby(chosen, key=lambda pair: (pair[1].step, pair[1].object)):
            pairs = list(group)
            looked = self._looking.of([row for _, row in pairs], step, object_name)
            for (choice, row), (_, current, stored) in zip(pairs, looked, strict=True):
                place = (row.step, row.source_key)
                if self._done(choice, row, current, stored, decided.get(place)):
                    self._carried.already[choice.decision] += 1
                elif place not in newest or newest[place].record_id != row.record_id:
                    self._carried.refuse(choice, f"it is not on the list of the last delta any more: {_AGAIN}")
                elif current is None or current.record_id != row.record_id:
                    self._carried.refuse(choice, "it is not in the CRM any more, as far as the ledger knows")
                else:
                    self._look_at_one(choice, row, current, stored)

    def _done(
        self, choice: Choice, row: Absent, current: Current | None, stored: JSON | None, decided: Decided | None
    ) -> bool:
        """Tell whether this was decided before; a record that is destroyed by now was what `delete` wanted."""
        if current is None:
            done = decided is not None and decided.decision == choice.decision
            if (
                not done and choice.decision in row.choices and choice.decision != MARK
            ):  # stopped before it noted the decision
                self._judged.notes["deletions"].append((row.entry, row.number, choice.decision))
                return True
            return done
        return decided is not None and decided.decision == choice.decision and decided.seq > current.call

    def _look_at_one(self, choice: Choice, row: Absent, current: Current, stored: JSON | None) -> None:
        if choice.decision not in row.choices:
            allowed = " or ".join(row.choices)
            self._carried.refuse(choice, f"this record is {row.why}: it can only be decided as {allowed}")
        elif choice.decision == KEEP and row.why == DESTROYED_THERE and stored is None:
            self._judged.absent.append((choice, row, current))
        elif choice.decision == KEEP:
            self._carried.done[KEEP] += 1
            self._judged.notes["deletions"].append((row.entry, row.number, KEEP))
        elif choice.decision == RECREATE:
            if stored is not None:
                self._carried.refuse(choice, f"it is in the CRM again: {_AGAIN}")
            else:
                self._judged.absent.append((choice, row, current))
        elif choice.decision == MARK:
            self._look_at_mark(choice, row, current, stored)
        elif self._ledger.entry(current.made).body["op"] != "create":
            self._carried.refuse(choice, "the record was there before the first run: keep it or mark it")
        else:
            changed = set(self._looking.changed(current, stored)) if stored else set()
            if more := sorted(changed - set(row.changed)):
                words = f"somebody changed it in the CRM since it was listed ({', '.join(more)}): {_AGAIN}"
                self._carried.refuse(choice, words)
            else:
                self._judged.destructions.append(Destruction(choice, row, current, stored))

    def _look_at_mark(self, choice: Choice, row: Absent, current: Current, stored: JSON | None) -> None:
        mark = self._marks.get(row.step)
        if mark is None:
            words = f"the map names no mark: steps: {{{row.step}: {{deletions: {{mark: {{field: …, value: …}}}}}}}}"
            self._carried.refuse(choice, words)
            return
        kind = self._looking.types(row.object).get(mark.field)
        if kind is None:
            self._carried.refuse(choice, f"the CRM has no field {mark.field}: the next delta or run makes it")
        elif stored is None or stored.get("deletedAt"):
            self._carried.refuse(choice, f"its record is not in the CRM any more: {_AGAIN}")
        else:
            base, found = self._looking.written.of(current), stored.get(mark.field)
            if normalise_equal(mark.value, found, kind)[0]:
                self._carried.already[MARK] += 1
                self._judged.notes["deletions"].append((row.entry, row.number, MARK))
            elif found is not False and not normalise_equal(base.get(mark.field), found, kind)[0]:
                self._carried.refuse(choice, f"somebody wrote into {mark.field}, which is for the mark")
            else:
                # another hash than any row's: should the row come back, the record is compared and the mark taken off
                change = self._change("deletions", current, stored, base, f"{current.row_hash} {MARK}")
                change.sent[mark.field] = mark.value
                change.choices.append((choice, row.entry, row.number))

    def _hold_back_parents(self) -> None:
        """Refuse to destroy what other live records point to, unless these are destroyed as well."""
        attached = self._attached()
        while True:
            going = {d.current.record_id for d in self._judged.destructions}
            hung = {
                rid: rest
                for rid, others in attached.items()
                if rid in going and (rest := Counter(name for name, other in others if other not in going))
            }
            if not hung:
                return
            for d in self._judged.destructions:
                if others := hung.get(d.current.record_id):
                    what = ", ".join(f"{n} {name}" for name, n in sorted(others.items()))
                    words = f"other records point to it ({what}): decide them as delete too, or keep it"
                    self._carried.refuse(d.choice, words)
            self._judged.destructions = [d for d in self._judged.destructions if d.current.record_id not in hung]

    def _attached(self) -> dict[str, list[tuple[str, str]]]:
        """Return for each record that is to be destroyed the live records that point to it."""
        looking = self._looking
        by_object: dict[str, list[str]] = defaultdict(list)
        for d in self._judged.destructions:
            if d.stored is not None:
                by_object[d.current.object].append(d.current.record_id)
        found: dict[str, list[tuple[str, str]]] = {}
        size = looking.destination.capabilities.batch_rows
        for name, ids in by_object.items():
            for start in range(0, len(ids), size):
                part = ids[start : start + size]
                found |= looking.patience.transient(
                    lambda name=name, part=part: looking.destination.attached(name, part)  # type: ignore[misc]
                )
        return found
