"""Tests of why a stored value differs: each explanation is worked out again, and what is not reproduced has none."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dentlib.loading.differences import Kind, explain
from dentlib.loading.measures import Links, Measured

US = {"primaryPhoneCountryCode": "US", "primaryPhoneCallingCode": "+1"}


def blocks(*lines: str) -> dict[str, str]:
    made = [{"type": "paragraph", "content": [{"type": "text", "text": line}]} for line in lines]
    return {"blocknote": orjson.dumps(made).decode()}


FOUND: list[tuple[str, Any, Any, Any, Kind]] = [
    ("TEXT", "abc", "abc", None, Kind.IDENTICAL),
    ("TEXT", None, "", None, Kind.NORMALISED),
    ("TEXT", "abcdef", "abc", None, Kind.TRUNCATED),
    ("TEXT", "abcdef", "def", None, Kind.UNEXPLAINED),
    ("TEXT", "abc", "", None, Kind.LOST),
    ("TEXT", "", "abc", None, Kind.UNEXPLAINED),
    ("SELECT", None, "TODO", "TODO", Kind.DEFAULTED),
    ("SELECT", None, "DONE", "TODO", Kind.UNEXPLAINED),
    ("BOOLEAN", True, False, False, Kind.UNEXPLAINED),
    ("NUMBER", 12.75, 12, None, Kind.TRUNCATED),
    ("NUMBER", 12.75, 13, None, Kind.UNEXPLAINED),
    ("CURRENCY", {"amountMicros": 10_000, "currencyCode": "USD"}, {"amountMicros": 0, "currencyCode": "USD"}, None,
     Kind.UNEXPLAINED),
    ("CURRENCY", {"amountMicros": 10_000, "currencyCode": "USD"}, {"amountMicros": None, "currencyCode": "USD"}, None,
     Kind.LOST),
    ("EMAILS", {"primaryEmail": "A@x.eu"}, {"primaryEmail": "a@x.eu", "additionalEmails": []}, None, Kind.NORMALISED),
    ("EMAILS", {"primaryEmail": "a@x.eu", "additionalEmails": ["b@x.eu", "c@x.eu"]},
     {"primaryEmail": "a@x.eu", "additionalEmails": ["b@x.eu"]}, None, Kind.TRUNCATED),
    ("PHONES", {"primaryPhoneNumber": "+14155552671"} | US, {"primaryPhoneNumber": "4155552671"} | US, None,
     Kind.NORMALISED),
    ("PHONES", {"primaryPhoneNumber": "+14155552671"} | US, {"primaryPhoneNumber": "5552671"} | US, None,
     Kind.UNEXPLAINED),
    ("PHONES", {"primaryPhoneNumber": "+14155552671"} | US, {"primaryPhoneNumber": ""} | US, None, Kind.LOST),
    ("DATE", "1980-02-29", "1980-02-28", None, Kind.UNEXPLAINED),
    ("DATE_TIME", "2025-01-02T09:00:00+01:00", "2025-01-02T08:00:00.000Z", None, Kind.NORMALISED),
    ("DATE_TIME", "2025-01-02T09:00:00+01:00", "2025-01-02T09:00:00.000Z", None, Kind.UNEXPLAINED),
    ("LINKS", {"primaryLinkUrl": "https://A.example/"}, {"primaryLinkUrl": "https://a.example"}, None, Kind.NORMALISED),
    ("RICH_TEXT", blocks("one", "two"), blocks("one"), None, Kind.TRUNCATED),
    ("RICH_TEXT", blocks("one", "two"), blocks("one", "tw"), None, Kind.TRUNCATED),
    ("RICH_TEXT_V2", blocks("one", "two"), blocks("two", "one"), None, Kind.UNEXPLAINED),
    ("MULTI_SELECT", ["A", "B"], ["B", "A"], None, Kind.NORMALISED),
    ("ARRAY", ["A", "B"], ["A"], None, Kind.TRUNCATED),
    ("FULL_NAME", {"firstName": "Ana", "lastName": "Ö"}, {"firstName": "Ana", "lastName": ""}, None, Kind.LOST),
    ("FULL_NAME", {"firstName": "Ana", "lastName": "Ö"}, {"firstName": "Ana", "lastName": "O"}, None, Kind.UNEXPLAINED),
]  # fmt: skip


@pytest.mark.parametrize(("field_type", "sent", "stored", "default", "kind"), FOUND)
def test_a_difference_has_the_explanation_that_reproduces_it(
    field_type: str, sent: Any, stored: Any, default: Any, kind: Kind
) -> None:
    """Type by type; the words never hold a value of either side."""
    found, how = explain(sent, stored, field_type, default)
    assert found is kind
    for value in (sent, stored):
        if isinstance(value, str) and len(value) > 3:
            assert value not in how


@given(st.text(min_size=1), st.text(min_size=1))
def test_text_is_never_explained_by_guessing(sent: str, stored: str) -> None:
    """Only an equal text is fine, and only a beginning is called truncated."""
    kind, _ = explain(sent, stored, "TEXT")
    assert (kind is Kind.IDENTICAL) == (sent == stored)
    assert (kind is Kind.TRUNCATED) == (sent != stored and sent.startswith(stored))


def test_both_sides_are_added_up_apart() -> None:
    """Sums, smallest and greatest, by currency; years and options in groups; nothing of a value that is not there."""
    measured = Measured(
        {"fee": "CURRENCY", "day": "DATE", "tags": "MULTI_SELECT", "open": "BOOLEAN", "at": "DATE_TIME"}
    )
    euro = {"amountMicros": 5_000_000, "currencyCode": "EUR"}
    measured.take("fee", euro, {"amountMicros": 4_990_000, "currencyCode": "EUR"})
    measured.take("fee", {"amountMicros": -1, "currencyCode": "USD"}, {"amountMicros": -1, "currencyCode": "USD"})
    measured.take("fee", None, {"amountMicros": None, "currencyCode": ""})
    measured.take("day", "1980-02-29", "1980-03-01")
    measured.take("tags", ["A", "B"], ["A"])
    measured.take("open", False, None)
    measured.take("at", "2025-01-01T00:30:00+01:00", "2024-12-31T23:30:00.000Z")
    assert sorted(measured.sums) == [("at", "milliseconds"), ("day", "days"), ("fee", "EUR"), ("fee", "USD")]
    euros = measured.sums["fee", "EUR"]
    assert (euros.sent.n, euros.sent.total, euros.stored.total) == (1, 5_000_000, 4_990_000)
    assert measured.sums["day", "days"].stored.total - measured.sums["day", "days"].sent.total == 1
    assert measured.sums["at", "milliseconds"].sent.total == measured.sums["at", "milliseconds"].stored.total
    sent, stored = measured.groups["tags", "values"]
    assert (dict(sent), dict(stored)) == ({"A": 1, "B": 1}, {"A": 1})
    assert measured.groups["open", "value"][1] == {"": 1}


def test_links_are_found_by_column_and_by_source_id() -> None:
    """Ids of records, members as owners, and texts that hold a source id of ours; expected before looking."""
    types = {"companyId": "UUID", "ownerId": "UUID", "guarantor": "TEXT", "sourceSystemId": "TEXT", "note": "TEXT"}
    links = Links(3, ("patient:",), frozenset({"m"}), types)
    record = {"companyId": "c", "ownerId": "m", "guarantor": "patient:1", "sourceSystemId": "patient:2",
              "note": "patient: unwell"}  # fmt: skip
    found = links.of(record)
    assert found == [("companyId", "c"), ("ownerId", "m"), ("guarantor", "patient:1")]
    assert links.kinds == {"companyId": "link", "ownerId": "owner", "guarantor": "family"}
    links.expect(found)
    links.take("x", "companyId", "c", "d")
    assert (links.expected["companyId"], links.children["companyId"], links.children["ownerId"]) == (1, 1, 0)
    assert (links.moved, links.parents) == ([(3, "x", "c", "d")], {(3, "c"): [1, 0], (3, "d"): [0, 1]})
