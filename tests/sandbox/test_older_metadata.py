"""Files by path and metadata of the sandbox as Twenty 1.17; whose keys may do what, in both versions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dentlib.sandbox.twenty.server import TwentySandbox

UPLOAD = "mutation($file:Upload!{more}){{uploadFile(file:$file{folder}){{path token}}}}"


@pytest.fixture
def older() -> Iterator[TwentySandbox]:
    """A fresh sandbox of 1.17, limits off."""
    with TwentySandbox(version="1.17", limits="off", effects_delay_s=3600) as running:
        yield running


@pytest.fixture
def crm17(older: TwentySandbox, connect: Callable[..., Any]) -> Iterator[Any]:
    """A client of it with an admin key."""
    client = connect(older)
    yield client
    client.http.close()


def _upload(crm: Any, name: str, content: bytes, folder: str = ",fileFolder:Attachment") -> str:
    operations = {"query": UPLOAD.format(more="", folder=folder), "variables": {"file": None}}
    given = {"operations": json.dumps(operations), "map": '{"0":["variables.file"]}'}
    answer = crm.http.post("/metadata", data=given, files={"0": (name, content)}).json()
    return str(answer["data"]["uploadFile"]["path"])


def _attach(crm: Any, path: str) -> Any:
    return crm.rest("POST", "attachments", {"name": "x", "fullPath": path}, 201)["data"]["createAttachment"]


def test_a_path_may_be_used_twice_but_the_file_goes_with_the_first_destroyed(crm17: Any) -> None:
    """Both records read the same bytes under signed addresses; after one is destroyed the other's file is gone."""
    path = _upload(crm17, "scan.PDF", b"any bytes at all")
    first, second = _attach(crm17, path), _attach(crm17, path)
    assert path.endswith(".PDF")
    assert crm17.http.get(second["fullPath"]).content == b"any bytes at all"
    crm17.rest("DELETE", f"attachments/{first['id']}?soft_delete=true", status=200)
    assert crm17.http.get(second["fullPath"]).status_code == 200
    crm17.rest("DELETE", f"attachments/{first['id']}", status=200)
    gone = crm17.http.get(second["fullPath"])
    assert (gone.status_code, gone.json()["code"]) == (404, "FILE_NOT_FOUND")


def test_an_address_without_its_own_signature_gets_nothing(crm17: Any, connect: Callable[..., Any]) -> None:
    """Unsigned, signed for another file, from another workspace, without extension or folder: refused."""
    signed = _attach(crm17, _upload(crm17, "a.png", b"1"))["fullPath"]
    other = _attach(crm17, _upload(crm17, "b.png", b"2"))["fullPath"]
    head, token, name = signed.rsplit("/", 2)
    assert crm17.http.get(f"{head}/{name}").json()["message"] == "Folder  is not allowed"
    assert crm17.http.get(f"{head}/{token}/{other.rpartition('/')[2]}").status_code == 403
    assert crm17.http.get(_attach(crm17, _upload(crm17, "README", b"3"))["fullPath"]).status_code == 400
    lost = _attach(crm17, _upload(crm17, "c.png", b"4", folder=""))["fullPath"]
    assert crm17.http.get(lost).json()["message"] == "Folder undefined is not allowed"
    with TwentySandbox(version="1.17", limits="off") as elsewhere:
        stranger = connect(elsewhere)
        assert (
            stranger.http.get(signed.replace(str(crm17.http.base_url), str(stranger.http.base_url))).status_code == 403
        )
        stranger.http.close()


def test_a_signature_is_good_for_a_day(crm17: Any) -> None:
    """Reading the record again signs anew."""
    made = _attach(crm17, _upload(crm17, "a.png", b"1"))
    crm17.admin("clock", advance_s=86_401)
    assert crm17.http.get(made["fullPath"]).status_code == 403
    again = crm17.rest("GET", f"attachments/{made['id']}")["data"]["attachment"]
    assert crm17.http.get(again["fullPath"]).content == b"1"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"type": "FILES", "name": "papers"}, "Files field type is not supported"),
        ({"type": "TEXT", "name": "Big_Name"}, "Name should be in camelCase"),
        ({"type": "POSITION", "name": "rank"}, "system type and cannot be created manually"),
        (
            {"type": "SELECT", "name": "kind", "options": [{"value": "a b", "label": "x", "position": 0}]},
            "{sanitizedValue}",
        ),
        ({"type": "TEXT", "name": "unique", "isUnique": True, "defaultValue": "'x'"}, "{fieldName}"),
    ],
)
def test_fields_are_refused_in_the_older_words(crm17: Any, given: dict[str, Any], told: str) -> None:
    """One cause in its entry with the object's id, one friendly sentence for all; nothing is made."""
    owner = crm17.object_id("person")
    field = {"objectMetadataId": owner, "label": "x", **given}
    query = "mutation($f:CreateOneFieldMetadataInput!){createOneField(input:$f){id}}"
    extensions = crm17.graphql(query, "/metadata", f={"field": field})["errors"][0]["extensions"]
    (entry,) = next(iter(extensions["errors"].values()))
    assert told in entry["errors"][0]["message"]
    assert "id" in entry["flatEntityMinimalInformation"]
    assert extensions["userFriendlyMessage"] == "Metadata validation failed"
    listed = crm17.metadata("query($i:UUID!){object(id:$i){fieldsList{name isCustom}}}", i=owner)["object"]
    assert not [one for one in listed["fieldsList"] if one["isCustom"]]


def test_labels_of_an_object_must_differ_and_standard_fields_stay(crm17: Any) -> None:
    """The singular label is not the plural's, and neither a standard field nor its object can be deleted."""
    same = {"nameSingular": "ware", "namePlural": "wares", "labelSingular": "Ware", "labelPlural": "Ware"}
    query = "mutation($o:CreateOneObjectInput!){createOneObject(input:$o){id}}"
    causes = crm17.graphql(query, "/metadata", o={"object": same})["errors"][0]["extensions"]["errors"]
    assert "labels cannot be the same" in causes["objectMetadata"][0]["errors"][0]["message"]
    person = crm17.object_id("person")
    refused = crm17.graphql("mutation($i:UUID!){deleteOneObject(input:{id:$i}){id}}", "/metadata", i=person)
    assert refused["errors"][0]["extensions"]["code"] == "METADATA_VALIDATION_FAILED"


def test_metadata_by_rest_has_the_older_shape(crm17: Any) -> None:
    """Listed without a query string only; relations with both sides; a webhook needs a secret."""
    assert crm17.rest("GET", "metadata/objects?limit=1", status=400)["error"] == "Bad Request"
    listed = crm17.rest("GET", "metadata/objects")
    person = next(one for one in listed["data"]["objects"] if one["nameSingular"] == "person")
    company = next(one for one in person["fields"] if one["name"] == "company")["relation"]
    assert (company["type"], company["targetObjectMetadata"]["nameSingular"]) == ("MANY_TO_ONE", "company")
    assert company["targetFieldMetadata"]["name"] == "people"
    hook = {"targetUrl": "http://localhost:9/h", "operations": ["person.created"]}
    assert '"secret"' in crm17.rest("POST", "metadata/webhooks", hook, 400)["messages"][0]
    assert crm17.rest("POST", "metadata/webhooks", {**hook, "secret": "s"}, 201)["operations"] == ["person.created"]


def test_jobs_of_the_worker_can_be_lost(crm17: Any) -> None:
    """What the worker would have written about a record never comes, and later records get theirs."""
    crm17.rest("POST", "people", {"jobTitle": "a"}, 201)
    assert crm17.admin("settle", lost=True)["lost"] == 1
    crm17.rest("POST", "people", {"jobTitle": "b"}, 201)
    crm17.settle()
    assert crm17.graphql("{timelineActivities{totalCount}}")["data"]["timelineActivities"]["totalCount"] == 1


@pytest.mark.parametrize("version", ["2.21", "1.17"])
def test_a_key_learns_its_rights_from_its_role(version: str, connect: Callable[..., Any]) -> None:
    """Keys are listed with their role and roles with their keys; a limited key may change no metadata."""
    with TwentySandbox(version=version, limits="off") as running:
        limited = running.make_key(role="limited", name="front desk")
        crm = connect(running)
        keys = {
            one["name"]: one["role"]
            for one in crm.metadata("{apiKeys{name role{label canUpdateAllSettings}}}")["apiKeys"]
        }
        assert keys["loader"] == {"label": "Admin", "canUpdateAllSettings": True}
        assert keys["front desk"] == {"label": "Limited", "canUpdateAllSettings": False}
        roles = crm.metadata("{getRoles{label apiKeys{name}}}")["getRoles"]
        assert {role["label"]: [key["name"] for key in role["apiKeys"]] for role in roles}["Limited"] == ["front desk"]
        assert crm.metadata("{findWorkspaceInvitations{email}}")["findWorkspaceInvitations"] == []
        crm.http.headers["Authorization"] = f"Bearer {limited}"
        made = {"nameSingular": "ware", "namePlural": "wares", "labelSingular": "Ware", "labelPlural": "Wares"}
        for query in (
            "mutation($o:CreateOneObjectInput!){createOneObject(input:$o){id}}",
            "{findWorkspaceInvitations{email}}",
        ):
            given = {"o": {"object": made}} if "$o" in query else {}
            told = crm.graphql(query, "/metadata", **given)["errors"][0]["extensions"]
            assert told["subCode"] == "PERMISSION_DENIED"
        crm.http.close()
