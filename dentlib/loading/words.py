"""Reasons in words: the destination's own, cleared of patients' values, and ours with the way out."""

from __future__ import annotations

from typing import Any

from dentlib.errors import Refused
from dentlib.model import JSON

Reason = tuple[str, str]
"""(stable code, words)"""

_SHORTEST_VALUE = 3
_LONGEST_WORDS = 300


def refused_reason(refusal: Refused, record: JSON) -> Reason:
    """Say why the destination refused a record: its words with the record's values taken out, then ours."""
    code = refusal.code or "refused"
    words = f"the destination says: {without_values(refusal.message, record)}"
    hint = _OURS.get(_kind(refusal))
    return code, f"{words} ({hint})" if hint else words


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


def not_ours() -> Reason:
    """Say that another record has our id."""
    return "id_taken", "the destination holds a different record under this id: a rollback takes it away"


def parent_failed(parent_step: str) -> Reason:
    """Say that what a record belongs to isn't there."""
    return "parent_failed", f"it belongs to a record of {parent_step} that could not be written"


def too_large(max_body_bytes: int) -> Reason:
    """Say that a record is larger than any call may be."""
    return "too_large", f"the record alone is larger than the {max_body_bytes:,} bytes that a call may have"
