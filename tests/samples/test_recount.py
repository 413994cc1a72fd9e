"""Every deliberate trouble is in the files exactly as often as the list beside them says.

The scan below reads the files by itself: nothing of the generator is imported but the entry point that writes them.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from datetime import date
from pathlib import Path

import pytest

from dentlib.samples import write_samples

REFERENCE = date(2026, 1, 5)
VALID_MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
PHONES = {
    "phone_plain_digits": r"\d{10}",
    "phone_dotted": r"\d{3}\.\d{3}\.\d{4}",
    "phone_dashed": r"\d{3}-\d{3}-\d{4}",
    "phone_international": r"\+1.*",
    "phone_leading_one": r"1-.*",
    "phone_double_zero": r"001\d{10}",
    "phone_extension": r".*x\d+",
    "phone_letters": r".*[A-Z]{4}",
    "phone_too_short": r"\d{3}-\d{4}",
    "phone_two_in_one": r".+/.+",
}
STANDARD_PHONE = r"\(\d{3}\) \d{3}-\d{4}"
CODES = {
    "unknown_gender": ("Patients", "Gender", {"M", "F", "X", "U"}),
    "unknown_appointment_status": (
        "Appointments",
        "AptStatus",
        {"Scheduled", "Confirmed", "Completed", "Cancelled", "NoShow"},
    ),
    "unknown_plan_status": ("TreatPlans", "PlanStatus", {"Proposed", "Approved", "Completed", "Declined"}),
    "unknown_claim_status": ("InsClaims", "ClaimStatus", {"Pending", "Submitted", "Paid", "Denied", "Appeal"}),
    "unknown_recall_type": ("Recalls", "RecallType", {"PROPHY", "PERIO", "EXAM"}),
}
ORPHANS = {
    "orphan_appointments_patient": ("Appointments", "PatientID", "Patients", "PatNum"),
    "orphan_procedures_patient": ("Procedures", "PatNum", "Patients", "PatNum"),
    "orphan_claims_patient": ("InsClaims", "PatientID", "Patients", "PatNum"),
    "orphan_payments_patient": ("Payments", "PatNum", "Patients", "PatNum"),
    "orphan_notes_patient": ("ClinicalNotes", "PatNum", "Patients", "PatNum"),
    "orphan_plans_provider": ("TreatPlans", "ProvID", "Staff", "StaffID"),
    "orphan_patients_carrier": ("Patients", "CarrierNum", "InsCarriers", "CarrierNum"),
    "orphan_labcases_lab": ("LabCases", "LabNum", "Labs", "LabNum"),
}
# Relations that are whole in every export: a trouble beyond the list would be a mistake of the generator.
WHOLE = (
    ("Procedures", "PlanID", "TreatPlans", "PlanID"),
    ("InsClaims", "PlanID", "TreatPlans", "PlanID"),
    ("InsClaims", "CarrierNum", "InsCarriers", "CarrierNum"),
    ("TreatPlans", "PatNum", "Patients", "PatNum"),
    ("Recalls", "PatientID", "Patients", "PatNum"),
    ("LabCases", "PatNum", "Patients", "PatNum"),
    ("DocIndex", "PatNum", "Patients", "PatNum"),
    ("Communications", "PatNum", "Patients", "PatNum"),
    ("ToothChart", "PatientID", "Patients", "PatNum"),
    ("Payments", "PlanID", "TreatPlans", "PlanID"),
    ("Payments", "ProcNum", "Procedures", "ProcNum"),
    ("Appointments", "ProvID", "Staff", "StaffID"),
    ("Patients", "ReferredBy", "Referrals", "RefNum"),
    ("Patients", "GuarantorNum", "Patients", "PatNum"),
    ("Patients", "PrimProv", "Staff", "StaffID"),
    ("Referrals", "OrgRefNum", "Referrals", "RefNum"),
)


class Export:
    """An export as read from disk: per table its lines of cells, and its records."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.raw = {path.stem: path.read_bytes() for path in sorted(folder.glob("*.csv"))}
        self.lines: dict[str, list[list[str]]] = {}
        self.rows: dict[str, list[dict[str, str]]] = {}
        for name, content in self.raw.items():
            try:
                text = content.decode("utf-8-sig")
            except UnicodeDecodeError:
                text = content.decode("cp1252")
            header_line = text.split("\r\n", 1)[0]
            delimiter = ";" if ";" in header_line else ","
            lines = list(csv.reader(text.splitlines(keepends=True), delimiter=delimiter))
            self.lines[name] = lines
            filled = [cells for cells in lines[1:] if any(cells)]
            records = [dict(zip(lines[0], cells, strict=False)) for cells in filled if cells[0] != "TOTAL"]
            assert all(len(record) == len(lines[0]) for record in records)
            self.rows[name] = records

    def once(self, table: str) -> list[dict[str, str]]:
        """The records without exact repetitions."""
        return [dict(cells) for cells in dict.fromkeys(tuple(row.items()) for row in self.rows[table])]

    def column(self, table: str, column: str) -> list[str]:
        return [row[column] for row in self.once(table)]


def real_day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else None
    except ValueError:
        return None


def us_day(text: str) -> date:
    month, day, year = text.split("/")
    return date(int(year), int(month), int(day))


def due(recall: dict[str, str]) -> date | None:
    if not recall["LastVisit"]:
        return None
    last = us_day(recall["LastVisit"])
    months = last.year * 12 + last.month - 1 + int(recall["IntervalMonths"])
    return date(months // 12, months % 12 + 1, min(last.day, 28))


def count_pairs(patients: list[dict[str, str]]) -> tuple[int, int]:
    groups: dict[tuple[str, str], list[str]] = {}
    for row in patients:
        born = real_day(row["Birthdate"])
        if born and born != date(1900, 1, 1) and born < REFERENCE:
            groups.setdefault((row["LName"].strip().casefold(), row["Birthdate"]), []).append(row["FName"][0])
    pairs = [letters for letters in groups.values() if len(letters) > 1]
    assert all(len(letters) == 2 for letters in pairs)
    return sum(a != b for a, b in pairs), sum(a == b for a, b in pairs)


def recount_patients(export: Export) -> Counter[str]:
    patients, found = export.rows["Patients"], Counter[str]()
    mails = Counter(row["EMail"].casefold() for row in patients if VALID_MAIL.fullmatch(row["EMail"]))
    found["shared_email"] = sum(times > 1 for times in mails.values())
    homes = Counter(row["HmPhone"] for row in patients if row["HmPhone"])
    found["shared_home_phone"] = sum(times > 1 for times in homes.values())
    found["twins"], found["duplicate_patients"] = count_pairs(patients)
    for row in patients:
        born = real_day(row["Birthdate"])
        found["birthdate_missing"] += not row["Birthdate"]
        found["birthdate_impossible"] += bool(row["Birthdate"]) and born is None
        found["birthdate_1900"] += row["Birthdate"] == "1900-01-01"
        found["birthdate_future"] += born is not None and born > REFERENCE
        found["email_invalid"] += bool(row["EMail"]) and not VALID_MAIL.fullmatch(row["EMail"])
        found["name_apostrophe"] += bool(re.match(r"[A-Z]'[A-Z]", row["LName"]))
        found["name_emoji"] += any(ord(letter) > 0x1F000 for letter in row["Preferred"])
        found["name_markup"] += "<script>" in row["LName"]
        found["name_formula"] += row["FName"].startswith("=cmd|")
        found["test_patients"] += row["LName"].casefold() == "test"
        found["do_not_contact"] += row["DoNotContact"] == "Y"
        spellings = [kind for kind, shape in PHONES.items() if re.fullmatch(shape, row["WirelessPhone"])]
        assert len(spellings) <= 1
        assert spellings or re.fullmatch(f"({STANDARD_PHONE})?", row["WirelessPhone"])
        found.update(spellings)
    return found


def recount_references(export: Export) -> Counter[str]:
    found = Counter[str]()
    for kind, (table, column, allowed) in CODES.items():
        found[kind] = sum(value not in allowed for row in export.once(table) if (value := row[column]))
    codes = export.column("Procedures", "ProcCode")
    found["unknown_procedure_code"] = sum(not re.fullmatch(r"D\d{4}", code) for code in codes)
    for kind, (table, column, parent, key) in ORPHANS.items():
        known = set(export.column(parent, key))
        found[kind] = sum(value not in known for value in export.column(table, column) if value)
    members = json.loads(Path(__file__).parents[2].joinpath("dentlib/samples/staff.json").read_text(encoding="utf-8"))
    addresses = {member["email"] for member in members}
    for mail in export.column("Staff", "EMail"):
        found["staff_without_email"] += not mail
        found["staff_email_no_member"] += bool(mail) and mail.strip().lower() not in addresses
        found["staff_email_untidy"] += mail not in addresses and mail.strip().lower() in addresses
    for row in export.rows["Referrals"]:
        found["referrer_organisations"] += row["RefKind"] == "Organization"
        found["referrer_persons"] += row["RefKind"] == "Person"
        found["referrer_persons_without_organisation"] += row["RefKind"] == "Person" and not row["OrgRefNum"]
    return found


def recount_activities(export: Export) -> Counter[str]:
    found = Counter[str]()
    status = {row["PatNum"]: row["PatStatus"] for row in export.rows["Patients"]}
    for row in export.once("Appointments"):
        day, whose = us_day(row["AptDate"]), status.get(row["PatientID"])
        blocked = row["AptType"] == "Blocked"
        assert blocked == (not row["PatientID"])
        found["blocked_slots"] += blocked
        found["past_still_open"] += day < REFERENCE and row["AptStatus"] in ("Scheduled", "Confirmed")
        found["deceased_with_future_appointment"] += day > REFERENCE and whose == "Deceased"
        assert not (day > REFERENCE and whose in ("Inactive", "Archived"))
    lines = [tuple(cells) for cells in export.lines["Appointments"] if any(cells)]
    found["exact_duplicate_rows"] = len(lines) - len(set(lines))
    found["blank_rows"] = sum(not any(cells) for cells in export.lines["Appointments"])
    for row in export.rows["Recalls"]:
        when, whose = due(row), status[row["PatientID"]]
        found["recall_without_last_visit"] += when is None
        found["deceased_with_future_recall"] += when is not None and when > REFERENCE and whose == "Deceased"
        found["inactive_with_future_recall"] += (
            when is not None and when > REFERENCE and whose in ("Inactive", "Archived")
        )
    width = len(export.lines["Recalls"][0])
    found["trailing_blank_cells"] = sum(
        len(cells) > width and not any(cells[width:]) for cells in export.lines["Recalls"]
    )
    for row in export.rows["ClinicalNotes"]:
        found["notes_with_line_breaks"] += "\n" in row["NoteText"]
        found["notes_with_quotes"] += '"' in row["NoteText"]
        found["notes_of_40_kb"] += len(row["NoteText"].encode()) >= 40_000
    dates = export.column("Procedures", "ProcDate")
    found["mixed_date_styles"] = sum(bool(day) and not re.fullmatch(r"\d\d/\d\d/\d{4}", day) for day in dates)
    return found


def recount_money_and_files(export: Export) -> Counter[str]:
    found = Counter[str]()
    amounts = export.column("Payments", "Amount")
    found["payments_negative"] = sum(amount[0] in "-(" for amount in amounts)
    found["payments_in_parentheses"] = sum(amount[0] == "(" for amount in amounts)
    found["payments_formatted"] = sum(amount[0] == "$" for amount in amounts)
    found["plan_amounts_formatted"] = sum(amount[0] == "$" for amount in export.column("TreatPlans", "PlanAmount"))
    totals = [cells for cells in export.lines["Payments"] if cells and cells[0] == "TOTAL"]
    found["totals_lines"] = len(totals)
    assert totals == [export.lines["Payments"][-1]]
    place = export.lines["Payments"][0].index("Amount")
    assert round(float(totals[0][place]) * 100) == sum(in_cents(amount) for amount in amounts)
    for content in export.raw.values():
        found["utf8_bom_files"] += content.startswith(b"\xef\xbb\xbf")
        header = content.split(b"\r\n", 1)[0]
        found["semicolon_files"] += b";" in header and b"," not in header
        try:
            content.decode("utf-8")
        except UnicodeDecodeError:
            found["cp1252_files"] += 1
    on_disk = {path.name: path for path in (export.folder / "Documents").iterdir()}
    named = export.column("DocIndex", "FileName")
    found["document_not_in_index"] = len(set(on_disk) - set(named))
    for row in export.rows["DocIndex"]:
        path = on_disk.get(row["FileName"])
        found["document_missing_on_disk"] += path is None
        if path is not None:
            assert path.stat().st_size == int(row["FileSize"])
            found["document_over_10_mb"] += path.stat().st_size > 10_485_760
            with path.open("rb") as source:
                head = source.read(4)
            found["document_wrong_extension"] += head != {".pdf": b"%PDF", ".png": b"\x89PNG"}[path.suffix]
    return found


def in_cents(amount: str) -> int:
    sign = -1 if amount[0] in "-(" else 1
    return sign * int(re.sub(r"\D", "", amount))


@pytest.mark.parametrize("seed", range(20))
def test_each_trouble_is_there_as_often_as_listed(seed: int, tmp_path: Path) -> None:
    """Over twenty seeds, both rounds: an independent scan finds every count of known-trouble.json, and no other."""
    round_number = 1 + seed % 2
    written = write_samples("dent-o-soft", tmp_path, patients=80, seed=seed, round=round_number)
    export = Export(tmp_path)
    listed = json.loads((tmp_path / "known-trouble.json").read_text(encoding="utf-8"))
    expected = {kind: entry["count"] for kind, entry in listed["trouble"].items()}
    found = recount_patients(export) + recount_references(export)
    found += recount_activities(export) + recount_money_and_files(export)
    assert dict(found) == expected
    assert expected == written.trouble
    assert min(expected.values()) >= 1
    assert all(len(entry["keys"]) == entry["count"] for entry in listed["trouble"].values())
    assert {f"{name}.csv": len(rows) for name, rows in export.rows.items()} == listed["files"]
    for table, column, parent, key in WHOLE:
        assert {value for value in export.column(table, column) if value} <= set(export.column(parent, key)), table
    for name, rows in export.rows.items():
        keys = [row[export.lines[name][0][0]] for row in rows]
        repeated = found["exact_duplicate_rows"] if name == "Appointments" else 0
        assert len(keys) - len(set(keys)) == repeated, name


def test_a_missed_trouble_is_noticed(tmp_path: Path) -> None:
    """The scan is no rubber stamp: one repaired birth date makes the counts differ."""
    write_samples("dent-o-soft", tmp_path, patients=80, seed=1)
    before = recount_patients(Export(tmp_path))
    file = tmp_path / "Patients.csv"
    file.write_bytes(file.read_bytes().replace(b"1900-01-01", b"1961-05-04", 1))
    assert recount_patients(Export(tmp_path))["birthdate_1900"] == before["birthdate_1900"] - 1
