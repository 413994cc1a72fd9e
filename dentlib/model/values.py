"""Shared nouns: ids and hashes, problems, outcomes, progress."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import orjson

JSON = dict[str, Any]

ID_NAMESPACE = uuid.UUID("6d1f8f0e-4f3f-5b0a-9c57-0d3e5b1c7a42")
"""Namespace of every deterministic record id. Changing it would orphan all ledgers ever written."""


def record_id(engagement: str, step: str, source_key: str) -> str:
    """Return the record id that this source row gets in this step: UUIDv5, the same on every machine and run.

    DuckDB's equal: sha1(from_hex(<namespace>) || encode('<engagement>|<step>|<key>')), cut to 16 bytes, with
    version 5 and variant bits set. `tests/test_model.py` compares the two.
    """
    return str(uuid.uuid5(ID_NAMESPACE, f"{engagement}|{step}|{source_key}"))


def content_hash(value: Any) -> str:
    """Return sha256 (hex) of a value's canonical JSON (sorted keys); for gates, never for patients' row hashes."""
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)).hexdigest()


class Severity(StrEnum):
    """How bad a finding or problem is."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, where, and the way out. Never holds a patient's value."""

    code: str
    where: str
    message: str
    hint: str = ""
    severity: Severity = Severity.ERROR
    count: int = 1


class Outcome(StrEnum):
    """What became of a source row in a step. Exactly one each; they add up to the rows read."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    MERGED = "merged"
    REJECTED = "rejected"
    EXCLUDED = "excluded"
    FAILED = "failed"


class Progress(Protocol):
    """Where long work says how far it is. Implementations: terminal, notebook, file, silence."""

    def start(self, task: str, total: int | None, unit: str = "rows") -> None:
        """Begin a task of `total` units (None: not known)."""
        ...

    def advance(self, task: str, by: int = 1) -> None:
        """Say that `by` more units are done."""
        ...

    def finish(self, task: str, note: str = "") -> None:
        """End a task."""
        ...


class Silence:
    """Progress that goes nowhere."""

    def start(self, task: str, total: int | None, unit: str = "rows") -> None:
        """Ignore."""

    def advance(self, task: str, by: int = 1) -> None:
        """Ignore."""

    def finish(self, task: str, note: str = "") -> None:
        """Ignore."""
