"""Apply a schema plan, with the way back of each change recorded."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from typing import Any

from dentlib.clock import Clock
from dentlib.errors import Refused, SchemaConflict
from dentlib.loading.history import require_no_unfinished_rollback, schema_changes
from dentlib.loading.keeping import MOST_STRANGERS, Fates
from dentlib.loading.ledger import Ledger
from dentlib.loading.patience import Hook, Patience, no_hook
from dentlib.loading.readback import is_empty
from dentlib.loading.snapshot import ensure_baseline
from dentlib.model import (
    JSON,
    Decision,
    Destination,
    DestinationSchema,
    Option,
    Progress,
    SchemaItem,
    SchemaPlan,
    Silence,
    WantedField,
    WantedObject,
)

IN_USE = "IN_USE"
"""Code with which a destination refuses to take back what records hold something in."""


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


@dataclass(frozen=True, slots=True)
class SchemaBack:
    """What becomes of our schema changes: names of those removed, and (name, why) of those that stay.

    `come_with`: objects whose relations to others stay with what stays.
    """

    removed: tuple[str, ...] = ()
    kept: tuple[tuple[str, str], ...] = ()
    come_with: frozenset[str] = frozenset()

    def explains(self, name: str, schema: DestinationSchema) -> bool:
        """Tell whether `object` or `object.field` is in the data model because of something that stays."""
        owner, _, field_name = name.partition(".")
        if {name, owner} & {kept for kept, _ in self.kept}:
            return True
        field = schema.objects[owner].fields.get(field_name) if owner in schema.objects else None
        if field is None or "RELATION" not in field.type:
            return False
        named = " ".join([field.name, *field.columns]).lower()
        return field.target in self.come_with or any(other.lower() in named for other in self.come_with)


def undo_schema(
    ledger: Ledger,
    destination: Destination,
    *,
    patience: Patience,
    hook: Hook = no_hook,
    progress: Progress | None = None,
) -> SchemaBack:
    """Take our schema changes back, the newest first, but those in which records hold something. Idempotent, resumable.

    What stays goes on standing in the ledger: the next rollback tries again.
    """
    progress = progress or Silence()
    settle_schema(ledger, destination, patience=patience, hook=hook)
    changes = schema_changes(ledger)[::-1]
    progress.start("schema", len(changes), "changes")
    looked_at = ""
    removed: list[str] = []
    kept: list[tuple[str, str]] = []
    come_with: set[str] = set()
    for number, (entry, recipe) in enumerate(changes):
        item = entry.body["item"]
        assert recipe is not None
        if item["object"] != looked_at:
            looked_at = item["object"]
            run = takewhile(lambda c, name=looked_at: c[0].body["item"]["object"] == name, changes[number:])  # type: ignore[misc]
            recipes = [r for _, r in run if r is not None]
            patience.idempotent(lambda recipes=recipes: destination.look_before_undo(recipes))  # type: ignore[misc]
        try:
            patience.idempotent(lambda recipe=recipe: destination.undo(recipe))  # type: ignore[misc]
        except Refused as refusal:
            if refusal.code != IN_USE:
                raise
            kept.append((schema_name(item), refusal.message))
            come_with |= _come_with(item)
        else:
            hook("schema undone")
            ledger.append("schema_undone", {"call": entry.seq})
            hook("schema undo recorded")
            removed.append(schema_name(item))
        progress.advance("schema")
    progress.finish("schema")
    return SchemaBack(tuple(removed), tuple(kept), frozenset(come_with))


def foresee_schema(
    ledger: Ledger,
    destination: Destination,
    fates: Fates,
    *,
    patience: Patience,
    put_back: Mapping[str, Collection[str]],
) -> SchemaBack:
    """Say which of our schema changes a rollback could take back, and which records that stay hold something in.

    `put_back`: record id → fields whose earlier values the record will have again.
    """
    removed: list[str] = []
    kept: list[tuple[str, str]] = []
    staying: dict[str, list[JSON] | None] = {}
    for entry, _ in reversed(schema_changes(ledger)):
        item = entry.body["item"]
        name = item["object"]
        if name not in staying:
            staying[name] = _staying(destination, fates, name, patience)
        records = staying[name]
        if records is None:
            kept.append((schema_name(item), f"more than {MOST_STRANGERS:,} records stay: looked at when it is done"))
            continue
        values = [o["value"] for o in item["add_options"]]
        field_name = item["field"]
        held = sum(
            _holds(r, field_name, values)
            for r in records
            if not {field_name, f"{field_name}Id"} & set(put_back.get(r["id"], ()))
        )
        if held:
            kept.append((schema_name(item), f"{_records(held)} something in it"))
        else:
            removed.append(schema_name(item))
    return SchemaBack(tuple(removed), tuple(kept))


def _staying(destination: Destination, fates: Fates, name: str, patience: Patience) -> list[JSON] | None:
    """Read the records of an object that stay; None where they are too many to look at beforehand."""
    ids = fates.staying(name) if name in fates.schema.objects else []
    if len(ids) > MOST_STRANGERS:
        return None
    return list(patience.idempotent(lambda: destination.read(name, ids, deleted=True)).values()) if ids else []


def _holds(record: JSON, field_name: str, values: Sequence[str]) -> bool:
    """Tell whether a record holds something in a field, or one of these options; without a field it always does."""
    if not field_name:
        return True
    found = record.get(field_name, record.get(f"{field_name}Id"))
    if values:
        return bool(set(values) & set(found if isinstance(found, list) else [found]))
    return found is not False and not is_empty(found)


def _records(held: int) -> str:
    return "1 record that stays holds" if held == 1 else f"{held:,} records that stay hold"


def _come_with(item: JSON) -> set[str]:
    """Return the object whose lists and links on other objects stay with this item."""
    wanted = item["wanted_field"]
    return {item["object"]} if not item["field"] or (wanted and wanted["type"] == "RELATION") else set()


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
