"""What a workspace holds, in hashes: taken before the first write, and again after a rollback, to prove it.

No value is kept, only a hash for each record, so a difference is named by object and record id.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

import orjson

from dentlib.errors import AccessDenied, Refused
from dentlib.loading.history import baseline
from dentlib.loading.ledger import Ledger
from dentlib.loading.patience import Patience
from dentlib.model import JSON, Destination

MOST_HASHED_RECORDS = 20_000
"""Objects with more records than this are counted, not read: at 100 calls a minute reading them would take hours."""

_LISTED = 20
_TOKEN = re.compile(r"[?&]token=[^&]*")


@dataclass(frozen=True, slots=True)
class ObjectSnapshot:
    """One object: how many records, and a hash of each by id (None: too many to read, counted only)."""

    count: int
    records: dict[str, str] | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A workspace at one moment. `unreadable`: objects that the key may not read."""

    schema_hash: str
    objects: dict[str, ObjectSnapshot]
    unreadable: tuple[str, ...] = ()

    def as_json(self) -> JSON:
        """Return the form in which the ledger keeps it."""
        return {
            "schema": self.schema_hash,
            "objects": {name: [o.count, o.records] for name, o in self.objects.items()},
            "unreadable": list(self.unreadable),
        }

    @classmethod
    def from_json(cls, kept: JSON) -> Snapshot:
        """Read it back."""
        objects = {name: ObjectSnapshot(count, records) for name, (count, records) in kept["objects"].items()}
        return cls(kept["schema"], objects, tuple(kept["unreadable"]))

    def differences(self, other: Snapshot) -> tuple[str, ...]:
        """Say what is different in `other`, each by name; empty: nothing is."""
        found = [] if self.schema_hash == other.schema_hash else ["the schema: objects, fields or options differ"]
        for name in sorted(self.objects.keys() | other.objects.keys()):
            one, two = self.objects.get(name), other.objects.get(name)
            if one is None or two is None:
                found.append(f"{name}: the object is {'new' if one is None else 'gone'}")
            else:
                found += _object_differences(name, one, two)
        found += [f"{name}: can't be read any more" for name in sorted(set(other.unreadable) - set(self.unreadable))]
        return tuple(found)


def _object_differences(name: str, one: ObjectSnapshot, two: ObjectSnapshot) -> list[str]:
    if one.records is None or two.records is None:
        return [] if one.count == two.count else [f"{name}: {two.count:,} records, {one.count:,} before"]
    found = [f"{name} {rid}: is new" for rid in sorted(two.records.keys() - one.records.keys())]
    found += [f"{name} {rid}: is gone" for rid in sorted(one.records.keys() - two.records.keys())]
    both = one.records.keys() & two.records.keys()
    found += [f"{name} {rid}: was changed" for rid in sorted(r for r in both if one.records[r] != two.records[r])]
    return found if len(found) <= _LISTED else [*found[:_LISTED], f"{name}: and {len(found) - _LISTED:,} more"]


def snapshot(destination: Destination, *, patience: Patience) -> Snapshot:
    """Read the whole workspace through the destination's API. Reads only; one call per page of every object."""
    schema = patience.idempotent(destination.describe)
    objects: dict[str, ObjectSnapshot] = {}
    unreadable: list[str] = []
    for name, described in schema.objects.items():
        if not described.active:
            continue
        try:
            objects[name] = patience.idempotent(lambda name=name: _object_snapshot(destination, name))  # type: ignore[misc]
        except (AccessDenied, Refused):
            unreadable.append(name)
    return Snapshot(schema.hash(), objects, tuple(unreadable))


def _object_snapshot(destination: Destination, name: str) -> ObjectSnapshot:
    count = destination.count(name)
    if count > MOST_HASHED_RECORDS:
        return ObjectSnapshot(count, None)
    records = {str(r["id"]): _hash(r) for r in destination.scan(name)} if count else {}
    return ObjectSnapshot(len(records), records)


def _hash(record: JSON) -> str:
    return hashlib.sha256(orjson.dumps(_lasting(record), option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def _lasting(value: Any) -> Any:
    """Drop what is made anew at each reading: signed addresses of files."""
    if isinstance(value, dict):
        return {k: _lasting(v) for k, v in value.items() if not (k == "url" and "fileId" in value)}
    if isinstance(value, list):
        return [_lasting(v) for v in value]
    if isinstance(value, str) and "token=" in value:
        return _TOKEN.sub("", value)
    return value


def ensure_baseline(ledger: Ledger, destination: Destination, *, patience: Patience) -> Snapshot:
    """Return the snapshot from before our first write since the last rollback; where there is none, take it now."""
    kept = baseline(ledger)
    if kept is not None:
        return Snapshot.from_json(kept)
    taken = snapshot(destination, patience=patience)
    ledger.append("snapshot", {"moment": "before", "snapshot": taken.as_json()})
    return taken
