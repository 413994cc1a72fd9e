"""Send the file of a row, once, and say which value its record's file field gets."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path

import orjson

from dentlib.errors import Refused
from dentlib.loading.ledger import Ledger
from dentlib.loading.patience import Hook, Patience
from dentlib.loading.rows import Row
from dentlib.loading.words import refused_reason
from dentlib.model import JSON, Destination, FileTicket, LoadStep

_READ_BYTES = 1 << 20


class FileRefused(Exception):
    """Inside this package: the row's file can't be sent; `code` and `words` say why."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(words)
        self.code = code
        self.words = words


def sha256_of(path: Path) -> str:
    """Hash a file, streamed."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def send_file(
    ledger: Ledger, destination: Destination, step: LoadStep, row: Row, *, run_id: str, patience: Patience, hook: Hook
) -> list[JSON]:
    """Upload the row's file unless the ledger knows that it was, and return the file field's value.

    Resumable: the ticket of an upload is recorded before its bytes are sent. Raises FileRefused.
    """
    path = Path(str(row.file_path))
    try:
        digest = sha256_of(path)
    except OSError as error:
        raise FileRefused("file_missing", f"the file can't be read: {error.strerror}") from error
    upload = _Upload(ledger, step.name, row.source_key, digest, run_id)
    state, ticket = upload.known()
    try:
        if ticket is None or state == "void":
            ticket = upload.begin(destination, step, path, patience, hook)
        if state != "sent":
            ticket = _finished(upload, destination, step, path, ticket, patience, hook)
    except Refused as refusal:
        raise FileRefused(*refused_reason(refusal, row.payload)) from refusal
    label = row.payload.get("name")
    return [{"fileId": ticket.file_id, "label": label if isinstance(label, str) and label else path.name}]


def _finished(
    upload: _Upload,
    destination: Destination,
    step: LoadStep,
    path: Path,
    ticket: FileTicket,
    patience: Patience,
    hook: Hook,
) -> FileTicket:
    first = ticket
    try:
        done = patience.idempotent(lambda: destination.finish_upload(first, path))
    except Refused:
        # a ticket from before a crash may have run out: one more try with a new one, whose refusal counts
        fresh = upload.begin(destination, step, path, patience, hook)
        done = patience.idempotent(lambda: destination.finish_upload(fresh, path))
    hook("file sent")
    upload.note(done, "sent")
    hook("file recorded")
    return done


class _Upload:
    def __init__(self, ledger: Ledger, step: str, source_key: str, sha256: str, run_id: str) -> None:
        self._ledger = ledger
        self._where = (step, source_key)
        self._sha256 = sha256
        self._run_id = run_id

    def known(self) -> tuple[str, FileTicket | None]:
        """Return state and ticket of an upload of the same bytes for the same row."""
        sql = "SELECT state, ticket FROM upload WHERE step = ? AND source_key = ? AND sha256 = ?"
        for state, ticket in self._ledger.rows(sql, *self._where, self._sha256):
            return state, FileTicket(**orjson.loads(ticket))
        return "void", None

    def note(self, ticket: FileTicket, state: str) -> None:
        step, key = self._where
        body = {"step": step, "key": key, "sha256": self._sha256, "ticket": asdict(ticket), "state": state}
        self._ledger.append("upload", body, run=self._run_id)

    def begin(self, destination: Destination, step: LoadStep, path: Path, patience: Patience, hook: Hook) -> FileTicket:
        ticket = patience.idempotent(lambda: destination.begin_upload(path, step.object_name, step.file_field))
        hook("upload begun")
        self.note(ticket, "begun")
        hook("upload recorded")
        return ticket
