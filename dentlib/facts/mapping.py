"""The map as a person reads it, owners, access."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dentlib.facts.households import HouseholdFacts
from dentlib.model import Problem, SchemaItem


@dataclass(frozen=True, slots=True)
class MapLine:
    """One source column. `status`: mapped, kept_elsewhere, internal, not_migrated or definition."""

    table: str
    column: str
    logical: str
    confidence: float
    evidence: str
    step: str
    destination_object: str
    destination_field: str
    offer_name: str
    transform: str
    status: str
    filled: int
    rows: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ValueMapFacts:
    """A value map with frequencies: (source value, rows, target; empty: the map doesn't name it, see `unmapped`)."""

    step: str
    field: str
    table: str
    column: str
    rows: tuple[tuple[str, int, str], ...]
    unmapped: str


@dataclass(frozen=True, slots=True)
class OwnerRow:
    """A provider or member of staff, and whom their records go to."""

    source_key: str
    name: str
    email: str
    role: str
    how: str  # matched, fallback, placeholder, unassigned
    member_name: str
    member_email: str
    records: int
    reason: str = ""
    allowed: bool = False  # the map lets their records stay without an owner


@dataclass(frozen=True, slots=True)
class AccessRow:
    """Something that a person must agree to be readable: where it goes, and the roles that can read that object."""

    what: str
    object: str
    fields: tuple[str, ...]
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MappingFacts:
    """The map as a person reads it, the schema plan and the owners."""

    engagement: str
    client: str
    lines: tuple[MapLine, ...]
    value_maps: tuple[ValueMapFacts, ...]
    schema: tuple[SchemaItem, ...]
    owners: tuple[OwnerRow, ...]
    tables_not_migrated: tuple[tuple[str, int, str], ...]  # table, rows, reason
    rebuild: tuple[dict[str, Any], ...]  # definitions to rebuild: kind, name, trigger, condition, action, means
    scope: tuple[tuple[str, str, int], ...]  # step, rule, rows it would exclude
    consent: tuple[tuple[str, int], ...]  # what, people
    problems: tuple[Problem, ...]
    map_hash: str
    access: tuple[AccessRow, ...] = ()
    households: tuple[HouseholdFacts, ...] = ()
