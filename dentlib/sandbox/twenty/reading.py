"""Read records: pages, single records, related records, counts and aggregates, duplicates, search."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import orjson

from dentlib.sandbox.twenty import files, paths, search
from dentlib.sandbox.twenty.catalog import Field
from dentlib.sandbox.twenty.model import Model
from dentlib.sandbox.twenty.query import (
    FilterSql,
    SortKey,
    after_cursor,
    column_sql,
    cursor_of,
    mentions_deleted,
    sort_keys,
)
from dentlib.sandbox.twenty.refusals import Json, Refusal, invalid_args, not_found
from dentlib.sandbox.twenty.state import dumps
from dentlib.sandbox.twenty.workspace import Workspace

DEFAULT_PAGE = 60
_AGGREGATE = re.compile(
    r"(countUniqueValues|countEmpty|countNotEmpty|countTrue|countFalse|percentageEmpty|percentageNotEmpty"
    r"|min|max|avg|sum)([A-Z]\w*)"
)
_DUPLICATE_CRITERIA: dict[str, tuple[tuple[tuple[str, str | None], ...], ...]] = {
    "person": (
        (("name", "firstName"), ("name", "lastName")),
        (("linkedinLink", "primaryLinkUrl"),),
        (("emails", "primaryEmail"),),
    ),
    "company": ((("name", None),), (("domainName", "primaryLinkUrl"),)),
}


@dataclass(slots=True)
class Page:
    """One page of records, with the condition it was read by (for counts over the whole)."""

    model: Model
    docs: list[Json]
    keys: list[SortKey]
    has_next: bool = False
    has_previous: bool = False
    start_cursor: str | None = None
    end_cursor: str | None = None
    where: str = "1"
    parameters: list[Any] = field(default_factory=list)

    def info(self) -> Json:
        return {
            "hasNextPage": self.has_next,
            "hasPreviousPage": self.has_previous,
            "startCursor": self.start_cursor,
            "endCursor": self.end_cursor,
        }


class Reader:
    """Reads one workspace; writes nothing."""

    def __init__(self, space: Workspace) -> None:
        self.space = space
        self.state = space.state

    # -- pages --------------------------------------------------------------------------------------------------

    def condition(self, model: Model, node: Json | None, with_deleted: bool = False) -> tuple[str, list[Any]]:
        """The SQL condition of a filter; soft-deleted records are hidden unless the filter speaks of them."""
        sql = FilterSql(self.space, model)
        compiled = sql.compile(node)
        where = f"r.ws=? AND r.obj=? AND {compiled}"
        if not with_deleted and not mentions_deleted(node):
            where += " AND r.deleted_at IS NULL"
        return where, [self.space.ws, model.obj.slot, *sql.parameters]

    def page(
        self,
        model: Model,
        *,
        filter: Json | None = None,
        order_by: Any = None,
        first: int | None = None,
        last: int | None = None,
        after: str | None = None,
        before: str | None = None,
    ) -> Page:
        """Read one page. Going back (`before`) the cursors are those of the walk, the records in forward order."""
        if after is not None and before is not None:
            raise Refusal("Cannot provide both before and after", sub_code="INVALID_QUERY_INPUT")
        back = before is not None or (last is not None and first is None)
        limit = (last if back and last is not None else first if first is not None else last) or 0
        if first is None and last is None:
            limit = DEFAULT_PAGE
        keys = sort_keys(self.space, model, order_by)
        where, parameters = self.condition(model, filter)
        page = Page(model, [], keys, where=where, parameters=parameters)
        cursor = before if back else after
        if cursor is not None:
            beyond, more = after_cursor(cursor, keys, reverse=back)
            where, parameters = f"{where} AND {beyond}", [*parameters, *more]
        order = ", ".join(key.order(reverse=back) for key in keys)
        rows = self.state.all(
            f"SELECT r.doc FROM record r WHERE {where} ORDER BY {order} LIMIT ?", [*parameters, limit + 1]
        )
        docs: list[Json] = [orjson.loads(row[0]) for row in rows[:limit]]
        page.has_next, page.has_previous = len(rows) > limit and not back, len(rows) > limit and back
        if docs:
            page.start_cursor, page.end_cursor = cursor_of(docs[0], keys), cursor_of(docs[-1], keys)
        page.docs = docs[::-1] if back else docs
        return page

    def matching(self, model: Model, filter: Json | None, with_deleted: bool) -> list[Json]:
        """Every stored document that a filter matches, in the order of creation."""
        where, parameters = self.condition(model, filter, with_deleted)
        rows = self.state.all(f"SELECT r.doc FROM record r WHERE {where} ORDER BY r.rowid", parameters)
        return [orjson.loads(row[0]) for row in rows]

    def one(self, model: Model, record_id: str, with_deleted: bool = False) -> Json:
        """One stored document. Raises Refusal (not found)."""
        row = self.state.one(
            "SELECT doc, deleted_at FROM record WHERE ws=? AND obj=? AND id=?",
            (self.space.ws, model.obj.slot, record_id.lower()),
        )
        if row is None or (row[1] is not None and not with_deleted):
            raise not_found()
        doc: Json = orjson.loads(row[0])
        return doc

    # -- what a record reads back as ----------------------------------------------------------------------------

    def rest(self, model: Model, doc: Json) -> Json:
        """A record as REST answers it, relations as ids."""
        out = model.read_back(doc)
        for name in model.files:
            out[name] = files.with_links(self.space, doc.get(name))
        if paths.are_in(model):
            out[paths.KEY] = paths.shown(self.space, out.get(paths.KEY))
        if "searchVector" in out:
            out["searchVector"] = search.vector(model, doc)
        return out

    def value(self, model: Model, doc: Json, key: str) -> Any:
        """One key of a record; None for an unknown one."""
        if key in model.files:
            return files.with_links(self.space, doc.get(key))
        if key == paths.KEY and paths.are_in(model):
            return paths.shown(self.space, model.value(doc, key))
        if key == "searchVector":
            return search.vector(model, doc)
        return model.value(doc, key)

    # -- related records ----------------------------------------------------------------------------------------

    def targets(self, model: Model, field: Field, docs: list[Json]) -> tuple[Model, dict[str, Json]]:
        """The live records that a many-to-one relation of these documents points at, by id."""
        target = self.space.model(self.space.catalog.target(field))
        column = str(field.column)
        ids = {doc[column] for doc in docs if doc.get(column) is not None}
        if not ids:
            return target, {}
        rows = self.state.all(
            "SELECT id, doc FROM record WHERE ws=? AND obj=? AND deleted_at IS NULL "
            "AND id IN (SELECT value FROM json_each(?))",
            (self.space.ws, target.obj.slot, dumps(list(ids))),
        )
        return target, {record_id: orjson.loads(doc) for record_id, doc in rows}

    def children(
        self, field: Field, docs: list[Json], filter: Json | None = None, order_by: Any = None
    ) -> tuple[Model, dict[str, list[Json]], list[SortKey]]:
        """The live records of a to-many relation, per parent id, in order (by id unless told)."""
        inverse = self.space.catalog.inverse(field)
        child = self.space.model(self.space.catalog.objects[inverse.obj])
        keys = sort_keys(self.space, child, order_by)
        where, parameters = self.condition(child, filter)
        rows = self.state.all(
            f"SELECT l.target, r.doc FROM link l JOIN record r ON r.ws=l.ws AND r.id=l.id AND {where} "
            "WHERE l.ws=? AND l.field=? AND l.target IN (SELECT value FROM json_each(?)) "
            f"ORDER BY {', '.join(key.order(reverse=False) for key in keys)}",
            [*parameters, self.space.ws, inverse.slot, dumps([doc["id"] for doc in docs])],
        )
        found: dict[str, list[Json]] = {}
        for parent, doc in rows:
            found.setdefault(parent, []).append(orjson.loads(doc))
        return child, found, keys

    def with_relations(self, model: Model, docs: list[Json]) -> list[Json]:
        """Records as REST answers them with depth=1: each relation one step deep, at most 60 of a to-many."""
        out = [self.rest(model, doc) for doc in docs]
        for name, relation in model.relations.items():
            if name in model.hidden:
                continue
            target, found = self.targets(model, relation, docs)
            for answer, doc in zip(out, docs, strict=True):
                there = found.get(doc.get(str(relation.column)) or "")
                answer[name] = self.rest(target, there) if there else None
        for name, relation in model.to_many.items():
            child, by_parent, _ = self.children(relation, docs)
            back = str(self.space.catalog.inverse(relation).column)
            for answer, doc in zip(out, docs, strict=True):
                answer[name] = [
                    {**self.rest(child, item), back: doc["id"]} for item in by_parent.get(doc["id"], [])[:DEFAULT_PAGE]
                ]
        return out

    # -- counts -------------------------------------------------------------------------------------------------

    def count(self, page: Page) -> int:
        """How many records the page's filter matches."""
        row = self.state.one(f"SELECT count(*) FROM record r WHERE {page.where}", page.parameters)
        return int(row[0]) if row else 0

    def aggregates(self, model: Model, names: list[str], where: str, parameters: list[Any]) -> Json:
        """Compute totalCount, countEmptyX, minX and the like; None for a name that is none of them."""
        known = {name: sql for name in names if (sql := self._aggregate_sql(model, name)) is not None}
        if not known:
            return dict.fromkeys(names)
        row = self.state.one(f"SELECT {', '.join(known.values())} FROM record r WHERE {where}", parameters)
        return {**dict.fromkeys(names), **dict(zip(known, row or (), strict=True))}

    def _aggregate_sql(self, model: Model, name: str) -> str | None:
        if name == "totalCount":
            return "count(*)"
        found = _AGGREGATE.fullmatch(name)
        place = self._aggregated(model, found[2]) if found else None
        if found is None or place is None:
            return None
        column, total = column_sql("r", *place), "max(count(*),1)"
        empty = f"sum({column} IS NULL OR {column}='' OR {column}='[]')"
        return {
            "countUniqueValues": f"count(DISTINCT {column})",
            "countEmpty": f"COALESCE({empty},0)",
            "countNotEmpty": f"count(*)-COALESCE({empty},0)",
            "countTrue": f"COALESCE(sum({column}=1),0)",
            "countFalse": f"COALESCE(sum({column}=0),0)",
            "percentageEmpty": f"1.0*COALESCE({empty},0)/{total}",
            "percentageNotEmpty": f"1.0*(count(*)-COALESCE({empty},0))/{total}",
        }.get(found[1], f"{found[1]}({column})")

    @staticmethod
    def _aggregated(model: Model, tail: str) -> tuple[str, str | None] | None:
        name = tail[0].lower() + tail[1:]
        if name in model.outputs:
            return name, None
        for key, output in model.outputs.items():
            rest = name[len(key) :]
            if output.is_composite and name.startswith(key) and rest:
                part = rest[0].lower() + rest[1:]
                if part in output.empty:
                    return key, part
        return None

    def group_by(
        self, model: Model, group_by: list[Json], filter: Json | None, names: list[str], limit: int | None
    ) -> list[Json]:
        """Group the records by one or more fields: `groupByDimensionValues` and the aggregates of each group."""
        columns = []
        for entry in group_by:
            for name, part in entry.items():
                if name not in model.outputs:
                    raise invalid_args(f'Object {model.obj.name} doesn\'t have any "{name}" field.')
                parts = [key for key, on in part.items() if on] if isinstance(part, dict) else [None]
                columns += [column_sql("r", name, one) for one in parts]
        where, parameters = self.condition(model, filter)
        known = {name: sql for name in names if (sql := self._aggregate_sql(model, name)) is not None}
        rows = self.state.all(
            f"SELECT {', '.join([*columns, *known.values()])} FROM record r WHERE {where} "
            f"GROUP BY {', '.join(columns)} ORDER BY count(*) DESC LIMIT ?",
            [*parameters, -1 if limit is None else limit],
        )
        width = len(columns)
        return [
            {"groupByDimensionValues": list(row[:width]), **dict(zip(known, row[width:], strict=True))} for row in rows
        ]

    # -- duplicates and search ----------------------------------------------------------------------------------

    def duplicates(self, model: Model, probe: Json) -> list[Json]:
        """Live records that share a name, address or link with `probe` (a stored document or a draft)."""
        found: dict[str, Json] = {}
        for criterion in _DUPLICATE_CRITERIA.get(model.obj.name, ()):
            node: Json = {}
            for name, part in criterion:
                value = (probe.get(name) or {}).get(part) if part else probe.get(name)
                if not value:
                    break
                if part:
                    node.setdefault(name, {})[part] = {"eq": value}
                else:
                    node[name] = {"eq": value}
            else:
                found.update({doc["id"]: doc for doc in self.matching(model, node, with_deleted=False)})
        return [doc for record_id, doc in sorted(found.items()) if record_id != probe.get("id")]

    def search(self, words: str, limit: int) -> list[Json]:
        """Full-text search over every searchable object: each word must begin a word of the record."""
        wanted = [word for word in re.split(r"\W+", words.casefold()) if word]
        out: list[Json] = []
        for obj in self.space.catalog.objects.values():
            if not obj.doc.get("isSearchable") or not wanted:
                continue
            model = self.space.model(obj)
            sql = " AND ".join("fold(r.doc) LIKE ?" for _ in wanted)
            rows = self.state.all(
                f"SELECT r.doc FROM record r WHERE r.ws=? AND r.obj=? AND r.deleted_at IS NULL AND {sql} LIMIT 1000",
                [self.space.ws, obj.slot, *(f"%{word}%" for word in wanted)],
            )
            for doc in (orjson.loads(row[0]) for row in rows):
                has = re.split(r"[^\w]+", search.searchable_text(model, doc).casefold())
                if all(any(word.startswith(part) for word in has) for part in wanted):
                    out.append({"recordId": doc["id"], "objectNameSingular": obj.name, "label": self.label(model, doc)})
        return out[:limit]

    @staticmethod
    def label(model: Model, doc: Json) -> str:
        """What a record is called: its name or title."""
        value = doc.get("name") or doc.get("title")
        if isinstance(value, dict):
            return " ".join(part for part in (value.get("firstName"), value.get("lastName")) if part)
        return str(value or "")
