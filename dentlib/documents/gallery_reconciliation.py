"""Invented facts of the gallery: what reading everything back found, after a run and after a delta."""

from __future__ import annotations

from datetime import timedelta

from dentlib.documents.gallery_facts import MADE_AT
from dentlib.facts import (
    ExplainedFacts,
    FileFactsBack,
    LinkFacts,
    NamedDifference,
    ReconciliationFacts,
    StepCounts,
    SumFacts,
)

_STEPS = (
    ("carriers", "Insurance carriers", "Company", 60),
    ("patients", "Patients", "Person", 4864),
    ("plans", "Treatment plans", "Opportunity", 3115),
    ("appointments", "Appointments", "Task", 19_027),
)


def reconciliation_facts(*, clean: bool) -> ReconciliationFacts:
    """Return a reading back in which all agrees, or one after which a record is gone and people changed some values."""
    return ReconciliationFacts(
        run_id="2026-01-05T09-00-run" if clean else "2026-01-07T18-00-delta",
        started_at=MADE_AT - timedelta(minutes=3),
        ended_at=MADE_AT,
        calls=71,
        calls_allowed=12_000,
        page_rows=500,
        seed=7,
        steps=tuple(_counts(*step, gone=0 if clean or step[0] != "appointments" else 1) for step in _STEPS),
        sums=(
            _sum("plans", "amount", "money", "USD", 3115, 4_182_377_150_000_000, 0, 28_400_000_000),
            _sum("patients", "dateOfBirth", "date", "days", 4801, 0, 1937, 2025),
            _sum("appointments", "dueAt", "moment", "milliseconds", 19_027, 0, 2005, 2026),
        ),
        links=(
            LinkFacts("patients", "carrierCompanyId", "link", 3977, 3977, 0, 0, 58, 0),
            LinkFacts("patients", "guarantor", "family", 4864, 4864, 0, 0, 2210, 0),
            LinkFacts("plans", "pointOfContactId", "link", 3115, 3115, 0, 0, 1894, 0),
        ),
        groups=64,
        groups_different=(),
        explained=(
            ExplainedFacts("patients", "name", "identical", "", 4864),
            ExplainedFacts("appointments", "title", "identical", "", 19_026),
            ExplainedFacts("plans", "amount", "identical", "", 3115),
            ExplainedFacts("patients", "emails", "normalised", "primaryEmail: lower-cased", 1207),
            ExplainedFacts("patients", "phones", "normalised", "primaryPhoneNumber: as national digits", 4512),
            *(() if clean else _theirs()),
        ),
        differences=() if clean else _differences(),
        differences_found=0 if clean else 6,
        files=(FileFactsBack("documents", 312, 312, 312, 0, 0, 148_897_792, 1.0),) if clean else (),
    )


def _counts(step: str, label: str, object_name: str, records: int, *, gone: int) -> StepCounts:
    return StepCounts(
        step=step,
        label=label,
        object=object_name,
        prepared=records,
        refused=0,
        confirmed=records,
        stale=0,
        matched=4 if step == "carriers" else 0,
        listed=0,
        looked_at=records,
        read_back=records - gone,
        in_bin=0,
        gone=gone,
        at_destination=records - gone,
        expected_there=records,
        unknown=0,
        twins=0,
        seen_one_percent=1.0,
    )


def _sum(step: str, field: str, kind: str, unit: str, n: int, total: int, least: int, most: int) -> SumFacts:
    return SumFacts(step, field, kind, unit, n, n, total, total, least, least, most, most, 0)


def _theirs() -> tuple[ExplainedFacts, ...]:
    return (
        ExplainedFacts("patients", "phones", "kept", "their value was left alone, as the ledger lists", 4),
        ExplainedFacts("patients", "city", "changed", "a person has written this record since our last write", 1),
    )


def _differences() -> tuple[NamedDifference, ...]:
    record = "0b1c4d5e-6f70-5a81-9b92-a3b4c5d6e7{}"
    return (
        NamedDifference("appointments", "Task", record.format("01"), "", "missing", "not there"),
        NamedDifference(
            *("patients", "Person", record.format("02"), "city", "changed"),
            "a person has written this record since our last write",
        ),
        *(
            NamedDifference(
                *("patients", "Person", record.format(f"{n:02d}"), "phones", "kept"),
                "their value was left alone, as the ledger lists",
            )
            for n in range(3, 7)
        ),
    )
