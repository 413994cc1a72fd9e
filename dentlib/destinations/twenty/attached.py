"""Find what points to records: links, files, records of other objects; not what the server wrote by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dentlib.clock import Clock
from dentlib.destinations.twenty.describe import Catalog, Shape, columns_to
from dentlib.destinations.twenty.records import READ_ROWS, Records
from dentlib.model import JSON

BY_ITSELF = ("timelineActivity", "workflow", "messageParticipant", "calendarEventParticipant")
"""How the names begin of objects whose records the server itself makes or ties to ours."""

_EMPTY_FOR_S = 30.0
"""How long an object that held no such pointer at all is taken not to hold one."""


class Attached:
    """The pointers between records of one workspace."""

    def __init__(self, clock: Clock, catalog: Catalog, records: Records) -> None:
        self._clock = clock
        self._catalog = catalog
        self._records = records
        self._empty_until_s: dict[tuple[str, str], float] = {}
        self._asked_again_s: dict[tuple[str, str], float] = {}

    def to(self, object_name: str, ids: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
        """Return for each id the live records that point to it, as (object, id); ids without any are left out.

        One call per object that may point here and up to 500 ids; an object in which nothing points here at all costs
        one call in half a minute.
        """
        found: dict[str, list[tuple[str, str]]] = {}
        for shape, columns in self._pointing(object_name) if ids else ():
            if self._clock.monotonic() < self._empty_until_s.get((shape.singular, object_name), -1.0):
                continue
            hits = 0
            for start in range(0, len(ids), READ_ROWS):
                hits += self._collect(shape, columns, list(ids[start : start + READ_ROWS]), found)
            if not hits:
                self._note_if_empty(shape, columns, object_name)
        return found

    def _collect(
        self, shape: Shape, columns: Sequence[str], ids: list[str], found: dict[str, list[tuple[str, str]]]
    ) -> int:
        wanted, hits = set(ids), 0
        selection = f"{{id {' '.join(columns)}}}"
        for record in self._records.pages(shape, {"or": [{c: {"in": ids}} for c in columns]}, selection):
            hits += 1
            for pointed in {record[c] for c in columns} & wanted:
                if pointed != record["id"]:
                    found.setdefault(pointed, []).append((shape.singular, record["id"]))
        return hits

    def _pointing(self, object_name: str) -> Iterator[tuple[Shape, list[str]]]:
        for name in self._catalog.names():
            if name.startswith(BY_ITSELF):
                continue
            shape = self._catalog.shape(name)
            columns = [c for f in shape.fields if f["isActive"] for c in columns_to(f, object_name)]
            if columns:
                yield shape, columns

    def _note_if_empty(self, shape: Shape, columns: Sequence[str], target: str) -> None:
        """Ask, at most twice a minute, whether anything in this object points to records of that kind."""
        now_s = self._clock.monotonic()
        if now_s < self._asked_again_s.get((shape.singular, target), -1.0):
            return
        self._asked_again_s[shape.singular, target] = now_s + _EMPTY_FOR_S
        where: JSON = {"or": [{c: {"is": "NOT_NULL"}} for c in columns]}
        if not self._records.count_where(shape, where):
            self._empty_until_s[shape.singular, target] = now_s + _EMPTY_FOR_S
