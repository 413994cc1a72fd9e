"""What an export is: files, columns, tables, relationships, findings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from dentlib.model import Problem, Severity


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
