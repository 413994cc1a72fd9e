"""Tests of preparing: each mechanism on a few rows by hand, then the laws on a whole invented practice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pytest

from dentlib.mapping import prepare
from dentlib.model import record_id

Prepared = Any  # the fixture of conftest
Work = Callable[..., Prepared]
MARA, ADMIN = "20202020-0000-4000-8000-000000000001", "20202020-0000-4000-8000-000000000002"


def patient(key: str, **more: str) -> dict[str, str]:
    """Return a patient's raw row."""
    return {"PatNum": key, "LName": "Ruiz", "FName": "Ana", "PatStatus": "Active"} | more


def test_a_patient_becomes_a_person(work: Work) -> None:
    """Every shape of value at once: name, e-mail, phones, address, date, choice, flags, ids, original time."""
    row = patient(
        "17", Birthdate="1980-02-29", Gender="F", EMail=" Ana.Ruiz@Example.com", WirelessPhone="(415) 555-2671",
        HmPhone="+1 510 555 2672", Addr1="1 Main St", City="Oakland", State="CA", Zip="01234", GroupNo="007",
        DoNotContact="Y", MarketingConsent="N", ConsentDate="12/31/2024", PreferredChannel="Text",
        DateCreated="2024-07-01 08:00:00",
    )  # fmt: skip
    found = work({"patients": [row]}).payloads("patients")["17"]
    assert found["id"] == record_id("test", "patients", "17")
    assert found["sourceSystemId"] == "patient:17"
    assert found["createdAt"] == found["originalCreatedAt"] == "2024-07-01T15:00:00.000Z"
    assert found["name"] == {"firstName": "Ana", "lastName": "Ruiz"}
    assert found["emails"] == {"primaryEmail": "ana.ruiz@example.com", "additionalEmails": []}
    assert found["phones"] == {
        "primaryPhoneNumber": "4155552671", "primaryPhoneCountryCode": "US", "primaryPhoneCallingCode": "+1",
        "additionalPhones": [{"number": "5105552672", "countryCode": "US", "callingCode": "+1"}],
    }  # fmt: skip
    assert found["homeAddress"]["addressPostcode"] == "01234"
    assert found["dateOfBirth"] == "1980-02-29"
    assert (found["gender"], found["personKind"], found["insuranceGroup"]) == ("FEMALE", "PATIENT", "007")
    assert (found["doNotContact"], found["marketingConsent"], found["consentDate"]) == (True, False, "2024-12-31")
    assert found["preferredChannel"] == "TEXT_MESSAGE"
    assert found["middleName"] is None
    assert "nationalId" not in found


def test_a_shared_email_merges_nobody(work: Work) -> None:
    """The first row keeps it; the others keep it as a further address; one in the workspace counts as taken."""
    rows = [
        patient("1", EMail="family@example.com"),
        patient("2", EMail="FAMILY@example.com"),
        patient("3", EMail="desk@example.com"),
    ]
    done = work({"patients": rows}, existing_emails=frozenset({"Desk@example.com"}))
    emails = {k: p["emails"] for k, p in done.payloads("patients").items()}
    assert emails == {
        "1": {"primaryEmail": "family@example.com", "additionalEmails": []},
        "2": {"primaryEmail": "", "additionalEmails": ["family@example.com"]},
        "3": {"primaryEmail": "", "additionalEmails": ["desk@example.com"]},
    }
    assert [p[:3] for p in done.problems("patients") if p[2] == "shared_value"] == [
        ("2", "emails.primaryEmail", "shared_value"),
        ("3", "emails.primaryEmail", "shared_value"),
    ]


def test_a_shared_email_is_shared_over_steps_too(work: Work) -> None:
    """A referrer's address is taken when a patient has the same."""
    tables = {
        "referrals": [
            {"RefNum": "5", "RefKind": "Person", "LName": "Okafor", "FName": "Ben", "EMail": "x@example.com"}
        ],
        "patients": [patient("1", EMail="x@example.com")],
    }
    done = work(tables)
    assert done.payloads("referrer_people")["5"]["emails"]["primaryEmail"] == "x@example.com"
    assert done.payloads("patients")["1"]["emails"] == {"primaryEmail": "", "additionalEmails": ["x@example.com"]}


def test_what_cannot_be_carried_is_kept_as_text(work: Work) -> None:
    """A bad date, an unknown gender, a phone that doesn't exist: told as problems, kept beside, the person arrives."""
    done = work({"patients": [patient("1", Birthdate="1990-02-31", Gender="?", WkPhone="555-12", EMail="nobody")]})
    found = done.payloads("patients")["1"]
    assert found["dateOfBirth"] is None
    assert found["gender"] is None
    assert found["phones"] is None
    for line in ("Date of birth: 1990-02-31", "Gender: ?", "Work phone: 555-12", "E-mail: nobody"):
        assert line in found["sourceRemarks"].splitlines()
    assert {p[2] for p in done.problems("patients")} == {
        "date_impossible",
        "unmapped_value",
        "phone_invalid",
        "email_invalid",
    }


def test_keys_that_repeat_or_are_missing(work: Work) -> None:
    """An exact repetition is merged, rows that differ are all rejected, a row without key is rejected."""
    rows = [
        patient("1"),
        patient("1"),
        patient("2", FName="Ben"),
        patient("2", FName="Cem"),
        patient(" "),
        patient("3"),
    ]
    done = work({"patients": rows})
    assert list(done.payloads("patients")) == ["1", "3"]
    assert done.outcomes("patients") == [
        ("1", "merged", "exact_repetition"),
        ("2", "rejected", "key_not_unique"),
        ("2", "rejected", "key_not_unique"),
        ("", "rejected", "key_missing"),
    ]


def test_small_integer_keys_overlap_between_tables(work: Work) -> None:
    """Carrier 1, lab 1 and patient 1 are three records with three ids."""
    tables = {
        "inscarriers": [{"CarrierNum": "1", "CarrierName": "Acme"}],
        "labs": [{"LabNum": "1", "LabName": "Ceramics"}],
        "patients": [patient("1", CarrierNum="1")],
    }
    done = work(tables)
    carrier, lab, person = (done.payloads(s)["1"] for s in ("carriers", "labs", "patients"))
    assert len({carrier["id"], lab["id"], person["id"]}) == 3
    assert person["carrierCompanyId"] == carrier["id"]
    assert (carrier["companyKind"], lab["companyKind"]) == ("INSURANCE_CARRIER", "DENTAL_LAB")


def test_a_referrer_is_split_by_its_kind(work: Work) -> None:
    """Organisations become companies, persons become people linked to theirs; an unknown kind is counted."""
    rows = [
        {"RefNum": "1", "RefKind": "Organization", "OrgName": "Bay Endo"},
        {"RefNum": "2", "RefKind": "person", "LName": "Okafor", "FName": "Ben", "OrgRefNum": "1"},
        {"RefNum": "3", "RefKind": "Robot", "LName": "R2"},
    ]
    done = work({"referrals": rows, "patients": [patient("9", ReferredBy="2"), patient("8", ReferredBy="1")]})
    company = done.payloads("referrer_companies")["1"]
    person = done.payloads("referrer_people")["2"]
    assert person["companyId"] == company["id"]
    assert done.payloads("patients")["9"]["referringPersonId"] == person["id"]
    assert done.payloads("patients")["9"]["referringCompanyId"] is None
    assert done.payloads("patients")["8"]["referringCompanyId"] == company["id"]
    assert done.problems("patients") == []
    assert [(p.code, p.where, p.count) for p in done.facts.problems] == [("in_no_step", "referrals", 1)]
    assert ("referrals", 3, 2, 1) in done.facts.tables


def appointment(key: str, who: str = "1", **more: str) -> dict[str, str]:
    """Return an appointment's raw row."""
    return {
        "AptNum": key, "PatientID": who, "AptDate": "06/30/2025", "AptTime": "09:30 AM", "LengthMin": "45",
        "AptType": "Cleaning", "AptStatus": "Completed", "Chair": "Op 2",
    } | more  # fmt: skip


def test_an_appointment_becomes_a_task_of_its_person(work: Work) -> None:
    """Local time to UTC, end by minutes, done because completed, linked by a task target."""
    done = work(
        {"patients": [patient("1")], "appointments": [appointment("7", AptNote="Bring x-rays\r\n\r\n* mouth guard")]}
    )
    task, link = done.payloads("appointments")["7"], done.payloads("appointment_links")["7"]
    assert (task["dueAt"], task["endsAt"]) == ("2025-06-30T16:30:00.000Z", "2025-06-30T17:15:00.000Z")
    assert (task["title"], task["taskType"], task["status"], task["appointmentStatus"]) == (
        "Cleaning — Op 2",
        "CLEANING",
        "DONE",
        "COMPLETED",
    )
    blocks = orjson.loads(task["bodyV2"]["blocknote"])
    assert ["".join(c["text"] for c in b["content"]) for b in blocks] == ["Bring x-rays", "", "* mouth guard"]
    person = done.payloads("patients")["1"]
    assert link == {
        "id": record_id("test", "appointment_links", "7"),
        "taskId": task["id"],
        "targetPersonId": person["id"],
    }


def test_a_length_that_no_calendar_holds_leaves_the_end_open_and_is_told(work: Work) -> None:
    """An appointment of ten digits of minutes still arrives, and so does the rest of the export."""
    done = work({"patients": [patient("1")], "appointments": [appointment("7", LengthMin="4155552671")]})
    task = done.payloads("appointments")["7"]
    assert (task["endsAt"], task["durationMinutes"]) == (None, 4155552671)
    assert ("7", "endsAt", "not_computable") in done.problems("appointments")


def test_preparing_that_stops_half_way_leaves_what_was_prepared(
    work: Work, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All or nothing: no step of the new attempt stands beside steps of the old one."""
    done = work({"patients": [patient("1")], "appointments": [appointment("7")]})
    before = done.con.execute("SELECT source_key, row_hash FROM prepared.patients").fetchall()
    done.con.execute("DELETE FROM raw.patients")
    module = import_module("dentlib.mapping.prepare")
    monkeypatch.setattr(module, "_count_owners", lambda *_: done.con.execute("SELECT nothing"))
    with pytest.raises(duckdb.BinderException):
        prepare(done.con, done.map, context())
    assert done.con.execute("SELECT source_key, row_hash FROM prepared.patients").fetchall() == before != []


MONTH_FIRST = "formats: {date_order: mdy}\n"
STATUSES = [
    ("06/30/2025", "Completed", "DONE", "COMPLETED", ""),
    ("06/30/2025", "Cancelled", "DONE", "CANCELLED", ""),
    ("06/30/2025", "NoShow", "DONE", "NO_SHOW", ""),
    ("06/30/2025", "Scheduled", "DONE", "COMPLETED", "past_appointment_closed"),
    ("06/30/2025", "ASAP-LIST", "DONE", "OTHER", "unmapped_value"),
    ("01/05/2026", "Scheduled", "TODO", "SCHEDULED", ""),
    ("06/30/2026", "Confirmed", "TODO", "CONFIRMED", ""),
    ("06/30/2026", "Cancelled", "DONE", "CANCELLED", ""),
    ("06/30/2026", "ASAP-LIST", "TODO", "OTHER", "unmapped_value"),
]


@pytest.mark.parametrize(("day", "status", "task", "kept", "code"), STATUSES)
def test_past_is_past(work: Work, day: str, status: str, task: str, kept: str, code: str) -> None:
    """Before the run's date nothing is open; today and later only what is neither done nor called off."""
    done = work(
        {"patients": [patient("1")], "appointments": [appointment("7", AptDate=day, AptStatus=status)]}, MONTH_FIRST
    )
    found = done.payloads("appointments")["7"]
    assert (found["status"], found["appointmentStatus"]) == (task, kept)
    assert [p[2] for p in done.problems("appointments") if p[1] == "appointmentStatus"] == ([code] if code else [])


def test_scope_rules_exclude_with_their_reason_and_children_follow(work: Work) -> None:
    """Test patients, archived ones, blocked slots, open tasks of the dead; what belongs to them shares their fate."""
    people = [
        patient("1"),
        patient("2", LName="Test", FName="Zz"),
        patient("3", PatStatus="Archived"),
        patient("4", PatStatus="Deceased"),
    ]
    slots = [
        appointment("10"),
        appointment("11", "2"),
        appointment("12", "3"),
        appointment("13", "", AptType="Blocked"),
        appointment("14", "4", AptDate="02/02/2026", AptStatus="Scheduled"),
        appointment("15", "4"),
        appointment("16", "99"),
    ]
    done = work({"patients": people, "appointments": slots})
    assert done.outcomes("patients") == [("2", "excluded", "test_patient"), ("3", "excluded", "archived_patient")]
    expected = [
        ("11", "excluded", "test_patient"),
        ("12", "excluded", "archived_patient"),
        ("13", "excluded", "blocked_slot"),
        ("14", "excluded", "no_open_task_for_the_dead"),
        ("16", "rejected", "orphan"),
    ]
    assert done.outcomes("appointments") == expected
    links = [(k, o, "parent_not_migrated" if c == "orphan" else c) for k, o, c in expected]
    assert done.outcomes("appointment_links") == links
    reason = done.con.execute(
        "SELECT reason FROM prepared.outcomes WHERE step = 'appointments' AND source_key = '12'"
    ).fetchone()
    assert reason == ("the patient is archived",)


def test_a_choice_turns_a_rule_off(work: Work) -> None:
    """The map may let archived patients move, and identity numbers with them."""
    patch = "choices: {archived_patients: migrate, national_ids: migrate}\n"
    done = work({"patients": [patient("3", PatStatus="Archived", SSN="900-12-3456")]}, patch)
    assert done.payloads("patients")["3"]["nationalId"] == "900-12-3456"


RECALLS = [
    ("10/31/2025", "4", "2026-02-28T17:00:00.000Z"),
    ("06/30/2025", "12", "2026-06-30T16:00:00.000Z"),
    ("", "6", "2025-12-30T17:00:00.000Z"),  # from the last completed appointment
]


@pytest.mark.parametrize(("last", "months", "due"), RECALLS)
def test_a_recall_is_due_after_the_last_appointment(work: Work, last: str, months: str, due: str) -> None:
    """Last visit plus interval, at nine in the morning; at the end of a month it is the last day."""
    recall = {
        "RecallNum": "5",
        "PatientID": "1",
        "RecallType": "PROPHY",
        "IntervalMonths": months,
        "LastVisit": last,
        "RecallStatus": "Active",
    }
    slots = [appointment("7"), appointment("8", AptDate="07/30/2025", AptStatus="NoShow")]
    found = work({"patients": [patient("1")], "appointments": slots, "recalls": [recall]}).payloads("recalls")["5"]
    assert (found["dueAt"], found["recallType"], found["status"], found["assigneeId"]) == (due, "PROPHY", "TODO", ADMIN)


def test_a_recall_that_cannot_be_computed_is_told(work: Work) -> None:
    """No visit, no due date; the task still arrives and stands among the problems."""
    recall = {
        "RecallNum": "5",
        "PatientID": "1",
        "RecallType": "R4",
        "IntervalMonths": "6",
        "LastVisit": "",
        "RecallStatus": "Active",
    }
    done = work({"patients": [patient("1")], "appointments": [appointment("9", "2")], "recalls": [recall]})
    assert done.payloads("recalls")["5"]["dueAt"] is None
    assert {p[1:] for p in done.problems("recalls")} == {("dueAt", "not_computable"), ("recallType", "unmapped_value")}


def test_procedures_are_summed_up_on_their_plan_to_the_cent(work: Work) -> None:
    """Distinct codes, teeth and surfaces in order, the exact sum; a repeated row counts once."""
    plan = {
        "PlanID": "1",
        "PatNum": "1",
        "Heading": "Crown",
        "PlanStatus": "Approved",
        "PlanAmount": "$2,400.00",
        "ProvID": "3",
    }
    repeated = ("3", "1", "XR-9", "", "", "1,000.005")
    cells = [
        ("1", "1", "D2750", "3,4", "dom", "0.10"),
        ("2", "1", "D1110", "4", "MOD", "0.20"),
        repeated,
        repeated,
        ("4", "", "D0120", "", "", "5.00"),
    ]
    names = ("ProcNum", "PlanID", "ProcCode", "ToothNum", "Surf", "Fee")
    rows = [{"PatNum": "1"} | dict(zip(names, c, strict=True)) for c in cells]
    staff = [{"StaffID": "3", "LName": "Velden", "FName": "Mara", "EMail": " MARA.Velden@Brightsmile.example"}]
    done = work({"patients": [patient("1")], "treatplans": [plan], "procedures": rows, "staff": staff})
    found = done.payloads("plans")["1"]
    assert found["amount"] == {"amountMicros": 2_400_000_000, "currencyCode": "USD"}
    assert found["procedureFee"] == {"amountMicros": 1_000_305_000, "currencyCode": "USD"}
    assert found["procedureCode"] == ["D2750", "D1110"]
    assert (found["toothNumber"], found["surface"]) == (["3", "4"], ["MOD"])
    assert (found["stage"], found["ownerId"], found["sourceOwner"]) == ("TREATMENT_PLAN", MARA, "Mara Velden")
    assert done.payloads("procedures")["4"]["opportunityId"] is None
    assert done.payloads("procedures")["1"]["opportunityId"] == found["id"]


def test_owners_fall_back_and_every_default_is_written_down(work: Work) -> None:
    """Matched by e-mail, without e-mail, no member, unknown number, nobody named: each has its row and count."""
    staff = [
        {"StaffID": "3", "LName": "Velden", "FName": "Mara", "EMail": "mara.velden@brightsmile.example"},
        {"StaffID": "4", "LName": "Haddad", "FName": "Noor", "EMail": ""},
        {"StaffID": "5", "LName": "Okoro", "FName": "Felix", "EMail": "felix@elsewhere.example"},
    ]
    slots = [appointment(str(i), ProvID=p) for i, p in enumerate(["3", "3", "4", "5", "77", ""])]
    done = work({"patients": [patient("1")], "appointments": slots, "staff": staff})
    rows = done.con.execute(
        "SELECT source_key, how, member_email, records FROM prepared.owners ORDER BY source_key"
    ).fetchall()
    admin = "admin@brightsmile.example"
    assert rows == [
        ("", "fallback", admin, 1),
        ("3", "matched", "mara.velden@brightsmile.example", 2),
        ("4", "fallback", admin, 1),
        ("5", "fallback", admin, 1),
        ("77", "fallback", admin, 1),
    ]
    codes = [p[2] for p in done.problems("appointments") if p[1] == "assigneeId"]
    assert codes == ["owner_unmatched", "owner_unmatched", "owner_unknown", "owner_missing"]


def test_documents_are_looked_at_before_they_are_sent(work: Work, tmp_path: Any) -> None:
    """A good file goes, a missing and an over-large one are rejected but their note arrives and says so."""
    (tmp_path / "scan.pdf").write_bytes(b"%PDF-1.4 small")
    (tmp_path / "large.pdf").write_bytes(b"%PDF-1.4" + bytes(20_000))
    (tmp_path / "fake.pdf").write_bytes(b"just text")
    rows = [
        {
            "DocNum": str(i),
            "PatNum": "1",
            "DocType": "Letter",
            "Descript": "x",
            "FileName": n,
            "DocDate": "2024-01-02 10:00:00",
        }
        for i, n in enumerate(["scan.pdf", "large.pdf", "lost.pdf", "fake.pdf", "../../etc/passwd.pdf"], 1)
    ]
    done = work({"patients": [patient("1")], "docindex": rows}, documents_dir=tmp_path, max_upload_mb=0.01)
    assert done.outcomes("document_files") == [
        ("2", "rejected", "file_too_large"),
        ("3", "rejected", "file_missing"),
        ("4", "rejected", "file_not_what_it_says"),
        ("5", "rejected", "file_missing"),
    ]
    (path,) = done.con.execute("SELECT file_path FROM prepared.document_files").fetchone() or ("",)
    assert path == str(tmp_path / "scan.pdf")
    assert done.payloads("document_files")["1"]["fileCategory"] == "TEXT_DOCUMENT"
    assert "Not uploaded" in done.payloads("documents")["2"]["bodyV2"]["blocknote"]


def test_a_table_without_a_key_is_told_apart_by_its_content(work: Work) -> None:
    """Equal rows are separate records with ordinals; the ids don't depend on the order of other rows."""
    rows = [
        {
            "START": "2022-07-20T07:13:55Z",
            "PATIENT": "1",
            "CODE": "430",
            "DESCRIPTION": "Scaling",
            "BASE_COST": "611.01",
        },
        {
            "START": "2022-07-20T07:13:55Z",
            "PATIENT": "1",
            "CODE": "430",
            "DESCRIPTION": "Scaling",
            "BASE_COST": "611.01",
        },
    ]
    people = [{"Id": "1", "FIRST": "Ana", "LAST": "Ruiz", "BIRTHDATE": "1980-01-01"}]
    done = work({"patients": people, "procedures": rows}, source="other")
    first = done.payloads("procedures")
    assert len(first) == 2
    assert {p["fee"]["amountMicros"] for p in first.values()} == {611_010_000}
    again = work({"patients": people, "procedures": [rows[0] | {"CODE": "1"}, *rows]}, source="other")
    assert set(first) <= set(again.payloads("procedures"))


# ---- laws, on a whole practice ----


def test_every_row_ends_in_exactly_one_place(practice: Prepared) -> None:
    """Read = prepared + rejected + excluded + merged in every step, and read = the raw table's rows."""
    for step, read, prepared, rejected, excluded, merged in practice.con.execute(
        "SELECT step, read, prepared, rejected, excluded, merged FROM prepared.steps"
    ).fetchall():
        assert read == prepared + rejected + excluded + merged, step
    for table, rows, reached, lost in practice.facts.tables:
        count = practice.con.execute(f'SELECT count(*) FROM raw."{table}"').fetchone()
        assert count == (rows,)
        assert rows == reached + lost


def test_payload_id_hash_and_key_belong_together(practice: Prepared) -> None:
    """The payload's id is the row's id, its hash is sha256, and its source id is prefix and key."""
    for step in practice.facts.steps:
        for key, rid, payload, row_hash in practice.con.execute(
            f'SELECT source_key, record_id, payload, row_hash FROM prepared."{step.table}" LIMIT 50'
        ).fetchall():
            record = orjson.loads(payload)
            assert record["id"] == rid == record_id("test", step.name, key)
            assert row_hash == hashlib.sha256(payload.encode()).hexdigest()
            if step.source_prefix:
                assert record["sourceSystemId"] == step.source_prefix + key


def test_lookups_point_to_prepared_records_of_earlier_steps(practice: Prepared) -> None:
    """No dangling link, and every parent's step is named and comes first."""
    seen: list[str] = []
    ids: dict[str, set[str]] = {}
    for step in practice.facts.steps:
        assert set(step.depends_on) <= set(seen)
        seen.append(step.name)
        ids[step.name] = {p["id"] for p in practice.payloads(step.table).values()}
        for name, lookup in practice.map.pair.step(step.name).lookups.items():
            if lookup.write:
                found = {p[f"{name}Id"] for p in practice.payloads(step.table).values()} - {None}
                assert found <= ids[lookup.step], (step.name, name)


def test_preparing_again_changes_nothing(practice: Prepared, context: Callable[..., Any]) -> None:
    """The same input gives the same rows, ids and hashes."""

    def state() -> list[Any]:
        return [
            practice.con.execute(
                f'SELECT source_key, row_hash FROM prepared."{s.table}" ORDER BY source_key'
            ).fetchall()
            for s in practice.facts.steps
        ]

    before = state()
    (file,) = practice.con.execute("SELECT file_path FROM prepared.document_files LIMIT 1").fetchone()
    prepare(practice.con, practice.map, context(documents_dir=Path(file).parent))
    assert state() == before


def test_primary_emails_are_unique_over_all_people(practice: Prepared) -> None:
    """What the destination wants unique is unique before it is sent."""
    emails = [
        p["emails"]["primaryEmail"]
        for step in ("referrer_people", "patients")
        for p in practice.payloads(step).values()
        if p["emails"] and p["emails"]["primaryEmail"]
    ]
    assert len(emails) == len(set(emails))


def test_money_arrives_to_the_cent(practice: Prepared) -> None:
    """The sum of the payments prepared is the sum of their cells, read independently."""
    keys = practice.payloads("payments")
    cells = practice.con.execute("SELECT PayNum, Amount FROM raw.payments").fetchall()
    total = Decimal(0)
    for key, cell in cells:
        if key in keys:
            digits = cell.replace("$", "").replace(",", "")
            total += -Decimal(digits.strip("()")) if digits.startswith("(") else Decimal(digits)
    assert sum(p["amount"]["amountMicros"] for p in keys.values()) == total * 1_000_000
