"""Create, upsert and update records: atomic creates, upserts that are not."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import orjson

from dentlib.sandbox.twenty import files
from dentlib.sandbox.twenty.catalog import Field
from dentlib.sandbox.twenty.ids import new_ids
from dentlib.sandbox.twenty.integrity import Integrity
from dentlib.sandbox.twenty.model import Model
from dentlib.sandbox.twenty.refusals import (
    Json,
    Refusal,
    duplicate,
    not_found,
    not_null,
    type_error,
)
from dentlib.sandbox.twenty.search import MAX_VECTOR_BYTES, vector_bytes
from dentlib.sandbox.twenty.state import dumps
from dentlib.sandbox.twenty.workspace import Caller, Workspace

MAX_RECORDS = 200
_NUL = b"\\u0000"
_LONG = 200_000
_TIMELINE = ("person", "company", "opportunity", "task", "note")
_TARGETS = ("taskTarget", "noteTarget")

INSERT_RECORD = "INSERT INTO record (ws,obj,id,deleted_at,created_at,position,doc) VALUES (?,?,?,?,?,?,?)"


class Writer:
    """Writes for one caller at one moment."""

    def __init__(self, space: Workspace, caller: Caller) -> None:
        self.space = space
        self.state = space.state
        self.caller = caller
        self.now = space.now
        self.actor = caller.actor
        self.changed: list[Json] = []
        self.integrity = Integrity(space)

    # -- create -------------------------------------------------------------------------------------------------

    def create(self, model: Model, records: Sequence[Any], upsert: bool = False) -> list[Json]:
        """Create up to 200 records, or upsert them; return their stored documents.

        A plain create is all or nothing and answers in the order sent. An upsert applies its updates first, keeps them
        when the inserts then fail, and answers updated records before inserted ones. Raises Refusal.
        """
        if len(records) > MAX_RECORDS:
            message = f"Maximum number of records to upsert is {MAX_RECORDS}."
            raise Refusal(message, sub_code="TOO_MANY_RECORDS_TO_UPDATE", friendly=message)
        drafts = [self._draft(model, record) for record in records]
        if upsert and self.space.release.upsert_moves:
            top = self._lowest(model)
            drafts = [{"position": top - at, **draft} for at, draft in enumerate(drafts)]
        if not upsert:
            with self.state.write():
                return self._insert(model, drafts)
        return self._upsert(model, drafts)

    def _draft(self, model: Model, record: Any) -> Json:
        if not isinstance(record, dict):
            raise type_error("Cannot read properties of undefined (reading 'position')")
        draft = model.coerce(record)
        draft.pop("updatedBy", None)
        if not model.relations.keys().isdisjoint(draft):
            self._connect(model, draft)
        if model.not_null:
            for key in model.not_null.intersection(draft):
                if draft[key] is None and key not in ("id", "position", "createdBy"):
                    raise self.integrity.refusal(not_null(key, model.obj.name))
        return draft

    def _connect(self, model: Model, draft: Json) -> None:
        for name in [name for name in draft if name in model.relations]:
            field = model.relations[name]
            wish = draft.pop(name)
            column = str(field.column)
            if wish is None or wish.get("disconnect") is True:
                draft[column] = None
            else:
                draft[column] = self._find_to_connect(field, name, (wish.get("connect") or {}).get("where") or {})

    def _find_to_connect(self, field: Field, name: str, where: Json) -> str:
        target = self.space.model(self.space.catalog.target(field))
        if isinstance(where.get("id"), str):
            found = self.state.one(
                "SELECT id FROM record WHERE ws=? AND obj=? AND id=? AND deleted_at IS NULL",
                (self.space.ws, target.obj.slot, where["id"].lower()),
            )
            return self._one_connected(found, name, f"id = {where['id']}")
        for key in target.unique:
            value = key.value_in(where)
            if value is None:
                continue
            found = self.state.one(
                "SELECT u.id FROM unique_value u JOIN record r ON r.ws=u.ws AND r.obj=? AND r.id=u.id "
                "WHERE u.ws=? AND u.field=? AND u.value=? AND r.deleted_at IS NULL",
                (target.obj.slot, self.space.ws, key.field.slot, value),
            )
            return self._one_connected(found, name, f"{key.column} = {value}")
        message = "Missing required fields: at least one unique constraint have to be fully populated for "
        raise Refusal(f"{message}'{name}'.", friendly=message + "{connectFieldName}.")

    def _one_connected(self, found: tuple[Any, ...] | None, name: str, condition: str) -> str:
        if found is None:
            raise Refusal(
                f"Expected 1 record to connect to {name}, but found 0 for {condition}",
                friendly=f"Can't connect to {name}. No unique record found with condition: {condition}",
            )
        return str(found[0])

    def _insert(self, model: Model, drafts: list[Json]) -> list[Json]:
        if not drafts:
            return []
        obj, space = model.obj, self.space
        spare = iter(new_ids(len(drafts)))
        lowest = self._lowest(model)
        docs = [self._complete(model, draft, next(spare), lowest - at) for at, draft in enumerate(drafts)]
        for doc in docs if model.files else ():
            if not model.files.keys().isdisjoint(doc):
                files.attach(space, model, doc, {})
        rows = [self._row(model, doc) for doc in docs]
        try:
            with self.state.write():
                self.state.db.executemany(INSERT_RECORD, rows)
        except sqlite3.IntegrityError:
            raise duplicate(None, None, obj.name) from None
        self.integrity.claim(model, docs)
        self.integrity.link(model, docs)
        positions = [doc["position"] for doc in docs if "deletedAt" not in doc]
        if positions:
            space.lowest[obj.slot] = min([*positions, *([space.lowest[obj.slot]] if obj.slot in space.lowest else [])])
        if obj.name in _TIMELINE or obj.is_custom:
            self._enqueue("created", {"obj": obj.slot, "ids": [doc["id"] for doc in docs]})
        elif obj.name in _TARGETS:
            self._enqueue("linked", {"obj": obj.slot, "ids": [doc["id"] for doc in docs]})
        return docs

    def _complete(self, model: Model, draft: Json, spare_id: str, first: float) -> Json:
        now = self.now
        doc: Json = {"id": spare_id, "createdAt": now, "updatedAt": now, "position": first, "createdBy": self.actor}
        for key, value in model.flat_defaults:
            if key not in draft:
                doc[key] = now if value == "now" else value
        for key, value in draft.items():
            if value is not None:
                doc[key] = value
        for name in model.composites.keys() & draft.keys():
            _store_parts(doc, name, draft[name])
        made_by = doc.get("createdBy") or {}
        if not made_by.get("name"):
            doc["createdBy"] = {**self.actor, "source": made_by.get("source") or "API"}
        doc["updatedBy"] = self.actor
        if isinstance(doc["position"], str):
            doc["position"] = first if doc["position"] == "first" else self._highest(model) + 1
        return doc

    def _row(self, model: Model, doc: Json) -> tuple[Any, ...]:
        blob = orjson.dumps(doc)
        if _NUL in blob:
            raise self.integrity.unstorable('invalid byte sequence for encoding "UTF8": 0x00')
        if len(blob) > _LONG and (size := vector_bytes(model, doc)) > MAX_VECTOR_BYTES:
            told = f"string is too long for tsvector ({size} bytes, max {MAX_VECTOR_BYTES} bytes)"
            raise self.integrity.unstorable(told)
        return (
            self.space.ws, model.obj.slot, doc["id"], doc.get("deletedAt"), doc.get("createdAt"), doc["position"],
            blob.decode(),
        )  # fmt: skip

    def _lowest(self, model: Model) -> float:
        slot = model.obj.slot
        if slot not in self.space.lowest:
            row = self.state.one(
                "SELECT min(position) FROM record WHERE ws=? AND obj=? AND deleted_at IS NULL", (self.space.ws, slot)
            )
            if row is None or row[0] is None:
                return 0
            self.space.lowest[slot] = row[0]
        lowest = self.space.lowest[slot] - 1
        return int(lowest) if float(lowest).is_integer() else lowest

    def _highest(self, model: Model) -> float:
        row = self.state.one(
            "SELECT max(position) FROM record WHERE ws=? AND obj=? AND deleted_at IS NULL",
            (self.space.ws, model.obj.slot),
        )
        highest: float = -1 if row is None or row[0] is None else row[0]
        return int(highest) if float(highest).is_integer() else highest

    def _enqueue(self, kind: str, payload: Json) -> None:
        if self.space.catalog.objects[payload["obj"]].name == "person":
            payload["triggers"] = live_triggers(self.space)
        self.state.db.execute(
            "INSERT INTO job (ws, kind, payload) VALUES (?,?,?)", (self.space.ws, kind, dumps(payload))
        )
        self.space.jobs_waiting = True

    # -- upsert -------------------------------------------------------------------------------------------------

    def _upsert(self, model: Model, drafts: list[Json]) -> list[Json]:
        matched: list[tuple[str, Json]] = []
        fresh: list[Json] = []
        for draft in drafts:
            existing = self._match(model, draft)
            if existing is None:
                fresh.append(draft)
            else:
                matched.append((existing, draft))
        updated: dict[str, Json] = {}
        with self.state.write():
            for record_id, draft in matched:
                patch = {key: value for key, value in draft.items() if key not in ("id", "createdBy", "deletedAt")}
                updated[record_id] = self._apply(model, record_id, {**patch, "deletedAt": None})
            self._tell_changes(model)
        with self.state.write():
            return [*updated.values(), *self._insert(model, fresh)]

    def _match(self, model: Model, draft: Json) -> str | None:
        found: list[tuple[str, str]] = []
        terse: list[str] = []
        if draft.get("id"):
            row = self.state.one(
                "SELECT id FROM record WHERE ws=? AND obj=? AND id=?", (self.space.ws, model.obj.slot, draft["id"])
            )
            if row:
                found.append((str(row[0]), f"id (id: {draft['id']})"))
                terse.append(f"id: {draft['id']}")
        for key in model.unique:
            value = key.value_in(draft)
            if value is None:
                continue
            row = self.state.one(
                "SELECT id FROM unique_value WHERE ws=? AND field=? AND value=?", (self.space.ws, key.field.slot, value)
            )
            if row:
                found.append((str(row[0]), f"{key.name} ({key.path}: {value})"))
                terse.append(f"{key.path}: {value}")
        if len({record_id for record_id, _ in found}) > 1:
            told = ", ".join(terse) if self.space.release.terse_conflicts else "; ".join(words for _, words in found)
            message = (
                f"Multiple records found with the same unique field values for {told}. "
                "Cannot determine which record to update."
            )
            raise Refusal(message, sub_code="UPSERT_MULTIPLE_MATCHING_RECORDS_CONFLICT", friendly=message)
        return found[0][0] if found else None

    # -- update -------------------------------------------------------------------------------------------------

    def update_one(self, model: Model, record_id: str, data: Any) -> Json:
        """Update one record, soft-deleted or not. Raises Refusal (not found, or what does not fit)."""
        draft = self._draft(model, data if isinstance(data, dict) else {})
        with self.state.write():
            doc = self._apply(model, record_id.lower(), draft)
            self._tell_changes(model)
        return doc

    def update_many(self, model: Model, record_ids: list[str], data: Any) -> list[Json]:
        """Update these records alike, all or none."""
        draft = self._draft(model, data if isinstance(data, dict) else {})
        with self.state.write():
            docs = [self._apply(model, record_id, draft, many=len(record_ids) > 1) for record_id in record_ids]
            self._tell_changes(model)
        return docs

    def _tell_changes(self, model: Model) -> None:
        """Leave a job for the timeline about the records that the last writes really changed."""
        changed, self.changed = self.changed, []
        if changed and (model.obj.name in _TIMELINE or model.obj.is_custom):
            self._enqueue("changed", {"obj": model.obj.slot, "changes": changed})

    def _apply(self, model: Model, record_id: str, draft: Json, many: bool = False) -> Json:
        where = (self.space.ws, model.obj.slot, record_id)
        row = self.state.one("SELECT doc FROM record WHERE ws=? AND obj=? AND id=?", where)
        if row is None:
            raise not_found()
        before: Json = orjson.loads(row[0])
        doc = {**self._merge(model, before, draft), "id": draft.get("id") or record_id}
        if any(name in draft for name in model.files):
            files.attach(self.space, model, doc, before)
        values = self._row(model, doc)
        self.integrity.move(model, before, doc, many=many)
        self.integrity.relink(model, before, doc)
        if doc["id"] != record_id:
            self.integrity.rename(model, record_id, doc["id"])
        if before.get("position") != doc.get("position") or before.get("deletedAt") != doc.get("deletedAt"):
            self.space.lowest.pop(model.obj.slot, None)
        self.state.db.execute(
            "UPDATE record SET id=?, deleted_at=?, created_at=?, position=?, doc=? WHERE ws=? AND obj=? AND id=?",
            (*values[2:], *where),
        )
        if self.space.release.timeline_of_updates:
            diff = _difference(before, doc)
            self.changed += [{"id": doc["id"], "diff": diff}] if diff else []
        if model.obj.name == "person" and before.get("emails") != doc.get("emails"):
            self._enqueue("updated", {"obj": model.obj.slot, "ids": [record_id]})
        return doc

    def _merge(self, model: Model, before: Json, draft: Json) -> Json:
        doc = dict(before)
        for key, value in draft.items():
            if key in model.composites:
                _store_parts(doc, key, value, before.get(key))
            elif key == "position" and isinstance(value, str):
                doc[key] = self._lowest(model) if value == "first" else self._highest(model) + 1
            elif value is None:
                doc.pop(key, None)
            else:
                doc[key] = value
        doc["id"] = before["id"]
        doc["updatedAt"] = draft.get("updatedAt") or self.now
        if not model.obj.doc["isSystem"]:  # recorded for people; the server's own bookkeeping rows keep their author
            doc["updatedBy"] = self.actor
        return doc


def _difference(before: Json, after: Json) -> Json:
    """What changed, per field, as the timeline keeps it."""
    names = {*before, *after} - {"updatedAt", "updatedBy", "position"}
    return {
        name: {"before": before.get(name), "after": after.get(name)}
        for name in sorted(names)
        if before.get(name) != after.get(name)
    }


def _store_parts(doc: Json, name: str, parts: Any, before: Any = None) -> None:
    """Keep the parts that are not null, over those of before."""
    merged = {**before, **(parts or {})} if before else parts or {}
    kept = {part: value for part, value in merged.items() if value is not None}
    if parts is None or not kept:
        doc.pop(name, None)
    else:
        doc[name] = kept


def live_triggers(space: Workspace) -> list[str]:
    """The ids of the automated triggers that are on at this moment: asked at the write, not when the worker comes."""
    rows = space.state.all(
        "SELECT id FROM record WHERE ws=? AND obj=? AND deleted_at IS NULL",
        (space.ws, space.model_named("workflowAutomatedTrigger").obj.slot),
    )
    return [row[0] for row in rows]
