"""Values that a row takes from rows of another object: the sum of a plan's procedures, a patient's last visit."""

from __future__ import annotations

import duckdb

from dentlib.mapping.functions import read_odd_texts
from dentlib.mapping.map import Map
from dentlib.mapping.references import References
from dentlib.mapping.values import ValueContext
from dentlib.pairs import Related, Step
from dentlib.workdb import quoted

_EMPTY_TYPES = {"sum": "DECIMAL(38,6)", "distinct": "VARCHAR[]", "count": "BIGINT"}


def aggregate_related(
    con: duckdb.DuckDBPyConnection, map: Map, step: Step, name: str, context: ValueContext
) -> tuple[str, str]:
    """Make the temp table of one related value (`m0`, …: what it matches, `value`, `lost`); return it and its SQL type.

    `lost` counts the rows whose value was there and could not be read. Exact repetitions of a row count once. Where
    the other object is not in the export the table is empty.
    """
    related = step.related[name]
    table = f"related_{step.step}_{name}"
    if related.object in map.columns:
        sql = _aggregate(con, map, step, related, context)
    else:
        keys = ", ".join(f"NULL::VARCHAR AS m{i}" for i in range(len(related.match)))
        sql = f"SELECT {keys}, NULL::{_EMPTY_TYPES.get(related.take, 'DATE')} AS value, 0::BIGINT AS lost WHERE false"
    con.execute(f"CREATE OR REPLACE TEMP TABLE {quoted(table)} AS {sql}")
    columns = {row[0]: row[1] for row in con.execute(f"DESCRIBE temp.{quoted(table)}").fetchall()}
    return f"temp.{quoted(table)}", columns["value"]


def _aggregate(con: duckdb.DuckDBPyConnection, map: Map, step: Step, related: Related, context: ValueContext) -> str:
    child = Step.model_validate(
        {"step": step.step, "label": "", "from": related.object, "to": "", "key": "", "prefix": "", "error_budget": 0}
    )
    references = References(map, child, context)
    text = references.text(related.field)
    cell = references.cell(text, related.apply)
    holds = references.condition(related.where)
    keys = [references.text(theirs) for theirs in related.match]
    references.read(con, "true", read_odd_texts)
    rows = references.second_pass()
    groups = ", ".join(f"{k.column} AS m{i}" for i, k in enumerate(keys))
    names = ", ".join(f"m{i}" for i in range(len(keys)))
    known = " AND ".join(f"{k.column} IS NOT NULL" for k in keys)
    chosen = (
        f"SELECT {groups}, _id, {cell.value} AS v, {text.column} IS NOT NULL AND {cell.value} IS NULL AS lost "
        f"FROM ({rows}) WHERE _fate = 'first' AND {known} AND {holds}"
    )
    listed = "list(v ORDER BY _id) FILTER (v IS NOT NULL)"
    every = f"flatten({listed})" if cell.kind == "list" else listed
    aggregates = {
        "sum": "sum(v)::DECIMAL(38,6)",
        "count": "count(v)",
        "max": "max(v)",
        "min": "min(v)",
        "distinct": f"list_filter({every}, lambda x, i: list_position({every}, x) = i)",
    }
    value = f"{aggregates[related.take]} AS value, count(*) FILTER (lost) AS lost"
    return f"SELECT {names}, {value} FROM ({chosen}) GROUP BY {names} HAVING count(v) > 0 OR bool_or(lost)"
