"""Reasons in words: the destination's own, cleared of patients' values, and ours with the way out."""

from __future__ import annotations

from typing import Any

from dentlib.errors import Refused
from dentlib.model import JSON

Reason = tuple[str, str]
"""(stable code, words)"""

NOT_UNIQUE = "not_unique"
"""Code of a row with a value that another record has and that must be unique."""

PARENT_GONE = "parent_gone"
EXCUSED = frozenset(("gone", "in_bin", PARENT_GONE))
"""Codes of rows whose record, or its parent, someone took away: for a person to decide, none counts for a budget."""

_SHORTEST_VALUE = 3
_LONGEST_WORDS = 300


def refused_reason(refusal: Refused, record: JSON) -> Reason:
    """Say why the destination refused a record: its words with the record's values taken out, then ours."""
    kind = _kind(refusal)
    code = NOT_UNIQUE if kind == "duplicate" else refusal.code or "refused"
    words = f"the destination says: {without_values(refusal.message, record)}"
    hint = _OURS.get(kind)
    return code, f"{words} ({hint})" if hint else words


def is_duplicate(refusal: Refused) -> bool:
    """Tell whether the destination refused because a value that must be unique is taken."""
    return _kind(refusal) == "duplicate"


def held_by(path: str, holder: JSON, refusal: Refused | None = None, record: JSON | None = None) -> Reason:
    """Say which record has the unique value: one of the destination, or one in its bin."""
    said = f"the destination says: {without_values(refusal.message, record or {})}; " if refusal else ""
    where = "a record in the destination's bin" if holder.get("deletedAt") else "a record of the destination"
    return NOT_UNIQUE, f"{said}its {path} belongs to {where}, {holder['id']}"


def same_in_step(path: str, step: str, first_key: str) -> Reason:
    """Say which row of the same step has the unique value before this one."""
    return NOT_UNIQUE, f"its {path} belongs to row {first_key} of {step}, which comes first; it must be unique"


def _kind(refusal: Refused) -> str:
    text = refusal.message.lower()
    if "duplicate" in text or refusal.conflicting_id:
        return "duplicate"
    if "data validation" in text:
        return "unfit text"
    if "too large" in text:
        return "too large"
    return ""


_OURS = {
    "duplicate": "another record holds a value that must be unique, perhaps one in the destination's bin",
    "unfit text": "usually a text of more than 1 MB of different words, or a NUL character",
    "too large": "shorten its longest text, or leave it out in the map",
}


def without_values(words: str, record: JSON) -> str:
    """Replace every value of the record that occurs in the words by `…`, longest first."""
    values = sorted({v for v in _leaves(record) if len(v) >= _SHORTEST_VALUE}, key=len, reverse=True)
    for value in values:
        for spelling in (value, value.lower()):
            if spelling in words:
                words = words.replace(spelling, "…")
    return words if len(words) <= _LONGEST_WORDS else words[:_LONGEST_WORDS] + "…"


def _leaves(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [leaf for v in value.values() for leaf in _leaves(v)]
    if isinstance(value, list):
        return [leaf for v in value for leaf in _leaves(v)]
    return [] if value is None or isinstance(value, bool) else [str(value)]


def in_the_bin() -> Reason:
    """Say that someone soft-deleted a record of ours."""
    return "in_bin", "a record with this id lies in the destination's bin: restore it or destroy it there, then retry"


def gone() -> Reason:
    """Say that someone destroyed a record of ours."""
    return "gone", "someone destroyed this record in the destination since; it is not made again"


def ambiguous() -> Reason:
    """Say that a row fits several records of the workspace, or one that another row fits too."""
    return "match_ambiguous", "it fits several records of the workspace, or one that another row fits as well"


def not_ours() -> Reason:
    """Say that another record has our id."""
    return "id_taken", "the destination holds a different record under this id: destroy it there, then retry"


def parent_failed(parent_step: str) -> Reason:
    """Say that what a record belongs to isn't there."""
    return "parent_failed", f"it belongs to a record of {parent_step} that could not be written"


def parent_gone(parent_step: str) -> Reason:
    """Say that someone destroyed what a record belongs to."""
    return PARENT_GONE, f"it belongs to a record of {parent_step} that someone destroyed in the destination since"


def stays_away() -> Reason:
    """Say that a row stays without a record, as a person decided."""
    return "let_go", "somebody took its record away in the destination, and it was decided that it stays so"


def too_large(max_body_bytes: int) -> Reason:
    """Say that a record is larger than any call may be."""
    return "too_large", f"the record alone is larger than the {max_body_bytes:,} bytes that a call may have"
