"""The SQL of the value functions and their Python must give the same answer to every text."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dentlib.mapping.functions import FUNCTIONS, read_odd_texts
from dentlib.mapping.values import ValueContext

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
