"""`/graphql`: a light executor as loose as the real one: an unknown output field is null, types are not checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from graphql import GraphQLError, parse
from graphql.language import ast

from dentlib.sandbox.twenty.catalog import Field, Object
from dentlib.sandbox.twenty.model import Model
from dentlib.sandbox.twenty.operations import Operations
from dentlib.sandbox.twenty.query import cursor_of
from dentlib.sandbox.twenty.reading import DEFAULT_PAGE, Page
from dentlib.sandbox.twenty.refusals import Json, Refusal, not_found
from dentlib.sandbox.twenty.workspace import Caller, Workspace

MAX_ROOTS = 20
_BAD_INPUT = "BAD_USER_INPUT"
_TOO_MANY: Json = {
    "id": "4LVaa7",
    "message": "The request is too complex to process. Please try reducing the amount of requested root resolvers.",
}
_REPEATED: Json = {
    "id": "UrzTjS",
    "message": "Duplicate root resolver found. Each root resolver can only be called once per document.",
}
parse_cached = lru_cache(maxsize=1024)(parse)


class Document:
    """One parsed request: its operation, fragments and variables. Raises GraphQLError (syntax)."""

    def __init__(self, text: str, variables: Json | None, operation_name: str | None = None) -> None:
        self.text = text
        parsed = parse_cached(text) if len(text) < 20_000 else parse(text)
        operations = [one for one in parsed.definitions if isinstance(one, ast.OperationDefinitionNode)]
        self.parsed = parsed
        self.fragments = {
            one.name.value: one for one in parsed.definitions if isinstance(one, ast.FragmentDefinitionNode)
        }
        named = [one for one in operations if one.name and one.name.value == operation_name]
        if not operations:
            raise GraphQLError("Must provide an operation.")
        self.operation = (named or operations)[0]
        self.kind = self.operation.operation.value
        self.variables: Json = {
            one.variable.name.value: self._plain(one.default_value)
            for one in self.operation.variable_definitions
            if one.default_value is not None
        }
        self.variables.update(variables or {})
        self.roots = self.fields(self.operation.selection_set)

    def fields(self, selection: ast.SelectionSetNode | None) -> list[ast.FieldNode]:
        """The fields of a selection, fragments spread, `@include` and `@skip` applied."""
        out: list[ast.FieldNode] = []
        for node in selection.selections if selection else ():
            if not self._wanted(node):
                continue
            if isinstance(node, ast.FieldNode):
                out.append(node)
            elif isinstance(node, ast.InlineFragmentNode):
                out += self.fields(node.selection_set)
            elif isinstance(node, ast.FragmentSpreadNode) and node.name.value in self.fragments:
                out += self.fields(self.fragments[node.name.value].selection_set)
        return out

    def _wanted(self, node: ast.SelectionNode) -> bool:
        for directive in node.directives:
            if directive.name.value in ("include", "skip") and directive.arguments:
                on = bool(self._plain(directive.arguments[0].value))
                if on != (directive.name.value == "include"):
                    return False
        return True

    def arguments(self, node: ast.FieldNode) -> Json:
        """The arguments of a field as plain values; a variable that was not given is left out."""
        return {
            argument.name.value: self._plain(argument.value)
            for argument in node.arguments
            if not (isinstance(argument.value, ast.VariableNode) and argument.value.name.value not in self.variables)
        }

    def _plain(self, node: ast.ValueNode) -> Any:
        if isinstance(node, ast.VariableNode):
            return self.variables.get(node.name.value)
        if isinstance(node, (ast.StringValueNode, ast.EnumValueNode, ast.BooleanValueNode)):
            return node.value
        if isinstance(node, ast.IntValueNode):
            return int(node.value)
        if isinstance(node, ast.FloatValueNode):
            return float(node.value)
        if isinstance(node, ast.ListValueNode):
            return [self._plain(item) for item in node.values]
        if isinstance(node, ast.ObjectValueNode):
            return {field.name.value: self._plain(field.value) for field in node.fields}
        return None


def response_key(node: ast.FieldNode) -> str:
    """The key of a field in the answer: its alias, or its name."""
    return node.alias.value if node.alias else node.name.value


def place(node: ast.Node) -> list[Json]:
    """Where a node stands, as error messages tell it."""
    if node.loc is None:
        return []
    start = node.loc.source.get_location(node.loc.start)
    return [{"line": start.line, "column": start.column}]


def syntax_answer(error: GraphQLError) -> Json:
    """The answer to a document that can't be read."""
    locations = [{"line": at.line, "column": at.column} for at in error.locations or ()]
    return {"errors": [{"message": error.message, "locations": locations}]}


class Executor:
    """Runs one document of record operations for one caller."""

    def __init__(self, space: Workspace, caller: Caller, document: Document) -> None:
        self.space = space
        self.document = document
        self.do = Operations(space, caller)
        self.reader = self.do.reader

    def run(self, resolve: Callable[[ast.FieldNode], Any] | None = None) -> Json:
        """Run every root field; each fails or succeeds by itself. `resolve` answers roots that aren't records."""
        document = self.document
        names = [node.name.value for node in document.roots]
        too_many = (
            f"Query too complex - Too many root resolvers requested: {len(names)} - "
            f"Maximum allowed root resolvers: {MAX_ROOTS}"
        )
        repeated = next((name for at, name in enumerate(names) if name in names[:at]), None)
        if len(names) > MAX_ROOTS and not (repeated and self.space.release.lone_root_errors):
            return self._too_much(too_many, _TOO_MANY)
        if repeated:
            return self._too_much(f'Duplicate root resolver: "{repeated}"', _REPEATED)
        data: Json = {}
        errors: list[Json] = []
        refused: Refusal | None = None
        if any(self._root(name) for name in names):
            try:
                self.space.limiter.take()
            except Refusal as refusal:
                refused = refusal
        for node in document.roots:
            try:
                root = self._root(node.name.value)
                if root is None and resolve is not None:
                    data[response_key(node)] = resolve(node)
                    continue
                if refused is not None:
                    raise refused
                assert root is not None
                data[response_key(node)] = self._run_root(*root, node)
            except Refusal as refusal:
                data[response_key(node)] = None
                errors.append(refusal.graphql())
        return {"data": data, "errors": errors} if errors else {"data": data}

    def _root(self, name: str) -> tuple[str, Object] | None:
        return self.space.roots.get(f"{self.document.kind} {name}")

    def _too_much(self, message: str, friendly: Json) -> Json:
        if self.space.release.lone_root_errors:
            return {
                "errors": [{"message": message, "extensions": {"userFriendlyMessage": friendly, "code": _BAD_INPUT}}]
            }
        return {"data": {}, "errors": [{"message": message, "extensions": {"code": _BAD_INPUT}}]}

    def _run_root(self, operation: str, obj: Object, node: ast.FieldNode) -> Any:
        model = self.space.model(obj)
        arguments = self.document.arguments(node)
        fields = self.document.fields(node.selection_set)
        if operation == "findMany":
            self._check_depth(model, self._node_fields(fields), inside_many=False)
            return self._connection(self._page(model, arguments), fields)
        if operation == "groupBy":
            return self._group_by(model, arguments, fields)
        if operation == "findDuplicates":
            found = self.do.duplicates(model, arguments.get("ids"), arguments.get("data"))
            keys = self.reader.page(model, first=0).keys
            return [self._connection(Page(model, docs, keys), fields, total=len(docs)) for docs in found]
        self._check_depth(model, fields, inside_many=False)
        docs, is_list = self._mutate(operation, model, arguments)
        shown = self._records(model, docs, fields)
        return shown if is_list else shown[0]

    def _mutate(self, operation: str, model: Model, arguments: Json) -> tuple[list[Json], bool]:
        do, record_id, filter = self.do, str(arguments.get("id") or ""), arguments.get("filter")
        upsert = bool(arguments.get("upsert"))
        if operation == "createMany":
            data = arguments.get("data")
            return do.create(model, data if isinstance(data, list) else [data], upsert), True
        if operation == "createOne":
            return do.create(model, [arguments.get("data")], upsert), False
        if operation == "findOne":
            return [self._find_one(model, filter)], False
        if operation == "updateOne":
            return [do.update_one(model, record_id, arguments.get("data"))], False
        if operation == "updateMany":
            return do.update_many(model, filter, arguments.get("data")), True
        if operation == "mergeMany":
            return [do.merge(model, arguments.get("ids") or [])], False
        verb, number = operation[:-3], operation[-3:]
        if number == "One":
            ones = {"delete": do.delete_one, "restore": do.restore_one, "destroy": do.destroy_one}
            return [ones[verb](model, record_id)], False
        many = {"delete": do.delete_many, "restore": do.restore_many, "destroy": do.destroy_many}
        return many[operation[:-4]](model, filter), True

    def _find_one(self, model: Model, filter: Json | None) -> Json:
        page = self.reader.page(model, filter=filter, first=1)
        if not page.docs:
            raise not_found()
        return page.docs[0]

    def _page(self, model: Model, arguments: Json) -> Page:
        return self.reader.page(
            model,
            filter=arguments.get("filter"),
            order_by=arguments.get("orderBy"),
            first=arguments.get("first"),
            last=arguments.get("last"),
            after=arguments.get("after"),
            before=arguments.get("before"),
        )

    def _node_fields(self, fields: Iterable[ast.FieldNode]) -> list[ast.FieldNode]:
        out: list[ast.FieldNode] = []
        for node in fields:
            if node.name.value == "edges":
                for inner in self.document.fields(node.selection_set):
                    if inner.name.value == "node":
                        out += self.document.fields(inner.selection_set)
        return out

    def _check_depth(self, model: Model, fields: Iterable[ast.FieldNode], inside_many: bool) -> None:
        for node in fields:
            name = node.name.value
            if name in model.to_many:
                if inside_many:
                    raise Refusal(
                        "Query complexity is too high. One-to-Many relation cannot be nested in another One-to-Many "
                        "relation.",
                        sub_code="TOO_COMPLEX_QUERY",
                    )
                inverse = self.space.catalog.inverse(model.to_many[name])
                child = self.space.model(self.space.catalog.objects[inverse.obj])
                inner = self._node_fields(self.document.fields(node.selection_set))
                self._check_depth(child, inner, inside_many=True)
            elif name in model.relations:
                target = self.space.model(self.space.catalog.target(model.relations[name]))
                self._check_depth(target, self.document.fields(node.selection_set), inside_many)

    # -- answers ------------------------------------------------------------------------------------------------

    def _connection(self, page: Page, fields: list[ast.FieldNode], total: int | None = None) -> Json:
        out: Json = {}
        wanted = [node.name.value for node in fields]
        other = [name for name in wanted if name not in ("edges", "pageInfo", "__typename")]
        aggregates = {"totalCount": total} if total is not None else {}
        if total is None and other:
            aggregates = self.reader.aggregates(page.model, other, page.where, page.parameters)
        for node in fields:
            name, key = node.name.value, response_key(node)
            if name == "edges":
                out[key] = self._edges(page, node)
            elif name == "pageInfo":
                out[key] = self.pick(page.info(), node)
            elif name == "__typename":
                out[key] = f"{page.model.obj.name[0].upper()}{page.model.obj.name[1:]}Connection"
            else:
                out[key] = aggregates.get(name)
        return out

    def _edges(self, page: Page, node: ast.FieldNode) -> list[Json]:
        edges: list[Json] = [{} for _ in page.docs]
        for inner in self.document.fields(node.selection_set):
            key = response_key(inner)
            if inner.name.value == "node":
                shown = self._records(page.model, page.docs, self.document.fields(inner.selection_set))
                for edge, record in zip(edges, shown, strict=True):
                    edge[key] = record
            elif inner.name.value == "cursor":
                for edge, doc in zip(edges, page.docs, strict=True):
                    edge[key] = cursor_of(doc, page.keys)
        return edges

    def _records(self, model: Model, docs: list[Json], fields: list[ast.FieldNode]) -> list[Json]:
        if len(fields) == 1 and fields[0].name.value == "id":
            key = response_key(fields[0])
            return [{key: doc["id"]} for doc in docs]
        out: list[Json] = [{} for _ in docs]
        for node in fields:
            name, key = node.name.value, response_key(node)
            if name in model.relations:
                self._to_one(model, model.relations[name], docs, node, out)
            elif name in model.to_many:
                self._to_many(model.to_many[name], docs, node, out)
            elif name == "__typename":
                for record in out:
                    record[key] = model.obj.name[0].upper() + model.obj.name[1:]
            else:
                for record, doc in zip(out, docs, strict=True):
                    record[key] = self.pick(self.reader.value(model, doc, name), node)
        return out

    def _to_one(self, model: Model, relation: Field, docs: list[Json], node: ast.FieldNode, out: list[Json]) -> None:
        target, found = self.reader.targets(model, relation, docs)
        ids = list(found)
        shown = dict(
            zip(
                ids,
                self._records(target, [found[i] for i in ids], self.document.fields(node.selection_set)),
                strict=True,
            )
        )
        for record, doc in zip(out, docs, strict=True):
            record[response_key(node)] = shown.get(doc.get(str(relation.column)) or "")

    def _to_many(self, relation: Field, docs: list[Json], node: ast.FieldNode, out: list[Json]) -> None:
        arguments, fields = self.document.arguments(node), self.document.fields(node.selection_set)
        child, by_parent, keys = self.reader.children(relation, docs, arguments.get("filter"), arguments.get("orderBy"))
        limit = arguments.get("first") or DEFAULT_PAGE
        for record, doc in zip(out, docs, strict=True):
            everything = by_parent.get(doc["id"], [])
            page = Page(child, everything[:limit], keys, has_next=len(everything) > limit)
            if page.docs:
                page.start_cursor = cursor_of(page.docs[0], keys)
                page.end_cursor = cursor_of(page.docs[-1], keys)
            record[response_key(node)] = self._connection(page, fields, total=len(everything))

    def _group_by(self, model: Model, arguments: Json, fields: list[ast.FieldNode]) -> list[Json]:
        names = [node.name.value for node in fields if node.name.value != "groupByDimensionValues"]
        by = arguments.get("groupBy") or []
        groups = self.reader.group_by(
            model, by if isinstance(by, list) else [by], arguments.get("filter"), names, arguments.get("limit")
        )
        return [{response_key(node): group.get(node.name.value) for node in fields} for group in groups]

    def pick(self, value: Any, node: ast.FieldNode) -> Any:
        if node.selection_set is None or value is None:
            return value
        if isinstance(value, list):
            return [self.pick(item, node) for item in value]
        if not isinstance(value, dict):
            return value
        return {
            response_key(inner): self.pick(value.get(inner.name.value), inner)
            for inner in self.document.fields(node.selection_set)
        }
