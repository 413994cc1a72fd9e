"""The SQL of the value functions and their Python must give the same answer to every text."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dentlib.mapping.functions import FUNCTIONS, local_to_utc, read_odd_texts, trimmed, unless_blank
from dentlib.mapping.values import ValueContext, trim

MDY = ValueContext("America/Los_Angeles", "USD", "US", date(2026, 1, 5), "mdy")
DMY = ValueContext("Europe/Brussels", "EUR", "BE", date(2026, 1, 5), "dmy", ",")

TEXTS = [
    "2025-03-09", "2025-02-31", "03/09/2025", "3/9/2025", "31/12/2025", "12/31/2025", "2025-03-09 14:05:00",
    "2025-03-09 02:30:00", "2025-11-02 01:30:00", "2025-10-26 02:30:00", "2025-03-09T14:05:00Z", "2025-03-09 14:05",
    "03/09/2025 09:30 AM", "03/09/2025 12:05 PM", "03/09/2025 13:05 PM", "1900-01-01", "2061-01-01", "1850-05-05",
    "0206-01-01", " 2025-03-09 ", "2025-03-09 25:00:00", "2025-3-9", "09-Mar-2025", "soon", "1752-09-14",
    "1234.50", "-45.00", "$2,400.00", "(45.00)", "1.234,56", "+7", "12.", ".5", "1e3", "999999999.999999",
    "30", "30.0", " 30", "-5", "12345678901234567", "Y", "n", "TRUE", "0", "x", "maybe", " yes ",
    "a@example.com", "A.B@Example.COM", " a@example.com", "a..b@example.com", "a@b", "o'neil@example.com",
    "(415) 555-2671", "415-555-2671", "+14155552671", "4155552671", "604-555-0123", "911-555-2671", "415-555-2671 x12",
    "+1 (415) 555 2671", "1-415-555-2671", "415 155 2671", "5056401234", "dom", "MOD", "3,4", "3-5",
    "line one\nline two", "tab\there", "quote \" back \\ slash", "bell\x07", "nul\x00inside", "é😀\u2028", "",
    "www.acme.example", "scan.pdf", "noextension", "../x.pdf", "\u00a0padded\u00a0", "   ",
]  # fmt: skip


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    """One in-memory database for the module."""
    with duckdb.connect() as connection:
        yield connection


def both(con: duckdb.DuckDBPyConnection, name: str, texts: list[str], context: ValueContext, at: str) -> list[object]:
    """Read the texts as a step does: SQL where it is sure, Python for the rest; give value and code as text."""
    function = FUNCTIONS[name]
    con.execute("CREATE OR REPLACE TEMP TABLE texts (text VARCHAR)")
    con.executemany("INSERT INTO texts VALUES (?)", [[t] for t in dict.fromkeys(texts)])
    fast = function.fast("text", context, at)
    if function.total:
        code = function.code("text") if function.code else "NULL"
        return con.execute(f"SELECT text, ({fast})::VARCHAR, {code} FROM texts").fetchall()
    odd = f"(SELECT DISTINCT text FROM texts WHERE ({fast}) IS NULL)"
    table = read_odd_texts(con, function, odd, context, at)
    return con.execute(
        f"SELECT text, coalesce(({fast})::{function.sql_type}, o.value)::VARCHAR, o.code FROM texts "
        f"LEFT JOIN {table} AS o USING (text)"
    ).fetchall()


def alone(con: duckdb.DuckDBPyConnection, name: str, texts: list[str], context: ValueContext, at: str) -> list[object]:
    """Read the texts in Python only."""
    function = FUNCTIONS[name]
    rows: list[object] = []
    for text in dict.fromkeys(texts):
        value, code = function.slow(text, context, at)
        shown = None
        if value is not None:
            nested = function.sql_type.endswith("[]")
            sql = f"SELECT {'(?::JSON)' if nested else '?'}::{function.sql_type}::VARCHAR"
            import orjson

            shown = con.execute(sql, [orjson.dumps(value).decode() if nested else str(value)]).fetchone()[0]  # type: ignore[index]
        rows.append((text, shown, code or None))
    return rows


@pytest.mark.parametrize("name", list(FUNCTIONS))
@pytest.mark.parametrize("context", [MDY, DMY], ids=["mdy", "dmy"])
def test_sql_and_python_agree(con: duckdb.DuckDBPyConnection, name: str, context: ValueContext) -> None:
    """Whichever of the two reads a text, the value is the same."""
    at = "12:00" if name == "datetime" else ""
    by_sql, by_python = both(con, name, TEXTS, context, at), alone(con, name, TEXTS, context, at)
    assert sorted(map(repr, by_sql)) == sorted(map(repr, by_python))


PIECES = st.sampled_from(
    ["0", "1", "2", "9", "12", "19", "20", "31", "/", "-", ":", " ", ".", ",", "T", "Z", "AM", "$", "("]
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(PIECES, max_size=12).map("".join), min_size=1, max_size=40))
@pytest.mark.parametrize("name", ["date", "datetime", "birth_date", "money", "integer", "phone"])
def test_sql_and_python_agree_on_any_mess(con: duckdb.DuckDBPyConnection, name: str, texts: list[str]) -> None:
    """The same, for texts made of the pieces that dates, amounts and phones are made of."""
    wanted = [t for t in texts if t.strip()]
    if wanted:
        assert sorted(map(repr, both(con, name, wanted, MDY, ""))) == sorted(
            map(repr, alone(con, name, wanted, MDY, ""))
        )


SPELLINGS = ["({a}) {e}-{n}", "{a}-{e}-{n}", "{a}.{e}.{n}", "{a} {e} {n}", "{a}{e}{n}", "+1 {a}-{e}-{n}", "1{a}{e}{n}"]
AREAS = st.sampled_from(
    [204, 242, 246, 264, 268, 305, 340, 415, 473, 500, 523, 604, 649, 658, 684, 758, 787, 800, 809, 867, 876, 900]
) | st.integers(200, 999)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(SPELLINGS), AREAS, st.integers(200, 999), st.integers(0, 9999)),
        min_size=1,
        max_size=60,
    )
)
def test_plain_phones_are_read_as_libphonenumber_reads_them(
    con: duckdb.DuckDBPyConnection, given_numbers: list[tuple[str, int, int, int]]
) -> None:
    """Area code and exchange decide about a North American number: SQL may answer for all numbers that share them."""
    texts = [spelling.format(a=a, e=e, n=f"{n:04}") for spelling, a, e, n in given_numbers]
    assert sorted(map(repr, both(con, "phone", texts, MDY, ""))) == sorted(
        map(repr, alone(con, "phone", texts, MDY, ""))
    )


BLANK_OR_NOT = st.text(st.sampled_from(" \t\r\n\u00a0\u2007\u202f\ufeff!~a\u007fé😀"), max_size=8)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(BLANK_OR_NOT, min_size=1, max_size=40))
def test_the_quick_look_at_the_edges_misses_no_blank(con: duckdb.DuckDBPyConnection, texts: list[str]) -> None:
    """Trimming is as in Python; a text that isn't blank stays character for character."""
    found = con.execute(
        f"SELECT t, {trimmed('t')}, {unless_blank('t')} FROM (SELECT unnest(?::VARCHAR[]) AS t)", [texts]
    ).fetchall()
    assert found == [(t, trim(t)[0], t if trim(t)[0] else None) for t in texts]


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Europe/Brussels", "Asia/Kathmandu"])
def test_local_time_to_utc_is_what_the_database_says(con: duckdb.DuckDBPyConnection, zone: str) -> None:
    """The shorter way gives what two conversions by time zone give, at the changes of the clock too."""
    different = con.execute(
        f"SELECT count(*) FROM (SELECT unnest(generate_series(TIMESTAMP '2024-12-31', TIMESTAMP '2026-01-02', "
        f"INTERVAL 17 MINUTE)) AS t) WHERE {local_to_utc('t', zone)} "
        f"IS DISTINCT FROM timezone('UTC', timezone('{zone}', t))"
    ).fetchone()
    assert different == (0,)
