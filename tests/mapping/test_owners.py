"""Who gets whose records: what the map assigns, a placeholder, and who may stay without an owner."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dentlib.mapping import load_map, owner_rows, undecided_owners, write_assigned
from dentlib.pairs import known_pairs, load_pair

Work = Callable[..., Any]
ADMIN = "admin@brightsmile.example"
MARA = "mara.velden@brightsmile.example"
STAFF = [
    {"StaffID": "3", "LName": "Velden", "FName": "Mara", "EMail": MARA},
    {"StaffID": "4", "LName": "Haddad", "FName": "Noor", "EMail": ""},
]


def practice(*providers: str) -> dict[str, list[dict[str, str]]]:
    """Return raw tables: one patient, an appointment for each provider."""
    patient = {"PatNum": "1", "LName": "Ruiz", "FName": "Ana", "PatStatus": "Active"}
    slots = [
        {
            "AptNum": str(n), "PatientID": "1", "AptDate": "06/30/2025", "AptTime": "09:30 AM", "LengthMin": "45",
            "AptType": "Cleaning", "AptStatus": "Completed", "Chair": "Op 2", "ProvID": provider,
        }
        for n, provider in enumerate(providers, 1)
    ]  # fmt: skip
    return {"patients": [patient], "appointments": slots, "staff": STAFF}


def found(done: Any) -> dict[str, tuple[str, str, int]]:
    return {o.source_key: (o.how, o.member_email, o.records) for o in owner_rows(done.con, done.map)}


def test_what_the_map_assigns_goes_before_any_match(work: Work) -> None:
    """By key, also for a number that is not in the list of staff; the payload has that member."""
    done = work(practice("3", "4", "77"), f"owners: {{assigned: {{3: {ADMIN}, '4': {MARA}, '77': {MARA}}}}}\n")
    assert found(done) == {"3": ("matched", ADMIN, 1), "4": ("matched", MARA, 1), "77": ("matched", MARA, 1)}
    owners = {k: p["assigneeId"] for k, p in done.payloads("appointments").items()}
    assert owners["2"] == owners["3"] != owners["1"]
    assert done.payloads("appointments")["2"]["sourceOwner"] == "Noor Haddad"
    assert [p for p in done.problems("appointments") if p[1] == "assigneeId"] == []


def test_a_placeholder_stands_in_for_staff_without_a_match(work: Work) -> None:
    """In place of the fallback owner; what names nobody still goes to that one."""
    done = work(practice("3", "4", ""), f"owners: {{placeholder: {MARA}}}\n")
    assert found(done) == {"3": ("matched", MARA, 1), "4": ("placeholder", MARA, 1), "": ("fallback", ADMIN, 1)}
    owners = {k: p["assigneeId"] for k, p in done.payloads("appointments").items()}
    assert owners["1"] == owners["2"] != owners["3"]


def test_only_the_map_lets_records_stay_without_an_owner(work: Work) -> None:
    """Named staff, or everybody; nobody of them is undecided then."""
    done = work(practice("3", "4", ""), "owners: {unassigned: [4]}\n")
    assert found(done)["4"] == ("unassigned", "", 1)
    assert done.payloads("appointments")["2"]["assigneeId"] is None
    assert undecided_owners(done.con, done.map) == ()


def test_everybody_may_stay_without_an_owner(work: Work) -> None:
    """`*` in the map: no fallback for anything."""
    done = work(practice("3", "4", "", "77"), "owners: {unassigned: ['*']}\n")
    assert {k: how for k, (how, _, _) in found(done).items()} == {
        "3": "matched", "4": "unassigned", "": "unassigned", "77": "unassigned",
    }  # fmt: skip
    assert undecided_owners(done.con, done.map) == ()


@pytest.mark.parametrize(
    ("patch", "fallback"),
    [
        ("", "nobody@brightsmile.example"),
        ("owners: {placeholder: nobody@brightsmile.example}\n", ADMIN),
        ("owners: {assigned: {'4': nobody@brightsmile.example}}\n", ADMIN),
    ],
)
def test_who_has_no_member_and_no_leave_is_undecided(work: Work, patch: str, fallback: str) -> None:
    """No fallback, a placeholder or an assignment to somebody who is no member: named with the records."""
    done = work(practice("3", "4"), patch, fallback_owner_email=fallback)
    assert [(o.source_key, o.records) for o in undecided_owners(done.con, done.map)] == [("4", 1)]


def test_an_assignment_is_kept_in_the_map_file(tmp_path: Path) -> None:
    """Comments and everything else stay; the newest word on a key counts; keys are texts."""
    path = tmp_path / "map.yaml"
    path.write_text("# ours\nformats: {date_order: mdy}\nowners:\n  placeholder: a@b.example # the desk\n")
    write_assigned(path, {"007": "x@b.example", "5": "y@b.example"})
    write_assigned(path, {"5": "z@b.example"})
    text = path.read_text()
    assert "# ours" in text
    assert "# the desk" in text
    assert path.stat().st_mode & 0o777 == 0o600
    owners = load_map(load_pair("dent-o-soft", "twenty"), path).pair.owners
    assert owners is not None
    assert owners.assigned == {"007": "x@b.example", "5": "z@b.example"}
    assert owners.placeholder == "a@b.example"


@pytest.mark.parametrize(("source", "destination"), known_pairs())
def test_every_owned_step_keeps_the_source_owner_as_text(source: str, destination: str) -> None:
    """Whoever gets the record, the name that the source had stays on it."""
    for step in load_pair(source, destination).steps:
        if step.owner is not None and step.owner.source:
            assert step.owner.name_field, step.step
