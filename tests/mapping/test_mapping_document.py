"""The mapping document's facts: where each column is found, what the offer called it, who may read what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dentlib.facts import MapLine, MappingFacts
from dentlib.mapping import access_rows, check, mapping_facts

Prepared = Any  # the fixture of conftest
Work = Callable[..., Prepared]


def facts(done: Prepared) -> MappingFacts:
    """Return the facts of a prepared engagement, with roles of an invented workspace."""
    return mapping_facts(
        done.con,
        done.map,
        engagement="test",
        client="Practice",
        problems=(),
        schema=(),
        roles_that_read=lambda name: ["Admin", "Front desk"] if name == "note" else ["Admin"],
    )


def line(found: MappingFacts, column: str) -> MapLine:
    """Return the line of `table.column`."""
    return next(x for x in found.lines if f"{x.table}.{x.column}" == column)


def test_a_column_names_every_field_in_which_it_is_found(practice: Prepared) -> None:
    """The field of its own stands first, then parts of texts, then the parent's summary: both halves of a split."""
    found = facts(practice)
    assert line(found, "procedures.ToothNum").destination_field == "toothNumber; opportunity.toothNumber"
    assert line(found, "appointments.Chair").destination_field == "chair; title"
    assert line(found, "appointments.AptDate").destination_field.startswith("dueAt; startsAt")
    assert line(found, "treatplans.CreatedOn").destination_field == "createdAt; originalCreatedAt"
    assert line(found, "appointments.AptNum").destination_field == "sourceSystemId"
    assert line(found, "docindex.DocDate").destination_field == "createdAt; originalCreatedAt; attachment.createdAt"


def test_the_names_of_the_offer_stay_visible(practice: Prepared) -> None:
    """A client who read the offer finds its field names beside the columns that fill them."""
    found = facts(practice)
    offered = {o for x in found.lines for o in x.offer_name.split(", ") if o}
    assert offered >= {
        "Source_System_ID__c", "Gender__c", "Insurance_Group__c", "Carrier_Company__c", "Procedure_Code__c",
        "Tooth_Number__c", "Surface__c", "Procedure_Fee__c", "Task_Type__c", "Recall_Type__c", "Referral_Source__c",
    }  # fmt: skip
    assert line(found, "appointments.AptType").offer_name == "Task_Type__c"


def test_every_column_has_a_place_or_a_reason(practice: Prepared) -> None:
    """No column of the export is passed over in silence."""
    for x in facts(practice).lines:
        assert x.destination_field if x.status == "mapped" else x.reason, f"{x.table}.{x.column}"


def test_who_may_read_what_is_told_for_what_moves(practice: Prepared) -> None:
    """Clinical notes, charts and files are listed with the roles that read their object; what stays is not listed."""
    rows = facts(practice).access
    assert {(r.what, r.object): r.roles for r in rows}["clinical notes", "note"] == ("Admin", "Front desk")
    assert "identity numbers" not in {r.what for r in rows}
    assert {r.object for r in rows} >= {"note", "perToothRecord", "procedure", "attachment"}


def test_identity_numbers_are_listed_once_they_are_asked_for(work: Work) -> None:
    """The choice that lets them travel also puts them on the list that a person must confirm."""
    row = {"PatNum": "1", "LName": "Ruiz", "SSN": "900-00-0001"}
    done = work({"patients": [row]}, "choices: {national_ids: migrate}\n")
    assert done.payloads("patients")["1"]["nationalId"] == "900-00-0001"
    assert [(r.what, r.fields) for r in access_rows(done.map, lambda _: ())] == [("identity numbers", ("nationalId",))]


def test_a_definition_is_listed_with_its_words_in_the_crm(practice: Prepared) -> None:
    """Trigger, condition, action and means are there, the columns named are translated, and limits are told."""
    rebuild = facts(practice).rebuild
    missed = next(r for r in rebuild if r["name"] == "Missed visit")
    assert all(missed[k] for k in ("kind", "trigger", "condition", "action", "means"))
    assert "Appointments is task" in missed["means"]
    assert "AptStatus is task.appointmentStatus" in missed["means"]
    assert {r["kind"] for r in rebuild} >= {"Workflow", "View", "Permission", "Reminder"}
    assert "no native e-mail sequences" in rebuild[-1]["means"]


def test_a_value_the_map_does_not_name_is_told_apart_from_one_it_sends_to_the_same(work: Work) -> None:
    """`Scheduled` is decided, `Moved` is not, though both end as TODO; what a scope rule leaves out is decided."""
    appointments = [
        {"AptNum": str(n), "PatientID": "1", "AptDate": "01/30/2026", "AptStatus": status, "AptType": kind}
        for n, (status, kind) in enumerate([("Scheduled", "Exam"), ("Moved", "Exam"), ("Scheduled", "Blocked")])
    ]
    done = work({"patients": [{"PatNum": "1", "LName": "Ruiz"}], "appointments": appointments})
    maps = {m.field: {v: target for v, _, target in m.rows} for m in facts(done).value_maps}
    assert maps["status"] == {"Scheduled": "TODO", "Moved": ""}
    assert maps["taskType"] == {"Exam": "EXAM", "Blocked": "left out: a blocked slot in the book"}
    told = [p.where for p in check(done.map, done.con) if p.code == "values_unmapped"]
    assert any("AptStatus" in where for where in told)
    assert not any("AptType" in where for where in told)
