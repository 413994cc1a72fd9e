"""Lay the vocabulary's names over the raw tables, so that a check can be written once for every product."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb

from dentlib.audit.profile import Column
from dentlib.vocabulary import FieldWords, Vocabulary
from dentlib.vocabulary.match import Assignment
from dentlib.workdb import quoted


@dataclass(frozen=True, slots=True)
class LogicalView:
    """A temporary view named as its object. `sources`: logical field → (table, column)."""

    object: str
    tables: tuple[str, ...]
    sources: Mapping[str, tuple[str, str]]


def lay_views(
    con: duckdb.DuckDBPyConnection,
    assignment: Assignment,
    vocabulary: Vocabulary,
    columns: Mapping[tuple[str, str], Column],
    duplicates: Mapping[str, int],
) -> dict[str, LogicalView]:
    """Make one temporary view per recognised object; write nothing else.

    Per recognised field: `<field>` (trimmed text, NULL when blank), `<field>__raw` (as it stands), for dates
    `<field>__at` TIMESTAMP and for money and integers `<field>__number` DECIMAL(18,4), NULL where it can't be read, for
    paths `<field>__base`, the bare file name.
    Fields that the vocabulary makes of others are joined by a blank. `_file`, `_row`, `_line` tell where a row stands;
    of exact duplicate rows the first is kept.
    """
    views = {}
    for name in assignment.objects:
        words = vocabulary.objects[name].fields
        parts: list[str] = []
        sources: dict[str, tuple[str, str]] = {}
        tables = assignment.table_of(name)
        for table in tables:
            matched = {c.field: c.column for c in assignment.tables[table].columns.values() if c.field}
            sources |= {f: (table, c) for f, c in matched.items()}
            parts.append(_select(table, matched, words, columns, duplicates[table]))
        con.execute(f"CREATE OR REPLACE TEMP VIEW {quoted(name)} AS {' UNION ALL BY NAME '.join(parts)}")
        for field_name, item in words.items():
            if item.made_of and field_name not in sources and all(p in sources for p in item.made_of):
                sources[field_name] = sources[item.made_of[0]]
        views[name] = LogicalView(name, tables, sources)
    return views


def _select(
    table: str,
    matched: Mapping[str, str],
    words: Mapping[str, FieldWords],
    columns: Mapping[tuple[str, str], Column],
    duplicates: int,
) -> str:
    cells = ["_file", "_row", "_line"]
    for field_name, column in matched.items():
        text = quoted(column)
        cells.append(f"{text} AS {quoted(field_name + '__raw')}")
        cells.append(f"nullif(trim({text}), '') AS {quoted(field_name)}")
        if words[field_name].type in ("date", "datetime"):
            cells.append(f"{columns[table, column].dates.sql(text)} AS {quoted(field_name + '__at')}")
        elif words[field_name].type in ("money", "integer"):
            cells.append(f"{amount_sql(text)} AS {quoted(field_name + '__number')}")
        elif words[field_name].type == "path":
            cells.append(rf"regexp_extract(trim({text}), '[^/\\]*$') AS {quoted(field_name + '__base')}")
    for field_name, item in words.items():
        if item.made_of and field_name not in matched and all(p in matched for p in item.made_of):
            joined = ", ".join(f"nullif(trim({quoted(matched[p])}), '')" for p in item.made_of)
            cells.append(f"nullif(concat_ws(' ', {joined}), '') AS {quoted(field_name)}")
            first = quoted(matched[item.made_of[0]])
            cells.append(
                f"{columns[table, matched[item.made_of[0]]].dates.sql(first)} AS {quoted(field_name + '__at')}"
            )
    once = ""
    if duplicates:
        own = ", ".join(quoted(c) for t, c in columns if t == table)
        once = f" QUALIFY row_number() OVER (PARTITION BY {own} ORDER BY _row) = 1"
    return f"SELECT {', '.join(cells)} FROM raw.{quoted(table)}{once}"


def amount_sql(text: str) -> str:
    """Return SQL that reads an amount as DECIMAL(18,4): `$1,234.50`, `1.234,50`, `(45.00)` and `-45` are understood.

    NULL where it is none. Of two different separators the last is the decimal one; a single comma is decimal when one
    or two digits follow.
    """
    bare = rf"regexp_replace(trim({text}), '[\s$€£₺()+]', '', 'g')"
    comma_is_decimal = rf"regexp_matches({bare}, '^-?[0-9.]*,[0-9]{{1,2}}$')"
    european = f"replace(replace({bare}, '.', ''), ',', '.')"
    plain = f"CASE WHEN {comma_is_decimal} THEN {european} ELSE replace({bare}, ',', '') END"
    sign = rf"CASE WHEN regexp_full_match(trim({text}), '\(.*\)') THEN -1 ELSE 1 END"
    return f"({sign} * try_cast({plain} AS DECIMAL(18, 4)))"
