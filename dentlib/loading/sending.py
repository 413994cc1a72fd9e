"""Send a batch so that each of its records is written exactly once, whatever happens to request or answer.

    intent committed → request → answer → outcome committed

An answer counts when the destination says so (it compares tag and ids). Anything else is *in doubt*: read by id.
All there and equal: found. None: send again under the same ids. Some, or different: stop and report (but after a kill,
what a member changed since is found as well). A request that was lost to us may still be written later, so a refusal,
too, is read back before it is believed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from dentlib.errors import DestinationError, InDoubt, Refused
from dentlib.loading.clashes import UniquePath, find_holders, unique_paths
from dentlib.loading.ledger import Entry, Ledger
from dentlib.loading.parents import gone_parents, points_nowhere
from dentlib.loading.patience import Hook, Patience
from dentlib.loading.readback import differing, field_types
from dentlib.loading.rows import Row
from dentlib.loading.words import Reason, held_by, in_the_bin, is_duplicate, not_ours, refused_reason
from dentlib.model import JSON, Destination, DestinationSchema, LoadStep

MOST_DOUBTS = 6
"""How often one batch may be in doubt before the run stops."""


@dataclass(slots=True)
class Sent:
    """A batch whose intent is recorded. `answer`: the request under way."""

    step: LoadStep
    rows: list[Row]
    call: int
    looked: bool = False  # the destination was seen not to hold these ids
    asked: bool = False  # and no other record their unique values
    attempt: int = 0
    answer: Future[None] | None = None


@dataclass(slots=True)
class Written:
    """What became of a batch's rows: created, and failed with code and reason."""

    created: int = 0
    failed: list[tuple[Row, str, str]] = field(default_factory=list)


class Sender:
    """Sends batches of one run, one call in flight; the caller may prepare the next one meanwhile."""

    def __init__(
        self,
        ledger: Ledger,
        destination: Destination,
        *,
        run_id: str,
        patience: Patience,
        hook: Hook,
        schema: DestinationSchema,
    ) -> None:
        self.ledger = ledger
        self.destination = destination
        self.run_id = run_id
        self.patience = patience
        self.hook = hook
        self._types = {name: field_types(o) for name, o in schema.objects.items()}
        self._unique = {name: unique_paths(o) for name, o in schema.objects.items()}
        self._tag = "d" + hashlib.sha256(ledger.engagement.encode()).hexdigest()[:8]
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="send")

    def close(self) -> None:
        """Wait for the request in flight, if any."""
        self._pool.shutdown(wait=True)

    def types(self, object_name: str) -> Mapping[str, str]:
        """Return the field types of an object, as described when the run began."""
        return self._types.get(object_name, {})

    def unique_paths(self, object_name: str) -> tuple[UniquePath, ...]:
        """Return what is unique about an object's records, as described when the run began."""
        return self._unique.get(object_name, ())

    def unique_fields(self, object_name: str) -> frozenset[str]:
        """Return the names of the fields that hold something unique."""
        return frozenset(p.field for p in self.unique_paths(object_name))

    def clashes(self, step: LoadStep, records: Mapping[str, JSON], refusal: Refused) -> dict[str, Reason]:
        """Say of records (id → fields) that were refused why, where one look tells it for all of them.

        For a value that is taken: which record has it. For a link to nothing: whose record somebody took away.
        """
        if points_nowhere(refusal):
            return gone_parents(self.ledger, self.destination, records, run_id=self.run_id, patience=self.patience)
        if not is_duplicate(refusal):
            return {}
        paths = self.unique_paths(step.object_name)
        holders = find_holders(self.destination, step.object_name, paths, records, patience=self.patience)
        return {rid: held_by(path, holder, refusal, records[rid]) for rid, (path, holder) in holders.items()}

    def tag(self, call: int, attempt: int) -> str:
        """Return the mark of one attempt; the same on every machine for the same ledger."""
        return f"{self._tag}_c{call}_a{attempt}"

    # ---- creating ----------------------------------------------------------------------------------------------

    def intend(
        self, step: LoadStep, rows: list[Row], *, looked: bool = False, asked: bool = False, after: Sent | None = None
    ) -> Sent:
        """Commit the intent to create these rows, and with it the outcome of `after`, which was answered well."""
        self.hook("before intent")
        with self.ledger.transaction():
            if after is not None:
                self.ledger.end_call(after.call, run=self.run_id, result="written")
            call = self.ledger.begin_call(
                run=self.run_id,
                step=step.name,
                object_name=step.object_name,
                op="create",
                tag=self._tag,
                rows=[r.intent for r in rows],
                block=b'{"new":[' + b",".join([r.json for r in rows]) + b"]}",
            )
        self.hook("intent committed")
        return Sent(step, rows, call, looked, asked)

    def send(self, sent: Sent) -> Sent:
        """Let the request leave; returns at once."""
        self.hook("before request")
        sent.answer = self._pool.submit(self._create, sent)
        return sent

    def answered_well(self, sent: Sent) -> bool:
        """Wait for the answer and tell whether it is a plain yes, which needs nothing more of the destination."""
        return sent.answer is not None and sent.answer.exception() is None

    def settle(self, sent: Sent) -> Written:
        """Wait for the answer and bring the batch to its end, bisecting what is refused."""
        for _ in range(MOST_DOUBTS):
            if sent.answer is None:
                self.send(sent)
            assert sent.answer is not None
            try:
                sent.answer.result()
            except InDoubt:
                sent.answer = None
                if self._found(sent):
                    return self._end(sent, "found")
                sent.looked = False  # the lost request may still arrive
                self.patience.pause(sent.attempt)
                continue
            except Refused as refusal:
                return self._refused(sent, refusal)
            self.hook("answered")
            return self._end(sent, "written")
        raise InDoubt(
            f"{len(sent.rows)} records of {sent.step.name} were sent {MOST_DOUBTS} times without a trustworthy answer",
            "look at the destination and the network; the same command goes on where this one stopped",
        )

    def _create(self, sent: Sent) -> None:
        def once() -> None:
            sent.attempt += 1
            records = [r.payload for r in sent.rows]
            self.destination.create(sent.step.object_name, records, self.tag(sent.call, sent.attempt))

        self.patience.transient(once)

    def _end(self, sent: Sent, result: str) -> Written:
        self.hook("before outcome")
        self.ledger.end_call(sent.call, run=self.run_id, result=result)
        self.hook("outcome committed")
        return Written(created=len(sent.rows))

    def _found(self, sent: Sent) -> bool:
        """Read the batch back: True where all of it is there as sent, False where none is."""
        present = self._read(sent.step.object_name, [r.record_id for r in sent.rows])
        if not present:
            return False
        raise_if_foreign(sent.step.name, {r.record_id: r.payload for r in sent.rows}, present, self._types_of(sent))
        return True

    def _types_of(self, sent: Sent) -> Mapping[str, str]:
        return self.types(sent.step.object_name)

    def _read(self, object_name: str, ids: Sequence[str]) -> dict[str, JSON]:
        return self.patience.transient(lambda: self.destination.read(object_name, ids, deleted=True))

    # ---- refusals ----------------------------------------------------------------------------------------------

    def _refused(self, sent: Sent, refusal: Refused) -> Written:
        """Set aside what is there already, then halve the rest until the bad records stand alone."""
        self.hook("refused")
        present = {} if sent.looked else self._read(sent.step.object_name, [r.record_id for r in sent.rows])
        if present:
            return self._partly(sent, present)
        clashes = {} if sent.asked else self.clashes(sent.step, {r.record_id: r.payload for r in sent.rows}, refusal)
        if clashes and len(sent.rows) > 1:
            return self._without(sent, clashes)
        if len(sent.rows) == 1:
            row = sent.rows[0]
            code, words = clashes.get(row.record_id) or refused_reason(refusal, row.payload)
            self.ledger.end_call(sent.call, run=self.run_id, result="refused", failed=[(row.source_key, code, words)])
            self.hook("outcome committed")
            return Written(failed=[(row, code, words)])
        self.ledger.end_call(sent.call, run=self.run_id, result="refused", unwritten=[r.source_key for r in sent.rows])
        self.hook("outcome committed")
        middle = len(sent.rows) // 2
        asked = sent.asked or is_duplicate(refusal)
        return self._all(sent.step, [sent.rows[:middle], sent.rows[middle:]], asked=asked)

    def _without(self, sent: Sent, clashes: Mapping[str, Reason]) -> Written:
        """Set aside the rows whose unique values others hold, and send the rest again."""
        failed = [(row, *clashes[row.record_id]) for row in sent.rows if row.record_id in clashes]
        rest = [row for row in sent.rows if row.record_id not in clashes]
        self.ledger.end_call(
            sent.call,
            run=self.run_id,
            result="refused",
            failed=[(row.source_key, code, words) for row, code, words in failed],
            unwritten=[row.source_key for row in rest],
        )
        self.hook("outcome committed")
        result = self._all(sent.step, [rest] if rest else [], asked=True)
        result.failed += failed
        return result

    def _partly(self, sent: Sent, present: Mapping[str, JSON]) -> Written:
        """Sort a refused batch of which something is there: ours as sent is found, the like of it fails."""
        result = Written()
        rest: list[Row] = []
        for row in sent.rows:
            stored = present.get(row.record_id)
            if stored is None:
                rest.append(row)
            elif stored.get("deletedAt"):
                result.failed.append((row, *in_the_bin()))
            elif differing(row.payload, stored, self._types_of(sent)):
                result.failed.append((row, *not_ours()))
            else:
                result.created += 1
        self.ledger.end_call(
            sent.call,
            run=self.run_id,
            result="found" if not rest and not result.failed else "partly",
            failed=[(row.source_key, code, words) for row, code, words in result.failed],
            unwritten=[row.source_key for row in rest],
        )
        self.hook("outcome committed")
        if rest:
            more = self._all(sent.step, [rest])
            result.created += more.created
            result.failed += more.failed
        return result

    def write(self, step: LoadStep, rows: list[Row]) -> Written:
        """Create these rows and wait for it. They must fit one call."""
        return self.settle(self.send(self.intend(step, rows)))

    def _all(self, step: LoadStep, batches: list[list[Row]], *, asked: bool = False) -> Written:
        """Send rows of a batch that was refused, and of which nothing is there. `asked`: who holds their values."""
        result = Written()
        for batch in batches:
            part = self.settle(self.send(self.intend(step, batch, looked=True, asked=asked)))
            result.created += part.created
            result.failed += part.failed
        return result

    # ---- after a crash -----------------------------------------------------------------------------------------

    def settle_open_calls(self) -> None:
        """Bring every call to its end whose intent was recorded and whose outcome was not. Reads only.

        Raises DestinationError where only some of a create is there, or something else under its ids that no member of
        the workspace wrote.
        """
        for entry in self.ledger.open_calls():
            if entry.body["op"] == "create":
                self._settle_create(entry)
            elif entry.body["op"] == "update":
                self._settle_update(entry)
            else:  # what is still there is destroyed by the one who wanted it, when that is asked for again
                present = self._read(entry.body["object"], [rid for _, rid, _ in entry.body["rows"]])
                self._not_written(entry, [key for key, rid, _ in entry.body["rows"] if rid in present])

    def _settle_create(self, entry: Entry) -> None:
        ids = [rid for _, rid, _ in entry.body["rows"]]
        present = self._read(entry.body["object"], ids)
        if not present:
            self._not_written(entry, [key for key, _, _ in entry.body["rows"]])
            return
        sent = dict(zip(ids, entry.records("new"), strict=True))
        types = self.types(entry.body["object"])
        if len(present) == len(sent):
            present |= {rid: sent[rid] for rid in self._changed_by_people(entry.body["object"], sent, present, types)}
        raise_if_foreign(entry.body["step"], sent, present, types)
        self.ledger.end_call(entry.seq, run=entry.run, result="found")
        self.hook("open call settled")

    def _changed_by_people(
        self, object_name: str, sent: Mapping[str, JSON], present: Mapping[str, JSON], types: Mapping[str, str]
    ) -> list[str]:
        """Return live records under our ids that hold something else because a member wrote to them since.

        Between a kill and the next start the practice goes on working. It stays theirs: the next delta lists it.
        """
        other = [
            rid
            for rid, stored in present.items()
            if not stored.get("deletedAt") and differing(sent[rid], stored, types)
        ]
        if not other:
            return []
        last = self.patience.transient(lambda: self.destination.last_writes(object_name, other))
        return [rid for rid in other if rid in last and last[rid].member_id]

    def _settle_update(self, entry: Entry) -> None:
        """What reads back as sent was written; the rest flows through the load again, compared anew."""
        present = self._read(entry.body["object"], [rid for _, rid, _ in entry.body["rows"]])
        types = self.types(entry.body["object"])
        changes = entry.records("sent")
        undone = [
            key
            for (key, rid, _), change in zip(entry.body["rows"], changes, strict=True)
            if rid not in present or differing(change, present[rid], types)
        ]
        self._not_written(entry, undone)

    def _not_written(self, entry: Entry, keys: list[str]) -> None:
        result = "not_written" if len(keys) == len(entry.body["rows"]) else "partly" if keys else "found"
        self.ledger.end_call(entry.seq, run=entry.run, result=result, unwritten=keys)
        self.hook("open call settled")


def raise_if_foreign(
    step: str, sent: Mapping[str, JSON], present: Mapping[str, JSON], types: Mapping[str, str]
) -> None:
    """Raise DestinationError unless all of a batch is there, live, and as it was sent."""
    missing = len(sent.keys() - present.keys())
    binned = sum(
        1 for stored in present.values() if stored.get("deletedAt") and not sent[stored["id"]].get("deletedAt")
    )
    fields = sorted({f for rid, stored in present.items() for f in differing(sent[rid], stored, types)})
    if missing or binned or fields:
        what = [
            f"{missing} of {len(sent)} records are missing" if missing else "",
            f"{binned} are in the destination's bin" if binned else "",
            f"different values in {', '.join(fields)}" if fields else "",
        ]
        raise DestinationError(
            f"a batch of {step}, whose answer was lost, is not there as it was sent: {'; '.join(w for w in what if w)}",
            "somebody changed these records meanwhile, or another program writes to this workspace; "
            "a rollback takes away what is there, then run again",
        )
