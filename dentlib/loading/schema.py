"""Apply a schema plan, with the way back of each change recorded."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from dentlib.clock import Clock
from dentlib.errors import SchemaConflict
from dentlib.loading.history import require_no_unfinished_rollback, schema_changes
from dentlib.loading.ledger import Ledger
from dentlib.loading.patience import Hook, Patience, no_hook
from dentlib.loading.snapshot import ensure_baseline
from dentlib.model import (
    JSON,
    Decision,
    Destination,
    Option,
    Progress,
    SchemaItem,
    SchemaPlan,
    Silence,
    WantedField,
    WantedObject,
)


def apply_schema(
    ledger: Ledger,
    destination: Destination,
    plan: SchemaPlan,
    *,
    clock: Clock,
    progress: Progress | None = None,
    hook: Hook = no_hook,
) -> tuple[SchemaItem, ...]:
    """Make what the plan says is to be made, in its order; return the items made.

    The workspace's snapshot is taken before the first change. Resumable: what a crash left open is finished first.
    Raises SchemaConflict, before anything is changed, where the plan has conflicts.
    """
    if plan.conflicts:
        names = ", ".join(f"{i.object}.{i.field}" if i.field else i.object for i in plan.conflicts)
        raise SchemaConflict(f"the schema plan has conflicts: {names}", "settle them in the map or in the workspace")
    require_no_unfinished_rollback(ledger)
    progress = progress or Silence()
    patience = Patience(clock)
    ensure_baseline(ledger, destination, patience=patience)
    settled = settle_schema(ledger, destination, patience=patience, hook=hook)
    todo = [i for i in plan.changes if i not in settled]
    progress.start("schema", len(todo), "changes")
    for item in todo:
        call = ledger.append("schema", {"item": asdict(item)})
        hook("schema intent committed")
        _apply(ledger, destination, call, item, patience, hook)
        progress.advance("schema")
    progress.finish("schema")
    if todo:
        ledger.copy_aside("after-schema")
    return (*settled, *todo)


def settle_schema(
    ledger: Ledger, destination: Destination, *, patience: Patience, hook: Hook = no_hook
) -> tuple[SchemaItem, ...]:
    """Finish changes whose intent is recorded and whose recipe is not; return them. `apply` is idempotent."""
    settled = []
    for entry, recipe in schema_changes(ledger):
        if recipe is None:
            item = _item(entry.body["item"])
            _apply(ledger, destination, entry.seq, item, patience, hook)
            settled.append(item)
    return tuple(settled)


def _apply(
    ledger: Ledger, destination: Destination, call: int, item: SchemaItem, patience: Patience, hook: Hook
) -> None:
    recipe = patience.idempotent(lambda: destination.apply(item))
    hook("schema applied")
    ledger.append("schema_done", {"call": call, "recipe": recipe})
    hook("schema recipe recorded")


def undo_schema(
    ledger: Ledger, destination: Destination, *, patience: Patience, hook: Hook = no_hook
) -> tuple[str, ...]:
    """Take our schema changes back, the newest first; return their names. Idempotent, resumable."""
    settle_schema(ledger, destination, patience=patience, hook=hook)
    names = []
    for entry, recipe in reversed(schema_changes(ledger)):
        assert recipe is not None
        patience.idempotent(lambda recipe=recipe: destination.undo(recipe))  # type: ignore[misc]
        hook("schema undone")
        ledger.append("schema_undone", {"call": entry.seq})
        hook("schema undo recorded")
        names.append(schema_name(entry.body["item"]))
    return tuple(names)


def schema_name(item: JSON) -> str:
    """Return `object` or `object.field` of a recorded item."""
    return f"{item['object']}.{item['field']}" if item["field"] else str(item["object"])


def _item(kept: JSON) -> SchemaItem:
    """Rebuild an item from the form in which the ledger keeps it."""

    def options(values: list[JSON]) -> tuple[Option, ...]:
        return tuple(Option(**v) for v in values)

    parts: dict[str, Any] = dict(kept)
    parts["decision"] = Decision(kept["decision"])
    parts["add_options"] = options(kept["add_options"])
    if kept["wanted_object"]:
        parts["wanted_object"] = WantedObject(**kept["wanted_object"])
    if kept["wanted_field"]:
        wanted = kept["wanted_field"]
        parts["wanted_field"] = WantedField(**{**wanted, "options": options(wanted["options"])})
    return SchemaItem(**parts)
