"""Plans, procedures, appointments, notes and charting of the sample practice."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from dentlib.samples.practice import (
    LAYOUTS,
    REFERENCE_DATE,
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

ORPHAN_FROM = 990_001  # ids that nothing in the practice ever has
_PROVIDERS, _CHAIRS = 6, 5
_LAST_PAST_DAY, _FIRST_FUTURE_DAY = date(2026, 1, 2), date(2026, 1, 6)
_TEETH = (*(str(number) for number in range(1, 33)), "A", "B", "J", "K", "T")
_SURFACES = ("M", "O", "D", "B", "L", "F", "I", "MO", "DO", "MOD", "MODB")


def build_plans(practice: Practice) -> Table:
    """Make a plan for every second patient; its amount is the exact sum of its procedures, which are made with it."""
    plans, procedures = _plans_and_procedures(practice)
    practice.put(procedures)
    return plans


def build_procedures(practice: Practice) -> Table:
    """Make the procedures: those of the plans first, then past ones without a plan."""
    practice.table("TreatPlans")
    return practice.table("Procedures")


def _plans_and_procedures(practice: Practice) -> tuple[Table, Table]:
    dice, plans, procedures = practice.dice("TreatPlans"), Table("TreatPlans"), Table("Procedures")
    patients = practice.rows("Patients")
    for number in range(1, max(8, practice.patients // 2) + 1):
        plan = _plan(dice, number, dice.one(patients))
        fees_cents = 0
        for _ in range(dice.weighted(((1, 20), (2, 35), (3, 30), (4, 15)))):
            row = procedure(dice, len(procedures.rows) + 1, plan["PatNum"], _procedure_day(dice, plan))
            row |= {"PlanID": plan["PlanID"], "ProvID": plan["ProvID"]}
            fees_cents += cents(row["Fee"])
            procedures.rows.append(row)
        plan["PlanAmount"] = money(fees_cents)
        plans.rows.append(plan)
    for _ in range(max(12, practice.patients)):
        patient = dice.one(patients)
        day = dice.workday(max(moment_day(patient["DateCreated"]), date(2016, 1, 4)), _LAST_PAST_DAY)
        procedures.rows.append(procedure(dice, len(procedures.rows) + 1, patient["PatNum"], day))
    _spoil_plans(practice, practice.dice("TreatPlans trouble"), plans.rows)
    _spoil_procedures(practice, practice.dice("Procedures trouble"), procedures.rows)
    return plans, procedures


def _plan(dice: Dice, number: int, patient: Row) -> Row:
    presented = dice.workday(max(moment_day(patient["DateCreated"]), date(2021, 1, 4)), date(2025, 12, 12))
    status = dice.weighted((("Proposed", 35), ("Approved", 30), ("Completed", 27), ("Declined", 8)))
    approved = min(presented + timedelta(days=dice.between(1, 30)), _LAST_PAST_DAY)
    completed = min(approved + timedelta(days=dice.between(5, 120)), _LAST_PAST_DAY)
    return {
        "PlanID": str(number),
        "PatNum": patient["PatNum"],
        "Heading": dice.one(catalogue()["headings"]),
        "PlanStatus": status,
        "PlanAmount": "",
        "ProvID": patient["PrimProv"],
        "DatePresented": us(presented),
        "DateApproved": us(approved) if status in ("Approved", "Completed") else "",
        "DateCompleted": us(completed) if status == "Completed" else "",
        "PlanNote": dice.one(("", "", "Wants to start after summer", "Split over two benefit years")),
        "CreatedOn": dice.moment(presented),
    }


def _procedure_day(dice: Dice, plan: Row) -> date | None:
    if plan["PlanStatus"] == "Completed" or (plan["PlanStatus"] == "Approved" and dice.chance(0.4)):
        return dice.workday(from_us(plan["DateApproved"]), _LAST_PAST_DAY)
    return None


def procedure(dice: Dice, number: int, patient: str, day: date | None) -> Row:
    """Make one procedure without a plan; planned and undated when `day` is None."""
    kind: dict[str, Any] = dice.weighted([(entry, entry["weight"]) for entry in catalogue()["procedures"]])
    tooth = dice.one(_TEETH) if kind["tooth"] else ""
    if tooth and dice.chance(0.04):
        tooth = f"{dice.between(2, 8)},{dice.between(9, 15)}"
    status = "Planned" if day is None else dice.weighted((("Complete", 90), ("Existing", 10)))
    return {
        "ProcNum": str(number),
        "PatNum": patient,
        "PlanID": "",
        "ProcDate": us(day) if day else "",
        "ProcCode": kind["code"],
        "Descript": kind["wording"],
        "ToothNum": tooth,
        "Surf": dice.one(_SURFACES) if kind["surface"] else "",
        "Fee": money(dice.between(kind["fee"][0] * 20, kind["fee"][1] * 20) * 5),
        "ProvID": str(dice.between(1, _PROVIDERS)),
        "ProcStatus": status,
        "Material": kind["material"],
        "ProcNote": dice.one(("", "", "", "two visits", "redo of an old one")),
        "CreatedOn": dice.moment(day or dice.day(date(2025, 1, 6), _LAST_PAST_DAY)),
    }


def _spoil_plans(practice: Practice, dice: Dice, rows: list[Row]) -> None:
    pool, log = Pool(dice, rows), practice.log
    for place, row in enumerate(pool.take(practice.few(len(rows), 12))):
        row["PlanStatus"] = ("ON-HOLD", "7", "Pend?")[place % 3]
        log.mark("unknown_plan_status", "TreatPlans", row["PlanID"])
    for place, row in enumerate(pool.take(practice.few(len(rows), 8))):
        row["ProvID"] = str(ORPHAN_FROM + place)
        log.mark("orphan_plans_provider", "TreatPlans", row["PlanID"])
    for row in pool.take(practice.few(len(rows), 30)):
        row["PlanAmount"] = dressed(row["PlanAmount"])
        log.mark("plan_amounts_formatted", "TreatPlans", row["PlanID"])


def _spoil_procedures(practice: Practice, dice: Dice, rows: list[Row]) -> None:
    log = practice.log
    pool = Pool(dice, [row for row in rows if not row["PlanID"]])
    for place, row in enumerate(pool.take(practice.few(len(rows), 4))):
        row["PatNum"] = str(ORPHAN_FROM + place)
        log.mark("orphan_procedures_patient", "Procedures", row["ProcNum"])
    for place, row in enumerate(pool.take(practice.few(len(rows), 8))):
        row["ProcCode"] = catalogue()["unknown_procedure_codes"][place % 3]
        log.mark("unknown_procedure_code", "Procedures", row["ProcNum"])
    dated = Pool(dice, [row for row in rows if row["ProcDate"]])
    for place, row in enumerate(dated.take(practice.few(len(rows), 40))):
        day = from_us(row["ProcDate"])
        row["ProcDate"] = day.isoformat() if place % 2 else f"{day.day:02d}-{_MONTHS[day.month - 1]}-{day.year}"
        log.mark("mixed_date_styles", "Procedures", row["ProcNum"])


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def build_appointments(practice: Practice) -> Table:
    """Make four appointments per patient, past and (for active patients) future, and blocked slots among them."""
    dice, table = practice.dice("Appointments"), Table("Appointments")
    drawn: list[tuple[date, Row]] = []
    for patient in practice.rows("Patients"):
        ahead = dice.weighted(((0, 20), (1, 50), (2, 30))) if patient["PatStatus"] == "Active" else 0
        earliest = max(moment_day(patient["DateCreated"]) + timedelta(days=2), date(2021, 6, 1))
        for place in range(4):
            future = place < ahead
            day = (
                dice.workday(date(2026, 1, 8), date(2026, 9, 30)) if future else dice.workday(earliest, _LAST_PAST_DAY)
            )
            drawn.append((day, appointment(dice, patient, day)))
    for _ in range(practice.few(len(drawn), 15)):
        day = dice.workday(date(2025, 6, 2), date(2026, 6, 30))
        drawn.append((day, _blocked_slot(dice, day)))
    drawn.sort(key=lambda entry: entry[0])
    table.rows = [row | {"AptNum": str(number)} for number, (_, row) in enumerate(drawn, start=1)]
    _spoil_appointments(practice, practice.dice("Appointments trouble"), table)
    return table


def appointment(dice: Dice, patient: Row, day: date) -> Row:
    """Make one appointment without its number; its status fits the side of the reference date it is on."""
    hour, minute = dice.office_time()
    past = day < REFERENCE_DATE
    return {
        "AptNum": "",
        "PatientID": patient["PatNum"],
        "AptDate": us(day),
        "AptTime": f"{(hour - 1) % 12 + 1:02d}:{minute:02d} {'AM' if hour < 12 else 'PM'}",
        "LengthMin": str(dice.one((15, 30, 30, 45, 60, 60, 90))),
        "Chair": f"Op {dice.between(1, _CHAIRS)}",
        "ProvID": patient["PrimProv"] if dice.chance(0.8) else str(dice.between(1, _PROVIDERS)),
        "AptType": dice.one(catalogue()["appointment_types"]),
        "AptStatus": dice.weighted(_PAST_STATUSES if past else _FUTURE_STATUSES),
        "AptNote": dice.one(catalogue()["appointment_notes"]),
        "CreatedOn": dice.moment(min(day, _LAST_PAST_DAY) - timedelta(days=dice.between(0, 60))),
    }


_PAST_STATUSES = (("Completed", 86), ("Cancelled", 9), ("NoShow", 5))
_FUTURE_STATUSES = (("Scheduled", 60), ("Confirmed", 40))


def _blocked_slot(dice: Dice, day: date) -> Row:
    row = dict.fromkeys(LAYOUTS["Appointments"].columns, "")
    hour, minute = dice.one((("12", "00"), ("08", "00"), ("04", "30")))
    return row | {
        "AptDate": us(day),
        "AptTime": f"{hour}:{minute} {'AM' if hour == '08' else 'PM'}",
        "LengthMin": "60",
        "Chair": f"Op {dice.between(1, _CHAIRS)}",
        "ProvID": str(dice.between(1, _PROVIDERS)),
        "AptType": "Blocked",
        "AptStatus": "Scheduled" if day > REFERENCE_DATE else "Completed",
        "AptNote": dice.one(("Lunch", "Staff meeting", "Chair out of order")),
        "CreatedOn": dice.moment(min(day, _LAST_PAST_DAY) - timedelta(days=30)),
    }


def _spoil_appointments(practice: Practice, dice: Dice, table: Table) -> None:
    log, few, count = practice.log, practice.few, len(table.rows)
    for row in table.rows:
        if row["AptType"] == "Blocked":
            log.mark("blocked_slots", "Appointments", row["AptNum"])
    deceased = {row["PatNum"] for row in practice.rows("Patients") if row["PatStatus"] == "Deceased"}
    theirs = Pool(dice, [row for row in table.rows if row["PatientID"] in deceased])
    for row in theirs.take(few(len(deceased), 200)):
        row |= {"AptDate": us(dice.workday(date(2026, 2, 2), date(2026, 6, 30))), "AptStatus": "Scheduled"}
        log.mark("deceased_with_future_appointment", "Appointments", row["AptNum"])
    past = [row for row in table.rows if row["PatientID"] and row["AptStatus"] in ("Completed", "Cancelled", "NoShow")]
    pool = Pool(dice, [row for row in past if row["PatientID"] not in deceased])
    for place, row in enumerate(pool.take(few(count, 5))):
        row["AptStatus"] = ("6", "ASAP-LIST", "Moved")[place % 3]
        log.mark("unknown_appointment_status", "Appointments", row["AptNum"])
    for place, row in enumerate(pool.take(few(count, 4))):
        row["PatientID"] = str(ORPHAN_FROM + place)
        log.mark("orphan_appointments_patient", "Appointments", row["AptNum"])
    for row in pool.take(few(count, 10)):
        row["AptStatus"] = dice.one(("Scheduled", "Confirmed"))
        log.mark("past_still_open", "Appointments", row["AptNum"])
    doubles = {row["AptNum"] for row in pool.take(few(count, 3))}
    for key in sorted(doubles, key=int):
        log.mark("exact_duplicate_rows", "Appointments", key)
    table.rows = [copy for row in table.rows for copy in ([row, row] if row["AptNum"] in doubles else [row])]
    delimiters = len(table.layout.columns) - 1
    table.blank_after = [(count // 4, 0), (count // 2, delimiters), (count - 1, 0)]
    log.keys["blank_rows"] = [f"blank line {number}" for number, _ in enumerate(table.blank_after, start=1)]


def build_notes(practice: Practice) -> Table:
    """Make two notes per patient, a few of another patient's who isn't there, and one of 40 kB."""
    dice, log, table = practice.dice("ClinicalNotes"), practice.log, Table("ClinicalNotes")
    for patient in practice.rows("Patients"):
        first_day = moment_day(patient["DateCreated"])
        for _ in range(2):
            moment = dice.moment(dice.day(first_day, _LAST_PAST_DAY))
            kind = dice.weighted((("Clinical", 45), ("Progress", 40), ("Perio Chart", 15)))
            row = note(dice, len(table.rows) + 1, patient, moment, kind, plain=dice.chance(0.5))
            table.rows.append(row)
    pool = Pool(practice.dice("ClinicalNotes trouble"), table.rows)
    for place, row in enumerate(pool.take(practice.few(len(table.rows), 4))):
        row["PatNum"] = str(ORPHAN_FROM + place)
        log.mark("orphan_notes_patient", "ClinicalNotes", row["NoteNum"])
    for row in pool.take(1):
        words = catalogue()["note_of_40_kb_words"]
        row["NoteText"] = "".join(dice.one(words) + (".\n" if place % 14 == 13 else " ") for place in range(5600))
        log.mark("notes_of_40_kb", "ClinicalNotes", row["NoteNum"])
    for row in pool.take(1):  # at least one of each kind of text, kept through every round
        row["NoteText"] += '\n"See you in spring," he said.'
        log.touched.add(("ClinicalNotes", row["NoteNum"]))
    for row in table.rows:
        if "\n" in row["NoteText"]:
            log.mark("notes_with_line_breaks", "ClinicalNotes", row["NoteNum"], tied=False)
        if '"' in row["NoteText"]:
            log.mark("notes_with_quotes", "ClinicalNotes", row["NoteNum"], tied=False)
    return table


def note(dice: Dice, number: int, patient: Row, moment: str, kind: str, *, plain: bool) -> Row:
    """Make one note; a plain one has neither line breaks nor quotes."""
    words = catalogue()
    parts = [dice.one(words["note_openings"]), *(dice.one(words["note_sentences"]) for _ in range(dice.between(1, 4)))]
    if not plain:
        if dice.chance(0.3):
            parts.insert(1, dice.one(words["note_quotes"]))
        if kind == "Perio Chart":
            parts += dice.shuffled(words["perio_lines"])[:4]
    separator = " " if plain or (kind != "Perio Chart" and dice.chance(0.4)) else dice.one(("\n", "\n", "\r\n", "\n\n"))
    return {
        "NoteNum": str(number),
        "PatNum": patient["PatNum"],
        "NoteDate": moment,
        "NoteType": kind,
        "Provider": patient["PrimProv"],
        "NoteText": separator.join(parts) + ("  " if dice.chance(0.02) else ""),
    }


def build_tooth_chart(practice: Practice) -> Table:
    """Make per-tooth findings for every third patient."""
    dice, table, words = practice.dice("ToothChart"), Table("ToothChart"), catalogue()
    for patient in practice.rows("Patients"):
        if not dice.chance(0.33):
            continue
        day = dice.workday(max(moment_day(patient["DateCreated"]), date(2022, 1, 3)), _LAST_PAST_DAY)
        for tooth in sorted(dice.shuffled(range(1, 33))[:4]):
            condition = dice.one(words["conditions"])
            depths = ["".join(str(dice.weighted(((2, 50), (3, 30), (4, 15), (5, 5)))) for _ in range(3)) for _ in "ab"]
            cells = (
                str(len(table.rows) + 1),
                patient["PatNum"],
                us(day),
                str(tooth),
                dice.one(_SURFACES) if condition in ("Caries", "Restoration") else "",
                condition,
                "" if condition in ("Missing", "Implant") else " ".join(depths),
                "Y" if dice.chance(0.2) else "N",
                str(dice.weighted(((0, 80), (1, 14), (2, 5), (3, 1)))),
                patient["PrimProv"],
                dice.one(words["chart_remarks"]),
            )
            table.rows.append(dict(zip(LAYOUTS["ToothChart"].columns, cells, strict=True)))
    return table
