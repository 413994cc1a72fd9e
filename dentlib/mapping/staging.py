"""Raw tables under logical names: `staged.<object>`, a view with one row per source row, its key judged.

Columns: `_id` (unique in the object, in file order), `_table`, `_file`, `_row`, `_key`, `_fate` (`first`, `same`: an
exact repetition, `conflict`: the key stands on rows that differ, `no_key`), and every logical field that a column was
read as: texts exactly as in the file, blank cells as NULL, keys and references without blanks around.
"""

from __future__ import annotations

import duckdb

from dentlib.mapping.functions import trimmed, unless_blank
from dentlib.mapping.map import Map
from dentlib.workdb import literal, quoted

CONTENT_KEY = "content"
_ROWS_PER_TABLE = 10**12


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
    union = " UNION ALL BY NAME ".join(_parts(con, map, object_name, with_content=key == CONTENT_KEY))
    name = f"staged.{quoted(object_name)}"
    if key == CONTENT_KEY:
        ordinal = "row_number() OVER (PARTITION BY _content ORDER BY _id)"
        keyed = f"SELECT * EXCLUDE (_content), _content || '-' || {ordinal} AS _key, 'first' AS _fate FROM ({union})"
        con.execute(f"CREATE TABLE {name} AS {keyed}")
        return
    key_sql = quoted(key) if key else "NULL::VARCHAR"
    others = f"staged.{quoted('others_' + object_name)}"
    rows = f"SELECT *, {key_sql} AS _key FROM ({union})"
    if not key:
        con.execute(f"CREATE VIEW {name} AS SELECT *, 'first' AS _fate FROM ({rows})")
        return
    repeated = f"SELECT _key AS k FROM ({rows}) WHERE _key IS NOT NULL GROUP BY _key HAVING count(*) > 1"
    con.execute(f"CREATE TABLE {others} AS {repeated}")
    hashed = " UNION ALL BY NAME ".join(
        _parts(con, map, object_name, with_content=True, where=f"{key_sql} IN (SELECT k FROM {others})")
    )
    judged = _judge_repeated_keys(hashed, key_sql)
    con.execute(f"CREATE OR REPLACE TABLE {others} AS {judged}")
    con.execute(
        f"CREATE VIEW {name} AS SELECT r.*, CASE WHEN r._key IS NULL THEN 'no_key' ELSE coalesce(o.fate, 'first') END "
        f"AS _fate FROM ({rows}) AS r LEFT JOIN {others} AS o ON o.id = r._id"
    )


def _parts(
    con: duckdb.DuckDBPyConnection, map: Map, object_name: str, *, with_content: bool, where: str = ""
) -> list[str]:
    """Return one SELECT per raw table that holds the object; `_id` is the row's place in table and file.

    `where`: a condition over the logical fields, tested before a row's content is hashed.
    """
    words = map.vocabulary.objects[object_name]
    columns = raw_columns(con)
    parts = []
    for ordinal, table in enumerate(map.tables_of(object_name)):
        if table not in columns:
            continue
        chosen = []
        for column, field in map.tables[table].columns.items():
            if field and column in columns[table]:
                text = quoted(column)
                kept = trimmed(text) if words.fields[field].type == "key" else unless_blank(text)
                chosen.append(f", {kept} AS {quoted(field)}")
        content = ""
        if with_content:
            cells = ", ".join(f"coalesce({quoted(c)}, chr(1))" for c in columns[table])
            content = f", md5(concat_ws(chr(31), {cells})) AS _content"
        condition = f" WHERE {where}" if where else ""
        parts.append(
            f"SELECT {ordinal * _ROWS_PER_TABLE} + rowid AS _id, {literal(table)} AS _table, _file, _row"
            f"{content}{''.join(chosen)} FROM raw.{quoted(table)}{condition}"
        )
    return parts


def _judge_repeated_keys(rows: str, key: str) -> str:
    """Return (id, fate) of the rows that are not the first of their key: exact repetitions and conflicts."""
    return f"""
        SELECT id, fate FROM (SELECT _id AS id, CASE
            WHEN min(_content) OVER (PARTITION BY {key}) <> max(_content) OVER (PARTITION BY {key}) THEN 'conflict'
            WHEN row_number() OVER (PARTITION BY {key} ORDER BY _id) = 1 THEN 'first' ELSE 'same' END AS fate
            FROM ({rows})) WHERE fate <> 'first'"""
