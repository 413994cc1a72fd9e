"""Raw tables by hand, and one small invented practice for the whole room."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dentlib.clock import ManualClock
from dentlib.extraction import take_in
from dentlib.mapping import Map, PrepareContext, PreparedFacts, load_map, prepare, propose, write_proposals
from dentlib.model import Member, Silence
from dentlib.pairs import load_pair
from dentlib.samples import write_samples
from dentlib.vocabulary import load_vocabulary
from dentlib.workdb import open_work_db, quoted

MEMBERS = (
    Member("20202020-0000-4000-8000-000000000001", "mara.velden@brightsmile.example", "Mara Velden"),
    Member("20202020-0000-4000-8000-000000000002", "admin@brightsmile.example", "Demo Admin"),
)
Rows = Sequence[Mapping[str, str | None]]


def context(**changes: Any) -> PrepareContext:
    """Return what preparing is told: a practice in California on 5 January 2026."""
    told: dict[str, Any] = {
        "engagement": "test",
        "run_date": date(2026, 1, 5),
        "time_zone": "America/Los_Angeles",
        "currency": "USD",
        "phone_country": "US",
        "members": MEMBERS,
        "fallback_owner_email": "admin@brightsmile.example",
        "documents_dir": Path("/nonexistent"),
        "max_upload_mb": 10.0,
    }
    return PrepareContext(**(told | changes))


def raw(con: duckdb.DuckDBPyConnection, table: str, rows: Rows) -> None:
    """Write a raw table as intake does: texts, with file and row."""
    columns = list(dict.fromkeys(c for row in rows for c in row))
    con.execute("CREATE SCHEMA IF NOT EXISTS raw")
    chosen = "".join(f"{quoted(c)} VARCHAR, " for c in columns)
    con.execute(f"CREATE OR REPLACE TABLE raw.{quoted(table)} ({chosen}_file VARCHAR, _row BIGINT, _line BIGINT)")
    for number, row in enumerate(rows, 1):
        values = [row.get(c) for c in columns]
        marks = ", ".join("?" for _ in range(len(columns) + 3))
        con.execute(f"INSERT INTO raw.{quoted(table)} VALUES ({marks})", [*values, f"{table}.csv", number, number + 1])


@dataclass
class Prepared:
    """A prepared engagement, and short ways to look at it."""

    con: duckdb.DuckDBPyConnection
    map: Map
    facts: PreparedFacts

    def payloads(self, step: str) -> dict[str, Any]:
        """Return payloads by source key."""
        import orjson

        rows = self.con.execute(f"SELECT source_key, payload FROM prepared.{quoted(step)} ORDER BY ordinal").fetchall()
        return {key: orjson.loads(text) for key, text in rows}

    def outcomes(self, step: str) -> list[tuple[str, str, str]]:
        """Return (key, outcome, code) of rows that don't reach the loader."""
        sql = "SELECT source_key, outcome, code FROM prepared.outcomes WHERE step = ? ORDER BY source_row, source_key"
        return self.con.execute(sql, [step]).fetchall()

    def problems(self, step: str) -> list[tuple[str, str, str]]:
        """Return (key, field, code) of values that were not carried as they are."""
        sql = "SELECT source_key, field, code FROM prepared.problems WHERE step = ? ORDER BY source_row, field"
        return self.con.execute(sql, [step]).fetchall()


@pytest.fixture(name="context")
def context_of() -> Callable[..., PrepareContext]:
    """Return the function that says what preparing is told."""
    return context


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    """An empty database."""
    with duckdb.connect(config={"threads": 1}) as connection:
        yield connection


@pytest.fixture
def work(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> Callable[..., Prepared]:
    """Return a function that takes raw tables and a patch, proposes the map, and prepares."""

    def do(tables: Mapping[str, Rows], patch: str = "", source: str = "dent-o-soft", **changes: Any) -> Prepared:
        for name, rows in tables.items():
            raw(con, name, rows)
        pair = load_pair(source, "twenty")
        path = tmp_path / "map.yaml"
        if patch:
            path.write_text(patch)
        write_proposals(propose(con, load_vocabulary(source), pair), tmp_path)
        chosen = load_map(pair, path)
        return Prepared(con, chosen, prepare(con, chosen, context(**changes)))

    return do


@pytest.fixture(scope="session")
def practice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    """A practice of 150 patients, taken in, proposed and prepared once."""
    root = tmp_path_factory.mktemp("practice")
    write_samples("dent-o-soft", root / "in", patients=150, seed=11)
    silence, clock = Silence(), ManualClock()
    take_in(
        root / "in", root / "export", root / "work.duckdb", round="1", source_label="x", clock=clock, progress=silence
    )
    connection = open_work_db(root / "work.duckdb")
    pair = load_pair("dent-o-soft", "twenty")
    path = write_proposals(propose(connection, load_vocabulary("dent-o-soft"), pair), root / "mapping")
    chosen = load_map(pair, path)
    yield Prepared(connection, chosen, prepare(connection, chosen, context(documents_dir=root / "export")))
    connection.close()
