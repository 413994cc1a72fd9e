"""Values that a destination keeps unique: what is known to clash before it is sent, and who is in the way after."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import duckdb

from dentlib.loading.ledger import Ledger
from dentlib.loading.patience import Patience
from dentlib.loading.rows import Row, table_of
from dentlib.loading.words import Reason, held_by, same_in_step
from dentlib.model import JSON, Destination, DestinationObject, LoadStep

SOURCE_ID = "sourceSystemId"
PAGES_AT_MOST = 5
"""An object with more pages of records is not read through before a load: a clash is then found when it is refused."""

_PART = {"EMAILS": "primaryEmail", "LINKS": "primaryLinkUrl", "PHONES": "primaryPhoneNumber"}


@dataclass(frozen=True, slots=True)
class UniquePath:
    """A value that no two records of an object may share: the field, its dotted name, its type."""

    field: str
    path: str
    type: str

    def value(self, record: Mapping[str, Any]) -> str:
        """Return the record's value as the destination compares it; empty where there is none."""
        value = record.get(self.field)
        if "." in self.path:
            value = value.get(self.path.split(".")[1]) if isinstance(value, Mapping) else None
        return self.settled(value)

    def settled(self, value: Any) -> str:
        """Return a value in the form in which the destination compares it: e-mails in small letters, hosts too."""
        text = "" if value is None else str(value)
        if self.type == "EMAILS":
            return text.lower()
        if self.type == "LINKS" and text:
            parts = urlsplit(text)
            text = urlunsplit((parts.scheme.lower(), parts.netloc.lower(), parts.path, parts.query, parts.fragment))
            return text.rstrip("/")
        return text


def unique_paths(described: DestinationObject | None) -> tuple[UniquePath, ...]:
    """Return what is unique about an object's records, beside their id."""
    fields = described.fields.values() if described else ()
    return tuple(
        UniquePath(f.name, f"{f.name}.{_PART[f.type]}" if f.type in _PART else f.name, f.type)
        for f in fields
        if f.unique and f.active and f.name != "id"
    )


def find_holders(
    destination: Destination,
    object_name: str,
    paths: Iterable[UniquePath],
    records: Mapping[str, JSON],
    *,
    patience: Patience,
) -> dict[str, tuple[str, JSON]]:
    """Ask who holds the unique values of these records (id → fields): record id → (dotted name, the holder).

    The bin counts. One call for each unique field that any of them fills.
    """
    found: dict[str, tuple[str, JSON]] = {}
    for path in paths:
        wanted = {value: rid for rid, record in records.items() if (value := path.value(record))}
        if not wanted:
            continue
        holders = patience.transient(
            lambda path=path, wanted=wanted: destination.find(  # type: ignore[misc]
                object_name, path.path, list(wanted), deleted=True
            )
        )
        for holder in holders:
            rid = wanted.get(path.value(holder))
            if rid is not None and holder["id"] != rid:
                found.setdefault(rid, (path.path, holder))
    return found


class KnownClashes:
    """What is known about unique values before a step's records are sent: repeated in the step, or held by others."""

    def __init__(self, con: duckdb.DuckDBPyConnection, step: LoadStep, paths: Sequence[UniquePath]) -> None:
        self._con, self._step = con, step
        self._paths = [p for p in paths if p.field != SOURCE_ID]  # made of the key, so unique in its step
        self._first: dict[tuple[str, str], str] = {}  # (dotted name, value) → the row of this step that has it first
        self._theirs: dict[tuple[str, str], JSON] = {}

    def look(self, ledger: Ledger, destination: Destination, *, patience: Patience, only_sample: bool) -> None:
        """Find values repeated in the step, and those of the workspace's own records where these are few."""
        filled = [p for p in self._paths if self._look_at_step(p, only_sample)]
        name = self._step.object_name
        if not filled:
            return
        capabilities = destination.capabilities
        everything = patience.transient(lambda: destination.count(name, deleted=True))
        sql = "SELECT count(*) FROM current WHERE object = ? AND state = 'live'"
        (ours,) = next(ledger.rows(sql, name))
        if everything <= ours or everything > PAGES_AT_MOST * capabilities.thin_rows:
            return
        mine = {rid for (rid,) in ledger.rows("SELECT record_id FROM current WHERE object = ?", name)}
        fields = [*(path.field for path in filled), "deletedAt"]
        for record in patience.transient(lambda: list(destination.scan(name, deleted=True, fields=fields))):
            for path in filled if record["id"] not in mine else ():
                if value := path.value(record):
                    self._theirs[path.path, value] = record

    def _look_at_step(self, path: UniquePath, only_sample: bool) -> bool:
        """Note the first row of every value that stands in several rows of the step; tell whether any has a value."""
        table, cursor = table_of(self._step), self._con.cursor()
        columns = {c for (c, *_) in cursor.execute(f"DESCRIBE {table}").fetchall()}
        column = f'"{path.path}"' if path.path in columns else f"json_extract_string(payload, '$.{path.path}')"
        where = " WHERE in_sample" if only_sample else ""
        rows = f"(SELECT {column}::VARCHAR AS v, source_key, ordinal FROM {table}{where})"
        if cursor.execute(f"SELECT 1 FROM {rows} WHERE v <> '' LIMIT 1").fetchone() is None:
            return False
        # by hash: a million texts would be held in memory; two texts with one hash are both noted, which does no harm
        repeated = f"SELECT hash(lower(v)) AS h FROM {rows} WHERE v <> '' GROUP BY 1 HAVING count(*) > 1"
        for value, key in cursor.execute(
            f"SELECT r.v, r.source_key FROM {rows} AS r JOIN ({repeated}) AS t ON hash(lower(r.v)) = h ORDER BY ordinal"
        ).fetchall():
            self._first.setdefault((path.path, path.settled(value)), key)
        return True

    def of(self, row: Row) -> Reason | None:
        """Say why a row's unique values are known to clash, or None."""
        if not self._first and not self._theirs:
            return None
        for path, value in self._values(row):
            first = self._first.get((path, value), row.source_key)
            if first != row.source_key:
                return same_in_step(path, self._step.name, first)
            holder = self._theirs.get((path, value))
            if holder is not None and holder["id"] != row.record_id:
                return held_by(path, holder)
        return None

    def _values(self, row: Row) -> Iterator[tuple[str, str]]:
        for path in self._paths:
            if value := path.value(row.payload):
                yield path.path, value
