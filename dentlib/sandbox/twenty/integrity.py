"""What the database guards: unique values and foreign keys, and in whose words it refuses."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

from dentlib.sandbox.twenty import removing
from dentlib.sandbox.twenty.catalog import Field
from dentlib.sandbox.twenty.ids import constraint_name
from dentlib.sandbox.twenty.model import Model, UniqueKey
from dentlib.sandbox.twenty.refusals import (
    Json,
    Refusal,
    coded,
    database_error,
    duplicate,
    foreign_key,
    in_database_words,
)
from dentlib.sandbox.twenty.state import dumps
from dentlib.sandbox.twenty.workspace import Workspace

INSERT_UNIQUE = "INSERT INTO unique_value (ws,field,value,id) VALUES (?,?,?,?)"
INSERT_LINK = "INSERT OR IGNORE INTO link (ws,target,field,id) VALUES (?,?,?,?)"


class Integrity:
    """Keeps unique values and links of one workspace in step with its records; inside the caller's transaction."""

    def __init__(self, space: Workspace) -> None:
        self.space = space
        self.state = space.state

    # -- how it refuses -----------------------------------------------------------------------------------------

    def refusal(self, refusal: Refusal) -> Refusal:
        """What the database refused, as this version says it."""
        return in_database_words(refusal) if self.space.release.database_words else refusal

    def unstorable(self, message: str) -> Refusal:
        """What the database can't store, as this version says it."""
        return database_error(message if self.space.release.database_words else "Data validation error.")

    # -- unique values ------------------------------------------------------------------------------------------

    def claim(self, model: Model, docs: Iterable[Json]) -> None:
        """Take the unique values of new records. Raises Refusal when one is taken."""
        claims = [
            (self.space.ws, key.field.slot, value, doc["id"])
            for key in model.unique
            for doc in docs
            if (value := key.value_in(doc)) is not None
        ]
        if claims:
            self._insert(model, claims)

    def move(self, model: Model, before: Json, doc: Json, *, many: bool) -> None:
        """Give the old unique values of a changed record free and take its new ones. Raises Refusal.

        `many`: several records are changed at once, and a refusal then names none.
        """
        moved: list[UniqueKey] = [key for key in model.unique if key.value_in(before) != key.value_in(doc)]
        if not moved:
            return
        removing.release_unique(self.space, moved, before)
        claims = [
            (self.space.ws, key.field.slot, value, doc["id"])
            for key in moved
            if (value := key.value_in(doc)) is not None
        ]
        self._insert(model, claims, told=not many)

    def _insert(self, model: Model, claims: list[tuple[int, int, Any, str]], *, told: bool = True) -> None:
        try:
            with self.state.write():
                self.state.db.executemany(INSERT_UNIQUE, claims)
        except sqlite3.IntegrityError:
            raise (self._conflict(model, claims) if told else duplicate(None, None, model.obj.name)) from None

    def _conflict(self, model: Model, claims: list[tuple[int, int, Any, str]]) -> Refusal:
        labels = {key.field.slot: key.label for key in model.unique}
        for ws, slot, value, record_id in claims:
            row = self.state.one(
                "SELECT u.id, r.deleted_at FROM unique_value u JOIN record r ON r.ws=u.ws AND r.obj=? AND r.id=u.id "
                "WHERE u.ws=? AND u.field=? AND u.value=? AND u.id<>?",
                (model.obj.slot, ws, slot, value, record_id),
            )
            if row is not None and row[1] is None:
                return duplicate(labels[slot], str(row[0]), model.obj.name)
        return duplicate(None, None, model.obj.name)

    # -- foreign keys -------------------------------------------------------------------------------------------

    def link(self, model: Model, docs: Iterable[Json]) -> None:
        """Note the links of new records. Raises Refusal for one to nothing."""
        ws = self.space.ws
        for column, field in model.columns.items():
            links = [(ws, doc[column], field.slot, doc["id"]) for doc in docs if doc.get(column) is not None]
            if links:
                self._check_targets(model, field, column, {link[1] for link in links})
                self.state.db.executemany(INSERT_LINK, links)

    def relink(self, model: Model, before: Json, doc: Json) -> None:
        """Change the links of a changed record. Raises Refusal for one to nothing."""
        for column, field in model.columns.items():
            old, new = before.get(column), doc.get(column)
            if old == new:
                continue
            where = (self.space.ws, old, field.slot, before["id"])
            self.state.db.execute("DELETE FROM link WHERE ws=? AND target=? AND field=? AND id=?", where)
            if new is not None:
                self._check_targets(model, field, column, {new})
                self.state.db.execute(INSERT_LINK, (self.space.ws, new, field.slot, before["id"]))

    def _check_targets(self, model: Model, field: Field, column: str, targets: set[str]) -> None:
        assert field.relation is not None
        row = self.state.one(
            "SELECT count(*) FROM record WHERE ws=? AND obj=? AND id IN (SELECT value FROM json_each(?))",
            (self.space.ws, field.relation["obj"], dumps(list(targets))),
        )
        if row is None or row[0] < len(targets):
            table = model.obj.name
            name = constraint_name("FK", table, column)
            told = f'insert or update on table "{table}" violates foreign key constraint "{name}"'
            raise self.refusal(foreign_key(told))

    # -- ids ----------------------------------------------------------------------------------------------------

    def rename(self, model: Model, record_id: str, new_id: str) -> None:
        """Let a record have another id, where this version allows it and nothing points at the record.

        Raises Refusal.
        """
        row = self.state.one("SELECT field FROM link WHERE ws=? AND target=? LIMIT 1", (self.space.ws, record_id))
        if row is not None:
            field = self.space.catalog.fields[row[0]]
            table, other = model.obj.name, self.space.catalog.objects[field.obj].name
            name = constraint_name("FK", other, str(field.column))
            told = f'update or delete on table "{table}" violates foreign key constraint "{name}" on table "{other}"'
            raise self.refusal(foreign_key(told))
        if not self.space.release.ids_change:
            raise coded("The id of a record cannot be changed", "INVALID_QUERY_INPUT")
        held = [("unique_value", key.field.slot) for key in model.unique]
        held += [("link", field.slot) for field in model.columns.values()]
        for table, slot in held:
            where = (new_id, self.space.ws, slot, record_id)
            self.state.db.execute(f"UPDATE {table} SET id=? WHERE ws=? AND field=? AND id=?", where)
