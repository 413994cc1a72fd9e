"""Choose the sample: a few hundred records, closed under their lookups, spread over years, owners and odd values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from dentlib.mapping.map import Map
from dentlib.mapping.payload import ROWS
from dentlib.mapping.schema import link_columns
from dentlib.model import PREPARED_PROBLEMS, DestinationSchema, LoadStep
from dentlib.pairs import Step
from dentlib.workdb import literal, quoted

_ROUNDS = 8
_FILES = 5


Links = Mapping[str, Mapping[str, str]]
"""step → lookup → column of its prepared table"""


def choose_sample(
    con: duckdb.DuckDBPyConnection,
    map: Map,
    load_steps: Sequence[LoadStep],
    size: int = 200,
    schema: DestinationSchema | None = None,
) -> int:
    """Mark the sample in the prepared tables (`in_sample`) and return how many records it has.

    Seeds come from every step, oldest to newest, each owner and each kind of problem in turn, in an order that depends
    on record ids only; parents come along, and so do links and files whose ends are in the sample. At least one record
    per step that has any; the total stays near `size`. Idempotent: the same data gives the same sample.
    `schema`: the one that the rows were prepared for.
    """
    steps = {s.step: s for s in map.active_steps}
    names = [s.name for s in load_steps if s.name in steps]
    links = {n: link_columns(map, steps[n], schema) for n in names}
    seeds = max(1, size // max(1, 2 * len([n for n in names if steps[n].prefix])))
    total = 0
    for _ in range(_ROUNDS):
        _mark(con, steps, names, links, seeds)
        total = sum(_count(con, n) for n in names)
        if total <= size * 1.2 or seeds == 1:
            break
        seeds = max(1, min(seeds - 1, int(seeds * size / total)))
    return total


def _mark(con: duckdb.DuckDBPyConnection, steps: dict[str, Step], names: list[str], links: Links, seeds: int) -> None:
    for name in names:
        con.execute(f"UPDATE {ROWS}.{quoted(name)} SET in_sample = false WHERE in_sample")
    for name in names:
        if steps[name].prefix:
            _seed(con, name, steps[name], seeds)
    for _ in range(2):  # links bring people, people bring carriers, and what was brought has links of its own
        for name in names:
            if not steps[name].prefix:
                _with_link(con, name, steps, links)
        for name in reversed(names):
            _with_parents(con, name, steps, links)


def _seed(con: duckdb.DuckDBPyConnection, name: str, step: Step, seeds: int) -> None:
    """Take turns over strata: year of creation, owner, kind of problem."""
    dated = "year(createdAt)::VARCHAR" if step.created is not None else "NULL"
    con.execute(
        f"UPDATE {ROWS}.{quoted(name)} SET in_sample = true WHERE record_id IN ("
        f"SELECT record_id FROM (SELECT record_id, row_number() OVER (PARTITION BY stratum ORDER BY record_id) AS turn "
        f"FROM (SELECT p.record_id, "
        f"concat_ws('|', coalesce({dated}, '?'), coalesce(p.owner_key, '?'), coalesce(o.code, '')) AS stratum "
        f"FROM {ROWS}.{quoted(name)} AS p LEFT JOIN (SELECT source_key, min(code) AS code FROM {PREPARED_PROBLEMS} "
        f"WHERE step = {literal(name)} GROUP BY 1) AS o USING (source_key))) ORDER BY turn, record_id LIMIT {seeds})"
    )


def _with_parents(con: duckdb.DuckDBPyConnection, name: str, steps: dict[str, Step], links: Links) -> None:
    for lookup_name, lookup in steps[name].lookups.items():
        if lookup.step in steps and lookup.write:
            con.execute(
                f"UPDATE {ROWS}.{quoted(lookup.step)} SET in_sample = true WHERE record_id IN "
                f"(SELECT {quoted(links[name][lookup_name])} FROM {ROWS}.{quoted(name)} WHERE in_sample)"
            )


def _with_link(con: duckdb.DuckDBPyConnection, name: str, steps: dict[str, Step], links: Links) -> None:
    """Take a link or file along when its main record is in the sample."""
    lookups = [(n, r) for n, r in steps[name].lookups.items() if r.step in steps and r.write]
    if not lookups:
        return
    first_name, first = lookups[0]
    limit = "" if steps[name].file is None else f" ORDER BY record_id LIMIT {_FILES}"
    con.execute(
        f"UPDATE {ROWS}.{quoted(name)} SET in_sample = true WHERE record_id IN (SELECT record_id FROM "
        f"{ROWS}.{quoted(name)} WHERE {quoted(links[name][first_name])} IN (SELECT record_id FROM "
        f"{ROWS}.{quoted(first.step)} WHERE in_sample){limit})"
    )


def _count(con: duckdb.DuckDBPyConnection, name: str) -> int:
    row = con.execute(f"SELECT count(*) FROM {ROWS}.{quoted(name)} WHERE in_sample").fetchone()
    return int(row[0]) if row else 0
