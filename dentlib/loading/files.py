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
    upload = _Upload(ledger, step, row.source_key, path, digest, run_id)
    state, ticket = upload.known()
    try:
        if ticket is None or state == "void":
            ticket = upload.begin(destination, step, path, patience, hook)
            ticket = upload.finish(destination, ticket, path, patience, hook)
        elif state == "begun":
            ticket = _taken_up(upload, destination, step, path, ticket, patience, hook)
    except Refused as refusal:
        raise FileRefused(*refused_reason(refusal, row.payload)) from refusal
    label = row.payload.get("name")
    return [{"fileId": ticket.file_id, "label": label if isinstance(label, str) and label else path.name}]


def _taken_up(
    upload: _Upload,
    destination: Destination,
    step: LoadStep,
    path: Path,
    ticket: FileTicket,
    patience: Patience,
    hook: Hook,
) -> FileTicket:
    """Finish an upload from before a crash; its ticket may have run out, then a new one's refusal is what counts."""
    try:
        return upload.finish(destination, ticket, path, patience, hook)
    except Refused:
        fresh = upload.begin(destination, step, path, patience, hook)
        return upload.finish(destination, fresh, path, patience, hook)


class _Upload:
    def __init__(self, ledger: Ledger, step: LoadStep, source_key: str, path: Path, sha256: str, run_id: str) -> None:
        self._ledger = ledger
        self._run_id = run_id
        self._sha256 = sha256
        self._body = {
            "step": step.name,
            "key": source_key,
            "object": step.object_name,
            "field": step.file_field,
            "path": str(path),
            "sha256": sha256,
        }

    def known(self) -> tuple[str, FileTicket | None]:
        """Return state and ticket of an upload of the same bytes for the same row."""
        sql = "SELECT state, ticket FROM upload WHERE step = ? AND source_key = ? AND sha256 = ?"
        for state, ticket in self._ledger.rows(sql, self._body["step"], self._body["key"], self._sha256):
            return state, FileTicket(**orjson.loads(ticket))
        return "void", None

    def note(self, ticket: FileTicket, state: str) -> None:
        self._ledger.append("upload", {**self._body, "ticket": asdict(ticket), "state": state}, run=self._run_id)

    def begin(self, destination: Destination, step: LoadStep, path: Path, patience: Patience, hook: Hook) -> FileTicket:
        ticket = patience.idempotent(lambda: destination.begin_upload(path, step.object_name, step.file_field))
        hook("upload begun")
        self.note(ticket, "begun")
        hook("upload recorded")
        return ticket

    def finish(
        self, destination: Destination, ticket: FileTicket, path: Path, patience: Patience, hook: Hook
    ) -> FileTicket:
        done = patience.idempotent(lambda: destination.finish_upload(ticket, path))
        hook("file sent")
        self.note(done, "sent")
        hook("file recorded")
        return done
