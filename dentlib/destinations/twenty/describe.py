"""Read the data model of a Twenty workspace: objects, fields, options, and how each field is read and written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from dentlib.destinations.twenty.client import Client, Operation
from dentlib.errors import Refused, Terminal
from dentlib.model import JSON, DestinationField, DestinationObject, DestinationSchema, Option

FIELD = """{id name label type isNullable isUnique isSystem isActive options settings defaultValue
relation{type targetObjectMetadata{nameSingular}}
morphRelations{type targetObjectMetadata{nameSingular}}}"""
"""What is read of a field."""

_OBJECT = (
    f"{{edges{{node{{id nameSingular namePlural labelSingular labelPlural isActive isSystem fieldsList{FIELD}}}}}"
    "pageInfo{hasNextPage endCursor}}"
)

PARTS: dict[str, tuple[str, ...]] = {
    "FULL_NAME": ("firstName", "lastName"),
    "EMAILS": ("primaryEmail", "additionalEmails"),
    "PHONES": ("primaryPhoneNumber", "primaryPhoneCountryCode", "primaryPhoneCallingCode", "additionalPhones"),
    "ADDRESS": (
        "addressStreet1",
        "addressStreet2",
        "addressCity",
        "addressState",
        "addressPostcode",
        "addressCountry",
        "addressLat",
        "addressLng",
    ),
    "LINKS": ("primaryLinkUrl", "primaryLinkLabel", "secondaryLinks"),
    "CURRENCY": ("amountMicros", "currencyCode"),
    "ACTOR": ("source", "name", "workspaceMemberId", "context"),
    "RICH_TEXT": ("blocknote", "markdown"),
    "RICH_TEXT_V2": ("blocknote", "markdown"),
    "FILES": ("fileId", "label"),
}
"""Composite types and the parts they are written with."""

OLD_RICH_TEXT = "OLD_RICH_TEXT"
"""Versions with RICH_TEXT_V2 still have RICH_TEXT, which can be made, but neither written nor read in parts."""

FILE_FIELD, PATH_FIELD = "file", "fullPath"
"""Where an attachment holds its file: in a FILES field, or by a path in versions without such fields."""

_NOT_WRITTEN = {"searchVector", "updatedBy"}
"""Read only: the first is derived, the second is always the last key or person that wrote."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How one object is named in GraphQL and what of it is read back."""

    id: str
    singular: str
    plural: str
    fields: tuple[JSON, ...]

    @property
    def type_name(self) -> str:
        """Return the GraphQL type's name, which input types begin with: `Person`."""
        return _capital(self.singular)

    @property
    def plural_name(self) -> str:
        """Return what follows the verb in mutations on many: `People`."""
        return _capital(self.plural)

    @property
    def selection(self) -> str:
        """Return the selection of everything that can be written, in the form in which it is written."""
        return "{" + " ".join(_selected(f) for f in self.fields if _is_written(f)) + "}"

    def some(self, names: Iterable[str]) -> str:
        """Return a selection of the id and, of these fields and columns, those that are here."""
        wanted = set(names) - {"id"}
        readable = [f for f in self.fields if _is_written(f) or f["name"] == "updatedBy"]
        chosen = [_selected(f) for f in readable if f["name"] in wanted]
        chosen += [c for f in readable for c in columns_of(f) if c in wanted]
        return "{" + " ".join(["id", *dict.fromkeys(chosen)]) + "}"

    @property
    def currencies(self) -> tuple[str, ...]:
        """Return the names of money fields, whose micros may come as text."""
        return tuple(f["name"] for f in self.fields if f["type"] == "CURRENCY")

    def field(self, name: str) -> JSON:
        """Return one field's metadata. Raises Refused where there is none."""
        for field in self.fields:
            if field["name"] == name:
                return field
        raise Refused(f"{self.singular} has no field {name}", "apply the schema plan first", code="UNKNOWN_FIELD")

    def has_files(self, name: str) -> bool:
        """Tell whether this is a field that holds uploaded files."""
        return any(f["name"] == name and f["type"] == "FILES" for f in self.fields)

    def has_column(self, name: str) -> bool:
        """Tell whether a relation is written under this name."""
        return any(name in columns_of(f) for f in self.fields)


class Catalog:
    """The data model as last read; read again on demand. Costs no rate."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._shapes: dict[str, Shape] = {}
        self._raw: list[JSON] = []

    def refresh(self) -> None:
        """Read all objects and fields again."""
        self._raw = list(self._pages())
        kinds = {f["type"] for o in self._raw for f in o["fieldsList"]}
        for one in self._raw if "RICH_TEXT_V2" in kinds else ():
            for field in one["fieldsList"]:
                if field["type"] == "RICH_TEXT":
                    field["type"] = OLD_RICH_TEXT
        self._shapes = {o["nameSingular"]: _shape(o) for o in self._raw}

    def forget(self) -> None:
        """Drop what is known, so that the next question reads again."""
        self._raw, self._shapes = [], {}

    def add_field(self, object_name: str, raw: JSON) -> None:
        """Take in a field that was just made, as the server answered it."""
        for known in self._raw:
            if known["nameSingular"] == object_name:
                known["fieldsList"].append(raw)
                self._shapes[object_name] = _shape(known)

    def objects(self) -> list[JSON]:
        """Return every object's metadata as the server gives it."""
        if not self._raw:
            self.refresh()
        return self._raw

    def names(self) -> Iterable[str]:
        """Return the singular names of all objects."""
        self.objects()
        return self._shapes.keys()

    def shape(self, name: str) -> Shape:
        """Return one object's shape; reads again before giving up. Raises Refused for an object that isn't there."""
        if name not in self._shapes:
            self.refresh()
        if name not in self._shapes:
            raise Refused(f"the workspace has no object {name}", "apply the schema plan first", code="UNKNOWN_OBJECT")
        return self._shapes[name]

    def schema(self) -> DestinationSchema:
        """Return the data model in the library's own nouns."""
        return DestinationSchema({o["nameSingular"]: _object(o) for o in self.objects()})

    def _pages(self) -> Iterator[JSON]:
        after = ""
        while True:
            cursor = f',after:"{after}"' if after else ""
            operation = Operation("objects", f"(paging:{{first:200{cursor}}})", _OBJECT)
            page = self._client.metadata(operation, "read the data model")
            yield from (edge["node"] for edge in page["edges"])
            if not page["pageInfo"]["hasNextPage"]:
                return
            if page["pageInfo"]["endCursor"] in (after, None):
                raise Terminal("read the data model: the server gives the same page again and again")
            after = page["pageInfo"]["endCursor"]


def columns_of(field: JSON) -> tuple[str, ...]:
    """Return the names under which a relation to one record is written; nothing for other fields."""
    settings = field.get("settings") or {}
    if settings.get("relationType") != "MANY_TO_ONE":
        return ()
    if field["type"] == "RELATION":
        return (settings.get("joinColumnName") or field["name"] + "Id",)
    if field["type"] != "MORPH_RELATION":
        return ()
    targets = [r["targetObjectMetadata"]["nameSingular"] for r in field.get("morphRelations") or ()]
    stem = _morph_stem(field, targets)
    return tuple(dict.fromkeys(f"{stem}{_capital(t)}Id" for t in targets)) or (settings["joinColumnName"],)


def default_of(field: JSON) -> Any:
    """Return the value that a new record gets where none is sent; a text default is written in quotes of its own."""
    return _unquoted(field.get("defaultValue"))


def _unquoted(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _unquoted(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_unquoted(v) for v in value]
    return value[1:-1] if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == "'" else value


def targets_of(field: JSON) -> tuple[str, ...]:
    """Return the objects that a relation to one record may point to, in the order of its columns."""
    if field["type"] == "MORPH_RELATION":
        return tuple(r["targetObjectMetadata"]["nameSingular"] for r in field.get("morphRelations") or ())
    relation = field.get("relation") or {}
    target = (relation.get("targetObjectMetadata") or {}).get("nameSingular")
    return (target,) if target else ()


def columns_to(field: JSON, target: str) -> tuple[str, ...]:
    """Return the columns of a relation that point to this object."""
    columns, targets = columns_of(field), targets_of(field)
    if target not in targets:
        return ()
    if field["type"] == "RELATION":
        return columns
    return tuple(c for c in columns if c == f"{_morph_stem(field, list(targets))}{_capital(target)}Id")


def _morph_stem(field: JSON, targets: list[str]) -> str:
    """Return what stands before the target's name: `target` of targetPersonId."""
    column = str((field.get("settings") or {}).get("joinColumnName") or "")
    for target in sorted(targets, key=len, reverse=True):
        if column.endswith(f"{_capital(target)}Id"):
            return column[: -len(target) - 2]
    return str(field["name"])


def _selected(field: JSON) -> str:
    columns = columns_of(field)
    if columns:
        return " ".join(columns)
    parts = PARTS.get(field["type"])
    return f"{field['name']}{{{' '.join(parts)}}}" if parts else str(field["name"])


def _is_written(field: JSON) -> bool:
    if field["name"] in _NOT_WRITTEN or field["type"] in ("TS_VECTOR", OLD_RICH_TEXT) or not field["isActive"]:
        return False
    return field["type"] not in ("RELATION", "MORPH_RELATION") or bool(columns_of(field))


def _shape(raw: JSON) -> Shape:
    return Shape(raw["id"], raw["nameSingular"], raw["namePlural"], tuple(raw["fieldsList"]))


def _object(raw: JSON) -> DestinationObject:
    return DestinationObject(
        id=raw["id"],
        name=raw["nameSingular"],
        plural=raw["namePlural"],
        label_plural=raw["labelPlural"],
        label=raw["labelSingular"],
        fields={f["name"]: _field(f) for f in (*raw["fieldsList"], *_file_by_path(raw["fieldsList"]))},
        active=bool(raw["isActive"]),
    )


def _file_by_path(fields: list[JSON]) -> list[JSON]:
    """Return the file of an object that refers to it by path only: a field to upload to, as other versions have it."""
    names = {f["name"] for f in fields}
    if PATH_FIELD not in names or FILE_FIELD in names:
        return []
    path = next(f for f in fields if f["name"] == PATH_FIELD)
    return [{**path, "name": FILE_FIELD, "label": "File", "type": "FILES"}]


def _field(raw: JSON) -> DestinationField:
    relation: Any = raw.get("relation") or {}
    options = sorted(raw.get("options") or (), key=lambda o: o.get("position", 0))
    return DestinationField(
        id=raw["id"],
        name=raw["name"],
        type=raw["type"],
        label=raw["label"],
        unique=bool(raw["isUnique"]),
        nullable=bool(raw["isNullable"]),
        options=tuple(Option(o["value"], o["label"], o.get("color", "gray")) for o in options),
        target=(relation.get("targetObjectMetadata") or {}).get("nameSingular", ""),
        active=bool(raw["isActive"]),
        system=bool(raw["isSystem"]),
        columns=columns_of(raw),
        targets=tuple(dict.fromkeys(targets_of(raw))) if columns_of(raw) else (),
        default=default_of(raw),
    )


def _capital(name: str) -> str:
    return name[:1].upper() + name[1:]
