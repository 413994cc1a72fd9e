"""What a workspace holds, in hashes: taken before the first write, and again after a rollback, to prove it.

No value is kept, only a hash of each record (soft-deleted ones too) and of each object and field of the data model, so
a difference is named by object and record id. The hashes lie in a file beside the ledger, whose sha256 is in the
ledger. How closely an object is read is decided by `closeness`, and told.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from math import ceil
from pathlib import Path
from typing import Any, Literal

import orjson

from dentlib.errors import AccessDenied, DestinationError, Refused
from dentlib.loading.history import baseline
from dentlib.loading.ledger import Ledger
from dentlib.loading.patience import Patience
from dentlib.model import JSON, Capabilities, Destination, DestinationSchema, Progress, Silence

How = Literal["values", "times", "counted"]
"""Every value of every record · id and times of last change and of deletion · only how many."""

MINUTES_AT_THE_RATE = 4
"""How long one picture may take where the destination limits its calls: 400 calls at 100 a minute."""

CALLS_WITHOUT_LIMIT = 4_000
"""How many calls one picture may make where nothing limits them: two million records with every value."""

_MODEL = "@model"  # no object can be called so
_TASK = "picture of the workspace"
_TIMES = ("updatedAt", "deletedAt")
_INSERT_ROWS = 5_000
_TABLE = "CREATE TABLE {} (object TEXT, id TEXT, hash TEXT, PRIMARY KEY (object, id)) WITHOUT ROWID"
_SIGNED = re.compile(rb'https?://[^/"\s]+(?=/files/)|[?&]token=[^&"]*|eyJ[\w-]+\.[\w-]+\.[\w-]+')
"""What is made anew at each reading: the signed part of a file's address."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that two pictures don't share. `what`: is new, is gone, was changed, or a sentence about counts."""

    object: str
    record_id: str
    what: str

    @property
    def in_model(self) -> bool:
        """Tell whether it is about the data model; then `record_id` is `object` or `object.field`."""
        return self.object == _MODEL

    def __str__(self) -> str:
        if self.in_model:
            return f"the data model, {self.record_id}: {self.what}"
        return f"{self.object} {self.record_id}: {self.what}" if self.record_id else f"{self.object}: {self.what}"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A workspace at one moment. `objects`: name → (records, how they were read). `unreadable`: the key may not."""

    path: Path
    sha256: str
    objects: Mapping[str, tuple[int, How]]
    unreadable: tuple[str, ...] = ()

    def as_json(self) -> JSON:
        """Return what the ledger keeps of it."""
        return {
            "file": self.path.name,
            "sha256": self.sha256,
            "objects": {name: list(kept) for name, kept in self.objects.items()},
            "unreadable": list(self.unreadable),
        }

    @classmethod
    def from_json(cls, kept: JSON, folder: Path) -> Snapshot:
        """Read it back; the file lies in `folder`."""
        objects: dict[str, tuple[int, How]] = {name: (count, how) for name, (count, how) in kept["objects"].items()}
        return cls(folder / kept["file"], kept["sha256"], objects, tuple(kept["unreadable"]))

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """Stream (object, id, hash), sorted. Raises DestinationError where the file isn't the one that was written."""
        digest = hashlib.sha256()
        try:
            with gzip.open(self.path, "rb") as file:
                for line in file:
                    digest.update(line)
                    name, rid, found = line.decode().rstrip("\n").split("\t")
                    yield name, rid, found
        except (OSError, EOFError, ValueError) as error:
            raise _unusable(self.path, "can't be read") from error
        if digest.hexdigest() != self.sha256:
            raise _unusable(self.path, "was changed since it was written")


def _unusable(path: Path, why: str) -> DestinationError:
    return DestinationError(f"the picture of the workspace {path.name} {why}", "put back the file from a copy")


def closeness(counts: Mapping[str, int], caps: Capabilities) -> dict[str, How]:
    """Decide how closely each object is read within the calls allowed: the smallest with every value first.

    Then, as far as the calls go, the times of change of the rest; what is left is counted.
    """
    left = MINUTES_AT_THE_RATE * caps.calls_per_minute if caps.calls_per_minute else CALLS_WITHOUT_LIMIT
    by_size = sorted(counts, key=lambda name: (counts[name], name))
    chosen: dict[str, How] = {}
    for name in by_size:
        thin = ceil(counts[name] / caps.thin_rows)
        chosen[name] = "times" if thin <= left else "counted"
        left -= thin if thin <= left else 0
    for name in by_size:
        more = ceil(counts[name] / caps.read_rows) - ceil(counts[name] / caps.thin_rows)
        if chosen[name] == "times" and more <= left:
            chosen[name] = "values"
            left -= more
    return chosen


def snapshot(
    destination: Destination,
    path: Path,
    *,
    patience: Patience,
    like: Snapshot | None = None,
    progress: Progress | None = None,
) -> Snapshot:
    """Read the workspace through the destination's API and write its hashes to `path`. Reads only; memory is bounded.

    `like`: read each object as closely as that picture did, so that the two can be compared.
    """
    progress = progress or Silence()
    schema = patience.idempotent(destination.describe)
    counts: dict[str, int] = {}
    unreadable: list[str] = []
    for name in sorted(n for n, o in schema.objects.items() if o.active):
        try:
            counts[name] = patience.idempotent(lambda name=name: destination.count(name, deleted=True))  # type: ignore[misc]
        except (AccessDenied, Refused):
            unreadable.append(name)
    how = closeness(counts, destination.capabilities)
    if like is not None:
        how |= {name: kept for name, (_, kept) in like.objects.items() if name in how}
    progress.start(_TASK, sum(n for name, n in counts.items() if how[name] != "counted"), "records")
    with _Hashes() as hashes:
        hashes.add(_MODEL, _model(schema))
        for name, count in counts.items():
            if count and how[name] != "counted":
                try:
                    found = patience.idempotent(lambda name=name: hashes.read(destination, name, how[name], progress))  # type: ignore[misc]
                    counts[name] = found
                except (AccessDenied, Refused):
                    unreadable.append(name)
        digest = hashes.write(path)
    progress.finish(_TASK)
    objects = {name: (count, how[name]) for name, count in counts.items() if name not in unreadable}
    return Snapshot(path, digest, objects, tuple(sorted(unreadable)))


class _Hashes:
    """The hashes of one picture while it is taken, in a temporary database on disk."""

    def __init__(self) -> None:
        self._db = temporary()
        self._db.execute(_TABLE.format("one"))

    def __enter__(self) -> _Hashes:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def add(self, name: str, found: Iterable[tuple[str, str]]) -> int:
        rows, total = iter(found), 0
        while chunk := [(name, rid, digest) for rid, digest in islice(rows, _INSERT_ROWS)]:
            self._db.executemany("INSERT OR REPLACE INTO one VALUES (?,?,?)", chunk)
            total += len(chunk)
        return total

    def read(self, destination: Destination, name: str, how: How, progress: Progress) -> int:
        """Hash all records of an object anew; what an attempt before left is thrown away."""
        self._db.execute("DELETE FROM one WHERE object = ?", (name,))
        records = destination.scan(name, deleted=True, fields=_TIMES if how == "times" else None)

        def hashed() -> Iterator[tuple[str, str]]:
            for record in records:
                yield str(record["id"]), _hash(_held(record))
                progress.advance(_TASK)

        return self.add(name, hashed())

    def write(self, path: Path) -> str:
        """Write all, sorted, whole and at once; return the sha256 of the lines."""
        digest = hashlib.sha256()
        part = path.with_name(path.name + ".new")
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as raw:
            with gzip.GzipFile("", "wb", 5, raw, mtime=0) as packed:
                for name, rid, found in self._db.execute("SELECT object, id, hash FROM one ORDER BY object, id"):
                    line = f"{name}\t{rid}\t{found}\n".encode()
                    digest.update(line)
                    packed.write(line)
            raw.flush()
            os.fsync(raw.fileno())
        part.replace(path)
        return digest.hexdigest()


def temporary() -> sqlite3.Connection:
    """Open a database that lives in a file of its own, which goes with the connection."""
    db = sqlite3.connect("", isolation_level=None)
    db.execute("PRAGMA journal_mode = OFF")
    db.execute("PRAGMA synchronous = OFF")
    return db


def differences(before: Snapshot, after: Snapshot) -> Iterator[Difference]:
    """Say what is different in `after`, each by name; nothing where nothing is. Memory is bounded."""
    gone = before.objects.keys() - after.objects.keys()  # told by name with the data model, or as unreadable
    new = after.objects.keys() - before.objects.keys()
    for name in sorted(set(after.unreadable) - set(before.unreadable)):
        yield Difference(name, "", "can't be read any more")
    for name, (count, how) in sorted(before.objects.items()):
        if how == "counted" and name in after.objects and after.objects[name][0] != count:
            yield Difference(name, "", f"{after.objects[name][0]:,} records, {count:,} before")
    db = temporary()
    try:
        for table, picture in (("one", before), ("two", after)):
            db.execute(_TABLE.format(table))
            db.executemany(f"INSERT INTO {table} VALUES (?,?,?)", picture.rows())
        asked = f"""
            SELECT one.object, one.id, iif(two.id IS NULL, 'is gone', 'was changed') FROM one
            LEFT JOIN two USING (object, id) WHERE two.hash IS NOT one.hash AND one.object NOT IN ({_quoted(gone)})
            UNION ALL SELECT two.object, two.id, 'is new' FROM two
            LEFT JOIN one USING (object, id) WHERE one.id IS NULL AND two.object NOT IN ({_quoted(new)}) ORDER BY 1, 2
        """
        for row in db.execute(asked):
            yield Difference(*row)
    finally:
        db.close()


def _quoted(names: Iterable[str]) -> str:
    return ",".join("'" + name.replace("'", "''") + "'" for name in names)


def _model(schema: DestinationSchema) -> Iterator[tuple[str, str]]:
    """Hash each object and each field with its options; not their ids."""
    for described in schema.objects.values():
        yield described.name, _hash({"label": described.label, "plural": described.plural, "active": described.active})
        for f in described.fields.values():
            options = [[o.value, o.label, o.color] for o in f.options]
            told = [f.type, f.label, f.unique, f.nullable, f.target, f.active, options, f.columns]
            yield f"{described.name}.{f.name}", _hash(told)


def _held(value: JSON) -> JSON:
    """Return what a record holds, without what is empty: a field that is there now and empty changes no record."""
    held = {}
    for name, part in value.items():
        kept = _held(part) if isinstance(part, dict) else part
        if kept not in (None, "", [], {}):
            held[name] = kept
    return held


def _hash(value: Any) -> str:
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    if b"eyJ" in text or b"token=" in text:
        text = _SIGNED.sub(b"", text)
    return hashlib.sha256(text).hexdigest()[:16]


def kept_baseline(ledger: Ledger) -> Snapshot | None:
    """Return the picture from before our first write since the last complete rollback; None: there is none."""
    kept = baseline(ledger)
    return Snapshot.from_json(kept, ledger.path.parent) if kept else None


def ensure_baseline(
    ledger: Ledger, destination: Destination, *, patience: Patience, progress: Progress | None = None
) -> Snapshot:
    """Return the picture from before our first write; where there is none, take it now."""
    found = kept_baseline(ledger)
    if found is not None:
        return found
    path = picture_path(ledger, "before")
    taken = snapshot(destination, path, patience=patience, progress=progress)
    ledger.append("snapshot", {"moment": "before", "snapshot": taken.as_json()})
    return taken


def picture_path(ledger: Ledger, moment: str) -> Path:
    """Return where a picture of this moment lies: beside the ledger, numbered by its next entry."""
    number = int(ledger.head.split(":", 1)[0]) + 1 if ledger.head else 1
    return ledger.path.with_name(f"{ledger.path.name}.{moment}-{number}.picture.gz")
