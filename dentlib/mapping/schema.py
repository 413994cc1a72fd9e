"""What a map needs the destination to have: custom objects, fields, options, some of them made from the data."""

from __future__ import annotations

import re

import duckdb

from dentlib.mapping.functions import BLANKS
from dentlib.mapping.map import Map
from dentlib.model import DestinationSchema, Option, WantedField, WantedObject, WantedSchema
from dentlib.pairs import SchemaField, Step
from dentlib.workdb import quoted

_COLORS = ("green", "turquoise", "sky", "blue", "purple", "pink", "red", "orange", "yellow", "gray")
SOURCE_ID = "sourceSystemId"
ORIGINAL_DATE = "originalCreatedAt"


def wanted_schema(map: Map, con: duckdb.DuckDBPyConnection) -> WantedSchema:
    """Return every custom object and field that the active steps write, in the order in which they must be made.

    Each object with a key of its own gets `sourceSystemId` (unique) and `originalCreatedAt`. Reads schema `raw` for
    options that come from the data. Links and attachments get no field: they are known by their id.
    """
    declared = map.pair.schema_
    written = written_fields(map)
    objects = tuple(
        WantedObject(name, o.plural, o.label, o.label_plural, o.description, o.icon, o.offer_name)
        for name, o in declared.objects.items()
        if name in written
    )
    plain: list[WantedField] = []
    relations: list[WantedField] = []
    for object_name, names in written.items():
        if any(s.prefix for s in map.active_steps if s.to == object_name):
            plain += _always(object_name)
        for name, field in declared.fields.get(object_name, {}).items():
            if name in names:
                wanted = _field(map, con, object_name, name, field)
                (relations if field.type == "RELATION" else plain).append(wanted)
    return WantedSchema(objects, (*plain, *relations))


def _always(object_name: str) -> list[WantedField]:
    return [
        WantedField(
            object_name,
            SOURCE_ID,
            "TEXT",
            "Source System ID",
            unique=True,
            offer_name="Source_System_ID__c",
            description="Kind and key of the record in the system it came from",
            icon="IconFingerprint",
        ),
        WantedField(
            object_name,
            ORIGINAL_DATE,
            "DATE_TIME",
            "Originally created at",
            icon="IconCalendar",
            description="When the record was created in the system it came from",
        ),
    ]


def written_fields(map: Map) -> dict[str, set[str]]:
    """Return destination object → names of the fields that the active steps write (first part of each path)."""
    found: dict[str, set[str]] = {}
    for step in map.active_steps:
        found.setdefault(step.to, set()).update(written_by(map, step))
    return found


def written_by(map: Map, step: Step) -> set[str]:
    """Return the names of the destination fields that a step writes."""
    names = set()
    rules = map.fields_of(step)
    for path, rule in rules.items():
        names.add(path.split(".")[0])
        names.update(d.keep_as_text for d in (rule.missing, rule.invalid, rule.unmapped) if d and d.keep_as_text)
    for name, lookup in step.lookups.items():
        if lookup.write:
            names.add(name)
        if lookup.orphan.keep_as_text:
            names.add(lookup.orphan.keep_as_text)
    if step.owner is not None:
        names.update(n for n in (step.owner.field.removesuffix("Id"), step.owner.name_field) if n)
    if step.created is not None:
        names.add("createdAt")
        names.update(d.keep_as_text for d in (step.created.missing, step.created.invalid) if d and d.keep_as_text)
    if step.file is not None:
        names.add(step.file.field)
    if step.deletions is not None:
        names.add(step.deletions.mark.field)
    if step.prefix:
        names.update((SOURCE_ID, ORIGINAL_DATE))
    return names


def link_columns(map: Map, step: Step, schema: DestinationSchema | None) -> dict[str, str]:
    """Return lookup → name under which the destination takes the link.

    That is the lookup's own name with `Id`. Where the destination has another name for it, as versions have, and just
    one relation of this object points to that kind of record, it is that one's.
    """
    there = schema.objects.get(step.to) if schema else None
    pointing: dict[str, list[str]] = {}
    for field in there.fields.values() if there else ():
        for column, target in zip(field.columns, field.targets, strict=False):
            pointing.setdefault(target, []).append(column)
    known = {c for columns in pointing.values() for c in columns}
    goes_to = {s.step: s.to for s in map.pair.steps}
    declared = map.pair.schema_.fields.get(step.to, {})
    found = {}
    for name, lookup in step.lookups.items():
        candidates = pointing.get(goes_to.get(lookup.step, ""), [])
        renamed = there is not None and f"{name}Id" not in known and name not in declared and len(candidates) == 1
        found[name] = candidates[0] if renamed else f"{name}Id"
    return found


def _field(map: Map, con: duckdb.DuckDBPyConnection, object_name: str, name: str, field: SchemaField) -> WantedField:
    options = [Option(v, label, _COLORS[i % len(_COLORS)]) for i, (v, label) in enumerate(field.options.items())]
    for value, label in options_from_data(map, con, field):
        options.append(Option(value, label, _COLORS[len(options) % len(_COLORS)]))
    return WantedField(
        object_name, name, field.type, field.label, field.description, tuple(options), False, field.target,
        field.inverse_label, field.extend, field.offer_name, field.icon,
    )  # fmt: skip


def options_from_data(map: Map, con: duckdb.DuckDBPyConnection, field: SchemaField) -> list[tuple[str, str]]:
    """Return (value, label) for a field whose options are the data's own codes, labelled with the client's wording."""
    source = field.options_from
    if source is None:
        return []
    places = map.columns.get(source.object, {}).get(source.field, ())
    labels = dict(map.columns.get(source.object, {}).get(source.label, ()))
    selects = []
    for table, column in places:
        label = quoted(labels[table]) if table in labels else "NULL::VARCHAR"
        selects.append(f"SELECT upper(trim({quoted(column)}, {BLANKS})) AS v, {label} AS l FROM raw.{quoted(table)}")
    if not selects:
        return []
    rows = con.execute(
        f"SELECT v, mode(trim(l, {BLANKS})) FROM ({' UNION ALL '.join(selects)}) WHERE regexp_full_match(v, ?) "
        "GROUP BY v ORDER BY v",
        [source.matching or ".+"],
    ).fetchall()
    return [(option_value(v), re.sub(r"\s*,\s*", " ", f"{v} {label or ''}".strip())[:60]) for v, label in rows]


def option_value(text: str) -> str:
    """Return a text as an option's value: upper snake case, no leading digit, at most 63 characters."""
    value = re.sub(r"[^A-Z0-9]+", "_", text.upper()).strip("_")
    return (f"_{value}" if value[:1].isdigit() else value)[:63]
