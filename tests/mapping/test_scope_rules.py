"""What stays behind by decision of the map: history before a cut-off, inactive, deceased and archived patients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dentlib.errors import MapError
from dentlib.mapping import load_map
from dentlib.pairs import load_pair

Prepared = Any  # the fixture of conftest
Work = Callable[..., Prepared]


def patient(key: str, **more: str) -> dict[str, str]:
    """Return a patient's raw row."""
    return {"PatNum": key, "LName": "Ruiz", "FName": "Ana", "PatStatus": "Active"} | more


def note(key: str, day: str, **more: str) -> dict[str, str]:
    """Return a clinical note's raw row."""
    return {"NoteNum": key, "PatNum": "1", "NoteDate": day, "NoteType": "Clinical", "NoteText": "fine"} | more


NOTES = [
    note("1", "2015-01-31 10:00:00"),
    note("2", "2024-01-04 23:59:00"),
    note("3", "2024-01-05 00:00:00"),
    note("4", ""),
]


def test_without_a_cut_off_everything_moves(work: Work) -> None:
    """The proposed map names every kind of record that can be cut off, and cuts nothing."""
    done = work({"patients": [patient("1")], "clinicalnotes": NOTES})
    assert len(done.payloads("clinical_notes")) == 4


@pytest.mark.parametrize(
    ("back", "kept"), [("2y", ["3", "4"]), ("2015-02-01", ["2", "3", "4"]), ("", ["1", "2", "3", "4"])]
)
def test_history_is_cut_off_by_years_or_by_a_day(work: Work, back: str, kept: list[str]) -> None:
    """Years count back from the run's day in the practice's own time; a row without a date is kept."""
    done = work(
        {"patients": [patient("1")], "clinicalnotes": NOTES}, f"history: {{clinical_notes: {back or chr(39) * 2}}}\n"
    )
    assert list(done.payloads("clinical_notes")) == kept
    assert {c for _, _, c in done.outcomes("clinical_notes")} <= {"before_cut_off"}
    assert len(done.outcomes("clinical_note_links")) == len(done.outcomes("clinical_notes"))


def test_a_file_shares_the_fate_of_its_document(work: Work, tmp_path: Path) -> None:
    """A document that is cut off takes its file along: nothing is uploaded for it."""
    (tmp_path / "old.pdf").write_bytes(b"%PDF-1.4")
    row = {"DocNum": "1", "PatNum": "1", "FileName": "old.pdf", "DocDate": "2015-01-31 10:00:00"}
    done = work({"patients": [patient("1")], "docindex": [row]}, "history: {documents: 5y}\n", documents_dir=tmp_path)
    assert done.outcomes("document_files") == [("1", "excluded", "before_cut_off")]


def test_a_cut_off_changes_the_map_and_its_hash(tmp_path: Path) -> None:
    """An approval of the map does not hold for a map with another cut-off."""
    pair = load_pair("dent-o-soft", "twenty")
    path = tmp_path / "map.yaml"
    path.write_text("history: {payments: 5y}\n")
    assert load_map(pair, path).hash() != load_map(pair).hash()


@pytest.mark.parametrize("wrong", ["{payments: 5 years}", "{carriers: 5y}", "{payment: 5y}", "{payments: 01/05/2024}"])
def test_a_wrong_cut_off_is_refused(tmp_path: Path, wrong: str) -> None:
    """Neither a step without a date of its own, nor one that doesn't exist, nor another notation is taken."""
    path = tmp_path / "map.yaml"
    path.write_text(f"history: {wrong}\n")
    with pytest.raises(MapError):
        load_map(load_pair("dent-o-soft", "twenty"), path)


@pytest.mark.parametrize(
    ("status", "choice", "code"),
    [
        ("Inactive", "inactive_patients", "inactive_patient"),
        ("Deceased", "deceased_patients", "deceased_patient"),
        ("Archived", "archived_patients", "archived_patient"),
    ],
)
def test_patients_of_a_status_stay_behind_when_chosen(work: Work, status: str, choice: str, code: str) -> None:
    """Each is a choice of its own; what belongs to the patient stays with them, counted for the same reason."""
    tables = {"patients": [patient("1", PatStatus=status)], "clinicalnotes": [note("7", "2025-01-31 10:00:00")]}
    gone = work(tables, f"choices: {{{choice}: exclude}}\n")
    assert gone.outcomes("patients") == [("1", "excluded", code)]
    assert gone.outcomes("clinical_notes") == [("7", "excluded", code)]


@pytest.mark.parametrize("status", ["Inactive", "Deceased", "Archived"])
def test_nothing_is_open_for_the_dead_and_the_inactive(work: Work, status: str) -> None:
    """Even where such patients move: no recall, no task of the future; what is past arrives as done."""
    appointments = [
        {"AptNum": "1", "PatientID": "1", "AptDate": "01/30/2026", "AptTime": "09:00 AM", "AptStatus": "Scheduled"},
        {"AptNum": "2", "PatientID": "1", "AptDate": "12/30/2025", "AptTime": "09:00 AM", "AptStatus": "Scheduled"},
    ]
    recall = {
        "RecallNum": "1",
        "PatientID": "1",
        "RecallType": "EXAM",
        "IntervalMonths": "6",
        "LastVisit": "12/30/2025",
    }
    choices = "choices: {archived_patients: migrate, inactive_patients: migrate, deceased_patients: migrate}\n"
    tables = {"patients": [patient("1", PatStatus=status)], "appointments": appointments, "recalls": [recall]}
    done = work(tables, choices)
    assert list(done.payloads("patients")) == ["1"]
    assert {k: p["status"] for k, p in done.payloads("appointments").items()} == {"2": "DONE"}
    assert not done.payloads("recalls")


def test_another_system_gets_the_same_scope_and_consent(work: Work) -> None:
    """The pair for systems nobody described keeps consent, and opens nothing for the dead."""
    people = [
        {"Patient ID": "1", "Last Name": "Ruiz", "Do Not Contact": "Y", "Status": "Deceased"},
        {"Patient ID": "2", "Last Name": "Zzz", "First Name": "Test", "Do Not Contact": "N", "Status": "Active"},
        {"Patient ID": "3", "Last Name": "Doe", "Do Not Contact": "perhaps", "Status": "Archived"},
    ]
    visits = [{"Appointment ID": "1", "Patient ID": "1", "Start": "2026-03-01 10:00:00", "Description": "Exam"}]
    done = work({"patients": people, "appointments": visits}, source="other")
    found = done.payloads("patients")
    assert (found["1"]["doNotContact"], found["1"]["patientStatus"]) == (True, "Deceased")
    assert done.outcomes("patients") == [("2", "excluded", "test_patient"), ("3", "excluded", "archived_patient")]
    assert done.outcomes("appointments") == [("1", "excluded", "no_open_task_for_the_dead")]
