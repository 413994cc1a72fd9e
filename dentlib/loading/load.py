"""Load prepared rows into a destination: step by step, batch by batch, each record exactly once.

Calling `load` again goes on where a run stopped, whatever stopped it. Everything it needs to know is in the ledger.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import duckdb

from dentlib.clock import Clock
from dentlib.errors import BudgetExceeded
from dentlib.facts import ReasonCount, StepFacts
from dentlib.loading.forecast import calls_by_step
from dentlib.loading.history import require_no_unfinished_rollback, runs
from dentlib.loading.ledger import Ledger
from dentlib.loading.missing import Missing
from dentlib.loading.patience import Hook, Patience, no_hook
from dentlib.loading.probe import sweep_probes
from dentlib.loading.quiet import quiet
from dentlib.loading.rows import aside_counts, check_prepared, count_rows
from dentlib.loading.sending import Sender
from dentlib.loading.snapshot import ensure_baseline
from dentlib.loading.stepping import StepLoad
from dentlib.loading.updating import FieldConflict
from dentlib.model import Destination, LoadStep, Progress, Silence, content_hash
from dentlib.workdb import frugally

Kind = Literal["sample", "run", "delta"]
EARLY_STOP_ROWS = 200
"""A step that is over its budget stops at once when this many rows failed; below, all its failures are found first."""


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What a load did. `steps` add up to the rows read; `calls` are writing calls, `retries` those tried again.

    `kept`: step, field and rows of what records that were there before us kept as theirs in this call of `load`.
    """

    run_id: str
    kind: Kind
    steps: tuple[StepFacts, ...]
    reasons: tuple[ReasonCount, ...]
    conflicts: tuple[FieldConflict, ...]
    kept: tuple[tuple[str, str, int], ...]
    calls: int
    retries: int
    switched_off: tuple[str, ...]
    started_at: datetime
    ended_at: datetime
    ledger_head: str


@dataclass(slots=True)
class _Run:
    """What one call of `load` carries along."""

    facts: list[StepFacts] = field(default_factory=list)
    reasons: list[ReasonCount] = field(default_factory=list)
    conflicts: list[FieldConflict] = field(default_factory=list)
    missing: Missing = field(default_factory=Missing)
    kept: Counter[tuple[str, str]] = field(default_factory=Counter)


def load(
    ledger: Ledger,
    destination: Destination,
    con: duckdb.DuckDBPyConnection,
    steps: Sequence[LoadStep],
    *,
    run_id: str,
    kind: Kind,
    only_sample: bool = False,
    retry_failed: bool = False,
    clock: Clock,
    progress: Progress | None = None,
    hook: Hook = no_hook,
) -> LoadResult:
    """Write the prepared rows of `steps`, in that order, and return what became of each.

    Resumable: the same `run_id` goes on; rows written before are not sent again. Rows whose record is live with the
    same content are unchanged; with other content they are updated field by field. Keys destroyed before are created
    anew. With `only_sample` only rows marked `in_sample`. Rows that this run could not write are not sent again unless
    they were changed, or `retry_failed` says so. Bounded memory.

    Raises GateClosed while a rollback is unfinished; BudgetExceeded when a step's rejected and failed rows are more
    than its share (not in a sample); DestinationError when the destination or its state prevents going on. What was
    written until then is in the ledger.
    """
    return frugally(
        con,
        lambda: _load(
            ledger,
            destination,
            con,
            steps,
            run_id=run_id,
            kind=kind,
            only_sample=only_sample,
            retry_failed=retry_failed,
            clock=clock,
            progress=progress or Silence(),
            hook=hook,
        ),
    )


def _load(
    ledger: Ledger,
    destination: Destination,
    con: duckdb.DuckDBPyConnection,
    steps: Sequence[LoadStep],
    *,
    run_id: str,
    kind: Kind,
    only_sample: bool,
    retry_failed: bool,
    clock: Clock,
    progress: Progress,
    hook: Hook,
) -> LoadResult:
    require_no_unfinished_rollback(ledger)
    check_prepared(con, steps)
    patience = Patience(clock)
    started_at = clock.now()
    ensure_baseline(ledger, destination, patience=patience)
    sender = Sender(
        ledger,
        destination,
        run_id=run_id,
        patience=patience,
        hook=hook,
        schema=patience.transient(destination.describe),
    )
    run = _Run()
    try:
        sweep_probes(ledger, destination, patience=patience, hook=hook)
        sender.settle_open_calls()
        _begin(ledger, run_id, kind, steps)
        with quiet(ledger, destination, patience=patience, hook=hook, run_id=run_id) as switched_off:
            try:
                for step in steps:
                    _one_step(
                        run,
                        sender,
                        con,
                        step,
                        kind=kind,
                        only_sample=only_sample,
                        retry_failed=retry_failed,
                        progress=progress,
                    )
            finally:
                sender.close()  # before the switches go on: a client serves one call at a time
    finally:
        sender.close()
    ledger.append("run_end", {"verdict": "loaded"}, run=run_id)
    hook("run ended")
    ledger.copy_aside(f"after-{kind}")
    return LoadResult(
        run_id=run_id,
        kind=kind,
        steps=tuple(run.facts),
        reasons=tuple(run.reasons),
        conflicts=tuple(run.conflicts),
        kept=tuple((step, name, rows) for (step, name), rows in sorted(run.kept.items())),
        calls=calls_of(ledger, run_id),
        retries=patience.retries,
        switched_off=switched_off,
        started_at=started_at,
        ended_at=clock.now(),
        ledger_head=ledger.head,
    )


def calls_of(ledger: Ledger, run_id: str) -> int:
    """Count the writing calls of a run, all its parts together (an adoption is none, updates may be several)."""
    return sum(calls_by_step(ledger, run_id).values())


def _begin(ledger: Ledger, run_id: str, kind: Kind, steps: Sequence[LoadStep]) -> None:
    """Record that the run begins, or that an ended one is taken up again; a run that never ended just goes on."""
    known = next((r for r in runs(ledger) if r.run_id == run_id), None)
    if known is None or known.verdict:
        params = {"steps": [s.name for s in steps], "hash": content_hash([[s.name, s.object_name] for s in steps])}
        ledger.append("run", {"kind": kind, "params": params}, run=run_id)


def _one_step(
    run: _Run,
    sender: Sender,
    con: duckdb.DuckDBPyConnection,
    step: LoadStep,
    *,
    kind: Kind,
    only_sample: bool,
    retry_failed: bool,
    progress: Progress,
) -> None:
    total = count_rows(con, step, only_sample=only_sample)
    aside = [] if only_sample else aside_counts(con, step)
    rejected = sum(rows for outcome, _, _, rows in aside if outcome == "rejected")
    read = total + sum(rows for *_, rows in aside)
    allowed = int(step.error_budget * read)
    label = step.label or step.name
    progress.start(label, total)
    state = StepLoad(sender, con, step, run.missing, only_sample=only_sample, retry_failed=retry_failed)
    for done in state.work():
        progress.advance(label, done)
        over = state.to_answer_for + rejected > allowed
        if kind != "sample" and over and state.to_answer_for >= EARLY_STOP_ROWS:
            break
    else:
        state.end(read=read, aside=aside)
    facts = state.facts(read=read, aside=aside)
    progress.finish(label, f"{facts.created:,} created")
    run.facts.append(facts)
    run.conflicts += state.conflicts
    run.kept.update(state.kept)
    run.reasons += _reasons(sender.ledger, sender.run_id, step, aside)
    if kind != "sample" and state.to_answer_for + rejected > allowed:
        raise BudgetExceeded(
            f"{label}: {state.to_answer_for + rejected:,} of {read:,} rows were rejected or failed; "
            f"the map allows {step.error_budget:.1%} ({allowed:,}); most of all: {_most(run.reasons, step)}",
            f"mend data, CRM or map (which may allow more: steps: {{{step.name}: {{error_budget: 0.1}}}}), then: "
            "dentlib retry",
        )


def _most(reasons: Sequence[ReasonCount], step: LoadStep) -> str:
    """Name the commonest reasons of a step's rejects, by code."""
    counts: Counter[str] = Counter()
    for reason in reasons:
        if reason.step == step.name and reason.outcome in ("rejected", "failed"):
            counts[reason.code] += reason.count
    return ", ".join(f"{code} {rows:,}" for code, rows in counts.most_common(3))


def _reasons(
    ledger: Ledger, run_id: str, step: LoadStep, aside: Sequence[tuple[str, str, str, int]]
) -> Iterator[ReasonCount]:
    for outcome, code, reason, rows in aside:
        yield ReasonCount(step.name, outcome, code or "", reason or "", rows)
    sql = "SELECT code, reason, count(*) FROM trouble WHERE run = ? AND step = ? GROUP BY 1, 2 ORDER BY 1, 2"
    for code, reason, rows in ledger.rows(sql, run_id, step.name):
        yield ReasonCount(step.name, "failed", code, reason, rows)
