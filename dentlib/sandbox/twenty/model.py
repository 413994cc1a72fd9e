"""One object compiled for speed: how each input key is checked, how a stored document reads back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from dentlib.sandbox.twenty import scalars
from dentlib.sandbox.twenty.catalog import Catalog, Field, Object, plain_default
from dentlib.sandbox.twenty.composites import EMPTY, UNIQUE_PART, composite
from dentlib.sandbox.twenty.ids import is_uuid
from dentlib.sandbox.twenty.refusals import Json, coded, inspect, invalid_args
from dentlib.sandbox.twenty.scalars import Coerce

_SIMPLE: dict[str, Coerce] = {
    "TEXT": scalars.text,
    "NUMBER": scalars.number,
    "NUMERIC": scalars.numeric,
    "BOOLEAN": scalars.boolean,
    "UUID": scalars.uuid_value,
    "RAW_JSON": scalars.raw_json,
    "ARRAY": scalars.string_list,
}
_OF_DATES: dict[str, dict[str, Coerce]] = {
    "checked": {"DATE": scalars.day, "DATE_TIME": scalars.moment},
    "parsed": {"DATE": scalars.parsed_day, "DATE_TIME": scalars.parsed_moment},
}
_LISTS = ("ARRAY", "MULTI_SELECT")
_SYSTEM_CLOCK = ("createdAt", "updatedAt")


@dataclass(frozen=True, slots=True)
class UniqueKey:
    """One unique field: the stored value is `doc[name]`, or `doc[name][part]` for a composite."""

    field: Field
    name: str
    part: str | None
    label: str

    def value_in(self, doc: Json) -> Any:
        value = doc.get(self.name)
        return value.get(self.part) if self.part and isinstance(value, dict) else value

    @property
    def path(self) -> str:
        return f"{self.name}.{self.part}" if self.part else self.name

    @property
    def column(self) -> str:
        return f"{self.name}{self.part[0].upper()}{self.part[1:]}" if self.part else self.name


@dataclass(frozen=True, slots=True)
class Output:
    """One key of an answer: its field and what a missing value reads back as."""

    key: str
    field: Field
    empty: Any
    is_composite: bool


class Model:
    """One object, compiled. Rebuilt whenever the workspace's metadata changes."""

    def __init__(self, catalog: Catalog, obj: Object) -> None:
        self.catalog = catalog
        self.release = catalog.release
        self.obj = obj
        self.checks: dict[str, Coerce] = {}
        self.composites: dict[str, str] = {}
        self.columns: dict[str, Field] = {}
        self.relations: dict[str, Field] = {}
        self.to_many: dict[str, Field] = {}
        self.files: dict[str, Field] = {}
        self.defaults: Json = {}
        self.not_null: set[str] = set()
        self.outputs: dict[str, Output] = {}
        self.unique: list[UniqueKey] = []
        self.hidden: set[str] = set()
        for one in obj.fields.values():
            self._add(one)
        self.flat_defaults = list(self.defaults.items())

    def _add(self, one: Field) -> None:
        name, kind = one.name, one.type
        if kind in ("RELATION", "MORPH_RELATION"):
            self._add_relation(one)
            return
        if one.doc.get("isUnique"):
            part = UNIQUE_PART.get(kind)
            self.unique.append(UniqueKey(one, name, part, str(one.doc["label"])))
        if not one.doc.get("isNullable", True):
            self.not_null.add(name)
        default = plain_default(one.doc.get("defaultValue"))
        is_composite = kind in EMPTY and kind not in self.release.unwritable
        if isinstance(default, dict) and is_composite:
            default = {part: value for part, value in default.items() if value not in (None, "")} or None
        if default is not None and name not in ("id", "position", "createdBy", "updatedBy", *_SYSTEM_CLOCK):
            self.defaults[name] = "now" if kind == "DATE_TIME" else default
        if is_composite:
            self.composites[name] = kind
            self.checks[name] = composite(kind, self.release)
            self.outputs[name] = Output(name, one, EMPTY[kind], True)
            return
        self.outputs[name] = Output(name, one, [] if kind in _LISTS else "" if kind == "TEXT" else None, False)
        if kind == "FILES":
            self.files[name] = one
            return
        self.checks[name] = self._check_of(one)

    def _add_relation(self, one: Field) -> None:
        if one.is_to_many:
            self.to_many[one.name] = one
            return
        column = one.column
        assert column is not None
        self.relations[one.name] = one
        if one.type == "MORPH_RELATION" and self.release.hides_morphs:
            self.hidden |= {column, one.name}
        self.columns[column] = one
        self.checks[column] = scalars.uuid_value
        self.outputs[column] = Output(column, one, None, False)
        if one.doc.get("isUnique"):
            self.unique.append(UniqueKey(one, column, None, str(one.doc["label"])))

    def _check_of(self, one: Field) -> Coerce:
        kind = one.type
        if one.name == "id":
            return record_id
        if kind == "POSITION":
            return position
        if kind == "TS_VECTOR" or kind in self.release.unwritable:
            return partial(_read_only, kind)
        options = [str(option["value"]) for option in one.doc.get("options") or ()]
        if kind == "SELECT":
            return scalars.select(options, self.release.lists_options)
        if kind == "MULTI_SELECT":
            return scalars.multi_select(options)
        if kind == "RATING":
            return scalars.rating(options, self.release.lists_options)
        return _OF_DATES[self.release.dates].get(kind) or _SIMPLE[kind]

    def coerce(self, data: Json) -> Json:
        """Check one record's data: the keys given, converted; relations and files are left for the writer."""
        out: Json = {}
        checks = self.checks
        for key, value in data.items():
            check = checks.get(key)
            if check is not None:
                out[key] = check(value, key)
            else:
                self._coerce_rest(key, value, out)
        return out

    def _coerce_rest(self, key: str, value: Any, out: Json) -> None:
        if key in self.files:
            out[key] = value
        elif key in self.relations:
            if value is None:
                out[key] = None
                return
            if not isinstance(value, dict) or not ("connect" in value or value.get("disconnect") is True):
                if self.release.ignores_nested:
                    return
                raise invalid_args(f'Relation "{key}" requires connect or disconnect operation')
            out[key] = value
        elif key in self.to_many:
            raise invalid_args(f"One-to-many relation {key} field does not support write operations.")
        else:
            raise invalid_args(f'Object {self.obj.name} doesn\'t have any "{key}" field.')

    def read_back(self, doc: Json) -> Json:
        """Write a stored document as REST answers it, relations as their ids only; `hidden` ones are left out."""
        out: Json = {}
        for key, output in self.outputs.items():
            if key in self.hidden:
                continue
            value = doc.get(key)
            if output.is_composite:
                out[key] = {**output.empty, **value} if value else output.empty
            else:
                out[key] = output.empty if value is None else value
        return out

    def value(self, doc: Json, key: str) -> Any:
        """Read back one key; None for a key that is none of the object's."""
        output = self.outputs.get(key)
        if output is None:
            return None
        value = doc.get(key)
        if output.is_composite:
            return {**output.empty, **value} if value else output.empty
        return output.empty if value is None else value


def record_id(value: Any, path: str) -> Any:
    """The record's own id: any UUID, lower-cased."""
    if value is None:
        return None
    if isinstance(value, str) and is_uuid(value):
        return value.lower()
    shown = value if isinstance(value, str) else inspect(value)
    raise coded(f'Value "{shown}" is not a valid UUID', "INVALID_QUERY_INPUT", "Invalid UUID format.")


def position(value: Any, path: str) -> Any:
    """POSITION: a number, "first" or "last"."""
    if value is None or value in ("first", "last"):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    raise invalid_args(
        f"Invalid position value {inspect(value)} for field \"{path}\". Expected 'first', 'last' or a number"
    )


def _read_only(kind: str, value: Any, path: str) -> Any:
    raise invalid_args(f"{path} {kind}-typed field does not support write operations")
