"""Take back what the ledger says we did, and prove that the workspace is as it was.

Newest first: what the destination wrote about our records, the records, changed fields, schema, switches. Only what the
ledger names is touched.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from dentlib.clock import Clock
from dentlib.errors import DestinationError
from dentlib.facts import RollbackFacts
from dentlib.loading.history import baseline, schema_changes
from dentlib.loading.ledger import Entry, Ledger
from dentlib.loading.patience import Hook, Patience, no_hook
from dentlib.loading.probe import settle_probe_calls
from dentlib.loading.quiet import restore_switches
from dentlib.loading.readback import differing, field_types
from dentlib.loading.schema import schema_name, undo_schema
from dentlib.loading.snapshot import Snapshot, snapshot
from dentlib.loading.uploads import take_back_uploads
from dentlib.model import JSON, Destination, Progress, Silence

_TASK = "rollback"


def preview(ledger: Ledger, *, client: str = "") -> RollbackFacts:
    """Say what a rollback would destroy, restore and remove. Reads the ledger only; nothing is sent."""
    counts: Counter[str] = Counter()
    restored: Counter[str] = Counter()
    sql = """
        SELECT c.object, e.body ->> 'op', count(*) FROM current AS c JOIN entry AS e ON e.seq = c.made
        WHERE c.state = 'live' GROUP BY 1, 2
    """
    for object_name, op, rows in ledger.rows(sql):
        (counts if op == "create" else restored)[object_name] += rows
    for entry in ledger.open_calls():
        if entry.body["op"] == "create":
            counts[entry.body["object"]] += len(entry.body["rows"])
    return RollbackFacts(
        engagement=ledger.engagement,
        client=client,
        destroyed=tuple(sorted(counts.items())),
        restored=tuple(sorted(restored.items())),
        kept=(),
        schema_removed=tuple(schema_name(e.body["item"]) for e, _ in reversed(schema_changes(ledger))),
        side_effects=0,
        differences=(),
        preview=True,
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
    """Bring the workspace back to the state before our first write, and compare it with the snapshot from then.

    Resumable: stopped anywhere, the next call goes on. Afterwards the ledger is at a new beginning: the next run writes
    everything anew. A workspace that nothing was written to stays untouched. Raises DestinationError where the
    destination prevents it; `differences` of the result names whatever is not as it was.
    """
    progress = progress or Silence()
    patience = Patience(clock)
    back = _Back(ledger, destination, patience, hook)
    begun = ledger.last("kind = 'rollback' AND seq > ?", ledger.epoch)
    start = begun.seq if begun else ledger.append("rollback", {})
    hook("rollback begun")
    back.settle()
    progress.start(_TASK, sum(n for _, n in preview(ledger).destroyed), "records")
    back.take_back(progress)
    back.kept += take_back_uploads(ledger, destination, patience=patience, hook=hook)
    removed = undo_schema(ledger, destination, patience=patience, hook=hook)
    restore_switches(ledger, destination, patience=patience, hook=hook)
    before = baseline(ledger)
    differences: tuple[str, ...] = ()
    if before is not None:
        after = snapshot(destination, patience=patience)
        differences = Snapshot.from_json(before).differences(after)
    facts = RollbackFacts(
        engagement=ledger.engagement,
        client=client,
        destroyed=_destroyed_since(ledger, start),
        restored=tuple(sorted(back.restored.items())),
        kept=tuple(back.kept),
        schema_removed=removed,
        side_effects=back.side_effects,
        differences=differences,
        preview=False,
    )
    ledger.append("rollback_end", {"destroyed": facts.destroyed, "differences": differences})
    hook("rollback ended")
    progress.finish(_TASK, f"{len(differences)} differences")
    ledger.copy_aside("after-rollback")
    return facts


@dataclass
class _Back:
    ledger: Ledger
    destination: Destination
    patience: Patience
    hook: Hook
    side_effects: int = 0
    restored: Counter[str] = field(default_factory=Counter)
    kept: list[tuple[str, str, str]] = field(default_factory=list)

    # ---- what a crash left open --------------------------------------------------------------------------------

    def settle(self) -> None:
        """Find out about every call in doubt. Unlike a load, a rollback wants whatever is there under our ids."""
        settle_probe_calls(self.ledger, self.destination, patience=self.patience)
        for entry in self.ledger.open_calls():
            rows = entry.body["rows"]
            if entry.body["op"] == "destroy":
                unwritten = [key for key, _, _ in rows]
            else:
                present = self._read(entry.body["object"], [rid for _, rid, _ in rows])
                unwritten = [key for key, rid, _ in rows if rid not in present]
            result = "not_written" if len(unwritten) == len(rows) else "partly" if unwritten else "found"
            self.ledger.end_call(entry.seq, run=entry.run, result=result, unwritten=unwritten)
            self.hook("open call settled")

    def _read(self, object_name: str, ids: list[str]) -> dict[str, JSON]:
        return self.patience.idempotent(lambda: self.destination.read(object_name, ids, deleted=True))

    # ---- records -----------------------------------------------------------------------------------------------

    def take_back(self, progress: Progress) -> None:
        """Destroy what we made and restore what we changed, call by call, the newest first."""
        calls = [seq for (seq,) in self.ledger.rows("SELECT DISTINCT made FROM current WHERE state = 'live'")]
        for seq in sorted(calls, reverse=True):
            made = self.ledger.entry(seq)
            sql = "SELECT source_key, record_id, row_hash FROM current WHERE made = ? AND step = ? AND state = 'live'"
            rows = list(self.ledger.rows(sql, seq, made.body["step"]))
            if made.body["op"] == "create":
                self._destroy(made, rows)
            else:
                self._restore(made, rows)
            progress.advance(_TASK, len(rows))

    def _destroy(self, made: Entry, rows: list[tuple[str, str, str]]) -> None:
        object_name, ids = made.body["object"], [rid for _, rid, _ in rows]
        self.side_effects += self.patience.idempotent(lambda: self.destination.destroy_side_effects(object_name, ids))
        self.hook("side effects destroyed")
        call = self.ledger.begin_call(
            run="", step=made.body["step"], object_name=object_name, op="destroy", tag=_TASK, rows=rows
        )
        self.hook("intent committed")
        self.patience.idempotent(lambda: self.destination.destroy(object_name, ids, f"destroy_c{call}"))
        self.hook("destroyed")
        self.ledger.end_call(call, run="", result="written")
        self.hook("outcome committed")

    def _restore(self, made: Entry, rows: list[tuple[str, str, str]]) -> None:
        """Give records that were there before us their old values back, where ours still stand."""
        object_name = made.body["object"]
        types = field_types(self.patience.idempotent(self.destination.describe).objects[object_name])
        present = self._read(object_name, [rid for _, rid, _ in rows])
        for key, rid, row_hash in rows:
            if rid not in present:
                self.kept.append((object_name, rid, "destroyed by someone since"))
            for change, was in self._changes(made, key, rid) if rid in present else ():
                ours = {n: v for n, v in change.items() if not differing({n: v}, present[rid], types)}
                back = {n: was.get(n) for n in ours}
                if back:
                    self._put_back(object_name, rid, back)
                    present[rid] |= back
                    self.restored[object_name] += 1
                self.kept += [(object_name, rid, f"{n}: changed by someone since") for n in change.keys() - ours.keys()]
            call = self.ledger.begin_call(
                run="", step=made.body["step"], object_name=object_name, op="destroy", tag="restored",
                rows=[(key, rid, row_hash)],
            )  # fmt: skip
            self.ledger.end_call(call, run="", result="written")
            self.hook("restored")

    def _put_back(self, object_name: str, rid: str, back: JSON) -> None:
        self.patience.idempotent(lambda: self.destination.update(object_name, rid, back, f"restore_{rid[:8]}"))

    def _changes(self, made: Entry, key: str, rid: str) -> list[tuple[JSON, JSON]]:
        """Return (fields sent, those fields before) of every update of a record, the newest first."""
        found = []
        updates = "kind = 'call' AND seq >= ? AND body ->> 'op' = 'update' AND body ->> 'step' = ?"
        for entry in self.ledger.entries(updates, made.seq, made.body["step"]):
            for number, (its_key, its_id, _) in enumerate(entry.body["rows"]):
                if (its_key, its_id) == (key, rid):
                    found.append((entry.records("sent")[number], entry.records("was")[number]))
        return found[::-1]


def _destroyed_since(ledger: Ledger, seq: int) -> tuple[tuple[str, int], ...]:
    """Count the records of real steps destroyed since the rollback began, crashes and resumes included."""
    sql = """
        SELECT c.body ->> 'object', sum(json_array_length(c.body, '$.rows')) FROM entry AS d
        JOIN entry AS c ON c.seq = d.body ->> 'call'
        WHERE d.kind = 'done' AND d.seq > ? AND d.body ->> 'result' = 'written' AND c.body ->> 'op' = 'destroy'
          AND c.body ->> 'tag' = 'rollback' GROUP BY 1 ORDER BY 1
    """
    return tuple((name, int(rows)) for name, rows in ledger.rows(sql, seq))


def require_rolled_back(facts: RollbackFacts) -> None:
    """Raise DestinationError where the workspace isn't as it was, naming the first differences."""
    if facts.differences:
        first = "; ".join(facts.differences[:5])
        raise DestinationError(
            f"after the rollback {len(facts.differences)} things are not as they were: {first}",
            "what others changed meanwhile is among them; see the rollback page for the whole list",
        )
