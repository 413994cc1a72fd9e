"""What was written and how it reads back: sample, run, delta, checks, rollback, cutover."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime

from dentlib.facts.forecast import Forecast
from dentlib.facts.reconciliation import ReconciliationFacts
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
class SwitchFacts:
    """One thing that reacts to records: when it was switched off, and on again, and whether both were seen.

    `verified`: after it was put on again it was read back, and was as before.
    """

    label: str
    off_at: datetime
    off_seen: bool = False
    on_at: datetime | None = None
    verified: bool = False


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
    kept: tuple[tuple[str, str, int], ...] = ()  # step, field, records that were there before us and kept theirs
    reconciliation: ReconciliationFacts | None = None  # what reading back found
    switches: tuple[SwitchFacts, ...] = ()  # when automations were off, and that each was seen on again


@dataclass(frozen=True, slots=True)
class RollbackLine:
    """What becomes of the records of one object.

    `destroyed` are ours and there, of which `binned` are in the bin and `changed` were last changed by hand; `gone`
    were destroyed by somebody before; `restored` were there before us and get values back; `kept` stay though ours.
    """

    object: str
    destroyed: int = 0
    restored: int = 0
    kept: int = 0
    gone: int = 0
    binned: int = 0
    changed: int = 0


@dataclass(frozen=True, slots=True)
class RollbackFacts:
    """What a rollback took back (a preview: would take back), and the proof.

    `kept` and `differences` name the first thousand; `kept_why` and `differences_found` count all. `differences_ours`
    are those in records of this migration, which should never be. `compared`: object, records before, how closely
    (values | times | counted | unreadable). `picture`: the file with the hashes of the workspace afterwards.
    `nothing`: there was nothing to take back, and nothing was done.
    """

    engagement: str
    client: str
    destroyed: tuple[tuple[str, int], ...]
    restored: tuple[tuple[str, int], ...]
    kept: tuple[tuple[str, str, str], ...]  # object, id, why
    schema_removed: tuple[str, ...]
    side_effects: int
    differences: tuple[str, ...]  # empty: the workspace is as it was
    preview: bool
    lines: tuple[RollbackLine, ...] = ()
    kept_why: tuple[tuple[str, str, int], ...] = ()  # object, why, how many
    schema_kept: tuple[tuple[str, str], ...] = ()  # name, why
    differences_found: int = 0
    differences_ours: int = 0
    compared: tuple[tuple[str, int, str], ...] = ()
    remarks: tuple[str, ...] = ()
    switches: tuple[SwitchFacts, ...] = ()
    picture: str = ""
    nothing: bool = False


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
