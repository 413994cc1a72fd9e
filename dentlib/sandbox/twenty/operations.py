"""The record operations that REST and GraphQL share: permission first, then the work."""

from __future__ import annotations

from typing import Any

from dentlib.sandbox.twenty import removing
from dentlib.sandbox.twenty.model import Model
from dentlib.sandbox.twenty.reading import Reader
from dentlib.sandbox.twenty.refusals import Json, invalid_args, not_found, permission_denied
from dentlib.sandbox.twenty.workspace import Caller, Workspace
from dentlib.sandbox.twenty.writing import Writer

_MEMBERS = "workspaceMember"


class Operations:
    """What one caller may do to records, each method one operation returning stored documents."""

    def __init__(self, space: Workspace, caller: Caller) -> None:
        self.space = space
        self.caller = caller
        self.reader = Reader(space)
        self.writer = Writer(space, caller)

    def create(self, model: Model, records: Any, upsert: bool) -> list[Json]:
        """Create or upsert; members can't be made by a key. Raises Refusal."""
        if model.obj.name == _MEMBERS:
            raise permission_denied()
        return self.writer.create(model, records, upsert)

    def update_one(self, model: Model, record_id: str, data: Any) -> Json:
        """Update one record. Raises Refusal."""
        return self.writer.update_one(model, record_id, data)

    def update_many(self, model: Model, filter: Json | None, data: Any) -> list[Json]:
        """Update every live record that the filter matches. Raises Refusal."""
        docs = self.reader.matching(model, self._needed(filter, "update"), with_deleted=False)
        return self.writer.update_many(model, [doc["id"] for doc in docs], data)

    def delete_one(self, model: Model, record_id: str) -> Json:
        """Soft-delete one record; one that is soft-deleted already is marked again. Raises Refusal."""
        self._no_members(model)
        docs = [self.reader.one(model, record_id, with_deleted=True)]
        return removing.mark_deleted(self.space, model, docs, self.space.now)[0]

    def delete_many(self, model: Model, filter: Json | None) -> list[Json]:
        """Soft-delete every live record that the filter matches. Raises Refusal."""
        self._no_members(model)
        docs = self.reader.matching(model, self._needed(filter, "delete"), with_deleted=False)
        return removing.mark_deleted(self.space, model, docs, self.space.now)

    def restore_one(self, model: Model, record_id: str) -> Json:
        """Bring one soft-deleted record back. Raises Refusal."""
        docs = [self.reader.one(model, record_id, with_deleted=True)]
        return removing.mark_deleted(self.space, model, docs, None)[0]

    def restore_many(self, model: Model, filter: Json | None) -> list[Json]:
        """Bring every record that the filter matches back. Raises Refusal."""
        docs = self.reader.matching(model, self._needed(filter, "restore"), with_deleted=True)
        return removing.mark_deleted(self.space, model, docs, None)

    def destroy_one(self, model: Model, record_id: str) -> Json:
        """Remove one record for good, live or soft-deleted. Raises Refusal."""
        self._may_destroy(model)
        doc = self.reader.one(model, record_id, with_deleted=True)
        removing.destroy(self.space, model, [doc])
        return doc

    def destroy_many(self, model: Model, filter: Json | None) -> list[Json]:
        """Remove every record that the filter matches for good. Raises Refusal."""
        self._may_destroy(model)
        docs = self.reader.matching(model, self._needed(filter, "destroy"), with_deleted=True)
        removing.destroy(self.space, model, docs)
        return docs

    def duplicates(self, model: Model, ids: list[str] | None, data: list[Any] | None) -> list[list[Json]]:
        """Per id or draft, the live records that look the same. Raises Refusal."""
        if ids:
            probes = [self.reader.one(model, record_id) for record_id in ids]
        else:
            probes = [model.coerce(item) for item in data or []]
        return [self.reader.duplicates(model, probe) for probe in probes]

    def merge(self, model: Model, ids: list[str]) -> Json:
        """Merge is not offered here beyond its check that the records exist. Raises Refusal."""
        for record_id in ids:
            self.reader.one(model, record_id)
        raise not_found()

    def _needed(self, filter: Json | None, verb: str) -> Json:
        if not filter:
            raise invalid_args(
                f"Filters are mandatory for bulk {verb} operations. Please provide at least one filter to prevent "
                f"accidental {'deletion' if verb in ('destroy', 'delete') else verb} of all records."
            )
        return filter

    def _no_members(self, model: Model) -> None:
        if model.obj.name == _MEMBERS:
            raise permission_denied()

    def _may_destroy(self, model: Model) -> None:
        self._no_members(model)
        if self.caller.is_limited:
            raise permission_denied()
