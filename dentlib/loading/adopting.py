"""Take up records that were in the workspace before us, by the map's rule, and never silently over what is theirs.

`match_only` writes nothing; `update_empty` fills fields that are empty there; `update` overwrites those that the source
fills. No rule empties a field, moves a creation time, or puts a source id over another one. Every field that stays
different from what the source says is counted and listed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson

from dentlib.loading.history import schema_changes
from dentlib.loading.ledger import Ledger
from dentlib.loading.readback import is_empty, normalise_equal
from dentlib.loading.rows import Match, Row
from dentlib.loading.updating import Change, FieldConflict, Updated, Updater
from dentlib.model import JSON, LoadStep

_STAYS = frozenset(("createdAt", "sourceSystemId"))
"""Fields of an existing record that no rule overwrites."""


class Treatment(StrEnum):
    """What becomes of one field of an existing record."""

    SAME = "same"
    FILL = "fill"
    OVERWRITE = "overwrite"
    KEEP = "keep"


def treatment(found: str, name: str, new: Any, stored: Any, field_type: str, made: Set[str] = frozenset()) -> Treatment:
    """Decide about one field: what the source says (`new`) against what is stored, by the rule `found`.

    `made`: fields of the object that we added. A switch among them that is off was never set by anybody: the
    destination gave it to every record, and who is not to be contacted must not be lost for it.
    """
    if name == "id" or is_empty(new) or normalise_equal(new, stored, field_type)[0]:
        return Treatment.SAME
    if found == "match_only":
        return Treatment.KEEP
    if _holds_nothing(stored, field_type) or (stored is False and name in made):
        return Treatment.FILL
    return Treatment.OVERWRITE if found == "update" and name not in _STAYS else Treatment.KEEP


def made_fields(ledger: Ledger, object_name: str) -> frozenset[str]:
    """Return the names of the fields that we added to an object and that still stand."""
    items = (entry.body["item"] for entry, _ in schema_changes(ledger))
    return frozenset(item["field"] for item in items if item["object"] == object_name and item["decision"] == "create")


_MAIN_PART = {"PHONES": "primaryPhoneNumber", "CURRENCY": "amountMicros"}
"""Composites that name a country or a currency even where they hold nothing."""


def _holds_nothing(stored: Any, field_type: str) -> bool:
    if isinstance(stored, dict) and field_type in _MAIN_PART:
        return is_empty(stored.get(_MAIN_PART[field_type])) and is_empty(stored.get("additionalPhones"))
    return is_empty(stored)


class Adopter:
    """Adopts records of one run. One read for up to a batch of rows; the ledger knows each before it is touched."""

    def __init__(self, updater: Updater) -> None:
        self._updater = updater
        self._sender = updater.sender

    def adopt(self, step: LoadStep, rows: Sequence[tuple[Row, Match]]) -> Updated:
        """Bring these existing records up to date as their rule says. Resumable: what was filled reads back filled."""
        result = Updated()
        present = self._updater.stored(step, [m.record_id for _, m in rows], result, [row for row, _ in rows])
        types = self._sender.types(step.object_name)
        made = made_fields(self._sender.ledger, step.object_name)
        changes: list[tuple[Change, Match]] = []
        for row, matched in rows:
            stored = present.get(matched.record_id)
            if stored is None:
                continue
            change = Change(row, dict(row.payload), {}, {})
            for name, new in sorted(row.payload.items()):
                found, kind = stored.get(name), types.get(name, "")
                match treatment(matched.found, name, new, found, kind, made):
                    case Treatment.FILL | Treatment.OVERWRITE:
                        change.sent[name], change.was[name] = new, found
                    case Treatment.KEEP:
                        result.kept.append(
                            FieldConflict(
                                step.name, row.source_key, row.record_id, step.object_name, name, None, new, found
                            )
                        )
            changes.append((change, matched))
        with self._sender.ledger.transaction():
            self._updater.note(step, "kept", result.kept)
            for found_rule in sorted({m.found for _, m in changes}):
                self._record(step, found_rule, [(c, m) for c, m in changes if m.found == found_rule], present)
        result.unchanged += sum(not c.sent for c, _ in changes)
        self._updater.send(step, [c for c, _ in changes if c.sent], result)
        return result

    def _record(
        self, step: LoadStep, found: str, changes: Sequence[tuple[Change, Match]], present: Mapping[str, JSON]
    ) -> None:
        """Record whom the rows stand for. Without a row hash while there is something to send: then it is not done.

        Records that something may be sent to are kept whole as they were found: a rollback compares with them.
        """
        matched = {"found": found, "rules": [m.rule for _, m in changes]}
        rows = [(c.row.source_key, m.record_id, "" if c.sent else c.row.row_hash) for c, m in changes]
        was = [{} if found == "match_only" else present[m.record_id] for _, m in changes]
        call = self._sender.ledger.begin_call(
            run=self._sender.run_id,
            step=step.name,
            object_name=step.object_name,
            op="adopt",
            tag="adopt",
            rows=rows,
            block={"new": [c.whole for c, _ in changes], "sent": [{} for _ in changes], "was": was},
            more={"matched": matched},
        )
        self._sender.ledger.end_call(call, run=self._sender.run_id, result="found")


@dataclass(frozen=True, slots=True)
class KeptField:
    """A field of a record that was there before us, which it keeps though the export says otherwise."""

    step: str
    source_key: str = dataclasses.field(repr=False)
    record_id: str
    object: str
    field: str
    in_the_export: str = dataclasses.field(repr=False)
    in_the_crm: str = dataclasses.field(repr=False)


def kept_fields(ledger: Ledger) -> list[KeptField]:
    """Return what records that were there before us kept as theirs, since the last rollback; each field once.

    Reads the ledger only. Holds patients' values: for a list in the engagement's folder, never for a log.
    """
    found: dict[tuple[str, str, str], KeptField] = {}
    for entry in ledger.entries("kind = 'kept' AND seq > ?", ledger.epoch):
        step = entry.body["step"]
        for (key, rid, name, field), values in zip(entry.body["rows"], entry.records("was"), strict=True):
            told = KeptField(step, key, rid, name, field, _told(values["meant"]), _told(values["stored"]))
            found[step, key, field] = told
    return [found[place] for place in sorted(found)]


def _told(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
