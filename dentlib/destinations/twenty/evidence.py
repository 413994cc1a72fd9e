"""What a workspace can testify about a record: who wrote it last and when, and the bytes of its file. Reads only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from dentlib.destinations.twenty.client import Client
from dentlib.destinations.twenty.describe import PATH_FIELD, Catalog, Shape
from dentlib.destinations.twenty.records import READ_ROWS, Records
from dentlib.errors import Transient
from dentlib.model import JSON, LastWrite

_ACTOR = "{source name workspaceMemberId}"


class Evidence:
    """Who wrote what, and what lies behind a file's address."""

    def __init__(self, client: Client, catalog: Catalog, records: Records) -> None:
        self._client = client
        self._catalog = catalog
        self._records = records

    def last_writes(self, object_name: str, ids: Sequence[str]) -> dict[str, LastWrite]:
        """Return who wrote each live record last, by id; ids that aren't there are left out."""
        shape = self._catalog.shape(object_name)
        actor = f" updatedBy{_ACTOR}" if any(f["name"] == "updatedBy" for f in shape.fields) else ""
        found: dict[str, LastWrite] = {}
        for row in self._by_id(shape, ids, f"{{id updatedAt{actor}}}"):
            by = row.get("updatedBy") or {}
            found[row["id"]] = LastWrite(
                row["updatedAt"] or "", by.get("source") or "", by.get("name") or "", by.get("workspaceMemberId") or ""
            )
        return found

    def digests(self, object_name: str, ids: Sequence[str], field_name: str) -> Iterator[tuple[str, str, int]]:
        """Yield (record id, sha256, bytes) of each record's first file, fetched and hashed piece by piece.

        One counted call a page of records: the bytes come from signed addresses. ("", 0) where there is no file.
        """
        shape = self._catalog.shape(object_name)
        files = shape.has_files(field_name)
        name = field_name if files else PATH_FIELD
        selection = f"{{id {name}{{url}}}}" if files else f"{{id {name}}}"
        for row in self._by_id(shape, ids, selection):
            url = _address(row.get(name))
            yield row["id"], *(self._hashed(url) if url else ("", 0))

    def _by_id(self, shape: Shape, ids: Sequence[str], selection: str) -> Iterator[JSON]:
        for start in range(0, len(ids), READ_ROWS):
            wanted = {"id": {"in": list(ids[start : start + READ_ROWS])}}
            yield from list(self._records.pages(shape, wanted, selection, as_written=False))

    def _hashed(self, url: str) -> tuple[str, int]:
        digest, size = hashlib.sha256(), 0

        def take(piece: bytes) -> None:
            nonlocal size
            digest.update(piece)
            size += len(piece)

        status = self._client.fetched(url, "fetch a file", take)
        if status >= 500:
            raise Transient(f"fetch a file: HTTP {status}")
        return (digest.hexdigest(), size) if status == 200 else ("", 0)


def _address(value: Any) -> str:
    """Return the address under which the first file can be fetched: a list of files, or the address itself."""
    first = value[0] if isinstance(value, list) and value else value
    return str((first.get("url") if isinstance(first, dict) else first) or "")
