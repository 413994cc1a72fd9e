"""Write one record of each object, read it back field by field, and take it away again.

A destination may accept a field and not keep it, or keep another value; better to see that on one record than on all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import orjson

from dentlib.clock import Clock
from dentlib.errors import InDoubt, Refused
from dentlib.loading.history import require_no_unfinished_rollback
from dentlib.loading.ledger import Ledger
from dentlib.loading.patience import Hook, Patience, no_hook
from dentlib.loading.quiet import quiet
from dentlib.loading.readback import compare_record, field_types
from dentlib.loading.rows import check_prepared, matches_of, table_of
from dentlib.loading.snapshot import ensure_baseline
from dentlib.loading.words import NOT_UNIQUE, refused_reason
from dentlib.model import JSON, Destination, DestinationObject, LoadStep, record_id

PREFIX = "probe:"
_CANDIDATES = 3
_ATTEMPTS = 6
_SOURCE_ID = "sourceSystemId"


@dataclass(frozen=True, slots=True)
class ProbeField:
    """One field of a probe record: kept as meant or not, with the reason."""

    step: str
    object: str
    field: str
    same: bool
    reason: str


@dataclass(frozen=True, slots=True)
class ProbeFacts:
    """What the probe saw. `refused`: (step, code, the destination's words) where no candidate was taken."""

    fields: tuple[ProbeField, ...]
    refused: tuple[tuple[str, str, str], ...]
    skipped: tuple[str, ...]  # steps without rows to create, or with records of ours already

    @property
    def passed(self) -> bool:
        """Tell whether every field of every probe record was kept as meant."""
        return not self.refused and all(f.same for f in self.fields)


def probe(
    ledger: Ledger,
    destination: Destination,
    con: duckdb.DuckDBPyConnection,
    steps: Sequence[LoadStep],
    *,
    clock: Clock,
    hook: Hook = no_hook,
) -> ProbeFacts:
    """Probe each step with one of its prepared rows, under an id of the probe's own; nothing is left behind.

    Every write is in the ledger; what a crash leaves is destroyed by the next probe, load or rollback. Files are not
    sent. Steps that have records of ours already are skipped: their unique values are taken, by us. A record whose
    unique values others hold, in the bin perhaps, is tried once more without them: that says nothing about the schema.
    """
    require_no_unfinished_rollback(ledger)
    check_prepared(con, steps)
    patience = Patience(clock)
    ensure_baseline(ledger, destination, patience=patience)
    sweep_probes(ledger, destination, patience=patience, hook=hook)
    schema = patience.idempotent(destination.describe)
    live = ledger.live_counts()
    fields: list[ProbeField] = []
    refused: list[tuple[str, str, str]] = []
    skipped: list[str] = []
    made: dict[str, str] = {}  # step → id of its probe record
    with quiet(ledger, destination, patience=patience, hook=hook):
        try:
            for step in steps:
                if live.get(step.name) or not (rows := _candidates(con, step)):
                    skipped.append(step.name)
                    continue
                types = field_types(schema.objects[step.object_name])
                reason: tuple[str, str] | None = None
                for key, text in rows:
                    record = _as_probe(ledger.engagement, con, steps, step, key, orjson.loads(text), made)
                    reason = _write(ledger, destination, step, key, record, patience, hook)
                    if reason is not None and reason[0] == NOT_UNIQUE:  # others hold its values, which the load names
                        record = _without_unique(record, schema.objects[step.object_name])
                        reason = _write(ledger, destination, step, key, record, patience, hook)
                    if reason is None:
                        made[step.name] = record["id"]
                        stored = _read(destination, step, record["id"], patience)
                        fields += [
                            ProbeField(step.name, step.object_name, c.field, c.same, c.reason)
                            for c in compare_record(record, stored, types)
                        ]
                        break
                if reason is not None:
                    refused.append((step.name, *reason))
        finally:
            sweep_probes(ledger, destination, patience=patience, hook=hook)
    facts = ProbeFacts(tuple(fields), tuple(refused), tuple(skipped))
    ledger.append("probe", {"passed": facts.passed, "fields": len(fields), "refused": [r[0] for r in refused]})
    return facts


def _candidates(con: duckdb.DuckDBPyConnection, step: LoadStep) -> list[tuple[str, str]]:
    """Return the fullest rows; none that stand for a record of the workspace, which holds their unique values."""
    there = matches_of(con, step)
    sql = f"""
        SELECT source_key, payload FROM {table_of(step)} WHERE NOT list_contains($there, source_key)
        ORDER BY in_sample DESC NULLS LAST, length(payload) DESC, ordinal LIMIT {_CANDIDATES}
    """
    return con.cursor().execute(sql, {"there": list(there)}).fetchall()


def _as_probe(
    engagement: str,
    con: duckdb.DuckDBPyConnection,
    steps: Sequence[LoadStep],
    step: LoadStep,
    key: str,
    record: JSON,
    made: dict[str, str],
) -> JSON:
    """Give the record an id of its own, and let what it refers to be the probe records made before it."""
    by_name = {s.name: s for s in steps}
    record["id"] = record_id(engagement, PREFIX + step.name, key)
    if _SOURCE_ID in record:
        record[_SOURCE_ID] = PREFIX + str(record[_SOURCE_ID])
    for name in [n for n, v in record.items() if n.endswith("Id") and n != _SOURCE_ID and isinstance(v, str)]:
        for parent in step.depends_on:
            if parent in by_name and _owns(con, by_name[parent], record[name]):
                record[name] = made.get(parent)
                break
    return {n: v for n, v in record.items() if v is not None}


def _without_unique(record: JSON, described: DestinationObject) -> JSON:
    unique = {f.name for f in described.fields.values() if f.unique} - {"id", _SOURCE_ID}
    return {name: value for name, value in record.items() if name not in unique}


def _owns(con: duckdb.DuckDBPyConnection, step: LoadStep, wanted_id: str) -> bool:
    sql = f"SELECT count(*) FROM {table_of(step)} WHERE record_id = ?"
    found = con.cursor().execute(sql, [wanted_id]).fetchone()
    return bool(found and found[0])


def _write(
    ledger: Ledger,
    destination: Destination,
    step: LoadStep,
    key: str,
    record: JSON,
    patience: Patience,
    hook: Hook,
) -> tuple[str, str] | None:
    call = ledger.begin_call(
        run="",
        step=PREFIX + step.name,
        object_name=step.object_name,
        op="create",
        tag="probe",
        rows=[(key, record["id"], "")],
        block={"new": [record]},
    )
    hook("intent committed")
    for attempt in range(1, _ATTEMPTS + 1):
        tag = f"probe_c{call}_a{attempt}"
        try:
            patience.transient(lambda tag=tag: destination.create(step.object_name, [record], tag))  # type: ignore[misc]
        except InDoubt:
            if not _read(destination, step, record["id"], patience):
                patience.pause(attempt)
                continue
        except Refused as refusal:
            if not _read(destination, step, record["id"], patience):  # else a lost request has arrived meanwhile
                code, words = refused_reason(refusal, record)
                ledger.end_call(call, run="", result="refused", failed=[(key, code, words)])
                return code, words
        ledger.end_call(call, run="", result="written")
        hook("outcome committed")
        return None
    raise InDoubt(f"the probe of {step.name} got no trustworthy answer", "look at the destination and the network")


def _read(destination: Destination, step: LoadStep, rid: str, patience: Patience) -> JSON:
    return patience.idempotent(lambda: destination.read(step.object_name, [rid])).get(rid, {})


def sweep_probes(ledger: Ledger, destination: Destination, *, patience: Patience, hook: Hook = no_hook) -> int:
    """Destroy every probe record that the ledger knows or that is in doubt; return how many. Idempotent."""
    settle_probe_calls(ledger, destination, patience=patience)
    sql = """
        SELECT step, source_key, record_id, object, row_hash FROM current
        WHERE state = 'live' AND step LIKE 'probe:%' ORDER BY made DESC
    """
    found = list(ledger.rows(sql))
    for step, key, rid, object_name, row_hash in found:
        _destroy(ledger, destination, step, object_name, (key, rid, row_hash), patience, hook)
    return len(found)


def _destroy(
    ledger: Ledger,
    destination: Destination,
    step: str,
    object_name: str,
    row: tuple[str, str, str],
    patience: Patience,
    hook: Hook,
) -> None:
    ids = [row[1]]
    patience.idempotent(lambda: destination.destroy_side_effects(object_name, ids))
    call = ledger.begin_call(run="", step=step, object_name=object_name, op="destroy", tag="probe", rows=[row])
    hook("intent committed")
    patience.idempotent(lambda: destination.destroy(object_name, ids, f"probe_c{call}"))
    hook("destroyed")
    ledger.end_call(call, run="", result="written")


def settle_probe_calls(ledger: Ledger, destination: Destination, *, patience: Patience) -> None:
    """Take every open probe create for written: destroying what isn't there does no harm, leaving it would."""
    for entry in ledger.open_calls():
        if entry.body["step"].startswith(PREFIX):
            if entry.body["op"] == "create":
                ledger.end_call(entry.seq, run="", result="found")
            else:
                ledger.end_call(entry.seq, run="", result="not_written", unwritten=[r[0] for r in entry.body["rows"]])
