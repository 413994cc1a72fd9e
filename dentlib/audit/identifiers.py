"""Class each column by what it may identify, so that the privacy gate knows what may be shown of it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from dentlib.vocabulary.match import split_words
from dentlib.yamltext import read_yaml

PATTERN_SHARE = 0.5
MANY_DISTINCT = 50
MANY_DISTINCT_SHARE = 0.2
LONG_TEXT = 60


class _Signs(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    words: Mapping[str, tuple[str, ...]]
    patterns: Mapping[str, str]


@cache
def _signs() -> _Signs:
    return _Signs.model_validate(read_yaml(Path(__file__).with_name("identifiers.yaml")))


def patterns() -> Mapping[str, str]:
    """Return the regular expressions by class that values are counted against."""
    return _signs().patterns


def by_name(column: str) -> str:
    """Return the class that a header's words tell, or nothing."""
    words = split_words(column)
    compact = "".join(words)
    for name, signs in _signs().words.items():
        if compact in signs or any(w in signs for w in words):
            return name
    return ""


def classify(
    column: str,
    *,
    type: str,
    filled: int,
    distinct: int,
    longest: int,
    matches: Mapping[str, int],
) -> str:
    """Return the identifier class of a column that no vocabulary knows; empty means that it identifies nobody.

    Its values' pattern decides first, then the words of its header, then how many different values it has: text that is
    long or differs from row to row counts as free text, unique numbers as record numbers, any date as a date.
    """
    for name, rows in matches.items():
        # A number looks like a phone number; only its header can tell.
        could_be = name != "phone" or type == "text"
        if filled and could_be and rows > PATTERN_SHARE * filled:
            return name
    named = by_name(column)
    if type in ("date", "datetime"):
        return "date"
    if named and type in ("text", "integer", "decimal", "empty"):
        return named
    many = distinct > MANY_DISTINCT and distinct > MANY_DISTINCT_SHARE * filled
    if type == "text" and (longest > LONG_TEXT or many):
        return "free_text"
    return "record" if type == "integer" and filled and distinct == filled and distinct > 1 else ""
