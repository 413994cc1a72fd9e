"""Metadata as the API tells it: objects, fields, relations, views, keys, the workspace."""

from __future__ import annotations

import base64
from typing import Any

import orjson

from dentlib.sandbox.twenty.auth import LIMITED
from dentlib.sandbox.twenty.catalog import Field, Object
from dentlib.sandbox.twenty.refusals import Json
from dentlib.sandbox.twenty.workspace import Workspace

_ROLE_OF_KEYS = {"Admin": "admin", LIMITED: "limited"}


class Lazy(dict[str, Any]):
    """A mapping whose values may be functions, called only when the key is asked for."""

    def get(self, key: str, default: Any = None) -> Any:
        value = super().get(key, default)
        return value() if callable(value) else value


class MetadataView:
    """Tells the metadata of one workspace; changes nothing."""

    def __init__(self, space: Workspace) -> None:
        self.space = space
        self.catalog = space.catalog

    # -- GraphQL ------------------------------------------------------------------------------------------------

    def object(self, obj: Object) -> Lazy:
        """An object with everything that can be asked of it."""
        return Lazy(
            {
                **obj.doc,
                "isCustom": bool(obj.doc["custom"]),
                "fieldsList": lambda: [self.field(one) for one in self.listed(obj)],
                "fields": lambda: connection([self.field(one) for one in self.listed(obj)], None),
                "indexMetadataList": lambda: self._indexes(obj),
                "indexMetadatas": lambda: connection(self._indexes(obj), None),
                "duplicateCriteria": None,
                "searchFieldMetadataList": [],
            }
        )

    def listed(self, obj: Object) -> list[Field]:
        """The fields of an object as listed: the targets of one morph relation are one field.

        Which of them stands for all is left to the database by 1.17: the last here, as recorded [901].
        """
        fields = list(obj.fields.values())
        if self.space.release.old_metadata:
            fields.reverse()
        out: list[Field] = []
        seen: set[str] = set()
        for one in fields:
            morph = one.doc.get("morphId")
            if morph is None or morph not in seen:
                out.append(one)
            if morph is not None:
                seen.add(morph)
        if self.space.release.old_metadata:
            out.reverse()
        return out

    def field(self, one: Field, as_created: bool = False) -> Lazy:
        """A field with everything that can be asked of it; a morph relation is told under its common name."""
        morph = one.doc.get("morph")
        return Lazy(
            {
                **one.doc,
                "isCustom": bool(one.doc.get("custom")),
                "name": one.name if as_created or not morph else morph,
                "relation": None if morph or not one.relation else lambda: self._relation(one),
                "morphRelations": (lambda: self._morph(one)) if morph else None,
                "object": lambda: self.object(self.catalog.objects[one.obj]),
            }
        )

    def _relation(self, one: Field) -> Lazy:
        relation = one.relation
        assert relation is not None
        return Lazy(
            {
                "type": relation["type"],
                "sourceObjectMetadata": lambda: self.object(self.catalog.objects[one.obj]),
                "targetObjectMetadata": lambda: self.object(self.catalog.target(one)),
                "sourceFieldMetadata": lambda: self.field(one),
                "targetFieldMetadata": lambda: self.field(self.catalog.inverse(one)),
            }
        )

    def _morph(self, one: Field) -> list[Lazy]:
        siblings = list(self.catalog.objects[one.obj].fields.values())
        if self.space.release.old_metadata:
            siblings.reverse()
        return [self._relation(other) for other in siblings if other.doc.get("morphId") == one.doc["morphId"]]

    def _indexes(self, obj: Object) -> list[Json]:
        rows = self.space.state.all("SELECT doc FROM index_metadata WHERE ws=? AND obj=?", (self.space.ws, obj.slot))
        out: list[Json] = []
        for doc in (orjson.loads(row[0]) for row in rows):
            fields = [
                {"id": f"{doc['id']}-{at}", "fieldMetadataId": field_id, "order": at, "createdAt": doc["createdAt"]}
                for at, field_id in enumerate(doc["fields"])
            ]
            out.append({**doc, "indexFieldMetadataList": fields, "isCustom": doc.get("isCustom", False)})
        return out

    def objects(self) -> list[Object]:
        """Every object, in the order of the listings: by id, descending."""
        return sorted(self.catalog.objects.values(), key=lambda obj: obj.id, reverse=True)

    def fields(self) -> list[Field]:
        """Every field, in the order of the listings: by id, descending."""
        return sorted(self.catalog.fields.values(), key=lambda one: one.id, reverse=True)

    def workspace(self) -> Json:
        """The workspace itself."""
        space = self.space
        return {
            "id": space.id,
            "displayName": space.display_name,
            "activationStatus": "ACTIVE",
            "metadataVersion": self.catalog.version,
            "databaseSchema": f"workspace_{space.id.replace('-', '')[:25]}",
            "subdomain": "app",
            "createdAt": space.created_at,
            "updatedAt": space.created_at,
            "deletedAt": None,
            "trashRetentionDays": 14,
            "workspaceMembersCount": self._count("workspaceMember"),
            "featureFlags": [
                {"key": key, "value": value}
                for key, value in space.flags.items()
                if value or key != "IS_REST_METADATA_API_NEW_FORMAT_DIRECT"
            ],
            "workspaceUrls": {"subdomainUrl": space.base_url, "customUrl": None},
        }

    def _count(self, name: str) -> int:
        model = self.space.model_named(name)
        row = self.space.state.one(
            "SELECT count(*) FROM record WHERE ws=? AND obj=? AND deleted_at IS NULL", (self.space.ws, model.obj.slot)
        )
        return int(row[0]) if row else 0

    def views(self, object_id: str | None = None) -> list[Json]:
        """The table views, each with the fields it shows."""
        rows = self.space.state.all("SELECT id, doc FROM view WHERE ws=?", (self.space.ws,))
        out = []
        for view_id, doc in rows:
            view = orjson.loads(doc)
            if object_id is None or view["objectMetadataId"] == object_id:
                out.append({**view, "viewFields": self.view_fields(view_id)})
        return out

    def view_fields(self, view_id: str) -> list[Json]:
        """The fields that a view shows."""
        rows = self.space.state.all(
            "SELECT doc FROM view_field WHERE ws=? AND view=? ORDER BY field", (self.space.ws, view_id)
        )
        return [orjson.loads(row[0]) for row in rows]

    def table(self, name: str) -> list[Json]:
        """The documents of a small table: `role`, `api_key` or `webhook`."""
        rows = self.space.state.all(f"SELECT doc FROM {name} WHERE ws=?", (self.space.ws,))
        docs: list[Json] = [orjson.loads(row[0]) for row in rows]
        return sorted(docs, key=lambda doc: str(doc.get("label") or doc.get("createdAt")))

    def roles(self) -> list[Json]:
        """The roles, each with the keys that act in it."""
        return [{**role, "apiKeys": self._keys(role)} for role in self.table("role")]

    def keys(self) -> list[Json]:
        """The API keys, each with its role."""
        by_key = {key["id"]: role for role in self.table("role") for key in self._keys(role)}
        return [{**key, "role": by_key.get(key["id"])} for key in self.table("api_key")]

    def _keys(self, role: Json) -> list[Json]:
        where = (self.space.ws, _ROLE_OF_KEYS.get(role["label"], ""))
        rows = self.space.state.all("SELECT doc FROM api_key WHERE ws=? AND role=?", where)
        return [orjson.loads(row[0]) for row in rows]

    # -- REST ---------------------------------------------------------------------------------------------------

    _HIDDEN = ("custom", "relation", "morph", "color")
    _OBJECT_NULLS = ("imageIdentifierFieldMetadataId", "labelIdentifierFieldMetadataId")
    _FIELD_NULLS = ("defaultValue", "options")

    def rest_object(self, obj: Object, *, fields: bool = True, created: bool = False) -> Json:
        """An object as REST tells it: nulls left out, except some just after its creation."""
        out = self._rest(obj.doc, self._OBJECT_NULLS if created else ())
        if fields:
            out["fields"] = [self.rest_field(one) for one in self.listed(obj)]
        return out

    def rest_field(self, one: Field, *, created: bool = False) -> Json:
        """A field as REST tells it."""
        out = self._rest(one.doc, self._FIELD_NULLS if created else ())
        if one.doc.get("morph") and not created:
            out["name"] = one.doc["morph"]
        return out

    def _rest(self, doc: Json, nulls: tuple[str, ...]) -> Json:
        return {k: v for k, v in doc.items() if k not in self._HIDDEN and (v is not None or k in nulls)}


_OLD_OBJECT = (
    "id", "nameSingular", "namePlural", "isCustom", "isActive", "isSystem", "createdAt", "updatedAt",
    "labelIdentifierFieldMetadataId", "imageIdentifierFieldMetadataId", "labelSingular", "labelPlural",
    "description", "icon",
)  # fmt: skip
_OLD_FIELD = (
    "id", "type", "name", "label", "description", "icon", "isCustom", "isActive", "isSystem", "isNullable",
    "createdAt", "updatedAt", "defaultValue", "options",
)  # fmt: skip
_OLD_SIDES = (("targetObjectMetadata", "targetFieldMetadata"), ("sourceObjectMetadata", "sourceFieldMetadata"))


class OldRestView(MetadataView):
    """Metadata as the REST API of 1.17 tells it: fewer keys, nulls told, relations with both sides [936]."""

    def rest_object(self, obj: Object, *, fields: bool = True, created: bool = False) -> Json:
        """An object as REST tells it; one that is gone by its id only [937]."""
        if not fields:
            return {"id": obj.id}
        told = self.object(obj)
        out = {key: told.get(key) for key in _OLD_OBJECT}
        words = {key: out[key] or "" for key in ("description", "icon")} if obj.is_custom else {}
        return {**out, **words, "fields": [self.rest_field(one) for one in self.listed(obj)]}

    def rest_field(self, one: Field, *, created: bool = False) -> Json:
        """A field as REST tells it."""
        told = self.field(one, as_created=created)
        relation = told.get("relation")
        out = {key: told.get(key) for key in _OLD_FIELD}
        return {**out, "relation": None if relation is None else self._sides(relation)}

    def _sides(self, relation: Lazy) -> Json:
        out: Json = {"type": relation["type"]}
        for of_object, of_field in _OLD_SIDES:
            obj, one = relation.get(of_object), relation.get(of_field)
            out[of_object] = {key: obj.get(key) for key in ("id", "nameSingular", "namePlural")}
            out[of_field] = {key: one.get(key) for key in ("id", "name")}
        return out


def connection(nodes: list[Any], paging: Json | None) -> Lazy:
    """A list as a connection; cursors count places, as the real ones do."""
    first = (paging or {}).get("first")
    after = (paging or {}).get("after")
    start = 0
    if after:
        start = int(base64.b64decode(after).decode().rpartition(":")[2]) + 1
    end = len(nodes) if first is None else min(len(nodes), start + int(first))
    cursors = [base64.b64encode(f"arrayconnection:{at}".encode()).decode() for at in range(start, end)]
    return Lazy(
        {
            "edges": [{"node": node, "cursor": cursor} for node, cursor in zip(nodes[start:end], cursors, strict=True)],
            "pageInfo": {
                "hasNextPage": end < len(nodes),
                "hasPreviousPage": start > 0,
                "startCursor": cursors[0] if cursors else None,
                "endCursor": cursors[-1] if cursors else None,
            },
            "totalCount": len(nodes),
        }
    )
