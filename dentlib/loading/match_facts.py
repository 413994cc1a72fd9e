"""Tell what was matched and what loading it would change, before anything is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set

import duckdb
import orjson

from dentlib.facts import MatchFacts, MatchRuleFacts, MatchStepFacts
from dentlib.loading.adopting import Treatment, made_fields, treatment
from dentlib.loading.ledger import Ledger
from dentlib.loading.matching import AMBIGUOUS, COUNTS
from dentlib.loading.patience import Patience
from dentlib.loading.readback import field_types
from dentlib.loading.rows import MATCHES, table_of
from dentlib.model import Destination, LoadStep

_LISTED = 1_000


def match_facts(
    con: duckdb.DuckDBPyConnection,
    ledger: Ledger,
    destination: Destination,
    steps: Sequence[LoadStep],
    *,
    patience: Patience,
) -> MatchFacts:
    """Count what `match` found and, field by field, what a load would do to these records.

    Wants rows prepared with the matches. Reads only; one call for each `read_rows` matched records.
    """
    described = patience.transient(destination.describe).objects
    found = []
    for step in steps:
        if step.match is None or step.object_name not in described:
            continue
        count = con.execute(f"SELECT rows, records FROM {COUNTS} WHERE step = ?", [step.name]).fetchone()
        rows, records = count or (0, 0)
        types = field_types(described[step.object_name])
        effects = _effects(con, destination, step, types, made_fields(ledger, step.object_name), patience)
        found.append(
            MatchStepFacts(
                step=step.name,
                label=step.label or step.name,
                object=step.object_name,
                found=step.match.found,
                if_ambiguous=step.match.ambiguous,
                rows=rows,
                records=records,
                rules=tuple(_rule(con, step.name, " + ".join(rule)) for rule in step.match.by),
                remembered=len(ledger.adopted(step.name)),
                would_fill=_sorted(effects[Treatment.FILL]),
                would_overwrite=_sorted(effects[Treatment.OVERWRITE]),
                would_keep=_sorted(effects[Treatment.KEEP]),
            )
        )
    listed = f"SELECT step, source_key, record_id, rule FROM {AMBIGUOUS} ORDER BY ALL LIMIT {_LISTED}"
    return MatchFacts(tuple(found), tuple(con.execute(listed).fetchall()))


def _rule(con: duckdb.DuckDBPyConnection, step: str, rule: str) -> MatchRuleFacts:
    def count(table: str) -> int:
        sql = f"SELECT count(DISTINCT source_key) FROM {table} WHERE step = ? AND rule = ?"
        row = con.execute(sql, [step, rule]).fetchone()
        return int(row[0]) if row else 0

    return MatchRuleFacts(rule, count(MATCHES), count(AMBIGUOUS))


def _effects(
    con: duckdb.DuckDBPyConnection,
    destination: Destination,
    step: LoadStep,
    types: Mapping[str, str],
    made: Set[str],
    patience: Patience,
) -> dict[Treatment, Counter[str]]:
    effects: dict[Treatment, Counter[str]] = {t: Counter() for t in Treatment}
    sql = (
        f"SELECT m.record_id, m.found, r.payload FROM {MATCHES} AS m JOIN {table_of(step)} AS r USING (source_key) "
        "WHERE m.step = ? AND m.found <> 'create' ORDER BY source_key"
    )
    cursor = con.cursor().execute(sql, [step.name])
    while some := cursor.fetchmany(destination.capabilities.read_rows):
        ids = [rid for rid, *_ in some]
        present = patience.transient(lambda ids=ids: destination.read(step.object_name, ids))  # type: ignore[misc]
        for rid, found, text in some:
            stored = present.get(rid, {})
            for name, new in orjson.loads(text).items():
                effects[treatment(found, name, new, stored.get(name), types.get(name, ""), made)][name] += 1
    return effects


def _sorted(counts: Counter[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(counts.items()))
