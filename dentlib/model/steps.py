"""What mapping hands to loading."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LoadStep:
    """One step of the load, whose rows lie in `work.duckdb`, schema `prepared`, table `table`.

    Columns of that table, which loading reads (others, one per destination field, are for checks):
    `ordinal` BIGINT (load order) · `source_key` VARCHAR (unique in the step) · `record_id` VARCHAR · `payload` VARCHAR
    (JSON of the record as it is sent, `id` and `sourceSystemId` included) · `row_hash` VARCHAR (sha256 of the payload)
    · `file_path` VARCHAR (a file to upload, else NULL) · `source_table`, `source_file` VARCHAR, `source_row` BIGINT
    · `in_sample` BOOLEAN.
    `file_field`: the FILES field that gets the upload. `depends_on`: steps whose records must be confirmed first.
    `error_budget`: share of rejects (0 to 1) above which the run stops.
    """

    name: str
    object_name: str
    table: str
    source_prefix: str
    depends_on: tuple[str, ...] = ()
    file_field: str = ""
    error_budget: float = 0.05
    label: str = ""


PREPARED_OUTCOMES = "prepared.outcomes"
"""Rows that don't reach the loader: step, source_table, source_key, source_file, source_row, outcome
(rejected | excluded | merged), code, reason. One row per (step, source row)."""

PREPARED_PROBLEMS = "prepared.problems"
"""Values that were not carried as they are: step, source_key, field, code, reason, source_file, source_row, count,
detail (which other record has to do with it; never a value)."""
