"""A workspace's metadata: its objects and fields, in memory and in the state file alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from dentlib.sandbox.twenty.refusals import Json
from dentlib.sandbox.twenty.state import State, dumps
from dentlib.sandbox.twenty.versions import Release


@dataclass(eq=False, slots=True)
class Field:
    """One field: `doc` is what the API tells, plus `relation` ({type, obj, field} by slot), `morph` (the common name of
    a morph relation, of which this is one target) and `custom`."""

    slot: int
    obj: int
    doc: Json

    @property
    def id(self) -> str:
        return str(self.doc["id"])

    @property
    def name(self) -> str:
        return str(self.doc["name"])

    @property
    def type(self) -> str:
        return str(self.doc["type"])

    @property
    def relation(self) -> Json | None:
        found: Json | None = self.doc.get("relation")
        return found

    @property
    def column(self) -> str | None:
        """The foreign key column of a many-to-one relation."""
        settings = self.doc.get("settings") or {}
        found: str | None = settings.get("joinColumnName")
        return found

    @property
    def is_to_many(self) -> bool:
        return bool(self.relation and self.relation["type"] == "ONE_TO_MANY")


@dataclass(eq=False, slots=True)
class Object:
    """One object with its fields by name, in order."""

    slot: int
    doc: Json
    fields: dict[str, Field] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return str(self.doc["id"])

    @property
    def name(self) -> str:
        return str(self.doc["nameSingular"])

    @property
    def plural(self) -> str:
        return str(self.doc["namePlural"])

    @property
    def is_custom(self) -> bool:
        return bool(self.doc.get("custom"))


class Catalog:
    """All objects and fields of one workspace; every change goes to the state file in the caller's transaction."""

    def __init__(self, state: State, ws: int) -> None:
        self.state = state
        self.ws = ws
        self.objects: dict[int, Object] = {}
        self.fields: dict[int, Field] = {}
        self.version = 0

    @property
    def release(self) -> Release:
        """The version of Twenty that this is."""
        return self.state.release

    def load(self) -> Catalog:
        """Read everything from the state file."""
        self.objects = {
            slot: Object(slot, orjson.loads(doc))
            for slot, doc in self.state.all(
                "SELECT slot, doc FROM object_metadata WHERE ws=? ORDER BY slot", (self.ws,)
            )
        }
        self.fields = {}
        rows = self.state.all("SELECT slot, obj, doc FROM field_metadata WHERE ws=? ORDER BY slot", (self.ws,))
        for slot, obj, doc in rows:
            made = Field(slot, obj, orjson.loads(doc))
            self.fields[slot] = made
            self.objects[obj].fields[made.name] = made
        row = self.state.one("SELECT metadata_version FROM workspace WHERE ws=?", (self.ws,))
        self.version = row[0] if row else 0
        return self

    # -- finding ------------------------------------------------------------------------------------------------

    def by_name(self, singular: str) -> Object | None:
        return next((o for o in self.objects.values() if o.name == singular), None)

    def by_plural(self, plural: str) -> Object | None:
        return next((o for o in self.objects.values() if o.plural == plural), None)

    def by_id(self, object_id: str) -> Object | None:
        return next((o for o in self.objects.values() if o.id == object_id), None)

    def field_by_id(self, field_id: str) -> Field | None:
        return next((f for f in self.fields.values() if f.id == field_id), None)

    def target(self, of: Field) -> Object:
        """The object at the other end of a relation."""
        assert of.relation is not None
        return self.objects[of.relation["obj"]]

    def inverse(self, of: Field) -> Field:
        """The field at the other end of a relation."""
        assert of.relation is not None
        return self.fields[of.relation["field"]]

    def pointing_at(self, obj: Object) -> Iterator[Field]:
        """Every many-to-one field, anywhere, whose target is this object."""
        for found in self.fields.values():
            if found.relation and found.relation["obj"] == obj.slot and found.relation["type"] == "MANY_TO_ONE":
                yield found

    # -- changing -----------------------------------------------------------------------------------------------

    def next_slots(self) -> tuple[int, int]:
        """The next free slots for an object and for a field."""
        return max(self.objects, default=0) + 1, max(self.fields, default=0) + 1

    def add_object(self, made: Object) -> None:
        self.objects[made.slot] = made
        self.state.db.execute("INSERT INTO object_metadata VALUES (?,?,?)", (self.ws, made.slot, dumps(made.doc)))

    def add_fields(self, made: list[Field]) -> None:
        for one in made:
            self.fields[one.slot] = one
            self.objects[one.obj].fields[one.name] = one
        rows = [(self.ws, one.slot, one.obj, dumps(one.doc)) for one in made]
        self.state.db.executemany("INSERT INTO field_metadata VALUES (?,?,?,?)", rows)

    def save_object(self, changed: Object) -> None:
        self.state.db.execute(
            "UPDATE object_metadata SET doc=? WHERE ws=? AND slot=?", (dumps(changed.doc), self.ws, changed.slot)
        )

    def save_field(self, changed: Field, old_name: str | None = None) -> None:
        if old_name is not None and old_name != changed.name:
            owner = self.objects[changed.obj]
            owner.fields = {one.name: one for one in owner.fields.values()}
        self.state.db.execute(
            "UPDATE field_metadata SET doc=? WHERE ws=? AND slot=?", (dumps(changed.doc), self.ws, changed.slot)
        )

    def remove_field(self, gone: Field) -> None:
        del self.fields[gone.slot]
        self.objects[gone.obj].fields.pop(gone.name, None)
        self.state.db.execute("DELETE FROM field_metadata WHERE ws=? AND slot=?", (self.ws, gone.slot))

    def remove_object(self, gone: Object) -> None:
        del self.objects[gone.slot]
        self.state.db.execute("DELETE FROM object_metadata WHERE ws=? AND slot=?", (self.ws, gone.slot))

    def bump(self) -> None:
        """Count one change; compiled models of the version before are stale."""
        self.version += 1
        self.state.db.execute("UPDATE workspace SET metadata_version=? WHERE ws=?", (self.version, self.ws))


def plain_default(value: Any) -> Any:
    """Turn a default as metadata writes it ("'TODO'") into the value."""
    if isinstance(value, str) and len(value) >= 2 and value[0] == value[-1] == "'":
        return value[1:-1]
    if isinstance(value, dict):
        return {key: plain_default(item) for key, item in value.items()}
    return value
