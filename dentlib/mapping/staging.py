"""Raw tables under logical names: `staged.<object>`, one row per source row, its key judged.

Columns: `_id` (unique in the object, in file order), `_table`, `_file`, `_row`, `_key`, `_fate` (`first`, `same`: an
exact repetition, `conflict`: the key stands on rows that differ, `no_key`), and every logical field that a column was
read as: texts exactly as in the file, blank cells as NULL, keys and references without blanks around.
"""

from __future__ import annotations

import duckdb

from dentlib.mapping.functions import BLANKS
from dentlib.mapping.map import Map
from dentlib.workdb import literal, quoted

CONTENT_KEY = "content"


def stage(con: duckdb.DuckDBPyConnection, map: Map, keys: dict[str, str]) -> None:
    """Make `staged.<object>` for every object that the map's tables hold. Drops what was there; idempotent.

    `keys`: object → logical key field, `content`, or empty where rows need no key.
    """
    con.execute("DROP SCHEMA IF EXISTS staged CASCADE; CREATE SCHEMA staged")
    for object_name in map.columns:
        _stage_object(con, map, object_name, keys.get(object_name, ""))


def raw_columns(con: duckdb.DuckDBPyConnection) -> dict[str, tuple[str, ...]]:
    """Return the tables of schema `raw` with their columns in order, without the three that intake added."""
    rows = con.execute(
        "SELECT table_name, column_name FROM duckdb_columns() WHERE schema_name = 'raw' "
        "AND database_name = current_database() ORDER BY table_name, column_index"
    ).fetchall()
    found: dict[str, list[str]] = {}
    for table, column in rows:
        columns = found.setdefault(table, [])
        if column not in ("_file", "_row", "_line"):
            columns.append(column)
    return {t: tuple(c) for t, c in found.items()}


def _stage_object(con: duckdb.DuckDBPyConnection, map: Map, object_name: str, key: str) -> None:
    words = map.vocabulary.objects[object_name]
    columns = raw_columns(con)
    parts = []
    for ordinal, table in enumerate(map.tables_of(object_name)):
        if table not in columns:
            continue
        chosen = []
        for column, field in map.tables[table].columns.items():
            if field and column in columns[table]:
                is_key = words.fields[field].type == "key"
                text = quoted(column)
                trimmed = f"nullif(trim({text}, {BLANKS}), '')"
                kept = trimmed if is_key else f"CASE WHEN {trimmed} IS NOT NULL THEN {text} END"
                chosen.append(f"{kept} AS {quoted(field)}")
        content = ", ".join(f"coalesce({quoted(c)}, chr(1))" for c in columns[table])
        parts.append(
            f"SELECT {literal(table)} AS _table, {ordinal} AS _part, _file, _row, "
            f"md5(concat_ws(chr(31), {content})) AS _content{''.join(', ' + c for c in chosen)} FROM raw.{quoted(table)}"
        )
    union = " UNION ALL BY NAME ".join(parts)
    rows = f"SELECT row_number() OVER (ORDER BY _part, _file, _row) AS _id, * EXCLUDE (_part) FROM ({union})"
    if key == CONTENT_KEY:
        ordinal_in_equals = "row_number() OVER (PARTITION BY _content ORDER BY _id)"
        judged = f"SELECT *, _content || '-' || {ordinal_in_equals} AS _key, 'first' AS _fate FROM ({rows})"
    else:
        judged = _judge_keys(rows, quoted(key) if key else "NULL::VARCHAR")
    con.execute(
        f"CREATE TABLE staged.{quoted(object_name)} AS SELECT * EXCLUDE (_content) FROM ({judged}) ORDER BY _id"
    )


def _judge_keys(rows: str, key: str) -> str:
    same_key = f"PARTITION BY {key}"
    return f"""
        SELECT *, {key} AS _key,
            CASE WHEN {key} IS NULL THEN 'no_key'
                 WHEN count(*) OVER ({same_key}) = 1 THEN 'first'
                 WHEN min(_content) OVER ({same_key}) <> max(_content) OVER ({same_key}) THEN 'conflict'
                 WHEN row_number() OVER ({same_key} ORDER BY _id) = 1 THEN 'first' ELSE 'same' END AS _fate
        FROM ({rows})"""
