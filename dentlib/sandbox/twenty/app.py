"""The HTTP face: routes, bodies, errors, faults and the admin endpoints."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import orjson
from aiohttp import web
from graphql import GraphQLError
from graphql.language import ast

from dentlib.sandbox.twenty import auth, effects, faults, files, openapi, paths, strict, tokens
from dentlib.sandbox.twenty.bodies import (
    bytes_answer,
    client_config,
    first_words,
    json_answer,
    json_error_words,
    put,
    read_multipart,
    text_as_json,
)
from dentlib.sandbox.twenty.faults import Faults
from dentlib.sandbox.twenty.graphql import Document, Executor, place, syntax_answer
from dentlib.sandbox.twenty.introspect import document_problems, introspection
from dentlib.sandbox.twenty.limiter import Limiter
from dentlib.sandbox.twenty.metadata_graphql import MetadataExecutor, Upload
from dentlib.sandbox.twenty.metadata_rest import MetadataRest
from dentlib.sandbox.twenty.prefill import create_workspace
from dentlib.sandbox.twenty.refusals import Json, Refusal
from dentlib.sandbox.twenty.rest import Rest, RestCall
from dentlib.sandbox.twenty.state import State
from dentlib.sandbox.twenty.workspace import Caller, SteerableClock, Workspace

MAX_JSON_BYTES = 10 * 1024 * 1024
MAX_HEAD_BYTES = 16 * 1024
KEPT_OPEN = 64
_USER_ONLY = ("WorkflowVersion", "WorkflowVersionStep", "WorkflowVersionEdge", "WorkflowRun", "Workflow")
_HIDDEN = "GraphQL introspection has been disabled, but the requested query contained the field"


class Site:
    """The server's shared state and every request's way through it. Lives on one event loop."""

    def __init__(
        self,
        state: State,
        clock: SteerableClock,
        members: list[Json],
        *,
        limits: Literal["default", "off"],
        workspaces: Literal["one", "per-token"],
        owner_keys: tuple[str, ...] = (),
        effects_delay_s: float = 0.02,
        max_upload_bytes: int | None = None,
    ) -> None:
        self.state = state
        self.clock = clock
        self.members = members
        self.limits = limits
        self.workspaces = workspaces
        self.owner_hashes = {auth.token_hash(key) for key in owner_keys}
        self.effects_delay_s = effects_delay_s
        self.max_upload_bytes = max_upload_bytes
        self.base_url = ""
        self.faults = Faults()
        self.spaces: dict[int, Workspace] = {}
        self.by_token: dict[str, Workspace] = {}
        for (ws,) in state.all("SELECT ws FROM workspace ORDER BY ws LIMIT ?", (KEPT_OPEN,)):
            self._open(ws)

    # -- workspaces and callers ---------------------------------------------------------------------------------

    def _limiter(self) -> Limiter:
        return Limiter(self.clock.now_ms, self.limits)

    def _open(self, ws: int) -> Workspace:
        space = Workspace(self.state, ws, self.clock, self._limiter())
        row = self.state.one("SELECT token_hash FROM workspace WHERE ws=?", (ws,))
        if row and row[0]:
            self.by_token[row[0]] = space
        self.spaces[ws] = space
        return space

    def new_workspace(self, token_hash: str | None = None) -> Workspace:
        """Make a complete new workspace."""
        space = create_workspace(self.state, self.clock, self._limiter(), self.members, token_hash=token_hash)
        self.spaces[space.ws] = space
        if token_hash:
            self.by_token[token_hash] = space
        return space

    @property
    def main(self) -> Workspace:
        """The first workspace, made when there is none."""
        return self.spaces[min(self.spaces)] if self.spaces else self.new_workspace()

    def authenticate(self, token: str) -> tuple[Workspace, Caller]:
        """Find the workspace and the caller of a token. Raises Refusal."""
        claims = tokens.claims_of(token)
        if claims is not None and "workspaceId" in claims:
            space = self.by_workspace_id(str(claims["workspaceId"]))
            if space is not None:
                return self._ready(space), auth.key_caller(self.state, space, token)
            raise auth.Unauthenticated("Token invalid.")
        hashed = auth.token_hash(token)
        if hashed in self.owner_hashes:
            return self._ready(self.main), auth.OWNER_KEY
        if self.workspaces == "per-token":
            return self._ready(self._of_token(hashed)), auth.OWNER_KEY
        raise auth.Unauthenticated("Token invalid." if claims else self.state.release.token_refusal)

    def _of_token(self, hashed: str) -> Workspace:
        """The workspace of an opaque token, made or opened when needed; only the latest are kept in memory."""
        found = self.by_token.pop(hashed, None)
        if found is None:
            row = self.state.one("SELECT ws FROM workspace WHERE token_hash=?", (hashed,))
            found = self._open(row[0]) if row else self.new_workspace(hashed)
        self.by_token[hashed] = found
        for old_hash in list(self.by_token)[:-KEPT_OPEN]:
            old = self.by_token[old_hash]
            if self.state.one("SELECT 1 FROM job WHERE ws=?", (old.ws,)) is None:
                del self.by_token[old_hash], self.spaces[old.ws]
        return found

    def by_workspace_id(self, workspace_id: str) -> Workspace | None:
        """The workspace of this id."""
        return next((space for space in self.spaces.values() if space.id == workspace_id), None)

    def _ready(self, space: Workspace) -> Workspace:
        space.base_url = self.base_url
        return space

    # -- one request --------------------------------------------------------------------------------------------

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request, playing the fault that is planned for it."""
        head = len(request.raw_path) + sum(len(k) + len(v) + 4 for k, v in request.raw_headers)
        if head > MAX_HEAD_BYTES:
            return web.Response(status=431)
        body = await request.read()
        path = request.path
        is_graphql = path in ("/graphql", "/metadata")

        async def work() -> web.Response:
            try:
                return self._answer(request, path, body)
            except Exception as error:
                return _broken(error)

        if self.faults.plan and not path.startswith("/sandbox/"):
            root = first_words(body) if is_graphql else ""
            fault = self.faults.next_for(f"{request.method} {path} {root}".strip())
            if fault is not None:
                return await faults.play(fault, request, work, is_graphql)
        response = await work()
        self._schedule_effects()
        return response

    def _schedule_effects(self) -> None:
        for space in self.spaces.values():
            if space.jobs_waiting:
                space.jobs_waiting = False
                asyncio.get_running_loop().call_later(self.effects_delay_s, effects.flush, space)

    def _answer(self, request: web.Request, path: str, body: bytes) -> web.Response:
        if path == "/graphql" or path == "/metadata":
            return self._graphql(request, path, body)
        if path.startswith("/rest/"):
            return self._rest(request, path, body)
        if path.startswith(("/file/", "/file-upload/")):
            return self._file(request, path, body)
        if path.startswith("/files/") and self.state.release.file_paths:
            return self._file_by_path(path.removeprefix("/files/"))
        if path == "/healthz":
            return json_answer({"status": "ok", "info": {}, "error": {}, "details": {}})
        if path == "/client-config":
            return json_answer(client_config(self.state.release))
        if path.startswith("/sandbox/"):
            return self._admin(request, path, body)
        return json_answer(
            {"statusCode": 404, "error": "NotFoundException", "messages": [f"Cannot {request.method} {path}"]}, 404
        )

    # -- REST ---------------------------------------------------------------------------------------------------

    def _rest(self, request: web.Request, path: str, body: bytes) -> web.Response:
        try:
            token = auth.bearer(request.headers.get("Authorization"))
            if token is None and self.state.release.token_in_query:
                token = request.query.get("token")
            if token is None:
                raise auth.missing()
            space, caller = self.authenticate(token)
            if len(body) > MAX_JSON_BYTES:
                return text_as_json(self.state.release.too_large, 500)
            try:
                content = orjson.loads(body) if body else None
            except orjson.JSONDecodeError as error:
                return json_answer(
                    {"message": json_error_words(body, error), "error": "Bad Request", "statusCode": 400}, 400
                )
            parts = tuple(part for part in path[len("/rest/") :].split("/") if part)
            query = dict(request.query.items())
            if parts[:1] == ("open-api",):
                if parts[1:] == ("metadata",):
                    return json_answer(openapi.metadata_document(space.release, self.base_url))
                return json_answer(openapi.core_document(space.catalog, self.base_url))
            if parts[:1] == ("metadata",):
                call = RestCall(request.method, path, parts[1:], query, content)
                status, answer = MetadataRest(space, caller).answer(call)
            else:
                status, answer = Rest(space, caller).answer(RestCall(request.method, path, parts, query, content))
        except Refusal as refusal:
            return json_answer(refusal.rest(), refusal.status)
        if answer is True:
            return web.Response(text="true", status=status, content_type="text/html", charset="utf-8")
        return json_answer(answer, status)

    # -- GraphQL ------------------------------------------------------------------------------------------------

    def _graphql(self, request: web.Request, path: str, body: bytes) -> web.Response:
        if request.method == "GET":
            return json_answer({"errors": [{"message": "GET query missing."}]}, 400)
        try:
            given = self._graphql_body(request, body)
        except Refusal as refusal:
            return text_as_json(refusal.message, refusal.status)
        try:
            document = Document(str(given.get("query") or ""), given.get("variables"), given.get("operationName"))
        except GraphQLError as error:
            return json_answer(syntax_answer(error))
        token = auth.bearer(request.headers.get("Authorization"))
        if token is None:
            return json_answer(self._anonymous(path, document))
        try:
            space, caller = self.authenticate(token)
        except Refusal as refusal:
            return json_answer({"errors": [refusal.graphql()]})
        if path == "/metadata":
            status, answer = MetadataExecutor(space, caller, document).run()
            return json_answer(answer, status)
        status, answer = self._core(space, caller, document)
        return json_answer(answer, status)

    def _graphql_body(self, request: web.Request, body: bytes) -> Json:
        if request.content_type == "multipart/form-data":
            return self._multipart(request, body)
        if len(body) > MAX_JSON_BYTES:
            raise Refusal(self.state.release.too_large, status=500)
        try:
            given = orjson.loads(body) if body else {}
        except orjson.JSONDecodeError:
            raise Refusal("POST body sent invalid JSON.", status=400) from None
        return given if isinstance(given, dict) else {}

    def _multipart(self, request: web.Request, body: bytes) -> Json:
        parts = read_multipart(body, request.headers.get("Content-Type", ""))
        if "operations" not in parts:
            raise Refusal("Missing multipart field ‘operations’", status=400)
        given: Json = orjson.loads(parts["operations"][1])
        for key, places in orjson.loads(parts["map"][1]).items():
            name, content = parts[key]
            if self.max_upload_bytes is not None and len(content) > self.max_upload_bytes:
                raise Refusal("File truncated as it exceeds the size limit.", status=413)
            for where in places:
                put(given, where.split("."), Upload(name or key, content))
        return given

    def _anonymous(self, path: str, document: Document) -> Json:
        names = [node.name.value for node in document.roots]
        if any(name in ("__schema", "__type") for name in names):
            return {"errors": [_hidden(node) for node in _introspective(document)]}
        if path == "/metadata":
            return {"errors": [auth.forbidden_resource(self.state.release).graphql()], "data": None}
        return {"errors": [_unknown_root(document, node) for node in document.roots]}

    def _core(self, space: Workspace, caller: Caller, document: Document) -> tuple[int, Json]:
        executor = Executor(space, caller, document)
        extra: dict[str, Callable[[ast.FieldNode], Any]] = {
            "search": lambda node: self._search(executor, node),
            "__typename": lambda node: document.kind.capitalize(),
        }
        names = [node.name.value for node in document.roots]
        if any(name in ("__schema", "__type") for name in names):
            return 200, introspection(space.schema, document.parsed, document.variables, None)
        if space.release.core_roots:
            core = MetadataExecutor(space, caller, document)
            extra.update(dict.fromkeys([*core.queries, *core.mutations], core.root))
        if space.release.strict_documents and (refused := strict.refused(space, document, Upload)):
            return refused
        unknown = [
            n
            for n in document.roots
            if f"{document.kind} {n.name.value}" not in space.roots and n.name.value not in extra
        ]
        user_only = document.kind == "mutation" and any(_is_user_only(name, space) for name in names)
        if user_only or (unknown and space.release.strict_documents):  # the schema knows it, but a key may not
            return 200, {"errors": [auth.forbidden_resource(space.release).graphql()], "data": None}
        if unknown:
            return 200, {"errors": self._unknown(space, document, unknown)}
        return 200, executor.run(lambda node: extra[node.name.value](node))

    def _unknown(self, space: Workspace, document: Document, unknown: list[ast.FieldNode]) -> list[Json]:
        """Root fields that don't exist send the document to the strict path, which checks its types as well."""
        strict = document_problems(space.schema, document.parsed)
        told = [one for one in strict if one["message"].startswith(("Unknown type", "Cannot query field"))]
        roots = {str(place(node)) for node in unknown}
        kept = [
            {**one, "message": one["message"].partition(" Did you mean")[0]}
            if one["message"].startswith("Cannot query")
            else one
            for one in told
            if one["message"].startswith("Unknown type") or str(one.get("locations")) in roots
        ]
        return kept or [_unknown_root(document, node) for node in unknown]

    def _search(self, executor: Executor, node: ast.FieldNode) -> Any:
        executor.space.limiter.take()
        arguments = executor.document.arguments(node)
        found = executor.reader.search(str(arguments.get("searchInput") or ""), int(arguments.get("limit") or 60))
        wrapped = {
            "edges": [{"node": item, "cursor": item["recordId"]} for item in found],
            "pageInfo": {"hasNextPage": False, "endCursor": found[-1]["recordId"] if found else None},
        }
        return executor.pick(wrapped, node)

    # -- files --------------------------------------------------------------------------------------------------

    def _file(self, request: web.Request, path: str, body: bytes) -> web.Response:
        file_id, token = path.rsplit("/", 1)[1], request.query.get("token", "")
        claims = tokens.claims_of(token) or {}
        space = self.by_workspace_id(str(claims.get("workspaceId")))
        try:
            if space is None:
                raise Refusal("Forbidden resource", status=403, error="Forbidden")
            self._ready(space)
            if path.startswith("/file-upload/"):
                files.receive(space, file_id, token, body)
                return web.Response(status=204)
            content, name = files.download(space, file_id, token)
        except Refusal as refusal:
            if refusal.status == 403:
                return json_answer({"message": "Forbidden resource", "error": "Forbidden", "statusCode": 403}, 403)
            return json_answer(refusal.rest(), refusal.status)
        return bytes_answer(content, name)

    def _file_by_path(self, address: str) -> web.Response:
        space = self.by_workspace_id(str(paths.workspace_of(address)))
        try:
            return bytes_answer(*paths.download(space, address))
        except Refusal as refusal:
            return json_answer(refusal.rest(), refusal.status)

    # -- admin --------------------------------------------------------------------------------------------------

    def _admin(self, request: web.Request, path: str, body: bytes) -> web.Response:
        try:
            token = auth.bearer(request.headers.get("Authorization"))
            if token is None:
                raise auth.missing()
            space, caller = self.authenticate(token)
            if caller.is_limited:
                raise auth.forbidden_resource(self.state.release)
            given = orjson.loads(body) if body else {}
            return json_answer(self._steer(space, path.removeprefix("/sandbox/"), given))
        except Refusal as refusal:
            return json_answer(refusal.rest(), refusal.status)

    def _steer(self, space: Workspace, what: str, given: Json) -> Json:
        if what == "faults":
            self.faults.plan = faults.read_plan(given.get("plan"))
            return {"plan": self.faults.describe()}
        if what == "clock":
            if "set" in given:
                self.clock.set(datetime.fromisoformat(given["set"]))
            self.clock.advance(float(given.get("advance_s", 0)))
            return {"now": space.now}
        if what == "flags":
            with self.state.write():
                for key, value in given.items():
                    space.set_flag(key, bool(value))
            return {"flags": space.flags}
        if what == "settle":
            if given.get("lost"):
                return {"lost": sum(effects.lose(one) for one in self.spaces.values())}
            return {"done": sum(effects.flush(one) for one in self.spaces.values())}
        if what == "limits":
            space.limiter.mode = "off" if given.get("mode") == "off" else "default"
            if given.get("drain"):
                space.limiter.drain()
            return {"mode": space.limiter.mode}
        raise Refusal(f"unknown admin endpoint {what}", status=404, error="NotFoundException")


def _broken(error: Exception) -> web.Response:
    """Answer what nobody foresaw as the real server does, and tell its place, not its values, on standard error."""
    at = traceback.extract_tb(error.__traceback__)[-1]
    sys.stderr.write(f"sandbox: {type(error).__name__} at {Path(at.filename).name}:{at.lineno}\n")
    body = {"statusCode": 500, "error": "InternalServerErrorException", "messages": ["Internal server error"]}
    return json_answer(body, 500)


def _is_user_only(name: str, space: Workspace) -> bool:
    return f"mutation {name}" not in space.roots and name.endswith(_USER_ONLY)


def _unknown_root(document: Document, node: ast.FieldNode) -> Json:
    kind = document.kind.capitalize()
    return {"message": f'Cannot query field "{node.name.value}" on type "{kind}".', "locations": place(node)}


def _introspective(document: Document) -> list[ast.FieldNode]:
    found: list[ast.FieldNode] = []
    for node in document.roots:
        if node.name.value in ("__schema", "__type"):
            found += [node, *_typed(document, node)]
    return found


def _typed(document: Document, node: ast.FieldNode) -> list[ast.FieldNode]:
    inner = [one for one in document.fields(node.selection_set) if one.selection_set]
    return [found for one in inner for found in (one, *_typed(document, one))]


def _hidden(node: ast.FieldNode) -> Json:
    return {"message": f'{_HIDDEN} "{node.name.value}".', "locations": place(node)}
