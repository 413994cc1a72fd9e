"""Carry out what a person decided about conflicts and deletions: through the ledger, resumable, each exactly once.

Every row is checked against the ledger and the destination before anything is done about it (`judging`). What is no
longer as it was listed is refused, with its reason; the others are carried out. Doing the same again does nothing more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from dentlib.clock import Clock
from dentlib.loading.decisions import DELETE, record_decisions
from dentlib.loading.history import require_no_unfinished_rollback
from dentlib.loading.judging import Carried, Choice, Destruction, Judged, Judging, Mark, RecordChange, Refusal
from dentlib.loading.ledger import Ledger
from dentlib.loading.listing import Looking, note_gone
from dentlib.loading.patience import Hook, Patience, no_hook
from dentlib.loading.probe import sweep_probes
from dentlib.loading.quiet import quiet, restore_switches
from dentlib.loading.rows import Row
from dentlib.loading.sending import Sender
from dentlib.loading.updating import Change, Updated, Updater
from dentlib.model import Destination, LoadStep

_AT_ONCE = "somebody changed it at the same time: run the delta again for a fresh list"
_DESTROY = "decided"


def decide(
    ledger: Ledger,
    destination: Destination,
    choices: Sequence[Choice],
    *,
    marks: Mapping[str, Mark],
    by: str,
    run_id: str,
    clock: Clock,
    dry_run: bool = False,
    hook: Hook = no_hook,
) -> Carried:
    """Carry the decisions out. Resumable: called again after a kill, what was done is found done.

    `marks`: step → mark. With `dry_run` only looks. Raises GateClosed while a rollback is unfinished, DestinationError
    when the destination prevents going on; what was done until then is in the ledger.
    """
    require_no_unfinished_rollback(ledger)
    patience = Patience(clock)
    carried = Carried()
    looking = Looking(ledger, destination, patience)
    if dry_run:
        judged = Judging(looking, marks, carried).look(choices)
        _Doing(looking, judged, by, run_id, hook, carried).rehearse()
        return carried
    restore_switches(ledger, destination, patience=patience, hook=hook)
    sender = Sender(
        ledger,
        destination,
        run_id=run_id,
        patience=patience,
        hook=hook,
        schema=patience.transient(destination.describe),
    )
    try:
        sweep_probes(ledger, destination, patience=patience, hook=hook)
        sender.settle_open_calls()
        judged = Judging(looking, marks, carried).look(choices)
        doing = _Doing(looking, judged, by, run_id, hook, carried)
        if judged.writes:
            with quiet(ledger, destination, patience=patience, hook=hook, run_id=run_id):
                doing.write(Updater(sender))
        doing.note()
    finally:
        sender.close()
    return carried


class _Doing:
    """Writes what was judged: changes, then the destroying, the youngest records first."""

    def __init__(self, looking: Looking, judged: Judged, by: str, run_id: str, hook: Hook, carried: Carried) -> None:
        self._looking = looking
        self._ledger = looking.ledger
        self._judged = judged
        self._by = by
        self._run_id = run_id
        self._hook = hook
        self._carried = carried

    def rehearse(self) -> None:
        """Count what would be written."""
        for change in self._judged.changes.values():
            self._carried.done.update(choice.decision for choice, _, _ in change.choices)
        self._carried.done.update(d.choice.decision for d in self._judged.destructions)
        self._carried.done.update(choice.decision for choice, _, _ in self._judged.absent)

    def note(self) -> None:
        """Record the decisions for which nothing had to be sent; a record that is gone is noted as destroyed."""
        for choice, row, current in self._judged.absent:
            with self._ledger.transaction():
                note_gone(self._ledger, [current], self._run_id)
                record_decisions(
                    self._ledger, "deletions", self._by, [(row.entry, row.number, choice.decision)], self._run_id
                )
            self._carried.done[choice.decision] += 1
        with self._ledger.transaction():
            for what, rows in self._judged.notes.items():
                record_decisions(self._ledger, what, self._by, rows, self._run_id)
        self._hook("decisions noted")

    def write(self, updater: Updater) -> None:
        """Send changes, then destroy; each decision is recorded after what it wanted is done."""
        ordered = sorted(
            self._judged.changes.items(), key=lambda item: (item[0][0], item[0][1], item[1].current.object)
        )
        for (what, step, object_name), group in groupby(
            ordered, key=lambda item: (item[0][0], item[0][1], item[1].current.object)
        ):
            self._write_changes(updater, what, LoadStep(step, object_name, step, ""), [c for _, c in group])
        self._destroy()

    def _write_changes(self, updater: Updater, what: str, step: LoadStep, changes: list[RecordChange]) -> None:
        result = Updated()
        sent = []
        for c in changes:
            row = Row(0, c.current.source_key, c.current.record_id, c.row_hash, "", 0, None)
            was = {name: c.stored.get(name) for name in c.sent}
            sent.append(Change(row, c.whole | c.sent, dict(c.sent), was))
        updater.send(step, sent, result)
        failed = {row.record_id: words for row, _, words in result.failed}
        theirs = {(c.record_id, c.field) for c in result.conflicts}
        noted = []
        for c in changes:
            rid = c.current.record_id
            lost = rid in failed or any((rid, name) in theirs for name in c.sent)
            for choice, entry, number in c.choices:
                if lost:
                    self._carried.refuse(choice, failed.get(rid) or _AT_ONCE)
                else:
                    self._carried.done[choice.decision] += 1
                    noted.append((entry, number, choice.decision))
        record_decisions(self._ledger, what, self._by, noted, self._run_id)
        self._hook("decisions recorded")

    def _destroy(self) -> None:
        """Destroy the youngest records first, so that what points to a record goes before it."""
        size = self._looking.destination.capabilities.batch_rows
        self._judged.destructions.sort(key=lambda d: (-d.current.made, d.current.step, d.current.object))
        for _, group in groupby(
            self._judged.destructions, key=lambda d: (d.current.made, d.current.step, d.current.object)
        ):
            some = list(group)
            for start in range(0, len(some), size):
                self._destroy_batch(some[start : start + size])

    def _destroy_batch(self, deletions: list[Destruction]) -> None:
        looking, ledger, first = self._looking, self._ledger, deletions[0].current
        ids = [d.current.record_id for d in deletions if d.stored is not None]
        if ids:
            looking.patience.idempotent(lambda: looking.destination.destroy_side_effects(first.object, ids))
            self._hook("side effects destroyed")
        call = ledger.begin_call(
            run=self._run_id,
            step=first.step,
            object_name=first.object,
            op="destroy",
            tag=_DESTROY,
            rows=[(d.current.source_key, d.current.record_id, d.current.row_hash) for d in deletions],
            block={"was": [d.stored or {} for d in deletions]},
        )
        self._hook("intent committed")
        if ids:
            looking.patience.idempotent(lambda: looking.destination.destroy(first.object, ids, f"decided_c{call}"))
            self._hook("destroyed")
        with ledger.transaction():
            ledger.end_call(call, run=self._run_id, result="written" if ids else "found")
            rows = [(d.listed.entry, d.listed.number, DELETE) for d in deletions]
            record_decisions(ledger, "deletions", self._by, rows, self._run_id)
        self._hook("outcome committed")
        self._carried.done[DELETE] += len(deletions)


__all__ = ["Carried", "Choice", "Mark", "Refusal", "decide"]
