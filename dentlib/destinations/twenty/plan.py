"""Compare the schema that a map wants with what a Twenty workspace has. Reads only.

Every wanted object and field ends as create, reuse, extend or conflict, with the reason in words; conflicts are found
here, before the server refuses half of a schema.
"""

from __future__ import annotations

from dentlib.destinations.twenty.describe import PARTS
from dentlib.destinations.twenty.names import camel, fault_of
from dentlib.model import (
    Decision,
    DestinationField,
    DestinationObject,
    DestinationSchema,
    SchemaItem,
    SchemaPlan,
    WantedField,
    WantedObject,
    WantedSchema,
)

_OPTION_TYPES = ("SELECT", "MULTI_SELECT")
RICH_TEXTS = frozenset({"RICH_TEXT", "RICH_TEXT_V2"})
"""One kind of field, whose type versions call differently."""

_NOT_CREATABLE = ("NUMERIC", "TS_VECTOR", "POSITION")
_NOT_UNIQUE = ("FULL_NAME", "ADDRESS", *RICH_TEXTS, "RAW_JSON", "FILES", "ACTOR", "CURRENCY", "ARRAY", "MULTI_SELECT")
BORN_WITH = {
    "name": "TEXT",
    "id": "UUID",
    "createdAt": "DATE_TIME",
    "updatedAt": "DATE_TIME",
    "deletedAt": "DATE_TIME",
    "createdBy": "ACTOR",
    "updatedBy": "ACTOR",
    "position": "POSITION",
    "searchVector": "TS_VECTOR",
    "timelineActivities": "RELATION",
    "attachments": "RELATION",
    "noteTargets": "RELATION",
    "taskTargets": "RELATION",
}
"""Fields that a custom object has from its first moment, and their types."""


class _Taken:
    """Names in use per object: those that are there, and those that earlier lines of this plan will make."""

    def __init__(self, schema: DestinationSchema) -> None:
        self._by_object = {o.name: _names_of(o) for o in schema.objects.values()}

    def open(self, object_name: str) -> None:
        self._by_object[object_name] = set(BORN_WITH)

    def add(self, object_name: str, *names: str) -> None:
        self._by_object.setdefault(object_name, set()).update(names)

    def holds(self, object_name: str, name: str) -> bool:
        return name in self._by_object.get(object_name, ())


def plan(wanted: WantedSchema, schema: DestinationSchema) -> SchemaPlan:
    """Return one line per wanted object and field, in the order of application."""
    taken = _Taken(schema)
    coming: set[str] = set()
    lines: list[SchemaItem] = []
    for item in (_object_line(o, schema) for o in wanted.objects):
        lines.append(item)
        if item.decision is Decision.CREATE:
            coming.add(item.object)
            taken.open(item.object)
    lines.extend(_field_line(f, schema, coming, taken) for f in wanted.fields)
    return SchemaPlan(tuple(lines))


def _object_line(wanted: WantedObject, schema: DestinationSchema) -> SchemaItem:
    def line(decision: Decision, reason: str) -> SchemaItem:
        return SchemaItem(decision, wanted.name, label=wanted.label, reason=reason, wanted_object=wanted)

    there = schema.objects.get(wanted.name)
    if there is not None:
        if not there.active:
            return line(Decision.CONFLICT, f"`{wanted.name}` exists but is deactivated: activate it, or rename ours")
        if there.plural != wanted.plural:
            return line(Decision.CONFLICT, f"`{wanted.name}` exists with the plural `{there.plural}`")
        return line(Decision.REUSE, "exists")
    fault = fault_of(wanted.name) or fault_of(wanted.plural)
    if not fault and wanted.name == wanted.plural:
        fault = f"singular and plural are both `{wanted.name}`"
    in_use = {n for o in schema.objects.values() for n in (o.name, o.plural)}
    if not fault and {wanted.name, wanted.plural} & in_use:
        fault = f"`{wanted.name}` or `{wanted.plural}` is the name of another object"
    return line(Decision.CONFLICT, fault) if fault else line(Decision.CREATE, "not there")


def _field_line(wanted: WantedField, schema: DestinationSchema, coming: set[str], taken: _Taken) -> SchemaItem:
    owner = schema.objects.get(wanted.object)
    there = owner.fields.get(wanted.name) if owner else None
    if there is None and wanted.object in coming and BORN_WITH.get(wanted.name) == wanted.type:
        return _line(wanted, Decision.REUSE, "every custom object has it")
    if there is not None:
        return _existing(wanted, there)
    fault = _fault_of_new(wanted, owner, schema, coming, taken)
    if fault:
        return _line(wanted, Decision.CONFLICT, fault)
    taken.add(wanted.object, *_columns(wanted.name, wanted.type))
    if wanted.type == "RELATION":
        taken.add(wanted.target, camel(wanted.inverse_label))
    return _line(wanted, Decision.CREATE, "not there")


def _existing(wanted: WantedField, there: DestinationField) -> SchemaItem:
    if there.type != wanted.type and not {there.type, wanted.type} <= RICH_TEXTS:
        return _line(wanted, Decision.CONFLICT, f"exists with the type {there.type}, {wanted.type} is wanted")
    if not there.active:
        return _line(wanted, Decision.CONFLICT, "exists but is deactivated: activate it in the workspace's settings")
    if wanted.unique and not there.unique:
        return _line(wanted, Decision.CONFLICT, "exists but is not unique: make it unique in the workspace's settings")
    if wanted.type == "RELATION" and not there.columns:
        return _line(wanted, Decision.CONFLICT, f"exists as the list of {there.target} that point here")
    if wanted.type == "RELATION" and there.target != wanted.target:
        return _line(wanted, Decision.CONFLICT, f"exists and points to {there.target}, {wanted.target} is wanted")
    values = {o.value for o in there.options}
    missing = tuple(o for o in wanted.options if o.value not in values)
    if wanted.type in _OPTION_TYPES and missing:
        return SchemaItem(
            Decision.EXTEND,
            wanted.object,
            wanted.name,
            wanted.type,
            wanted.label,
            f"exists, {len(missing)} options are added",
            wanted_field=wanted,
            add_options=missing,
        )
    return _line(wanted, Decision.REUSE, "exists")


def _fault_of_new(
    wanted: WantedField,
    owner: DestinationObject | None,
    schema: DestinationSchema,
    coming: set[str],
    taken: _Taken,
) -> str:
    if owner is None and wanted.object not in coming:
        return f"there is no object `{wanted.object}`"
    if wanted.extend:
        return f"there is no field `{wanted.name}` whose options could be extended"
    if wanted.type in _NOT_CREATABLE:
        return f"a field of type {wanted.type} can't be made"
    if wanted.unique and wanted.type in _NOT_UNIQUE:
        return f"a field of type {wanted.type} can't be unique"
    fault = fault_of(wanted.name)
    if fault:
        return fault
    for column in _columns(wanted.name, wanted.type):
        if taken.holds(wanted.object, column):
            return f"the name `{column}` is taken on {wanted.object}"
    if wanted.type in _OPTION_TYPES and not wanted.options:
        return "a choice without options can't be made"
    if wanted.type == "RELATION":
        return _fault_of_relation(wanted, schema, coming, taken)
    return ""


def _fault_of_relation(wanted: WantedField, schema: DestinationSchema, coming: set[str], taken: _Taken) -> str:
    if wanted.target not in schema.objects and wanted.target not in coming:
        return f"there is no object `{wanted.target}` to point to"
    inverse = camel(wanted.inverse_label)
    fault = fault_of(inverse)
    if fault:
        return f"the list on the other side: {fault}"
    if taken.holds(wanted.target, inverse):
        return f"the list on the other side would be called `{inverse}`, which is taken on {wanted.target}"
    return ""


def _names_of(there: DestinationObject) -> set[str]:
    return {c for f in there.fields.values() for c in (f.name, *f.columns, *_columns(f.name, f.type))}


def _columns(name: str, kind: str) -> list[str]:
    """Return the names that a field takes up: its own, `patientId` of a relation, `feeAmountMicros` of a composite."""
    if kind == "RELATION":
        return [name, f"{name}Id"]
    return [name, *(name + part[:1].upper() + part[1:] for part in PARTS.get(kind, ()) if kind != "FILES")]


def _line(wanted: WantedField, decision: Decision, reason: str) -> SchemaItem:
    return SchemaItem(decision, wanted.object, wanted.name, wanted.type, wanted.label, reason, wanted_field=wanted)
