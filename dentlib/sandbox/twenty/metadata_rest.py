"""`/rest/metadata/…`: objects, fields, webhooks, keys and views, in either of its two answer formats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dentlib.sandbox.twenty.metadata_change import MetadataWriter
from dentlib.sandbox.twenty.metadata_graphql import Webhooks
from dentlib.sandbox.twenty.metadata_view import MetadataView, OldRestView, connection
from dentlib.sandbox.twenty.refusals import Json, Refusal, not_found, permission_denied
from dentlib.sandbox.twenty.rest import RestCall
from dentlib.sandbox.twenty.workspace import Caller, Workspace

DIRECT_FORMAT = "IS_REST_METADATA_API_NEW_FORMAT_DIRECT"
_PAGE = 1000


class MetadataRest:
    """Answers one caller's metadata REST calls with (status, body). Raises Refusal."""

    def __init__(self, space: Workspace, caller: Caller) -> None:
        if caller.is_limited:
            raise permission_denied(status=403)
        self.space = space
        self.old = space.release.old_metadata
        self.view = OldRestView(space) if self.old else MetadataView(space)
        self.writer = MetadataWriter(space)
        self.webhooks = Webhooks(space)

    @property
    def _direct(self) -> bool:
        return bool(self.space.flags.get(DIRECT_FORMAT))

    def answer(self, call: RestCall) -> tuple[int, Any]:
        """Route one call; `call.parts` starts after `metadata`."""
        kind, *rest = call.parts or ("",)
        if call.query and kind in ("objects", "fields") and not self.space.release.metadata_query:
            raise _BadQuery("/".join(call.parts), call)
        record_id = rest[0] if rest else None
        if kind == "objects":
            return self._objects(call, record_id)
        if kind == "fields":
            return self._fields(call, record_id)
        if kind == "webhooks":
            return self._webhooks(call, record_id)
        lists: dict[str, Callable[[], list[Json]]] = {
            "apiKeys": lambda: self.view.table("api_key"),
            "views": lambda: self.view.views(call.query.get("objectMetadataId")),
            "viewFields": lambda: self.view.view_fields(str(call.query.get("viewId"))),
        }
        if kind not in lists or call.method != "GET":
            raise Refusal(f"Cannot {call.method} {call.path}", status=404, error="NotFoundException")
        found = lists[kind]()
        if record_id is None:
            return 200, found
        return 200, next((doc for doc in found if doc["id"] == record_id), None) or _missing()

    def _done(self, status: int, verb: str, body: Json) -> tuple[int, Any]:
        return status, body if self._direct else {"data": {verb: body}}

    def _list(self, kind: str, items: list[Json], call: RestCall) -> tuple[int, Any]:
        if self.old:
            told = connection(items, None)["pageInfo"]
            page = {key: told[key] for key in ("hasNextPage", "startCursor", "endCursor")}
            return 200, {"data": {kind: items}, "pageInfo": page}
        limit = int(call.query.get("limit") or _PAGE)
        after = call.query.get("starting_after")
        start = next((at + 1 for at, item in enumerate(items) if item["id"] == after), 0) if after else 0
        shown = items[start : start + limit]
        return 200, {
            "data": shown if self._direct else {kind: shown},
            "pageInfo": {
                "hasNextPage": start + limit < len(items),
                "startCursor": shown[0]["id"] if shown else None,
                "endCursor": shown[-1]["id"] if shown else None,
            },
            "totalCount": len(items),
        }

    def _objects(self, call: RestCall, object_id: str | None) -> tuple[int, Any]:
        if object_id is None:
            if call.method == "POST":
                made = self.writer.create_object(call.body or {})
                return self._done(201, "createOneObject", self.view.rest_object(made, created=True))
            return self._list("objects", [self.view.rest_object(obj) for obj in self.view.objects()], call)
        if call.method == "DELETE":
            gone = self.writer.delete_object(object_id)
            return self._done(200, "deleteOneObject", self.view.rest_object(gone, fields=False, created=True))
        if call.method in ("PATCH", "PUT"):
            changed = self.writer.update_object(object_id, call.body or {})
            return self._done(200, "updateOneObject", self.view.rest_object(changed, created=True))
        found = self.space.catalog.by_id(object_id) or _missing()
        return self._done(200, "object", self.view.rest_object(found))

    def _fields(self, call: RestCall, field_id: str | None) -> tuple[int, Any]:
        if field_id is None:
            if call.method == "POST":
                made = self.writer.create_field(call.body or {})
                return self._done(201, "createOneField", self.view.rest_field(made, created=True))
            return self._list("fields", [self.view.rest_field(one) for one in self.view.fields()], call)
        if call.method == "DELETE":
            return self._done(
                200, "deleteOneField", self.view.rest_field(self.writer.delete_field(field_id), created=True)
            )
        if call.method in ("PATCH", "PUT"):
            changed = self.writer.update_field(field_id, call.body or {})
            return self._done(200, "updateOneField", self.view.rest_field(changed, created=True))
        found = self.space.catalog.field_by_id(field_id) or _missing()
        return self._done(200, "field", self.view.rest_field(found))

    def _webhooks(self, call: RestCall, webhook_id: str | None) -> tuple[int, Any]:
        if webhook_id is None:
            if call.method == "POST":
                return 201, self.webhooks.create(call.body or {})
            return 200, self.view.table("webhook")
        if call.method == "DELETE":
            self.webhooks.delete(webhook_id)
            return 200, True
        if call.method in ("PATCH", "PUT"):
            return 200, self.webhooks.update(webhook_id, call.body or {})
        return 200, self.webhooks.one(webhook_id)


class _BadQuery(Refusal):
    """A query string where 1.17 knows none: it takes it for a part of the path [802]."""

    def __init__(self, path: str, call: RestCall) -> None:
        given = "&".join(f"{key}={value}" for key, value in call.query.items())
        super().__init__(
            f"Query path '{call.path}?{given}' invalid. Metadata path \"{path}?{given}\" does not exist. "
            "Valid examples: /rest/metadata/fields or /rest/metadata/objects"
        )

    def rest(self) -> Json:
        """Say it as the framework does."""
        return {"message": self.message, "error": "Bad Request", "statusCode": 400}


def _missing() -> Any:
    raise not_found()
