"""Column profiles: types, date styles, amounts and identifier classes decided from the values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal

import duckdb
import pytest

from dentlib.audit.identifiers import classify
from dentlib.audit.profile import Column, profile_columns
from dentlib.audit.views import amount_sql
from dentlib.model import Silence


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    """An empty work database in memory."""
    with duckdb.connect() as con:
        con.execute("CREATE SCHEMA raw")
        yield con


def profiled(con: duckdb.DuckDBPyConnection, **columns: Sequence[str | None]) -> dict[str, Column]:
    """Profile columns of one table, given by their values."""
    names = ", ".join(f'"{n}" VARCHAR' for n in columns)
    con.execute(f"CREATE OR REPLACE TABLE raw.t ({names})")
    con.executemany(
        f"INSERT INTO raw.t VALUES ({', '.join('?' * len(columns))})", list(zip(*columns.values(), strict=True))
    )
    return {n: c for (_, n), c in profile_columns(con, {"t": list(columns)}, {}, Silence()).items()}


@pytest.mark.parametrize(
    ("values", "type"),
    [
        ([None, " ", ""], "empty"),
        (["1", "20", "-3"], "integer"),
        (["007", "12", "15"], "text"),
        (["1.5", "2", "1,234.50"], "decimal"),
        (["$1,250.00", "(45.00)", "-45.00"], "decimal"),
        (["1.234,50", "12,5", "7"], "decimal"),
        (["Y", "N", "y"], "boolean"),
        (["222 322", "323 424", "222 222"], "text"),
        (["1.2.840.1", "1.2.840.2", "1.2.840.3"], "text"),
        (["2025-03-09", "2024-02-29", " 2023-01-01 "], "date"),
        (["2025-03-09 14:05:00", "2024-02-29 00:00:00", "2023-01-01 10:00:00"], "datetime"),
        (["20250309", "20240229", "20230101"], "integer"),
        (["a", "b", "12"], "text"),
    ],
)
def test_types(con: duckdb.DuckDBPyConnection, values: list[str | None], type: str) -> None:
    """A type is what all values are, written as people write them; leading zeros make a code of a number."""
    assert profiled(con, c=values)["c"].facts.type == type


@pytest.mark.parametrize(
    ("values", "format", "unreadable"),
    [
        (["03/04/2024", "12/31/2024"], "%m/%d/%Y", 0),
        (["03/04/2024", "31/12/2024"], "%d/%m/%Y", 0),
        (["3/4/2024", "12/31/2024"], "%m/%d/%Y", 0),
        (["03/04/2024", "05/06/2024"], "undecided: %m/%d/%Y or %d/%m/%Y", 0),
        (["31.12.2024", "01.02.2024"], "%d.%m.%Y", 0),
        (["09-Mar-2025", "10-Apr-2025"], "%d-%b-%Y", 0),
        (["2025-03-09T14:05:00Z", "2025-03-10T14:05:00Z"], "%Y-%m-%dT%H:%M:%SZ", 0),
        (["03/31/2024", "04/30/2024", "2025-01-02"], "mixed: %m/%d/%Y 2, %Y-%m-%d 1", 0),
        (["2024-01-0" + str(n) for n in range(1, 8)] + ["2024-02-31"], "%Y-%m-%d", 1),
        (["01/02/25", "12/31/24"], "%m/%d/%y", 0),
        (["2025-03-09 10:00:00.000", "2025-03-10 10:00:00.123456"], "%Y-%m-%d %H:%M:%S.%f", 0),
        (["2025-03-09 10:00:00.1234567", "2025-03-10 10:00:00.1234568"], "%Y-%m-%d %H:%M:%S.%n", 0),
        (["2025-03-09T10:00:00+02:00", "2025-03-10T10:00:00-0500"], "%Y-%m-%dT%H:%M:%S%z", 0),
        (["2025-03-09 02:05 PM", "2025-03-09 11:05 AM"], "%Y-%m-%d %I:%M %p", 0),
    ],
)
def test_date_styles(con: duckdb.DuckDBPyConnection, values: list[str], format: str, unreadable: int) -> None:
    """The values decide how dates are read; where nothing decides, that is said."""
    column = profiled(con, c=list(values))["c"]
    assert column.facts.format == format
    assert column.dates.unreadable == unreadable


def test_other_columns_decide_between_day_and_month(con: duckdb.DuckDBPyConnection) -> None:
    """A column whose values leave it open follows the export's other columns, if they all agree."""
    columns = profiled(con, a=["03/04/2024", "05/06/2024"], b=["31/12/2024", "30/11/2024"])
    assert columns["a"].facts.format == "%d/%m/%Y"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2025-03-09 10:00:00.1234560", datetime(2025, 3, 9, 10, 0, 0, 123456)),
        ("2025-03-09T10:00:00.5+02:00", datetime(2025, 3, 9, 10, 0, 0, 500000)),
        ("2025-03-09T10:00:00.25Z", datetime(2025, 3, 9, 10, 0, 0, 250000)),
        ("9-Mar-2025", datetime(2025, 3, 9)),
        ("09 March 2025", datetime(2025, 3, 9)),
    ],
)
def test_every_style_can_be_read(con: duckdb.DuckDBPyConnection, text: str, moment: datetime) -> None:
    """What a profile says of a column's dates is what its SQL reads."""
    column = profiled(con, c=[text])["c"]
    assert con.execute(f"SELECT {column.dates.sql('c')} FROM raw.t").fetchall() == [(moment,)]


def test_a_date_is_read_only_under_its_own_shape(con: duckdb.DuckDBPyConnection) -> None:
    """A two-digit year never becomes the year 25, nor does an impossible day become another one."""
    column = profiled(con, c=["03/31/2024", "04/30/2024", "05/30/2024", "06/30/2024", "1/2/25", "02/31/2024"])["c"]
    read = con.execute(f"SELECT {column.dates.sql('c')} FROM raw.t").fetchall()
    assert read[0] == (datetime(2024, 3, 31),)
    assert read[4] in [(None,), (datetime(2025, 1, 2),)]
    assert read[5] == (None,)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("95.00", "95"),
        ("$1,250.00", "1250"),
        ("1.234,50", "1234.5"),
        ("12,5", "12.5"),
        ("($45.00)", "-45"),
        ("-45.00", "-45"),
        (" 7 ", "7"),
        ("1,234", "1234"),
        ("n/a", None),
        ("", None),
    ],
)
def test_amounts(con: duckdb.DuckDBPyConnection, text: str, amount: str | None) -> None:
    """Amounts are read exactly, in the bookkeeper's spellings; what is none is nothing."""
    row = con.execute(f"SELECT {amount_sql('t')} FROM (SELECT ? AS t)", [text]).fetchone()
    assert row == (None if amount is None else Decimal(amount),)


@pytest.mark.parametrize(
    ("column", "facts", "expected"),
    [
        ("LName", {"type": "text", "distinct": 90, "longest": 12}, "name"),
        ("Soyadı", {"type": "text", "distinct": 90, "longest": 12}, "name"),
        ("x1", {"type": "text", "distinct": 90, "longest": 30, "matches": {"email": 95}}, "email"),
        ("x2", {"type": "text", "distinct": 90, "longest": 14, "matches": {"phone": 95}}, "phone"),
        ("Amount", {"type": "decimal", "distinct": 90, "longest": 14, "matches": {"phone": 95}}, ""),
        ("visited", {"type": "date", "distinct": 90, "longest": 10}, "date"),
        ("whatever", {"type": "text", "distinct": 90, "longest": 10}, "free_text"),
        ("whatever", {"type": "text", "distinct": 4, "longest": 80}, "free_text"),
        ("colour", {"type": "text", "distinct": 4, "longest": 8}, ""),
        ("serie", {"type": "integer", "distinct": 100, "longest": 3}, "record"),
    ],
)
def test_identifier_classes_of_unknown_columns(column: str, facts: dict[str, object], expected: str) -> None:
    """Values, then the header, then how much they differ tell what a column identifies; doubt means identifying."""
    given = {"filled": 100, "matches": {}} | facts
    assert classify(column, **given) == expected  # type: ignore[arg-type]


def test_small_cells_are_not_told(con: duckdb.DuckDBPyConnection) -> None:
    """A pick-list tells only values that five rows or more have, and no identifying column tells any."""
    columns = profiled(con, colour=["red"] * 6 + ["blue"] * 4, last_name=["Doe"] * 10)
    assert columns["colour"].facts.values == (("red", 6),)
    assert columns["colour"].facts.masked_examples == ("red",)
    assert columns["last_name"].facts.values == ()
    assert columns["last_name"].facts.masked_examples == ("Aaa",)
