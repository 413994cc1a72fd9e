"""Tests of the value functions: tables of dirty values, and laws that hold for every value."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dentlib.mapping import values
from dentlib.mapping.values import Phone, ValueContext

MDY = ValueContext("America/Los_Angeles", "USD", "US", date(2026, 1, 5), "mdy")
DMY = ValueContext("Europe/Brussels", "EUR", "BE", date(2026, 1, 5), "dmy", ",")
UNDECIDED = ValueContext("Europe/Brussels", "EUR", "BE", date(2026, 1, 5))

PHONES = [
    ("(415) 555-2671", ["4155552671"], ""),
    ("415.555.2671", ["4155552671"], ""),
    ("+1 415 555 2671", ["4155552671"], ""),
    ("1-415-555-2671", ["4155552671"], ""),
    ("0014155552671", ["4155552671"], ""),
    ("415-555-2671 x12", ["4155552671"], "phone_extension_dropped"),
    ("415-555-2671 ext. 12", ["4155552671"], "phone_extension_dropped"),
    ("415-555-2671 / 415-555-2672", ["4155552671", "4155552672"], "phone_several_in_one"),
    ("1-800-DENTIST", ["8003368478"], "phone_letters_read"),
    ("555-2671", [], "phone_invalid"),
    ("12", [], "phone_invalid"),
    ("call me", [], "phone_invalid"),
    ("2147483647", [], "phone_overflowed"),
]


@pytest.mark.parametrize(("text", "numbers", "code"), PHONES)
def test_phone(text: str, numbers: list[str], code: str) -> None:
    """A number is one that exists in its country, or it is told and kept as text."""
    found, why = values.phones(text, "US")
    assert [p.number for p in found] == numbers
    assert why == code


def test_a_phone_belongs_to_the_country_that_its_number_says() -> None:
    """A Canadian number isn't sent as American: the destination refuses that with its whole batch."""
    assert values.phones("604 555 0123", "US") == ((Phone("6045550123", "CA", "+1"),), "")
    assert values.phones("+44 20 7946 0958", "US") == ((Phone("2079460958", "GB", "+44"),), "")


EMAILS = [
    ("Ana.Ruiz@Example.COM ", "ana.ruiz@example.com"),
    ("mailto:a@example.com", "a@example.com"),
    ("a+tag@sub.example.co.uk", "a+tag@sub.example.co.uk"),
    ("o'neil@example.com", "o'neil@example.com"),
    ("not an email", None),
    ("a@b", None),
    ("a..b@example.com", None),
    (".a@example.com", None),
    ("a@example.com, b@example.com", None),
    ("a@-example.com", None),
    ("@example.com", None),
]


@pytest.mark.parametrize(("text", "clean"), EMAILS)
def test_email(text: str, clean: str | None) -> None:
    """Small letters; as strict as the destination, because one bad address fails a whole batch."""
    assert values.email(text) == (clean, "" if clean else "email_invalid")


DATES = [
    ("2025-03-09", MDY, date(2025, 3, 9), ""),
    ("03/09/2025", MDY, date(2025, 3, 9), ""),
    ("03/09/2025", DMY, date(2025, 9, 3), ""),
    ("3.9.2025", DMY, date(2025, 9, 3), ""),
    ("09-Mar-2025", MDY, date(2025, 3, 9), ""),
    ("Mar 9, 2025", DMY, date(2025, 3, 9), ""),
    ("20250309", MDY, date(2025, 3, 9), ""),
    (" 2025/3/9 ", MDY, date(2025, 3, 9), ""),
    ("2025-03-09 23:30:00", MDY, date(2025, 3, 9), ""),
    ("2025-03-09T03:30:00Z", MDY, date(2025, 3, 8), ""),
    ("02/31/2024", MDY, None, "date_impossible"),
    ("31/02/2024", DMY, None, "date_impossible"),
    ("13/12/2024", MDY, None, "date_impossible"),
    ("1899-13-01", MDY, None, "date_impossible"),
    ("03/09/25", MDY, None, "date_two_digit_year"),
    ("03/09/2025", UNDECIDED, None, "date_order_unknown"),
    ("23/09/2025", UNDECIDED, date(2025, 9, 23), ""),
    ("09/23/2025", UNDECIDED, date(2025, 9, 23), ""),
    ("0206-01-01", MDY, None, "date_out_of_range"),
    ("soon", MDY, None, "date_unreadable"),
]


@pytest.mark.parametrize(("text", "context", "day", "code"), DATES)
def test_date(text: str, context: ValueContext, day: date | None, code: str) -> None:
    """A day-month order that nobody decided is refused, not guessed."""
    assert values.local_date(text, context) == (day, code)


@pytest.mark.parametrize(
    ("text", "code"),
    [("1900-01-01", "date_placeholder"), ("2061-02-03", "date_in_future"), ("1850-01-01", "date_out_of_range")],
)
def test_a_birth_date_that_nobody_has(text: str, code: str) -> None:
    """Placeholders and the future are no birth dates."""
    assert values.birth_date(text, MDY) == (None, code)


MOMENTS = [
    ("2025-03-09 14:05:00", datetime(2025, 3, 9, 21, 5, tzinfo=UTC)),
    ("03/09/2025 09:30 AM", datetime(2025, 3, 9, 16, 30, tzinfo=UTC)),
    ("01/09/2025 12:00 AM", datetime(2025, 1, 9, 8, 0, tzinfo=UTC)),
    ("2022-07-20T07:13:55Z", datetime(2022, 7, 20, 7, 13, 55, tzinfo=UTC)),
    ("2022-07-20T07:13:55.123456+02:00", datetime(2022, 7, 20, 5, 13, 55, 123000, tzinfo=UTC)),
    ("2025-03-09 02:30:00", datetime(2025, 3, 9, 10, 30, tzinfo=UTC)),  # skipped by the clock: 03:30 summer time
    ("2025-11-02 01:30:00", datetime(2025, 11, 2, 9, 30, tzinfo=UTC)),  # comes twice: winter time
    ("2025-06-01", datetime(2025, 6, 1, 7, 0, tzinfo=UTC)),
]


@pytest.mark.parametrize(("text", "moment"), MOMENTS)
def test_point_in_time(text: str, moment: datetime) -> None:
    """Local time becomes UTC; a date alone is midnight, unless the map says another time of day."""
    assert values.point_in_time(text, MDY) == (moment, "")


def test_a_date_at_a_time_of_day_and_impossible_times() -> None:
    """The map may put a date at nine in the morning; 25:00 and 13:00 PM don't exist."""
    assert values.point_in_time("2025-06-01", MDY, time(9))[0] == datetime(2025, 6, 1, 16, 0, tzinfo=UTC)
    assert values.point_in_time("2025-06-01 25:00", MDY) == (None, "time_impossible")
    assert values.point_in_time("2025-06-01 13:00 PM", MDY) == (None, "time_impossible")


MONEY = [
    ("1234.50", ".", "1234.50"),
    ("$2,400.00", ".", "2400.00"),
    ("(45.00)", ".", "-45.00"),
    ("($45.00)", ".", "-45.00"),
    ("-45.00", ".", "-45.00"),
    ("45-", ".", "-45"),
    ("USD 30", ".", "30"),
    (".5", ".", "0.5"),
    ("1.234,56 €", ",", "1234.56"),
    ("1 234,56", ",", "1234.56"),
    ("1.234,56", ".", None),
    ("12,34", ".", None),
    ("1,23,456.00", ".", None),
    ("N/A", ".", None),
    ("99999999999999", ".", None),
]


@pytest.mark.parametrize(("text", "decimal", "amount"), MONEY)
def test_money(text: str, decimal: str, amount: str | None) -> None:
    """Exact, or not at all; the sign of a bookkeeper's parentheses is kept."""
    value, code = values.money(text, decimal)
    assert value == (Decimal(amount) if amount else None)
    assert bool(code) == (amount is None)


@given(st.decimals(min_value=-(10**9), max_value=10**9, places=2, allow_nan=False, allow_infinity=False))
def test_money_goes_there_and_back_to_the_cent(amount: Decimal) -> None:
    """Written and read again, and in millionths, an amount loses nothing."""
    value, _ = values.money(f"{amount:,.2f}")
    assert value == amount
    assert Decimal(values.micros(amount)) / 1_000_000 == amount


@pytest.mark.parametrize(
    ("text", "number"), [("30", 30), (" -5 ", -5), ("30.0", 30), ("30.5", None), ("1e3", None), ("thirty", None)]
)
def test_integer(text: str, number: int | None) -> None:
    """Whole numbers only."""
    assert values.integer(text)[0] == number


@pytest.mark.parametrize(
    ("text", "truth"), [("Y", True), ("nee", False), ("Evet", True), ("0", False), ("maybe", None)]
)
def test_boolean(text: str, truth: bool | None) -> None:
    """Yes and no in the languages of the vocabulary; anything else is told."""
    assert values.boolean(text)[0] is truth


@pytest.mark.parametrize(("text", "ordered"), [("dom", "MOD"), ("M,O", "MO"), ("BLM", "MBL"), ("Q", None), ("-", None)])
def test_surfaces(text: str, ordered: str | None) -> None:
    """Surfaces are put in order before they are compared."""
    assert values.surfaces(text)[0] == ordered


@pytest.mark.parametrize(
    ("text", "teeth"),
    [("3,4", ("3", "4")), ("3-5", ("3", "4", "5")), ("A t", ("A", "T")), ("#14", ("14",)), ("9-3", ()), ("upper", ())],
)
def test_teeth(text: str, teeth: tuple[str, ...]) -> None:
    """Lists and ranges are spelt out, in the notation in which they came."""
    assert values.teeth(text)[0] == teeth


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("www.acme.example", "https://www.acme.example"),
        ("HTTP://Acme.example/x?y=1", "http://Acme.example/x?y=1"),
        ("javascript:alert(1)", None),
        ("ftp://acme.example", None),
        ("acme", None),
        ("acme.example/a b", None),
    ],
)
def test_link(text: str, url: str | None) -> None:
    """Only web addresses; a bare host gets its scheme."""
    assert values.link(text)[0] == url


@pytest.mark.parametrize(
    ("text", "name", "category"),
    [
        ("scan.PDF", "scan.PDF", "TEXT_DOCUMENT"),
        ("C:\\docs\\xray.png", "xray.png", "IMAGE"),
        ("x.dcm", "x.dcm", "IMAGE"),
        ("../../etc/passwd", None, None),
        ("..", None, None),
        ("noextension", None, None),
        ("model.stl", "model.stl", "OTHER"),
    ],
)
def test_file_names(text: str, name: str | None, category: str | None) -> None:
    """The bare name with an extension, because the destination refuses a file without."""
    assert values.file_label(text)[0] == name
    assert values.file_category(text)[0] == category


@settings(max_examples=200)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r"), max_size=200))
def test_blocknote_keeps_a_text_character_for_character(text: str) -> None:
    """There and back again: markup, blanks, quotes, emoji and empty lines survive."""
    blocks, code = values.blocknote(text)
    assert blocks is not None
    assert code == ""
    assert values.blocknote_text(blocks) == text


def test_blocknote_has_the_shape_that_the_destination_keeps() -> None:
    """One paragraph per line; an empty line is a paragraph without content."""
    assert values.blocknote("* not a list\r\n\r\nend")[0] == (
        '[{"type":"paragraph","content":[{"type":"text","text":"* not a list","styles":{}}]},'
        '{"type":"paragraph","content":[]},'
        '{"type":"paragraph","content":[{"type":"text","text":"end","styles":{}}]}]'
    )


def test_a_text_that_no_crm_can_hold_is_told() -> None:
    """NUL is taken out and told; a text beyond the search index is refused."""
    assert values.exact("a\x00b") == ("ab", "nul_removed")
    assert values.exact("x" * 600_000) == (None, "text_too_long")
