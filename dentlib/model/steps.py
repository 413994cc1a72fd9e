"""What mapping hands to loading."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MatchRules:
    """How records that are in the workspace already are recognised, and what is done to them.

    `by`: rules in order, each a combination of destination fields that must all be equal. `found`: match_only,
    update_empty, update, or create (a new one all the same). `ambiguous` (several records for a row, or several rows
    for a record): create or reject.
    """

    by: tuple[tuple[str, ...], ...]
    found: str
    ambiguous: str


@dataclass(frozen=True, slots=True)
class LoadStep:
    """One step of the load, whose rows lie in `work.duckdb`, schema `prepared`, table `table`.

    Columns of that table, which loading reads (others, one per destination field, are for checks):
    `ordinal` BIGINT (load order) · `source_key` VARCHAR (unique in the step) · `record_id` VARCHAR · `payload` VARCHAR
    (JSON of the record as it is sent, `id` and `sourceSystemId` included) · `row_hash` VARCHAR (sha256 of the payload)
    · `file_path` VARCHAR (a file to upload, else NULL) · `source_table`, `source_file` VARCHAR, `source_row` BIGINT
    · `in_sample` BOOLEAN.
    `file_field`: the FILES field that gets the upload. `depends_on`: steps whose records must be confirmed first.
    `error_budget`: share of rejects (0 to 1) above which the run stops. `match`: None where nothing is looked for.
    """

    name: str
    object_name: str
    table: str
    source_prefix: str
    depends_on: tuple[str, ...] = ()
    file_field: str = ""
    error_budget: float = 0.05
    label: str = ""
    match: MatchRules | None = None


PREPARED_OUTCOMES = "prepared.outcomes"
"""Rows that don't reach the loader: step, source_table, source_key, source_file, source_row, outcome
(rejected | excluded | merged), code, reason. One row per (step, source row)."""

PREPARED_PROBLEMS = "prepared.problems"
"""Values that were not carried as they are: step, source_key, field, code, reason, source_file, source_row, count,
detail (which other record has to do with it; never a value)."""
