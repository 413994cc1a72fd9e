"""Turn a filter or an order, in GraphQL's shape, into SQL over the stored documents."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import orjson

from dentlib.sandbox.twenty.catalog import Field
from dentlib.sandbox.twenty.composites import EMPTY, UNIQUE_PART
from dentlib.sandbox.twenty.model import Model
from dentlib.sandbox.twenty.refusals import Json, Refusal, coded, invalid_args
from dentlib.sandbox.twenty.state import dumps
from dentlib.sandbox.twenty.workspace import Workspace

_COMPARE = {"eq": "=", "neq": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_COLUMNS = {"id": "id", "createdAt": "created_at", "deletedAt": "deleted_at", "position": "position"}
_NUMERIC = ("NUMBER", "NUMERIC", "POSITION", "CURRENCY")


def mentions_deleted(node: Any) -> bool:
    """Tell whether a filter speaks of deletedAt anywhere; then soft-deleted records are not hidden."""
    if isinstance(node, dict):
        return "deletedAt" in node or any(mentions_deleted(value) for value in node.values())
    return isinstance(node, list) and any(mentions_deleted(item) for item in node)


def column_sql(alias: str, name: str, part: str | None = None) -> str:
    """The SQL expression of a field (or a part of it). Names come from metadata, which allows letters and digits."""
    if part is None and name in _COLUMNS:
        return f"{alias}.{_COLUMNS[name]}"
    path = f"$.{name}.{part}" if part else f"$.{name}"
    return f"json_extract({alias}.doc,'{path}')"


class FilterSql:
    """Compile one filter; `parameters` fill the SQL's question marks in order."""

    def __init__(self, space: Workspace, model: Model, alias: str = "r") -> None:
        self.space = space
        self.model = model
        self.alias = alias
        self.parameters: list[Any] = []

    def compile(self, node: Json | None) -> str:
        """Return the condition. Raises Refusal for an unknown field or operator."""
        parts = [self._entry(key, value) for key, value in (node or {}).items() if value is not None]
        return " AND ".join(parts) if parts else "1"

    def _entry(self, key: str, value: Any) -> str:
        if key in ("and", "or"):
            items = value if isinstance(value, list) else [value]
            if not items:
                return "1"
            return "(" + (" AND " if key == "and" else " OR ").join(f"({self.compile(item)})" for item in items) + ")"
        if key == "not":
            return f"NOT ({self.compile(value)})"  # a null stays unknown, as in Postgres: its row is left out
        model = self.model
        if key in model.relations:
            return self._related(model.relations[key], value)
        output = model.outputs.get(key)
        if output is None:
            if model.release.related_filters:
                raise invalid_args(f'Object {model.obj.name} doesn\'t have any "{key}" field.')
            raise Refusal(f"Field metadata not found for field: {key}", error="Error")
        kind = output.field.type
        if output.is_composite:
            unknown = [part for part in value if part not in EMPTY[kind]]
            if unknown:
                raise invalid_args(f'Sub field "{unknown[0]}" not found for composite type: {kind}')
            return (
                "(" + " AND ".join(self._operators(output.field, key, part, ops) for part, ops in value.items()) + ")"
            )
        return self._operators(output.field, key, None, value)

    def _related(self, field: Field, node: Json) -> str:
        if not self.model.release.related_filters:
            raise coded(f'Operator "{next(iter(node), "")}" is not supported', "UNSUPPORTED_OPERATOR")
        target = self.space.model(self.space.catalog.target(field))
        inner = FilterSql(self.space, target, f"{self.alias}x")
        condition = inner.compile(node)
        self.parameters += [self.space.ws, target.obj.slot, *inner.parameters]
        joined = column_sql(self.alias, str(field.column))
        return (
            f"EXISTS (SELECT 1 FROM record {self.alias}x WHERE {self.alias}x.ws=? AND {self.alias}x.obj=? "
            f"AND {self.alias}x.id={joined} AND {self.alias}x.deleted_at IS NULL AND {condition})"
        )

    def _operators(self, field: Field, key: str, part: str | None, operators: Any) -> str:
        if not isinstance(operators, dict):
            raise invalid_args(f'Invalid filter value for field "{key}"')
        conditions = [self._operator(field, key, part, name, value) for name, value in operators.items()]
        return "(" + " AND ".join(conditions) + ")" if conditions else "1"

    def _operator(self, field: Field, key: str, part: str | None, name: str, value: Any) -> str:
        column = column_sql(self.alias, key, part)
        if name == "is":
            return f"{column} IS {'NOT ' if value == 'NOT_NULL' else ''}NULL"
        if name in ("eq", "in"):
            return self._equals(field, key, part, column, value if name == "in" else [value])
        if name in _COMPARE:
            self.parameters.append(self._value(field, key, part, value))
            return f"{column}{_COMPARE[name]}?"
        if name in ("like", "startsWith", "endsWith"):
            any_end = name == "startsWith" and not self.model.release.exact_prefix
            self.parameters.append(f"{value}%" if any_end else f"%{value}" if name == "endsWith" else value)
            return f"{column} LIKE ? ESCAPE '\\'"
        if name in ("ilike", "containsIlike"):
            self.parameters.append(str(value).casefold() if name == "ilike" else f"%{value}%".casefold())
            return f"fold({column}) LIKE ? ESCAPE '\\'"
        if name == "containsAny":
            self.parameters.append(dumps(value if isinstance(value, list) else [value]))
            return f"EXISTS (SELECT 1 FROM json_each({column}) e WHERE e.value IN (SELECT value FROM json_each(?)))"
        if name == "isEmptyArray":
            return f"({column} IS NULL OR {column}='[]')"
        raise invalid_args(f'Operator "{name}" is not supported')

    def _equals(self, field: Field, key: str, part: str | None, column: str, values: Any) -> str:
        wanted = [self._value(field, key, part, item) for item in (values if isinstance(values, list) else [values])]
        given = [item for item in wanted if item is not None and item != ""]
        clauses = [f"{column} IS NULL"] if len(given) < len(wanted) else []
        if given or not clauses:
            ws = self.space.ws
            unique = field.doc.get("isUnique") and (part is None or part == UNIQUE_PART.get(field.type))
            if field.relation:
                self.parameters += [ws, field.slot, dumps(given)]
                clauses.append(
                    f"{self.alias}.id IN (SELECT l.id FROM link l WHERE l.ws=? AND l.field=? "
                    "AND l.target IN (SELECT value FROM json_each(?)))"
                )
            elif unique:
                self.parameters += [ws, field.slot, dumps(given)]
                clauses.append(
                    f"{self.alias}.id IN (SELECT u.id FROM unique_value u WHERE u.ws=? AND u.field=? "
                    "AND u.value IN (SELECT value FROM json_each(?)))"
                )
            elif len(given) == 1:
                self.parameters.append(given[0])
                clauses.append(f"{column}=?")
            else:
                self.parameters.append(dumps(given))
                clauses.append(f"{column} IN (SELECT value FROM json_each(?))")
        return clauses[0] if len(clauses) == 1 else "(" + " OR ".join(clauses) + ")"

    def _value(self, field: Field, key: str, part: str | None, value: Any) -> Any:
        if isinstance(value, bool):
            return int(value)
        if not isinstance(value, str):
            return value
        kind = field.type
        if kind in _NUMERIC and part != "currencyCode":
            try:
                return float(value)
            except ValueError:
                raise invalid_args(f"Invalid number value '{value}' for field \"{key}\"") from None
        if kind == "BOOLEAN":
            return int(value == "true")
        if kind == "UUID" or field.relation:
            return value.lower()
        if kind in ("DATE_TIME", "DATE"):
            return self.model.checks[key](value, key)
        return value


@dataclass(frozen=True, slots=True)
class SortKey:
    """One key of an order: where it sits in the document, its SQL, its direction."""

    name: str
    part: str | None
    sql: str
    descending: bool
    nulls_first: bool

    def order(self, reverse: bool) -> str:
        descending, nulls_first = self.descending ^ reverse, self.nulls_first ^ reverse
        return f"{self.sql} {'DESC' if descending else 'ASC'} NULLS {'FIRST' if nulls_first else 'LAST'}"


def sort_keys(space: Workspace, model: Model, order_by: Any, alias: str = "r") -> list[SortKey]:
    """Read `orderBy` ([{field: "AscNullsFirst"}, …]); the id is always added as the last key."""
    keys: list[SortKey] = []
    for entry in order_by if isinstance(order_by, list) else [order_by] if order_by else []:
        for name, direction in entry.items():
            keys += _sort_key(model, name, direction, alias)
    if not any(key.name == "id" for key in keys):
        keys.append(SortKey("id", None, f"{alias}.id", False, True))
    return keys


def _sort_key(model: Model, name: str, direction: Any, alias: str) -> list[SortKey]:
    output = model.outputs.get(name)
    if output is None:
        raise coded(f'Field "{name}" does not exist or is not sortable', "FIELD_NOT_FOUND")
    if isinstance(direction, dict):
        return [_one_key(alias, name, part, way) for part, way in direction.items()]
    if output.is_composite:
        return [_one_key(alias, name, part, direction) for part in EMPTY[output.field.type]]
    return [_one_key(alias, name, None, direction)]


def _one_key(alias: str, name: str, part: str | None, direction: str) -> SortKey:
    return SortKey(
        name, part, column_sql(alias, name, part), direction.startswith("Desc"), direction.endswith("NullsFirst")
    )


def cursor_of(doc: Json, keys: list[SortKey]) -> str:
    """Write the opaque cursor of a record under an order."""
    out: Json = {}
    for key in keys:
        value = doc.get(key.name)
        if key.part:
            out.setdefault(key.name, {})[key.part] = value.get(key.part) if isinstance(value, dict) else None
        else:
            out[key.name] = value
    return base64.b64encode(orjson.dumps(out)).decode()


def after_cursor(cursor: str, keys: list[SortKey], reverse: bool) -> tuple[str, list[Any]]:
    """The condition "sorted after this cursor". Raises Refusal for what is no cursor."""
    try:
        place = orjson.loads(base64.b64decode(cursor, validate=True))
    except ValueError:
        place = None
    if not isinstance(place, dict):
        raise Refusal(f"Invalid cursor: {cursor}", sub_code="INVALID_CURSOR", friendly="Invalid cursor.")
    clauses: list[str] = []
    parameters: list[Any] = []
    equal_sql: list[str] = []
    equal_parameters: list[Any] = []
    for key in keys:
        value = place.get(key.name)
        if key.part:
            value = value.get(key.part) if isinstance(value, dict) else None
        beyond, beyond_parameters = _beyond(key, value, reverse)
        if beyond:
            clauses.append("(" + " AND ".join([*equal_sql, beyond]) + ")")
            parameters += [*equal_parameters, *beyond_parameters]
        equal_sql.append(f"{key.sql} IS ?")
        equal_parameters.append(value)
    return ("(" + " OR ".join(clauses) + ")" if clauses else "0"), parameters


def _beyond(key: SortKey, value: Any, reverse: bool) -> tuple[str, list[Any]]:
    descending, nulls_first = key.descending ^ reverse, key.nulls_first ^ reverse
    if value is None:
        return (f"{key.sql} IS NOT NULL", []) if nulls_first else ("", [])
    compare = f"{key.sql}{'<' if descending else '>'}?"
    return (compare, [value]) if nulls_first else (f"({compare} OR {key.sql} IS NULL)", [value])
