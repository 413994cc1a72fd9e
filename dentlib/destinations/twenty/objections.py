"""Say before sending which records the server would refuse or spoil. No call is made.

A server refuses a whole batch for one bad record and doesn't say which one it was. So each record is judged here by the
fields as the workspace describes them. A quick look (a validator compiled from those fields) passes what is plainly
fine; only what it doesn't pass is judged field by field, in words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from dentlib.destinations.twenty import judging
from dentlib.destinations.twenty.describe import Catalog, Shape, columns_of
from dentlib.destinations.twenty.quick_look import QuickLook
from dentlib.model import JSON

Objection = tuple[str, str]
"""(code, words)"""

INVALID = "INVALID_VALUE"
UNKNOWN = "UNKNOWN_FIELD"
NUL = "NUL_CHARACTER"
LARGE = "RECORD_TOO_LARGE"
WORDS = "TOO_MANY_WORDS"

_NUL = b"\\u0000"
_READ_ONLY = frozenset({"searchVector", "updatedBy"})
_NEVER_NULL_YET_FINE = frozenset({"id", "position", "createdBy"})
_LONG_RECORD_BYTES = 200_000
_MOST_WORD_BYTES = 1_000_000
_WORD_BYTES = 8
_WORD = re.compile(r"\w+(?:[-.@_]\w+)*")
_LONGEST_UNIQUE_BYTES = 2_600
"""What an entry of a unique index holds (Postgres: 2,704 bytes, its own overhead included)."""


@dataclass(frozen=True, slots=True)
class _Rules:
    """How one object's records are judged."""

    shape: Shape
    judges: Mapping[str, judging.Judge]
    not_null: frozenset[str]
    unique: frozenset[str]
    quick: QuickLook


class Objections:
    """The judge of one workspace. Its rules follow the data model as last described."""

    def __init__(self, catalog: Catalog, most_bytes: int) -> None:
        self._catalog = catalog
        self._most_bytes = most_bytes
        self._rules: dict[str, _Rules] = {}

    def to(self, object_name: str, records: Sequence[JSON]) -> dict[str, Objection]:
        """Return for each record that would be refused or spoiled the first fault found: id → (code, words)."""
        rules = self._rules_of(object_name)
        body = _dumped(records)
        suspicious = body is None or _NUL in body or len(body) > _LONG_RECORD_BYTES + 4_000 * len(records)
        if not suspicious and rules.quick.passes(records):
            return {}
        found: dict[str, Objection] = {}
        for record in records:
            if not suspicious and rules.quick.passes([record]):
                continue
            objection = self._judge(rules, record)
            if objection is not None:
                found[str(record.get("id"))] = objection
        return found

    def _rules_of(self, object_name: str) -> _Rules:
        shape = self._catalog.shape(object_name)
        known = self._rules.get(object_name)
        if known is None or known.shape != shape:
            known = self._rules[object_name] = _compiled(shape)
        return known

    def _judge(self, rules: _Rules, record: JSON) -> Objection | None:
        for name, value in record.items():
            judge = rules.judges.get(name)
            if judge is None:
                words = "can't be written" if name in _READ_ONLY else "is no field of this object"
                return UNKNOWN, f"{name} {words}"
            if value is None:
                if name in rules.not_null:
                    return INVALID, f"{name} is empty and must not be"
                continue
            fault = judge(value)
            if fault:
                return INVALID, f"{name} {fault}"
            if name in rules.unique and len(orjson.dumps(value)) > _LONGEST_UNIQUE_BYTES:
                return LARGE, f"{name} is too long for a unique value"
        return self._judge_size(record)

    def _judge_size(self, record: JSON) -> Objection | None:
        body = _dumped([record])
        if body is None:
            return INVALID, "holds a number or text that JSON can't carry"
        if _NUL in body and _holds_nul(record):
            return NUL, "holds a NUL character"
        if len(body) > self._most_bytes:
            return LARGE, f"the record has {len(body):,} bytes, a call takes {self._most_bytes:,}"
        if len(body) > _LONG_RECORD_BYTES and _word_bytes(record) > _MOST_WORD_BYTES:
            return WORDS, "the record has more different words than the search index holds (1 MB)"
        return None


def _compiled(shape: Shape) -> _Rules:
    judges: dict[str, judging.Judge] = {}
    for field in shape.fields:
        columns = columns_of(field)
        for column in columns:
            judges[column] = judging.uuid
        judge = judging.judge_of(field)
        if not columns and judge is not None and field["name"] not in _READ_ONLY:
            judges[field["name"]] = judge
    not_null = {f["name"] for f in shape.fields if not f["isNullable"]} - _NEVER_NULL_YET_FINE
    unique = frozenset(f["name"] for f in shape.fields if f["isUnique"])
    return _Rules(shape, judges, frozenset(not_null), unique, QuickLook(shape, judges, not_null))


def _dumped(records: Sequence[JSON]) -> bytes | None:
    try:
        return orjson.dumps(records)
    except (TypeError, orjson.JSONEncodeError):
        return None


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\x00" in value or (value[:1] in ("{", "[") and "\\u0000" in value)
    if isinstance(value, dict):
        return any(_holds_nul(k) or _holds_nul(v) for k, v in value.items())
    return isinstance(value, list) and any(_holds_nul(item) for item in value)


def _word_bytes(value: Any) -> int:
    """Return what the different words of a record would take up in the index."""
    words: set[str] = set()
    _collect_words(value, words)
    return sum(len(w.encode()) + _WORD_BYTES for w in words)


def _collect_words(value: Any, words: set[str]) -> None:
    if isinstance(value, str):
        words.update(_WORD.findall(value.lower()))
    elif isinstance(value, dict):
        for item in value.values():
            _collect_words(item, words)
    elif isinstance(value, list):
        for item in value:
            _collect_words(item, words)
