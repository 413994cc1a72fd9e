"""Carriers, labs, claims, payments, recalls, communications, documents and definitions of the sample practice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

from dentlib.samples.clinic import ORPHAN_FROM
from dentlib.samples.names import FIRST_NAMES, LAST_NAMES, mail_name, phone
from dentlib.samples.pages import large_pdf_bytes, pdf, png, write_large_pdf
from dentlib.samples.people import address
from dentlib.samples.practice import (
    LAYOUTS,
    Dice,
    Pool,
    Practice,
    Row,
    Table,
    catalogue,
    cents,
    dressed,
    from_us,
    moment_day,
    money,
    us,
)

_STAFF = 8
_LAST_PAST_DAY = date(2026, 1, 2)
_LARGE_PADDING_BYTES = 11 * 1024 * 1024


def _row(table: str, *cells: str) -> Row:
    return dict(zip(LAYOUTS[table].columns, cells, strict=True))


def build_carriers(practice: Practice) -> Table:
    """Make the insurance carriers; their file is windows-1252, with letters beyond ASCII in it."""
    dice, table = practice.dice("InsCarriers"), Table("InsCarriers")
    for number, name in enumerate(catalogue()["carriers"], start=1):
        site = f"{mail_name(name)}.example"
        place = address(dice, "Address")
        kind = "Medicaid" if "State" in name else dice.one(("PPO", "PPO", "HMO", "Indemnity"))
        cells = (str(number), name, f"{dice.below(100_000):05d}", *place.values(), phone(number), f"claims@{site}")
        table.rows.append(_row("InsCarriers", *cells, f"www.{site}", kind, "1" if number == 10 else "0"))
    practice.log.keys["cp1252_files"] = [table.file]
    return table


def build_labs(practice: Practice) -> Table:
    """Make the dental labs."""
    dice, table = practice.dice("Labs"), Table("Labs")
    for number, name in enumerate(catalogue()["labs"], start=1):
        place = address(dice, "Street")
        contact = f"{FIRST_NAMES['X'][number]} {LAST_NAMES[number * 11]}"
        mail = f"orders@{mail_name(name)}.example" if number != 3 else ""
        table.rows.append(_row("Labs", str(number), name, contact, *place.values(), phone(200 + number), mail))
    return table


def build_lab_cases(practice: Practice) -> Table:
    """Make lab prescriptions for about every seventh patient."""
    dice, log, table, words = practice.dice("LabCases"), practice.log, Table("LabCases"), catalogue()
    for number in range(1, max(6, practice.patients * 3 // 20) + 1):
        patient = dice.one(practice.rows("Patients"))
        sent = dice.workday(max(moment_day(patient["DateCreated"]), date(2022, 1, 3)), _LAST_PAST_DAY)
        due = sent + timedelta(days=dice.between(7, 21))
        status = "Seated" if due < date(2025, 12, 1) else dice.one(("Ordered", "In Lab", "Received"))
        cells = (str(number), patient["PatNum"], str(dice.between(1, len(words["labs"]))), patient["PrimProv"])
        shade, material = dice.one(words["lab_shades"]), dice.one(words["lab_materials"])
        advice = dice.one(words["lab_instructions"])
        tooth = str(dice.between(1, 32))
        table.rows.append(_row("LabCases", *cells, us(sent), us(due), status, tooth, shade, material, advice))
    for place, row in enumerate(Pool(dice, table.rows).take(practice.few(len(table.rows), 10))):
        row["LabNum"] = str(ORPHAN_FROM + place)
        log.mark("orphan_labcases_lab", "LabCases", row["LabCaseNum"])
    return table


def build_claims(practice: Practice) -> Table:
    """Make claims for insured patients, some of them for a plan."""
    dice, log, table = practice.dice("InsClaims"), practice.log, Table("InsClaims")
    plans: dict[str, list[str]] = {}
    for plan in practice.rows("TreatPlans"):
        plans.setdefault(plan["PatNum"], []).append(plan["PlanID"])
    insured = [row for row in practice.rows("Patients") if 0 < int(row["CarrierNum"] or 0) < ORPHAN_FROM]
    for number in range(1, max(10, practice.patients * 3 // 5) + 1):
        patient = dice.one(insured)
        table.rows.append(claim(dice, number, patient, plans.get(patient["PatNum"], ())))
    pool = Pool(dice, table.rows)
    for place, row in enumerate(pool.take(practice.few(len(table.rows), 6))):
        row["PatientID"] = str(ORPHAN_FROM + place)
        log.mark("orphan_claims_patient", "InsClaims", row["ClaimNum"])
    for place, row in enumerate(pool.take(practice.few(len(table.rows), 10))):
        row["ClaimStatus"] = ("X", "REWORK", "12")[place % 3]
        log.mark("unknown_claim_status", "InsClaims", row["ClaimNum"])
    log.keys["semicolon_files"] = [table.file]
    return table


def claim(dice: Dice, number: int, patient: Row, plans: Sequence[str]) -> Row:
    """Make one claim; of a paid one billed = paid + adjusted."""
    served = dice.workday(max(moment_day(patient["DateCreated"]), date(2021, 1, 4)), _LAST_PAST_DAY)
    status = dice.weighted((("Paid", 60), ("Submitted", 16), ("Pending", 10), ("Denied", 9), ("Appeal", 5)))
    billed = dice.between(40_00, 1800_00)
    paid = billed * dice.between(40, 100) // 100 if status == "Paid" else 0
    adjusted = billed - paid if status == "Paid" else 0
    sent = "" if status == "Pending" else (served + timedelta(days=dice.between(0, 3))).isoformat()
    plan = dice.one(plans) if plans and dice.chance(0.7) else ""
    return _row(
        "InsClaims",
        *(str(number), f"CLM-{served.year}-{number:05d}", patient["PatNum"], patient["CarrierNum"]),
        *(patient["PrimProv"], plan, served.isoformat(), sent, money(billed), money(paid), money(adjusted)),
        *(dice.one(catalogue()["adjustment_reasons"]) if adjusted else "", status, dice.moment(served)),
    )


def build_payments(practice: Practice) -> Table:
    """Make payments with exact cents, a few refunds, and a totals line at the end of the file."""
    dice, log, table = practice.dice("Payments"), practice.log, Table("Payments")
    by_patient: dict[str, list[Row]] = {}
    for row in practice.rows("Procedures"):
        if row["ProcStatus"] == "Complete":
            by_patient.setdefault(row["PatNum"], []).append(row)
    days: list[tuple[date, Row]] = []
    for _ in range(max(16, practice.patients * 3 // 2)):
        patient = dice.one(practice.rows("Patients"))
        days.append((dice.workday(max(moment_day(patient["DateCreated"]), date(2020, 1, 6)), _LAST_PAST_DAY), patient))
    days.sort(key=lambda entry: entry[0])
    owed = {patient: sum(cents(row["Fee"]) for row in rows) for patient, rows in by_patient.items()}
    for number, (day, patient) in enumerate(days, start=1):
        row = payment(dice, number, patient["PatNum"], day, by_patient.get(patient["PatNum"], ()))
        table.rows.append(row)
    pool = Pool(dice, table.rows)
    for place, row in enumerate(pool.take(practice.few(len(table.rows), 4))):
        row |= {"PatNum": str(ORPHAN_FROM + place), "PlanID": "", "ProcNum": ""}
        log.mark("orphan_payments_patient", "Payments", row["PayNum"])
    for place, row in enumerate(pool.take(max(2, practice.few(len(table.rows), 15)))):
        plain = row["Amount"]
        row |= {"Amount": f"(${plain})" if place % 3 == 1 else f"-{plain}", "PayType": "Refund"}
        log.mark("payments_negative", "Payments", row["PayNum"])
        if place % 3 == 1:
            log.mark("payments_in_parentheses", "Payments", row["PayNum"])
    for row in pool.take(max(2, practice.few(len(table.rows), 25))):
        row["Amount"] = dressed(money(cents(row["Amount"]) + 1000_00))
        log.mark("payments_formatted", "Payments", row["PayNum"])
    for row in table.rows:
        owed[row["PatNum"]] = owed.get(row["PatNum"], 0) - cents(row["Amount"])
        row["Balance"] = money(owed[row["PatNum"]])
    table.footer = _totals_line
    log.keys["totals_lines"] = ["TOTAL"]
    return table


def payment(dice: Dice, number: int, patient: str, day: date, procedures: Sequence[Row]) -> Row:
    """Make one payment without its balance; applied to one of the patient's finished procedures where there is one."""
    applied = dice.one(procedures) if procedures and dice.chance(0.75) else None
    kind = dice.weighted((("Credit Card", 45), ("Insurance", 30), ("Check", 15), ("Cash", 10)))
    amount = money(dice.between(15_00, 480_99))
    plan, procedure = (applied["PlanID"], applied["ProcNum"]) if applied else ("", "")
    memo = dice.one(catalogue()["payment_memos"])
    return _row("Payments", str(number), patient, plan, procedure, us(day), kind, amount, "", memo, dice.moment(day))


def _totals_line(rows: Sequence[Row]) -> list[str]:
    total = money(sum(cents(row["Amount"]) for row in rows))
    return [{"PayNum": "TOTAL", "Amount": total}.get(column, "") for column in LAYOUTS["Payments"].columns]


def build_recalls(practice: Practice) -> Table:
    """Make recalls for most active patients from their last completed visit, and some that should not be."""
    dice, log, table = practice.dice("Recalls"), practice.log, Table("Recalls")
    last_visit: dict[str, date] = {}
    for row in practice.rows("Appointments"):
        if row["AptStatus"] == "Completed" and row["PatientID"]:
            day = from_us(row["AptDate"])
            last_visit[row["PatientID"]] = max(day, last_visit.get(row["PatientID"], day))
    gone: dict[str, list[Row]] = {"Deceased": [], "Inactive": []}
    for patient in practice.rows("Patients"):
        if patient["PatStatus"] == "Active":
            if patient["PatNum"] in last_visit and dice.chance(0.8):
                table.rows.append(recall(dice, len(table.rows) + 1, patient, last_visit[patient["PatNum"]]))
        else:
            gone["Deceased" if patient["PatStatus"] == "Deceased" else "Inactive"].append(patient)
    for kind, status in (("deceased_with_future_recall", "Deceased"), ("inactive_with_future_recall", "Inactive")):
        for patient in Pool(dice, gone[status]).take(practice.few(len(gone[status]), 250)):
            row = recall(dice, len(table.rows) + 1, patient, dice.workday(date(2025, 10, 6), _LAST_PAST_DAY))
            row["IntervalMonths"] = "12"
            table.rows.append(row)
            log.mark(kind, "Recalls", row["RecallNum"])
    pool = Pool(dice, [row for row in table.rows if ("Recalls", row["RecallNum"]) not in log.touched])
    for row in pool.take(practice.few(len(table.rows), 15)):
        row["LastVisit"] = ""
        log.mark("recall_without_last_visit", "Recalls", row["RecallNum"])
    for place, row in enumerate(pool.take(practice.few(len(table.rows), 8))):
        row["RecallType"] = ("R4", "KIDS?", "0")[place % 3]
        log.mark("unknown_recall_type", "Recalls", row["RecallNum"])
    for row in pool.take(practice.few(len(table.rows), 20)):
        table.trailing[row["RecallNum"]] = 2
        log.mark("trailing_blank_cells", "Recalls", row["RecallNum"])
    return table


def recall(dice: Dice, number: int, patient: Row, last_visit: date) -> Row:
    """Make one recall; its due date is not in the file."""
    kind, months = dice.weighted(((("PROPHY", 6), 60), (("EXAM", 12), 25), (("PERIO", 3), 10), (("PERIO", 4), 5)))
    status, remark = dice.weighted((("Active", 93), ("Off", 7))), dice.one(catalogue()["recall_notes"])
    return _row("Recalls", str(number), patient["PatNum"], kind, str(months), us(last_visit), status, remark)


def build_communications(practice: Practice) -> Table:
    """Make calls, e-mails and meetings, one for every second patient."""
    dice, table = practice.dice("Communications"), Table("Communications")
    for _ in range(max(9, practice.patients // 2)):
        patient = dice.one(practice.rows("Patients"))
        day = dice.day(max(moment_day(patient["DateCreated"]), date(2022, 1, 3)), _LAST_PAST_DAY)
        table.rows.append(communication(dice, len(table.rows) + 1, patient["PatNum"], day))
    return table


def communication(dice: Dice, number: int, patient: str, day: date) -> Row:
    """Make one call, e-mail or meeting."""
    template = dice.one(catalogue()["communications"])
    minutes = "" if template["kind"] == "E-mail" else str(dice.between(1, 40))
    direction = dice.one(("In", "Out", "Out"))
    cells = (str(number), patient, template["kind"], dice.moment(day), direction, minutes, template["subject"])
    return _row("Communications", *cells, template["body"], str(dice.between(1, _STAFF)))


def build_definitions(practice: Practice) -> Table:
    """Read the workflow, view, permission and reminder definitions (definitions.json of this package)."""
    del practice  # the same in every practice
    source = json.loads((Path(__file__).parent / "definitions.json").read_text(encoding="utf-8"))
    rows = [_row("Definitions", str(number), *cells) for number, cells in enumerate(source, start=1)]
    return Table("Definitions", rows)


_DOC_KINDS = (
    ("Consent", "Signed consent", "pdf"),
    ("Insurance card", "Card, both sides", "png"),
    ("X-ray", "Bitewing, right", "png"),
    ("Letter", "Letter from the specialist", "pdf"),
)


def build_documents(practice: Practice) -> Table:
    """Make the index of documents for a tenth of the patients; three have something wrong with their file."""
    dice, log, table = practice.dice("DocIndex"), practice.log, Table("DocIndex")
    for number in range(1, max(12, practice.patients // 10) + 1):
        table.rows.append(document(practice, dice, number, dice.one(practice.rows("Patients")), _LAST_PAST_DAY))
    large, missing, disguised = table.rows[4], table.rows[5], table.rows[6]
    _remake(practice, large, "panorama_large.pdf", "large", _document_bytes("large"))
    log.mark("document_over_10_mb", "DocIndex", large["DocNum"])
    _remake(practice, missing, "lost_letter.pdf", "", 51_234)
    log.mark("document_missing_on_disk", "DocIndex", missing["DocNum"])
    _remake(practice, disguised, "scan_0001.pdf", "png 77", _document_bytes("png 77"))
    log.mark("document_wrong_extension", "DocIndex", disguised["DocNum"])
    practice.documents["unfiled_scan.png"] = "png 11"
    log.keys["document_not_in_index"] = ["unfiled_scan.png"]
    return table


def document(practice: Practice, dice: Dice, number: int, patient: Row, until: date) -> Row:
    """Make one document of a patient, index row and file."""
    kind, title, extension = dice.one(_DOC_KINDS)
    name = f"{patient['PatNum']}_{mail_name(kind)}_{number}.{extension}"
    recipe = f"png {dice.below(256)}" if extension == "png" else f"pdf {title} no. {number}"
    practice.documents[name] = recipe
    day = dice.day(moment_day(patient["DateCreated"]), until)
    size = str(_document_bytes(recipe))
    return _row("DocIndex", str(number), patient["PatNum"], kind, title, name, size, dice.moment(day))


def _remake(practice: Practice, row: Row, name: str, recipe: str, size_bytes: int) -> None:
    del practice.documents[row["FileName"]]
    row |= {"FileName": name, "FileSize": str(size_bytes)}
    if recipe:
        practice.documents[name] = recipe


def _document_bytes(recipe: str) -> int:
    if recipe == "large":
        return large_pdf_bytes("Panorama", _LARGE_PADDING_BYTES)
    return len(_document(recipe))


def _document(recipe: str) -> bytes:
    kind, _, detail = recipe.partition(" ")
    return png(int(detail)) if kind == "png" else pdf(detail)


def write_document(path: Path, recipe: str) -> None:
    """Write one file of `practice.documents`."""
    if recipe == "large":
        write_large_pdf(path, "Panorama", _LARGE_PADDING_BYTES)
    else:
        path.write_bytes(_document(recipe))
