"""Make what a schema plan says, one line at a time, and take it back.

`apply` returns a recipe: plain JSON that says what was made, by id. `undo` needs nothing else, in any later process.
"""

from __future__ import annotations

from collections.abc import Sequence

from dentlib.destinations.twenty.client import Client, Operation
from dentlib.destinations.twenty.describe import FIELD, PARTS, Catalog, Shape, columns_of
from dentlib.destinations.twenty.plan import RICH_TEXTS
from dentlib.destinations.twenty.plan import plan as compare
from dentlib.destinations.twenty.records import EITHER, Records
from dentlib.errors import InDoubt, Refused, SchemaConflict, UsageError
from dentlib.model import JSON, Decision, Option, SchemaItem, SchemaPlan, WantedField, WantedObject, WantedSchema

_NOTHING: JSON = {"kind": "nothing"}
_TEXT_PARTS = {
    kind: tuple(p for p in parts if not p.startswith(("additional", "secondary", "addressL")))
    for kind, parts in PARTS.items()
    if kind not in ("FILES", "ACTOR", "CURRENCY")
}
"""The parts of composites that are plain text; where all are empty, the field holds nothing."""

_LOOKED_AT_ONCE = 30
_OTHER_SIDE_ICON = "IconList"
_GONE = ("FIELD_METADATA_NOT_FOUND", "OBJECT_METADATA_NOT_FOUND", "NOT_FOUND")


class Schema:
    """The data model of one workspace, to change."""

    def __init__(self, client: Client, catalog: Catalog, records: Records) -> None:
        self._client = client
        self._catalog = catalog
        self._records = records
        self._empty: dict[str, bool] = {}
        self._unused: set[str] = set()  # ids of fields that no record was seen to hold anything of ours in

    def plan(self, wanted: WantedSchema) -> SchemaPlan:
        """Compare with what is there now. Reads only."""
        self._catalog.refresh()
        return compare(wanted, self._catalog.schema())

    def apply(self, item: SchemaItem) -> JSON:
        """Make one line and return its recipe; a line that needs nothing gets a recipe that undoes nothing.

        Idempotent: what the line wants and already finds counts as made by it, as after a lost answer. Raises
        SchemaConflict where something else is there.
        """
        if item.decision is Decision.CONFLICT:
            raise SchemaConflict(f"{_place(item)}: {item.reason}", "settle it in the workspace or in the map")
        if item.decision is Decision.EXTEND and item.wanted_field is not None:
            return self._add_options(item.wanted_field, item.add_options)
        if item.decision is Decision.CREATE:
            return self._found(item) or self._created(item)
        return dict(_NOTHING)

    def undo(self, recipe: JSON) -> None:
        """Take back what a recipe says. Idempotent: gone already is fine.

        Options are removed by sending the current list without ours, so that every other one keeps its id. Raises
        Refused (`IN_USE`) where records hold something that would be lost with it: an object with records, a field
        with values, an option that is chosen. Nothing is changed then, but options that nobody chose go.
        """
        held = self.in_use(recipe)
        if held:
            staying = self._without_free_options(recipe) if recipe["kind"] == "options" else []
            which = f" ({', '.join(staying)})" if staying else ""
            holding = "1 record holds" if held == 1 else f"{held} records hold"
            raise Refused(
                f"{_of_recipe(recipe)}{which} can't be taken back: {holding} something in it",
                "move or clear what they hold, then roll back again; or keep this addition",
                code="IN_USE",
            )
        kind = recipe["kind"]
        if kind == "object":
            self._delete("deleteOneObject", recipe["id"])
        elif kind == "field":
            self._delete("deleteOneField", recipe["id"])
        elif kind == "options":
            self._remove_options(recipe)
        self._catalog.forget()

    def _without_free_options(self, recipe: JSON) -> list[str]:
        """Remove those of a recipe's options that no record holds; return the others."""
        values = list(recipe["values"])
        free = [v for v in values if len(values) > 1 and not self.in_use({**recipe, "values": [v]})]
        if free:
            self._remove_options({**recipe, "values": free})
            self._catalog.forget()
        return [v for v in values if v not in free]

    def in_use(self, recipe: JSON) -> int:
        """Count the records that would lose something if this recipe were undone, soft-deleted ones included.

        Costs two calls at most, and none for a field of an object that was found empty before.
        """
        name = recipe.get("object", "")
        if recipe["kind"] == "nothing" or name not in set(self._catalog.names()):
            return 0
        shape = self._catalog.shape(name)
        if recipe["kind"] == "object":
            return self._count(shape, {}) if shape.id == recipe["id"] else 0
        field = next((f for f in shape.fields if f["id"] == recipe["id"]), None)
        if field is None or recipe["id"] in self._unused or self._is_empty(shape):
            return 0
        where = _held(field, recipe)
        return self._count(shape, where) if where else 0

    def look(self, recipes: Sequence[JSON]) -> None:
        """Look at several fields and options of one object at once: one call where no record holds anything in them.

        What is seen to be free stays so until the next write through this connection; undo it right after.
        """
        name = recipes[0].get("object", "") if recipes else ""
        if name not in set(self._catalog.names()):
            return
        shape = self._catalog.shape(name)
        by_id = {f["id"]: f for f in shape.fields}
        wanted = [r for r in recipes if r["kind"] in ("field", "options") and r["id"] in by_id]
        if len(wanted) < 2 or self._is_empty(shape):
            return
        for start in range(0, len(wanted), _LOOKED_AT_ONCE):
            some = wanted[start : start + _LOOKED_AT_ONCE]
            held = [where for r in some if (where := _held(by_id[r["id"]], r))]
            if not held or not self._count(shape, {"or": held}):
                self._unused.update(r["id"] for r in some)

    def touched(self) -> None:
        """Note that records were written: what was empty or not may have changed."""
        self._empty.clear()
        self._unused.clear()

    def _is_empty(self, shape: Shape) -> bool:
        if shape.id not in self._empty:
            self._empty[shape.id] = self._count(shape, {}) == 0
        return self._empty[shape.id]

    def _count(self, shape: Shape, where: JSON) -> int:
        return self._records.count_where(shape, {"and": [EITHER, where]} if where else EITHER)

    def _created(self, item: SchemaItem) -> JSON:
        """Make it; where the server says that it exists, or says nothing, look whether it is there as wanted."""
        try:
            if item.wanted_object is not None:
                return self._create_object(item.wanted_object)
            if item.wanted_field is not None:
                return self._create_field(item.wanted_field)
        except (InDoubt, Refused) as error:
            self._catalog.refresh()
            taken = isinstance(error, InDoubt) or error.code in ("OBJECT_ALREADY_EXISTS", "NOT_AVAILABLE")
            found = self._found(item) if taken else None
            if found is None:
                raise
            return found
        raise UsageError(f"{_place(item)}: the plan's line doesn't say what is wanted", "make the plan again")

    def _found(self, item: SchemaItem) -> JSON | None:
        """Return the recipe of what is there already as wanted. Raises SchemaConflict where it is there otherwise."""
        wanted_fields = (item.wanted_field,) if item.wanted_field else ()
        wanted_objects = (item.wanted_object,) if item.wanted_object else ()
        line = compare(WantedSchema(wanted_objects, wanted_fields), self._catalog.schema()).items[0]
        if line.decision is Decision.CONFLICT:
            raise SchemaConflict(f"{_place(item)}: {line.reason}", "settle it in the workspace or in the map")
        if line.decision is not Decision.REUSE:
            return None
        shape = self._catalog.shape(item.object)
        if not item.field:
            return {"kind": "object", "id": shape.id, "object": item.object}
        return {"kind": "field", "id": shape.field(item.field)["id"], "object": item.object, "field": item.field}

    def _create_object(self, wanted: WantedObject) -> JSON:
        body = {
            "nameSingular": wanted.name,
            "namePlural": wanted.plural,
            "labelSingular": wanted.label,
            "labelPlural": wanted.label_plural,
            "description": wanted.description or None,
            "icon": wanted.icon,
        }
        operation = Operation(
            "createOneObject",
            "(input:$o)",
            "{id nameSingular}",
            {"o": ("CreateOneObjectInput!", {"object": {k: v for k, v in body.items() if v is not None}})},
            writes=True,
        )
        made = self._client.metadata(operation, f"make the object {wanted.name}")
        self._catalog.forget()
        return {"kind": "object", "id": made["id"], "object": wanted.name}

    def _create_field(self, wanted: WantedField) -> JSON:
        operation = Operation(
            "createOneField",
            "(input:$f)",
            FIELD,
            {"f": ("CreateOneFieldMetadataInput!", {"field": self._field_body(wanted)})},
            writes=True,
        )
        made = self._client.metadata(operation, f"make the field {wanted.object}.{wanted.name}")
        if wanted.type == "RELATION":
            self._catalog.forget()  # the other object has a new field too
        else:
            self._catalog.add_field(wanted.object, made)
        return {"kind": "field", "id": made["id"], "object": wanted.object, "field": wanted.name}

    def _field_body(self, wanted: WantedField) -> JSON:
        body: JSON = {
            "objectMetadataId": self._catalog.shape(wanted.object).id,
            "type": self._rich_text() if wanted.type in RICH_TEXTS else wanted.type,
            "name": wanted.name,
            "label": wanted.label,
        }
        if wanted.description:
            body["description"] = wanted.description
        if wanted.icon:
            body["icon"] = wanted.icon
        if wanted.unique:
            body["isUnique"] = True
        if wanted.options:
            body["options"] = [_option(o, n) for n, o in enumerate(wanted.options)]
        if wanted.type == "FILES":
            body["settings"] = {"maxNumberOfValues": 1}
        if wanted.type == "RELATION":
            body["relationCreationPayload"] = {
                "targetObjectMetadataId": self._catalog.shape(wanted.target).id,
                "targetFieldLabel": wanted.inverse_label,
                "targetFieldIcon": _OTHER_SIDE_ICON,
                "type": "MANY_TO_ONE",
            }
        return body

    def _rich_text(self) -> str:
        """Return what this version calls a formatted text, as its own notes have it."""
        return str(self._catalog.shape("note").field("bodyV2")["type"])

    def _add_options(self, wanted: WantedField, added: Sequence[Option]) -> JSON:
        self._catalog.refresh()
        field = self._catalog.shape(wanted.object).field(wanted.name)
        current = list(field["options"] or ())
        there = {o["value"] for o in current}
        free = 1 + max((o.get("position", 0) for o in current), default=-1)
        new = [_option(o, free + n) for n, o in enumerate(o for o in added if o.value not in there)]
        if new:
            self._send_options(field["id"], current + new, f"add options to {wanted.object}.{wanted.name}")
        values = [o.value for o in added]
        return {
            "kind": "options",
            "id": field["id"],
            "object": wanted.object,
            "field": wanted.name,
            "values": values,
        }

    def _remove_options(self, recipe: JSON) -> None:
        self._catalog.refresh()
        if recipe["object"] not in set(self._catalog.names()):
            return
        shape = self._catalog.shape(recipe["object"])
        field = next((f for f in shape.fields if f["id"] == recipe["id"]), None)
        if field is None:
            return
        kept = [o for o in field["options"] or () if o["value"] not in recipe["values"]]
        if len(kept) == len(field["options"] or ()):
            return
        self._send_options(field["id"], kept, f"remove options from {_of_recipe(recipe)}")

    def _send_options(self, field_id: str, options: Sequence[JSON], what: str) -> None:
        operation = Operation(
            "updateOneField",
            "(input:{id:$i,update:$u})",
            "{id options}",
            {"i": ("UUID!", field_id), "u": ("UpdateFieldInput!", {"options": list(options)})},
            writes=True,
        )
        self._client.metadata(operation, what)
        self._catalog.forget()

    def _delete(self, mutation: str, thing_id: str) -> None:
        operation = Operation(mutation, "(input:{id:$i})", "{id}", {"i": ("UUID!", thing_id)}, writes=True)
        try:
            self._client.metadata(operation, "take back an addition to the data model")
        except Refused as refused:
            self._catalog.refresh()
            if refused.code not in _GONE and self._is_there(thing_id):
                raise
        except InDoubt:
            self._catalog.refresh()
            if self._is_there(thing_id):
                raise

    def _is_there(self, thing_id: str) -> bool:
        return any(
            o["id"] == thing_id or any(f["id"] == thing_id for f in o["fieldsList"]) for o in self._catalog.objects()
        )


def _held(field: JSON, recipe: JSON) -> JSON:
    """Return the filter for records that hold something of what a recipe made; empty where nothing can."""
    if recipe["kind"] != "options":
        return _holds_something(field)
    there = {o["value"] for o in field["options"] or ()}
    values = [v for v in recipe["values"] if v in there]  # some versions refuse to look for another
    return _chosen(field, values) if values else {}


def _chosen(field: JSON, values: Sequence[str]) -> JSON:
    return {field["name"]: {"in" if field["type"] == "SELECT" else "containsAny": list(values)}}


def _holds_something(field: JSON) -> JSON:
    """Return the filter for records with a value in this field. An empty text is none, nor is a box not ticked."""
    name, kind = field["name"], field["type"]
    columns = columns_of(field)
    if columns:
        return {"or": [{column: {"is": "NOT_NULL"}} for column in columns]}
    if kind == "BOOLEAN":
        return {name: {"eq": True}}
    if kind == "TEXT":
        return {name: {"gt": ""}}
    if kind == "MULTI_SELECT":
        return _chosen(field, [o["value"] for o in field["options"] or ()])
    if kind == "CURRENCY":
        return {name: {"amountMicros": {"is": "NOT_NULL"}}}
    if kind in _TEXT_PARTS:
        return {"or": [{name: {part: {"gt": ""}}} for part in _TEXT_PARTS[kind]]}
    return {name: {"is": "NOT_NULL"}}


def _option(option: Option, position: int) -> JSON:
    return {"value": option.value, "label": option.label, "color": option.color, "position": position}


def _of_recipe(recipe: JSON) -> str:
    return f"{recipe['object']}.{recipe['field']}" if "field" in recipe else str(recipe["object"])


def _place(item: SchemaItem) -> str:
    return f"{item.object}.{item.field}" if item.field else item.object
