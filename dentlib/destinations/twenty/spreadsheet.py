"""Records as the rows of a file for Twenty's own importer: its column titles, its formats, and what it can't take.

Pure: works on a described schema, calls nothing. What the importer offers is data (`csv-import.yaml`).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict
from ruamel.yaml import YAML

from dentlib.model import JSON, DestinationField, DestinationObject, DestinationSchema

_MICROS = Decimal(1_000_000)
_NOT_KNOWN = "the importer does not offer this field"


class Importer(BaseModel):
    """What the importer takes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_rows: int
    opens: str
    parts: Mapping[str, Mapping[str, str]]
    json_cells: tuple[str, ...]
    plain: tuple[str, ...]
    not_offered: Mapping[str, str]


@cache
def importer() -> Importer:
    """Return what the importer takes; read once."""
    read = YAML(typ="safe").load(Path(__file__).with_name("csv-import.yaml").read_text(encoding="utf-8"))
    read["json_cells"] = read.pop("json")
    return Importer.model_validate(read)


class Spreadsheet:
    """The columns of one object for the fields that its records hold."""

    def __init__(self, schema: DestinationSchema, object_name: str, names: tuple[str, ...]) -> None:
        self._rules = importer()
        self._object = schema.objects[object_name]
        self._schema = schema
        self.left: dict[str, str] = {}
        """Fields that can't go this way → why."""
        self.titles: list[str] = []
        self._cells: list[tuple[str, str, str]] = []  # field, part, type
        for name in names:
            self._add(name)

    @property
    def max_rows(self) -> int:
        """Tell how many rows one file may have."""
        return self._rules.max_rows

    @property
    def opens(self) -> str:
        """Say where a person begins the import of this object."""
        return self._rules.opens.format(label_plural=self._object.label_plural or self._object.plural)

    def cells(self, record: JSON) -> list[str]:
        """Return a record's cells, one for each title; empty where it holds nothing."""
        return [self._cell(record.get(name), part, kind) for name, part, kind in self._cells]

    def carried(self, record: JSON) -> JSON:
        """Return the record without the fields that can't go this way."""
        return {name: value for name, value in record.items() if name not in self.left}

    def _add(self, name: str) -> None:
        found = self._object.fields.get(name) or _relation_of(self._object, name)
        if found is None:
            self.left[name] = _NOT_KNOWN
        elif found.columns:
            self._add_relation(name, found)
        elif parts := self._rules.parts.get(found.type):
            for part, label in parts.items():
                self.titles.append(f"{found.label} / {label}")
                self._cells.append((name, part, found.type))
        elif found.type in self._rules.plain:
            self.titles.append(found.label)
            self._cells.append((name, "", found.type))
        else:
            self.left[name] = self._rules.not_offered.get(found.type, _NOT_KNOWN)

    def _add_relation(self, name: str, found: DestinationField) -> None:
        """Link by the id of the target's record: it is unique in every object, and ours to choose."""
        if found.type in self._rules.not_offered or found.target not in self._schema.objects:
            self.left[name] = self._rules.not_offered.get(found.type, _NOT_KNOWN)
            return
        key = self._schema.objects[found.target].fields["id"]
        self.titles.append(f"{found.label} / {key.label}")
        self._cells.append((name, "", "UUID"))

    def _cell(self, value: Any, part: str, kind: str) -> str:
        if part:
            value = (value or {}).get(part)
        if value is None or value in ("", []):
            return ""
        if part == "amountMicros":
            return format((Decimal(int(value)) / _MICROS).normalize(), "f")
        if part in self._rules.json_cells or kind in self._rules.json_cells:
            return orjson.dumps(value).decode()
        if isinstance(value, bool):
            return "true" if value else "false"
        return str(value)


def _relation_of(described: DestinationObject, column: str) -> DestinationField | None:
    """Return the relation that is written under this name (`companyId`)."""
    return next((f for f in described.fields.values() if column in f.columns), None)
