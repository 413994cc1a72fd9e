"""The destination against the sandbox: what is made can be read, and taken back without a trace."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from sandbox_workspace import WANTED, QuickClock, Workspace, link_columns, person

from dentlib.clock import ManualClock, SystemClock
from dentlib.destinations.twenty import TwentyDestination, open_twenty
from dentlib.errors import AccessDenied, InDoubt, Refused
from dentlib.model import Decision
from dentlib.sandbox.twenty.server import TwentySandbox
from dentlib.sandbox.twenty.snapshot import differences


def make_trigger(twenty: TwentyDestination) -> None:
    """Make an automated trigger on people, where a new workspace has none."""
    workflow = {"id": str(uuid.uuid4()), "name": "Invented"}
    trigger = {
        "id": str(uuid.uuid4()),
        "type": "DATABASE_EVENT",
        "settings": {"eventName": "person.upserted"},
        "workflowId": workflow["id"],
    }
    twenty.create("workflow", [workflow], "w")
    twenty.create("workflowAutomatedTrigger", [trigger], "t")


def test_schema_planned_applied_and_undone_leaves_everything_as_it_was(
    workspace: Workspace, twenty: TwentyDestination
) -> None:
    """All is created or extended, a second plan finds it there, and undoing restores every table."""
    before = workspace.stored()
    plan = twenty.plan(WANTED)
    assert plan.conflicts == ()
    assert {i.decision for i in plan.items} == {Decision.CREATE, Decision.EXTEND}
    recipes = [twenty.apply(item) for item in plan.items]
    again = twenty.plan(WANTED)
    assert {i.decision for i in again.items} == {Decision.REUSE}
    assert again.hash() == plan.hash()
    assert [twenty.apply(item) for item in plan.items] == recipes
    described = twenty.describe().objects
    assert described["insuranceClaim"].fields["patient"].columns == ("patientId",)
    assert len(link_columns(twenty, "noteTarget", "InsuranceClaim")) == 1
    for _ in range(2):
        for recipe in reversed(recipes):
            twenty.undo(recipe)
    assert differences(before, workspace.stored()) == {}


def test_records_are_created_read_counted_changed_and_destroyed(
    workspace: Workspace, applied: TwentyDestination
) -> None:
    """What is read has the form of what was written; destroying leaves no record, timeline entry or run."""
    before = workspace.stored()
    people = [person(n, dateOfBirth="1980-02-29", createdAt="2011-03-04T05:06:07.000Z") for n in range(200)]
    claims = [
        {
            "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"claim {n}")),
            "name": f"Claim {n}",
            "sourceSystemId": f"claim:{n}",
            "patientId": people[n]["id"],
            "fee": {"amountMicros": 12_340_000, "currencyCode": "USD"},
            "claimStatus": "PAID",
        }
        for n in range(20)
    ]
    applied.create("person", people, "p1")
    applied.create("insuranceClaim", claims, "c1")
    assert applied.count("person", source_prefix="patient:") == 200
    assert [c["id"] for c in applied.scan("insuranceClaim", source_prefix="claim:")] == sorted(c["id"] for c in claims)
    stored = applied.read("insuranceClaim", [claims[0]["id"], str(uuid.uuid4())])
    assert set(stored) == {claims[0]["id"]}
    assert {k: stored[claims[0]["id"]][k] for k in claims[0]} == claims[0]
    applied.update("person", people[0]["id"], {"jobTitle": "Invented"}, "u1")
    read = applied.read("person", [people[0]["id"]])[people[0]["id"]]
    assert (read["jobTitle"], read["dateOfBirth"], read["createdAt"]) == (
        "Invented",
        "1980-02-29",
        "2011-03-04T05:06:07.000Z",
    )
    for name, rows in (("insuranceClaim", claims), ("person", people)):
        ids = [r["id"] for r in rows]
        assert applied.destroy_side_effects(name, ids) >= len(ids)
        applied.destroy(name, ids, "d1")
        applied.destroy(name, ids, "d2")
        assert applied.read(name, ids, deleted=True) == {}
    assert differences(before, workspace.stored()) == {}


def test_a_duplicate_refuses_the_whole_batch_and_names_the_record(applied: TwentyDestination) -> None:
    """Nothing of the batch is there afterwards."""
    first = person(1, emails={"primaryEmail": "ana@brightsmile.example"})
    applied.create("person", [first], "a")
    with pytest.raises(Refused) as caught:
        applied.create("person", [person(2), person(3, emails={"primaryEmail": "Ana@brightsmile.example"})], "b")
    assert caught.value.conflicting_id == first["id"]
    assert set(applied.read("person", [person(n)["id"] for n in (1, 2, 3)])) == {first["id"]}
    applied.destroy_side_effects("person", [first["id"]])
    applied.destroy("person", [first["id"]], "d")


def test_an_option_in_use_is_kept(applied: TwentyDestination) -> None:
    """Undoing the extension of a choice waits until no record holds the option."""
    line = next(i for i in applied.plan(WANTED).items if i.field == "stage")
    recipe = {"kind": "options", "object": "opportunity", "field": "stage", "values": ["DECLINED"]}
    recipe["id"] = applied.describe().objects["opportunity"].fields["stage"].id
    deal = {"id": str(uuid.uuid4()), "name": "Invented", "stage": "DECLINED"}
    assert line.decision is Decision.REUSE
    applied.create("opportunity", [deal], "o")
    assert applied.in_use(recipe) == 1
    with pytest.raises(Refused):
        applied.undo(recipe)
    applied.destroy_side_effects("opportunity", [deal["id"]])
    applied.destroy("opportunity", [deal["id"]], "d")
    assert applied.in_use(recipe) == 0


HELD: list[tuple[str, dict[str, Any]]] = [
    ("dateOfBirth", {"dateOfBirth": "1980-02-29"}),
    ("homeAddress", {"homeAddress": {"addressCity": "Utrecht"}}),
    ("sourceSystemId", {"sourceSystemId": "theirs"}),
]


@pytest.mark.parametrize(("name", "value"), HELD, ids=[h[0] for h in HELD])
def test_a_field_that_holds_someones_value_is_kept(
    workspace: Workspace, twenty: TwentyDestination, name: str, value: dict[str, Any]
) -> None:
    """Undoing a field of ours waits until nobody's record has a value in it, also in the bin."""
    before = workspace.stored()
    line = next(i for i in twenty.plan(WANTED).items if i.field == name and i.object == "person")
    recipe = twenty.apply(line)
    theirs = {"id": str(uuid.uuid4()), "name": {"firstName": "Someone", "lastName": "Else"}}
    twenty.create("person", [theirs], "p")
    assert twenty.in_use(recipe) == 0
    twenty.update("person", theirs["id"], {**value, "deletedAt": "2026-01-05T09:00:00.000Z"}, "u")
    with pytest.raises(Refused) as caught:
        twenty.undo(recipe)
    assert caught.value.code == "IN_USE"
    twenty.destroy_side_effects("person", [theirs["id"]])
    twenty.destroy("person", [theirs["id"]], "d")
    twenty.undo(recipe)
    assert differences(before, workspace.stored()) == {}


def test_an_object_with_someones_records_is_kept(applied: TwentyDestination) -> None:
    """Undoing an object would take its records along, so it is refused while there are any."""
    claim = {"id": str(uuid.uuid4()), "name": "Theirs"}
    shape_id = applied.describe().objects["insuranceClaim"].id
    applied.create("insuranceClaim", [claim], "c")
    with pytest.raises(Refused) as caught:
        applied.undo({"kind": "object", "id": shape_id, "object": "insuranceClaim"})
    assert "insuranceClaim" in caught.value.message
    applied.destroy_side_effects("insuranceClaim", [claim["id"]])
    applied.destroy("insuranceClaim", [claim["id"]], "d")


def test_a_file_is_sent_attached_fetched_and_destroyed(
    workspace: Workspace, applied: TwentyDestination, tmp_path: Path
) -> None:
    """The bytes come back identical, and go with the attachment."""
    before = workspace.stored()
    someone = person(9)
    applied.create("person", [someone], "p")
    path = tmp_path / "consent.txt"
    path.write_bytes(b"I agree. " * 5_000)
    ticket = applied.finish_upload(applied.begin_upload(path, "attachment", "file"), path)
    attachment = {
        "id": str(uuid.uuid4()),
        "name": "consent.txt",
        **applied.file_fields("file", ticket, "consent.txt"),
        "targetPersonId": someone["id"],
    }
    applied.create("attachment", [attachment], "a")
    stored = applied.read("attachment", [attachment["id"]])[attachment["id"]]
    assert {k: stored[k] for k in attachment} == attachment
    assert applied.download("attachment", attachment["id"], "file") == path.read_bytes()
    applied.destroy("attachment", [attachment["id"]], "d")
    applied.destroy_side_effects("person", [someone["id"]])
    applied.destroy("person", [someone["id"]], "d")
    assert differences(before, workspace.stored()) == {}


def test_triggers_go_off_and_on_as_they_were(workspace: Workspace, twenty: TwentyDestination) -> None:
    """The prefilled trigger is found, off twice, on twice, and every table is as before."""
    if not twenty.switches():
        make_trigger(twenty)
    before = workspace.stored()
    (switch,) = twenty.switches()
    assert "person.upserted" in switch.label
    for _ in range(2):
        twenty.switch_off(switch)
    assert twenty.switches() == []
    for _ in range(2):
        twenty.switch_on(switch)
    assert twenty.switches() == [switch]
    assert differences(before, workspace.stored()) == {}


def test_members_workspace_and_roles_are_read(twenty: TwentyDestination) -> None:
    """Names and addresses of members, the workspace's id, and who reads people."""
    members = twenty.members()
    assert len(members) >= 3
    assert all("@" in m.email and m.name for m in members)
    assert uuid.UUID(twenty.workspace().id)
    assert "Admin" in twenty.roles_that_read("person")


@pytest.mark.parametrize("how", ["nonsense", "revoked"])
def test_a_key_that_does_not_fit_is_denied(sandbox: TwentySandbox, how: str) -> None:
    """Wrong or revoked, on either side of the API."""
    key = sandbox.make_key(revoked=True) if how == "revoked" else "nonsense"
    opened = open_twenty(sandbox.url, key, clock=QuickClock(), calls_per_minute=None)
    with pytest.raises(AccessDenied):
        opened.workspace()


def test_a_key_without_rights_is_denied(sandbox: TwentySandbox) -> None:
    """The limited role may not change the data model."""
    opened = open_twenty(sandbox.url, sandbox.make_key(role="limited"), clock=QuickClock(), calls_per_minute=None)
    with pytest.raises(AccessDenied):
        opened.apply(opened.plan(WANTED).items[0])


@pytest.mark.parametrize("kind", ["lost", "half", "status", "twice"])
def test_a_lost_answer_leaves_a_write_in_doubt_and_it_is_found(
    workspace: Workspace, twenty: TwentyDestination, kind: str
) -> None:
    """After each fault the next calls are right: nothing is taken for what it isn't."""
    company = {"id": str(uuid.uuid4()), "name": "Invented Lab"}
    workspace.ask("faults", {"plan": [{"kind": kind, "match": "createCompanies"}]})
    if kind == "twice":
        twenty.create("company", [company], "t1")
    else:
        with pytest.raises(InDoubt):
            twenty.create("company", [company], "t1")
    found = twenty.read("company", [company["id"]])
    assert set(found) == ({company["id"]} if kind != "status" else set(found))
    if not found:
        twenty.create("company", [company], "t2")
    assert set(twenty.read("company", [company["id"]])) == {company["id"]}
    twenty.destroy_side_effects("company", [company["id"]])
    twenty.destroy("company", [company["id"]], "d")


def test_at_default_limits_nothing_is_refused() -> None:
    """300 counted calls in shared virtual time take three minutes and none is refused."""
    clock = ManualClock()
    server = TwentySandbox(limits="default", clock=clock)
    server.start()
    try:
        opened = open_twenty(server.url, server.api_key, clock=clock, calls_per_minute=100)
        for _ in range(300):
            opened.count("company")
        assert opened.stats.refused_for_rate == 0
        assert opened.stats.calls == 300
        assert clock.elapsed_s < 160
    finally:
        server.stop()


def test_an_upload_is_taken_up_when_the_workspace_came_back_at_another_address(tmp_path: Path) -> None:
    """A ticket from before a crash still leads to the workspace after it was started again on another port."""
    path = tmp_path / "consent.txt"
    path.write_text("I agree.", encoding="utf-8")
    clock, ports, ticket = SystemClock(), [], None
    for _ in range(2):
        with TwentySandbox(tmp_path / "state.sqlite", limits="off") as server:
            twenty = open_twenty(server.url, server.api_key, clock=clock, calls_per_minute=None)
            ports.append(server.url)
            ticket = ticket or twenty.begin_upload(path, "attachment", "file")
            if len(ports) == 2:
                done = twenty.finish_upload(ticket, path)
                one = {"id": str(uuid.uuid4()), "name": "c.txt", "file": [{"fileId": done.file_id, "label": "c.txt"}]}
                twenty.create("attachment", [one], "a")
                assert twenty.download("attachment", one["id"], "file") == path.read_bytes()
            twenty.close()
    assert ports[0] != ports[1]
