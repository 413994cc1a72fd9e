"""Take back uploads in a rollback. A file goes with its record; one that never got a record is given one and destroyed.

Destinations have no call that removes a file that belongs to nothing.
"""

from __future__ import annotations

from pathlib import Path

import orjson

from dentlib.errors import Refused
from dentlib.loading.ledger import Entry, Ledger
from dentlib.loading.patience import Hook, Patience, no_hook
from dentlib.loading.probe import PREFIX, sweep_probes
from dentlib.model import JSON, Destination, FileTicket, record_id

Kept = tuple[str, str, str]
"""(object, id, why): what stays in the destination"""


def take_back_uploads(
    ledger: Ledger, destination: Destination, *, patience: Patience, hook: Hook = no_hook
) -> tuple[Kept, ...]:
    """Remove files without a record and mark all uploads as void, so that a later run sends them again.

    Returns what could not be removed: uploads that never were finished, whose file is gone from here, or that ran out.
    Idempotent, resumable.
    """
    kept: list[Kept] = []
    for entry in _uploads(ledger):
        if not _used(ledger, entry):
            try:
                _remove(ledger, destination, entry, patience, hook)
            except (Refused, OSError):
                file_id = entry.body["ticket"]["file_id"]
                kept.append(
                    (entry.body["object"], file_id, "an upload without a record; the destination sweeps it away")
                )
        ledger.append("upload", entry.body | {"state": "void"})
        hook("upload void")
    return tuple(kept)


def has_uploads(ledger: Ledger) -> bool:
    """Tell whether files are under way or sent, and not yet taken back. Reads the ledger only."""
    return bool(_uploads(ledger))


def _uploads(ledger: Ledger) -> list[Entry]:
    """Return the newest entry of each file that isn't void."""
    newest: dict[str, Entry] = {}
    for entry in ledger.entries("kind = 'upload' AND seq > ?", ledger.epoch):
        newest[entry.body["ticket"]["file_id"]] = entry
    return [e for e in newest.values() if e.body["state"] in ("begun", "sent")]


def _used(ledger: Ledger, upload: Entry) -> bool:
    """Tell whether a record was written with this file: made after it, for the same row, naming it."""
    current = ledger.current(upload.body["step"], [upload.body["key"]]).get(upload.body["key"])
    if current is None or current.made < upload.seq:
        return False
    made = ledger.entry(current.made)
    record = next(r for r in made.records() if r["id"] == current.record_id)
    return f'"{upload.body["ticket"]["file_id"]}"' in orjson.dumps(record).decode()


def _remove(ledger: Ledger, destination: Destination, upload: Entry, patience: Patience, hook: Hook) -> None:
    body = upload.body
    ticket = FileTicket(**body["ticket"])
    if body["state"] == "begun":
        ticket = patience.idempotent(lambda: destination.finish_upload(ticket, Path(body["path"])))
    step = PREFIX + body["step"]
    named = destination.file_fields(body["field"], ticket, Path(body["path"]).name)
    record: JSON = {"id": record_id(ledger.engagement, step, ticket.file_id), **named}
    call = ledger.begin_call(
        run="",
        step=step,
        object_name=body["object"],
        op="create",
        tag="probe",
        rows=[(ticket.file_id, record["id"], "")],
        block={"new": [record]},
    )
    hook("intent committed")
    try:
        patience.transient(lambda: destination.create(body["object"], [record], f"probe_c{call}"))
    finally:
        sweep_probes(ledger, destination, patience=patience, hook=hook)
