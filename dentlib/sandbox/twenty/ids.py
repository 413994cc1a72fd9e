"""Ids the way Postgres and TypeORM make and check them."""

from __future__ import annotations

import hashlib
import os
import re
import uuid
from functools import lru_cache

_UUID = re.compile(
    r"(?:[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    r"|0{8}-0{4}-0{4}-0{4}-0{12}|f{8}-f{4}-f{4}-f{4}-f{12})",
    re.IGNORECASE,
)
_NAMESPACE = uuid.UUID("5f1d0c4e-8a57-4c5b-9a27-1c2f5e7d9b10")


def is_uuid(text: str) -> bool:
    """Tell whether this is a UUID with dashes and with valid version and variant digits, in any case."""
    return _UUID.fullmatch(text) is not None


def new_ids(count: int) -> list[str]:
    """Make random version 4 ids, cheaply in bulk."""
    raw = os.urandom(16 * count).hex()
    return [
        f"{h[:8]}-{h[8:12]}-4{h[13:16]}-{'89ab'[int(h[16], 16) & 3]}{h[17:20]}-{h[20:]}"
        for h in (raw[at : at + 32] for at in range(0, 32 * count, 32))
    ]


def ordered_ids(count: int, now_ms: int) -> list[str]:
    """Make version 7 ids, which sort by time: rows that nobody names are then written side by side."""
    head = f"{now_ms:012x}"
    raw = os.urandom(10 * count).hex()
    return [
        f"{head[:8]}-{head[8:]}-7{h[1:4]}-{'89ab'[int(h[4], 16) & 3]}{h[5:8]}-{h[8:]}"
        for h in (raw[at : at + 20] for at in range(0, 20 * count, 20))
    ]


def new_id() -> str:
    """Make one random version 4 id."""
    return new_ids(1)[0]


@lru_cache(maxsize=8192)
def stable_id(*parts: str) -> str:
    """Derive an id from names: the same names give the same id in every workspace."""
    return str(uuid.uuid5(_NAMESPACE, "/".join(parts)))


def constraint_name(prefix: str, table: str, column: str) -> str:
    """Name a constraint: a prefix and 27 hex digits, stable per table and column."""
    return f"{prefix}_{hashlib.sha1(f'{table}_{column}'.encode(), usedforsecurity=False).hexdigest()[:27]}"
