"""Profile the columns of raw tables by SQL: type, share filled, distinct values, formats, pick-lists. Reads only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import duckdb

from dentlib.audit import identifiers
from dentlib.audit.dates import LONGEST_DATE, SHAPE_SQL, Reading, day_or_month_first, read_dates
from dentlib.facts import ColumnFacts
from dentlib.model import Progress
from dentlib.privacy import SMALL_CELL, mask
from dentlib.vocabulary import FieldWords
from dentlib.workdb import literal, quoted

PICK_LIST_VALUES = 50
PICK_LIST_LONGEST = 40
_ENOUGH = 0.98
_DATE_SHARE = 0.8
_DATE_SHARE_IF_KNOWN = 0.3
_INTEGER = r"-?(0|[1-9][0-9]*)"
_NUMBER = (  # plain, or as bookkeepers write it: $1,234.50 · 1.234,50 · (45.00)
    r"[(+-]?\s?[$€£₺]?\s?[+-]?([0-9]{1,3}([,.\x{A0}\x27][0-9]{3})+([.,][0-9]{1,2})?|[0-9]+(\.[0-9]+|,[0-9]{1,2})?)"
    r"\s?[$€£₺]?\)?"
)
_CODE = r"0[0-9]+"  # "007", "02139": a number would not be written so
_BOOLEAN = "('y', 'n', 'yes', 'no', 'true', 'false', 't', 'f')"


@dataclass(frozen=True, slots=True)
class Column:
    """A column's facts and, beside what pages show, how its dates are read and how long its values are on average."""

    facts: ColumnFacts
    dates: Reading
    average_length: float


def profile_columns(
    con: duckdb.DuckDBPyConnection,
    tables: Mapping[str, Sequence[str]],
    known: Mapping[tuple[str, str], FieldWords],
    progress: Progress,
) -> dict[tuple[str, str], Column]:
    """Profile every column of the raw tables named; keys of the answer are (table, column).

    `known`: the vocabulary's words for columns that were recognised; they decide the identifier class and tell which
    columns are dates. Day or month first is decided per column, else by the export's other columns.
    """
    progress.start("profile", sum(len(c) for c in tables.values()), "columns")
    found: dict[tuple[str, str], Column] = {}
    for table, columns in tables.items():
        for column in columns:
            found[table, column] = _profile(con, table, column, known.get((table, column)), "")
            progress.advance("profile")
    votes = Counter(v for c in found.values() if (v := day_or_month_first(c.dates)))
    if len(votes) == 1:
        preference = next(iter(votes))
        for (table, column), it in found.items():
            if it.dates.rivals:
                found[table, column] = _profile(con, table, column, known.get((table, column)), preference)
    progress.finish("profile")
    return found


def _profile(
    con: duckdb.DuckDBPyConnection, table: str, column: str, words: FieldWords | None, preference: str
) -> Column:
    source = f"raw.{quoted(table)}"
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE distinct_values AS SELECT trim({quoted(column)}) AS v, count(*) AS n "
        f"FROM {source} WHERE trim({quoted(column)}) <> '' GROUP BY 1"
    )
    patterns = identifiers.patterns()
    tests = ", ".join(map(_matching, patterns.values()))
    row = con.execute(
        f"SELECT (SELECT count(*) FROM {source}), coalesce(sum(n), 0), count(*), coalesce(max(length(v)), 0), "
        f"coalesce(avg(length(v)), 0), {_matching(_INTEGER)}, {_matching(_NUMBER)}, {_matching(_CODE)}, "
        f"coalesce(sum(n) FILTER (WHERE lower(v) IN {_BOOLEAN}), 0), {tests} FROM distinct_values"
    ).fetchone()
    assert row is not None
    rows, filled, distinct, longest = (int(x) for x in row[:4])
    integers, numbers, codes, booleans = (int(x) for x in row[5:9])
    dates = _dates(con, filled, longest, words, preference)
    kind = _type(filled, integers, 0 if codes else numbers, booleans, distinct, dates, words)
    matches = dict(zip(patterns, (int(x) for x in row[9:]), strict=True))
    if words is not None:
        # A key that is unique in the world identifies, even where the vocabulary takes keys for small numbers.
        world_unique = words.type == "key" and matches["record"] > identifiers.PATTERN_SHARE * filled
        identifier = words.identifier or ("record" if world_unique else "")
    else:
        identifier = identifiers.classify(
            column, type=kind, filled=filled, distinct=distinct, longest=longest, matches=matches
        )
    facts = ColumnFacts(table, column, kind, rows, filled, distinct, identifier, dates.describe(), longest)
    return Column(_with_values(con, facts), dates, float(row[4]))


def _dates(
    con: duckdb.DuckDBPyConnection, filled: int, longest: int, words: FieldWords | None, preference: str
) -> Reading:
    known = words is not None and words.type in ("date", "datetime")
    if not filled or (longest > LONGEST_DATE and not known):
        return Reading()
    shapes = con.execute(
        f"SELECT {SHAPE_SQL} AS shape, sum(n)::BIGINT FROM distinct_values WHERE length(v) <= {LONGEST_DATE} "
        "GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 200"
    ).fetchall()
    if not known:
        shapes = [s for s in shapes if s[0] != "99999999"]  # eight digits are a date only where a date is expected
    reading = read_dates(con, shapes, filled, preference)
    return reading if reading.rows >= (_DATE_SHARE_IF_KNOWN if known else _DATE_SHARE) * filled else Reading()


def _matching(pattern: str) -> str:
    return f"coalesce(sum(n) FILTER (WHERE regexp_full_match(v, {literal(pattern)})), 0)"


def _type(
    filled: int, integers: int, numbers: int, booleans: int, distinct: int, dates: Reading, words: FieldWords | None
) -> str:
    if not filled:
        return "empty"
    if dates.formats:
        return "datetime" if dates.has_time else "date"
    if booleans == filled or (words is not None and words.type == "boolean" and distinct <= 2):
        return "boolean"
    if integers >= _ENOUGH * filled:
        return "integer"
    return "decimal" if numbers >= _ENOUGH * filled else "text"


def _with_values(con: duckdb.DuckDBPyConnection, facts: ColumnFacts) -> ColumnFacts:
    """Add pick-list values that identify nobody, and masked examples; small cells are left out of both."""
    harmless = not facts.identifier_class
    top = con.execute(f"SELECT v, n FROM distinct_values ORDER BY n DESC, v LIMIT {PICK_LIST_VALUES}").fetchall()
    pick_list = harmless and facts.distinct <= PICK_LIST_VALUES and facts.longest <= PICK_LIST_LONGEST
    pick_list = pick_list and facts.type in ("text", "integer", "boolean")
    shown = tuple((v, int(n)) for v, n in top if n >= SMALL_CELL)
    if harmless:
        examples = tuple(mask(v, "") for v, _ in shown[:3]) or tuple(mask(v, "free_text") for v, _ in top[:3])
    else:
        examples = tuple(dict.fromkeys(mask(v, facts.identifier_class) for v, _ in top[:10]))[:3]
    return replace(facts, values=shown if pick_list else (), masked_examples=examples)
