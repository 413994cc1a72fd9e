"""Nothing vanishes: a value that can't be carried as it stands is kept as text, told with its reason, or both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dentlib.mapping import explain, remark_counts, rows_set_aside, value_remarks
from dentlib.mapping.values import blocknote_text
from dentlib.model import record_id

Prepared = Any  # the fixture of conftest
Work = Callable[..., Prepared]
ORDERS = "formats: {date_order: mdy, decimal: .}\n"


def patient(key: str, **more: str) -> dict[str, str]:
    """Return a patient's raw row."""
    return {"PatNum": key, "LName": "Ruiz", "FName": "Ana", "PatStatus": "Active"} | more


def test_the_number_of_a_parent_that_is_not_there_is_kept(work: Work) -> None:
    """A lookup that leads nowhere is left empty, told, and its number stays readable beside the record."""
    lab = {"LabCaseNum": "5", "PatNum": "1", "LabNum": "77", "RxDate": "01/13/2025", "Shade": "A2"}
    done = work({"patients": [patient("1", CarrierNum="99")], "labcases": [lab]}, ORDERS)
    assert done.payloads("patients")["1"]["carrierCompanyId"] is None
    assert done.payloads("patients")["1"]["sourceRemarks"] == "Insurance carrier: 99"
    assert done.payloads("lab_prescriptions")["5"]["sourceRemarks"] == "Lab: 77"
    assert ("1", "carrierCompanyId", "orphan") in done.problems("patients")


def test_a_referrer_that_is_nowhere_is_kept_once(work: Work) -> None:
    """A referrer is looked for among organisations and persons; one that is neither is kept as one line, not two."""
    done = work({"patients": [patient("1", ReferredBy="8")], "referrals": [{"RefNum": "1", "RefKind": "Person"}]})
    assert done.payloads("patients")["1"]["sourceRemarks"] == "Referred by: 8"


def test_who_keeps_a_shared_address_is_named(work: Work) -> None:
    """Of each person whose address another one keeps, the list names that other record: person by person."""
    rows = [
        patient("1", EMail="a@example.com"),
        patient("2", EMail="A@example.com"),
        patient("3", EMail="b@example.com"),
    ]
    done = work({"patients": rows}, existing_emails=frozenset({"b@example.com"}))
    told = {r.source_key: r.detail for r in value_remarks(done.con, done.map) if r.code == "shared_value"}
    assert told == {"2": "kept by patient:1", "3": "kept by a record of the workspace itself"}
    assert ("patients", "Patients", "emails.primaryEmail", "shared_value") in {
        c[:4] for c in remark_counts(done.con, done.map)
    }


def test_letters_in_a_phone_number_are_told(work: Work) -> None:
    """A vanity number is dialled by its digits; the letters stay readable. An extension is no vanity number."""
    rows = [patient("1", WirelessPhone="949-555-CARE"), patient("2", WirelessPhone="(916) 555-4032 ext 204")]
    done = work({"patients": rows})
    found = done.payloads("patients")
    assert found["1"]["phones"]["primaryPhoneNumber"] == "9495552273"
    assert found["1"]["sourceRemarks"] == "Mobile phone: 949-555-CARE"
    assert [c for _, _, c in done.problems("patients")] == ["phone_letters_read", "phone_extension_dropped"]


def test_a_sum_that_misses_a_value_says_so(work: Work) -> None:
    """Fees that can't be read make the sum incomplete, which is told; teeth keep the order in which they were named."""
    procedures = [
        {"ProcNum": "1", "PatNum": "1", "PlanID": "4", "ProcCode": "D1110", "Fee": "95.10", "ToothNum": "3,15"},
        {"ProcNum": "2", "PatNum": "1", "PlanID": "4", "ProcCode": "D0120", "Fee": "ask", "ToothNum": "15,2"},
        {"ProcNum": "3", "PatNum": "1", "PlanID": "", "ProcCode": "D0120", "Fee": "ask", "ToothNum": "9"},
    ]
    plan = {"PlanID": "4", "PatNum": "1", "Heading": "Crowns", "PlanStatus": "Proposed"}
    done = work({"patients": [patient("1")], "treatplans": [plan], "procedures": procedures})
    found = done.payloads("plans")["4"]
    assert found["procedureFee"]["amountMicros"] == 95_100_000
    assert found["toothNumber"] == ["3", "15", "2"]
    assert found["procedureCode"] == ["D1110", "D0120"]
    assert ("4", "procedureFee", "sum_incomplete") in done.problems("plans")


def test_a_picture_that_is_called_a_pdf_is_told(work: Work, tmp_path: Path) -> None:
    """The file goes up, because the destination recognises it; note and list say that its name is wrong."""
    (tmp_path / "scan.pdf").write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 20)
    (tmp_path / "good.pdf").write_bytes(b"%PDF-1.4")
    documents = [
        {"DocNum": "1", "PatNum": "1", "FileName": "scan.pdf", "FileSize": "28"},
        {"DocNum": "2", "PatNum": "1", "FileName": "good.pdf", "FileSize": "9999"},
        {"DocNum": "3", "PatNum": "1", "FileName": "lost.pdf", "FileSize": "51234"},
    ]
    done = work({"patients": [patient("1")], "docindex": documents}, documents_dir=tmp_path)
    assert ("1", "file", "file_of_another_kind") in done.problems("document_files")
    assert list(done.payloads("document_files")) == ["1", "2"]
    told = {k: blocknote_text(p["bodyV2"]["blocknote"]) for k, p in done.payloads("documents").items()}
    assert "Uploaded; the file's content is of another kind" in told["1"]
    assert "Size: 8 bytes\nSize by the source system: 9999 bytes" in told["2"]
    assert "Size: unknown\nSize by the source system: 51234 bytes\nNot uploaded" in told["3"]


TEXTS = [
    "plain",
    "  leading blanks, trailing too  ",
    "* not a list\n# not a heading\n1. not a number",
    "first\n\n\nafter two empty lines\n",
    "quotes \" and ' and \\ and \t tab",
    "<b>x</b> <script>alert(1)</script> &amp; a_b_c **d**",
    "emoji 🦷 and İıŞş and \u00a0no-break",
    "[x](javascript:void(0))",
    "x" * 40_000,
]


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_a_note_arrives_character_for_character(work: Work, text: str) -> None:
    """Each line is one paragraph of plain text; put together again, they are the source's text."""
    note = {"NoteNum": "1", "PatNum": "1", "NoteDate": "2025-01-31 10:00:00", "NoteType": "Clinical", "NoteText": text}
    done = work({"patients": [patient("1")], "clinicalnotes": [note]})
    assert blocknote_text(done.payloads("clinical_notes")["1"]["bodyV2"]["blocknote"]) == text


def test_no_value_of_a_whole_practice_vanishes_untold(practice: Prepared) -> None:
    """Every field of every record: where the source has a text and the record has none, a reason is given."""
    looked_at, vanished = 0, []
    for step in practice.map.active_steps:
        for row in explain(practice.con, practice.map, step.step, list(practice.payloads(step.step))):
            looked_at += 1
            given = row.source_columns.startswith("(")  # by the map, not by the source
            if row.source.strip() and row.intended in ("", "[]") and not row.problem and not given:
                vanished.append((step.step, row.field, row.source_columns))
    assert looked_at > 10_000
    assert not vanished


def test_rows_that_stay_are_listed_one_by_one(practice: Prepared) -> None:
    """The list of rows set aside has each of them, with record number and reason; no value of a patient."""
    listed = list(rows_set_aside(practice.con, practice.map))
    total = sum(practice.facts.read.values()) - sum(practice.facts.prepared.values())
    assert len(listed) == total > 0
    assert all(r.reason and r.label and r.outcome in ("rejected", "excluded", "merged") for r in listed)


def test_an_address_stays_with_the_record_that_holds_it(work: Work) -> None:
    """In a later round the order of rows doesn't matter: who has the address in the CRM keeps it."""
    rows = [patient("1", EMail="a@example.com"), patient("2", EMail="a@example.com")]
    done = work({"patients": rows}, own_emails={"A@example.com": record_id("test", "patients", "2")})
    found = done.payloads("patients")
    assert found["2"]["emails"] == {"primaryEmail": "a@example.com", "additionalEmails": []}
    assert found["1"]["emails"] == {"primaryEmail": "", "additionalEmails": ["a@example.com"]}


@pytest.mark.parametrize("rest", [[], [patient("1", EMail="new@example.com")], [patient("1", PatStatus="Archived")]])
def test_an_address_held_by_a_record_that_lost_its_row_stays_taken(work: Work, rest: list[dict[str, str]]) -> None:
    """The holder's row is gone, was left out, or has another address now: nobody gets the old one in this round."""
    own = {"a@example.com": record_id("test", "patients", "1")}
    done = work({"patients": [*rest, patient("2", EMail="a@example.com")]}, own_emails=own)
    assert done.payloads("patients")["2"]["emails"] == {"primaryEmail": "", "additionalEmails": ["a@example.com"]}
    told = [r.detail for r in value_remarks(done.con, done.map)]
    assert told == ["kept by a record of an earlier round"]


def test_an_address_held_by_a_later_steps_record_is_not_taken_by_an_earlier_one(work: Work) -> None:
    """Referrers are worked before patients; a patient who holds the address keeps it all the same."""
    tables = {
        "patients": [patient("1", EMail="a@example.com")],
        "referrals": [{"RefNum": "1", "RefKind": "Person", "LName": "Doe", "EMail": "a@example.com"}],
    }
    done = work(tables, own_emails={"a@example.com": record_id("test", "patients", "1")})
    assert done.payloads("patients")["1"]["emails"]["primaryEmail"] == "a@example.com"
    assert done.payloads("referrer_people")["1"]["emails"]["additionalEmails"] == ["a@example.com"]


def test_what_a_field_alone_would_lose_stays_readable(work: Work) -> None:
    """Which phone is which, surfaces as they came, a provider and a date of creation that can't be understood."""
    row = patient(
        "1", WirelessPhone="(415) 555-2671", HmPhone="510.555.2672", PrimProv="99", DateCreated="some day in May"
    )  # fmt: skip
    chart = {"ChartNum": "1", "PatientID": "1", "ToothNum": "3", "Surf": "DOM", "Condition": "Caries"}
    done = work({"patients": [row], "toothchart": [chart]})
    found = done.payloads("patients")["1"]
    assert found["sourcePhones"] == "Mobile: (415) 555-2671  Home: 510.555.2672"
    assert found["primaryProvider"] == "99"
    assert "Created: some day in May" in found["sourceRemarks"]
    assert {c for _, _, c in done.problems("patients")} == {"owner_unknown", "date_unreadable"}
    assert done.payloads("tooth_records")["1"]["surface"] == "DOM"
