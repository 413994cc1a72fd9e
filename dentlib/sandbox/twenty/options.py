"""The options of SELECT, MULTI_SELECT and RATING fields: their ids, and what a change does to records."""

from __future__ import annotations

import orjson

from dentlib.sandbox.twenty.catalog import Field, plain_default
from dentlib.sandbox.twenty.ids import new_id
from dentlib.sandbox.twenty.metadata_docs import OPTION_KEYS
from dentlib.sandbox.twenty.refusals import Json
from dentlib.sandbox.twenty.state import dumps
from dentlib.sandbox.twenty.workspace import Workspace


def migrate_records(space: Workspace, found: Field, old: list[Json]) -> None:
    """Move the records of a SELECT along with its options: a renamed value by its id, a removed one to the default."""
    new = {option["id"]: option["value"] for option in found.doc["options"]}
    default = plain_default(found.doc.get("defaultValue"))
    if default not in new.values():
        default = None
    moved = {option["value"]: new.get(option.get("id")) for option in old}
    moved = {value: target for value, target in moved.items() if value != target}
    if not moved:
        return
    rows = space.state.all(
        f"SELECT id, doc FROM record WHERE ws=? AND obj=? AND json_extract(doc,'$.{found.name}') IS NOT NULL",
        (space.ws, found.obj),
    )
    changed = []
    for record_id, text in rows:
        doc = orjson.loads(text)
        value = doc[found.name]
        if isinstance(value, list):
            doc[found.name] = [moved.get(v, v) for v in value if moved.get(v, v) is not None]
        elif value in moved:
            doc[found.name] = moved[value] if moved[value] is not None else default
        if doc[found.name] in (None, []):
            doc.pop(found.name)
        if doc.get(found.name) != value:
            changed.append((dumps(doc), space.ws, found.obj, record_id))
    space.state.db.executemany("UPDATE record SET doc=? WHERE ws=? AND obj=? AND id=?", changed)


def with_option_ids(given: Json) -> Json:
    """Give each option an id and the key order of the real answers; a RATING gets its five options by itself."""
    options = given.get("options")
    if given.get("type") == "RATING" and not options:
        options = [{"label": str(n), "value": f"RATING_{n}", "position": n - 1} for n in range(1, 6)]
    if not isinstance(options, list):
        return given
    made = [
        {"id": option.get("id") or new_id(), **{key: option[key] for key in OPTION_KEYS if key in option}}
        for option in options
    ]
    return {**given, "options": made}
