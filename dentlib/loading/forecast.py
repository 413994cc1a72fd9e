"""Say before the first call how many calls a load needs and when it will have ended."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta

import duckdb

from dentlib.facts import Forecast, StepForecast
from dentlib.loading.delta import plan_delta
from dentlib.loading.ledger import Ledger
from dentlib.loading.rows import matches_of
from dentlib.model import Capabilities, LoadStep

KEPT_SHARE = 0.97
"""Share of the allowed rate that the pacing keeps, as measured against the server's own limiter."""

_FIXED_READS = 4
"""Reads of a step that don't depend on its rows: counting at the destination, its look at the bin and the like."""


def forecast(
    ledger: Ledger,
    con: duckdb.DuckDBPyConnection,
    steps: Sequence[LoadStep],
    capabilities: Capabilities,
    *,
    read_rows: int,
    now: datetime,
    rate_from: str = "",
) -> Forecast:
    """Compare what is prepared with what the ledger says is there, and count calls and minutes. Reads only.

    Rows that were matched with records of the workspace count as changes at most, or stay where the map only links.

    `read_rows`: records that one read of the reconciliation gives. Steps with files upload them besides, which costs
    no rate. Minutes: at the rate allowed; without one, at the time per call of the last load in this ledger.
    """
    labels = {step.name: step for step in steps}
    found, reading = [], 0
    for delta in plan_delta(ledger, con, steps).steps:
        step = labels[delta.step]
        rows = delta.created + delta.changed + delta.unchanged
        filled, linked = _taken_up(ledger, con, step)
        create, change = delta.created - filled - linked, delta.changed + filled
        changing = math.ceil(change / capabilities.batch_rows) if capabilities.batch_updates else change
        calls = math.ceil(create / capabilities.batch_rows) + changing
        reading += math.ceil(rows / read_rows) + math.ceil(change / read_rows) + _FIXED_READS
        found.append(
            StepForecast(
                step=step.name,
                label=step.label or step.name,
                object=step.object_name,
                create=create,
                change=change,
                stay=delta.unchanged + linked,
                calls=calls,
            )
        )
    calls = sum(s.calls for s in found)
    rate = capabilities.calls_per_minute
    per_call_s = None if rate else seconds_per_call(ledger)
    minutes = _minutes(calls + reading, rate, per_call_s)
    return Forecast(
        records=sum(s.create + s.change for s in found),
        calls=calls,
        minutes=minutes,
        calls_per_minute=rate,
        reading=reading,
        steps=tuple(found),
        rate_from=rate_from,
        measured=per_call_s is not None,
        begins_at=now,
        ends_at=None if minutes is None else now + timedelta(minutes=minutes),
    )


def _taken_up(ledger: Ledger, con: duckdb.DuckDBPyConnection, step: LoadStep) -> tuple[int, int]:
    """Count the rows that stand for records of the workspace and are not taken up yet: changed, and only linked to."""
    matches = matches_of(con, step)
    if not matches:
        return 0, 0
    for current in ledger.records(step.name):
        matches.pop(current.source_key, None)
    linked = sum(m.found == "match_only" for m in matches.values())
    return len(matches) - linked, linked


def _minutes(calls: int, rate: int | None, per_call_s: float | None) -> float | None:
    if rate:
        return round(calls / (rate * KEPT_SHARE), 1)
    return None if per_call_s is None else round(calls * per_call_s / 60, 1)


def seconds_per_call(ledger: Ledger) -> float | None:
    """Return how long a writing call took in the last load that ended, everything around it included; None: none."""
    ended = ledger.last("kind = 'run_end'")
    if ended is None:
        return None
    begun = ledger.last("kind = 'run' AND run = ? AND seq < ?", ended.run, ended.seq)
    if begun is None:
        return None
    sql = "SELECT count(*) FROM entry WHERE kind = 'call' AND run = ? AND seq > ? AND seq < ?"
    (calls,) = next(ledger.rows(sql, ended.run, begun.seq, ended.seq))
    if not calls:
        return None
    took = datetime.fromisoformat(ended.at) - datetime.fromisoformat(begun.at)
    return took.total_seconds() / int(calls)


def calls_by_step(ledger: Ledger, run_id: str) -> dict[str, int]:
    """Count the writing calls of a run by step.

    Adopting a record, or taking up one that an import made, is none; an update is one for each record, unless the
    ledger says how many it took.
    """
    sql = """
        SELECT body ->> 'step', sum(CASE
          WHEN body ->> 'tag' = 'imported' OR body ->> 'op' = 'adopt' THEN 0
          WHEN body ->> 'op' = 'update' THEN coalesce(body ->> 'calls', json_array_length(body, '$.rows'))
          ELSE 1 END)
        FROM entry WHERE kind = 'call' AND run = ? GROUP BY 1
    """
    return {step: int(calls) for step, calls in ledger.rows(sql, run_id)}
