"""Walk one step's rows: leave what is there, update what changed, create what is new, set aside what can't be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import duckdb

from dentlib.errors import DentlibError, UsageError
from dentlib.facts import StepFacts
from dentlib.loading.adopting import Adopter
from dentlib.loading.clashes import KnownClashes
from dentlib.loading.decisions import let_go
from dentlib.loading.files import FileRefused, send_file
from dentlib.loading.ledger import Current
from dentlib.loading.missing import Missing
from dentlib.loading.rows import Match, Packing, Row, aside_of, fits, matches_of, stream
from dentlib.loading.sending import Sender, Sent, Written
from dentlib.loading.updating import FieldConflict, Updated, Updater
from dentlib.loading.words import EXCUSED, NOT_UNIQUE, PARENT_GONE, parent_failed, stays_away, too_large
from dentlib.model import JSON, LoadStep, Outcome

Aside = Sequence[tuple[str, str, str, int]]


def _require_same(row: Row, current: Current | None, match: Match | None) -> None:
    """Raise UsageError where a row was prepared for another record than the one it stands for."""
    meant = match.record_id if match else current.record_id if current and current.live else row.record_id
    if row.record_id != meant:
        raise UsageError(
            f"row {row.source_key} was prepared for another record than the one that it stands for",
            "prepare again: the records that rows stand for have changed since",
        )


class StepLoad:
    """One step of one run. `missing`: records that are not in the destination; this step adds its own."""

    def __init__(
        self,
        sender: Sender,
        con: duckdb.DuckDBPyConnection,
        step: LoadStep,
        missing: Missing,
        *,
        only_sample: bool,
        retry_failed: bool = False,
    ) -> None:
        self._sender = sender
        self._con = con
        self._step = step
        self._missing = missing
        self._only_sample = only_sample
        self._updater = Updater(sender)
        self._adopter = Adopter(self._updater)
        self._counts: Counter[Outcome] = Counter()
        self._excused = 0
        self._failed_keys: set[str] = set()
        self._noted = self._noted_until()
        self._retry_failed = retry_failed
        self._known_trouble = sender.ledger.trouble(sender.run_id, step.name)
        self._adopted = sender.ledger.adopted(step.name)
        self._matches = matches_of(con, step)
        self._clashes = KnownClashes(con, step, sender.unique_paths(step.object_name))
        self._let_go = {key for name, key in let_go(sender.ledger) if name == step.name}
        self._left_out = self._left_out_before() if self._let_go else set()
        self._in_flight: Sent | None = None
        self._answered: Sent | None = None  # answered well, outcome not yet committed
        self._changed: list[tuple[Row, Current]] = []
        self._existing: list[tuple[Row, Match]] = []
        self._late: list[Row] = []  # refused for a value that is taken, which an update may have set free since
        self._late_updates: list[tuple[Row, Current]] = []
        self._looked = False
        caps = sender.destination.capabilities
        self._read_rows = caps.batch_rows * max(1, caps.read_rows // caps.batch_rows)
        self.matched = 0
        self.conflicts: list[FieldConflict] = []
        self.kept: Counter[tuple[str, str]] = Counter()

    @property
    def to_answer_for(self) -> int:
        """How many rows could not be written so far, without those whose record someone took away."""
        return self._counts[Outcome.FAILED] - self._excused

    def work(self) -> Iterator[int]:
        """Write the rows; yield now and then how many more rows have their outcome."""
        caps = self._sender.destination.capabilities
        packing = Packing(batch_rows=caps.batch_rows, max_body_bytes=caps.max_body_bytes)
        done = 0
        for chunk in stream(self._con, self._step, only_sample=self._only_sample):
            for batch in packing.add(self._sorted_out(chunk)):
                self._create(batch)
            if self._counts.total() > done:
                yield self._counts.total() - done
                done = self._counts.total()
        self._create(packing.rest())
        self._drain()
        self._update(at_least=1)
        self._second_chance()
        yield self._counts.total() - done

    # ---- creating ----------------------------------------------------------------------------------------------

    def _create(self, batch: list[Row]) -> None:
        """Send what can be sent of a batch."""
        ready = self._with_files(self._unobjectionable(batch))
        if not ready:
            return
        self._advance(ready)
        if self._step.file_field:  # files go through the same client, so nothing else may be in flight
            self._drain()

    def _unobjectionable(self, batch: list[Row]) -> list[Row]:
        """Set aside what is known to be refused, before it can cost a batch."""
        if not batch:
            return []
        sender, failed, fit = self._sender, [], []
        if not self._looked and not self._retry_failed:
            self._drain()
            look = self._clashes.look
            look(sender.ledger, sender.destination, patience=sender.patience, only_sample=self._only_sample)
        self._looked = True
        objections = sender.destination.objections(self._step.object_name, [r.payload for r in batch])
        for row in batch:
            reason = objections.get(row.record_id) or self._clashes.of(row)
            if reason is None:
                fit.append(row)
            else:
                failed.append((row, *reason))
        self._fail(failed)
        return fit

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

    # ---- sorting out -------------------------------------------------------------------------------------------

    def _sorted_out(self, chunk: list[Row]) -> list[Row]:
        """Give every row that is not to be created its way, and return the rest in load order."""
        limit = self._sender.destination.capabilities.max_body_bytes
        known = self._sender.ledger.current(self._step.name, [r.source_key for r in chunk])
        unchanged: list[Row] = []
        failed: list[tuple[Row, str, str]] = []
        new: list[Row] = []
        self._leave_out([r for r in chunk if r.source_key in self._let_go])
        for row in chunk:
            if row.source_key in self._let_go:
                continue
            current = known.get(row.source_key)
            match = self._match_of(row, current)
            _require_same(row, current, match)
            if match is not None or row.source_key in self._adopted:
                self.matched += 1
            if current is not None and current.live and current.row_hash == row.row_hash:
                unchanged.append(row)
            elif match is not None:
                if (parent := self._missing.parent_of(row)) is not None:
                    failed.append((row, *parent_failed(self._missing.steps[parent])))
                else:
                    self._existing.append((row, match))
            elif current is not None and current.live:
                self._changed.append((row, current))
            elif (reason := self._hopeless(row, limit)) is not None:
                failed.append((row, *reason))
            else:
                new.append(row)
        self._count_unchanged(unchanged, known)
        self._fail(failed)
        self._update(at_least=self._read_rows)
        return new

    def _leave_out(self, rows: list[Row]) -> None:
        """Count rows that stay without a record by decision; record them once for each run."""
        self._counts[Outcome.EXCLUDED] += len(rows)
        fresh = [r for r in rows if r.source_key not in self._left_out]
        if fresh:
            code, words = stays_away()
            told = [[r.source_key, r.record_id, code, words, None, None] for r in fresh]
            body = {"step": self._step.name, "outcome": Outcome.EXCLUDED, "rows": told}
            self._sender.ledger.append("rows", body, run=self._sender.run_id)

    def _left_out_before(self) -> set[str]:
        sql = "kind = 'rows' AND run = ? AND seq > ? AND body ->> 'step' = ? AND body ->> 'outcome' = 'excluded'"
        told = (self._sender.run_id, self._begun(), self._step.name)
        entries = self._sender.ledger.entries(sql, *told, blocks=False)
        return {row[0] for entry in entries for row in entry.body["rows"] if row[2] == stays_away()[0]}

    def _match_of(self, row: Row, current: Current | None) -> Match | None:
        """Return the record that a row is to take up: a new match, or one that is not done or never written to."""
        known = self._adopted.get(row.source_key)
        if current is not None and current.live:
            if known and (current.row_hash == "" or known.found == "match_only"):
                return Match(known.record_id, known.found, known.rule)
            return None
        return self._matches.get(row.source_key)

    def _hopeless(self, row: Row, max_body_bytes: int) -> tuple[str, str] | None:
        """Say why a row is not to be sent: it failed before in this run, its parent isn't there, it fits no call."""
        known = self._known_trouble.get(row.source_key)
        settled = known and known[0] == row.row_hash and known[1] != "parent_failed"
        if known and settled and not self._retry_failed:
            return known[1], known[2]
        if (parent := self._missing.parent_of(row)) is not None:
            return parent_failed(self._missing.steps[parent])
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
        for row, code, _ in failed:
            parent = self._missing.parent_of(row) if code == "parent_failed" else None
            excused = code in EXCUSED or parent in self._missing.excused
            self._excused += excused
            self._missing.add(row, self._step.name, "gone" if excused else code)
            if code == NOT_UNIQUE:
                self._late.append(row)
        self._count_failed(failed, record=record)

    def _count_failed(self, failed: list[tuple[Row, str, str]], *, record: bool = True) -> None:
        self._counts[Outcome.FAILED] += len(failed)
        self._failed_keys.update(row.source_key for row, _, _ in failed)
        fresh = [
            [row.source_key, row.record_id, code, words, None, None, row.row_hash]
            for row, code, words in failed
            if self._known_trouble.get(row.source_key) != (row.row_hash, code, words)
        ]
        if record and fresh:
            body = {"step": self._step.name, "outcome": Outcome.FAILED, "rows": fresh}
            self._sender.ledger.append("rows", body, run=self._sender.run_id)

    # ---- updating ----------------------------------------------------------------------------------------------

    def _update(self, *, at_least: int) -> None:
        """Bring records up to date, as many at a time as one read gives, as soon as there are that many."""
        size = self._read_rows
        while len(self._changed) >= at_least:
            self._drain()
            part, self._changed = self._changed[:size], self._changed[size:]
            part.sort(key=lambda pair: pair[1].call)  # so that each block of the ledger is unpacked once
            self._count_updated(self._updater.update(self._step, part), {r.source_key: c for r, c in part})
        while len(self._existing) >= at_least:
            self._drain()
            some, self._existing = self._existing[:size], self._existing[size:]
            self._count_updated(self._adopter.adopt(self._step, some), {})

    def _count_updated(self, part: Updated, known: dict[str, Current]) -> None:
        """Count them. A refused update leaves its record where it is, so only what is gone is missing to children."""
        self._counts[Outcome.UPDATED] += part.updated
        self._counts[Outcome.UNCHANGED] += part.unchanged
        self.conflicts += part.conflicts
        self.kept.update((self._step.name, c.field) for c in part.kept)
        for row, code, _ in part.failed:
            if code in EXCUSED:
                self._excused += 1
            if code in EXCUSED - {PARENT_GONE}:
                self._missing.add(row, self._step.name, code)
            if code == NOT_UNIQUE and row.source_key in known:
                self._late_updates.append((row, known[row.source_key]))
        self._count_failed(part.failed)

    def _second_chance(self) -> None:
        """Try once more what clashed with a value that another record of this step gave up meanwhile."""
        updated = "SELECT 1 FROM current WHERE step = ? AND run = ? AND op = 'update' LIMIT 1"
        run = (self._step.name, self._sender.run_id)
        if not (self._late or self._late_updates) or not list(self._sender.ledger.rows(updated, *run)):
            return
        changed, self._late_updates = self._late_updates, []
        self._counts[Outcome.FAILED] -= len(changed)
        self._failed_keys.difference_update(row.source_key for row, _ in changed)
        self._changed = changed
        self._update(at_least=1)
        caps = self._sender.destination.capabilities
        packing = Packing(batch_rows=caps.batch_rows, max_body_bytes=caps.max_body_bytes)
        late, self._late = self._late, []
        for row in late:
            self._missing.found(row)
        self._counts[Outcome.FAILED] -= len(late)
        self._failed_keys.difference_update(row.source_key for row in late)
        for batch in [*packing.add(late), packing.rest()]:
            if ready := self._with_files(batch):
                self._take(self._sender.write(self._step, ready))

    def _with_files(self, batch: list[Row]) -> list[Row]:
        """Send the files of a batch; rows whose file can't be sent fail."""
        if not self._step.file_field:
            return batch
        ready, failed = [], []
        sender = self._sender
        for row in batch:
            if row.file_path is not None:
                try:
                    row.payload.update(
                        send_file(
                            sender.ledger,
                            sender.destination,
                            self._step,
                            row,
                            run_id=sender.run_id,
                            patience=sender.patience,
                            hook=sender.hook,
                        )
                    )
                except FileRefused as refusal:
                    failed.append((row, refusal.code, refusal.words))
                    continue
            ready.append(row)
        self._fail(failed)
        return ready

    # ---- the end -----------------------------------------------------------------------------------------------

    def end(self, *, read: int, aside: Aside) -> None:
        """Record the end of the step and, with it, the rows that never reached the loader. Once for each run.

        Once more where map or export were mended while the run was stopped, and other rows are read or set aside.
        """
        ended = self._ended()
        if ended is not None and not self._differs(ended, self.facts(read=read, aside=aside)):
            return
        sender = self._sender
        with sender.ledger.transaction():
            if not self._only_sample:
                self._record_aside()
            self._clear_trouble()
            facts = self.facts(read=read, aside=aside)
            if not facts.adds_up:
                raise DentlibError(
                    f"{facts.label}: the outcomes of {facts.read:,} rows read do not add up: {facts}",
                    "nothing is lost, the ledger knows what was written; this is a fault of the program: report it",
                )
            body = {"step": self._step.name, "facts": {n: getattr(facts, n) for n in StepFacts.__slots__}}
            sender.ledger.append("step_end", body, run=sender.run_id)
        sender.hook("step ended")

    def _clear_trouble(self) -> None:
        """Say of rows that failed before in this run, and don't any more, that they are settled."""
        ledger, run_id = self._sender.ledger, self._sender.run_id
        settled = [key for key in ledger.trouble(run_id, self._step.name) if key not in self._failed_keys]
        if settled:
            rows = [[key, None, "", "", None, None] for key in sorted(settled)]
            ledger.append("rows", {"step": self._step.name, "outcome": "settled", "rows": rows}, run=run_id)

    def _record_aside(self) -> None:
        for block in aside_of(self._con, self._step):
            for outcome in sorted({row[0] for row in block}):
                rows = [
                    [key, None, code, reason, file, row] for o, key, code, reason, file, row in block if o == outcome
                ]
                body = {"step": self._step.name, "outcome": outcome, "rows": rows}
                self._sender.ledger.append("rows", body, run=self._sender.run_id)

    def _ended(self) -> JSON | None:
        """Return the facts with which this step was ended before in this part of the run."""
        sql = "kind = 'step_end' AND run = ? AND seq > ? AND body ->> 'step' = ?"
        found = self._sender.ledger.last(sql, self._sender.run_id, self._begun(), self._step.name)
        return found.body["facts"] if found else None

    @staticmethod
    def _differs(ended: JSON, now: StepFacts) -> bool:
        words = ("read", "merged", "rejected", "excluded", "failed")
        return [ended[w] for w in words] != [getattr(now, w) for w in words]

    def _begun(self) -> int:
        """Return where this run, or the part of it that took it up again, begins in the journal."""
        begun = self._sender.ledger.last("kind = 'run' AND run = ?", self._sender.run_id)
        return begun.seq if begun else 0

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
            matched=self.matched,
        )
