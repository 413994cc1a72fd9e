"""Check a ledger, or a copy of one, from its first entry to its last, and say what was found."""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import orjson

from dentlib.clock import Clock
from dentlib.errors import LedgerDamaged, UsageError
from dentlib.loading.ledger import Ledger


@dataclass(frozen=True, slots=True)
class LogFacts:
    """What a check of a ledger found. `intact`: every entry is the one that was written, and none is missing.

    `head`: number and hash of the last entry, as reports print it: compare the two. `kinds`: entries by kind.
    """

    file: str
    intact: bool
    verdict: str
    way_out: str = ""
    engagement: str = ""
    workspace: str = ""
    entries: int = 0
    first_at: str = ""
    last_at: str = ""
    head: str = ""
    kinds: tuple[tuple[str, int], ...] = ()


def verify_log(path: Path, *, clock: Clock) -> LogFacts:
    """Walk the whole chain of a ledger, compare its end with the head noted beside it, and rebuild its tables.

    Reads only, also while a writer is at work; damage is told, not raised. Raises UsageError where there is no file.
    """
    if not path.exists() and not path.with_name(path.name + ".head").exists():
        raise UsageError(f"there is no ledger {path.name}", "nothing was written yet, or it lies in another place")
    engagement, workspace = _birth(path)
    try:
        with Ledger.open(path, workspace=None, engagement=engagement, clock=clock, read_only=True) as ledger:
            kinds = Counter[str]()
            for kind, rows in ledger.rows("SELECT kind, count(*) FROM entry GROUP BY 1"):
                kinds[kind] = rows
            first, last = next(ledger.rows("SELECT min(at), max(at) FROM entry"))
            entries = kinds.total()
            told = "1 entry" if entries == 1 else f"{entries:,} entries"
            return LogFacts(
                path.name, True, f"intact: {told}, none changed, none missing", "", engagement, workspace,
                entries, first or "", last or "", ledger.head, tuple(sorted(kinds.items())),
            )  # fmt: skip
    except LedgerDamaged as damage:
        return LogFacts(path.name, False, damage.message, damage.hint, engagement, workspace)


def _birth(path: Path) -> tuple[str, str]:
    """Return whose ledger it says it is, as far as that can be read; the chain is checked after."""
    if not path.exists():
        return "", ""
    try:
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            row = db.execute("SELECT body FROM entry WHERE kind = 'ledger' ORDER BY seq LIMIT 1").fetchone()
        finally:
            db.close()
        body = orjson.loads(row[0]) if row else {}
    except (sqlite3.DatabaseError, orjson.JSONDecodeError):
        body = {}
    workspace = body.get("workspace") or {}
    return str(body.get("engagement", "")), str(workspace.get("name", ""))
