"""A real export that nobody here wrote, through the pair for any other system."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dentlib.clock import ManualClock
from dentlib.extraction import take_in
from dentlib.mapping import check, load_map, mapping_facts, prepare, propose, write_proposals
from dentlib.model import Severity, Silence
from dentlib.pairs import load_pair
from dentlib.vocabulary import load_vocabulary
from dentlib.workdb import open_work_db

FOLDER = os.environ.get("DENTLIB_REAL_DATA")
pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not FOLDER, reason="DENTLIB_REAL_DATA doesn't name the folder of the optional data sets"),
]


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The export of 111 patients, taken in once."""
    root = tmp_path_factory.mktemp("real")
    source = Path(str(FOLDER)) / "synthea_111"
    take_in(
        source,
        root / "export",
        root / "work.duckdb",
        round="1",
        source_label="x",
        clock=ManualClock(),
        progress=Silence(),
    )
    connection = open_work_db(root / "work.duckdb")
    pair = load_pair("other", "twenty")
    path = write_proposals(propose(connection, load_vocabulary("other"), pair), root)
    yield connection, load_map(pair, path)
    connection.close()


def test_everything_arrives_and_nothing_stops(taken: Any, context: Callable[..., Any]) -> None:
    """Patients, payers, organisations, encounters and procedures, row for row; providers fall back."""
    con, chosen = taken
    assert not [p for p in check(chosen, con) if p.severity is Severity.ERROR]
    done = prepare(con, chosen, context())
    rows = {"patients": 111, "carriers": 10, "organizations": 215, "appointments": 7584, "procedures": 11742}
    assert {k: done.prepared[k] for k in rows} == rows
    assert con.execute("SELECT count(*) FROM prepared.outcomes").fetchone() == (0,)
    assert con.execute("SELECT count(*) FROM prepared.owners WHERE how <> 'fallback'").fetchone() == (0,)


def test_every_other_table_and_column_is_listed(taken: Any) -> None:
    """What doesn't move stands in the document with its rows."""
    con, chosen = taken
    facts = mapping_facts(con, chosen, engagement="e", client="c", problems=(), schema=())
    listed = {t: n for t, n, _ in facts.tables_not_migrated}
    assert listed["allergies"] == 90
    assert {
        "conditions",
        "devices",
        "imaging_studies",
        "immunizations",
        "medications",
        "payer_transitions",
        "supplies",
    } <= set(listed)
    assert len(facts.lines) == sum(
        len(next(csv.reader(p.open()))) for p in (Path(str(FOLDER)) / "synthea_111").glob("*.csv")
    )


def test_proposals_agree_with_a_competent_analyst(taken: Any) -> None:
    """Of the answer key's columns for the tables that move, most are recognised."""
    _, chosen = taken
    with (Path(str(FOLDER)) / "answer-keys" / "synthea_111.csv").open() as file:
        key = [(r["source_table"], r["source_column"]) for r in csv.DictReader(file)]
    recognised = {(t, c) for t, words in chosen.tables.items() for c, field in words.columns.items() if field}
    assert len(recognised & set(key)) >= 0.9 * len(key)
