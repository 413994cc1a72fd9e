"""The privacy gate: what may be shown of a value, and how exported text is made harmless in HTML and spreadsheets.

Masking follows the identifier classes of HIPAA Safe Harbor (45 CFR 164.514(b)(2)): a value of an identifying column is
never shown; its shape is (letters as `a`/`A`, digits as `9`), shortened, so that a reader sees what kind it is.
"""

from __future__ import annotations

import re
from typing import Any

SMALL_CELL = 5
"""Frequencies below this are not shown: a value that few people have identifies them."""

IDENTIFYING = frozenset(
    {"name", "geography", "date", "phone", "fax", "email", "ssn", "record", "plan", "account", "licence", "vehicle"}
    | {"device", "url", "ip", "biometric", "photo", "code", "free_text", "file_name"}
)
"""Identifier classes whose values never leave unmasked."""

_FORMULA_START = ("=", "+", "-", "@", "\t", "\r", "\n", "|")
_SECRET = re.compile(r"(?i)(bearer\s+|api[_-]?key[=:]\s*|token[=:]\s*|password[=:]\s*)[^\s,;\"']+")
_URL_LOGIN = re.compile(r"(://[^/\s:@]+:)[^@\s/]+@")


def mask(value: str | None, identifier_class: str = "free_text", longest: int = 24) -> str:
    """Return the shape of a value: `Ana O'Neil` → `Aaa A'Aaaa`. Not reversible; empty stays empty.

    Values of columns that identify nobody (`identifier_class` empty) are returned as they are, cut to `longest`.
    """
    if value is None or value == "":
        return ""
    shown = value if not identifier_class else "".join(_shape(c) for c in value[: longest + 1])
    return shown if len(shown) <= longest else shown[:longest] + "…"


def _shape(character: str) -> str:
    if character.isdigit():
        return "9"
    if character.isalpha():
        return "A" if character.isupper() else "a"
    return " " if character.isspace() else character if character in ".,-/@'()+:" else "·"


def redact(text: str) -> str:
    """Take secrets out of a text that will be logged or raised: bearer tokens, keys, passwords in URLs."""
    return _URL_LOGIN.sub(r"\1***@", _SECRET.sub(r"\1***", text))


def for_spreadsheet(value: Any) -> Any:
    """Return a cell that no spreadsheet program takes for a formula: a leading `= + - @ | tab` gets an apostrophe.

    Numbers and dates are returned unchanged.
    """
    if isinstance(value, str) and value.startswith(_FORMULA_START):
        return "'" + value
    return value
