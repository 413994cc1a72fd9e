"""What stages find out, as frozen data. Pages, `--json` and `result.json` are three renderings of these facts.

Every value that came from an export is either a count, a name of a table, column or code, or has passed
`dentlib.privacy` (fields named `masked_…`), except in `DiffRow`, which only leaves unmasked with `--reveal`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dentlib.model import Problem, SchemaItem, Severity


@dataclass(frozen=True, slots=True)
class FileFacts:
    """One file as received. `physical_rows` = `loaded` + `rejected` (data rows; the header is not one)."""

    path: str
    sha256: str
    size_bytes: int
    kind: str  # csv, xlsx, document, other
    table: str = ""  # raw table it was loaded into
    encoding: str = ""
    encoding_reason: str = ""
    delimiter: str = ""
    physical_rows: int = 0
    loaded: int = 0
    rejected: int = 0
    header_line: int = 1


@dataclass(frozen=True, slots=True)
class IntakeFacts:
    """One export, taken in."""

    round: str
    taken_at: datetime
    source: str
    files: tuple[FileFacts, ...]
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """One column. `values` only for pick-lists that identify nobody: (value, rows), cells < 5 left out."""

    table: str
    column: str
    type: str  # text, integer, decimal, date, datetime, boolean, empty
    rows: int
    filled: int
    distinct: int
    identifier_class: str = ""  # HIPAA class such as name, phone, date; empty: identifies nobody
    format: str = ""  # e.g. %m/%d/%Y, or "mixed: …"
    longest: int = 0
    values: tuple[tuple[str, int], ...] = ()
    masked_examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TableFacts:
    """One raw table and the source object it was recognised as (empty: none)."""

    name: str
    rows: int
    columns: int
    object: str = ""
    key: tuple[str, ...] = ()
    key_note: str = ""
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RelationshipFacts:
    """A foreign key found: how many child rows point at something, and how many at nothing."""

    child_table: str
    child_column: str
    parent_table: str
    parent_column: str
    filled: int
    orphans: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing the audit noticed, with its count. `kind` is stable and machine-readable."""

    kind: str
    severity: Severity
    table: str
    column: str
    count: int
    of: int
    message: str
    hint: str
    masked_example: str = ""


@dataclass(frozen=True, slots=True)
class AuditFacts:
    """The audit of one export."""

    engagement: str
    client: str
    source: str
    intake: IntakeFacts
    tables: tuple[TableFacts, ...]
    columns: tuple[ColumnFacts, ...]
    relationships: tuple[RelationshipFacts, ...]
    findings: tuple[Finding, ...]
    missing_objects: tuple[str, ...]
    structure_hash: str


@dataclass(frozen=True, slots=True)
class MapLine:
    """One source column. `status`: mapped, kept_elsewhere, internal, not_migrated or definition."""

    table: str
    column: str
    logical: str
    confidence: float
    evidence: str
    step: str
    destination_object: str
    destination_field: str
    offer_name: str
    transform: str
    status: str
    filled: int
    rows: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ValueMapFacts:
    """A value map with frequencies: (source value, rows, target; empty: the map doesn't name it, see `unmapped`)."""

    step: str
    field: str
    table: str
    column: str
    rows: tuple[tuple[str, int, str], ...]
    unmapped: str


@dataclass(frozen=True, slots=True)
class OwnerRow:
    """A provider or member of staff, and whom their records go to."""

    source_key: str
    name: str
    email: str
    role: str
    how: str  # matched, fallback, placeholder, unassigned
    member_name: str
    member_email: str
    records: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AccessRow:
    """Something that a person must agree to be readable: where it goes, and the roles that can read that object."""

    what: str
    object: str
    fields: tuple[str, ...]
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MappingFacts:
    """The map as a person reads it, the schema plan and the owners."""

    engagement: str
    client: str
    lines: tuple[MapLine, ...]
    value_maps: tuple[ValueMapFacts, ...]
    schema: tuple[SchemaItem, ...]
    owners: tuple[OwnerRow, ...]
    tables_not_migrated: tuple[tuple[str, int, str], ...]  # table, rows, reason
    rebuild: tuple[dict[str, Any], ...]  # definitions to rebuild: kind, name, trigger, condition, action, means
    scope: tuple[tuple[str, str, int], ...]  # step, rule, rows it would exclude
    consent: tuple[tuple[str, int], ...]  # what, people
    problems: tuple[Problem, ...]
    map_hash: str
    access: tuple[AccessRow, ...] = ()


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
    """Outcomes of one step; they add up to `read`."""

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
class Forecast:
    """What a run will need: records and calls per object, minutes at the rate allowed."""

    records: int
    calls: int
    minutes: float
    calls_per_minute: int | None


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
    gone: tuple[tuple[str, int], ...] = ()  # delta: step, records that were kept though their source row is gone


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
