"""The sandbox as Twenty 1.17: what it refuses, keeps, hides and writes otherwise; states know their version."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from dentlib.errors import UsageError
from dentlib.sandbox.twenty.server import TwentySandbox
from dentlib.sandbox.twenty.snapshot import differences, dump_state
from dentlib.sandbox.twenty.versions import RELEASES

UPLOAD = "mutation($file:Upload!){uploadFile(file:$file,fileFolder:Attachment){path token}}"


@pytest.fixture
def older(tmp_path: Path) -> Iterator[TwentySandbox]:
    """A fresh sandbox of 1.17 with its state in a file and limits off."""
    with TwentySandbox(tmp_path / "state.sqlite", version="1.17", limits="off", effects_delay_s=3600) as running:
        yield running


@pytest.fixture
def crm17(older: TwentySandbox, connect: Callable[..., Any]) -> Iterator[Any]:
    """A client of it with an admin key."""
    client = connect(older)
    yield client
    client.http.close()


def _make(crm: Any, one: str, many: str, **data: Any) -> str:
    answer = crm.rest("POST", many, data, 201)["data"]
    return str(answer[f"create{one}"]["id"])


def _upload(crm: Any, name: str, content: bytes, path: str = "/graphql") -> str:
    given = {
        "operations": json.dumps({"query": UPLOAD, "variables": {"file": None}}),
        "map": '{"0":["variables.file"]}',
    }
    answer = crm.http.post(path, data=given, files={"0": (name, content)}).json()
    return str(answer["data"]["uploadFile"]["path"])


@pytest.mark.parametrize("version", ["1.3", "", "2.21.0"])
def test_an_unknown_version_is_refused(version: str) -> None:
    """Only recorded versions can be run; the error lists them."""
    with pytest.raises(UsageError, match=r"no sandbox of Twenty") as refused:
        TwentySandbox(version=version)
    assert "1.17" in str(refused.value.hint)


@pytest.mark.parametrize(("first", "then"), [("1.17", "2.21"), ("2.21", "1.17")])
def test_a_state_is_not_opened_as_another_version(tmp_path: Path, first: str, then: str) -> None:
    """The error names both versions, and the state is untouched: its own version opens it still."""
    state = tmp_path / "state.sqlite"
    TwentySandbox(state, version=first).stop()
    before = dump_state(state)
    with pytest.raises(UsageError, match=rf"Twenty {first}, not of a {then}"):
        TwentySandbox(state, version=then)
    TwentySandbox(state, version=first).stop()
    assert {k: v for k, v in differences(before, dump_state(state)).items() if k != "api_key"} == {}


def test_a_state_from_before_versions_were_noted_is_a_2_21(tmp_path: Path) -> None:
    """States without a number are taken for 2.21 and get theirs."""
    state = tmp_path / "state.sqlite"
    TwentySandbox(state).stop()
    with sqlite3.connect(state) as db:
        db.execute("PRAGMA user_version=0")
    with pytest.raises(UsageError, match=r"Twenty 2\.21"):
        TwentySandbox(state, version="1.17")
    with TwentySandbox(state) as again:
        assert again.workspace_id
    with sqlite3.connect(state) as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == RELEASES["2.21"].state_number


def test_a_new_workspace_starts_no_workflow_by_itself(crm17: Any) -> None:
    """Five people, five companies, six opportunities and one manual workflow; a new person starts nothing."""
    _make(crm17, "Person", "people", name={"firstName": "Ada"})
    crm17.settle()
    data = crm17.graphql(
        "{people{totalCount} companies{totalCount} opportunities{totalCount} workflows{edges{node{name}}}"
        " workflowAutomatedTriggers{totalCount} workflowRuns{totalCount}}"
    )["data"]
    assert [data[name]["totalCount"] for name in ("people", "companies", "opportunities")] == [6, 5, 6]
    assert [edge["node"]["name"] for edge in data["workflows"]["edges"]] == ["Quick Lead"]
    assert data["workflowAutomatedTriggers"]["totalCount"] == data["workflowRuns"]["totalCount"] == 0


@pytest.mark.parametrize(
    ("query", "variables", "status"),
    [
        ("{people(first:1){edges{node{id noSuch}}}}", {}, 200),
        ("mutation($d:[PatientCreateInput!]!){createPeople(data:$d){id}}", {"d": []}, 200),
        ("mutation($d:PersonCreateInput!){createPerson(data:$d){id}}", {"d": {"noSuch": 1}}, 400),
        ("mutation($d:PersonCreateInput!){createPerson(data:$d){id}}", {"d": {"createdBy": {"name": "x"}}}, 400),
        ("mutation($d:OpportunityCreateInput!){createOpportunity(data:$d){id}}", {"d": {"stage": "NO"}}, 400),
    ],
)
def test_a_document_that_does_not_fit_is_refused_whole(
    crm17: Any, query: str, variables: dict[str, Any], status: int
) -> None:
    """Unknown names refuse the document; bad variables are HTTP 400 without `data` or `subCode`; nothing is written."""
    answer = crm17.http.post("/graphql", json={"query": query, "variables": variables})
    told = answer.json()
    assert (answer.status_code, "data" in told) == (status, False)
    assert all("subCode" not in error.get("extensions", {}) for error in told["errors"])
    assert crm17.graphql("{people{totalCount} opportunities{totalCount}}")["data"] == {
        "people": {"totalCount": 5},
        "opportunities": {"totalCount": 6},
    }


def test_of_two_mutations_none_runs_when_the_second_does_not_fit(crm17: Any) -> None:
    """The document is checked before anything is written."""
    crm17.graphql('mutation{createPerson(data:{jobTitle:"a"}){id} createOpportunity(data:{stage:BAD}){id}}')
    assert crm17.graphql('{people(filter:{jobTitle:{eq:"a"}}){totalCount}}')["data"]["people"]["totalCount"] == 0


def test_an_object_made_later_is_known_to_the_strict_schema_at_once(crm17: Any) -> None:
    """Its links are plain names in task and note targets, `target…` in attachments; removing it removes them."""
    visit = crm17.new_object("visit", "visits")
    crm17.new_field(visit, "RICH_TEXT_V2", "report")
    fields = "{inputFields{name}}"
    asked = f'{{t:__type(name:"TaskTargetCreateInput"){fields} a:__type(name:"AttachmentCreateInput"){fields}}}'
    names = {k: {f["name"] for f in v["inputFields"]} for k, v in crm17.graphql(asked)["data"].items()}
    assert {"visitId", "personId"} <= names["t"]
    assert {"targetVisitId", "fullPath"} <= names["a"]
    assert "file" not in names["a"]
    made = crm17.graphql(
        "mutation($d:[VisitCreateInput!]!){createVisits(data:$d){report{markdown}}}", d=[{"report": {"markdown": "a"}}]
    )
    assert made["data"]["createVisits"] == [{"report": {"markdown": "a"}}]
    crm17.metadata("mutation($i:UUID!){deleteOneObject(input:{id:$i}){id}}", i=visit)
    assert "Unknown type" in crm17.graphql("query($f:VisitFilterInput){people{totalCount}}")["errors"][0]["message"]


def test_removing_what_was_made_leaves_no_trace(crm17: Any, tmp_path: Path) -> None:
    """Objects, fields, options, relations, records, links, files and timeline rows: every table is as before."""
    state = tmp_path / "state.sqlite"
    crm17.settle()
    before = dump_state(state)
    person = crm17.object_id("person")
    visit = crm17.new_object("visit", "visits")
    options = [{"value": "A", "label": "A", "color": "red", "position": 0}]
    field = crm17.new_field(person, "SELECT", "recallKind", options=options)
    crm17.new_field(
        visit,
        "RELATION",
        "patient",
        relationCreationPayload={
            "targetObjectMetadataId": person,
            "targetFieldLabel": "Visits",
            "targetFieldIcon": "IconUser",
            "type": "MANY_TO_ONE",
        },
    )
    who = _make(crm17, "Person", "people", name={"firstName": "Ada"}, recallKind="A")
    when = _make(crm17, "Visit", "visits", name="x", patientId=who)
    task = _make(crm17, "Task", "tasks", title="call")
    _make(crm17, "TaskTarget", "taskTargets", taskId=task, personId=who)
    _make(crm17, "TaskTarget", "taskTargets", taskId=task, visitId=when)
    path = _upload(crm17, "x.png", b"abc")
    file = _make(crm17, "Attachment", "attachments", name="x", fullPath=path, targetPersonId=who)
    crm17.rest("PATCH", f"people/{who}", {"jobTitle": "changed"}, 200)
    crm17.settle()
    crm17.graphql("mutation{destroyTimelineActivities(filter:{id:{is:NOT_NULL}}){id}}")
    for many, one in (("attachments", file), ("tasks", task), ("visits", when), ("people", who)):
        crm17.rest("DELETE", f"{many}/{one}", status=200)
    crm17.settle()
    crm17.metadata("mutation($i:UUID!){deleteOneField(input:{id:$i}){id}}", i=field)
    crm17.metadata("mutation($i:UUID!){deleteOneObject(input:{id:$i}){id}}", i=visit)
    after = differences(before, dump_state(state))
    assert {table: rows for table, rows in after.items() if table != "record" or _not_timeline(rows)} == {}


def _not_timeline(rows: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    return [row for row in rows if '"happensAt"' not in str(row)]


def test_the_timeline_tells_created_and_changed_records(crm17: Any) -> None:
    """One row per created and per really changed record; a write that changes nothing leaves none."""
    who = _make(crm17, "Person", "people", name={"firstName": "Ada"})
    crm17.rest("PATCH", f"people/{who}", {"jobTitle": "x"}, 200)
    crm17.rest("PATCH", f"people/{who}", {"jobTitle": "x"}, 200)
    crm17.settle()
    found = crm17.graphql(
        "query($i:UUID!){timelineActivities(filter:{targetPersonId:{eq:$i}}){edges{node{name properties}}}}", i=who
    )["data"]["timelineActivities"]["edges"]
    told = {edge["node"]["name"]: edge["node"]["properties"] for edge in found}
    assert len(found) == 2
    assert told == {"person.created": {}, "person.updated": {"diff": {"jobTitle": {"before": None, "after": "x"}}}}


def test_rest_hides_what_an_attachment_hangs_on(crm17: Any) -> None:
    """The link is stored, filtered by and read by GraphQL, but no REST answer of the attachment shows it."""
    who = _make(crm17, "Person", "people", name={"firstName": "Ada"})
    file = _make(crm17, "Attachment", "attachments", name="x", targetPersonId=who)
    assert "targetPersonId" not in crm17.rest("GET", f"attachments/{file}?depth=1")["data"]["attachment"]
    listed = crm17.rest("GET", f'attachments?filter=targetPersonId[eq]:"{who}"')["data"]["attachments"]
    assert [one["id"] for one in listed] == [file]
    read = crm17.graphql("query($i:UUID!){attachment(filter:{id:{eq:$i}}){targetPersonId}}", i=file)
    assert read["data"]["attachment"]["targetPersonId"] == who


@pytest.mark.parametrize("endpoint", ["/graphql", "/metadata"])
def test_a_file_goes_up_and_comes_down_by_its_path(crm17: Any, endpoint: str) -> None:
    """Nothing is checked; the path reads back as a signed address, good without a key, until the record is gone."""
    content = b"\x00 not a pdf at all"
    path = _upload(crm17, "scan.pdf", content, endpoint)
    assert path.startswith("attachment/")
    assert path.endswith(".pdf")
    file = _make(crm17, "Attachment", "attachments", name="scan", fullPath=path)
    shown = crm17.rest("GET", f"attachments/{file}")["data"]["attachment"]["fullPath"]
    assert httpx.get(shown).content == content
    assert httpx.get(shown.replace("/files/attachment/", "/files/attachment/x")).status_code in (400, 403)
    crm17.rest("DELETE", f"attachments/{file}", status=200)
    crm17.settle()
    assert httpx.get(shown).status_code == 404


def test_startswith_is_exact_without_a_percent_sign(crm17: Any) -> None:
    """And there is no endsWith."""
    _make(crm17, "Company", "companies", name="Q01")
    count = [
        len(crm17.rest("GET", f'companies?filter=name[startsWith]:"{text}"')["data"]["companies"])
        for text in ("Q0", "Q0%25", "Q01")
    ]
    assert count == [0, 1, 1]
    crm17.rest("GET", 'companies?filter=name[endsWith]:"1"', status=400)


def test_e_mails_are_kept_as_they_are_and_still_unique(crm17: Any) -> None:
    """What is no e-mail is stored, once."""
    _make(crm17, "Person", "people", emails={"primaryEmail": "not an e-mail"})
    refused = crm17.rest("POST", "people", {"emails": {"primaryEmail": "Not an e-mail"}}, 400)
    assert refused["messages"] == ["A duplicate entry was detected"]


def test_a_record_may_get_another_id_while_nothing_points_at_it(crm17: Any) -> None:
    """Its unique values and links go along; with a timeline entry it can't."""
    new_id = "033a7cc8-a65d-4fbe-a550-eea9465a83e2"
    firm = _make(crm17, "Company", "companies", name="F")
    who = _make(crm17, "Person", "people", emails={"primaryEmail": "a@example.com"}, companyId=firm)
    crm17.rest("PATCH", f"people/{who}", {"id": new_id}, 200)
    found = crm17.rest("GET", 'people?filter=emails.primaryEmail[eq]:"a@example.com"')["data"]["people"]
    assert [(one["id"], one["companyId"]) for one in found] == [(new_id, firm)]
    people = crm17.rest("GET", f"companies/{firm}?depth=1")["data"]["company"]["people"]
    assert [one["id"] for one in people] == [new_id]
    other = _make(crm17, "Person", "people", jobTitle="x")
    crm17.settle()
    crm17.rest("PATCH", f"people/{other}", {"id": who}, 500)


def test_a_foreign_key_to_nothing_is_a_500_and_writes_nothing(crm17: Any) -> None:
    """The whole batch is undone."""
    nothing = "11111111-1111-4111-8111-00000000dead"
    crm17.rest("POST", "batch/people", [{"jobTitle": "fk"}, {"jobTitle": "fk", "companyId": nothing}], 500)
    assert crm17.rest("GET", 'people?filter=jobTitle[eq]:"fk"')["totalCount"] == 0


def test_the_token_may_stand_in_the_query(older: TwentySandbox) -> None:
    """REST takes it there, in this version only."""
    assert httpx.get(f"{older.url}/rest/people?limit=1&token={older.api_key}").status_code == 200
    with TwentySandbox() as newer:
        assert httpx.get(f"{newer.url}/rest/people?limit=1&token={newer.api_key}").status_code == 403


@pytest.mark.parametrize("version", list(RELEASES))
def test_each_opaque_key_gets_a_workspace_of_its_own(version: str, connect: Callable[..., Any]) -> None:
    """Workspaces of one server are apart: records, objects, the schema that checks their documents."""
    with TwentySandbox(version=version, limits="off", workspaces="per-token") as shared:
        one, other = connect(shared, "one"), connect(shared, "other")
        one.new_object("visit", "visits")
        _make(one, "Visit", "visits", name="x")
        assert one.graphql("{visits{totalCount}}")["data"]["visits"]["totalCount"] == 1
        assert "errors" in other.graphql("{visits{totalCount}}")
        for client in (one, other):
            client.http.close()


def test_a_document_is_judged_by_the_objects_of_now(crm17: Any) -> None:
    """Fields that come, go, come back as another type, and options that go: each document is judged as things are."""
    person = crm17.object_id("person")
    asked = "mutation($d:PersonCreateInput!){createPerson(data:$d){id}}"

    def taken(value: Any) -> bool:
        return "errors" not in crm17.graphql(asked, d={"chart": value})

    assert not taken("x")
    chart = crm17.new_field(person, "TEXT", "chart")
    assert taken("x")
    assert not taken(7)
    other = crm17.new_field(person, "TEXT", "other")
    crm17.metadata("mutation($i:UUID!){deleteOneField(input:{id:$i}){id}}", i=chart)
    assert not taken("x")
    assert "errors" not in crm17.graphql(asked, d={"other": "x"})
    chart = crm17.new_field(person, "NUMBER", "chart")
    assert taken(7)
    assert not taken("x")
    crm17.metadata("mutation($i:UUID!){deleteOneField(input:{id:$i}){id}}", i=chart)
    options = [
        {"value": value, "label": value, "color": "red", "position": at} for at, value in enumerate(("AA", "BB"))
    ]
    chart = crm17.new_field(person, "SELECT", "chart", options=options)
    assert taken("AA")
    assert not taken("x")
    change = "mutation($i:UUID!,$u:UpdateFieldInput!){updateOneField(input:{id:$i,update:$u}){id}}"
    crm17.metadata(change, i=chart, u={"options": options[1:]})
    assert not taken("AA")
    assert taken("BB")
    assert "errors" not in crm17.graphql("{people(first:1){edges{node{id chart other}}}}")
    crm17.metadata("mutation($i:UUID!){deleteOneField(input:{id:$i}){id}}", i=other)
    assert "errors" in crm17.graphql("{people(first:1){edges{node{id chart other}}}}")
    assert "errors" not in crm17.graphql("{people(first:1){edges{node{id chart}}}}")
