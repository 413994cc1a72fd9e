"""`GET /rest/open-api/core` and `/metadata`: the OpenAPI documents, generated from the workspace's objects.

Paths, methods, operation ids and the properties of each schema are those of the real server; prose and examples are
left out. Faithful in its faults too: `info.version` is not the server's version.
"""

from __future__ import annotations

from typing import Any

from dentlib.sandbox.twenty.catalog import Catalog, Field, Object
from dentlib.sandbox.twenty.composites import EMPTY
from dentlib.sandbox.twenty.refusals import Json
from dentlib.sandbox.twenty.versions import Release

_ACTOR_SOURCES = ["EMAIL", "CALENDAR", "WORKFLOW", "AGENT", "API", "IMPORT", "MANUAL", "SYSTEM", "WEBHOOK"]
_READ_ONLY = ("id", "createdAt", "updatedAt", "deletedAt")
_METADATA_KINDS = (
    ("object", "objects"),
    ("field", "fields"),
    ("webhook", "webhooks"),
    ("apiKey", "apiKeys"),
    ("view", "views"),
    ("viewField", "viewFields"),
    ("viewFilter", "viewFilters"),
    ("viewSort", "viewSorts"),
    ("viewGroup", "viewGroups"),
    ("viewFilterGroup", "viewFilterGroups"),
    ("pageLayout", "pageLayouts"),
    ("pageLayoutTab", "pageLayoutTabs"),
    ("pageLayoutWidget", "pageLayoutWidgets"),
)
_PARAMETERS = {
    "idPath": ("id", "path"),
    "startingAfter": ("starting_after", "query"),
    "endingBefore": ("ending_before", "query"),
    "filter": ("filter", "query"),
    "depth": ("depth", "query"),
    "upsert": ("upsert", "query"),
    "softDelete": ("soft_delete", "query"),
    "groupBy": ("group_by", "query"),
    "aggregate": ("aggregate", "query"),
    "limit": ("limit", "query"),
    "orderBy": ("order_by", "query"),
}
_TEXT: Json = {"type": "string"}
_UUID: Json = {"type": "string", "format": "uuid"}
_MOMENT: Json = {"type": "string", "format": "date-time"}
_PLAIN: dict[str, Json] = {
    "UUID": _UUID,
    "TEXT": _TEXT,
    "NUMBER": {"type": "number"},
    "NUMERIC": {"type": "number"},
    "BOOLEAN": {"type": "boolean"},
    "DATE": {"type": "string", "format": "date"},
    "DATE_TIME": _MOMENT,
    "POSITION": {"type": "number"},
    "RAW_JSON": {"type": "object"},
    "ARRAY": {"type": "array", "items": _TEXT},
}


def core_document(catalog: Catalog, base_url: str) -> Json:
    """Write the document of the record API of one workspace; reads only."""
    paths: Json = {"/open-api/core": {"get": _operation("GetOpenApiSchema", "General", _ok({"type": "object"}))}}
    schemas: Json = {}
    objects = sorted(catalog.objects.values(), key=lambda obj: obj.plural)
    for obj in objects:
        paths.update(_record_paths(obj))
        if obj.name == "dashboard":
            answer = _ok({"$ref": "#/components/schemas/DashboardForResponse"}, "201")
            paths["/dashboards/{id}/duplicate"] = {
                "post": _operation("duplicateDashboard", obj.plural, answer, ["idPath"])
            }
        name = _capital(obj.name)
        written = {key: value for one in obj.fields.values() for key, value in _written(catalog, one).items()}
        schemas[name] = schemas[f"{name}ForUpdate"] = {"type": "object", "properties": written}
        answered = {key: value for one in obj.fields.values() for key, value in _answered(catalog, one).items()}
        schemas[f"{name}ForResponse"] = {"type": "object", "properties": answered}
    tags = [{"name": obj.plural, "description": f"Object `{obj.doc['labelPlural']}`"} for obj in objects]
    return _document(f"{base_url}/rest/", paths, schemas, tags)


def metadata_document(of: Release, base_url: str) -> Json:
    """Write the document of the metadata API; reads only."""
    paths: Json = {"/open-api/metadata": {"get": _operation("GetOpenApiSchema", "General", _ok({"type": "object"}))}}
    schemas: Json = {"GridPosition": {"type": "object"}}
    for one, many in _METADATA_KINDS:
        name, plural = _capital(one), _capital(many)
        answer = {"$ref": f"#/components/schemas/{name}ForResponse"}
        paths[f"/{many}"] = {
            "get": _operation(None, many, _ok({"type": "array", "items": answer})),
            "post": _operation(f"createOne{name}", many, _ok(answer, "201"), body=name),
        }
        paths[f"/{many}/{{id}}"] = {
            "delete": _operation(f"deleteOne{name}", many, _ok(answer), ["idPath"]),
            "get": _operation(None, many, _ok(answer), ["idPath"]),
            "patch": _operation(f"updateOne{name}", many, _ok(answer), ["idPath"], body=f"{name}ForUpdate"),
        }
        for suffix in ("", "ForUpdate", "ForResponse"):
            schemas[f"{name}{suffix}"] = {"type": "object"}
        schemas[plural] = {"type": "array", "items": {"$ref": f"#/components/schemas/{name}"}}
        schemas[f"{plural}ForResponse"] = {"type": "array", "items": answer}
    tags = [{"name": many, "description": many} for _, many in _METADATA_KINDS]
    return _document(f"{base_url}/rest/metadata{'' if of.old_metadata else '/'}", paths, schemas, tags)


def _document(server: str, paths: Json, schemas: Json, tags: list[Json]) -> Json:
    parameters = {
        key: {"name": name, "in": place, "required": place == "path", "schema": _TEXT}
        for key, (name, place) in _PARAMETERS.items()
    }
    refused = {"type": "object", "properties": {"statusCode": {"type": "number"}, "messages": {"type": "array"}}}
    return {
        "openapi": "3.1.1",
        "info": {"title": "Twenty Api", "version": "v0.1"},
        "servers": [{"url": server, "description": "Production Development"}],
        "components": {
            "securitySchemes": {"bearerAuth": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            "schemas": schemas,
            "parameters": parameters,
            "responses": {
                "400": {"description": "Bad Request", "content": {"application/json": {"schema": refused}}},
                "401": {"description": "Unauthorized", "content": {"application/json": {"schema": refused}}},
            },
        },
        "security": [{"bearerAuth": []}],
        "paths": paths,
        "tags": [{"name": "General", "description": "General requests"}, *tags],
    }


def _capital(name: str) -> str:
    return name[0].upper() + name[1:]


def _ok(schema: Json, status: str = "200") -> Json:
    return {status: {"description": "Successful operation", "content": {"application/json": {"schema": schema}}}}


def _operation(
    operation_id: str | None,
    tag: str,
    answers: Json,
    parameters: list[str] | None = None,
    body: str | Json | None = None,
) -> Json:
    made: Json = {"tags": [tag]}
    if operation_id:
        made["operationId"] = operation_id
    if parameters:
        made["parameters"] = [{"$ref": f"#/components/parameters/{name}"} for name in parameters]
    if body is not None:
        schema = {"$ref": f"#/components/schemas/{body}"} if isinstance(body, str) else body
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    refused = {code: {"$ref": f"#/components/responses/{code}"} for code in ("400", "401")}
    made["responses"] = answers | refused
    return made


def _record_paths(obj: Object) -> Json:
    one, many = obj.name, obj.plural
    name, plural = _capital(one), _capital(many)
    record = {"$ref": f"#/components/schemas/{name}ForResponse"}
    records = {"type": "array", "items": record}

    def data(key: str, schema: Json, status: str = "200") -> Json:
        inner = {"type": "object", "properties": {key: schema}}
        return _ok({"type": "object", "properties": {"data": inner}}, status)

    paging = ["orderBy", "filter", "limit", "depth", "startingAfter", "endingBefore"]
    ids = {"type": "object", "properties": {"ids": {"type": "array", "items": _UUID}}}
    by_group = ["groupBy", "filter", "orderBy", "limit", "aggregate"]
    batch = {"type": "array", "items": {"$ref": f"#/components/schemas/{name}"}}
    return {
        f"/{many}": {
            "get": _operation(f"findMany{plural}", many, data(many, records), paging),
            "post": _operation(
                f"createOne{name}", many, data(f"create{name}", record, "201"), ["depth", "upsert"], name
            ),
            "delete": _operation(
                f"deleteMany{plural}", many, data(f"delete{plural}", records), ["filter", "softDelete"]
            ),
            "patch": _operation(
                f"updateMany{plural}", many, data(f"update{plural}", records), ["depth", "filter"], f"{name}ForUpdate"
            ),
        },
        f"/batch/{many}": {
            "post": _operation(
                f"createMany{plural}", many, data(f"create{plural}", records, "201"), ["depth", "upsert"], batch
            )
        },
        f"/{many}/{{id}}": {
            "get": _operation(f"findOne{name}", many, data(one, record), ["idPath", "depth"]),
            "delete": _operation(f"deleteOne{name}", many, data(f"delete{name}", record), ["idPath", "softDelete"]),
            "patch": _operation(
                f"UpdateOne{name}", many, data(f"update{name}", record), ["idPath", "depth"], f"{name}ForUpdate"
            ),
        },
        f"/{many}/duplicates": {
            "post": _operation(f"find{name}Duplicates", many, _ok({"type": "object"}), ["depth"], ids)
        },
        f"/restore/{many}/{{id}}": {
            "patch": _operation(f"restoreOne{name}", many, data(f"restore{name}", record), ["idPath", "depth"])
        },
        f"/restore/{many}": {
            "patch": _operation(f"restoreMany{plural}", many, data(f"restore{plural}", records), ["filter", "depth"])
        },
        f"/{many}/merge": {
            "patch": _operation(f"mergeMany{plural}", many, data(f"merge{plural}", record), ["depth"], ids)
        },
        f"/{many}/groupBy": {"get": _operation(f"groupBy{plural}", many, _ok({"type": "object"}), by_group)},
    }


def _hidden_morph(catalog: Catalog, one: Field) -> bool:
    return one.type == "MORPH_RELATION" and catalog.release.hides_morphs


def _written(catalog: Catalog, one: Field) -> Json:
    """The properties of a field in a body; nothing for what the server sets, and for the many side of a relation."""
    if _hidden_morph(catalog, one):
        return {one.name: _TEXT}
    if one.relation:
        return {} if one.is_to_many or one.column is None else {one.column: _UUID}
    if one.name in _READ_ONLY or one.type == "TS_VECTOR":
        return {}
    return {one.name: _schema(one)}


def _answered(catalog: Catalog, one: Field) -> Json:
    """The properties of a field in an answer."""
    if _hidden_morph(catalog, one):
        return {one.name: _TEXT}
    if one.relation:
        target = {"$ref": f"#/components/schemas/{_capital(catalog.target(one).name)}ForResponse"}
        if one.is_to_many:
            return {one.name: {"type": "array", "items": target}}
        return {str(one.column): _UUID, one.name: {"type": "object", "oneOf": [target]}}
    return {} if one.type == "TS_VECTOR" else {one.name: _schema(one)}


def _schema(one: Field) -> Json:
    if one.type in ("SELECT", "RATING", "MULTI_SELECT"):
        chosen: Json = {"type": "string", "enum": [option["value"] for option in one.doc.get("options") or ()]}
        return {"type": "array", "items": chosen} if one.type == "MULTI_SELECT" else chosen
    if one.type == "FILES":
        return {"type": "array", "items": {"type": "object", "properties": {"fileId": _UUID, "label": _TEXT}}}
    if one.type == "ACTOR":
        return {"type": "object", "properties": {"source": {"type": "string", "enum": _ACTOR_SOURCES}}}
    if one.type in EMPTY:
        return {"type": "object", "properties": {part: _part(empty) for part, empty in EMPTY[one.type].items()}}
    return _PLAIN[one.type]


def _part(empty: Any) -> Json:
    return {"type": "array", "items": {"type": "object"}} if isinstance(empty, list) else _TEXT
