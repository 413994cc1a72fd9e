"""The record half of REST: `/rest/{plural}`, `/rest/batch/…`, `/rest/restore/…`, duplicates, groupBy, merge."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dentlib.sandbox.twenty.ids import is_uuid
from dentlib.sandbox.twenty.model import Model
from dentlib.sandbox.twenty.operations import Operations
from dentlib.sandbox.twenty.query import cursor_of, sort_keys
from dentlib.sandbox.twenty.reading import DEFAULT_PAGE
from dentlib.sandbox.twenty.refusals import Json, Refusal, type_error
from dentlib.sandbox.twenty.rest_text import parse_depth, parse_filter, parse_json, parse_limit, parse_order
from dentlib.sandbox.twenty.workspace import Caller, Workspace

_SPECIAL = ("duplicates", "groupBy", "merge")


@dataclass(frozen=True, slots=True)
class RestCall:
    """One request to `/rest/…`, its body already read; `body` is None where there was none."""

    method: str
    path: str
    parts: tuple[str, ...]
    query: Mapping[str, str]
    body: Any


def capital(name: str) -> str:
    """Upper-case the first letter."""
    return name[0].upper() + name[1:]


class Rest:
    """Answers one caller's REST record calls with (status, body). Raises Refusal."""

    def __init__(self, space: Workspace, caller: Caller) -> None:
        self.space = space
        self.do = Operations(space, caller)
        self.reader = self.do.reader

    def answer(self, call: RestCall) -> tuple[int, Any]:
        """Route one call."""
        head, *rest = call.parts or ("",)
        if head == "batch" and len(rest) == 1 and call.method == "POST":
            return self._create_many(self._model(rest[0]), call)
        if head == "restore" and rest:
            if len(rest) > 1:
                raise self._bad_path(call)
            return self._restore(self._model(rest[0]), call)
        if len(rest) > 1:
            raise self._bad_path(call)
        tail = rest[0] if rest else None
        if tail is not None and tail not in _SPECIAL and not is_uuid(tail):
            raise Refusal(f"'{tail}' is not a valid UUID")
        model = self._model(head)
        self.space.limiter.take()
        if tail in _SPECIAL:
            return self._special(model, str(tail), call)
        return self._one(model, tail, call) if tail else self._many(model, call)

    def _bad_path(self, call: RestCall) -> Refusal:
        return Refusal(
            f"Query path '{call.path}' invalid. Valid examples: /rest/companies/id or /rest/companies or "
            "/rest/batch/companies"
        )

    def _model(self, plural: str) -> Model:
        catalog = self.space.catalog
        obj = catalog.by_plural(plural)
        if obj is not None:
            return self.space.model(obj)
        singular = catalog.by_name(plural)
        if singular is not None:
            raise Refusal(f"object '{plural}' not found. Did you mean '{singular.plural}'?")
        close = difflib.get_close_matches(plural, [o.plural for o in catalog.objects.values()], 1, 0.85)
        hint = f"Did you mean '{close[0]}'?" if close else "eg: companies"
        raise Refusal(f"object '{plural}' not found. {hint}")

    def _shown(self, model: Model, docs: list[Json], call: RestCall) -> list[Json]:
        if parse_depth(call.query.get("depth")):
            return self.reader.with_relations(model, docs)
        return [self.reader.rest(model, doc) for doc in docs]

    def _filter(self, call: RestCall) -> Json | None:
        text = call.query.get("filter")
        return parse_filter(text, self.space.release.filter_operators) if text else None

    # -- one object, many records -------------------------------------------------------------------------------

    def _many(self, model: Model, call: RestCall) -> tuple[int, Any]:
        if call.method == "GET":
            return 200, self._page(model, call)
        if call.method == "POST":
            return self._create_one(model, call)
        filter = self._filter(call)
        plural = capital(model.obj.plural)
        if call.method in ("PATCH", "PUT"):
            docs = self.do.update_many(model, filter, call.body)
            return 200, {"data": {f"update{plural}": self._shown(model, docs, call)}}
        if call.query.get("soft_delete") == "true":
            docs = self.do.delete_many(model, filter)
            return 200, {"data": {f"delete{plural}": self._shown(model, docs, call)}}
        docs = self.do.destroy_many(model, filter)
        return 200, {"data": {f"delete{plural}": [{"id": doc["id"]} for doc in docs]}}

    def _page(self, model: Model, call: RestCall) -> Json:
        query = call.query
        limit = parse_limit(query.get("limit"), DEFAULT_PAGE)
        after, before = query.get("starting_after"), query.get("ending_before")
        depth = parse_depth(query.get("depth"))
        page = self.reader.page(
            model,
            filter=self._filter(call),
            order_by=parse_order(query["order_by"]) if query.get("order_by") else None,
            first=None if before else limit,
            last=limit if before else None,
            after=after,
            before=before,
        )
        docs = page.docs
        shown = self.reader.with_relations(model, docs) if depth else [self.reader.rest(model, doc) for doc in docs]
        info = page.info()
        order = ("startCursor", "endCursor", "hasNextPage", "hasPreviousPage")
        return {
            "data": {model.obj.plural: shown},
            "totalCount": self.reader.count(page),
            "pageInfo": {key: info[key] for key in order},
        }

    def _create_one(self, model: Model, call: RestCall) -> tuple[int, Any]:
        if call.body is None:
            raise type_error("Cannot read properties of undefined (reading 'position')")
        docs = self.do.create(model, [call.body], call.query.get("upsert") == "true")
        return 201, {"data": {f"create{capital(model.obj.name)}": self._shown(model, docs, call)[0]}}

    def _create_many(self, model: Model, call: RestCall) -> tuple[int, Any]:
        self.space.limiter.take()
        if not isinstance(call.body, list):
            raise type_error("args.data.forEach is not a function")
        docs = self.do.create(model, call.body, call.query.get("upsert") == "true")
        return 201, {"data": {f"create{capital(model.obj.plural)}": self._shown(model, docs, call)}}

    # -- one record ---------------------------------------------------------------------------------------------

    def _one(self, model: Model, record_id: str, call: RestCall) -> tuple[int, Any]:
        name = model.obj.name
        if call.method == "GET":
            return 200, {"data": {name: self._shown(model, [self.reader.one(model, record_id)], call)[0]}}
        if call.method in ("PATCH", "PUT"):
            doc = self.do.update_one(model, record_id, call.body)
            return 200, {"data": {f"update{capital(name)}": self._shown(model, [doc], call)[0]}}
        if call.method != "DELETE":
            raise self._bad_path(call)
        if call.query.get("soft_delete") == "true":
            doc = self.do.delete_one(model, record_id)
            return 200, {"data": {f"delete{capital(name)}": self._shown(model, [doc], call)[0]}}
        doc = self.do.destroy_one(model, record_id)
        return 200, {"data": {f"delete{capital(name)}": {"id": doc["id"]}}}

    # -- the rest -----------------------------------------------------------------------------------------------

    def _restore(self, model: Model, call: RestCall) -> tuple[int, Any]:
        self.space.limiter.take()
        filter = self._filter(call)
        docs = self.do.restore_many(model, filter)
        return 200, {"data": {f"restore{capital(model.obj.plural)}": self._shown(model, docs, call)}}

    def _special(self, model: Model, what: str, call: RestCall) -> tuple[int, Any]:
        if what == "merge":
            return 200, self.do.merge(model, (call.body or {}).get("ids") or [])
        if what == "groupBy":
            filter = self._filter(call)
            names = parse_json(call.query.get("aggregate"), "aggregate") or ["totalCount"]
            by = parse_json(call.query.get("group_by"), "group_by") or []
            groups = self.reader.group_by(model, by, filter, names, None)
            return 200, [
                {key: value if key == "groupByDimensionValues" else _as_text(value) for key, value in group.items()}
                for group in groups
            ]
        body = call.body or {}
        found = self.do.duplicates(model, body.get("ids"), body.get("data"))
        return 200, {"data": [self._duplicates_of(model, docs, call) for docs in found]}

    def _duplicates_of(self, model: Model, docs: list[Json], call: RestCall) -> Json:
        keys = sort_keys(self.space, model, None)
        return {
            f"{model.obj.name}Duplicates": self._shown(model, docs, call),
            "totalCount": len(docs),
            "pageInfo": {
                "hasNextPage": False,
                "hasPreviousPage": False,
                "startCursor": cursor_of(docs[0], keys) if docs else None,
                "endCursor": cursor_of(docs[-1], keys) if docs else None,
            },
        }


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value
