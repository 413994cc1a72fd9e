"""A destination's schema: what a map wants, what is there, and the plan that joins the two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from dentlib.model.values import content_hash


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a SELECT or MULTI_SELECT field."""

    value: str
    label: str
    color: str = "gray"


@dataclass(frozen=True, slots=True)
class WantedObject:
    """A custom object that a map needs. `offer_name` is what the offer to the client called it."""

    name: str
    plural: str
    label: str
    label_plural: str
    description: str = ""
    icon: str = "IconBox"
    offer_name: str = ""


@dataclass(frozen=True, slots=True)
class WantedField:
    """A field that a map needs on an object, standard or custom.

    `type` is a Twenty field type (TEXT, NUMBER, BOOLEAN, DATE, DATE_TIME, SELECT, MULTI_SELECT, CURRENCY, ADDRESS,
    PHONES, EMAILS, LINKS, ARRAY, RICH_TEXT, RAW_JSON, RELATION, ...). For RELATION `target` is the target object's
    singular name and `inverse_label` the label of the list on the other side. `extend` marks a standard SELECT that
    only gets options added.
    """

    object: str
    name: str
    type: str
    label: str
    description: str = ""
    options: tuple[Option, ...] = ()
    unique: bool = False
    target: str = ""
    inverse_label: str = ""
    extend: bool = False
    offer_name: str = ""
    icon: str = ""


@dataclass(frozen=True, slots=True)
class WantedSchema:
    """All custom objects and fields of a map, in the order in which they must be made."""

    objects: tuple[WantedObject, ...]
    fields: tuple[WantedField, ...]


@dataclass(frozen=True, slots=True)
class DestinationField:
    """A field as the destination describes it. `options` are values in the destination's order.

    `columns`: the names under which a relation is written (`companyId`; `targetPersonId`, … where it may point to
    several objects). Empty for everything else, also for the list on the other side of a relation. `targets`: the
    objects that these point to, in the same order. `default`: what a record gets where nothing is sent (None: nothing).
    """

    id: str
    name: str
    type: str
    label: str = ""
    unique: bool = False
    nullable: bool = True
    options: tuple[Option, ...] = ()
    target: str = ""
    active: bool = True
    system: bool = False
    columns: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    default: Any = None


@dataclass(frozen=True, slots=True)
class DestinationObject:
    """An object as the destination describes it."""

    id: str
    name: str
    plural: str
    label: str = ""
    fields: Mapping[str, DestinationField] = field(default_factory=dict)
    active: bool = True
    label_plural: str = ""


@dataclass(frozen=True, slots=True)
class DestinationSchema:
    """Everything the destination says about its objects, by singular name."""

    objects: Mapping[str, DestinationObject]

    def hash(self) -> str:
        """Return a hash of objects, fields, types and options (not of ids): what a gate compares."""
        return content_hash(
            {
                o.name: {
                    f.name: [f.type, f.unique, f.target, [x.value for x in f.options], f.active]
                    for f in o.fields.values()
                }
                for o in self.objects.values()
            }
        )


class Decision(StrEnum):
    """What the schema plan does about one wanted thing."""

    CREATE = "create"
    REUSE = "reuse"
    EXTEND = "extend"  # options are added to a SELECT that exists
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class SchemaItem:
    """One line of the schema plan: an object (`field` empty) or a field."""

    decision: Decision
    object: str
    field: str = ""
    type: str = ""
    label: str = ""
    reason: str = ""
    wanted_object: WantedObject | None = None
    wanted_field: WantedField | None = None
    add_options: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True)
class SchemaPlan:
    """The whole plan, in order of application."""

    items: tuple[SchemaItem, ...]

    @property
    def conflicts(self) -> tuple[SchemaItem, ...]:
        """Lines that a person must settle."""
        return tuple(i for i in self.items if i.decision is Decision.CONFLICT)

    @property
    def changes(self) -> tuple[SchemaItem, ...]:
        """Lines that will change the destination."""
        return tuple(i for i in self.items if i.decision in (Decision.CREATE, Decision.EXTEND))

    def hash(self) -> str:
        """Return a hash of what the map *wants* (the same before and after the plan is applied)."""
        return content_hash([[i.object, i.field, i.type] for i in self.items])
