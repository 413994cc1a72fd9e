"""Which object a record's link column points to."""

from __future__ import annotations

from dentlib.model import DestinationSchema


def link_targets(schema: DestinationSchema, object_name: str) -> dict[str, str]:
    """Return column → object of every link of an object (`companyId` → company, `targetPersonId` → person).

    Where a relation may point to several objects, or doesn't say where to, the column's name ends with the object's.
    """
    found: dict[str, str] = {}
    for field in schema.objects[object_name].fields.values():
        columns = field.columns or ((f"{field.name}Id",) if field.target else (field.name,))
        for column in columns:
            if len(columns) == 1 and field.target in schema.objects:
                found[column] = field.target
            elif column.endswith("Id") and (named := _named(column, schema)):
                found[column] = named
    return found


def _named(column: str, schema: DestinationSchema) -> str:
    stem = column[:-2].lower()
    fitting = [name for name in schema.objects if stem.endswith(name.lower())]
    return max(fitting, key=len, default="")
