"""Gates as hashes: an approval names a person and what was approved, and is void when that changes.

`mapping/approvals.yaml` holds them. What is hashed: the effective map, the settings that decide what records hold, the
export's structure, the plan for the destination's schema, and the destination's schema without that plan (so that
applying the plan voids nothing, while a destination that drifted otherwise does). A sample is approved for the
workspace in which it is. A new round of the same structure keeps an approval.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from dentlib.errors import GateClosed, UsageError
from dentlib.model import DestinationSchema, SchemaPlan, content_hash

WHAT_CHANGED = {
    "map": "the map was edited",
    "structure": "the export has other tables, columns, types or mapped values",
    "plan": "the plan for the destination's schema is another",
    "destination": "the destination's schema changed otherwise",
    "settings": "settings that decide what the records hold were changed (currency, time zone, fallback owner …)",
    "sample": "the sample was run again with another result, or is not in this workspace",
    "workspace": "it was given for another workspace",
    "access": "other values, or other roles of the CRM that can read them, than were confirmed",
}


class Approval(BaseModel):
    """One person's yes, to exactly this. `confirms`: what else that person vouched for, in words."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    what: str
    by: str
    at: datetime
    hashes: dict[str, str]
    confirms: list[str] = []

    def changed(self, now: Mapping[str, str]) -> list[str]:
        """Say in words what is no longer as it was approved, or was not part of what was approved."""
        return [WHAT_CHANGED.get(k, k) for k in {**now, **self.hashes} if now.get(k) != self.hashes.get(k)]


def load(file: Path) -> list[Approval]:
    """Read all approvals, oldest first; raises UsageError when the file is broken."""
    if not file.is_file():
        return []
    try:
        return [Approval.model_validate(a) for a in YAML(typ="safe").load(file.read_text(encoding="utf-8")) or []]
    except (ValidationError, TypeError, YAMLError) as error:
        raise UsageError(
            f"{file} is broken: {error}", "restore it from a copy, or delete it and approve again"
        ) from None


def latest(file: Path, what: str) -> Approval | None:
    """Return the last approval of `map` or `sample`."""
    return next((a for a in reversed(load(file)) if a.what == what), None)


def add(file: Path, approval: Approval) -> None:
    """Append an approval; earlier ones stay as history."""
    entries: list[dict[str, Any]] = [a.model_dump(mode="json") for a in [*load(file), approval]]
    part = file.with_suffix(".part")
    with part.open("w", encoding="utf-8") as stream:
        YAML(typ="safe").dump(entries, stream)
    part.chmod(0o600)
    part.replace(file)


def require(file: Path, what: str, now: Mapping[str, str], engagement: str) -> Approval:
    """Return the approval that holds; raises GateClosed saying what is missing, or what changed since."""
    approval = latest(file, what)
    way_out = f'dentlib approve {engagement} {what} --by "A. Analyst"'
    if approval is None:
        raise GateClosed(f"the {what} of '{engagement}' is not approved", way_out)
    changes = approval.changed(now)
    if changes:
        raise GateClosed(
            f"the approval of the {what} by {approval.by} ({approval.at:%Y-%m-%d}) is void: {'; '.join(changes)}",
            f"dentlib review {engagement}, then {way_out}",
        )
    return approval


def destination_base_hash(schema: DestinationSchema, plan: SchemaPlan) -> str:
    """Hash the destination's schema *without* what the plan wants: the same before and after it is applied.

    Left out: wanted objects and fields, the options added to standard selects, and the fields that the destination
    makes by itself for them (inverse lists, link columns to wanted objects). Types of wanted fields that exist already
    are compared by the plan's conflicts, not here.
    """
    objects = {i.object for i in plan.items if not i.field and i.wanted_object is not None}
    fields = {(i.object, i.field) for i in plan.items if i.field and not (i.wanted_field and i.wanted_field.extend)}
    inverse = {
        (f.target, _camel(f.inverse_label))
        for i in plan.items
        if (f := i.wanted_field) is not None and f.target and f.inverse_label
    }
    added = {
        (i.object, i.field): {o.value for o in (i.wanted_field.options if i.wanted_field else ())} for i in plan.items
    }
    seen: dict[str, dict[str, list[Any]]] = {}
    for obj in schema.objects.values():
        if obj.name in objects:
            continue
        seen[obj.name] = {
            f.name: [
                f.type,
                f.unique,
                f.target,
                [o.value for o in f.options if o.value not in added.get((obj.name, f.name), ())],
            ]
            for f in obj.fields.values()
            if (obj.name, f.name) not in fields | inverse and f.target not in objects
        }
    return content_hash(seen)


def _camel(label: str) -> str:
    words = label.split()
    return "".join([words[0].lower(), *(w[:1].upper() + w[1:] for w in words[1:])]) if words else ""
