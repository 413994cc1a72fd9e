"""Create, change, read, count and destroy records of a Twenty workspace.

Writes go out as one GraphQL root field under the caller's tag and count only if the tag and the set of ids come back.
Reads come in the form in which a record is written, so that what is read can be compared, kept and written again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from dentlib.destinations.twenty.client import Client, Operation
from dentlib.destinations.twenty.describe import Catalog, Shape
from dentlib.errors import InDoubt, Refused, Transient
from dentlib.model import JSON

BATCH_ROWS = 200
"""Records that one create call takes."""

READ_ROWS = 500
"""Records that one read asks for. The server gives many more, but a note may be long."""

_DESTROY_ROWS = 200
SOURCE_ID = "sourceSystemId"
EITHER: JSON = {"or": [{"deletedAt": {"is": "NULL"}}, {"deletedAt": {"is": "NOT_NULL"}}]}
"""Finds live and soft-deleted records; a filter that doesn't speak of deletedAt hides the latter."""


class Records:
    """The records of one workspace."""

    def __init__(self, client: Client, catalog: Catalog) -> None:
        self._client = client
        self._catalog = catalog

    def create(self, object_name: str, records: Sequence[JSON], tag: str) -> None:
        """Create all records or none; each brings its own `id`.

        Raises Refused with the server's words, InDoubt where no trustworthy answer came.
        """
        shape = self._catalog.shape(object_name)
        what = f"create {len(records)} {shape.plural}"
        operation = Operation(
            f"create{shape.plural_name}",
            "(data:$d)",
            "{id}",
            {"d": (f"[{shape.type_name}CreateInput!]!", list(records))},
            writes=True,
        )
        answer = self._client.records(operation, what, tag)
        _same_ids((r["id"] for r in records), answer, what)

    def update(self, object_name: str, record_id: str, fields: JSON, tag: str) -> None:
        """Change fields of one record; fields left out stay. Raises Refused (`RECORD_NOT_FOUND`) where it is gone."""
        shape = self._catalog.shape(object_name)
        what = f"update one of {shape.plural}"
        operation = Operation(
            f"update{shape.type_name}",
            "(id:$i,data:$d)",
            "{id}",
            {"i": ("UUID!", record_id), "d": (f"{shape.type_name}UpdateInput!", fields)},
            writes=True,
        )
        answer = self._client.records(operation, what, tag)
        _same_ids([record_id], [answer], what)

    def read(self, object_name: str, ids: Sequence[str], *, deleted: bool = False) -> dict[str, JSON]:
        """Read records by id; missing ones are left out, soft-deleted ones too unless `deleted`."""
        shape = self._catalog.shape(object_name)
        found: dict[str, JSON] = {}
        for part in _parts(ids, READ_ROWS):
            wanted: JSON = {"id": {"in": part}}
            for record in self.pages(shape, {"and": [wanted, EITHER]} if deleted else wanted, shape.selection):
                found[record["id"]] = record
        return found

    def scan(self, object_name: str, *, source_prefix: str | None = None) -> Iterator[JSON]:
        """Read all live records in id order, page by page; with a prefix only those whose source id starts with it."""
        shape = self._catalog.shape(object_name)
        for record in self.pages(shape, _starting(source_prefix), shape.selection):
            if source_prefix is None or str(record[SOURCE_ID] or "").startswith(source_prefix):
                yield record

    def count(self, object_name: str, *, source_prefix: str | None = None) -> int:
        """Count live records; with a prefix only those whose source id starts with it. One call."""
        shape = self._catalog.shape(object_name)
        if source_prefix is not None and any(c in source_prefix for c in "_%\\"):
            # The server's startsWith takes these for wildcards: count what really starts so.
            rows = self.pages(shape, _starting(source_prefix), f"{{id {SOURCE_ID}}}")
            return sum(str(r[SOURCE_ID] or "").startswith(source_prefix) for r in rows)
        return self.count_where(shape, _starting(source_prefix))

    def count_where(self, shape: Shape, where: JSON) -> int:
        """Count the records that a GraphQL filter finds."""
        operation = Operation(
            shape.plural, "(filter:$f,first:1)", "{totalCount}", {"f": (f"{shape.type_name}FilterInput", where)}
        )
        return int(self._client.records(operation, f"count {shape.plural}")["totalCount"])

    def destroy(self, object_name: str, ids: Sequence[str], tag: str) -> None:
        """Destroy for good. Idempotent: ids that are gone already are no error."""
        shape = self._catalog.shape(object_name)
        for number, part in enumerate(_parts(ids, _DESTROY_ROWS)):
            gone = self.destroy_where(shape, {"id": {"in": part}}, f"{tag}_{number}")
            if not set(gone) <= set(part):
                raise InDoubt(f"destroy {shape.plural}: other ids came back than were sent", "count and read back")

    def destroy_where(self, shape: Shape, where: JSON, tag: str | None = None) -> list[str]:
        """Destroy what a filter finds, soft-deleted or not, and return the ids."""
        operation = Operation(
            f"destroy{shape.plural_name}",
            "(filter:$f)",
            "{id}",
            {"f": (f"{shape.type_name}FilterInput!", {"and": [where, EITHER]})},
            writes=True,
        )
        try:
            answer = self._client.records(operation, f"destroy {shape.plural}", tag)
        except Refused as refused:
            if refused.code in ("RECORD_NOT_FOUND", "NOT_FOUND"):
                return []
            raise
        return [r["id"] for r in answer or ()]

    def pages(self, shape: Shape, where: JSON, selection: str) -> Iterator[JSON]:
        """Read what a filter finds, page by page in id order, in the form in which it is written."""
        after: str | None = None
        while True:
            page = self._page(shape, where, selection, after)
            yield from (_written_form(edge["node"], shape) for edge in page["edges"])
            if not page["pageInfo"]["hasNextPage"]:
                return
            if page["pageInfo"]["endCursor"] in (after, None):
                raise Transient(f"read {shape.plural}: the server gives the same page again and again")
            after = page["pageInfo"]["endCursor"]

    def _page(self, shape: Shape, where: JSON, selection: str, after: str | None) -> JSON:
        operation = Operation(
            shape.plural,
            "(filter:$f,orderBy:$o,first:$n,after:$a)" if after else "(filter:$f,orderBy:$o,first:$n)",
            f"{{pageInfo{{hasNextPage endCursor}}edges{{node{selection}}}}}",
            {
                "f": (f"{shape.type_name}FilterInput", where),
                "o": (f"[{shape.type_name}OrderByInput]", [{"id": "AscNullsFirst"}]),
                "n": ("Int", READ_ROWS),
            }
            | ({"a": ("String", after)} if after else {}),
        )
        page: JSON = self._client.records(operation, f"read {shape.plural}")
        return page


def _starting(prefix: str | None) -> JSON:
    return {} if prefix is None else {SOURCE_ID: {"startsWith": prefix}}


def _same_ids(sent: Iterable[str], answer: Any, what: str) -> None:
    came = {r["id"] for r in answer} if isinstance(answer, list) and all(answer) else None
    if came != {i.lower() for i in sent}:
        raise InDoubt(f"{what}: other ids came back than were sent", "read back what is there before sending it again")


def _parts(ids: Sequence[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(ids), size):
        yield list(ids[start : start + size])


def _written_form(node: JSON, shape: Shape) -> JSON:
    for name in shape.currencies:
        money = node.get(name)
        if money and money["amountMicros"] is not None:
            money["amountMicros"] = int(money["amountMicros"])  # BigFloat comes as a number or as text
    return node
