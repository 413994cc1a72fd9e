"""What was written and how it reads back: sample, run, delta, checks, rollback, cutover."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime

from dentlib.facts.forecast import Forecast
from dentlib.model import Problem


@dataclass(frozen=True, slots=True)
class DiffRow:
    """One field of one sample record: source → intended → stored. Its repr shows no value: a notebook stores reprs."""

    step: str
    source_key: str = dataclasses.field(repr=False)
    record_id: str
    field: str
    source_columns: str
    source: str = dataclasses.field(repr=False)
    intended: str = dataclasses.field(repr=False)
    stored: str = dataclasses.field(repr=False)
    same: bool
    reason: str = ""
    identifier_class: str = ""


@dataclass(frozen=True, slots=True)
class StepFacts:
    """Outcomes of one step; they add up to `read`. `matched`: rows among them whose record was there before us."""

    step: str
    label: str
    object: str
    read: int
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    merged: int = 0
    rejected: int = 0
    excluded: int = 0
    failed: int = 0
    matched: int = 0

    @property
    def adds_up(self) -> bool:
        """Tell whether every row read has exactly one outcome."""
        return self.read == (
            self.created + self.updated + self.unchanged + self.merged + self.rejected + self.excluded + self.failed
        )


@dataclass(frozen=True, slots=True)
class SampleFacts:
    """The sample: what was chosen, what was written, how it reads back."""

    engagement: str
    client: str
    steps: tuple[StepFacts, ...]
    diff: tuple[DiffRow, ...]
    fields_compared: int
    fields_different: int
    unmatched_owners: int
    failed_lookups: int
    problems: tuple[Problem, ...]
    data_hash: str


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """Rows of a step that were rejected, excluded, merged or failed for one reason."""

    step: str
    outcome: str
    code: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class CheckFacts:
    """One check's verdict: `numerator` of `denominator` rows were not as expected.

    `success` None: the check itself crashed, which is never a pass.
    """

    point: str  # extract, prepared, lookups, reconciliation
    rule: str
    description: str
    success: bool | None
    numerator: int
    denominator: int
    why: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """A run or a delta."""

    engagement: str
    client: str
    run_id: str
    kind: str  # sample, run, delta
    started_at: datetime
    ended_at: datetime
    steps: tuple[StepFacts, ...]
    reasons: tuple[ReasonCount, ...]
    checks: tuple[CheckFacts, ...]
    forecast: Forecast
    calls: int
    refused_for_rate: int
    retries: int
    switched_off: tuple[str, ...]
    ledger_head: str
    tables: tuple[tuple[str, int, int, int], ...] = ()  # source table, rows, reached a step, in no step
    confirmed: tuple[tuple[str, str, datetime], ...] = ()  # what a person confirmed, who, when
    remarks: tuple[tuple[str, str, str, str, str, int], ...] = ()  # step, its label, field, code, reason, rows
    gone: tuple[tuple[str, int], ...] = ()  # delta: step, records whose row is gone (or that are), not decided yet
    conflicts: tuple[tuple[str, str, int], ...] = ()  # delta: step, field, changed on both sides, not decided yet
    settled: tuple[tuple[str, int], ...] = ()  # delta: theirs | keep | mark, decided before and still so
    calls_by_step: tuple[tuple[str, int], ...] = ()  # writing calls
    written_at: datetime | None = None  # when the last record was written; then everything is read back
    counted_calls: int = 0  # writing and reading, of this process


@dataclass(frozen=True, slots=True)
class RollbackFacts:
    """What a rollback took back, and the proof."""

    engagement: str
    client: str
    destroyed: tuple[tuple[str, int], ...]
    restored: tuple[tuple[str, int], ...]
    kept: tuple[tuple[str, str, str], ...]  # object, id, why
    schema_removed: tuple[str, ...]
    side_effects: int
    differences: tuple[str, ...]  # empty: the workspace is as it was
    preview: bool


@dataclass(frozen=True, slots=True)
class CutoverLine:
    """One thing to do on the day of the change: when, what, who signs, and the page or file that proves it."""

    phase: str
    what: str
    who: str
    proof: str


@dataclass(frozen=True, slots=True)
class CutoverFacts:
    """The cutover checklist of one pair; `switched_off` is what must be on again afterwards."""

    engagement: str
    client: str
    pair: str
    lines: tuple[CutoverLine, ...]
    switched_off: tuple[str, ...] = ()
