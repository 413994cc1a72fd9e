"""What a reconciliation adds up beside comparing field by field: sums, groups, and children per parent. Pure.

Both sides are added up apart, from what was sent and from what is stored, so that a mistake in one does not hide in the
other. Which fields are measured how is data: `MEASURES`, by the destination's type of the field.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from dentlib.model import JSON

MEASURES: Mapping[str, tuple[str, ...]] = {
    "CURRENCY": ("money",),
    "NUMBER": ("number",),
    "NUMERIC": ("number",),
    "DATE": ("date", "year"),
    "DATE_TIME": ("moment", "year"),
    "SELECT": ("value",),
    "RATING": ("value",),
    "BOOLEAN": ("value",),
    "MULTI_SELECT": ("values",),
}
"""How a field of a type is measured: its sum, smallest and greatest (money, number, date, moment), how many records
hold each value (value, values) or fall into each year. Links are measured by their parents, owners among them."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Side:
    """One side of a sum: how many values, their sum, the smallest and the greatest."""

    n: int = 0
    total: int = 0
    least: int | None = None
    most: int | None = None

    def add(self, value: int) -> None:
        """Take in a value."""
        self.n += 1
        self.total += value
        if self.least is None or value < self.least:
            self.least = value
        if self.most is None or value > self.most:
            self.most = value


@dataclass(slots=True)
class Sum:
    """A sum of one field (and unit, such as a currency), sent and stored."""

    kind: str
    sent: Side = field(default_factory=Side)
    stored: Side = field(default_factory=Side)


@dataclass(slots=True)
class Measured:
    """Everything that one step's records add up to. `left_out`: values that others changed since, by field."""

    types: Mapping[str, str]
    sums: dict[tuple[str, str], Sum] = field(default_factory=dict)  # (field, unit)
    groups: dict[tuple[str, str], tuple[Counter[str], Counter[str]]] = field(default_factory=dict)  # (field, kind)
    left_out: Counter[str] = field(default_factory=Counter)
    names: frozenset[str] = field(init=False)  # the fields that are measured

    def __post_init__(self) -> None:
        self.names = frozenset(name for name, kind in self.types.items() if kind in MEASURES)

    def take(self, name: str, intended: Any, stored: Any) -> None:
        """Add one field of one record to both sides."""
        for kind in MEASURES.get(self.types.get(name, ""), ()):
            if kind in _SUMMED:
                self._sum(name, kind, intended, stored)
            else:
                group = self.groups.get((name, kind))
                if group is None:
                    group = self.groups[name, kind] = (Counter(), Counter())
                for side, value in zip(group, (intended, stored), strict=True):
                    for member in _GROUPED[kind](value):
                        side[member] += 1

    def _sum(self, name: str, kind: str, intended: Any, stored: Any) -> None:
        unit, value = _SUMMED[kind](intended)
        if value is not None:
            self._of(name, kind, unit).sent.add(value)
        unit, value = _SUMMED[kind](stored)
        if value is not None:
            self._of(name, kind, unit).stored.add(value)

    def _of(self, name: str, kind: str, unit: str) -> Sum:
        found = self.sums.get((name, unit))
        if found is None:
            found = self.sums[name, unit] = Sum(kind)
        return found


def _money(value: Any) -> tuple[str, int | None]:
    if not isinstance(value, dict) or value.get("amountMicros") is None:
        return "", None
    return str(value.get("currencyCode") or ""), _whole(value["amountMicros"], 1)


def _number(value: Any) -> tuple[str, int | None]:
    return "millionths", _whole(value, 1_000_000)


def _whole(value: Any, scale: int) -> int | None:
    if value is None or value == "":
        return None
    try:
        return int(Decimal(str(value)) * scale)
    except InvalidOperation:
        return None


def _day(value: Any) -> tuple[str, int | None]:
    try:
        return "days", date.fromisoformat(str(value)[:10]).toordinal() if value else None
    except ValueError:
        return "days", None


def _moment(value: Any) -> tuple[str, int | None]:
    if not value:
        return "milliseconds", None
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return "milliseconds", None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    since = moment - _EPOCH
    return "milliseconds", since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000


_SUMMED: Mapping[str, Callable[[Any], tuple[str, int | None]]] = {
    "money": _money,
    "number": _number,
    "date": _day,
    "moment": _moment,
}


def _value(value: Any) -> tuple[str, ...]:
    return ("",) if value is None or value == "" else (str(value),)


def _values(value: Any) -> tuple[str, ...]:
    return tuple(map(str, value)) if value else ("",)


def _year(value: Any) -> tuple[str, ...]:
    return (str(value)[:4] if value else "",)


_GROUPED: Mapping[str, Callable[[Any], tuple[str, ...]]] = {"value": _value, "values": _values, "year": _year}


@dataclass(slots=True)
class Links:
    """Children per parent, both sides, of every link of a step. `kind`: link, owner, or family (by source id).

    A link is a column that holds another record's id, or a text that holds another record's source id.
    """

    first: int  # number of the first link in the control tables
    prefixes: tuple[str, ...]
    members: frozenset[str]
    types: Mapping[str, str]
    kinds: dict[str, str] = field(default_factory=dict)  # field: kind
    numbers: dict[str, int] = field(default_factory=dict)
    expected: Counter[str] = field(default_factory=Counter)
    children: Counter[str] = field(default_factory=Counter)
    moved_count: Counter[str] = field(default_factory=Counter)
    parents: dict[tuple[int, str], list[int]] = field(default_factory=dict)  # (link, parent): sent, stored
    moved: list[tuple[int, str, str, str]] = field(default_factory=list)  # link, child, sent, stored
    columns: tuple[str, ...] = field(init=False)
    texts: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.columns = tuple(n for n, kind in self.types.items() if kind == "UUID" and n.endswith("Id"))
        self.texts = tuple(n for n, kind in self.types.items() if kind == "TEXT" and n != "sourceSystemId")

    def of(self, intended: JSON) -> list[tuple[str, str]]:
        """Return the links that a record was sent with, as (field, parent)."""
        found = []
        for name in self.columns:
            if value := intended.get(name):
                self._know(name, "owner" if value in self.members else "link")
                found.append((name, value))
        for name in self.texts:
            value = intended.get(name)
            if isinstance(value, str) and value.startswith(self.prefixes) and " " not in value:
                self._know(name, "family")
                found.append((name, value))
        return found

    def _know(self, name: str, kind: str) -> None:
        if name not in self.kinds:
            self.kinds[name] = kind
            self.numbers[name] = self.first + len(self.numbers)

    def expect(self, links: list[tuple[str, str]]) -> None:
        """Count links before their record is looked at: one that can't be read back must not take them along."""
        for name, _ in links:
            self.expected[name] += 1

    def take(self, child: str, name: str, sent: str, stored: Any) -> None:
        """Add one link, as sent and as stored."""
        number, kept = self.numbers[name], str(stored or "")
        self.children[name] += 1
        self.parents.setdefault((number, sent), [0, 0])[0] += 1
        if kept:
            self.parents.setdefault((number, kept), [0, 0])[1] += 1
        if kept.lower() != sent.lower():
            self.moved_count[name] += 1
            self.moved.append((number, child, sent, kept))
