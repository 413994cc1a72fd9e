"""The files in which a person decides: what stands in them, and how they are read when they come back filled in.

A spreadsheet program may have saved them its own way (semicolons, another encoding, keys turned into numbers): only the
columns ref, record_id, field and decision are read again, which survive that.
"""

from __future__ import annotations

import dataclasses
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
from dentlib.sheets import rows_of

CONFLICTS_FILE = "conflicts.csv"
DELETIONS_FILE = "deletions.csv"
_MISSING_DECISIONS = (KEEP, MARK, DELETE, RECREATE)
_MOST_NAMED = 10
_WAY_OUT = f"decisions are made in {CONFLICTS_FILE} or {DELETIONS_FILE}, which a delta wrote into its folder"


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
        for number, row in rows_of(path, ("ref", "record_id", "decision"), _WAY_OUT):
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
