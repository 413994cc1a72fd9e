"""What each field type accepts, refuses and reads back as: tables of values, dirty ones included."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dentlib.clock import stamp
from dentlib.sandbox.twenty import links, phones, richtext, scalars
from dentlib.sandbox.twenty.composites import composite
from dentlib.sandbox.twenty.ids import is_uuid, new_ids, ordered_ids
from dentlib.sandbox.twenty.refusals import Refusal, inspect

REFUSED = object()


@pytest.mark.parametrize(
    ("coerce", "given_value", "stored"),
    [
        (scalars.text, "  <b>x</b> 🦷\n", "  <b>x</b> 🦷\n"),
        (scalars.text, "", None),
        (scalars.text, 42, REFUSED),
        (scalars.number, 12.345, 12.345),
        (scalars.number, "12", REFUSED),
        (scalars.number, True, REFUSED),
        (scalars.micros, 1234.56, 1234),
        (scalars.micros, "1250000", 1250000),
        (scalars.micros, 9007199254740993, 9007199254740992),
        (scalars.micros, "12,50", REFUSED),
        (scalars.boolean, False, False),
        (scalars.boolean, 1, REFUSED),
        (scalars.boolean, "true", REFUSED),
        (scalars.day, "1980-02-29", "1980-02-29"),
        (scalars.day, "02/29/1980", "1980-02-29"),
        (scalars.day, "19800229", "1980-02-29"),
        (scalars.day, "29/02/1980", REFUSED),
        (scalars.day, "1981-02-29", REFUSED),
        (scalars.day, "1980-02-29T23:30:00-08:00", REFUSED),
        (scalars.moment, "2024-03-10T02:30:00Z", "2024-03-10T02:30:00.000Z"),
        (scalars.moment, "2024-03-10T02:30:00-08:00", "2024-03-10T10:30:00.000Z"),
        (scalars.moment, "2024-03-10 02:30:00", "2024-03-10T02:30:00.000Z"),
        (scalars.moment, "2024-03-10T02:30:00.000+0000", "2024-03-10T02:30:00.000Z"),
        (scalars.moment, "2024-03-10T02:30:00.123456Z", "2024-03-10T02:30:00.123Z"),
        (scalars.moment, "2025-12-31", "2025-12-31T00:00:00.000Z"),
        (scalars.moment, "2025-02-30T10:00:00.000Z", REFUSED),
        (scalars.moment, "31/12/2025", REFUSED),
        (scalars.moment, 1710037800000, REFUSED),
        (scalars.uuid_value, "550E8400-E29B-41D4-A716-446655440000", "550e8400-e29b-41d4-a716-446655440000"),
        (scalars.uuid_value, "12345", REFUSED),
        (scalars.raw_json, '{"a":1}', {"a": 1}),
        (scalars.raw_json, "abc", REFUSED),
        (scalars.string_list, "14,15", ["14,15"]),
        (scalars.string_list, [14, 15], REFUSED),
        (scalars.select(["NEW"]), "new", REFUSED),
        (scalars.multi_select(["A", "VIP"]), ["VIP", "VIP"], ["VIP", "VIP"]),
        (scalars.multi_select(["A", "VIP"]), "A", ["A"]),
        (scalars.multi_select(["A", "VIP"]), "A,VIP", REFUSED),
        (composite("EMAILS"), {"primaryEmail": "A@Example.COM"}, {"primaryEmail": "a@example.com"}),
        (composite("EMAILS"), {"primaryEmail": " a@example.com"}, REFUSED),
        (composite("EMAILS"), {"primaryEmail": "jürgen@example.com"}, {"primaryEmail": "jürgen@example.com"}),
        (composite("EMAILS"), {"additionalEmails": '["b1@example.com"]'}, REFUSED),
        (composite("FULL_NAME"), "Ana", REFUSED),
        (composite("FULL_NAME"), {"middleName": "b"}, REFUSED),
        (composite("ACTOR"), {"source": "DENTRIX"}, REFUSED),
    ],
)
def test_values_are_checked_and_converted(coerce: scalars.Coerce, given_value: Any, stored: Any) -> None:
    """Each value is stored as recorded, or refused."""
    if stored is REFUSED:
        with pytest.raises(Refusal):
            coerce(given_value, "field")
    else:
        assert coerce(given_value, "field") == stored


@given(st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))
def test_a_moment_in_the_stored_form_stays_as_it_is(at: datetime) -> None:
    """What the server answers can be sent again unchanged."""
    assert scalars.moment(stamp(at), "createdAt") == stamp(at)


@pytest.mark.parametrize(
    ("number", "country", "calling_code", "parsed"),
    [
        ("+14155552671", None, None, ("4155552671", "US", "+1")),
        ("(415) 555-2671", "US", None, ("4155552671", "US", "+1")),
        ("415-555-2671", None, "+1", ("4155552671", "US", "+1")),
        ("415-555-2671 ext 12", "US", None, ("4155552671", "US", "+1")),
        ("+441632960961", "US", None, ("1632960961", "US", "+44")),
        ("555-0123", "US", None, ("5550123", "US", "+1")),
        ("1-800-DENTIST", "US", None, ("1800", "US", "+1")),
        ("030 1234567", "DE", None, ("301234567", "DE", "+49")),
        ("12", "US", None, ("12", "US", "+1")),
    ],
)
def test_phones_are_split(number: str, country: str | None, calling_code: str | None, parsed: tuple[str, ...]) -> None:
    """National digits, country and calling code, extensions dropped."""
    assert phones.parse(number, country, calling_code) == parsed


@pytest.mark.parametrize(
    ("number", "country", "calling_code", "code"),
    [
        ("(415) 555-2671", None, None, "INVALID_PHONE_NUMBER"),
        ("call me", None, None, "INVALID_PHONE_NUMBER"),
        ("415-555-2671 / 415-555-2672", "US", None, "INVALID_PHONE_NUMBER"),
        ("+16045550123", "US", None, "CONFLICTING_PHONE_COUNTRY_CODE"),
        ("604-555-0123", "US", None, "CONFLICTING_PHONE_COUNTRY_CODE"),
        ("4155552671", "USA", None, "INVALID_PHONE_COUNTRY_CODE"),
        ("4155552671", "US", "+49", "CONFLICTING_PHONE_CALLING_CODE_AND_COUNTRY_CODE"),
        ("4155552671", None, "+99999", "INVALID_PHONE_CALLING_CODE"),
    ],
)
def test_phones_are_refused(number: str, country: str | None, calling_code: str | None, code: str) -> None:
    """Each kind of bad number has its code."""
    with pytest.raises(Refusal) as refused:
        phones.parse(number, country, calling_code)
    assert refused.value.sub_code == code


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("HTTPS://Portal.Example.COM/A?b=C/", "https://portal.example.com/A?b=C"),
        ("https://two.example.com/", "https://two.example.com"),
        ("Example.com", "Example.com"),
    ],
)
def test_links_are_normalised(url: str, kept: str) -> None:
    """Scheme and host lower, trailing slash cut, bare domains kept."""
    assert links.normalise(url) == kept


@pytest.mark.parametrize("url", ["not a url", "plain", "ftp//x", "https:// spaced.example.com"])
def test_bad_links_are_refused(url: str) -> None:
    """What is no URL is refused."""
    with pytest.raises(Refusal, match="URL of the link"):
        links.normalise(url)


def test_blocknote_keeps_text_and_derives_markdown_with_blank_lines() -> None:
    """One paragraph block per line keeps the text; the markdown repeats it with blank lines between."""
    lines = ["* not a list", "", "# not a heading", "a  b <b> a_b_c"]
    blocks = [{"type": "paragraph", "content": [{"type": "text", "text": line, "styles": {}}]} for line in lines]
    text = orjson.dumps(blocks).decode()
    out = richtext.coerce_parts({"blocknote": text}, "bodyV2")
    assert out["blocknote"] == text
    assert out["markdown"] == "* not a list\n\n\n\n# not a heading\n\na  b <b> a_b_c\n"


def test_ids_are_valid_and_distinct() -> None:
    """Random and time-ordered ids pass the server's own check."""
    made = [*new_ids(500), *ordered_ids(500, 1_700_000_000_000)]
    assert len(set(made)) == 1000
    assert all(is_uuid(one) for one in made)


@pytest.mark.parametrize(
    ("value", "shown"),
    [("x", "'x'"), ("it's", '"it\'s"'), ([14, 15], "[ 14, 15 ]"), ({"a": None}, "{ a: null }"), (True, "true")],
)
def test_values_are_quoted_as_node_does(value: object, shown: str) -> None:
    """Messages quote values in Node's way."""
    assert inspect(value) == shown
