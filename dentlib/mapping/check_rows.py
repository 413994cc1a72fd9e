"""Which checks the prepared rows of a map call for: lists that the suite `prepared` is stamped out over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from dentlib.mapping.map import Map
from dentlib.mapping.payload import ROWS
from dentlib.mapping.schema import link_columns, wanted_schema
from dentlib.model import DestinationSchema, LoadStep
from dentlib.workdb import literal, quoted

Rows = list[dict[str, Any]]


def check_rows(
    con: duckdb.DuckDBPyConnection, map: Map, steps: Sequence[LoadStep], schema: DestinationSchema
) -> Mapping[str, Rows]:
    """Return `steps` (step, table), `required` (step, table, column) and `choices` (…, allowed: a SQL condition).

    Required are the fields and lookups whose missing value the map rejects; choices the SELECT and MULTI_SELECT fields,
    with the options that the destination has or will have. Reads only.
    """
    options = _options(con, map, schema)
    by_name = {s.step: s for s in map.active_steps}
    found: dict[str, Rows] = {"steps": [], "required": [], "choices": []}
    for load_step in steps:
        step = by_name[load_step.name]
        table = f"{ROWS}.{load_step.table}"
        columns = {row[0] for row in con.execute(f"DESCRIBE {ROWS}.{quoted(load_step.table)}").fetchall()}
        at = {"step": load_step.name, "table": table}
        found["steps"].append(at)
        needed = [path for path, rule in map.fields_of(step).items() if rule.missing and rule.missing.do == "reject"]
        links = link_columns(map, step, schema)
        needed += [links[name] for name, rule in step.lookups.items() if rule.write and rule.missing.do == "reject"]
        found["required"] += [{**at, "column": column} for column in needed if column in columns]
        for column in sorted(columns):
            allowed = options.get((load_step.object_name, column))
            if allowed:
                found["choices"].append({**at, "column": column, "allowed": _condition(column, allowed)})
    return found


def _options(
    con: duckdb.DuckDBPyConnection, map: Map, schema: DestinationSchema
) -> dict[tuple[str, str], dict[str, bool]]:
    """Return (object, field) → option value → whether several may be chosen."""
    found: dict[tuple[str, str], dict[str, bool]] = {}
    for described in schema.objects.values():
        for field in described.fields.values():
            if field.type in ("SELECT", "MULTI_SELECT"):
                several = field.type == "MULTI_SELECT"
                found.setdefault((described.name, field.name), {}).update({o.value: several for o in field.options})
    for wanted in wanted_schema(map, con).fields:
        if wanted.type in ("SELECT", "MULTI_SELECT"):
            several = wanted.type == "MULTI_SELECT"
            found.setdefault((wanted.object, wanted.name), {}).update({o.value: several for o in wanted.options})
    return found


def _condition(column: str, allowed: Mapping[str, bool]) -> str:
    values = ", ".join(literal(v) for v in allowed)
    if not any(allowed.values()):
        return f"{quoted(column)} IN ({values})"
    return f"len(list_filter({quoted(column)}, lambda x: x NOT IN ({values}))) = 0"
