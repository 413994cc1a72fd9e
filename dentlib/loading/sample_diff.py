"""The sample's diff: source → intended → stored of each field of each sample record, and why they differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any, Protocol

import orjson

from dentlib.facts import DiffRow
from dentlib.loading.readback import normalise_equal
from dentlib.model import JSON

NOT_STORED = "the record is not at the destination"
KEPT = "the record was there before and keeps its own value"
SHOWN_CHARACTERS = 400
"""Longer texts are shown cut; they are compared whole."""


class Explained(Protocol):
    """How one field of one record came about, as mapping explains it."""

    @property
    def step(self) -> str: ...
    @property
    def source_key(self) -> str: ...
    @property
    def record_id(self) -> str: ...
    @property
    def field(self) -> str: ...
    @property
    def source_columns(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def identifier_class(self) -> str: ...
    @property
    def problem(self) -> str: ...


def compare_sample(
    explained: Iterable[Explained],
    intended: Mapping[str, JSON],
    stored: Mapping[str, JSON],
    types: Mapping[str, str],
    kept: Set[tuple[str, str]] = frozenset(),
) -> list[DiffRow]:
    """Put source, intended and stored side by side. Pure.

    `kept`: (record id, field) that records which were there before us keep as theirs.
    `intended` and `stored` are records by id; `types` the destination's field types of the step's object. The verdict
    of a sub-field (`name.lastName`) is that of its own value, by the rules of the whole field's type.
    """
    return [_row(e, intended.get(e.record_id, {}), stored.get(e.record_id), types, kept) for e in explained]


def _row(
    e: Explained, intended: JSON, stored: JSON | None, types: Mapping[str, str], theirs: Set[tuple[str, str]]
) -> DiffRow:
    head, _, part = e.field.partition(".")
    meant, kept = _at(intended, e.field), _at(stored, e.field)
    if stored is None:
        same, reason = False, NOT_STORED
    elif part:
        wrapped_meant, wrapped_kept = {part: meant}, {part: kept}
        same, reason = normalise_equal(wrapped_meant, wrapped_kept, types.get(head, ""))
    else:
        same, reason = normalise_equal(meant, kept, types.get(head, ""))
    if not same and (e.record_id, head) in theirs:
        reason = KEPT
    return DiffRow(
        step=e.step,
        source_key=e.source_key,
        record_id=e.record_id,
        field=e.field,
        source_columns=e.source_columns,
        source=_text(e.source),
        intended=_text(meant),
        stored=_text(kept),
        same=same,
        reason="; ".join(x for x in (e.problem, reason) if x),
        identifier_class=e.identifier_class,
    )


def _at(record: JSON | None, path: str) -> Any:
    value: Any = record
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _text(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"
