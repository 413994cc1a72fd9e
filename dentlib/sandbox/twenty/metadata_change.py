"""Change a workspace's metadata: objects, fields, options, relations, indexes; and the records along with it.

Every change is one transaction. Deleting what was created leaves every table row for row as it was before, except the
workspace's metadata version.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import orjson

from dentlib.sandbox.twenty.catalog import Field, Object, plain_default
from dentlib.sandbox.twenty.composites import UNIQUE_PART
from dentlib.sandbox.twenty.ids import new_id, new_ids
from dentlib.sandbox.twenty.metadata_docs import add_index, add_view, add_view_fields, field_doc, object_doc
from dentlib.sandbox.twenty.metadata_refusals import migration_failed
from dentlib.sandbox.twenty.metadata_rules import (
    check_field,
    check_field_deletion,
    check_field_update,
    check_object,
    check_object_deletion,
    check_object_update,
    name_from_label,
)
from dentlib.sandbox.twenty.options import migrate_records, with_option_ids
from dentlib.sandbox.twenty.refusals import Json, Refusal
from dentlib.sandbox.twenty.state import dumps
from dentlib.sandbox.twenty.versions import Linked, Release
from dentlib.sandbox.twenty.workspace import Workspace

_ACTOR = {"name": "'System'", "source": "'MANUAL'", "context": None, "workspaceMemberId": None}
_SHOWN = frozenset({"label", "description", "icon"})
_EDITABLE = ("label", "description", "icon", "isActive", "defaultValue", "settings", "isLabelSyncedWithName")
_EDITABLE_OBJECT = (
    "labelSingular", "labelPlural", "nameSingular", "namePlural", "description", "icon", "shortcut", "color",
    "isActive", "labelIdentifierFieldMetadataId", "imageIdentifierFieldMetadataId", "isLabelSyncedWithName",
    "isSearchable",
)  # fmt: skip


@cache
def _base_fields(of: Release) -> list[Json]:
    """The fields that every new object comes with."""
    found: list[Json] = orjson.loads(of.asset("custom-object-{}.json"))
    return found


class MetadataWriter:
    """Changes the metadata of one workspace at one moment."""

    def __init__(self, space: Workspace) -> None:
        self.space = space
        self.catalog = space.catalog
        self.state = space.state
        self.now = space.now

    @contextmanager
    def _change(self) -> Iterator[None]:
        """One change: committed with its version, or undone in the file and in memory alike."""
        try:
            with self.state.write():
                yield
                self.space.metadata_changed()
        except BaseException:
            self.space.reload()
            raise

    # -- objects ------------------------------------------------------------------------------------------------

    def create_object(self, given: Json) -> Object:
        """Create an object with its system fields and its links from notes, tasks, files and the timeline.

        Usable at once. Raises MetadataRefused.
        """
        check_object(self.catalog, given)
        with self._change():
            object_slot, field_slot = self.catalog.next_slots()
            made = Object(object_slot, object_doc(given, self.space.id, self.now, custom=True))
            base = [
                one
                for one in _base_fields(self.space.release)
                if not (given.get("skipNameField") and one["name"] == "name")
            ]
            ids = iter(new_ids(len(base)))
            fields = [
                Field(
                    field_slot + at,
                    object_slot,
                    field_doc(
                        {"description": one["label"], **one},
                        made.doc,
                        self.now,
                        next(ids),
                        custom=not self.space.release.old_metadata,
                    ),
                )
                for at, one in enumerate(base)
            ]
            label = next((one for one in fields if one.name == "name"), fields[0])
            made.doc["labelIdentifierFieldMetadataId"] = label.id
            self.catalog.add_object(made)
            self.catalog.add_fields(fields)
            for one in self.space.release.linked:
                self._add_link(one, made)
            add_view(self.space, made)
        return made

    def _add_link(self, link: Linked, made: Object) -> None:
        owner = self.catalog.by_name(link.owner)
        assert owner is not None
        name, inverse_name = made.name, link.inverse
        near: Json = {"type": "RELATION", "label": made.doc["labelSingular"]}
        if link.prefix:
            sibling = next(one for one in owner.fields.values() if one.doc.get("morph") == link.prefix)
            name = f"{link.prefix}{name[0].upper()}{name[1:]}"
            near = {"type": "MORPH_RELATION", "morph": link.prefix, "morphId": sibling.doc["morphId"]}
            near["label"] = sibling.doc["label"]
        near["name"] = name
        near["settings"] = {
            "onDelete": link.on_delete,
            "relationType": "MANY_TO_ONE",
            "joinColumnName": f"{name}Id",
        }
        label = inverse_name[0].upper() + "".join(f" {c.lower()}" if c.isupper() else c for c in inverse_name[1:])
        far: Json = {"name": inverse_name, "type": "RELATION", "label": label}
        far["settings"] = {"relationType": "ONE_TO_MANY"}
        if self.space.release.old_metadata:
            tied = f"{made.doc['labelPlural']} tied to the {owner.doc['labelSingular']}"
            far |= {"isSystem": True, "description": tied, "icon": "IconBuildingSkyscraper"}
        self._add_pair(owner, near, made, far)

    def _add_pair(self, owner: Object, near: Json, target: Object, far: Json) -> Field:
        """Add both sides of a relation; `near` sits on `owner`, `far` on `target`."""
        _, slot = self.catalog.next_slots()
        first = Field(slot, owner.slot, field_doc(near, owner.doc, self.now, new_id(), custom=True))
        second = Field(slot + 1, target.slot, field_doc(far, target.doc, self.now, new_id(), custom=True))
        kinds = [one.doc["settings"]["relationType"] for one in (first, second)]
        first.doc["relation"] = {"type": kinds[0], "obj": target.slot, "field": second.slot}
        second.doc["relation"] = {"type": kinds[1], "obj": owner.slot, "field": first.slot}
        self.catalog.add_fields([first, second])
        return first

    def update_object(self, object_id: str, update: Json) -> Object:
        """Change an object's labels, names or state. Raises Refusal."""
        found = self.catalog.by_id(object_id)
        if found is None:
            raise _missing_object(self.space.release)
        check_object_update(self.catalog, found, update)
        with self._change():
            found.doc = {**found.doc, **{k: v for k, v in update.items() if k in _EDITABLE_OBJECT}}
            self.catalog.save_object(found)
        return found

    def delete_object(self, object_id: str) -> Object:
        """Delete a custom object, its records and everything that pointed at it. Raises Refusal."""
        gone = check_object_deletion(self.space.release, self.catalog.by_id(object_id))
        with self._change():
            ws = self.space.ws
            for one in list(gone.fields.values()):
                if one.slot in self.catalog.fields:
                    self._remove_field(one)
            self.state.db.execute("DELETE FROM record WHERE ws=? AND obj=?", (ws, gone.slot))
            self.state.db.execute(
                "DELETE FROM view_field WHERE ws=? AND view IN (SELECT id FROM view WHERE ws=? AND obj=?)",
                (ws, ws, gone.slot),
            )
            for table in ("view", "index_metadata"):
                self.state.db.execute(f"DELETE FROM {table} WHERE ws=? AND obj=?", (ws, gone.slot))
            self.catalog.remove_object(gone)
            self.space.lowest.pop(gone.slot, None)
        return gone

    # -- fields -------------------------------------------------------------------------------------------------

    def create_field(self, given: Json) -> Field:
        """Create a field, or both sides of a relation. Raises MetadataRefused or Refusal."""
        owner = self.catalog.by_id(str(given.get("objectMetadataId")))
        if owner is None:
            raise _missing_object(self.space.release)
        given = with_option_ids(given)
        check_field(self.catalog, owner, given)
        with self._change():
            if given.get("isNullable") is False and given.get("defaultValue") is None and self._has_records(owner):
                raise migration_failed(self.space.release, "fieldMetadata")
            made = self._create(owner, given)
            self._show(owner, made)
            if made.doc["isUnique"]:
                add_index(self.space, made, self.now)
        return made

    def _create(self, owner: Object, given: Json) -> Field:
        if given["type"] == "RELATION":
            return self._create_relation(owner, given, given["relationCreationPayload"], None)
        if given["type"] == "MORPH_RELATION":
            morph_id = new_id()
            made = [
                self._create_relation(owner, given, payload, morph_id)
                for payload in given["morphRelationsCreationPayload"]
            ]
            return made[0]
        _, slot = self.catalog.next_slots()
        doc = field_doc(given, owner.doc, self.now, new_id(), custom=True)
        if given["type"] == "ACTOR" and doc["defaultValue"] is None:
            hidden = "context" if self.space.release.old_metadata else ""
            doc["defaultValue"] = {key: value for key, value in _ACTOR.items() if key != hidden}
        if given["type"] == "BOOLEAN" and "defaultValue" in given:
            doc["defaultValue"] = given["defaultValue"]
        field = Field(slot, owner.slot, doc)
        self.catalog.add_fields([field])
        default = plain_default(doc["defaultValue"])
        if default is not None and given["type"] != "DATE_TIME" and given["type"] != "ACTOR":
            self.state.db.execute(
                f"UPDATE record SET doc=json_set(doc,'$.{field.name}',json(?)) WHERE ws=? AND obj=?",
                (dumps(default), self.space.ws, owner.slot),
            )
        return field

    def _create_relation(self, owner: Object, given: Json, payload: Json, morph_id: str | None) -> Field:
        target = self.catalog.by_id(payload["targetObjectMetadataId"])
        assert target is not None
        name = given["name"]
        if morph_id:
            name += target.name[0].upper() + target.name[1:]
        far_name = name_from_label(payload["targetFieldLabel"])
        near = {**given, "name": name, "morph": given["name"] if morph_id else None, "morphId": morph_id}
        far = {
            "name": far_name,
            "type": "RELATION",
            "label": payload["targetFieldLabel"],
            "icon": payload.get("targetFieldIcon"),
        }
        many_to_one, one_to_many = (near, far) if payload["type"] == "MANY_TO_ONE" else (far, near)
        many_to_one["settings"] = {
            "onDelete": "SET_NULL",
            "relationType": "MANY_TO_ONE",
            "joinColumnName": f"{many_to_one['name']}Id",
        }
        one_to_many["settings"] = {"relationType": "ONE_TO_MANY"}
        return self._add_pair(owner, near, target, far)

    def _show(self, owner: Object, made: Field) -> None:
        for (view_id,) in self.state.all("SELECT id FROM view WHERE ws=? AND obj=?", (self.space.ws, owner.slot)):
            add_view_fields(self.space, view_id, [made])

    def _has_records(self, owner: Object) -> bool:
        where = (self.space.ws, owner.slot)
        return self.state.one("SELECT 1 FROM record WHERE ws=? AND obj=? LIMIT 1", where) is not None

    def update_field(self, field_id: str, update: Json) -> Field:
        """Change a field; renamed options move their records, removed ones reset them. Raises Refusal."""
        found = self.catalog.field_by_id(field_id)
        if found is None:
            check_field_deletion(self.catalog, None)
        assert found is not None
        owner = self.catalog.objects[found.obj]
        check_field_update(self.space.release, owner, found, update)
        with self._change():
            self._apply(owner, found, update)
        return found

    def _apply(self, owner: Object, found: Field, update: Json) -> None:
        old = found.doc
        # `updatedAt` stays: nothing could set it back, and a change that was undone should leave no trace.
        # A standard field's words are overridden per language in 1.17: listings go on with its own [918].
        kept = _SHOWN if self.space.release.old_metadata and not old.get("custom") else frozenset()
        found.doc = {**old, **{k: v for k, v in update.items() if k in _EDITABLE and k not in kept}}
        if update.get("options") is not None and old.get("options") is not None:
            found.doc["options"] = with_option_ids(update)["options"]
            migrate_records(self.space, found, old["options"])
            if found.doc.get("isUnique"):
                self.state.db.execute("DELETE FROM unique_value WHERE ws=? AND field=?", (self.space.ws, found.slot))
                self._fill_unique(found)
        if update.get("name") and update["name"] != old["name"]:
            self._rename(owner, found, str(update["name"]))
        if "isUnique" in update and bool(update["isUnique"]) != old["isUnique"]:
            found.doc["isUnique"] = bool(update["isUnique"])
            self._drop_unique(found)
            if found.doc["isUnique"]:
                self._fill_unique(found)
                add_index(self.space, found, self.now)
        self.catalog.save_field(found, str(old["name"]))

    def _rename(self, owner: Object, found: Field, name: str) -> None:
        old_key = found.column or found.name
        found.doc["name"] = name
        if found.column:
            found.doc["settings"] = {**found.doc["settings"], "joinColumnName": f"{name}Id"}
        new_key = found.column or name
        self.state.db.execute(
            f"UPDATE record SET doc=json_set(json_remove(doc,'$.{old_key}'),'$.{new_key}',json(doc->'$.{old_key}')) "
            f"WHERE ws=? AND obj=? AND doc->'$.{old_key}' IS NOT NULL",
            (self.space.ws, owner.slot),
        )

    def _drop_unique(self, found: Field) -> None:
        ws = self.space.ws
        self.state.db.execute("DELETE FROM unique_value WHERE ws=? AND field=?", (ws, found.slot))
        for index_id, doc in self.state.all("SELECT id, doc FROM index_metadata WHERE ws=? AND obj=?", (ws, found.obj)):
            if found.id in orjson.loads(doc)["fields"]:
                self.state.db.execute("DELETE FROM index_metadata WHERE ws=? AND id=?", (ws, index_id))

    def _fill_unique(self, found: Field) -> None:
        part = UNIQUE_PART.get(found.type)
        path = f"{found.column or found.name}{f'.{part}' if part else ''}"
        try:
            self.state.db.execute(
                f"INSERT INTO unique_value SELECT ws, ?, json_extract(doc,'$.{path}'), id FROM record "
                f"WHERE ws=? AND obj=? AND json_extract(doc,'$.{path}') IS NOT NULL",
                (found.slot, self.space.ws, found.obj),
            )
        except sqlite3.IntegrityError:
            raise migration_failed(self.space.release, "index") from None

    def delete_field(self, field_id: str) -> Field:
        """Delete a custom field with its values; a relation takes its other side along. Raises Refusal."""
        gone = check_field_deletion(self.catalog, self.catalog.field_by_id(field_id))
        with self._change():
            group = [gone]
            if gone.doc.get("morphId"):
                group = [
                    one
                    for one in self.catalog.objects[gone.obj].fields.values()
                    if one.doc.get("morphId") == gone.doc["morphId"]
                ]
            for one in group:
                self._remove_field(one)
        return gone

    def _remove_field(self, gone: Field) -> None:
        if gone.relation:
            self._remove_one(self.catalog.inverse(gone))
        self._remove_one(gone)

    def _remove_one(self, gone: Field) -> None:
        ws = self.space.ws
        key = gone.column or gone.name
        if not gone.is_to_many:
            self.state.db.execute(
                f"UPDATE record SET doc=json_remove(doc,'$.{key}') WHERE ws=? AND obj=? AND doc->'$.{key}' IS NOT NULL",
                (ws, gone.obj),
            )
        self._drop_unique(gone)
        if gone.column:
            self.state.db.execute("DELETE FROM link WHERE ws=? AND field=?", (ws, gone.slot))
        if gone.type == "FILES":
            self.state.db.execute("DELETE FROM file WHERE ws=? AND field=?", (ws, gone.slot))
        self.state.db.execute("DELETE FROM view_field WHERE ws=? AND field=?", (ws, gone.slot))
        self.catalog.remove_field(gone)

    # -- indexes ------------------------------------------------------------------------------------------------

    def create_index(self, given: Json) -> Json:
        """Note an index over some fields; never unique, as the API has no way to say so. Raises Refusal."""
        owner = self.catalog.by_id(str(given.get("objectMetadataId")))
        if owner is None:
            raise _missing_object(self.space.release)
        index_id = new_id()
        doc: Json = {
            "id": index_id,
            "name": f"IDX_{index_id.replace('-', '')[:27]}",
            "isUnique": False,
            "isCustom": True,
            "indexType": given.get("indexType") or "BTREE",
            "indexWhereClause": None,
            "fields": [one["fieldMetadataId"] for one in given.get("fields") or ()],
            "createdAt": self.now,
            "updatedAt": self.now,
        }
        with self.state.write():
            row = (self.space.ws, index_id, owner.slot, dumps(doc))
            self.state.db.execute("INSERT INTO index_metadata VALUES (?,?,?,?)", row)
            self.catalog.bump()
        return doc

    def delete_index(self, index_id: str) -> Json:
        """Remove an index. Raises Refusal."""
        row = self.state.one("SELECT doc FROM index_metadata WHERE ws=? AND id=?", (self.space.ws, index_id))
        if row is None:
            raise _missing_object(self.space.release)
        with self.state.write():
            self.state.db.execute("DELETE FROM index_metadata WHERE ws=? AND id=?", (self.space.ws, index_id))
            self.catalog.bump()
        found: Json = orjson.loads(row[0])
        return found


def _missing_object(of: Release) -> Any:
    try:
        check_object_deletion(of, None)
    except Refusal as refusal:
        return refusal
    raise AssertionError("a missing object is always refused")
