"""What the worker writes after an answer has gone out: timeline rows and workflow runs.

A write leaves one job row in its own transaction; `flush` turns the waiting jobs into records and removes them, so a
killed server goes on where it was.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson

from dentlib.sandbox.twenty.ids import ordered_ids
from dentlib.sandbox.twenty.integrity import INSERT_LINK
from dentlib.sandbox.twenty.model import Model
from dentlib.sandbox.twenty.refusals import Json
from dentlib.sandbox.twenty.removing import load_docs
from dentlib.sandbox.twenty.state import dumps
from dentlib.sandbox.twenty.workspace import Workspace
from dentlib.sandbox.twenty.writing import INSERT_RECORD

_SYSTEM = {"source": "MANUAL", "workspaceMemberId": None, "name": "System", "context": None}
_LINKED = {"taskTarget": ("task", "linked-task.created"), "noteTarget": ("note", "linked-note.created")}


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to one record, and which other record was linked to it."""

    name: str
    target_id: str
    linked_id: str | None = None
    title: str | None = None
    linked_object: str | None = None
    properties: Json = field(default_factory=dict)


def flush(space: Workspace) -> int:
    """Do every waiting job of the workspace; return how many there were."""
    jobs = space.state.all("SELECT seq, kind, payload FROM job WHERE ws=? ORDER BY seq", (space.ws,))
    space.jobs_waiting = False
    if not jobs:
        return 0
    with space.state.write():
        for seq, kind, payload in jobs:
            _run(space, kind, orjson.loads(payload))
            space.state.db.execute("DELETE FROM job WHERE seq=?", (seq,))
    return len(jobs)


def lose(space: Workspace) -> int:
    """Drop every waiting job of the workspace, as a worker in trouble does; return how many there were."""
    space.jobs_waiting = False
    with space.state.write():
        return space.state.db.execute("DELETE FROM job WHERE ws=?", (space.ws,)).rowcount


def _run(space: Workspace, kind: str, payload: Json) -> None:
    obj = space.catalog.objects.get(payload["obj"])
    if obj is None:
        return
    model = space.model(obj)
    if kind == "changed":
        _changed(space, model, payload["changes"])
        return
    ids = _still_there(space, model, payload["ids"])
    if kind == "created":
        _timeline(space, obj.name, [Event(f"{obj.name}.created", record_id) for record_id in ids])
    elif kind == "linked":
        _linked(space, model, ids)
    if obj.name == "person":
        _workflow_runs(space, ids, payload.get("triggers", []))


def _changed(space: Workspace, model: Model, changes: list[Json]) -> None:
    there = set(_still_there(space, model, [change["id"] for change in changes]))
    events = [
        Event(f"{model.obj.name}.updated", change["id"], properties={"diff": change["diff"]})
        for change in changes
        if change["id"] in there
    ]
    _timeline(space, model.obj.name, events)


def _still_there(space: Workspace, model: Model, ids: list[str]) -> list[str]:
    rows = space.state.all(
        "SELECT id FROM record WHERE ws=? AND obj=? AND id IN (SELECT value FROM json_each(?))",
        (space.ws, model.obj.slot, dumps(ids)),
    )
    there = {row[0] for row in rows}
    return [record_id for record_id in ids if record_id in there]


def _linked(space: Workspace, model: Model, ids: list[str]) -> None:
    source, event = _LINKED[model.obj.name]
    docs = load_docs(space, model, ids)
    linked = space.model_named(source)
    titles = {
        doc["id"]: doc.get("title")
        for doc in load_docs(space, linked, [d[f"{source}Id"] for d in docs if d.get(f"{source}Id")])
    }
    for relation in model.relations.values():
        if relation.name == source:
            continue
        rows = [
            Event(
                event,
                doc[str(relation.column)],
                doc.get(f"{source}Id"),
                titles.get(doc.get(f"{source}Id")),
                linked.obj.id,
            )
            for doc in docs
            if doc.get(str(relation.column))
        ]
        if rows:
            _timeline(space, space.catalog.target(relation).name, rows)


def _timeline(space: Workspace, target: str, rows: list[Event]) -> None:
    """Write one timeline row per event at records of one object."""
    model = space.model_named("timelineActivity")
    relation = model.relations.get(f"target{target[0].upper()}{target[1:]}")
    if relation is None or not rows:
        return
    now, column, slot = space.now, str(relation.column), model.obj.slot
    records, links = [], []
    for made_id, event in zip(ordered_ids(len(rows), space.clock.now_ms()), rows, strict=True):
        doc: Json = {
            "id": made_id, "createdAt": now, "updatedAt": now, "position": 0, "createdBy": _SYSTEM,
            "updatedBy": _SYSTEM, "happensAt": now, "name": event.name, "properties": event.properties,
            column: event.target_id,
        }  # fmt: skip
        if event.linked_id is not None:
            doc.update(linkedRecordId=event.linked_id, linkedObjectMetadataId=event.linked_object)
            if event.title:
                doc["linkedRecordCachedName"] = event.title
        records.append((space.ws, slot, made_id, None, now, 0, dumps(doc)))
        links.append((space.ws, event.target_id, relation.slot, made_id))
    space.state.db.executemany(INSERT_RECORD, records)
    space.state.db.executemany(INSERT_LINK, links)


def _workflow_runs(space: Workspace, person_ids: list[str], trigger_ids: list[str]) -> None:
    """Start the runs of the triggers that were on when these people were written."""
    runs = space.model_named("workflowRun")
    for trigger in load_docs(space, space.model_named("workflowAutomatedTrigger"), trigger_ids):
        if (trigger.get("settings") or {}).get("eventName") != "person.upserted":
            continue
        workflow = load_docs(space, space.model_named("workflow"), [trigger["workflowId"]])
        if not workflow or workflow[0].get("deletedAt") or "ACTIVE" not in (workflow[0].get("statuses") or ()):
            continue
        people = load_docs(space, space.model_named("person"), person_ids)
        people = [doc for doc in people if doc.get("createdBy", {}).get("source") not in ("EMAIL", "CALENDAR")]
        _start_runs(space, runs, workflow[0], people)


def _start_runs(space: Workspace, runs: Model, workflow: Json, people: list[Json]) -> None:
    row = space.state.one("SELECT count(*) FROM record WHERE ws=? AND obj=?", (space.ws, runs.obj.slot))
    number = row[0] if row else 0
    now = space.now
    actor = {"source": "WORKFLOW", "workspaceMemberId": None, "name": workflow["name"], "context": None}
    version = workflow.get("lastPublishedVersionId")
    records, links = [], []
    for made_id, person in zip(ordered_ids(len(people), space.clock.now_ms()), people, strict=True):
        number += 1
        doc: Json = {
            "id": made_id,
            "createdAt": now,
            "updatedAt": now,
            "position": 0,
            "createdBy": actor,
            "updatedBy": actor,
            "name": f"#{number} - {workflow['name']}",
            "status": "FAILED",
            "workflowId": workflow["id"],
            "workflowVersionId": version,
            "startedAt": now,
            "endedAt": now,
            "enqueuedAt": now,
            "state": {"flow": {"trigger": {"type": "DATABASE_EVENT"}, "steps": []}, "recordId": person["id"]},
        }
        records.append((space.ws, runs.obj.slot, made_id, None, now, 0, dumps(doc)))
        links += [
            (space.ws, target, runs.columns[column].slot, made_id)
            for column, target in (("workflowId", workflow["id"]), ("workflowVersionId", version))
            if target is not None
        ]
    space.state.db.executemany(INSERT_RECORD, records)
    space.state.db.executemany(INSERT_LINK, links)
