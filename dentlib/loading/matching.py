"""Recognise records that are in the workspace already, by the map's rules, before anything is written.

What others keep in the workspace is read once, by page or by value, whichever costs fewer calls, and compared with
the prepared rows in the work store. Writes `matching.matches` (rows and the records they stand for),
`matching.ambiguous` and `matching.counts`. A match that was loaded is remembered in the ledger: later rounds keep it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import duckdb
import pyarrow as pa

from dentlib.loading.clashes import SOURCE_ID
from dentlib.loading.ledger import Ledger
from dentlib.loading.patience import Patience
from dentlib.loading.rows import MATCHES, check_prepared, table_of
from dentlib.model import JSON, Destination, LoadStep

AMBIGUOUS = "matching.ambiguous"
COUNTS = "matching.counts"
T = TypeVar("T")
_CHUNK = 2_000
_FIND_VALUES = 500


@dataclass(frozen=True, slots=True)
class Matches:
    """What `prepare` must be told: step → source key → record id, and step → keys that are rejected as ambiguous.

    `fresh`: how many of the matches the ledger doesn't know yet.
    """

    matched: Mapping[str, Mapping[str, str]]
    ambiguous: Mapping[str, frozenset[str]]
    fresh: int


def remembered(ledger: Ledger, steps: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return the matches that were loaded before: step → source key → record id. Reads the ledger only."""
    found = {step: {key: a.record_id for key, a in ledger.adopted(step).items()} for step in steps}
    return {step: keys for step, keys in found.items() if keys}


def match(
    con: duckdb.DuckDBPyConnection,
    ledger: Ledger,
    destination: Destination,
    steps: Sequence[LoadStep],
    *,
    patience: Patience,
) -> Matches:
    """Find, for prepared rows that were never written, the records of the workspace that they stand for.

    Rules are tried in order; one record for one row is a match, anything else is ambiguous and settled so. A record
    stands for one row at most, whatever the step. Reads the destination, writes the work store; idempotent.
    """
    check_prepared(con, steps)
    con.execute("CREATE SCHEMA IF NOT EXISTS matching")
    words = "step VARCHAR, source_key VARCHAR, record_id VARCHAR, rule VARCHAR"
    con.execute(f"CREATE OR REPLACE TABLE {MATCHES} ({words}, found VARCHAR)")
    con.execute(f"CREATE OR REPLACE TABLE {AMBIGUOUS} ({words})")
    con.execute(f"CREATE OR REPLACE TABLE {COUNTS} (step VARCHAR, rows BIGINT, records BIGINT)")
    described = patience.transient(destination.describe).objects
    ruled = [s for s in steps if s.match is not None and s.object_name in described]
    known = remembered(ledger, [s.name for s in steps])  # also where the map has no rule any more
    for object_name in dict.fromkeys(s.object_name for s in ruled):
        there = frozenset(described[object_name].fields)
        mine = [s for s in ruled if s.object_name == object_name]
        _Object(con, ledger, destination, patience, mine, there).match()
    fresh: dict[str, dict[str, str]] = {}
    found_ones = f"SELECT step, source_key, record_id FROM {MATCHES} WHERE found <> 'create'"
    for step, key, rid in con.execute(found_ones).fetchall():
        fresh.setdefault(step, {})[key] = rid
    rejecting = [s.name for s in ruled if s.match and s.match.ambiguous == "reject"]
    keys: dict[str, set[str]] = {}
    for step, key in con.execute(f"SELECT DISTINCT step, source_key FROM {AMBIGUOUS}").fetchall():
        if step in rejecting:
            keys.setdefault(step, set()).add(key)
    return Matches(
        matched={s: known.get(s, {}) | fresh.get(s, {}) for s in {*known, *fresh}},
        ambiguous={step: frozenset(found) for step, found in keys.items()},
        fresh=sum(len(found) for found in fresh.values()),
    )


class _Object:
    """The steps that write to one object, and the records of others that it holds."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        ledger: Ledger,
        destination: Destination,
        patience: Patience,
        steps: Sequence[LoadStep],
        there: frozenset[str],
    ) -> None:
        self._there = there
        self._con, self._ledger, self._destination, self._patience = con, ledger, destination, patience
        self._steps, self._name = steps, steps[0].object_name
        self._paths = list(dict.fromkeys(p for s in steps if s.match for rule in s.match.by for p in rule))
        self._columns = {path: f"k{n}" for n, path in enumerate(self._paths)}

    def match(self) -> None:
        """Compare every step's rows with what others keep here."""
        others = self._others()
        tables = {step.name: self._rows_of(step) for step in self._steps} if others else {}
        if others:
            self._read(tables)
            self._con.execute("CREATE OR REPLACE TEMP TABLE taken_records (record_id VARCHAR)")
            adopted = [(a.record_id,) for s in self._steps for a in self._ledger.adopted(s.name).values()]
            if adopted:
                self._con.executemany("INSERT INTO taken_records VALUES (?)", adopted)
        for number, step in enumerate(self._steps):
            rows = self._compare(step, f"temp.ours_{number}") if others else self._unwritten(step)
            self._con.execute(f"INSERT INTO {COUNTS} VALUES (?, ?, ?)", [step.name, rows, others])

    def _others(self) -> int:
        """Count the live records that we didn't make."""
        everything = self._patience.transient(lambda: self._destination.count(self._name))
        return everything - self._ours() if everything else 0

    def _ours(self) -> int:
        sql = """
            SELECT count(*) FROM current AS c WHERE object = ? AND state = 'live' AND NOT EXISTS
            (SELECT 1 FROM adopted AS a WHERE a.step = c.step AND a.source_key = c.source_key)
        """
        return int(next(self._ledger.rows(sql, self._name))[0])

    def _unwritten(self, step: LoadStep) -> int:
        row = self._con.execute(f"SELECT count(*) FROM {table_of(step)}").fetchone()
        return max(0, (int(row[0]) if row else 0) - self._ledger.live_counts().get(step.name, 0))

    # ---- our side ----------------------------------------------------------------------------------------------

    def _rows_of(self, step: LoadStep) -> str:
        """Make the table of the step's rows that were never written, with what the rules compare; return its name."""
        name = f"ours_{self._steps.index(step)}"
        self._con.execute("CREATE OR REPLACE TEMP TABLE written (source_key VARCHAR)")
        keys = (c.source_key for c in self._ledger.records(step.name))
        for some in _parts(keys, _CHUNK * 10):
            self._insert("written", {"source_key": some})
        columns = {c: t for c, t, *_ in self._con.execute(f"DESCRIBE {table_of(step)}").fetchall()}
        values = ", ".join(
            f"{settled(_column(path, columns, step), path)} AS {column}" for path, column in self._columns.items()
        )
        self._con.execute(
            f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT source_key, record_id, {values} FROM {table_of(step)} AS r "
            "ANTI JOIN written USING (source_key)"
        )
        return f"temp.{name}"

    def _insert(self, table: str, columns: Mapping[str, Sequence[str | None]]) -> None:
        self._con.register("some_rows", pa.table({n: pa.array(list(v), pa.string()) for n, v in columns.items()}))
        self._con.execute(f"INSERT INTO {table} SELECT * FROM some_rows")
        self._con.unregister("some_rows")

    # ---- their side --------------------------------------------------------------------------------------------

    def _read(self, tables: Mapping[str, str]) -> None:
        """Make `temp.theirs`: the records of others with what the rules compare."""
        raw = ", ".join(f"{column} VARCHAR" for column in self._columns.values())
        self._con.execute(f"CREATE OR REPLACE TEMP TABLE theirs_raw (record_id VARCHAR, {raw})")
        made = self._made_by_us()
        for some in _parts((r for r in self._records(tables) if r["id"] not in made), _CHUNK):
            values: dict[str, list[str | None]] = {"record_id": [r["id"] for r in some]}
            values |= {column: [_text(r, path) for r in some] for path, column in self._columns.items()}
            self._insert("theirs_raw", values)
        chosen = ", ".join(f"{settled(column, path)} AS {column}" for path, column in self._columns.items())
        self._con.execute(
            f"CREATE OR REPLACE TEMP TABLE theirs AS SELECT DISTINCT ON (record_id) record_id, {chosen} FROM theirs_raw"
        )
        self._con.execute("DROP TABLE theirs_raw")
        # a record under an id that we would give is ours: its answer was lost, or the ledger; its row has its record
        ids = " UNION ALL ".join(f"SELECT record_id FROM {table}" for table in tables.values())
        self._con.execute(
            f"CREATE OR REPLACE TEMP TABLE unheard AS SELECT record_id FROM theirs SEMI JOIN ({ids}) USING (record_id)"
        )
        for table in ("theirs", *tables.values()):
            self._con.execute(f"DELETE FROM {table} WHERE record_id IN (SELECT record_id FROM unheard)")

    def _made_by_us(self) -> set[str]:
        sql = """
            SELECT record_id FROM current AS c WHERE object = ? AND NOT EXISTS
            (SELECT 1 FROM adopted AS a WHERE a.step = c.step AND a.source_key = c.source_key)
        """
        taken_up = """
            SELECT r.value ->> 1 FROM entry, json_each(entry.body, '$.rows') AS r
            WHERE kind = 'call' AND entry.body ->> 'op' = 'adopt' AND entry.body ->> 'object' = ?
        """  # also those that a rollback has given back: nobody's but the workspace's, and found again
        theirs = {rid for (rid,) in self._ledger.rows(taken_up, self._name)}
        return {rid for (rid,) in self._ledger.rows(sql, self._name)} - theirs

    def _records(self, tables: Mapping[str, str]) -> Iterator[JSON]:
        """Read all records page by page, or only those that have a value of ours: whichever costs fewer calls."""
        everything = self._patience.transient(lambda: self._destination.count(self._name))
        pages = math.ceil(everything / self._destination.capabilities.thin_rows)
        wanted = self._wanted(tables, at_most=pages * _FIND_VALUES)
        if wanted is None:
            fields = sorted({path.split(".")[0] for path in self._paths})
            yield from self._patience.transient(lambda: self._destination.scan(self._name, fields=fields))
            return
        for path, values in wanted.items():
            for some in _parts(values, _FIND_VALUES):
                yield from self._patience.transient(
                    lambda path=path, some=some: self._destination.find(self._name, path, some)  # type: ignore[misc]
                )

    def _wanted(self, tables: Mapping[str, str], *, at_most: int) -> dict[str, list[str]] | None:
        """Return the values by which each rule's first field would be asked for; None where that is no fewer calls."""
        found: dict[str, list[str]] = {}
        for step in self._steps:
            for rule in step.match.by if step.match else ():
                if not {p.split(".")[0] for p in rule} <= self._there:
                    continue  # no record can have a field that isn't there yet
                filled = " AND ".join(f"{self._columns[p]} IS NOT NULL" for p in rule)
                sql = f"SELECT DISTINCT {self._columns[rule[0]]} FROM {tables[step.name]} WHERE {filled} LIMIT ?"
                values = [v for (v,) in self._con.execute(sql, [at_most + 1]).fetchall()]
                if values and not _is_asked_for(rule[0]):
                    return None
                found[rule[0]] = list(dict.fromkeys([*found.get(rule[0], []), *values]))
        calls = sum(math.ceil(len(values) / _FIND_VALUES) for values in found.values())
        return {p: v for p, v in found.items() if v} if calls * _FIND_VALUES < at_most else None

    # ---- both --------------------------------------------------------------------------------------------------

    def _compare(self, step: LoadStep, ours: str) -> int:
        """Try the rules in order; write matches and what is ambiguous. Returns the rows that were looked at."""
        assert step.match is not None
        con = self._con
        con.execute("CREATE OR REPLACE TEMP TABLE settled_rows (source_key VARCHAR)")
        for rule in step.match.by:
            on = " AND ".join(f"o.{self._columns[p]} = t.{self._columns[p]}" for p in rule)
            con.execute(
                "CREATE OR REPLACE TEMP TABLE pairs AS SELECT o.source_key, t.record_id, "
                "count(*) OVER (PARTITION BY o.source_key) AS records, "
                "count(*) OVER (PARTITION BY t.record_id) AS rows, "
                "t.record_id IN (SELECT record_id FROM taken_records) AS taken "
                f"FROM {ours} AS o JOIN theirs AS t ON {on} ANTI JOIN settled_rows AS s ON s.source_key = o.source_key"
            )
            told = [step.name, " + ".join(rule)]
            single = "records = 1 AND rows = 1 AND NOT taken"
            con.execute(
                f"INSERT INTO {MATCHES} SELECT ?, source_key, record_id, ?, ? FROM pairs WHERE {single} ORDER BY ALL",
                [*told, step.match.found],
            )
            con.execute(
                f"INSERT INTO {AMBIGUOUS} SELECT ?, source_key, record_id, ? FROM pairs WHERE NOT ({single}) "
                "ORDER BY ALL",
                told,
            )
            con.execute(f"INSERT INTO taken_records SELECT record_id FROM pairs WHERE {single}")
            con.execute("INSERT INTO settled_rows SELECT DISTINCT source_key FROM pairs")
        row = con.execute(f"SELECT count(*) FROM {ours}").fetchone()
        return int(row[0]) if row else 0


def _parts(items: Iterable[T], size: int) -> Iterator[list[T]]:
    source = iter(items)
    while part := list(islice(source, size)):
        yield part


def _is_asked_for(path: str) -> bool:
    """Tell whether a destination finds a value of this field however it is written: names it doesn't."""
    return path == SOURCE_ID or path.endswith(".primaryEmail") or "date" in path.lower()


def _text(record: Mapping[str, Any], path: str) -> str | None:
    value: Any = record
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return None if value is None else str(value)


def _column(path: str, columns: Mapping[str, str], step: LoadStep) -> str:
    """Return SQL for a prepared row's value: its own column, shared values of a unique field included."""
    if path == SOURCE_ID and path not in columns:
        source = step.source_prefix.replace("'", "''")
        return f"'{source}' || r.source_key" if source else "NULL"
    head, _, part = path.partition(".")
    if path in columns:
        further = f'r."further {path}"'
        return f'coalesce(r."{path}", {further})' if f"further {path}" in columns else f'r."{path}"'
    if part and columns.get(head, "").startswith("STRUCT"):
        return f'r."{head}"."{part}"' if f"{part} " in columns[head] or f'"{part}"' in columns[head] else "NULL"
    return f"json_extract_string(r.payload, '$.{path}')"


def settled(value: str, path: str) -> str:
    """Return SQL for a value in the form in which two are compared; NULL where it is empty."""
    if path == SOURCE_ID:
        return f"nullif({value}::VARCHAR, '')"
    text = f"lower(trim(regexp_replace({value}::VARCHAR, '\\s+', ' ', 'g')))"
    if path.endswith("LinkUrl"):
        text = f"split_part(regexp_replace({text}, '^([a-z]+://)?(www\\.)?', ''), '/', 1)"
    if path.endswith("PhoneNumber"):
        text = f"regexp_replace({text}, '[^0-9]', '', 'g')"
    return f"nullif({text}, '')"
