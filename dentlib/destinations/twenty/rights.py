"""What this API key may do, told before a run: records per object, the data model, what is left out. Reads only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dentlib.destinations.twenty.client import Client, Operation
from dentlib.destinations.twenty.describe import Catalog
from dentlib.errors import AccessDenied, Refused
from dentlib.model import JSON

_GENERAL = "canReadAllObjectRecords canUpdateAllObjectRecords canDestroyAllObjectRecords"
_EACH = "canReadObjectRecords canUpdateObjectRecords canDestroyObjectRecords"
_ROLES = f"{{label canUpdateAllSettings {_GENERAL} apiKeys{{id}} objectPermissions{{objectMetadataId {_EACH}}}}}"
_VERBS = (("Read", "read"), ("Update", "create and change"), ("Destroy", "destroy"))
NOBODY = "00000000-0000-4000-8000-000000000000"
"""An id that no record has."""


@dataclass(frozen=True, slots=True)
class Role:
    """A role as the workspace describes it."""

    label: str
    raw: JSON

    def may(self, verb: str, object_id: str) -> bool:
        """Tell whether members of this role may Read, Update or Destroy an object's records."""
        for permission in self.raw.get("objectPermissions") or ():
            own = permission.get(f"can{verb}ObjectRecords")
            if permission["objectMetadataId"] == object_id and own is not None:
                return bool(own)
        return bool(self.raw[f"can{verb}AllObjectRecords"])

    @property
    def may_change_schema(self) -> bool:
        """Tell whether members of this role may make objects and fields."""
        return bool(self.raw["canUpdateAllSettings"])


class Rights:
    """The rights of the key by which this workspace is spoken to."""

    def __init__(self, client: Client, catalog: Catalog) -> None:
        self._client = client
        self._catalog = catalog
        self._role: Role | None = None
        self._asked = False

    def role(self) -> Role | None:
        """Return the key's role; None where the workspace doesn't tell which one it is. Costs no rate."""
        if not self._asked:
            self._asked = True
            self._role = self._found()
        return self._role

    def missing(self, object_names: Sequence[str], *, schema: bool) -> list[str]:
        """Say in words what the key may not do, of what a load and its rollback need; empty where nothing lacks.

        Costs no rate where the workspace tells the key's role; else two calls an object, which write nothing.
        """
        role = self.role()
        there = [n for n in object_names if n in set(self._catalog.names())]
        if role is None:
            return [words for name in there for words in self._tried(name)]
        lacking = [
            f"{word} records of {name}"
            for name in there
            for verb, word in _VERBS
            if not role.may(verb, self._catalog.shape(name).id)
        ]
        if schema and not role.may_change_schema:
            lacking.append("change the data model")
        return lacking

    def _found(self) -> Role | None:
        try:
            raw: list[JSON] = self._client.metadata(Operation("getRoles", "", _ROLES), "read the key's role")
        except (Refused, AccessDenied):
            return None
        holding = [r for r in raw if any(k["id"] == self._client.key_id for k in r.get("apiKeys") or ())]
        if not holding and self._client.key_id is None:
            holding = [r for r in raw if r.get("apiKeys")]
        return Role(str(holding[0]["label"]), holding[0]) if len(holding) == 1 else None

    def _tried(self, name: str) -> Iterator[str]:
        """Write nothing, in each way, and see whether that is allowed."""
        shape = self._catalog.shape(name)
        create: tuple[str, str, dict[str, tuple[str, Any]]] = (
            f"create{shape.plural_name}",
            "(data:$d)",
            {"d": (f"[{shape.type_name}CreateInput!]!", [])},
        )
        destroy: tuple[str, str, dict[str, tuple[str, Any]]] = (
            f"destroy{shape.plural_name}",
            "(filter:$f)",
            {"f": (f"{shape.type_name}FilterInput!", {"id": {"eq": NOBODY}})},
        )
        for (root, arguments, variables), word in ((create, "create and change"), (destroy, "destroy")):
            operation = Operation(root, arguments, "{id}", variables, writes=True)
            try:
                self._client.records(operation, f"try whether the key may {word} {shape.plural}")
            except AccessDenied:
                yield f"{word} records of {name}"
            except Refused:
                continue  # nothing to write or destroy: that is not a matter of rights
