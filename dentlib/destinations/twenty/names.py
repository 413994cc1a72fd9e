"""Which names Twenty takes for objects and fields, so that a plan finds a conflict before the server does."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import orjson

_NAME = re.compile(r"[a-z][a-zA-Z0-9]*")
LONGEST_NAME = 63


@cache
def reserved() -> frozenset[str]:
    """Return the names that Twenty keeps for itself, for objects, fields and the lists of relations."""
    data = orjson.loads((Path(__file__).parent / "reserved_names.json").read_bytes())
    return frozenset(data["names"])


def fault_of(name: str) -> str:
    """Say in words why Twenty would refuse this name; empty where it would not."""
    if not _NAME.fullmatch(name):
        return f"`{name}` is not lower camel case of letters and digits"
    if len(name) > LONGEST_NAME:
        return f"`{name}` is longer than {LONGEST_NAME} characters"
    if name in reserved():
        return f"`{name}` is reserved by Twenty"
    return ""


def camel(label: str) -> str:
    """Return the name that Twenty makes of the label of a relation's other side: `Lab orders` → `labOrders`."""
    words = re.findall(r"[A-Za-z0-9]+", label)
    return "".join(w.lower() if n == 0 else w[:1].upper() + w[1:].lower() for n, w in enumerate(words))
