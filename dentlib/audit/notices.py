"""Findings that need no vocabulary: about files, rejected rows, columns, keys and relations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import duckdb

from dentlib.audit.keys import Key
from dentlib.audit.profile import Column
from dentlib.facts import Finding, IntakeFacts, RelationshipFacts, TableFacts
from dentlib.model import Severity

_REJECTS = {
    "blank": ("blank_rows", Severity.INFO, "lines hold nothing", "left out; nothing is lost"),
    "totals": ("totals_lines", Severity.INFO, "lines are totals, not records", "left out; compare them with the sums"),
    "preamble": ("preamble_lines", Severity.INFO, "lines stand before the header", "left out"),
    "too_many_cells": (
        "rows_too_long",
        Severity.ERROR,
        "rows have more cells than the header",
        "a delimiter stands inside a cell without quotes: ask for another export of this table",
    ),
    "too_few_cells": (
        "rows_too_short",
        Severity.ERROR,
        "rows have fewer cells than the header",
        "a line break stands inside a cell without quotes, or a footer: look at the rejected lines",
    ),
    "stray_quote": (
        "stray_quotes",
        Severity.ERROR,
        "rows hold a quotation mark that is never closed",
        "ask for another export of this table, or mend these lines",
    ),
}
_DELIMITERS = {";": "semicolon", "\t": "tab", "|": "pipe"}


def notices_about_files(con: duckdb.DuckDBPyConnection, intake: IntakeFacts) -> list[Finding]:
    """Tell unusual encodings and delimiters, rows cut to the header's width and rows rejected, with their reasons."""
    found = []
    for file in intake.files:
        if not file.table:
            continue
        rows = file.physical_rows
        if file.encoding == "utf-8-sig":
            found.append(_about_file("utf8_bom_files", file.table, f"{file.path} begins with a byte order mark"))
        elif file.encoding not in ("", "utf-8"):
            message = f"{file.path} is not UTF-8 but {file.encoding} ({file.encoding_reason})"
            found.append(_about_file(f"{file.encoding.replace('-', '')}_files", file.table, message))
        if file.delimiter in _DELIMITERS:
            name = _DELIMITERS[file.delimiter]
            found.append(_about_file(f"{name}_files", file.table, f"{file.path} is cut by {name}s"))
        for problem in intake.problems:
            if problem.where == file.path and problem.code == "trailing_blank_cells":
                message, hint = "rows have blank cells beyond the header", "left out; nothing is lost"
                found.append(Finding(problem.code, Severity.INFO, file.table, "", problem.count, rows, message, hint))
        rejects = con.execute(
            "SELECT reason, count(*) FROM meta.rejects WHERE file = ? GROUP BY 1 ORDER BY 1", [file.path]
        ).fetchall()
        for reason, count in rejects:
            kind, severity, message, hint = _REJECTS[reason]
            found.append(Finding(kind, severity, file.table, "", int(count), rows, message, hint))
    return found


def _about_file(kind: str, table: str, message: str) -> Finding:
    return Finding(kind, Severity.INFO, table, "", 1, 1, message, "read as such; nothing to do")


def notices_about_tables(
    tables: Mapping[str, TableFacts], keys: Mapping[str, Key], duplicates: Mapping[str, int], empty: Counter[str]
) -> list[Finding]:
    """Tell exact duplicate rows, keys that aren't unique, tables that nobody knows and columns without any value."""
    found = []
    for name, table in tables.items():
        if duplicates[name]:
            message, hint = "rows repeat an earlier row cell by cell", "merged into the first one"
            count = duplicates[name]
            found.append(Finding("exact_duplicate_rows", Severity.WARNING, name, "", count, table.rows, message, hint))
        if keys[name].offending:
            hint = "ask the practice which rows are meant; rows with the same key but other content are rejected"
            message = f"the key column is {keys[name].note}"
            found.append(
                Finding(
                    "key_not_unique",
                    Severity.ERROR,
                    name,
                    keys[name].columns[0],
                    keys[name].offending,
                    table.rows,
                    message,
                    hint,
                )
            )
        if not table.object:
            message, hint = "the table is none that the vocabulary knows", "it is listed as not migrated"
            found.append(
                Finding("table_not_recognised", Severity.INFO, name, "", table.rows, table.rows, message, hint)
            )
        if empty[name]:
            message, hint = "columns are empty throughout", "nothing to migrate in them"
            found.append(Finding("empty_columns", Severity.INFO, name, "", empty[name], table.columns, message, hint))
    return found


def notices_about_dates(columns: Mapping[tuple[str, str], Column], covered: set[tuple[str, str]]) -> list[Finding]:
    """Tell columns that mix date styles, hold what is no date, or whose day and month nobody can tell apart.

    `covered`: columns whose impossible dates another finding has counted already.
    """
    found = []
    for (table, name), column in columns.items():
        dates, filled = column.dates, column.facts.filled
        if len(dates.formats) > 1:
            others = dates.rows - dates.formats[0][1]
            message = f"dates are written in {len(dates.formats)} styles ({dates.describe()})"
            hint = "each style is read as what it is; ask why the column mixes them"
            found.append(Finding("mixed_date_styles", Severity.WARNING, table, name, others, filled, message, hint))
        if dates.formats and dates.unreadable and (table, name) not in covered:
            message, hint = "values of a date column are no calendar dates", "decide in the map what becomes of them"
            count = dates.unreadable
            found.append(Finding("impossible_dates", Severity.WARNING, table, name, count, filled, message, hint))
        if dates.rivals:
            message = f"nothing tells whether day or month comes first ({' or '.join(dates.rivals)})"
            hint = "ask the practice, and say it in the map"
            found.append(Finding("ambiguous_dates", Severity.ERROR, table, name, dates.rows, filled, message, hint))
    return found


def notices_about_relations(relationships: list[RelationshipFacts], covered: set[tuple[str, str]]) -> list[Finding]:
    """Tell relations with orphans that no check of its own has counted."""
    found = []
    for it in relationships:
        if it.orphans and (it.child_table, it.child_column) not in covered:
            message = f"rows point at a row of {it.parent_table} that is not in the export"
            hint = "the map says whether such a row is rejected or its link stays empty"
            found.append(
                Finding(
                    "orphans", Severity.WARNING, it.child_table, it.child_column, it.orphans, it.filled, message, hint
                )
            )
    return found
