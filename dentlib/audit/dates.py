"""Decide how a column writes its dates, from the evidence of all its values.

A value's *shape* has 9 for every digit and A for every run of letters. A shape allows a few readings; where day and
month could change places, the values that only one reading takes decide, then the other columns of the export, else
nobody.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from dentlib.workdb import literal

SHAPE_SQL = r"regexp_replace(regexp_replace(v, '[0-9]', '9', 'g'), '\pL+', 'A', 'g')"
LONGEST_DATE = 34

_DATES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"9999-99-99", ("%Y-%m-%d",)),
    (r"9999/99?/99?", ("%Y/%m/%d",)),
    (r"9999\.99\.99", ("%Y.%m.%d",)),
    (r"99?/99?/9999", ("%m/%d/%Y", "%d/%m/%Y")),
    (r"99?/99?/99", ("%m/%d/%y", "%d/%m/%y")),
    (r"99?-99?-9999", ("%d-%m-%Y", "%m-%d-%Y")),
    (r"99?\.99?\.9999", ("%d.%m.%Y",)),
    (r"99?\.99?\.99", ("%d.%m.%y",)),
    (r"99?-A-9999", ("%d-%b-%Y", "%d-%B-%Y")),
    (r"99?-A-99", ("%d-%b-%y",)),
    (r"99? A 9999", ("%d %b %Y", "%d %B %Y")),
    (r"A 99?, 9999", ("%b %d, %Y", "%B %d, %Y")),
    (r"99999999", ("%Y%m%d",)),
)
_TIMES: tuple[tuple[str, str], ...] = (
    (r"", ""),
    (r" 99?:99", " %H:%M"),
    (r" 99?:99:99", " %H:%M:%S"),
    (r" 99?:99:99\.9{1,6}", " %H:%M:%S.%f"),
    (r" 99?:99:99\.9{7,9}", " %H:%M:%S.%n"),
    (r" 99?:99 A", " %I:%M %p"),
    (r" 99?:99:99 A", " %I:%M:%S %p"),
    (r"A99:99", "T%H:%M"),
    (r"A99:99:99", "T%H:%M:%S"),
    (r"A99:99:99\.9{1,6}", "T%H:%M:%S.%f"),
    (r"A99:99:99\.9{7,9}", "T%H:%M:%S.%n"),
    (r"A99:99:99A", "T%H:%M:%SZ"),
    (r"A99:99:99\.9{1,6}A", "T%H:%M:%S.%fZ"),
    (r"A99:99:99[+-]99:?99", "T%H:%M:%S%z"),
    (r"A99:99:99\.9{1,6}[+-]99:?99", "T%H:%M:%S.%f%z"),
)
_SHAPES = [(re.compile(date + time), tuple(d + t for d in formats)) for date, formats in _DATES for time, t in _TIMES]


@dataclass(frozen=True, slots=True)
class Reading:
    """How a column's dates are read: (format, rows) most frequent first; `unreadable` rows fit none.

    `rivals`: formats between which nothing decides.
    """

    formats: tuple[tuple[str, int], ...] = ()
    unreadable: int = 0
    rivals: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Rows that are dates under one of the formats."""
        return sum(n for _, n in self.formats)

    @property
    def has_time(self) -> bool:
        """Tell whether any format carries a time of day."""
        return any("%H" in f or "%I" in f for f, _ in self.formats)

    def describe(self) -> str:
        """Say it in one line, as `ColumnFacts.format` does."""
        if not self.formats:
            return ""
        if self.rivals:
            return "undecided: " + " or ".join(self.rivals)
        if len(self.formats) == 1:
            return self.formats[0][0]
        return "mixed: " + ", ".join(f"{f} {n}" for f, n in self.formats)

    def sql(self, column: str) -> str:
        """Return SQL that gives a column's moment as TIMESTAMP, or NULL where it is none.

        Every format is asked only about values of its own shape, since DuckDB reads `1/2/25` as the year 25 under `%Y`.
        """
        if not self.formats:
            return "NULL::TIMESTAMP"
        parts = [
            f"CASE WHEN regexp_full_match(trim({column}), {literal(_pattern(f))}) "
            f"THEN {_parsed(f'trim({column})', f)}::TIMESTAMP END"
            for f, _ in self.formats
        ]
        return f"coalesce({', '.join(parts)})"


def _pattern(format: str) -> str:
    for shape, formats in _SHAPES:
        if format in formats:
            return re.sub(r"9(?!\})", "[0-9]", shape.pattern).replace("A", r"\pL+")
    raise KeyError(format)


def _parsed(text: str, format: str) -> str:
    """Return SQL that parses a text; an offset from UTC is left out: the audit compares days, not instants."""
    if format.endswith("%z"):
        text, format = f"regexp_replace({text}, '[+-][0-9]{{2}}:?[0-9]{{2}}$', '')", format[:-2]
    return f"try_strptime({text}, {literal(format)})"


def read_dates(
    con: duckdb.DuckDBPyConnection, shapes: Sequence[tuple[str, int]], filled: int, preference: str = ""
) -> Reading:
    """Decide the readings of the values in the temporary table `distinct_values(v, n)`, given their shapes with rows.

    `preference` (`%m` or `%d`) decides between day and month first where the values don't. Reads only.
    """
    families: dict[tuple[str, ...], int] = {}
    members: dict[tuple[str, ...], list[str]] = {}
    for shape, rows in shapes:
        candidates = next((formats for pattern, formats in _SHAPES if pattern.fullmatch(shape)), None)
        if candidates:
            families[candidates] = families.get(candidates, 0) + rows
            members.setdefault(candidates, []).append(shape)
    found: dict[str, int] = {}
    rivals: tuple[str, ...] = ()
    for candidates in families:
        counted, undecided = _decide(con, candidates, members[candidates], preference)
        for name, rows in counted.items():
            found[name] = found.get(name, 0) + rows
        rivals = rivals or undecided
    formats = tuple(sorted(((f, n) for f, n in found.items() if n), key=lambda x: (-x[1], x[0])))
    return Reading(formats, filled - sum(n for _, n in formats), rivals)


def _decide(
    con: duckdb.DuckDBPyConnection, candidates: tuple[str, ...], shapes: list[str], preference: str
) -> tuple[dict[str, int], tuple[str, ...]]:
    first, second = candidates[0], candidates[-1]
    taken = f"{SHAPE_SQL} IN ({', '.join(map(literal, shapes))})"
    a, b = (f"{_parsed('v', f)} IS NOT NULL" for f in (first, second))
    row = con.execute(
        f"SELECT coalesce(sum(n) FILTER (WHERE {a}), 0), coalesce(sum(n) FILTER (WHERE {b}), 0), "
        f"coalesce(sum(n) FILTER (WHERE {a} AND NOT ({b})), 0), coalesce(sum(n) FILTER (WHERE {b} AND NOT ({a})), 0) "
        f"FROM distinct_values WHERE {taken}"
    ).fetchone()
    assert row is not None
    as_first, as_second, only_first, only_second = (int(x) for x in row)
    if first == second or not as_second:
        return {first: as_first}, ()
    if not as_first:
        return {second: as_second}, ()
    if not only_first and not only_second:
        if "%b" in first or (preference and first.startswith(preference)):
            return {first: as_first}, ()
        if preference and second.startswith(preference):
            return {second: as_second}, ()
        return {first: as_first}, (first, second)
    if only_first >= only_second:
        return {first: as_first, second: only_second}, ()
    return {second: as_second, first: only_first}, ()


def day_or_month_first(reading: Reading) -> str:
    """Return `%m` or `%d` where a column's values decided the order of day and month, else nothing."""
    if reading.rivals or not reading.formats:
        return ""
    top = reading.formats[0][0]
    return top[:2] if top[:2] in ("%m", "%d") and top[2] in "/-" and "%b" not in top and "%B" not in top else ""
