"""`/metadata`: objects, fields, files, webhooks, the workspace. Unlike `/graphql` it checks documents by its schema."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from graphql.language import ast

from dentlib.sandbox.twenty import auth, files, paths
from dentlib.sandbox.twenty.graphql import Document, response_key
from dentlib.sandbox.twenty.ids import new_id
from dentlib.sandbox.twenty.introspect import document_problems, introspection, metadata_schema, variable_problems
from dentlib.sandbox.twenty.metadata_change import MetadataWriter
from dentlib.sandbox.twenty.metadata_docs import CUSTOM_APPLICATION
from dentlib.sandbox.twenty.metadata_view import MetadataView, connection
from dentlib.sandbox.twenty.refusals import Json, Refusal, not_found, permission_denied
from dentlib.sandbox.twenty.state import dumps
from dentlib.sandbox.twenty.workspace import Caller, Workspace


class Upload:
    """The file part of a multipart request, standing where its variable stood."""

    def __init__(self, name: str, content: bytes) -> None:
        self.name = name
        self.content = content


class Webhooks:
    """The list of webhooks. They are kept and told, never called."""

    def __init__(self, space: Workspace) -> None:
        self.space = space

    def create(self, given: Json) -> Json:
        """Add a webhook. Raises Refusal when the version wants a secret and there is none."""
        now = self.space.now
        if self.space.release.webhook_secret and given.get("secret") is None:
            raise Refusal('null value in column "secret" of relation "webhook" violates not-null constraint')
        doc: Json = {
            "id": new_id(),
            "targetUrl": given.get("targetUrl"),
            "operations": given.get("operations") or ["*.*"],
            "description": given.get("description"),
            "secret": given.get("secret") or new_id().replace("-", ""),
            "workspaceId": self.space.id,
            **({} if self.space.release.old_metadata else {"applicationId": CUSTOM_APPLICATION}),
            "createdAt": now,
            "updatedAt": now,
            "deletedAt": None,
        }
        with self.space.state.write():
            self.space.state.db.execute("INSERT INTO webhook VALUES (?,?,?)", (self.space.ws, doc["id"], dumps(doc)))
        return doc

    def one(self, webhook_id: str) -> Json:
        """One webhook. Raises Refusal."""
        row = self.space.state.one("SELECT doc FROM webhook WHERE ws=? AND id=?", (self.space.ws, webhook_id))
        if row is None:
            raise not_found()
        doc: Json = orjson.loads(row[0])
        return doc

    def update(self, webhook_id: str, update: Json) -> Json:
        """Change a webhook. Raises Refusal."""
        doc = {**self.one(webhook_id), **{k: v for k, v in update.items() if k != "id"}, "updatedAt": self.space.now}
        with self.space.state.write():
            where = (dumps(doc), self.space.ws, webhook_id)
            self.space.state.db.execute("UPDATE webhook SET doc=? WHERE ws=? AND id=?", where)
        return doc

    def delete(self, webhook_id: str) -> Json:
        """Remove a webhook. Raises Refusal."""
        doc = self.one(webhook_id)
        with self.space.state.write():
            self.space.state.db.execute("DELETE FROM webhook WHERE ws=? AND id=?", (self.space.ws, webhook_id))
        return doc


class MetadataExecutor:
    """Runs one document of `/metadata` for one caller."""

    def __init__(self, space: Workspace, caller: Caller, document: Document) -> None:
        self.space = space
        self.caller = caller
        self.document = document
        self.view = MetadataView(space)
        self.writer = MetadataWriter(space)
        self.webhooks = Webhooks(space)
        self.queries: dict[str, Callable[[Json], Any]] = {
            "objects": self._objects,
            "object": self._object,
            "fields": self._fields,
            "field": self._field,
            "currentWorkspace": lambda _: self.view.workspace(),
            "findWorkspaceInvitations": lambda _: self._invitations(),
            "getRoles": lambda _: self.view.roles(),
            "apiKeys": lambda _: self.view.keys(),
            "apiKey": lambda a: self._one(self.view.keys(), (a.get("input") or {}).get("id")),
            "webhooks": lambda _: self.view.table("webhook"),
            "webhook": lambda a: self.webhooks.one(str(a["id"])),
            "getViews": lambda a: self.view.views(a.get("objectMetadataId")),
            "getView": lambda a: self._one(self.view.views(), a.get("id")),
            "getViewFields": lambda a: self.view.view_fields(str(a["viewId"])),
        }
        self.mutations: dict[str, Callable[[Json], Any]] = {
            "createOneObject": lambda a: self.view.object(self.writer.create_object(a["input"]["object"])),
            "updateOneObject": self._update_object,
            "deleteOneObject": lambda a: dict(self.writer.delete_object(a["input"]["id"]).doc),
            "createOneField": lambda a: self.view.field(self.writer.create_field(a["input"]["field"]), as_created=True),
            "updateOneField": lambda a: self.view.field(
                self.writer.update_field(a["input"]["id"], a["input"]["update"])
            ),
            "deleteOneField": lambda a: dict(self.writer.delete_field(a["input"]["id"]).doc),
            "createOneIndex": lambda a: self.writer.create_index(a["input"]["index"]),
            "deleteOneIndex": lambda a: self.writer.delete_index(a["input"]["id"]),
            "createWebhook": lambda a: self.webhooks.create(a["input"]),
            "updateWebhook": lambda a: self.webhooks.update(a["input"]["id"], a["input"].get("update") or a["input"]),
            "deleteWebhook": lambda a: self.webhooks.delete(str(a["id"])),
            "uploadFile": self._upload_by_path,
            "createFile": lambda a: self._upload_plain(a, "File"),
            "uploadFilesFieldFile": self._upload,
            "createFileUpload": self._begin_upload,
            "completeFileUpload": lambda a: files.complete(space, str(a["fileId"])),
        }

    def run(self) -> tuple[int, Json]:
        """Run the document; return the HTTP status and the answer."""
        schema, document = metadata_schema(self.space.release), self.document
        problems = document_problems(schema, document.parsed)
        if problems:
            return 200, {"errors": problems}
        variables = {k: v for k, v in document.variables.items() if not isinstance(v, Upload)}
        if len(variables) == len(document.variables):
            bad = variable_problems(schema, document.parsed, variables, None)
            if bad:
                return 400, {"errors": bad}
        names = {node.name.value for node in document.roots}
        if names & {"__schema", "__type"}:
            return 200, introspection(schema, document.parsed, variables, None)
        data: Json = {}
        try:
            for node in document.roots:
                data[response_key(node)] = self.root(node)
        except Refusal as refusal:
            return 200, {"errors": [refusal.graphql()], "data": None}
        return 200, {"data": data}

    def root(self, node: ast.FieldNode) -> Any:
        """Answer one root field. Raises Refusal."""
        name = node.name.value
        if name == "__typename":
            return self.document.kind.capitalize()
        is_query = self.document.kind == "query"
        resolve = (self.queries if is_query else self.mutations).get(name)
        if resolve is None:
            raise auth.forbidden_resource(self.space.release)
        if self.caller.is_limited and not is_query and "Upload" not in name and not name.startswith("upload"):
            raise permission_denied()
        return self._pick(resolve(self.document.arguments(node)), node)

    def _pick(self, value: Any, node: ast.FieldNode) -> Any:
        if node.selection_set is None or value is None:
            return value
        if isinstance(value, list):
            return [self._pick(item, node) for item in value]
        if not isinstance(value, dict):
            return value
        return {
            response_key(inner): self._pick(value.get(inner.name.value), inner)
            for inner in self.document.fields(node.selection_set)
        }

    # -- queries ------------------------------------------------------------------------------------------------

    def _objects(self, arguments: Json) -> Any:
        found = [self.view.object(obj) for obj in self.view.objects()]
        return connection(_filtered(found, arguments.get("filter")), arguments.get("paging") or {"first": 10})

    def _object(self, arguments: Json) -> Any:
        found = self.space.catalog.by_id(str(arguments["id"]))
        if found is None:
            raise not_found()
        return self.view.object(found)

    def _fields(self, arguments: Json) -> Any:
        found = [self.view.field(one) for one in self.view.fields()]
        return connection(_filtered(found, arguments.get("filter")), arguments.get("paging") or {"first": 10})

    def _field(self, arguments: Json) -> Any:
        found = self.space.catalog.field_by_id(str(arguments["id"]))
        if found is None:
            raise not_found()
        return self.view.field(found)

    def _invitations(self) -> list[Json]:
        """Nobody is ever invited here; a limited key may not even ask. Raises Refusal."""
        if self.caller.is_limited:
            raise permission_denied()
        return []

    @staticmethod
    def _one(docs: list[Json], wanted: Any) -> Json:
        found = next((doc for doc in docs if doc["id"] == wanted), None)
        if found is None:
            raise not_found()
        return found

    # -- mutations ----------------------------------------------------------------------------------------------

    def _update_object(self, arguments: Json) -> Any:
        given = arguments["input"]
        return self.view.object(self.writer.update_object(given["id"], given["update"]))

    def _upload(self, arguments: Json) -> Json:
        if self.space.release.file_paths:
            return self._upload_plain(arguments, "FilesField")
        part = _part(arguments)
        return files.upload(self.space, str(arguments["fieldMetadataId"]), part.name, part.content)

    def _upload_plain(self, arguments: Json, folder: str) -> Json:
        part = _part(arguments)
        return paths.store_plain(self.space, folder, part.name, part.content)

    def _upload_by_path(self, arguments: Json) -> Json:
        part = _part(arguments)
        return paths.store(self.space, arguments.get("fileFolder"), part.name, part.content)

    def _begin_upload(self, arguments: Json) -> Json:
        field_id = arguments.get("fieldMetadataId")
        return files.begin(self.space, field_id, str(arguments["filename"]), float(arguments["size"]))


def _part(arguments: Json) -> Upload:
    part = arguments.get("file")
    if not isinstance(part, Upload):
        raise Refusal("POST body missing file", code="BAD_USER_INPUT")
    return part


def _filtered(found: list[Any], node: Json | None) -> list[Any]:
    """Apply the `is` and `eq` and `in` filters of a metadata listing."""
    if not node:
        return found

    def fits(item: Json) -> bool:
        for key, operators in node.items():
            value = item.get(key)
            for operator, wanted in (operators or {}).items():
                if operator in ("eq", "is") and value != wanted:
                    return False
                if operator == "in" and value not in wanted:
                    return False
        return True

    return [item for item in found if fits(item)]
