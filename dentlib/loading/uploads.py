"""Forget the uploads of a load that is rolled back. A file goes with its record."""

from __future__ import annotations

import orjson

from dentlib.loading.ledger import Ledger
from dentlib.loading.patience import Hook, Patience, no_hook
from dentlib.model import Destination


def unused_uploads(ledger: Ledger) -> list[tuple[str, str]]:
    """Return (step, source key) of files that were uploaded, but whose record was never written."""
    sql = """
        SELECT u.step, u.source_key FROM upload AS u LEFT JOIN current AS c USING (step, source_key)
        WHERE u.state <> 'void' AND c.state IS NULL ORDER BY 1, 2
    """
    return [(step, key) for step, key in ledger.rows(sql)]


def void_uploads(ledger: Ledger, destination: Destination, *, patience: Patience, hook: Hook = no_hook) -> int:
    """Mark every upload as void, so that a later run sends its file again; return how many."""
    found = list(ledger.rows("SELECT step, source_key, sha256, ticket FROM upload WHERE state <> 'void'"))
    with ledger.transaction():
        for step, key, sha256, ticket in found:
            body = {"step": step, "key": key, "sha256": sha256, "ticket": orjson.loads(ticket), "state": "void"}
            ledger.append("upload", body)
    hook("uploads void")
    return len(found)
