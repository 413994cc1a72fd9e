"""Create, change, read, count and destroy records of a Twenty workspace.

Writes go out as one GraphQL root field under the caller's tag and count only if the tag and the set of ids come back.
Reads come in the form in which a record is written, so that what is read can be compared, kept and written again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from dentlib.destinations.twenty.client import Client, Operation
from dentlib.destinations.twenty.describe import Catalog, Shape
from dentlib.errors import InDoubt, Refused, Transient
from dentlib.model import JSON

BATCH_ROWS = 200
"""Records that one create call takes, as far as no server says otherwise."""

_CAP = re.compile(r"Maximum number of records[^\d]*(?P<rows>\d+)")

READ_ROWS = 500
"""Records that one read asks for. The server gives many more, but a note may be long."""

THIN_ROWS = 5_000
"""Records that one read of a few short fields asks for; the server gave 20,000 and more."""

_DESTROY_ROWS = 200
SOURCE_ID = "sourceSystemId"
EITHER: JSON = {"or": [{"deletedAt": {"is": "NULL"}}, {"deletedAt": {"is": "NOT_NULL"}}]}
"""Finds live and soft-deleted records; a filter that doesn't speak of deletedAt hides the latter."""


class Records:
    """The records of one workspace."""

    def __init__(self, client: Client, catalog: Catalog) -> None:
        self._client = client
        self._catalog = catalog
        self.batch_rows = BATCH_ROWS

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
        try:
            answer = self._client.records(operation, what, tag)
        except Refused as refused:
            self._learn(refused)
            raise
        same_ids((r["id"] for r in records), answer, what)

    def _learn(self, refused: Refused) -> None:
        """Take over the number of records that a call may bring, where the server names another one."""
        cap = _CAP.search(refused.message)
        if cap and 0 < int(cap["rows"]) < self.batch_rows:
            self.batch_rows = int(cap["rows"])

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
        same_ids([record_id], [answer], what)

    def read(self, object_name: str, ids: Sequence[str], *, deleted: bool = False) -> dict[str, JSON]:
        """Read records by id; missing ones are left out, soft-deleted ones too unless `deleted`."""
        shape = self._catalog.shape(object_name)
        found: dict[str, JSON] = {}
        for part in _parts(ids, READ_ROWS):
            wanted: JSON = {"id": {"in": part}}
            for record in self.pages(shape, {"and": [wanted, EITHER]} if deleted else wanted, shape.selection):
                found[record["id"]] = record
        return found

    def find(self, object_name: str, field: str, values: Sequence[str], *, deleted: bool = False) -> list[JSON]:
        """Read the records whose field, or part of one (`emails.primaryEmail`), is one of the values.

        Compared as the server compares unique values: e-mail addresses in lower case, everything else exactly; of a
        link the host in lower case and no slash at its end. Empty values find nothing. In id order.
        """
        shape = self._catalog.shape(object_name)
        name, _, part = field.partition(".")
        compared = _COMPARED.get((shape.field(name)["type"], part), str)
        wanted = list(dict.fromkeys(compared(v) for v in values if v))
        found: dict[str, JSON] = {}
        for some in _parts(wanted, READ_ROWS):
            where: JSON = {name: {part: {"in": some}} if part else {"in": some}}
            for record in self.pages(shape, {"and": [where, EITHER]} if deleted else where, shape.selection):
                found[record["id"]] = record
        return [found[i] for i in sorted(found)]

    def scan(
        self,
        object_name: str,
        *,
        source_prefix: str | None = None,
        deleted: bool = False,
        fields: Sequence[str] | None = None,
    ) -> Iterator[JSON]:
        """Read all live records in id order, page by page; with a prefix only those whose source id starts with it.

        `deleted`: soft-deleted ones too. `fields`: only these and the id, in pages of THIN_ROWS.
        """
        shape = self._catalog.shape(object_name)
        where = {"and": [EITHER, _starting(source_prefix)]} if deleted else _starting(source_prefix)
        if fields is None:
            rows = self.pages(shape, where, shape.selection)
        else:
            rows = self.pages(shape, where, shape.some(fields), rows=THIN_ROWS)
        for record in rows:
            if source_prefix is None or str(record[SOURCE_ID] or "").startswith(source_prefix):
                yield record

    def count(self, object_name: str, *, source_prefix: str | None = None, deleted: bool = False) -> int:
        """Count live records, with `deleted` all; with a prefix only those whose source id starts with it. One call."""
        shape = self._catalog.shape(object_name)
        where = {"and": [EITHER, _starting(source_prefix)]} if deleted else _starting(source_prefix)
        return self.count_where(shape, where)

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

    def pages(
        self, shape: Shape, where: JSON, selection: str, *, rows: int = READ_ROWS, as_written: bool = True
    ) -> Iterator[JSON]:
        """Read what a filter finds, page by page in id order, in the form in which it is written (or as it comes)."""
        after: str | None = None
        while True:
            page = self._page(shape, where, selection, after, rows)
            nodes = (edge["node"] for edge in page["edges"])
            yield from (_written_form(n, shape) for n in nodes) if as_written else nodes
            if not page["pageInfo"]["hasNextPage"]:
                return
            if page["pageInfo"]["endCursor"] in (after, None):
                raise Transient(f"read {shape.plural}: the server gives the same page again and again")
            after = page["pageInfo"]["endCursor"]

    def _page(self, shape: Shape, where: JSON, selection: str, after: str | None, rows: int) -> JSON:
        operation = Operation(
            shape.plural,
            "(filter:$f,orderBy:$o,first:$n,after:$a)" if after else "(filter:$f,orderBy:$o,first:$n)",
            f"{{pageInfo{{hasNextPage endCursor}}edges{{node{selection}}}}}",
            {
                "f": (f"{shape.type_name}FilterInput", where),
                "o": (f"[{shape.type_name}OrderByInput]", [{"id": "AscNullsFirst"}]),
                "n": ("Int", rows),
            }
            | ({"a": ("String", after)} if after else {}),
        )
        page: JSON = self._client.records(operation, f"read {shape.plural}")
        return page


def _plain_link(url: str) -> str:
    """Return a link as the server stores it: scheme and host in lower case, no slash at the end."""
    found = _HOST.match(url)
    return (found[0].lower() + url[found.end() :]).rstrip("/") if found else url


_HOST = re.compile(r"(?i)[a-z][a-z0-9+.-]*://[^/?#]*")
_COMPARED: dict[tuple[str, str], Callable[[str], str]] = {
    ("EMAILS", "primaryEmail"): str.lower,
    ("LINKS", "primaryLinkUrl"): _plain_link,
    ("UUID", ""): str.lower,
}
"""How values are compared, by type and part of the field; otherwise exactly."""


def _starting(prefix: str | None) -> JSON:
    """Return the filter for source ids that start so. Some versions have no `startsWith` that means it; all `like`."""
    if prefix is None:
        return {}
    plain = prefix.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return {SOURCE_ID: {"like": f"{plain}%"}}


def same_ids(sent: Iterable[str], answer: Any, what: str) -> None:
    """Raise InDoubt unless exactly these ids came back, in any order."""
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
    path = node.get("fullPath")
    if path and "/files/" in path:
        # A signed url, which would be spoilt by writing it back: the path is what was written.
        node["fullPath"] = _SIGNED.sub(r"\g<folder>/\g<name>", path)
    return node


_SIGNED = re.compile(r"^.*/files/(?P<folder>[\w/-]+)/[^/]+/(?P<name>[^/?]+)(?:\?.*)?$")
