"""Schema lines after lost answers, both ways of uploading, and what the server wrote by itself; scripted server."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from twenty_answers import OBJECTS, destination, failed, field, good, page, thing

from dentlib.errors import InDoubt, Refused, SchemaConflict
from dentlib.model import Decision, FileTicket, Option, SchemaItem, WantedField, WantedSchema

CHART = WantedField("person", "chartNumber", "TEXT", "Chart number")
CHART_LINE = SchemaItem(Decision.CREATE, "person", "chartNumber", "TEXT", wanted_field=CHART)
TAKEN = {
    "message": "Multiple validation errors occurred while creating fields",
    "extensions": {
        "code": "METADATA_VALIDATION_FAILED",
        "errors": {"fieldMetadata": [{"errors": [{"code": "NOT_AVAILABLE", "message": "Name is not available"}]}]},
    },
}
PDF = b"%PDF-1.4 invented"
A = "11111111-1111-4111-8111-000000000001"


class Workspace:
    """A data model that grows; `lose` makes it take a write and lose the answer."""

    def __init__(self) -> None:
        self.objects = copy.deepcopy(OBJECTS)
        self.lose = False
        self.grow_then_refuse = False
        self.asked: list[str] = []
        self.sent: list[dict[str, Any]] = []

    def named(self, name: str) -> dict[str, Any]:
        return next(o for o in self.objects if o["nameSingular"] == name)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = orjson.loads(request.content)
        query = body["query"]
        if "objects(" in query:
            return good(request, page(self.objects))
        self.asked.append(query.split(":", 2)[-1].split("(")[0])
        self.sent.append(body["variables"])
        if "createOneField" in query:
            wanted = body["variables"]["f"]["field"]
            made = field(wanted["name"], wanted["type"], id="00000000-0000-4000-8000-00000000cafe")
            self.named("person")["fieldsList"].append(made)
            if self.lose:
                raise httpx.ReadTimeout("lost")
            return failed(request, TAKEN, with_data=False) if self.grow_then_refuse else good(request, made)
        if "updateOneField" in query:
            return good(request, {"id": body["variables"]["i"]})
        return good(request, {"totalCount": 2})


def test_a_field_whose_answer_was_lost_counts_as_made() -> None:
    """After a lost answer the field is looked for, and its recipe is the one of the field that is there."""
    there = Workspace()
    there.lose = True
    recipe = destination(there).apply(CHART_LINE)
    assert recipe == {
        "kind": "field",
        "id": "00000000-0000-4000-8000-00000000cafe",
        "object": "person",
        "field": "chartNumber",
    }


def test_applying_a_line_twice_makes_one_field() -> None:
    """The second time nothing is sent and the recipe is the same."""
    there = Workspace()
    twenty = destination(there)
    assert twenty.apply(CHART_LINE) == twenty.apply(CHART_LINE)
    assert len(there.sent) == 1
    assert destination(there).apply(CHART_LINE)["id"] == "00000000-0000-4000-8000-00000000cafe"


def test_a_field_that_someone_made_otherwise_is_a_conflict() -> None:
    """Between plan and application the name was taken for a number."""
    there = Workspace()
    there.named("person")["fieldsList"].append(field("chartNumber", "NUMBER"))
    with pytest.raises(SchemaConflict):
        destination(there).apply(CHART_LINE)


def test_nothing_is_made_for_a_conflict_or_a_reuse() -> None:
    """A conflict raises, a reuse has a recipe that takes nothing back."""
    there = Workspace()
    twenty = destination(there)
    with pytest.raises(SchemaConflict):
        twenty.apply(SchemaItem(Decision.CONFLICT, "person", "type", reason="reserved"))
    recipe = twenty.apply(SchemaItem(Decision.REUSE, "person", "name"))
    twenty.undo(recipe)
    assert there.sent == []


STAGE = WantedField(
    "opportunity", "stage", "SELECT", "Stage", options=(Option("NEW", "New"), Option("LOST", "Lost")), extend=True
)


def test_options_are_added_after_the_current_ones_which_keep_their_ids() -> None:
    """The whole list is sent, and every option that was there keeps id and position."""
    there = Workspace()
    twenty = destination(there)
    (line,) = twenty.plan(WantedSchema((), (STAGE,))).items
    recipe = twenty.apply(line)
    sent = there.sent[0]["u"]["options"]
    assert [o.get("id") for o in sent] == ["o0", "o1", "o2", None]
    assert sent[-1] == {"value": "LOST", "label": "Lost", "color": "gray", "position": 3}
    assert recipe["values"] == ["LOST"]


def test_an_option_that_a_record_holds_is_not_removed() -> None:
    """Removing it would reset those records without a word, so it is refused, with the count."""
    there = Workspace()
    there.named("opportunity")["fieldsList"][3]["options"].append({"id": "o9", "value": "LOST", "label": "Lost"})
    recipe = {
        "kind": "options",
        "id": there.named("opportunity")["fieldsList"][3]["id"],
        "object": "opportunity",
        "field": "stage",
        "values": ["LOST"],
    }
    with pytest.raises(Refused) as caught:
        destination(there).undo(recipe)
    assert caught.value.code == "IN_USE"


def test_a_field_that_is_gone_is_taken_back_already() -> None:
    """Not found, or the server's odd words for a missing object, are fine when it is not there."""
    gone = {"message": "Could not find flat entity in maps", "extensions": {"code": "INTERNAL_SERVER_ERROR"}}

    def respond(request: httpx.Request) -> httpx.Response:
        if b"objects(" in request.content:
            return good(request, page(OBJECTS))
        if b"totalCount" in request.content:
            return good(request, {"totalCount": 0})
        return failed(request, gone, with_data=False)

    destination(respond).undo({"kind": "object", "id": "no-longer", "object": "claim"})
    with pytest.raises(Refused):
        destination(respond).undo({"kind": "object", "id": OBJECTS[0]["id"], "object": "person"})


class FileServer:
    """Takes files in the ways it is told, and remembers what was said."""

    def __init__(self, *, direct: bool = True, put: int = 204) -> None:
        self.direct, self.put = direct, put
        self.steps: list[str] = []
        self.bytes = b""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "PUT":
            self.steps.append("put")
            self.bytes = request.read()
            return httpx.Response(self.put, json={"messages": ["The upload is over"], "code": "FILE_UPLOAD_EXPIRED"})
        if request.headers["content-type"].startswith("multipart/form-data"):
            self.steps.append("multipart")
            self.bytes = request.read()
            alias = self.bytes.split(b"{", 2)[2].split(b":")[0].decode()
            return httpx.Response(200, json={"data": {alias: {"id": "f-2"}}})
        query = orjson.loads(request.content)["query"]
        if "objects(" in query:
            return good(request, page([thing("attachment", "attachments", field("file", "FILES"))]))
        if "__type" in query:
            names = ["uploadFilesFieldFile", *(["createFileUpload"] if self.direct else [])]
            return good(request, {"fields": [{"name": n} for n in names]})
        self.steps.append("announce" if "createFileUpload" in query else "complete")
        return good(request, {"id": "f-1", "fileId": "f-1", "uploadUrl": "http://files.example.test/u?token=t"})


@pytest.fixture
def pdf(tmp_path: Path) -> Path:
    """A file with an extension that fits."""
    path = tmp_path / "consent.pdf"
    path.write_bytes(PDF)
    return path


def test_a_file_goes_in_three_steps_where_the_workspace_can(pdf: Path) -> None:
    """Announced, sent, completed; a ticket already done sends nothing more."""
    server = FileServer()
    twenty = destination(server)
    ticket = twenty.finish_upload(twenty.begin_upload(pdf, "attachment", "file"), pdf)
    assert (ticket.file_id, ticket.done, server.bytes) == ("f-1", True, PDF)
    assert twenty.finish_upload(ticket, pdf) == ticket
    assert server.steps == ["announce", "put", "complete"]


def test_an_older_workspace_gets_the_file_in_a_multipart_call(pdf: Path) -> None:
    """The same two verbs, found by probing; the parts are those of the GraphQL multipart convention."""
    server = FileServer(direct=False)
    twenty = destination(server)
    ticket = twenty.finish_upload(twenty.begin_upload(pdf, "attachment", "file"), pdf)
    assert (ticket.file_id, ticket.done, server.steps) == ("f-2", True, ["multipart"])
    assert b'"0":["variables.file"]' in server.bytes
    assert PDF in server.bytes


def test_a_file_that_had_arrived_before_a_crash_is_only_completed(pdf: Path) -> None:
    """The server refuses the bytes of a finished upload; completing tells that all is well."""
    server = FileServer(put=400)
    ticket = destination(server).finish_upload(FileTicket("f-1", "http://files.example.test/u?token=t"), pdf)
    assert ticket.done


def test_a_broken_transfer_is_in_doubt(pdf: Path) -> None:
    """It may be repeated with the same ticket."""
    server = FileServer(put=502)
    with pytest.raises(InDoubt):
        destination(server).finish_upload(FileTicket("f-1", "http://files.example.test/u?token=t"), pdf)


TIMELINE = thing("timelineActivity", "timelineActivities", field("linkedRecordId", "UUID"))
TIMELINE["fieldsList"].append(
    field(
        "target",
        "MORPH_RELATION",
        settings={"relationType": "MANY_TO_ONE", "joinColumnName": "targetTaskId"},
        morphRelations=[
            {"type": "MANY_TO_ONE", "targetObjectMetadata": {"nameSingular": n}} for n in ("person", "task")
        ],
    )
)
RUNS = thing("workflowRun", "workflowRuns", field("state", "RAW_JSON"))


class Worker:
    """Writes timeline entries while we wait: each count is one higher until it is done."""

    def __init__(self) -> None:
        self.written = iter([1, 3, 3, 3, 3, 3])
        self.destroyed: list[dict[str, Any]] = []
        self.counted = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = orjson.loads(request.content)
        query = body["query"]
        if "objects(" in query:
            return good(request, page([*OBJECTS, TIMELINE, RUNS]))
        if "destroy" in query:
            self.destroyed.append(body)
            return good(request, [{"id": "t1"}])
        if "totalCount" in query and "timelineActivities" in query:
            self.counted += 1
            return good(request, {"totalCount": next(self.written)})
        if "totalCount" in query:
            return good(request, {"totalCount": 2})
        automatic = {"id": "w1", "createdBy": {"source": "WORKFLOW"}, "state": {"trigger": {"id": A}}}
        by_hand = {"id": "w2", "createdBy": {"source": "MANUAL"}, "state": {"trigger": {"id": A}}}
        return good(request, page([automatic, by_hand]))


def test_side_effects_are_destroyed_once_the_worker_has_caught_up() -> None:
    """Waits until the counts stand still, then destroys entries by target or link, and automatic runs only."""
    worker = Worker()
    twenty = destination(worker)
    assert twenty.destroy_side_effects("task", [A]) == 2
    assert worker.counted == 4
    timeline, runs = (b["variables"]["f"]["and"][0] for b in worker.destroyed)
    assert timeline == {"or": [{"targetTaskId": {"in": [A]}}, {"linkedRecordId": {"in": [A]}}]}
    assert runs == {"id": {"in": ["w1"]}}
    twenty.destroy_side_effects("task", [A])
    assert worker.counted == 4


def test_objects_without_a_timeline_cost_no_call() -> None:
    """Links have none."""
    worker = Worker()
    assert destination(worker).destroy_side_effects("taskTarget", [A]) == 0
    assert worker.counted == 0


ROLES = [
    {"label": "Admin", "canReadAllObjectRecords": True, "objectPermissions": []},
    {"label": "Front desk", "canReadAllObjectRecords": False, "objectPermissions": None},
    {
        "label": "Billing",
        "canReadAllObjectRecords": False,
        "objectPermissions": [{"objectMetadataId": OBJECTS[0]["id"], "canReadObjectRecords": True}],
    },
    {
        "label": "Guest",
        "canReadAllObjectRecords": True,
        "objectPermissions": [{"objectMetadataId": OBJECTS[0]["id"], "canReadObjectRecords": False}],
    },
]


def test_who_sees_an_object_follows_the_roles_and_their_exceptions() -> None:
    """A permission on the object outranks the role's general one."""

    def respond(request: httpx.Request) -> httpx.Response:
        return good(request, page(OBJECTS) if b"objects(" in request.content else ROLES)

    assert destination(respond).roles_that_read("person") == ["Admin", "Billing"]
    assert destination(respond).roles_that_read("task") == ["Admin", "Guest"]


def test_a_version_without_rights_per_object_tells_the_general_right() -> None:
    """The question is asked again without what that version doesn't know."""

    def respond(request: httpx.Request) -> httpx.Response:
        if b"objects(" in request.content:
            return good(request, page(OBJECTS))
        if b"objectPermissions" in request.content:
            unknown = {"message": 'Cannot query field "objectPermissions" on type "Role".', "extensions": {}}
            return failed(request, unknown, with_data=False)
        return good(request, [{"label": "Admin", "canReadAllObjectRecords": True}])

    assert destination(respond).roles_that_read("person") == ["Admin"]
