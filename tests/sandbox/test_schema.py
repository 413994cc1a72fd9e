"""Metadata over HTTP: every field type, relations both ways, options and their records, and undoing all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dentlib.sandbox.twenty.snapshot import differences, dump_state

UPDATE = "mutation($i:UUID!,$u:UpdateFieldInput!){updateOneField(input:{id:$i,update:$u}){id name options isUnique}}"
DELETE_FIELD = "mutation($i:UUID!){deleteOneField(input:{id:$i}){id}}"
DELETE_OBJECT = "mutation($i:UUID!){deleteOneObject(input:{id:$i}){id}}"
CREATE_FIELD = "mutation($f:CreateOneFieldMetadataInput!){createOneField(input:$f){id}}"
PLAIN = ("TEXT", "NUMBER", "BOOLEAN", "DATE", "DATE_TIME", "LINKS", "EMAILS", "PHONES", "ADDRESS", "FULL_NAME",
         "CURRENCY", "RAW_JSON", "ARRAY", "RICH_TEXT", "UUID", "RATING", "ACTOR")  # fmt: skip


def _options(*values: str) -> list[dict[str, Any]]:
    return [{"value": v, "label": v.title(), "color": "blue", "position": at} for at, v in enumerate(values)]


def test_a_new_object_is_usable_at_once_and_linkable(crm: Any) -> None:
    """Notes, tasks, files and the timeline get a link to it by themselves."""
    crm.new_object("recall", "recalls")
    recall = crm.rest("POST", "recalls", {"name": "first"}, status=201)["data"]["createRecall"]["id"]
    task = crm.rest("POST", "tasks", {"title": "call"})["data"]["createTask"]["id"]
    link = crm.rest("POST", "taskTargets", {"taskId": task, "targetRecallId": recall}, status=201)
    assert link["data"]["createTaskTarget"]["targetRecallId"] == recall


def test_every_field_type_and_relation_can_be_made_and_unmade(crm: Any, state_path: Path) -> None:
    """After deleting what was created every table is as before, the metadata version excepted."""
    crm.settle()
    before = dump_state(state_path)
    visit = crm.new_object("visit", "visits")
    person, company = crm.object_id("person"), crm.object_id("company")
    for kind in PLAIN:
        crm.new_field(visit, kind, f"f{kind.title().replace('_', '')}")
    crm.new_field(visit, "FILES", "documents", settings={"maxNumberOfValues": 3})
    crm.new_field(visit, "SELECT", "status", options=_options("OPEN", "DONE"), defaultValue="'OPEN'")
    crm.new_field(visit, "TEXT", "sourceKey", isUnique=True)
    payload = {"targetObjectMetadataId": person, "targetFieldLabel": "Visits", "targetFieldIcon": "IconUser"}
    crm.new_field(visit, "RELATION", "patient", relationCreationPayload={**payload, "type": "MANY_TO_ONE"})
    morph = [
        {
            "targetObjectMetadataId": target,
            "targetFieldLabel": "Paid visits",
            "targetFieldIcon": "I",
            "type": "MANY_TO_ONE",
        }
        for target in (person, company)
    ]
    crm.new_field(visit, "MORPH_RELATION", "payer", morphRelationsCreationPayload=morph)
    key = crm.new_field(person, "TEXT", "sourceSystemId", isUnique=True)
    who = crm.rest("POST", "people", {"sourceSystemId": "P-1"}, status=201)["data"]["createPerson"]["id"]
    made = crm.rest("POST", "visits?depth=1", {"patientId": who, "payerPersonId": who, "sourceKey": "V-1"}, status=201)
    visit_record = made["data"]["createVisit"]
    assert visit_record["patient"]["id"] == visit_record["payerPerson"]["id"] == who
    crm.settle()
    assert differences(before, dump_state(state_path))
    crm.metadata(DELETE_OBJECT, i=visit)
    crm.metadata(DELETE_FIELD, i=key)
    crm.rest("DELETE", f"people/{who}", status=200)
    for kind in ("timelineActivities", "workflowRuns"):
        crm.rest("DELETE", f"{kind}?filter=id[is]:NOT_NULL", status=200)
    assert differences(before, dump_state(state_path)) == {}


def test_renaming_an_option_moves_its_records_and_dropping_one_resets_them(crm: Any) -> None:
    """A known id carries its records along; a removed or re-created option leaves the default."""
    ticket = crm.new_object("ticket", "tickets")
    field = crm.new_field(ticket, "SELECT", "state", options=_options("NEW", "LOST"), defaultValue="'NEW'")
    there = crm.rest("POST", "tickets", {"state": "LOST"})["data"]["createTicket"]["id"]
    current = crm.metadata("query($i:UUID!){field(id:$i){options}}", i=field)["field"]["options"]
    renamed = [current[0], {**current[1], "value": "GONE"}]
    crm.metadata(UPDATE, i=field, u={"options": renamed})
    assert crm.rest("GET", f"tickets/{there}")["data"]["ticket"]["state"] == "GONE"
    crm.metadata(UPDATE, i=field, u={"options": [{k: v for k, v in one.items() if k != "id"} for one in renamed]})
    assert crm.rest("GET", f"tickets/{there}")["data"]["ticket"]["state"] == "NEW"


def test_a_field_keeps_its_values_under_a_new_name(crm: Any) -> None:
    """Renaming a custom field renames its column."""
    chart = crm.new_object("chart", "charts")
    field = crm.new_field(chart, "TEXT", "chartNumber")
    there = crm.rest("POST", "charts", {"chartNumber": "000123"})["data"]["createChart"]["id"]
    crm.metadata(UPDATE, i=field, u={"name": "chartNo"})
    record = crm.rest("GET", f"charts/{there}")["data"]["chart"]
    assert record["chartNo"] == "000123"
    assert "chartNumber" not in record


def test_a_unique_index_over_duplicates_fails_and_changes_nothing(crm: Any) -> None:
    """The migration fails; the field is as before, and twins can still be made."""
    code = crm.new_object("code", "codes")
    field = crm.new_field(code, "TEXT", "key")
    for _ in range(2):
        crm.rest("POST", "codes", {"key": "same"}, status=201)
    refused = crm.graphql(UPDATE, "/metadata", i=field, u={"isUnique": True})
    assert refused["errors"][0]["message"].startswith("Migration action 'create' for 'index'")
    assert crm.metadata("query($i:UUID!){field(id:$i){isUnique}}", i=field)["field"]["isUnique"] is False
    crm.rest("POST", "codes", {"key": "same"}, status=201)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Source_System_ID__c", "INVALID_FIELD_INPUT"),
        ("type", "INVALID_FIELD_INPUT"),
        ("a" * 64, "INVALID_FIELD_INPUT"),
        ("emails", "NOT_AVAILABLE"),
        ("companyId", "NOT_AVAILABLE"),
        ("nameFirstName", "RESERVED_KEYWORD"),
    ],
)
def test_bad_field_names_are_refused(crm: Any, name: str, code: str) -> None:
    """Each with its code in fieldMetadata."""
    given = {"objectMetadataId": crm.object_id("person"), "type": "TEXT", "name": name, "label": "x"}
    answer = crm.graphql(CREATE_FIELD, "/metadata", f={"field": given})
    causes = answer["errors"][0]["extensions"]["errors"]["fieldMetadata"][0]["errors"]
    assert causes[0]["code"] == code


def test_deleting_one_side_of_a_relation_deletes_the_other(crm: Any) -> None:
    """Both fields and the links go; the records stay."""
    tooth = crm.new_object("tooth", "teeth")
    payload = {
        "targetObjectMetadataId": crm.object_id("person"),
        "targetFieldLabel": "Teeth",
        "targetFieldIcon": "I",
        "type": "MANY_TO_ONE",
    }
    field = crm.new_field(tooth, "RELATION", "owner", relationCreationPayload=payload)
    who = crm.rest("POST", "people", {})["data"]["createPerson"]["id"]
    there = crm.rest("POST", "teeth", {"ownerId": who})["data"]["createTooth"]["id"]
    crm.metadata(DELETE_FIELD, i=field)
    assert "ownerId" not in crm.rest("GET", f"teeth/{there}")["data"]["tooth"]
    crm.rest("POST", "teeth", {"ownerId": who}, status=400)
    fields = crm.metadata("query($i:UUID!){object(id:$i){fieldsList{name}}}", i=crm.object_id("person"))
    assert "teeth" not in {one["name"] for one in fields["object"]["fieldsList"]}


def test_both_formats_of_the_rest_metadata_api(crm: Any) -> None:
    """A new workspace answers bare; the flag brings the older envelope back."""
    assert isinstance(crm.rest("GET", "metadata/objects?limit=1")["data"], list)
    crm.admin("flags", IS_REST_METADATA_API_NEW_FORMAT_DIRECT=False)
    assert "objects" in crm.rest("GET", "metadata/objects?limit=1")["data"]


def test_introspection_knows_custom_fields(crm: Any) -> None:
    """A loader's probe of input fields sees what was just added."""
    crm.new_field(crm.object_id("person"), "TEXT", "sourceSystemId")
    answer = crm.graphql('{__type(name:"PersonCreateInput"){inputFields{name}}}')
    assert "sourceSystemId" in {one["name"] for one in answer["data"]["__type"]["inputFields"]}
