"""Walk one step's rows: leave what is there, update what changed, create what is new, set aside what can't be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import duckdb

from dentlib.facts import StepFacts
from dentlib.loading.files import FileRefused, send_file
from dentlib.loading.ledger import Current
from dentlib.loading.rows import Row, aside_of, fits, packed, stream
from dentlib.loading.sending import Sender, Sent, Written
from dentlib.loading.updating import FieldConflict, Updater
from dentlib.loading.words import parent_failed, too_large
from dentlib.model import LoadStep, Outcome

Aside = Sequence[tuple[str, str, str, int]]


class StepLoad:
    """One step of one run. `dead`: record ids that are not in the destination (→ step); this step adds its own."""

    def __init__(
        self,
        sender: Sender,
        con: duckdb.DuckDBPyConnection,
        step: LoadStep,
        dead: dict[str, str],
        *,
        only_sample: bool,
        retry_failed: bool = False,
    ) -> None:
        self._sender = sender
        self._con = con
        self._step = step
        self._dead = dead
        self._only_sample = only_sample
        self._updater = Updater(sender)
        self._counts: Counter[Outcome] = Counter()
        self._noted = self._noted_until()
        self._retry_failed = retry_failed
        self._known_trouble = sender.ledger.trouble(sender.run_id, step.name)
        self._in_flight: Sent | None = None
        self._answered: Sent | None = None  # answered well, outcome not yet committed
        self.conflicts: list[FieldConflict] = []

    @property
    def failed(self) -> int:
        """How many rows could not be written so far."""
        return self._counts[Outcome.FAILED]

    def work(self) -> Iterator[int]:
        """Write the rows; yield after each call how many more rows have their outcome."""
        caps = self._sender.destination.capabilities
        done = 0
        # files go through the same client as records, so with files nothing else may be in flight
        ahead = not self._step.file_field
        for batch in packed(self._to_create(), batch_rows=caps.batch_rows, max_body_bytes=caps.max_body_bytes):
            ready = self._with_files(batch)
            if not ready:
                continue
            self._advance(ready)
            if not ahead:
                self._drain()
            yield self._counts.total() - done
            done = self._counts.total()
        self._drain()
        yield self._counts.total() - done

    def _advance(self, rows: list[Row]) -> None:
        """Send the next batch as soon as the one in flight has its answer.

        The outcome of a plain answer is committed together with the intent of the batch after the next, while that one
        is in flight: one commit for each call, and none that the destination has to wait for.
        """
        following = self._sender.intend(self._step, rows, after=self._answered)
        self._count_answered()
        before, self._in_flight = self._in_flight, following
        if before is None:
            self._sender.send(following)
        elif self._sender.answered_well(before):
            self._sender.send(following)
            self._answered = before
        else:
            self._take(self._sender.settle(before))
            self._sender.send(following)

    def _count_answered(self) -> None:
        if self._answered is not None:
            self._counts[Outcome.CREATED] += len(self._answered.rows)
            self._answered = None

    def _drain(self) -> None:
        """Bring the calls under way to their end; a client serves one call at a time."""
        for before in (self._answered, self._in_flight):
            if before is not None:
                self._take(self._sender.settle(before))
        self._answered = self._in_flight = None

    def _take(self, written: Written) -> None:
        self._counts[Outcome.CREATED] += written.created
        self._fail(written.failed, record=False)

    def _to_create(self) -> Iterator[Row]:
        """Sort out every row that is not to be created, and yield the rest in load order."""
        limit = self._sender.destination.capabilities.max_body_bytes
        for chunk in stream(self._con, self._step, only_sample=self._only_sample):
            known = self._sender.ledger.current(self._step.name, [r.source_key for r in chunk])
            unchanged: list[Row] = []
            changed: list[tuple[Row, Current]] = []
            failed: list[tuple[Row, str, str]] = []
            new: list[Row] = []
            for row in chunk:
                current = known.get(row.source_key)
                if current is not None and current.live:
                    if current.row_hash == row.row_hash:
                        unchanged.append(row)
                    else:
                        changed.append((row, current))
                elif (reason := self._hopeless(row, limit)) is not None:
                    failed.append((row, *reason))
                else:
                    new.append(row)
            self._count_unchanged(unchanged, known)
            self._fail(failed)
            self._update(changed)
            yield from new

    def _hopeless(self, row: Row, max_body_bytes: int) -> tuple[str, str] | None:
        """Say why a row is not to be sent: it failed before in this run, its parent isn't there, it fits no call."""
        known = self._known_trouble.get(row.source_key)
        settled = known and known[0] == row.row_hash and known[1] != "parent_failed"
        if known and settled and not self._retry_failed:
            return known[1], known[2]
        if self._dead:
            for name, value in row.payload.items():
                if name.endswith("Id") and value in self._dead:
                    return parent_failed(self._dead[value])
        return None if fits(row, max_body_bytes) else too_large(max_body_bytes)

    def _count_unchanged(self, rows: list[Row], known: dict[str, Current]) -> None:
        """Count by what this run did before it was interrupted; note the others as unchanged, once."""
        untouched = []
        for row in rows:
            current = known[row.source_key]
            if current.run == self._sender.run_id and current.op in ("create", "update"):
                self._counts[Outcome.CREATED if current.op == "create" else Outcome.UPDATED] += 1
            else:
                self._counts[Outcome.UNCHANGED] += 1
                if row.ordinal > self._noted:
                    untouched.append(row)
        if untouched:
            self._noted = untouched[-1].ordinal
            body = {
                "step": self._step.name,
                "outcome": Outcome.UNCHANGED,
                "until": self._noted,
                "rows": [[r.source_key, r.record_id, "", "", None, None] for r in untouched],
            }
            self._sender.ledger.append("rows", body, run=self._sender.run_id)

    def _fail(self, failed: list[tuple[Row, str, str]], *, record: bool = True) -> None:
        """Count rows as failed and remember that their records aren't there; `record`: the ledger doesn't know yet."""
        self._counts[Outcome.FAILED] += len(failed)
        self._dead.update((row.record_id, self._step.name) for row, _, _ in failed)
        fresh = [
            [row.source_key, row.record_id, code, words, None, None, row.row_hash]
            for row, code, words in failed
            if self._known_trouble.get(row.source_key) != (row.row_hash, code, words)
        ]
        if record and fresh:
            body = {"step": self._step.name, "outcome": Outcome.FAILED, "rows": fresh}
            self._sender.ledger.append("rows", body, run=self._sender.run_id)

    def _update(self, changed: list[tuple[Row, Current]]) -> None:
        if changed:
            self._drain()
        size = self._sender.destination.capabilities.batch_rows
        changed.sort(key=lambda pair: pair[1].call)  # so that each block of the ledger is unpacked once
        for start in range(0, len(changed), size):
            part = self._updater.update(self._step, changed[start : start + size])
            self._counts[Outcome.UPDATED] += part.updated
            self._counts[Outcome.UNCHANGED] += part.unchanged
            self.conflicts += part.conflicts
            self._counts[Outcome.FAILED] += len(part.failed)
            self._note_failed_updates(part.failed)

    def _note_failed_updates(self, failed: list[tuple[Row, str, str]]) -> None:
        """Record them. A refused update leaves its record where it is, so only what is gone is missing to children."""
        self._dead.update((row.record_id, self._step.name) for row, code, _ in failed if code in ("gone", "in_bin"))
        rows = [[row.source_key, row.record_id, code, words, None, None, row.row_hash] for row, code, words in failed]
        if rows:
            body = {"step": self._step.name, "outcome": Outcome.FAILED, "rows": rows}
            self._sender.ledger.append("rows", body, run=self._sender.run_id)

    def _with_files(self, batch: list[Row]) -> list[Row]:
        """Send the files of a batch; rows whose file can't be sent fail."""
        if not self._step.file_field:
            return batch
        ready, failed = [], []
        sender = self._sender
        for row in batch:
            if row.file_path is not None:
                try:
                    row.payload[self._step.file_field] = send_file(
                        sender.ledger,
                        sender.destination,
                        self._step,
                        row,
                        run_id=sender.run_id,
                        patience=sender.patience,
                        hook=sender.hook,
                    )
                except FileRefused as refusal:
                    failed.append((row, refusal.code, refusal.words))
                    continue
            ready.append(row)
        self._fail(failed)
        return ready

    # ---- the end -----------------------------------------------------------------------------------------------

    def end(self, *, read: int, aside: Aside) -> None:
        """Record the end of the step and, with it, the rows that never reached the loader. Once for each run."""
        if self._ended():
            return
        sender = self._sender
        with sender.ledger.transaction():
            if not self._only_sample:
                self._record_aside()
            facts = self.facts(read=read, aside=aside)
            body = {"step": self._step.name, "facts": {n: getattr(facts, n) for n in StepFacts.__slots__}}
            sender.ledger.append("step_end", body, run=sender.run_id)
        sender.hook("step ended")

    def _record_aside(self) -> None:
        for block in aside_of(self._con, self._step):
            for outcome in sorted({row[0] for row in block}):
                rows = [
                    [key, None, code, reason, file, row] for o, key, code, reason, file, row in block if o == outcome
                ]
                body = {"step": self._step.name, "outcome": outcome, "rows": rows}
                self._sender.ledger.append("rows", body, run=self._sender.run_id)

    def _ended(self) -> bool:
        ledger, run_id = self._sender.ledger, self._sender.run_id
        begun = ledger.last("kind = 'run' AND run = ?", run_id)
        since = begun.seq if begun else 0
        sql = "kind = 'step_end' AND run = ? AND seq > ? AND body ->> 'step' = ?"
        return ledger.last(sql, run_id, since, self._step.name) is not None

    def _noted_until(self) -> int:
        ledger, run_id = self._sender.ledger, self._sender.run_id
        entry = ledger.last(
            "kind = 'rows' AND run = ? AND body ->> 'step' = ? AND body ->> 'outcome' = 'unchanged'",
            run_id,
            self._step.name,
        )
        return entry.body["until"] if entry else -1

    def facts(self, *, read: int, aside: Aside) -> StepFacts:
        """Return the outcomes so far."""
        count = Counter(self._counts)
        for outcome, _, _, rows in aside:
            count[Outcome(outcome)] += rows
        return StepFacts(
            step=self._step.name,
            label=self._step.label or self._step.name,
            object=self._step.object_name,
            read=read,
            created=count[Outcome.CREATED],
            updated=count[Outcome.UPDATED],
            unchanged=count[Outcome.UNCHANGED],
            merged=count[Outcome.MERGED],
            rejected=count[Outcome.REJECTED],
            excluded=count[Outcome.EXCLUDED],
            failed=count[Outcome.FAILED],
        )
