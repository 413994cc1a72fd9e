"""Change many records in one call. Twenty's only way is the upsert; here it is held to records that are there.

An upsert matches on any unique field, makes what it doesn't find, and brings back what is in the bin. So unique fields
stay out of it, and a record that came into being by it, because somebody destroyed the old one a moment before, is
recognised and destroyed again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dentlib.destinations.twenty.client import Client, Operation
from dentlib.destinations.twenty.describe import Catalog, Shape, columns_of, default_of
from dentlib.destinations.twenty.records import Records, same_ids
from dentlib.errors import Refused, UsageError
from dentlib.model import JSON

NOT_IN_BATCH = frozenset({"id", "createdAt", "updatedAt", "deletedAt", "createdBy"})
"""What an upsert leaves out without a word, and the times by which a new record is told from an old one."""

_OWN = {"id", "createdAt", "updatedAt", "deletedAt", "createdBy", "updatedBy", "position", "searchVector"}
"""What the server fills in for every new record."""


class Updates:
    """Updates of many records of one workspace."""

    def __init__(self, client: Client, catalog: Catalog, records: Records) -> None:
        self._client = client
        self._catalog = catalog
        self._records = records

    def write(
        self,
        object_name: str,
        changes: Sequence[tuple[str, JSON]],
        tag: str,
        created: Mapping[str, str] | None = None,
    ) -> None:
        """Change fields of existing records, (id, fields) each; fields left out stay. One call, not atomic.

        A record that was soft-deleted since the caller read it comes back to life: read right before. Raises UsageError
        for fields that an upsert can't carry, InDoubt where no trustworthy answer came, Refused with the server's
        words; with the code RECORD_NOT_FOUND where records were gone: the others are changed, nothing new stays.
        `created`: id → the time of creation as just read; then `updatedAt` may be among the fields, since a new record
        is told by its time of creation, and by holding nothing but what was sent.
        """
        shape = self._catalog.shape(object_name)
        what = f"update {len(changes)} {shape.plural}"
        if created is None:
            _refuse_fields(shape, changes, NOT_IN_BATCH)
        else:  # an empty value matches no other record, so a unique field may be emptied
            filled = [(i, {n: v for n, v in fields.items() if not _is_empty(v, None)}) for i, fields in changes]
            _refuse_fields(shape, filled, NOT_IN_BATCH - {"updatedAt"})
        operation = Operation(
            f"create{shape.plural_name}",
            "(data:$d,upsert:true)",
            "{id createdAt updatedAt}",
            {"d": (f"[{shape.type_name}CreateInput!]!", [fields | {"id": i} for i, fields in changes])},
            writes=True,
        )
        answer = self._client.records(operation, what, tag)
        same_ids((i for i, _ in changes), answer, what)
        sent = {i.lower(): fields for i, fields in changes}
        if created is None:
            suspects = {r["id"] for r in answer if r["createdAt"] == r["updatedAt"]}
        else:
            suspects = {r["id"] for r in answer if r["createdAt"] != created[r["id"]]}
        if suspects:
            self._destroy_new(shape, {i: sent[i] for i in suspects}, what, tag)

    def _destroy_new(self, shape: Shape, suspects: Mapping[str, JSON], what: str, tag: str) -> None:
        """Destroy those that hold nothing but what was just sent; a record that stood there before holds more."""
        stored = self._records.read(shape.singular, sorted(suspects))
        new = sorted(i for i, record in stored.items() if _is_new(shape, record, suspects[i]))
        if not new:
            return
        self._records.destroy(shape.singular, new, f"{tag}_new")
        raise Refused(
            f"{what}: {len(new)} of them were destroyed by someone since",
            "read back which ones are gone",
            code="RECORD_NOT_FOUND",
            conflicting_id=new[0],
        )


def _refuse_fields(shape: Shape, changes: Iterable[tuple[str, JSON]], never: frozenset[str]) -> None:
    named = {name for _, fields in changes for name in fields}
    unfit = (named & never) | {f["name"] for f in shape.fields if f["isUnique"] and f["name"] in named}
    if unfit:
        raise UsageError(
            f"{', '.join(sorted(unfit))} of {shape.singular} can't be changed in a batch", "change them one by one"
        )


def _is_new(shape: Shape, record: JSON, sent: JSON) -> bool:
    for field in shape.fields:
        name = field["name"]
        if name in _OWN:
            continue
        for column in columns_of(field) or (name,):
            if column not in sent and not _is_empty(record.get(column), default_of(field)):
                return False
    return True


def _is_empty(value: object, default: object) -> bool:
    if isinstance(value, dict):
        parts = default if isinstance(default, dict) else {}
        return all(_is_empty(v, parts.get(k)) for k, v in value.items())
    return value in (None, "", [], default)
