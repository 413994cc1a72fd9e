"""Take back what the ledger says we did, and prove that the workspace is as it was.

Newest first: values of records that were there before us, what the destination wrote about our records, the records,
uploads, schema, switches. Only what the ledger names is touched. What somebody else has come to need is kept, and told.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice

from dentlib.clock import Clock
from dentlib.errors import DestinationError
from dentlib.facts import RollbackFacts, RollbackLine
from dentlib.loading.history import schema_changes, switch_history, switches_off
from dentlib.loading.keeping import DESTROY, KEEP, RESTORE, Fates, OurRecord
from dentlib.loading.ledger import Ledger
from dentlib.loading.patience import Hook, Patience, no_hook
from dentlib.loading.probe import settle_probe_calls, sweep_probes
from dentlib.loading.quiet import quiet, restore_switches
from dentlib.loading.restoring import LEFT, RESTORED, Kept, Restored, Restorer, noted_kept
from dentlib.loading.schema import SchemaBack, foresee_schema, undo_schema
from dentlib.loading.snapshot import Snapshot, differences, kept_baseline, picture_path, snapshot
from dentlib.loading.uploads import has_uploads, take_back_uploads
from dentlib.model import Destination, Progress, Silence

_TASK = "rollback"
_ASKED_AT_ONCE = 1_000
_LISTED = 1_000
"""How many kept records and differences the facts name; the rest is counted."""

_BY_OTHERS = " (by somebody else: this migration never wrote to it)"
_CLOCKS_APART = timedelta(minutes=1)


def is_nothing_to_do(ledger: Ledger) -> bool:
    """Tell whether nothing of ours is known to stand in the workspace. Reads the ledger only."""
    if ledger.last("kind = 'rollback' AND seq > ?", ledger.epoch) is not None:
        return False  # begun and not ended
    live = next(ledger.rows("SELECT EXISTS (SELECT 1 FROM current WHERE state = 'live')"))[0]
    return not (live or ledger.open_calls() or schema_changes(ledger) or switches_off(ledger) or has_uploads(ledger))


def preview(
    ledger: Ledger, destination: Destination, *, clock: Clock, progress: Progress | None = None, client: str = ""
) -> RollbackFacts:
    """Say what a rollback would destroy, put back, remove and keep, and why. Reads only; nothing is written anywhere.

    Looks into the workspace: a few short fields of every record that is ours or may point to ours.
    """
    facts = RollbackFacts(
        engagement=ledger.engagement, client=client, destroyed=(), restored=(), kept=(), schema_removed=(),
        side_effects=0, differences=(), preview=True, nothing=is_nothing_to_do(ledger),
    )  # fmt: skip
    if facts.nothing:
        return facts
    patience = Patience(clock)
    with Fates(ledger, destination, patience) as fates:
        fates.plan(progress or Silence())
        restorer = Restorer(ledger, destination, fates, patience=patience, hook=no_hook)
        restored = restorer.count()
        schema = foresee_schema(ledger, destination, fates, patience=patience, put_back=restorer.fields_sent())
        before = kept_baseline(ledger)
        return replace(
            _with_plan(facts, fates, restored),
            destroyed=_counted(fates, DESTROY),
            restored=_pairs(restored),
            schema_removed=schema.removed,
            schema_kept=schema.kept,
            compared=_compared(before),
            switches=switch_history(ledger),
        )


def rollback(
    ledger: Ledger,
    destination: Destination,
    *,
    clock: Clock,
    progress: Progress | None = None,
    hook: Hook = no_hook,
    client: str = "",
) -> RollbackFacts:
    """Bring the workspace back to the state before our first write, and compare it with the picture from then.

    Resumable: stopped anywhere, the next call goes on. Afterwards the ledger is at a new beginning: the next run writes
    everything anew, and takes up again what had to be kept. Where nothing of ours stands, nothing is done and `nothing`
    says so. Raises DestinationError where the destination prevents it; `differences` names whatever is not as it was,
    `kept` what was left in place, with the reason.
    """
    progress = progress or Silence()
    patience = Patience(clock)
    begun = ledger.last("kind = 'rollback' AND seq > ?", ledger.epoch)
    if begun is None and is_nothing_to_do(ledger):
        return RollbackFacts(
            engagement=ledger.engagement, client=client, destroyed=(), restored=(), kept=(), schema_removed=(),
            side_effects=0, differences=(), preview=False, nothing=True,
        )  # fmt: skip
    start = begun.seq if begun else ledger.append("rollback", {})
    hook("rollback begun")
    back = _Back(ledger, destination, patience, hook, progress, start)
    back.settle()
    sweep_probes(ledger, destination, patience=patience, hook=hook)
    with Fates(ledger, destination, patience) as fates:
        fates.plan(progress)
        back.take_back(fates)
        uploads = take_back_uploads(ledger, destination, patience=patience, hook=hook)
        schema = undo_schema(ledger, destination, patience=patience, hook=hook, progress=progress)
        restore_switches(ledger, destination, patience=patience, hook=hook)
        facts = _with_plan(
            RollbackFacts(
                engagement=ledger.engagement,
                client=client,
                destroyed=_since(ledger, start, _TASK),
                restored=_since(ledger, start, RESTORED),
                kept=(),
                schema_removed=schema.removed,
                side_effects=back.side_effects,
                differences=(),
                preview=False,
                schema_kept=schema.kept,
                switches=switch_history(ledger),
            ),
            fates,
            back.restored.records,
            (*(left := noted_kept(ledger, start)), *uploads),
        )
        fates.note_told(rid for _, rid, _ in left)
        facts = _proved(facts, ledger, destination, fates, schema, patience, progress)
    kept = sum(n for _, _, n in facts.kept_why) + len(facts.schema_kept)
    ledger.append(
        "rollback_end",
        {"destroyed": facts.destroyed, "kept": kept, "differences": facts.differences, "picture": facts.picture},
    )
    hook("rollback ended")
    progress.finish(_TASK, f"{facts.differences_found} differences")
    ledger.copy_aside("after-rollback")
    return facts


@dataclass
class _Back:
    ledger: Ledger
    destination: Destination
    patience: Patience
    hook: Hook
    progress: Progress
    start: int  # number of the entry with which this rollback began
    side_effects: int = 0
    restored: Restored = field(default_factory=Restored)

    # ---- what a crash left open --------------------------------------------------------------------------------

    def settle(self) -> None:
        """Find out about every call in doubt. Unlike a load, a rollback wants whatever is there under our ids."""
        settle_probe_calls(self.ledger, self.destination, patience=self.patience)
        for entry in self.ledger.open_calls():
            body, rows = entry.body, entry.body["rows"]
            present = self._present(body["object"], [rid for _, rid, _ in rows])
            if body["op"] == "update":  # what is put back is found out field by field, written or not
                unwritten = [key for key, _, _ in rows]
            elif body["op"] != "destroy":
                unwritten = [key for key, rid, _ in rows if rid not in present]
            elif body["tag"] == _TASK:
                unwritten = [key for key, rid, _ in rows if rid in present]
            else:  # put back, or given up: done again, which does no harm
                unwritten = [key for key, _, _ in rows]
            result = "not_written" if len(unwritten) == len(rows) else "partly" if unwritten else "found"
            self.ledger.end_call(entry.seq, run=entry.run, result=result, unwritten=unwritten)
            self.hook("open call settled")

    def _present(self, object_name: str, ids: list[str]) -> set[str]:
        if object_name not in self.patience.idempotent(self.destination.describe).objects:
            return set()
        return set(self.patience.idempotent(lambda: self.destination.read(object_name, ids, deleted=True)))

    # ---- records -----------------------------------------------------------------------------------------------

    def take_back(self, fates: Fates) -> None:
        """Put back what we changed, then destroy what we made, the newest first."""
        total = sum(n for _, fate, _, n, *_ in fates.counts() if fate in (DESTROY, RESTORE))
        self.progress.start(_TASK, total, "records")
        restorer = Restorer(self.ledger, self.destination, fates, patience=self.patience, hook=self.hook)
        if restorer.count():  # putting values back is a change like any other: nothing shall react to it
            with quiet(self.ledger, self.destination, patience=self.patience, hook=self.hook):
                self._both(fates, restorer)
        else:
            self._both(fates, restorer)
        self._traces_of_changes()

    def _both(self, fates: Fates, restorer: Restorer) -> None:
        for done, result in restorer.restore_all():
            self.restored = result
            self.progress.advance(_TASK, done)
        for group in fates.groups(DESTROY, _ASKED_AT_ONCE):
            self._destroy_group(fates, group)
            self.progress.advance(_TASK, len(group))
        restorer.again(self.restored)

    def _destroy_group(self, fates: Fates, group: list[OurRecord]) -> None:
        """Destroy up to a thousand records of one step, unless somebody has attached something a moment ago."""
        name = group[0].object
        if name not in fates.schema.objects:
            self._note_gone(group)
            return
        there = [r for r in fates.still(group, DESTROY) if r.there]
        if there:
            fates.keep(fates.held_by_others(name, [r.id for r in there], put_back=True))
        going = fates.still(group, DESTROY)
        size = self.destination.capabilities.batch_rows
        there = [r for r in going if r.there]
        for first in range(0, len(there), size):
            self._destroy(there[first : first + size])
        self._note_gone([r for r in going if not r.there])

    def _destroy(self, batch: list[OurRecord]) -> None:
        name, ids = batch[0].object, [r.id for r in batch]
        self.side_effects += self.patience.idempotent(lambda: self.destination.destroy_side_effects(name, ids))
        self.hook("side effects destroyed")
        call = self._begin(batch, _TASK)
        self.patience.idempotent(lambda: self.destination.destroy(name, ids, f"destroy_c{call}"))
        self.hook("destroyed")
        self.ledger.end_call(call, run="", result="written")
        self.hook("outcome committed")

    def _note_gone(self, batch: list[OurRecord]) -> None:
        """Let go of records that somebody destroyed already."""
        if batch:
            self.ledger.end_call(self._begin(batch, "gone"), run="", result="found")
            self.hook("outcome committed")

    def _begin(self, batch: list[OurRecord], tag: str) -> int:
        rows = [r.intent for r in batch]
        call = self.ledger.begin_call(
            run="", step=batch[0].step, object_name=batch[0].object, op="destroy", tag=tag, rows=rows
        )
        self.hook("intent committed")
        return call

    def _traces_of_changes(self) -> None:
        """Destroy what the destination wrote about our changes of records that were there before us."""
        sql = """
            SELECT body ->> 'object', j.value ->> 1 FROM entry, json_each(entry.body, '$.rows') AS j
            WHERE kind = 'call' AND seq > ? AND body ->> 'op' = 'destroy' AND body ->> 'tag' IN (?, ?)
        """
        touched: dict[str, set[str]] = {}
        for name, rid in self.ledger.rows(sql, self.start, RESTORED, LEFT):
            touched.setdefault(name, set()).add(rid)
        if not touched:
            return
        (first,) = next(
            self.ledger.rows("SELECT min(at) FROM entry WHERE kind = 'call' AND seq > ?", self.ledger.epoch)
        )
        since = datetime.fromisoformat(first) - _CLOCKS_APART
        for name, ids in touched.items():
            self.side_effects += self.patience.idempotent(
                lambda name=name, ids=ids: self.destination.destroy_side_effects(name, sorted(ids), since=since)  # type: ignore[misc]
            )
            self.hook("side effects destroyed")


# ---- telling it ----------------------------------------------------------------------------------------------------


def _with_plan(
    facts: RollbackFacts, fates: Fates, restored: Counter[str], also_kept: tuple[Kept, ...] = ()
) -> RollbackFacts:
    """Add what becomes of the records, by object, and what is kept and why."""
    why: Counter[tuple[str, str]] = Counter((name, reason) for name, _, reason in also_kept)
    lines: dict[str, RollbackLine] = {}
    for name, fate, reason, records, there, binned, by_hand in fates.counts():
        line = lines.get(name, RollbackLine(name))
        if fate == DESTROY:
            line = replace(
                line,
                destroyed=line.destroyed + there,
                gone=line.gone + records - there,
                binned=line.binned + binned,
                changed=line.changed + by_hand,
            )
        elif fate == KEEP:
            why[name, reason] += records
            line = replace(line, kept=line.kept + records)
        lines[name] = replace(line, restored=restored[name])
    first = islice(fates.kept(), _LISTED)
    remarks = [f"{name}: this key may not look into it" for name in fates.unseen]
    touched = sum(restored.values())
    if touched:
        remarks.append(
            f"{touched:,} records that were here before get their values back; the CRM goes on naming this migration's "
            "key as the last to have changed them, which no program can set"
        )
    return replace(
        facts,
        lines=tuple(lines[name] for name in sorted(lines)),
        kept=(*also_kept[:_LISTED], *first),
        kept_why=tuple((name, reason, n) for (name, reason), n in sorted(why.items())),
        remarks=tuple(remarks),
    )


def _proved(
    facts: RollbackFacts,
    ledger: Ledger,
    destination: Destination,
    fates: Fates,
    schema: SchemaBack,
    patience: Patience,
    progress: Progress,
) -> RollbackFacts:
    """Take the picture again and compare. What was kept is told as kept and isn't a difference once more."""
    before = kept_baseline(ledger)
    if before is None:
        return facts
    after = snapshot(destination, picture_path(ledger, "after"), patience=patience, like=before, progress=progress)
    named: list[str] = []
    found = ours = 0
    chunks = differences(before, after)
    model = patience.idempotent(destination.describe)
    try:
        while chunk := list(islice(chunks, _ASKED_AT_ONCE)):
            fate = fates.fates_of(d.record_id for d in chunk)
            for difference in chunk:
                its_fate = fate.get(difference.record_id, "")
                told = schema.explains(difference.record_id, model) if difference.in_model else its_fate == KEEP
                if told or fates.is_told(difference.record_id):
                    continue
                found += 1
                ours += bool(its_fate)
                known = its_fate or difference.in_model or not difference.record_id
                by_others = "" if known or _was_ours(ledger, difference.record_id) else _BY_OTHERS
                named += [f"{difference}{by_others}"] if found <= _LISTED else []
    except DestinationError as error:
        found, named = found + 1, [*named, f"the proof can't be made: {error.message}"]
    return replace(
        facts,
        differences=tuple(named),
        differences_found=found,
        differences_ours=ours,
        compared=_compared(before),
        picture=after.path.name,
    )


def _was_ours(ledger: Ledger, rid: str) -> bool:
    """Tell whether a record was one of ours: a rollback that was stopped may have let go of it before."""
    return bool(next(ledger.rows("SELECT EXISTS (SELECT 1 FROM current WHERE record_id = ?)", rid))[0])


def _counted(fates: Fates, fate: str) -> tuple[tuple[str, int], ...]:
    counts: Counter[str] = Counter()
    for name, its_fate, _, _, there, *_ in fates.counts():
        counts[name] += there if its_fate == fate else 0
    return _pairs(counts)


def _pairs(counts: Counter[str]) -> tuple[tuple[str, int], ...]:
    return tuple((name, n) for name, n in sorted(counts.items()) if n)


def _compared(before: Snapshot | None) -> tuple[tuple[str, int, str], ...]:
    if before is None:
        return ()
    found = [(name, count, how) for name, (count, how) in sorted(before.objects.items())]
    return (*found, *((name, 0, "unreadable") for name in before.unreadable))


def _since(ledger: Ledger, seq: int, tag: str) -> tuple[tuple[str, int], ...]:
    """Count the records whose calls of this kind were done since the rollback began, crashes and resumes included."""
    sql = """
        SELECT c.body ->> 'object', sum(json_array_length(c.body, '$.rows') - json_array_length(d.body, '$.unwritten'))
        FROM entry AS d JOIN entry AS c ON c.seq = d.body ->> 'call'
        WHERE d.kind = 'done' AND d.seq > ? AND c.body ->> 'op' = 'destroy' AND c.body ->> 'tag' = ?
          AND c.body ->> 'step' NOT LIKE 'probe:%' GROUP BY 1 ORDER BY 1
    """
    return tuple((name, int(rows)) for name, rows in ledger.rows(sql, seq, tag) if rows)
