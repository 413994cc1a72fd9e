"""Write the audit log: one line per operation on a record, and per row that got none, from the ledger alone."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dentlib.loading.ledger import Entry, Ledger
from dentlib.loading.restoring import GIVEN_BACK, LEFT, RESTORED
from dentlib.privacy import for_spreadsheet

COLUMNS = (
    "time", "run", "kind", "step", "source_id", "destination_id", "object", "operation", "outcome", "code", "reason",
    "ledger_entry",
)  # fmt: skip

_OUTCOMES = {
    ("create", True): "created",
    ("update", True): "updated",
    ("adopt", True): "unchanged",
    ("destroy", True): "destroyed",
}

_LET_GO = {RESTORED: "put back", LEFT: "left as it is", GIVEN_BACK: "let go", "gone": "was gone"}
"""What became of records that a rollback didn't destroy, by the tag of its call."""


def write_audit_log(ledger: Ledger, path: Path) -> int:
    """Write `path` (CSV, UTF-8, one header line) in the order of the ledger and return the number of lines.

    Streamed; replaces the file only when it is complete. No cell can act as a formula in a spreadsheet program. Holds
    source ids, destination ids and reasons, no other value of a record.
    """
    fresh = path.with_name(path.name + ".new")
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = 0
    with os.fdopen(
        os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8", newline=""
    ) as f:
        writer = csv.writer(f)
        writer.writerow(COLUMNS)
        for line in audit_lines(ledger):
            writer.writerow([for_spreadsheet(cell) for cell in line])
            lines += 1
    fresh.replace(path)
    return lines


def audit_lines(ledger: Ledger) -> Iterator[tuple[Any, ...]]:
    """Yield the lines, as tuples in the order of `COLUMNS`."""
    kinds: dict[str, str] = {}
    for entry in ledger.entries("kind IN ('run', 'done', 'rows', 'decision')", blocks=False):
        if entry.kind == "run":
            kinds[entry.run] = entry.body["kind"]
        elif entry.kind == "done":
            yield from _of_call(entry, ledger.entry(entry.body["call"]), kinds)
        elif entry.kind == "decision":
            yield from _of_decision(entry, ledger)
        else:
            yield from _of_rows(entry, kinds)


def _of_call(done: Entry, call: Entry, kinds: dict[str, str]) -> Iterator[tuple[Any, ...]]:
    step, op = call.body["step"], call.body["op"]
    failed = {key: (code, words) for key, code, words in done.body["failed"]}
    unwritten = set(done.body["unwritten"])
    kind = kinds.get(call.run, "") or ("probe" if step.startswith("probe:") else _kind_of(call.run))
    for key, rid, _ in call.body["rows"]:
        if key in unwritten:
            continue  # sent again, or in halves: that is another call, with a line of its own
        code, reason = failed.get(key, ("", ""))
        outcome = "failed" if key in failed else _LET_GO.get(call.body["tag"], _OUTCOMES[op, True])
        if done.body["result"] == "found" and op == "create":
            reason = "the answer was lost; found when read back"
        yield (
            done.at, call.run, kind, step, key, rid, call.body["object"], op, outcome, code, reason, done.seq
        )  # fmt: skip


def _kind_of(run: str) -> str:
    """Name what has no run of its own: decisions, owners assigned anew, a rollback."""
    return run.partition("-")[0] or "rollback"


def _of_decision(entry: Entry, ledger: Ledger) -> Iterator[tuple[Any, ...]]:
    """Yield who decided what about a listed row. A conflict that was found to be none any more is nobody's decision."""
    for listing, number, decision in entry.body["rows"] if entry.body["by"] else ():
        listed = ledger.entry(listing)
        row = listed.body["rows"][number - 1]
        step, key, rid, name = (listed.body["step"], *row[:3]) if listed.kind == "conflicts" else row[:4]
        about = f"{row[3]}: " if listed.kind == "conflicts" else f"{row[4]}: "
        yield (
            entry.at, entry.run, _kind_of(entry.run), step, key, rid, name, "none", decision, "decision",
            f"{about}decided by {entry.body['by']}", entry.seq,
        )  # fmt: skip


def _of_rows(entry: Entry, kinds: dict[str, str]) -> Iterator[tuple[Any, ...]]:
    step, outcome = entry.body["step"], entry.body["outcome"]
    for row in entry.body["rows"]:
        key, rid, code, reason, file, number = row[:6]
        where = f" ({file}, row {number})" if file else ""
        yield (
            entry.at, entry.run, kinds.get(entry.run, ""), step, key or "", rid or "", "", "none", outcome, code or "",
            f"{reason or ''}{where}", entry.seq,
        )  # fmt: skip
