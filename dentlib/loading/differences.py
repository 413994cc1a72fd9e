"""Say why a stored value is not the one that was sent, by working the explanation out again. Pure; never a guess.

`identical` and `normalised`: the destination's documented form of what was sent, computed anew, is what is stored.
`truncated`: what is stored is the beginning of what was sent. `defaulted`: nothing was sent, and the field's declared
default is stored. `lost`: something was sent, nothing is stored. Everything else is `unexplained` until evidence from
elsewhere (who wrote the record last, which conflicts were left alone) explains it.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

from dentlib.loading.readback import blocks_of, is_empty, normalise_equal


class Kind(StrEnum):
    """What became of a field's value."""

    IDENTICAL = "identical"
    NORMALISED = "normalised"
    TRUNCATED = "truncated"
    DEFAULTED = "defaulted"
    LOST = "lost"
    CHANGED = "changed"  # by a person in the destination, after our last write
    KEPT = "kept"  # somebody's value that was left alone, as the ledger lists
    LISTED = "listed"  # the whole record: somebody removed it, as the ledger lists
    UNEXPLAINED = "unexplained"


SAME = (Kind.IDENTICAL, Kind.NORMALISED)
THEIRS = (Kind.CHANGED, Kind.KEPT)
"""Not ours to answer for: taken out of both sides of sums, groups and links."""


def explain(intended: Any, stored: Any, field_type: str, default: Any = None) -> tuple[Kind, str]:
    """Return what kind of difference there is between what was sent and what is stored, and how, in words.

    `field_type`: the destination's type of the field. `default`: what the destination declares for it. The words name
    parts and forms, never a value.
    """
    if intended == stored:
        return Kind.IDENTICAL, ""
    same, how = normalise_equal(intended, stored, field_type)
    if same:
        return (Kind.NORMALISED if how else Kind.IDENTICAL), how  # parts that were not sent make no other form
    if is_empty(intended):
        if not is_empty(default) and normalise_equal(default, stored, field_type)[0]:
            return Kind.DEFAULTED, "nothing was sent, the default is stored"
        return Kind.UNEXPLAINED, how
    if is_empty(stored):
        return Kind.LOST, how
    if _parts_lost(intended, stored, field_type):
        return Kind.LOST, how
    if _is_cut(intended, stored, field_type):
        return Kind.TRUNCATED, "only the beginning is stored"
    return Kind.UNEXPLAINED, how


def _parts_lost(intended: Any, stored: Any, field_type: str) -> bool:
    """Tell whether a composite differs by nothing but parts that are empty in the destination."""
    if field_type.startswith("RICH_TEXT") or not isinstance(intended, dict) or not isinstance(stored, dict):
        return False
    lost = {n for n, v in intended.items() if not is_empty(v) and is_empty(stored.get(n))}
    kept = {n: v for n, v in intended.items() if n not in lost}
    return bool(lost) and normalise_equal(kept, {n: stored.get(n) for n in kept}, field_type)[0]


def _is_cut(intended: Any, stored: Any, field_type: str) -> bool:
    if field_type.startswith("RICH_TEXT") and isinstance(intended, dict) and isinstance(stored, dict):
        return _text_is_cut(_written(intended), _written(stored, like=intended))
    if isinstance(intended, dict) and isinstance(stored, dict):
        cut = [n for n, v in intended.items() if _is_cut(v, stored.get(n), "")]
        rest = {n: v for n, v in intended.items() if n not in cut}
        return bool(cut) and normalise_equal(rest, {n: stored.get(n) for n in rest}, field_type)[0]
    if isinstance(intended, list) and isinstance(stored, list):
        return 0 < len(stored) < len(intended) and stored == intended[: len(stored)]
    if isinstance(intended, str) and isinstance(stored, str):
        return _text_is_cut(intended, stored)
    return _number_is_cut(intended, stored)


def _text_is_cut(intended: str, stored: str) -> bool:
    return 0 < len(stored) < len(intended) and intended.startswith(stored)


def _number_is_cut(intended: Any, stored: Any) -> bool:
    """Tell whether digits behind the point were dropped."""
    if isinstance(intended, bool) or not isinstance(intended, int | float):
        return False
    try:
        sent, kept = Decimal(str(intended)), Decimal(str(stored))
    except InvalidOperation:
        return False
    return sent != kept and sent.is_finite() and kept == sent.to_integral_value(rounding="ROUND_DOWN")


def _written(rich: dict[str, Any], like: dict[str, Any] | None = None) -> str:
    """Return a rich text's words: of its blocks where blocks were sent, else its markdown."""
    if (like or rich).get("blocknote"):
        return "\n".join(text for _, text in blocks_of(rich.get("blocknote")))
    return str(rich.get("markdown") or "").strip()
