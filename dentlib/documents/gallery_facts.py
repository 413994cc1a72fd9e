"""Small invented facts of an invented practice, from which the gallery's pages are made. No person here exists."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256

from dentlib.facts import (
    AccessRow,
    AuditFacts,
    ColumnFacts,
    FileFacts,
    Finding,
    HouseholdFacts,
    IntakeFacts,
    MapLine,
    MappingFacts,
    OwnerRow,
    RelationshipFacts,
    TableFacts,
    ValueMapFacts,
)
from dentlib.model import (
    Decision,
    Option,
    Problem,
    SchemaItem,
    Severity,
    WantedField,
    WantedObject,
)

ENGAGEMENT = "gallery"
CLIENT = "Brightsmile Dental"
MADE_AT = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)
EMAIL = "@brightsmile.example"


def fingerprint(text: str) -> str:
    """Return a hash that looks like a real one and is the same every time."""
    return sha256(text.encode()).hexdigest()


def _file(path: str, size: int, rows: int, rejected: int = 0, encoding: str = "utf-8", why: str = "") -> FileFacts:
    return FileFacts(
        path=path,
        sha256=fingerprint(path),
        size_bytes=size,
        kind="csv" if path.endswith(".csv") else "document",
        table=path.removesuffix(".csv").lower() if path.endswith(".csv") else "",
        encoding=encoding,
        encoding_reason=why,
        delimiter="," if encoding else "",
        physical_rows=rows,
        loaded=rows - rejected,
        rejected=rejected,
    )


def audit_facts() -> AuditFacts:
    """Return an audit with findings of every severity, an unknown table and a missing object."""
    files = (
        _file("Patients.csv", 812_400, 4871, encoding="utf-8-sig", why="byte order mark"),
        _file("Appointments.csv", 1_904_122, 19_240, rejected=2),
        _file("InsCarriers.csv", 9_130, 61, encoding="windows-1252", why="ü and ö, and no valid UTF-8"),
        _file("TreatPlans.csv", 402_988, 3_118),
        _file("OldFaxLog.csv", 55_020, 804),
        _file("Documents/consent-0001.pdf", 88_210, 0, encoding=""),
    )
    return AuditFacts(
        engagement=ENGAGEMENT,
        client=CLIENT,
        source="Dent-O-Soft",
        intake=IntakeFacts(
            round="2026-01-05",
            taken_at=MADE_AT - timedelta(minutes=9),
            source="Dent-O-Soft",
            files=files,
            problems=(
                Problem(
                    "row_width",
                    "Appointments.csv, lines 8,112 and 15,004",
                    "the row has 9 cells where the header has 10",
                    "the rows are set aside; send them again or enter them by hand",
                    Severity.WARNING,
                    2,
                ),
            ),
        ),
        tables=(
            TableFacts("patients", 4871, 31, "patient", ("PatNum",), "unique and never empty", ("Patients.csv",)),
            TableFacts("appointments", 19_238, 10, "appointment", ("AptNum",), "unique", ("Appointments.csv",)),
            TableFacts("inscarriers", 61, 12, "insurance_carrier", ("CarrierNum",), "unique", ("InsCarriers.csv",)),
            TableFacts("treatplans", 3118, 10, "treatment_plan", ("PlanID",), "unique", ("TreatPlans.csv",)),
            TableFacts("oldfaxlog", 804, 4, "", (), "no column is unique", ("OldFaxLog.csv",)),
        ),
        columns=(
            ColumnFacts("patients", "PatNum", "integer", 4871, 4871, 4871, "record", "", 4, (), ("9999", "999")),
            ColumnFacts("patients", "LName", "text", 4871, 4871, 3012, "name", "", 27, (), ("Aaaaaa", "A'Aaaa")),
            ColumnFacts("patients", "Birthdate", "date", 4871, 4655, 4102, "date", "%Y-%m-%d", 10, (), ("9999-99-99",)),
            ColumnFacts(
                "patients",
                "Gender",
                "text",
                4871,
                4860,
                6,
                values=(("F", 2540), ("M", 2270), ("X", 21), ("U", 14), ("9", 9), ("N/A", 6)),
                longest=3,
            ),
            ColumnFacts("patients", "EMail", "text", 4871, 3970, 3655, "email", "", 41, (), ("aaaa.aa@aaaa.aaa",)),
            ColumnFacts("appointments", "AptDate", "date", 19_238, 19_238, 2104, "date", "%m/%d/%Y", 10),
            ColumnFacts(
                "appointments",
                "AptStatus",
                "text",
                19_238,
                19_200,
                7,
                values=(("Completed", 15_820), ("Cancelled", 1604), ("Scheduled", 988), ("NoShow", 720), ("6", 61)),
                longest=9,
            ),
            ColumnFacts("treatplans", "PlanAmount", "decimal", 3118, 3110, 1204, "", "1,234.50", 10),
            ColumnFacts("oldfaxlog", "Remark", "empty", 804, 0, 0),
        ),
        relationships=(
            RelationshipFacts("appointments", "PatientID", "patients", "PatNum", 19_102, 14),
            RelationshipFacts("patients", "CarrierNum", "inscarriers", "CarrierNum", 4120, 0),
            RelationshipFacts("treatplans", "PatNum", "patients", "PatNum", 3118, 3),
        ),
        findings=(
            Finding(
                "impossible_date",
                Severity.WARNING,
                "patients",
                "Birthdate",
                38,
                4655,
                "dates that cannot be: 31 February, or after the export was made",
                "they arrive empty, and the patient is listed",
                "9999-99-99",
            ),
            Finding(
                "shared_email",
                Severity.INFO,
                "patients",
                "EMail",
                312,
                4871,
                "patients share their e-mail address with someone of their family",
                "one keeps it as the main address, the others as an additional one; nobody is merged",
            ),
            Finding(
                "unknown_value",
                Severity.ERROR,
                "appointments",
                "AptStatus",
                61,
                19_238,
                "the status 6 is not among those known",
                "tell us what it means, or agree that it arrives as “other”",
            ),
            Finding(
                "orphan",
                Severity.WARNING,
                "appointments",
                "PatientID",
                14,
                19_102,
                "appointments point at a patient who is not in the export",
                "they are set aside with their number",
            ),
            Finding(
                "duplicate_person",
                Severity.WARNING,
                "patients",
                "",
                22,
                4871,
                "patients look like another one: same name and date of birth",
                "both arrive; decide in the CRM which to keep",
                "Aaaa Aaaaaa",
            ),
        ),
        missing_objects=("lab prescription",),
        structure_hash=fingerprint("structure")[:16],
    )


_LINES = (
    # column, logical, confidence, evidence, object, field, offer name, transform, status, filled, reason
    ("PatNum", "patient_id", 1.0, "key", "Person", "sourceSystemId", "Source_System_ID__c", "", "mapped", 4871, ""),
    ("LName", "last_name", 0.99, "header", "Person", "name.lastName", "", "trimmed", "mapped", 4871, ""),
    ("FName", "first_name", 0.99, "header", "Person", "name.firstName", "", "trimmed", "mapped", 4866, ""),
    ("Birthdate", "birth_date", 0.98, "header, dates", "Person", "dateOfBirth", "", "date", "mapped", 4655, ""),
    ("Gender", "sex", 0.97, "header, values", "Person", "gender", "Gender__c", "value map", "mapped", 4860, ""),
    ("EMail", "email", 0.99, "header, values", "Person", "emails.primaryEmail", "", "e-mail", "mapped", 3970, ""),
    ("RefSource", "referral_source", 0.62, "values", "Person", "referralSource", "", "text", "mapped", 2210, ""),
    (
        "ChartNo",
        "chart_number",
        0.9,
        "header",
        "Person",
        "sourceRecord",
        "",
        "text",
        "kept_elsewhere",
        4871,
        "in a note",
    ),
    ("SSN", "ssn", 0.99, "header, shape", "", "", "", "", "not_migrated", 1204, "not moved unless the practice asks"),
    ("DateModified", "modified_at", 0.9, "header", "", "", "", "", "internal", 4871, "of use to the old system only"),
    ("Salutation", "", 0.0, "", "", "", "", "", "not_migrated", 0, "empty in every row"),
)


def mapping_facts() -> MappingFacts:
    """Return a map with unsure columns, an unmapped value, one schema conflict and an owner who falls back."""
    return MappingFacts(
        engagement=ENGAGEMENT,
        client=CLIENT,
        lines=tuple(
            MapLine("patients", c, logical, sure, why, "patients", obj, fld, offer, how, status, filled, 4871, reason)
            for c, logical, sure, why, obj, fld, offer, how, status, filled, reason in _LINES
        ),
        value_maps=(
            ValueMapFacts(
                "patients",
                "gender",
                "patients",
                "Gender",
                (("F", 2540, "FEMALE"), ("M", 2270, "MALE"), ("X", 21, "OTHER"), ("U", 14, "UNKNOWN"), ("9", 9, "")),
                "leave_empty",
            ),
            ValueMapFacts(
                "appointments",
                "appointmentStatus",
                "appointments",
                "AptStatus",
                (
                    ("Completed", 15_820, "COMPLETED"),
                    ("Cancelled", 1604, "CANCELLED"),
                    ("Scheduled", 988, "SCHEDULED"),
                    ("NoShow", 720, "NO_SHOW"),
                    ("6", 61, ""),
                ),
                "reject",
            ),
        ),
        schema=_schema(),
        owners=(
            OwnerRow(
                "1",
                "Mara Velden",
                f"mara.velden{EMAIL}",
                "Dentist",
                "matched",
                "Mara Velden",
                f"mara.velden{EMAIL}",
                7402,
            ),
            OwnerRow(
                "2",
                "Tobias Renner",
                f"tobias.renner{EMAIL}",
                "Dentist",
                "matched",
                "Tobias Renner",
                f"tobias.renner{EMAIL}",
                6111,
            ),
            OwnerRow(
                "3",
                "Ayşe Gürışık",
                "",
                "Dentist, left 2023",
                "fallback",
                "Rosa Lindqvist",
                f"rosa.lindqvist{EMAIL}",
                1380,
                "no e-mail in the export",
            ),
            OwnerRow(
                "4",
                "Jörg Weiß",
                f"j.weiss{EMAIL}",
                "Hygienist",
                "fallback",
                "Rosa Lindqvist",
                f"rosa.lindqvist{EMAIL}",
                902,
                "has not accepted the invitation",
            ),
        ),
        tables_not_migrated=(("oldfaxlog", 804, "no object of the offer; kept in the export"),),
        rebuild=(
            {
                "kind": "Reminder",
                "name": "Cleaning after six months",
                "trigger": "last visit plus interval, minus 30 days",
                "condition": "recall is active",
                "action": "e-mail, after 7 days a text",
                "means": "workflow on the task's due date; e-mail sequences need an outside tool",
            },
            {
                "kind": "Workflow",
                "name": "Missed visit",
                "trigger": "appointment becomes a no-show",
                "condition": "second time in a year",
                "action": "task for the front desk: call",
                "means": "workflow on the record's update, with a filter",
            },
            {
                "kind": "Permission",
                "name": "Front desk",
                "trigger": "",
                "condition": "role is reception",
                "action": "everything but clinical notes",
                "means": "role with the object Note switched off",
            },
        ),
        scope=(
            ("appointments", "blocked slots are not appointments", 136),
            ("recalls", "no recall for the deceased or archived", 44),
        ),
        consent=(("may not be contacted", 87), ("agreed to marketing", 1903)),
        problems=(
            Problem(
                "unmapped_value",
                "appointments.AptStatus",
                "61 rows have a status that the map doesn't know",
                "add the value to the map, or confirm that these rows are set aside",
                Severity.WARNING,
                61,
            ),
        ),
        households=(
            HouseholdFacts("patients", "Patients", "emails.primaryEmail", "first_keeps_it", 41, 97, 41, 56, 5),
            HouseholdFacts("patients", "Patients", "phones.primaryPhoneNumber", "keep_all", 312, 803, 803, 0, 7),
        ),
        access=(
            AccessRow("clinical notes", "note", ("bodyV2",), ("Admin", "Member")),
            AccessRow("insurance numbers", "person", ("insuranceMemberId",), ("Admin",)),
        ),
        map_hash=fingerprint("map")[:16],
    )


def _schema() -> tuple[SchemaItem, ...]:
    genders = tuple(Option(x.upper(), x) for x in ("Female", "Male", "Other", "Unknown"))
    procedure = WantedObject("procedure", "procedures", "Procedure", "Procedures")
    gender = WantedField("person", "gender", "SELECT", "Gender", options=genders, offer_name="Gender__c")
    stage = WantedField("opportunity", "stage", "SELECT", "Stage", extend=True)
    return (
        SchemaItem(Decision.CREATE, "procedure", label="Procedure", wanted_object=procedure),
        SchemaItem(Decision.CREATE, "person", "gender", "SELECT", "Gender", wanted_field=gender),
        SchemaItem(Decision.CREATE, "person", "dateOfBirth", "DATE", "Date of birth"),
        SchemaItem(Decision.CREATE, "procedure", "person", "RELATION", "Patient"),
        SchemaItem(
            Decision.EXTEND,
            "opportunity",
            "stage",
            "SELECT",
            "Stage",
            "the workspace has its own stages; they stay",
            wanted_field=stage,
            add_options=(Option("INITIAL_EXAM", "Initial exam"), Option("TREATMENT_PLAN", "Treatment plan")),
        ),
        SchemaItem(Decision.REUSE, "person", "emails", "EMAILS", "Emails"),
        SchemaItem(
            Decision.CONFLICT,
            "person",
            "sourceSystemId",
            "TEXT",
            "Source system ID",
            "a field of this name exists with the type NUMBER; rename it or let it be removed",
        ),
    )
