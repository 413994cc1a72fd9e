"""Tests of what several people share: who keeps it is in the map, and written down person by person."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dentlib.mapping import check, household_facts, household_rows

Work = Callable[..., Any]
PATCH = "steps:\n  patients:\n    fields:\n      phones: {shared: first_keeps_it}\n"


def patient(key: str, **cells: str) -> dict[str, str]:
    return {"PatNum": key, "LName": "Doe", "FName": f"Ana {key}", "PatStatus": "Active", **cells}


FAMILY = [
    patient("1", EMail="family@example.com", HmPhone="(949) 555-2273", WirelessPhone="(949) 555-2001"),
    patient("2", EMail="family@example.com", HmPhone="949-555-2273"),
    patient("3", HmPhone="949 555 2273", WirelessPhone="(949) 555-2003"),
    patient("4", EMail="alone@example.com", HmPhone="(949) 555-2004"),
]


def numbers(payload: dict[str, Any]) -> list[str]:
    return [payload["phones"]["primaryPhoneNumber"], *(p["number"] for p in payload["phones"]["additionalPhones"])]


def test_the_shipped_map_leaves_a_shared_number_with_everybody(work: Work) -> None:
    """A number of the household merges nobody and is taken from nobody; who shares it is listed."""
    done = work({"patients": FAMILY})
    assert [numbers(p) for p in done.payloads("patients").values()] == [
        ["9495552001", "9495552273"], ["9495552273"], ["9495552003", "9495552273"], ["9495552004"],
    ]  # fmt: skip
    listed = [row for row in household_rows(done.con, done.map) if row[1] == "phones"]
    assert [(row[2], row[3], row[5], row[6]) for row in listed] == [
        ("patient:1", f"patient:{key}", True, 3) for key in "123"
    ]


def test_the_first_may_keep_a_number(work: Work) -> None:
    """The others have it after their own; where all are another's, none is the primary one."""
    done = work({"patients": FAMILY}, PATCH)
    assert [numbers(p) for p in done.payloads("patients").values()] == [
        ["9495552001", "9495552273"], ["", "9495552273"], ["9495552003", "9495552273"], ["9495552004"],
    ]  # fmt: skip
    facts = {f.field: f for f in household_facts(done.con, done.map) if f.step == "patients"}
    phones = facts["phones"]
    assert (phones.rule, phones.households, phones.people, phones.kept, phones.further) == (
        "first_keeps_it", 1, 3, 1, 2,
    )  # fmt: skip


def test_shared_addresses_are_listed_person_by_person_without_the_address(work: Work) -> None:
    """Also where a person of another step, or a record of the workspace, has it."""
    referrer = {"RefNum": "5", "RefKind": "Person", "LName": "Okafor", "FName": "Ben", "EMail": "alone@example.com"}
    done = work({"referrals": [referrer], "patients": FAMILY})
    listed = [row for row in household_rows(done.con, done.map) if row[1] == "emails.primaryEmail"]
    assert [(row[2], row[3], row[5]) for row in listed] == [
        ("patient:1", "patient:1", True),
        ("patient:1", "patient:2", False),
        ("referrerPerson:5", "patient:4", False),
    ]
    assert "@" not in repr(listed)


def test_an_address_can_not_be_kept_by_all(work: Work) -> None:
    """The destination wants it unique; the map's check says so before anything is prepared."""
    patch = "steps:\n  patients:\n    fields:\n      emails.primaryEmail: {shared: keep_all}\n"
    done = work({"patients": FAMILY[3:]}, patch)
    assert "shared_not_usable" in {p.code for p in check(done.map, done.con)}


# ---- rows that stand for records of the workspace ------------------------------------------------------------------

THEIRS = "7c1e1b5e-0000-4000-8000-000000000001"


def test_a_row_that_stands_for_a_record_has_its_id_and_children_point_to_it(work: Work) -> None:
    """And its address is no clash with that record; another row with the same address has it as a further one."""
    tables = {
        "patients": FAMILY,
        "procedures": [{"ProcNum": "9", "PatNum": "2", "ProcCode": "D1110", "ProcDate": "2025-01-02"}],
    }
    matched = {"patients": {"2": THEIRS}}
    done = work(tables, matched=matched, own_emails={"family@example.com": THEIRS})
    found = done.payloads("patients")
    assert found["2"]["id"] == THEIRS
    assert found["2"]["emails"]["primaryEmail"] == "family@example.com"
    assert found["1"]["emails"] == {"primaryEmail": "", "additionalEmails": ["family@example.com"]}
    children = [p for step in ("procedures",) for p in done.payloads(step).values()]
    assert {p["patientId"] for p in children} == {THEIRS}


def test_rows_that_fit_several_records_are_rejected_where_the_map_says_so(work: Work) -> None:
    """With a reason; they still add up."""
    done = work({"patients": FAMILY}, ambiguous={"patients": frozenset({"3"})})
    assert done.outcomes("patients") == [("3", "rejected", "match_ambiguous")]
    assert set(done.payloads("patients")) == {"1", "2", "4"}


@pytest.mark.parametrize("by", ["[domainName.primaryLinkUrl]", "[[emails.primaryEmail, nobody]]"])
def test_a_rule_over_a_field_that_the_step_does_not_fill_is_told(work: Work, by: str) -> None:
    """It could never match, and nobody would know."""
    patch = f"steps:\n  patients:\n    match: {{by: {by}, found: match_only, ambiguous: reject}}\n"
    done = work({"patients": FAMILY[3:]}, patch)
    assert "match_not_usable" in {p.code for p in check(done.map, done.con)}
