"""Soft-delete, restore and destroy records, with what happens to everything that points at them."""

from __future__ import annotations

from collections.abc import Iterable

import orjson

from dentlib.sandbox.twenty import paths
from dentlib.sandbox.twenty.catalog import Field
from dentlib.sandbox.twenty.model import Model, UniqueKey
from dentlib.sandbox.twenty.refusals import Json
from dentlib.sandbox.twenty.state import dumps
from dentlib.sandbox.twenty.workspace import Workspace


def release_unique(space: Workspace, keys: Iterable[UniqueKey], doc: Json) -> None:
    """Give the unique values of a document free."""
    gone = [(space.ws, key.field.slot, value) for key in keys if (value := key.value_in(doc)) is not None]
    space.state.db.executemany("DELETE FROM unique_value WHERE ws=? AND field=? AND value=?", gone)


def mark_deleted(space: Workspace, model: Model, docs: list[Json], deleted_at: str | None) -> list[Json]:
    """Soft-delete (or, with None, restore) these records; return their new documents."""
    now = deleted_at or space.now  # one moment: a record is changed when it is deleted
    changed: list[Json] = []
    for before in docs:
        doc = {**before, "updatedAt": now}
        doc.pop("deletedAt", None)
        if deleted_at is not None:
            doc["deletedAt"] = deleted_at
        changed.append(doc)
    rows = [(deleted_at, dumps(doc), space.ws, model.obj.slot, doc["id"]) for doc in changed]
    with space.state.write():
        space.state.db.executemany("UPDATE record SET deleted_at=?, doc=? WHERE ws=? AND obj=? AND id=?", rows)
        if model.obj.name == "workflow":
            _follow_workflow(space, changed, deleted_at)
    space.lowest.pop(model.obj.slot, None)
    return changed


def _follow_workflow(space: Workspace, workflows: list[Json], deleted_at: str | None) -> None:
    """A workflow takes its trigger along; restored it comes back deactivated, as the real one does."""
    triggers = space.model_named("workflowAutomatedTrigger")
    link = triggers.relations["workflow"]
    for workflow in workflows:
        for trigger_id in pointing_ids(space, str(workflow["id"]), link):
            space.state.db.execute(
                "UPDATE record SET deleted_at=?, doc=CASE WHEN ? IS NULL THEN json_remove(doc,'$.deletedAt') "
                "ELSE json_set(doc,'$.deletedAt',?) END WHERE ws=? AND obj=? AND id=?",
                (deleted_at, deleted_at, deleted_at, space.ws, triggers.obj.slot, trigger_id),
            )
        if deleted_at is None:
            workflow["statuses"] = ["DEACTIVATED"]
            space.state.db.execute(
                "UPDATE record SET doc=? WHERE ws=? AND obj=? AND id=?",
                (dumps(workflow), space.ws, space.model_named("workflow").obj.slot, workflow["id"]),
            )


def destroy(space: Workspace, model: Model, docs: list[Json]) -> None:
    """Remove these records for good: cascades followed, links of others set to null, unique values free, files gone."""
    with space.state.write():
        for doc in docs:
            for name in model.files:
                for item in doc.get(name) or ():
                    space.state.db.execute("DELETE FROM file WHERE ws=? AND id=?", (space.ws, item["fileId"]))
        if paths.are_in(model):
            paths.forget(space, docs)
        _destroy(space, model, docs)


def _destroy(space: Workspace, model: Model, docs: list[Json]) -> None:
    slot = model.obj.slot
    held: dict[int, dict[str, list[str]]] = {}
    for doc in docs:
        for field_slot, record_id in space.state.all(
            "SELECT field, id FROM link WHERE ws=? AND target=?", (space.ws, doc["id"])
        ):
            relation = space.catalog.fields[field_slot].relation
            if relation is None or relation["obj"] != model.obj.slot:
                continue  # a record of another object with the same id
            held.setdefault(field_slot, {}).setdefault(doc["id"], []).append(record_id)
    for field_slot, by_target in held.items():
        field = space.catalog.fields[field_slot]
        if (field.doc.get("settings") or {}).get("onDelete") == "CASCADE":
            other = space.model(space.catalog.objects[field.obj])
            ids = [record_id for ids in by_target.values() for record_id in ids]
            _destroy(space, other, load_docs(space, other, ids))
        else:
            for target, ids in by_target.items():
                _set_null(space, field, target, ids)
    db, ws = space.state.db, space.ws
    for doc in docs:
        release_unique(space, model.unique, doc)
    own_links = [
        (ws, doc[column], field.slot, doc["id"])
        for column, field in model.columns.items()
        for doc in docs
        if doc.get(column) is not None
    ]
    db.executemany("DELETE FROM link WHERE ws=? AND target=? AND field=? AND id=?", own_links)
    db.executemany("DELETE FROM record WHERE ws=? AND obj=? AND id=?", [(ws, slot, doc["id"]) for doc in docs])
    space.lowest.pop(slot, None)


def _set_null(space: Workspace, field: Field, target: str, held: list[str]) -> None:
    rows = [(space.ws, field.obj, record_id) for record_id in held]
    space.state.db.executemany(
        f"UPDATE record SET doc=json_remove(doc,'$.{field.column}') WHERE ws=? AND obj=? AND id=?", rows
    )
    space.state.db.execute("DELETE FROM link WHERE ws=? AND target=? AND field=?", (space.ws, target, field.slot))


def pointing_ids(space: Workspace, target: str, field: Field) -> list[str]:
    """The ids of the records whose relation `field` points at `target`."""
    rows = space.state.all("SELECT id FROM link WHERE ws=? AND target=? AND field=?", (space.ws, target, field.slot))
    return [row[0] for row in rows]


def load_docs(space: Workspace, model: Model, ids: list[str]) -> list[Json]:
    """Read stored documents by id, soft-deleted ones too."""
    rows = space.state.all(
        "SELECT doc FROM record WHERE ws=? AND obj=? AND id IN (SELECT value FROM json_each(?))",
        (space.ws, model.obj.slot, dumps(ids)),
    )
    return [orjson.loads(row[0]) for row in rows]
