"""Give records another owner after they were loaded: through the ledger, and never over someone else's choice.

Only the owner field is sent. Where the destination holds another owner than the one we wrote, somebody chose it there:
it stays and is told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import duckdb
import orjson

from dentlib.clock import Clock
from dentlib.loading.history import require_no_unfinished_rollback
from dentlib.loading.ledger import Current, Ledger
from dentlib.loading.listing import Looking
from dentlib.loading.patience import Hook, Patience, no_hook
from dentlib.loading.probe import sweep_probes
from dentlib.loading.quiet import quiet, restore_switches
from dentlib.loading.readback import normalise_equal
from dentlib.loading.rows import Row, table_of
from dentlib.loading.sending import Sender
from dentlib.loading.updating import Change, Updated, Updater
from dentlib.model import JSON, Destination, LoadStep


@dataclass(frozen=True, slots=True)
class KeptOwner:
    """A record that keeps its owner, and why."""

    step: str
    object: str
    record_id: str
    why: str


@dataclass(slots=True)
class Reassigned:
    """What became of the records: changed by step, right already, kept."""

    changed: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    kept: list[KeptOwner] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Prepared:
    source_key: str
    record_id: str
    row_hash: str
    payload: JSON


def reassign(
    ledger: Ledger,
    destination: Destination,
    con: duckdb.DuckDBPyConnection,
    steps: Sequence[tuple[LoadStep, str]],
    assigned: Mapping[str, str],
    *,
    by: str,
    run_id: str,
    clock: Clock,
    dry_run: bool = False,
    hook: Hook = no_hook,
) -> Reassigned:
    """Bring the owner field of live records to what is prepared now. `steps`: with the name of their owner field.

    `assigned`: key of a member of staff → member's e-mail; only their records are touched. Resumable, exactly once:
    what was written is found right. With `dry_run` only looks. Raises GateClosed while a rollback is unfinished.
    """
    require_no_unfinished_rollback(ledger)
    patience, result = Patience(clock), Reassigned()
    looking = Looking(ledger, destination, patience)
    if dry_run:
        for step, name in steps:
            for changes in _batches(looking, con, step, name, list(assigned), result):
                result.changed[step.name] += len(changes)
        return result
    restore_switches(ledger, destination, patience=patience, hook=hook)
    schema = patience.transient(destination.describe)
    sender = Sender(ledger, destination, run_id=run_id, patience=patience, hook=hook, schema=schema)
    try:
        sweep_probes(ledger, destination, patience=patience, hook=hook)
        sender.settle_open_calls()
        ledger.append("owners", {"by": by, "assigned": dict(assigned)}, run=run_id)
        with quiet(ledger, destination, patience=patience, hook=hook, run_id=run_id):
            updater = Updater(sender)
            for step, name in steps:
                for changes in _batches(looking, con, step, name, list(assigned), result):
                    _send(updater, step, changes, result)
    finally:
        sender.close()
    return result


def _send(updater: Updater, step: LoadStep, changes: list[Change], result: Reassigned) -> None:
    done = Updated()
    updater.send(step, changes, done)
    kept = {row.record_id: words for row, _, words in done.failed}
    kept |= {c.record_id: "somebody chose another owner in the CRM at the same time" for c in done.conflicts}
    result.changed[step.name] += sum(c.row.record_id not in kept for c in changes)
    result.kept += [KeptOwner(step.name, step.object_name, rid, why) for rid, why in kept.items()]


def _batches(
    looking: Looking, con: duckdb.DuckDBPyConnection, step: LoadStep, name: str, keys: list[str], result: Reassigned
) -> Iterator[list[Change]]:
    """Yield the changes to make, a call's worth at a time; count the others."""
    size = looking.destination.capabilities.batch_rows
    columns = "source_key, record_id, row_hash, payload"
    sql = f"SELECT {columns} FROM {table_of(step)} WHERE owner_key IN (SELECT unnest(?::VARCHAR[]))"
    cursor = con.cursor().execute(sql, [keys])
    while chunk := cursor.fetchmany(size):
        rows = [_Prepared(key, rid, digest, orjson.loads(payload)) for key, rid, digest, payload in chunk]
        current = looking.current(step.name, [r.source_key for r in rows])
        stored = looking.read(step.object_name, [c.record_id for c in current.values()])
        changes = []
        for row in sorted(rows, key=lambda r: current[r.source_key].call if r.source_key in current else 0):
            now = current.get(row.source_key)
            if now is not None and (change := _change(looking, step, name, row, now, stored, result)):
                changes.append(change)
        if changes:
            yield changes


def _change(
    looking: Looking,
    step: LoadStep,
    name: str,
    row: _Prepared,
    current: Current,
    stored: Mapping[str, JSON],
    result: Reassigned,
) -> Change | None:
    """Return the change of one record; None where there is nothing to send, counted or told why."""
    types = looking.types(step.object_name)
    base, found = looking.written.of(current), stored.get(current.record_id)
    old, new = base.get(name), row.payload.get(name)

    def kept(why: str) -> None:
        result.kept.append(KeptOwner(step.name, step.object_name, current.record_id, why))

    if found is None or found.get("deletedAt"):
        kept("it is not in the CRM any more")
    elif name not in base:
        kept("the record was there before, and its owner isn't ours")
    elif normalise_equal(new, found.get(name), types.get(name, ""))[0]:
        result.right[step.name] += 1
    elif not normalise_equal(old, found.get(name), types.get(name, ""))[0]:
        kept("somebody chose another owner in the CRM")
    else:
        whole = {**base, name: new}
        same = all(
            normalise_equal(row.payload.get(n), whole.get(n), types.get(n, ""))[0]
            for n in row.payload.keys() | whole.keys()
        )
        # where the source says something else in other fields too, the next delta has to compare them; so it has where
        # a record that was there before us was taken up, and a stopped run has not filled it yet (no hash)
        digest = row.row_hash if same and current.row_hash else current.row_hash
        sent = Row(0, row.source_key, current.record_id, digest, "", 0, None)
        return Change(sent, whole, {name: new}, {name: found.get(name)})
    return None
