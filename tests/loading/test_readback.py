"""Tests of the comparison of what was sent with what is stored, type by type."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dentlib.loading import compare_record, field_types, normalise_equal
from dentlib.model import DestinationField, DestinationObject


def note(*lines: str, **more: Any) -> dict[str, str]:
    blocks = [
        {"type": "paragraph", "content": [{"type": "text", "text": line}] if line else []} | more for line in lines
    ]
    return {"blocknote": orjson.dumps(blocks).decode()}


SAME = [
    ("TEXT", "000123", "000123", ""),
    ("TEXT", None, "", "empty"),
    ("TEXT", "", None, "empty"),
    (
        "EMAILS",
        {"primaryEmail": "Ana@Example.com"},
        {"primaryEmail": "ana@example.com", "additionalEmails": []},
        "lower",
    ),
    ("EMAILS", {"primaryEmail": None, "additionalEmails": []}, {"primaryEmail": "", "additionalEmails": None}, "empty"),
    ("EMAILS", {"additionalEmails": ["A@x.eu"]}, {"primaryEmail": "", "additionalEmails": ["a@x.eu"]}, "lower-cased"),
    (
        "PHONES",
        {"primaryPhoneNumber": "+14155552671", "primaryPhoneCountryCode": "US"},
        {"primaryPhoneNumber": "4155552671", "primaryPhoneCountryCode": "US", "primaryPhoneCallingCode": "+1"},
        "national digits",
    ),
    ("PHONES", {"primaryPhoneNumber": "030 1234567"}, {"primaryPhoneNumber": "301234567"}, "digits only"),
    (
        "PHONES",
        {"additionalPhones": [{"number": "(415) 555-2671", "countryCode": "US"}]},
        {"additionalPhones": [{"number": "4155552671", "countryCode": "US", "callingCode": "+1"}]},
        "digits only",
    ),
    (
        "LINKS",
        {"primaryLinkUrl": "https://Dental.Example.com/"},
        {"primaryLinkUrl": "https://dental.example.com", "primaryLinkLabel": ""},
        "host lower-cased",
    ),
    (
        "CURRENCY",
        {"amountMicros": 1234560000, "currencyCode": "USD"},
        {"amountMicros": "1234560000", "currencyCode": "USD"},
        "same number",
    ),
    ("NUMBER", 3, 3.0, ""),
    ("NUMBER", "3.10", 3.1, "same number"),
    ("DATE", "1980-02-29", "1980-02-29T00:00:00.000Z", "date"),
    ("DATE_TIME", "2020-01-02T03:04:05.123456+02:00", "2020-01-02T01:04:05.123Z", "UTC"),
    ("DATE_TIME", "2025-12-31", "2025-12-31T00:00:00.000Z", "UTC"),
    ("MULTI_SELECT", ["A", "B"], ["B", "A"], "another order"),
    ("UUID", "6D1F8F0E-4F3F-5B0A-9C57-0D3E5B1C7A42", "6d1f8f0e-4f3f-5b0a-9c57-0d3e5b1c7a42", "lower"),
    ("RAW_JSON", '{"a": [1]}', {"a": [1]}, "JSON"),
    ("ARRAY", "one", ["one"], ""),
    ("FULL_NAME", {"firstName": "Ana", "lastName": None}, {"firstName": "Ana", "lastName": ""}, ""),
    (
        "ADDRESS",
        {"addressCity": "Ghent", "addressLat": "51.05"},
        {"addressCity": "Ghent", "addressLat": 51.05},
        "number",
    ),
    ("RICH_TEXT", note("* not a list", "", "<b>"), note("* not a list", "", "<b>", id="7", props={}), "block by block"),
    ("FILES", [{"fileId": "f1", "label": "x"}], [{"fileId": "f1", "label": "x", "url": "http://…"}], "address"),
    ("BOOLEAN", False, False, ""),
    ("", {"source": "API"}, {"source": "API", "name": "key"}, ""),
]

DIFFERENT = [
    ("TEXT", "a ", "a", "another value"),
    ("TEXT", "a", "", "not kept"),
    ("TEXT", None, "a", "sent empty"),
    ("EMAILS", {"primaryEmail": "a@x.eu"}, {"primaryEmail": ""}, "not kept"),
    ("EMAILS", {"additionalEmails": ["a@x.eu", "b@x.eu"]}, {"additionalEmails": ["a@x.eu"]}, "1 of 2"),
    ("PHONES", {"primaryPhoneNumber": "+18003368478"}, {"primaryPhoneNumber": "1800"}, "another number"),
    (
        "PHONES",
        {"primaryPhoneNumber": "1", "primaryPhoneCountryCode": "US"},
        {"primaryPhoneNumber": "1", "primaryPhoneCountryCode": "CA"},
        "CountryCode",
    ),
    ("CURRENCY", {"amountMicros": 1234560000}, {"amountMicros": 1234550000}, "another number"),
    (
        "CURRENCY",
        {"amountMicros": 1, "currencyCode": "USD"},
        {"amountMicros": 1, "currencyCode": "EUR"},
        "currencyCode",
    ),
    ("NUMBER", 0, None, "not kept"),
    ("DATE", "1980-02-29", "1980-03-01", "another date"),
    ("DATE_TIME", "2020-01-02T03:04:05Z", "2020-01-02T03:04:06Z", "another point"),
    ("MULTI_SELECT", ["A"], ["A", "B"], "other choices"),
    ("SELECT", "MALE", None, "not kept"),
    ("RICH_TEXT", note("a", "b"), note("a"), "1 of 2 blocks"),
    ("RICH_TEXT", note("a", "b"), note("a", "c"), "block 2 of 2"),
    ("FILES", [{"fileId": "f1"}], [{"fileId": "f2"}], "another file"),
    ("BOOLEAN", False, None, "not kept"),
    ("ARRAY", ["a", "b"], ["b", "a"], "another value"),
]


@pytest.mark.parametrize(("kind", "intended", "stored", "reason"), SAME)
def test_the_same_in_another_form(kind: str, intended: Any, stored: Any, reason: str) -> None:
    """What the destination writes differently and means the same is the same, and says how it differs."""
    same, said = normalise_equal(intended, stored, kind)
    assert same, said
    assert reason in said


@pytest.mark.parametrize(("kind", "intended", "stored", "reason"), DIFFERENT)
def test_a_difference_is_told(kind: str, intended: Any, stored: Any, reason: str) -> None:
    """What means something else is a difference, with its kind in words."""
    same, said = normalise_equal(intended, stored, kind)
    assert not same
    assert reason in said


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)
    )
)
def test_everything_equals_itself(value: Any) -> None:
    """Whatever the value, stored as sent is the same, without a reason."""
    assert normalise_equal(value, value, "") == (True, "")


@given(st.text(min_size=1), st.text(min_size=1))
def test_no_value_is_in_a_reason(one: str, other: str) -> None:
    """Reasons are for logs and pages: they never repeat what was compared."""
    for kind in ("TEXT", "UUID", "NUMBER", "DATE", "DATE_TIME", "SELECT"):
        _, said = normalise_equal(f"§{one}", f"§{other}", kind)
        assert "§" not in said


def test_a_record_is_compared_in_the_fields_that_were_sent() -> None:
    """Fields of the destination's own don't count; foreign keys are compared as ids."""
    described = DestinationObject(
        "1",
        "person",
        "people",
        fields={
            f.name: f for f in (DestinationField("1", "company", "RELATION"), DestinationField("2", "city", "TEXT"))
        },
    )
    types = field_types(described)
    compared = compare_record(
        {"companyId": "AB", "city": "Ghent"}, {"companyId": "ab", "city": "", "position": 1}, types
    )
    assert [(c.field, c.same) for c in compared] == [("companyId", True), ("city", False)]
