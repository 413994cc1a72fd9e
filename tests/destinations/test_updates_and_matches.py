"""Updates in batches, finding by value, what is attached, what reacts: against sandboxes of each version."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from sandbox_workspace import QuickClock, Workspace, link_columns, person

from dentlib.destinations.twenty import TwentyDestination, open_twenty
from dentlib.destinations.twenty.client import Operation
from dentlib.errors import InDoubt, Refused, UsageError
from dentlib.model import Decision, WantedField, WantedSchema
from dentlib.sandbox.twenty.snapshot import differences


def removed(twenty: TwentyDestination, records: list[dict[str, Any]], object_name: str = "person") -> None:
    """Take the records and what the server wrote about them away."""
    ids = [r["id"] for r in records]
    twenty.destroy_side_effects(object_name, ids)
    twenty.destroy(object_name, ids, "d")


def test_a_batch_changes_what_it_names_and_nothing_else(workspace: Workspace, applied: TwentyDestination) -> None:
    """200 records in one call, each with its own fields; what is left out and the dates of creation stay."""
    before = workspace.stored()
    people = [person(n, createdAt="2011-03-04T05:06:07.000Z", dateOfBirth="1980-02-29") for n in range(200)]
    applied.create("person", people, "c")
    calls = applied.stats.calls
    changes = [(p["id"], {"jobTitle": f"T{n}"} if n % 2 else {"dateOfBirth": None}) for n, p in enumerate(people)]
    applied.update_batch("person", changes, "u")
    assert applied.stats.calls == calls + 1
    stored = applied.read("person", [p["id"] for p in people])
    for n, p in enumerate(people):
        now = stored[p["id"]]
        assert (now["jobTitle"], now["dateOfBirth"]) == ((f"T{n}", "1980-02-29") if n % 2 else ("", None))
        assert (now["createdAt"], now["name"], now["sourceSystemId"]) == (
            p["createdAt"],
            p["name"],
            p["sourceSystemId"],
        )
    removed(applied, people)
    assert differences(before, workspace.stored()) == {}


def test_a_record_that_was_destroyed_meanwhile_is_not_made_anew(
    workspace: Workspace, applied: TwentyDestination
) -> None:
    """The upsert makes it; it is recognised and destroyed, the others keep their change, and it is told."""
    before = workspace.stored()
    people = [person(n) for n in range(3)]
    applied.create("person", people, "c")
    removed(applied, people[:1])
    with pytest.raises(Refused) as caught:
        applied.update_batch("person", [(p["id"], {"jobTitle": "Invented"}) for p in people], "u")
    assert caught.value.code == "RECORD_NOT_FOUND"
    left = applied.read("person", [p["id"] for p in people], deleted=True)
    assert {i: r["jobTitle"] for i, r in left.items()} == {p["id"]: "Invented" for p in people[1:]}
    removed(applied, people)
    assert differences(before, workspace.stored()) == {}


def test_a_poor_record_of_someone_else_is_not_taken_for_a_new_one(applied: TwentyDestination) -> None:
    """A record with nothing but the fields that are sent stays where it is."""
    theirs = {"id": str(uuid.uuid4()), "jobTitle": "Theirs"}
    applied.create("person", [theirs], "c")
    applied.update_batch("person", [(theirs["id"], {"jobTitle": "Ours"})], "u")
    assert applied.read("person", [theirs["id"]])[theirs["id"]]["jobTitle"] == "Ours"
    removed(applied, [theirs])


@pytest.mark.parametrize(
    "fields", [{"sourceSystemId": "x"}, {"emails": {}}, {"createdAt": "2011-03-04T05:06:07.000Z"}, {"createdBy": {}}]
)
def test_what_an_upsert_would_match_by_or_leave_out_is_refused(
    applied: TwentyDestination, fields: dict[str, Any]
) -> None:
    """A programming error: nothing is sent."""
    calls = applied.stats.calls
    with pytest.raises(UsageError):
        applied.update_batch("person", [(str(uuid.uuid4()), fields)], "u")
    assert applied.stats.calls == calls


def test_a_lost_answer_to_a_batch_is_in_doubt(workspace: Workspace, applied: TwentyDestination) -> None:
    """What was written can be read; nothing is believed."""
    one = person(1)
    applied.create("person", [one], "c")
    workspace.ask("faults", {"plan": [{"kind": "lost", "match": "upsert:true"}]})
    with pytest.raises(InDoubt):
        applied.update_batch("person", [(one["id"], {"jobTitle": "New"})], "u")
    assert applied.read("person", [one["id"]])[one["id"]]["jobTitle"] == "New"
    removed(applied, [one])


def test_finding_compares_as_the_server_does(applied: TwentyDestination) -> None:
    """E-mail addresses in any case, keys exactly, links by host; soft-deleted ones only when asked for."""
    live = person(1, emails={"primaryEmail": "ana@brightsmile.example.com"})
    bin_ = person(2, emails={"primaryEmail": "ben@brightsmile.example.com"}, deletedAt="2026-01-05T09:00:00.000Z")
    applied.create("person", [live, bin_], "c")
    wanted = ["ANA@brightsmile.example.com", "Ben@Brightsmile.example.com", "", "none@x.example.com"]
    assert [r["id"] for r in applied.find("person", "emails.primaryEmail", wanted)] == [live["id"]]
    both = applied.find("person", "emails.primaryEmail", wanted, deleted=True)
    assert {r["id"] for r in both} == {live["id"], bin_["id"]}
    assert [r["id"] for r in applied.find("person", "sourceSystemId", ["patient:1"])] == [live["id"]]
    assert applied.find("person", "sourceSystemId", ["Patient:1"]) == []
    assert applied.find("person", "name.lastName", ["Invented 1"])[0]["id"] == live["id"]
    removed(applied, [live, bin_])
    lab = {"id": str(uuid.uuid4()), "name": "Lab", "domainName": {"primaryLinkUrl": "https://lab.example.com"}}
    applied.create("company", [lab], "c")
    assert len(applied.find("company", "domainName.primaryLinkUrl", ["HTTPS://Lab.example.com/"])) == 1
    removed(applied, [lab], "company")


def test_what_points_to_a_record_is_found_and_what_the_server_wrote_is_not(applied: TwentyDestination) -> None:
    """Links, relations of custom objects and standard ones; few calls, and fewer for what is empty."""
    ana, ben = person(1), person(2)
    applied.create("person", [ana, ben], "c")
    claim = {"id": str(uuid.uuid4()), "name": "Claim", "patientId": ana["id"]}
    applied.create("insuranceClaim", [claim], "c")
    note = {"id": str(uuid.uuid4()), "title": "Note"}
    (column,) = link_columns(applied, "noteTarget", "person")
    link = {"id": str(uuid.uuid4()), "noteId": note["id"], column: ana["id"]}
    deal = {"id": str(uuid.uuid4()), "name": "Deal", "pointOfContactId": ana["id"]}
    applied.create("note", [note], "c")
    applied.create("noteTarget", [link], "c")
    applied.create("opportunity", [deal], "c")
    found = applied.attached("person", [ana["id"], ben["id"]])
    assert {k: sorted(v) for k, v in found.items()} == {
        ana["id"]: sorted([("insuranceClaim", claim["id"]), ("noteTarget", link["id"]), ("opportunity", deal["id"])])
    }
    assert applied.attached("insuranceClaim", [claim["id"]]) == {}
    calls = applied.stats.calls
    applied.attached("person", [ana["id"], ben["id"]])
    assert applied.stats.calls - calls <= 4
    for name, one in (("noteTarget", link), ("note", note), ("opportunity", deal), ("insuranceClaim", claim)):
        removed(applied, [one], name)
    removed(applied, [ana, ben])


def test_webhooks_are_told_by_their_host_only(workspace: Workspace, twenty: TwentyDestination) -> None:
    """The path and query of a webhook may hold a secret."""
    hook = {"targetUrl": "https://hooks.example.com/secret?key=1", "operations": ["person.*"], "secret": "s"}
    made = workspace.rest("POST", "/rest/metadata/webhooks", hook)
    told = [r for r in twenty.reactions() if r.kind == "webhook"]
    assert [(r.label, r.detail) for r in told] == [("hooks.example.com", "is called for person.*")]
    assert "timeline" in {r.kind for r in twenty.reactions()}
    workspace.rest("DELETE", f"/rest/metadata/webhooks/{made['id']}")


def test_a_key_that_may_not_see_webhooks_says_so(workspace: Workspace) -> None:
    """Neither an error nor silence."""
    key = workspace.server.make_key(role="limited")
    opened = open_twenty(workspace.server.url, key, clock=QuickClock(), calls_per_minute=None)
    assert opened.reactions()
    assert opened.invitations() is None


def test_what_was_probed_is_told_with_how(workspace: Workspace, twenty: TwentyDestination) -> None:
    """Names of links, how files go, unique fields, stages and the key's role; at the cost of one call."""
    calls = twenty.stats.calls
    told = {f.name: f for f in twenty.probed()}
    assert twenty.stats.calls - calls <= 1
    assert told["A task's link to a person"].value in ("personId", "targetPersonId")
    assert told["A file's link to a person"].value == "targetPersonId"
    assert "person: emails" in told["Unique fields"].value
    assert told["Role of the key"].value == "Admin"
    assert all(f.value and f.how for f in told.values())
    assert len({told[n].value for n in ("Files go", "Documents are checked against the schema")}) == 2


def test_rights_that_a_load_needs_are_told_before(workspace: Workspace, twenty: TwentyDestination) -> None:
    """The admin's key lacks nothing, the limited one may not change the data model."""
    assert twenty.missing_rights(["person", "note"], schema=True) == []
    key = workspace.server.make_key(role="limited")
    opened = open_twenty(workspace.server.url, key, clock=QuickClock(), calls_per_minute=None)
    assert "change the data model" in opened.missing_rights(["person", "nothingLikeIt"], schema=True)
    assert opened.stats.calls == 0


def test_rights_are_tried_where_roles_are_not_told(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing nothing shows what is refused, and writes nothing."""
    before = workspace.stored()
    for role, lacking in (("limited", ["destroy records of person"]), ("admin", [])):
        key = workspace.server.make_key(role=role) if role == "limited" else workspace.server.api_key
        opened = open_twenty(workspace.server.url, key, clock=QuickClock(), calls_per_minute=None)
        monkeypatch.setattr(opened._rights, "_found", lambda: None)
        assert opened.missing_rights(["person"], schema=False) == lacking
        assert opened.stats.calls == 2
    after = workspace.stored()
    assert [n for n in differences(before, after) if "key" not in n.lower()] == []


def test_a_formatted_text_is_made_in_the_type_that_this_version_writes(twenty: TwentyDestination) -> None:
    """A custom rich text can be made, planned again and written."""
    wanted = WantedSchema((), (WantedField("person", "story", "RICH_TEXT", "Story"),))
    recipe = twenty.apply(twenty.plan(wanted).items[0])
    assert [i.decision for i in twenty.plan(wanted).items] == [Decision.REUSE]
    block = {"id": "a", "type": "paragraph", "props": {}, "content": [{"type": "text", "text": "Hi", "styles": {}}]}
    one = person(1, story={"blocknote": json.dumps([{**block, "children": []}])})
    del one["sourceSystemId"]
    twenty.create("person", [one], "c")
    assert "Hi" in twenty.read("person", [one["id"]])[one["id"]]["story"]["blocknote"]
    removed(twenty, [one])
    twenty.undo(recipe)


def test_a_workflow_that_runs_by_the_clock_is_told(twenty: TwentyDestination) -> None:
    """Those by hand don't react; those on records have a trigger that is switched off."""
    workflow = {"id": str(uuid.uuid4()), "name": "Every night"}
    versions = [
        {"id": str(uuid.uuid4()), "workflowId": workflow["id"], "status": status, "trigger": {"type": kind}}
        for status, kind in (("ACTIVE", "CRON"), ("DRAFT", "CRON"), ("ACTIVE", "MANUAL"))
    ]
    twenty.create("workflow", [workflow], "w")
    twenty.create("workflowVersion", versions, "v")
    told = [(r.label, r.detail) for r in twenty.reactions() if r.kind == "workflow"]
    assert told == [("Every night", "runs by itself (cron) and may meet records of the load")]
    twenty.destroy("workflowVersion", [v["id"] for v in versions], "d")
    twenty.destroy("workflow", [workflow["id"]], "d")


def test_stored_messages_are_told_because_people_are_tied_to_them(twenty: TwentyDestination) -> None:
    """Participants are matched to new people by e-mail address, which can't be switched off."""
    one = {"id": str(uuid.uuid4()), "handle": "ana@brightsmile.example.com"}
    assert "matching" not in {r.kind for r in twenty.reactions()}
    twenty.create("messageParticipant", [one], "m")
    assert [r.label for r in twenty.reactions() if r.kind == "matching"] == ["messages"]
    twenty.destroy("messageParticipant", [one["id"]], "d")


def test_a_text_of_an_older_kind_is_in_nobodys_way(twenty: TwentyDestination) -> None:
    """Where RICH_TEXT can't be written, such a field of theirs is left out of reading, and is a conflict as ours."""
    wanted = WantedSchema((), (WantedField("person", "story", "RICH_TEXT", "Story"),))
    person_id = twenty.describe().objects["person"].id
    body = {"objectMetadataId": person_id, "type": "RICH_TEXT", "name": "story", "label": "Story"}
    operation = Operation(
        "createOneField",
        "(input:$f)",
        "{id}",
        {"f": ("CreateOneFieldMetadataInput!", {"field": body})},
        writes=True,
    )
    made = twenty._client.metadata(operation, "make a field by hand")
    kind = twenty.describe().objects["person"].fields["story"].type
    (line,) = twenty.plan(wanted).items
    assert line.decision is (Decision.REUSE if kind == "RICH_TEXT" else Decision.CONFLICT)
    one = person(1)
    del one["sourceSystemId"]
    twenty.create("person", [one], "c")
    assert one["id"] in twenty.read("person", [one["id"]])
    removed(twenty, [one])
    twenty.undo({"kind": "field", "id": made["id"], "object": "person", "field": "story"})
