"""Invented facts of the gallery, second half: sample, run, delta and rollback."""

from __future__ import annotations

from datetime import timedelta

from dentlib.documents.gallery_facts import CLIENT, ENGAGEMENT, MADE_AT, fingerprint
from dentlib.documents.gallery_reconciliation import reconciliation_facts
from dentlib.facts import (
    CheckFacts,
    DiffRow,
    Forecast,
    MatchFacts,
    MatchRuleFacts,
    MatchStepFacts,
    PackageFacts,
    PackageFile,
    PreviewFacts,
    ReasonCount,
    RollbackFacts,
    RollbackLine,
    RunFacts,
    SampleFacts,
    StepFacts,
    StepForecast,
    SwitchFacts,
)
from dentlib.model import ProbedFact, Reaction


def _steps() -> tuple[StepFacts, ...]:
    return (
        StepFacts("carriers", "Insurance carriers", "Company", 61, created=60, merged=1),
        StepFacts("patients", "Patients", "Person", 4871, created=4864, rejected=7),
        StepFacts("plans", "Treatment plans", "Opportunity", 3118, created=3115, rejected=3),
        StepFacts("appointments", "Appointments", "Task", 19_238, created=19_027, rejected=75, excluded=136),
    )


def _forecast() -> Forecast:
    steps = tuple(StepForecast(s.step, s.label, s.object, s.created, 0, 0, -(-s.created // 200)) for s in _steps())
    return Forecast(
        records=sum(s.create for s in steps),
        calls=sum(s.calls for s in steps),
        minutes=2.9,
        calls_per_minute=100,
        reading=142,
        steps=steps,
        rate_from="the plan is pro",
        begins_at=MADE_AT,
        ends_at=MADE_AT + timedelta(minutes=2.9),
    )


def package_facts() -> PackageFacts:
    """Return a package of three files, with what can't go by file."""
    titles = ("Id", "Name / First Name", "Name / Last Name", "Emails / Primary Email", "Company / Id")
    opens = "{} → ⋮ (top right) → Import records"

    def file(number: int, name: str, step: str, label: str, rows: int) -> PackageFile:
        sheet = f"{number:02d}-{step}.csv"
        where = opens.format(name)
        return PackageFile(number, sheet, step, label, name, where, rows, titles, fingerprint(sheet), 3 * number)

    return PackageFacts(
        engagement=ENGAGEMENT,
        client=CLIENT,
        workspace="Bright Smile",
        folder="brightsmile/package",
        files=(
            file(1, "Companies", "carriers", "Insurance carriers", 60),
            file(2, "People", "patients", "Patients", 4864),
            file(3, "Tasks", "appointments", "Appointments", 10_000),
        ),
        steps_left=(("documents", "Documents", 212, "files are not taken by the importer"),),
        fields_left=(("appointments", "bodyV2", 8_121, "formatted text is not taken by the importer"),),
    )


def preview_facts() -> PreviewFacts:
    """Return what is told before the run of the gallery."""
    return PreviewFacts(
        engagement=ENGAGEMENT,
        client=CLIENT,
        workspace="Bright Smile",
        forecast=_forecast(),
        switches=("Welcome e-mail (on person.created)",),
        reactions=(
            Reaction("timeline", "one entry a record", "dated today"),
            Reaction("webhook", "hooks.example.com", "is told of every person created"),
        ),
        owners=(("fallback", 2, 611), ("matched", 9, 26_455)),
        invited=1,
        matches=MatchFacts(
            (
                MatchStepFacts(
                    "patients",
                    "Patients",
                    "person",
                    "update_empty",
                    "create",
                    4864,
                    120,
                    (MatchRuleFacts("emails.primaryEmail + name.firstName", 17, 1),),
                    would_fill=(("dateOfBirth", 17), ("gender", 15)),
                    would_keep=(("jobTitle", 2),),
                ),
            )
        ),
        probed=(
            ProbedFact("records per call", "200", "the create call"),
            ProbedFact("files", "in two steps", "createFileUpload is known"),
        ),
    )


def sample_facts() -> SampleFacts:
    """Return a sample of which some fields differ for a reason, with names that need care in HTML."""
    rows = (
        ("name.lastName", "LName", "Gündoğdu-O’Neil", "Gündoğdu-O’Neil", "Gündoğdu-O’Neil", "", "name"),
        ("dateOfBirth", "Birthdate", "1984-02-29", "1984-02-29", "1984-02-29", "", "date"),
        ("gender", "Gender", "F", "FEMALE", "FEMALE", "", ""),
        ("emails.primaryEmail", "EMail", "Ana@Mail.example", "ana@mail.example", "ana@mail.example", "", "email"),
        ("phones.primaryPhoneNumber", "WirelessPhone", "415.555.2671", "4155552671", "4155552671", "", "phone"),
    )
    hostile = (
        (
            "name.lastName",
            "LName",
            "<script>alert(1)</script>",
            "<script>alert(1)</script>",
            "<script>alert(1)</script>",
            "",
            "name",
        ),
        ("dateOfBirth", "Birthdate", "1900-01-01", "", "", "", "date"),
        ("gender", "Gender", "9", "", "", "", ""),
        (
            "homeAddress.addressStreet1",
            "Addr1",
            "12 Elm St ",
            "12 Elm St",
            "12 Elm Street",
            "changed by the CRM itself",
            "geography",
        ),
    )
    diff = [
        DiffRow("patients", key, f"record-{key}", field, column, source, intended, stored, intended == stored, why, cls)
        for key, group in (("17", rows), ("18", hostile))
        for field, column, source, intended, stored, why, cls in group
    ]
    return SampleFacts(
        engagement=ENGAGEMENT,
        client=CLIENT,
        steps=(
            StepFacts("carriers", "Insurance carriers", "Company", 12, created=12),
            StepFacts("patients", "Patients", "Person", 200, created=198, rejected=2),
            StepFacts("appointments", "Appointments", "Task", 640, created=629, rejected=4, excluded=7),
        ),
        diff=tuple(diff),
        fields_compared=len(diff),
        fields_different=sum(not d.same for d in diff),
        unmatched_owners=2,
        failed_lookups=0,
        problems=(),
        data_hash=fingerprint("sample")[:16],
    )


def run_facts(kind: str = "run") -> RunFacts:
    """Return a run that reconciles, or a later delta in which one check failed."""
    clean = kind == "run"
    steps = _steps()
    if not clean:
        steps = (
            StepFacts("patients", "Patients", "Person", 4902, created=31, updated=58, unchanged=4806, rejected=7),
            StepFacts(
                "appointments",
                "Appointments",
                "Task",
                19_410,
                created=172,
                updated=90,
                unchanged=19_011,
                excluded=136,
                failed=1,
            ),
        )
    created = sum(s.created for s in steps)
    return RunFacts(
        engagement=ENGAGEMENT,
        client=CLIENT,
        run_id="2026-01-05T09-00-run" if clean else "2026-01-07T18-00-delta",
        kind=kind,
        started_at=MADE_AT - timedelta(minutes=28 if clean else 4),
        ended_at=MADE_AT,
        steps=steps,
        reasons=_reasons()
        if clean
        else (ReasonCount("appointments", "failed", "refused", "the CRM answered: value too long", 1),),
        checks=(
            CheckFacts(
                "extract",
                "rows_complete",
                "Every row of the files is in a table or set aside",
                True,
                0,
                28_094,
                "nothing may be lost while reading",
            ),
            CheckFacts(
                "prepared",
                "id_unique",
                "Source ids are unique",
                True,
                0,
                created,
                "two records may not become one",
            ),
            CheckFacts(
                "lookups",
                "orphans",
                "Every lookup finds its record",
                True,
                0,
                created,
                "an appointment without its patient is of no use",
            ),
            CheckFacts(
                "reconciliation",
                "counts",
                "Records counted in the CRM = records confirmed",
                clean,
                0 if clean else 1,
                created,
                "the CRM itself is asked, not our own book",
            ),
            CheckFacts(
                "reconciliation",
                "money",
                "Amounts of treatment plans, in cents",
                True,
                0,
                3115,
                "money must agree to the cent",
            ),
        ),
        forecast=_forecast() if clean else Forecast(351, 6, 0.1, 100, reading=12),
        calls_by_step=tuple((s.step, s.calls) for s in _forecast().steps) if clean else (),
        counted_calls=303 if clean else 22,
        calls=163 if clean else 9,
        refused_for_rate=0,
        retries=2,
        switched_off=("workflow “Welcome e-mail”",) if clean else (),
        switches=_switches() if clean else (),
        ledger_head=fingerprint("ledger")[:16],
        confirmed=(
            ("the map", "A. Analyst", MADE_AT - timedelta(days=3)),
            ("the sample", "A. Analyst", MADE_AT - timedelta(hours=2)),
            ("the CRM's own backup is made", "A. Analyst", MADE_AT - timedelta(hours=2)),
        ),
        remarks=(
            ("patients", "Patients", "E-mail", "shared_value", "another person of the family keeps the address", 212),
            ("patients", "Patients", "Date of birth", "date_placeholder", "1 January 1900 stands for not known", 9),
        )
        if clean
        else (),
        gone=() if clean else (("patients", 3), ("appointments", 11)),
        conflicts=() if clean else (("patients", "phones", 4), ("patients", "homeAddress", 1)),
        settled=() if clean else (("keep", 2), ("theirs", 5)),
        tables=(("patients", 4871, 4871, 0), ("appointments", 19_238, 19_238, 0), ("oldfaxlog", 804, 0, 804)),
        reconciliation=reconciliation_facts(clean=clean),
    )


def _reasons() -> tuple[ReasonCount, ...]:
    return (
        ReasonCount("patients", "rejected", "name_missing", "neither first nor last name", 7),
        ReasonCount("plans", "rejected", "parent_missing", "the patient is not in the export", 3),
        ReasonCount("appointments", "rejected", "unmapped_value", "the status 6 has no meaning in the map", 61),
        ReasonCount("appointments", "rejected", "parent_missing", "the patient is not in the export", 14),
        ReasonCount("appointments", "excluded", "blocked_slot", "blocked slots are not appointments", 136),
        ReasonCount("carriers", "merged", "same_row", "the same row twice", 1),
    )


def _switches() -> tuple[SwitchFacts, ...]:
    return (
        SwitchFacts(
            "Welcome e-mail (on person.created)",
            off_at=MADE_AT,
            off_seen=True,
            on_at=MADE_AT + timedelta(minutes=14),
            verified=True,
        ),
    )


def rollback_facts(preview: bool = False) -> RollbackFacts:
    """Return a rollback after which nothing differs, or its preview."""
    return RollbackFacts(
        engagement=ENGAGEMENT,
        client=CLIENT,
        destroyed=(("Task", 19_027), ("Opportunity", 3115), ("Person", 4864), ("Company", 60)),
        restored=(("Company", 2),),
        kept=(),
        schema_removed=("procedure", "person.gender", "person.dateOfBirth", "opportunity.stage: 2 options"),
        side_effects=27_066,
        differences=(),
        preview=preview,
        lines=(
            RollbackLine("Task", 19_027, gone=4, binned=12, changed=31),
            RollbackLine("Opportunity", 3115),
            RollbackLine("Person", 4864, changed=3),
            RollbackLine("Company", 60, restored=2),
        ),
        compared=(
            ("Company", 212, "values"),
            ("Opportunity", 40, "values"),
            ("Person", 318_044, "times"),
            ("Task", 1_204, "values"),
        ),
        remarks=(
            "2 records that were here before get their values back; the CRM goes on naming this migration's key as the "
            "last to have changed them, which no program can set",
        ),
        switches=_switches(),
        picture="" if preview else "5f2c.sqlite.after-812.picture.gz",
    )
