"""The files in which a person decides: what stands in them, and how they are read when they come back filled in.

A spreadsheet program may have saved them its own way (semicolons, another encoding, keys turned into numbers): only the
columns ref, record_id, field and decision are read again, which survive that.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dentlib.errors import UsageError
from dentlib.loading.decisions import (
    CONFLICT_DECISIONS,
    DELETE,
    KEEP,
    MARK,
    RECREATE,
    Absent,
    Conflict,
    as_text,
    parsed_ref,
)
from dentlib.loading.judging import Choice

CONFLICTS_FILE = "conflicts.csv"
DELETIONS_FILE = "deletions.csv"
_MISSING_DECISIONS = (KEEP, MARK, DELETE, RECREATE)
_MOST_NAMED = 10


@dataclass(frozen=True, slots=True)
class ConflictLine:
    """A row of `conflicts.csv`: what we wrote last, what the source says now (ours), what the CRM holds (theirs)."""

    ref: str
    step: str
    source_key: str = dataclasses.field(repr=False)
    object: str
    record_id: str
    field: str
    before: str = dataclasses.field(repr=False)
    ours: str = dataclasses.field(repr=False)
    theirs: str = dataclasses.field(repr=False)
    listed_at: str
    decide: str
    decision: str = ""


@dataclass(frozen=True, slots=True)
class DeletionLine:
    """A row of `deletions.csv`: a record whose row is gone, or that is gone itself. `changed_in_crm`: field names."""

    ref: str
    step: str
    source_key: str = dataclasses.field(repr=False)
    object: str
    record_id: str
    why: str
    changed_in_crm: str
    decide: str
    decision: str = ""


def conflict_lines(conflicts: Sequence[Conflict]) -> Iterator[ConflictLine]:
    """Yield the rows of `conflicts.csv`. They hold values: the file is the engagement's own."""
    for c in conflicts:
        yield ConflictLine(
            c.ref,
            c.step,
            c.source_key,
            c.object,
            c.record_id,
            c.field,
            as_text(c.base),
            as_text(c.meant),
            as_text(c.stored),
            c.at,
            " or ".join(CONFLICT_DECISIONS),
        )


def deletion_lines(missing: Sequence[Absent]) -> Iterator[DeletionLine]:
    """Yield the rows of `deletions.csv`."""
    for m in missing:
        changed = ", ".join(m.changed)
        yield DeletionLine(m.ref, m.step, m.source_key, m.object, m.record_id, m.why, changed, " or ".join(m.choices))


def read_choices(paths: Sequence[Path]) -> tuple[list[Choice], int]:
    """Return the filled-in rows of the files, and how many rows are not decided yet.

    Raises UsageError naming file, row and column of everything that is no decision; then nothing is to be done at all.
    """
    choices: list[Choice] = []
    wrong: list[str] = []
    seen: dict[str, tuple[str, str]] = {}
    open_rows = 0
    for path in paths:
        for number, row in _rows(path):
            where = f"{path.name}, row {number}"
            ref, decision = row["ref"].strip(), row["decision"].strip().lower()
            parsed = parsed_ref(ref)
            allowed = CONFLICT_DECISIONS if parsed and parsed[0] == "c" else _MISSING_DECISIONS
            if parsed is None:
                wrong.append(f"{where}, column ref: not a name such as c412-3")
            elif not decision:
                open_rows += 1
            elif decision not in allowed:
                wrong.append(f"{where}, column decision: none of {', '.join(allowed)}")
            elif ref in seen and seen[ref][0] != decision:
                wrong.append(f"{where}, column decision: {seen[ref][1]} decides the same record otherwise")
            elif ref not in seen:
                seen[ref] = (decision, where)
                choices.append(Choice(ref, row["record_id"].strip(), row.get("field", "").strip(), decision, where))
    if wrong:
        more = f" (and {len(wrong) - _MOST_NAMED} more)" if len(wrong) > _MOST_NAMED else ""
        raise UsageError(
            f"{len(wrong)} cell(s) can't be read as decisions: {'; '.join(wrong[:_MOST_NAMED])}{more}",
            "mend these cells; nothing was done",
        )
    return choices, open_rows


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows with their number as a spreadsheet program shows it."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}", "name the file that the delta wrote") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")  # a spreadsheet program's own; what is read of it is ASCII
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restval="")
    missing = {"ref", "record_id", "decision"} - {n.strip() for n in reader.fieldnames or ()}
    if missing:
        raise UsageError(
            f"{path.name} has no column {', '.join(sorted(missing))}",
            f"decisions are made in {CONFLICTS_FILE} or {DELETIONS_FILE} of a delta's folder",
        )
    for number, row in enumerate(reader, 2):
        cells = {k.strip(): v or "" for k, v in row.items() if isinstance(k, str)}
        if any(cells.values()):
            yield number, cells
