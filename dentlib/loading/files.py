"""Send the file of a row, once, and say which value its record's file field gets."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from dentlib.errors import Refused
from dentlib.filetypes import START_BYTES, oddity
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
) -> JSON:
    """Upload the row's file unless the ledger knows that it was, and return the fields by which its record names it.

    Size and kind are looked at before any call. Resumable: the ticket of an upload is recorded, with the bytes' sha256,
    before they are sent, and taken up only for the same bytes. Raises FileRefused; the ledger then has file and path.
    """
    path = Path(str(row.file_path))
    try:
        before = path.stat()
        digest = sha256_of(path)
        fault = _fault_of(path, before.st_size, destination.capabilities.max_upload_mb)
    except OSError as error:
        raise FileRefused("file_missing", f"the file can't be read: {error.strerror}") from error
    upload = _Upload(ledger, step, row.source_key, path, digest, run_id)
    state, ticket = upload.known()
    try:
        if fault:
            raise FileRefused(*fault)
        if ticket is None or state not in ("begun", "sent"):
            ticket = upload.begin(destination, step, path, patience, hook)
            ticket = upload.finish(destination, ticket, path, patience, hook)
        elif state == "begun":
            ticket = _taken_up(upload, destination, step, path, ticket, patience, hook)
        if (before.st_size, before.st_mtime_ns) != _size_and_time(path):
            raise FileRefused("file_changed", "the file was changed while it was sent; run again")
    except Refused as refusal:
        upload.refused(*refused_reason(refusal, row.payload))
        raise FileRefused(*refused_reason(refusal, row.payload)) from refusal
    except FileRefused as refusal:
        upload.refused(refusal.code, refusal.words)
        raise
    label = row.payload.get("name")
    return destination.file_fields(step.file_field, ticket, label if isinstance(label, str) and label else path.name)


def file_keys(destination: Destination, step: LoadStep, record: Mapping[str, object]) -> list[str]:
    """Return the fields of a record by which it names its file, in whichever form this destination has them."""
    if not step.file_field:
        return []
    probes = (FileTicket("", ""), FileTicket("a/b", ""))
    keys = {key for probe in probes for key in destination.file_fields(step.file_field, probe, "")}
    return sorted(keys & record.keys())


@dataclass(frozen=True, slots=True)
class RefusedFile:
    """A file that was not sent: where it lies, its sha256, and why."""

    step: str
    source_key: str
    path: str
    sha256: str
    code: str
    words: str


def refused_files(ledger: Ledger) -> tuple[RefusedFile, ...]:
    """Return the files that could not be sent and were not sent later either. Reads only."""
    newest = {
        (e.body["step"], e.body["key"]): e.body for e in ledger.entries("kind = 'upload' AND seq > ?", ledger.epoch)
    }
    return tuple(
        RefusedFile(b["step"], b["key"], b["path"], b["sha256"], b["code"], b["words"])
        for b in newest.values()
        if b["state"] == "refused"
    )


def _fault_of(path: Path, size_bytes: int, max_upload_mb: float | None) -> tuple[str, str] | None:
    if max_upload_mb is not None and size_bytes > max_upload_mb * 1_000_000:
        return "file_too_large", f"the file has {size_bytes:,} bytes, the destination takes {max_upload_mb:,g} MB"
    with path.open("rb") as file:
        found = oddity(path.name, file.read(START_BYTES))
    return (found, _ODD[found]) if found in _ODD else None


_ODD = {
    "file_without_extension": "the file's name has no extension, by which its kind is known",
    "file_not_what_it_says": "the file's content is not what its extension says",
}


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        now = path.stat()
    except OSError:
        return -1, -1
    return now.st_size, now.st_mtime_ns


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
        """Return state and ticket of an upload of the same bytes for the same row, which no record has used up.

        A record that was destroyed since took its file along.
        """
        sql = "SELECT state, ticket FROM upload WHERE step = ? AND source_key = ? AND sha256 = ?"
        step, key = self._body["step"], self._body["key"]
        for state, ticket in self._ledger.rows(sql, step, key, self._sha256):
            used = self._ledger.current(step, [key]).get(key)
            mine = "kind = 'upload' AND body ->> 'step' = ? AND body ->> 'key' = ?"
            if used is not None and (sent := self._ledger.last(mine, step, key)) and used.made > sent.seq:
                return "void", None
            return state, FileTicket(**orjson.loads(ticket))
        return "void", None

    def refused(self, code: str, words: str) -> None:
        """Keep that the file was refused, with its path, so that it is listed and never dropped."""
        body = {**self._body, "ticket": asdict(FileTicket("", "")), "state": "refused", "code": code, "words": words}
        self._ledger.append("upload", body, run=self._run_id)

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
