"""What the journal says happened: runs, switches, schema changes, since the last rollback. Reads only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from dentlib.errors import GateClosed
from dentlib.facts import SwitchFacts
from dentlib.loading.ledger import Entry, Ledger
from dentlib.model import JSON


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run as the ledger knows it. `verdict` empty: it never ended, so the same run goes on."""

    run_id: str
    kind: str
    started_at: str
    ended_at: str
    verdict: str
    params: JSON
    seq: int


def runs(ledger: Ledger) -> list[RunRecord]:
    """Return all runs since the last rollback, oldest first; a run that was taken up again appears once."""
    found: dict[str, RunRecord] = {}
    for entry in ledger.entries("kind IN ('run', 'run_end') AND seq > ?", ledger.epoch, blocks=False):
        before = found.get(entry.run)
        if entry.kind == "run":
            started = before.started_at if before else entry.at
            found[entry.run] = RunRecord(
                entry.run, entry.body["kind"], started, "", "", entry.body["params"], entry.seq
            )
        elif before:
            found[entry.run] = RunRecord(
                before.run_id,
                before.kind,
                before.started_at,
                entry.at,
                entry.body["verdict"],
                before.params,
                before.seq,
            )
    return list(found.values())


def open_run(ledger: Ledger, kind: str) -> RunRecord | None:
    """Return the run of this kind that was begun and never ended: the one to go on with. None: begin a new one."""
    return next((r for r in reversed(runs(ledger)) if r.kind == kind and not r.verdict), None)


def last_run(ledger: Ledger, kind: str) -> RunRecord | None:
    """Return the newest run of this kind since the last rollback, ended or not."""
    return next((r for r in reversed(runs(ledger)) if r.kind == kind), None)


def switches_off(ledger: Ledger) -> list[JSON]:
    """Return the switches that are (or may be) off by our hand, as first found, in the order in which they went off."""
    off: dict[str, JSON] = {}
    for entry in ledger.entries("kind = 'switch' AND seq > ?", ledger.epoch, blocks=False):
        switch = entry.body["switch"]
        if entry.body["state"] == "on":
            off.pop(switch["id"], None)
        else:
            off.setdefault(switch["id"], switch)
    return list(off.values())


def switch_history(ledger: Ledger, run_id: str | None = None) -> tuple[SwitchFacts, ...]:
    """Tell of each switch when it went off and on again, and whether that was seen, since the last rollback.

    `run_id`: only those that this run switched off, whoever put them on again. One line for each time off.
    """
    lines: list[SwitchFacts] = []
    open_line: dict[str, int] = {}
    for entry in ledger.entries("kind = 'switch' AND seq > ?", ledger.epoch, blocks=False):
        switch, state = entry.body["switch"], entry.body["state"]
        at = datetime.fromisoformat(entry.at)
        number = open_line.get(switch["id"])
        if state == "on":
            if number is not None:
                lines[number] = replace(lines[number], on_at=at, verified=bool(entry.body.get("seen")))
                del open_line[switch["id"]]
        elif number is None:
            if run_id is not None and entry.run != run_id:
                continue
            open_line[switch["id"]] = len(lines)
            lines.append(SwitchFacts(switch["label"], off_at=at))
        elif state == "seen_off":
            lines[number] = replace(lines[number], off_seen=True)
    return tuple(lines)


def schema_changes(ledger: Ledger) -> list[tuple[Entry, JSON | None]]:
    """Return our schema changes that still stand: (intent, recipe to undo it; None: not known to have happened).

    Those that a rollback had to keep stand as well: the next one tries again.
    """
    standing: dict[int, tuple[Entry, JSON | None]] = {}
    wanted = "kind IN ('schema', 'schema_done', 'schema_undone')"
    for entry in ledger.entries(wanted, blocks=False):
        if entry.kind == "schema":
            standing[entry.seq] = (entry, None)
        elif entry.kind == "schema_done":
            standing[entry.body["call"]] = (standing[entry.body["call"]][0], entry.body["recipe"])
        else:
            standing.pop(entry.body["call"], None)
    return list(standing.values())


def baseline(ledger: Ledger) -> JSON | None:
    """Return the picture taken before the first write since the last rollback that kept nothing, or None."""
    complete = ledger.last("kind = 'rollback_end' AND coalesce(body ->> 'kept', 0) = 0")
    since = complete.seq if complete else 0
    entry = ledger.last("kind = 'snapshot' AND body ->> 'moment' = 'before' AND seq > ?", since)
    return entry.body["snapshot"] if entry else None


def rolled_back_at(ledger: Ledger) -> str | None:
    """Tell when the last rollback ended, where nothing was written since; else None."""
    epoch = ledger.epoch
    if not epoch or ledger.last("kind IN ('call', 'schema') AND seq > ?", epoch):
        return None
    return ledger.entry(epoch).at


def require_no_unfinished_rollback(ledger: Ledger) -> None:
    """Raise GateClosed where a rollback was begun and didn't end: a write now would mix two states."""
    begun = ledger.last("kind = 'rollback' AND seq > ?", ledger.epoch)
    if begun is not None:
        raise GateClosed(f"the rollback of {begun.at} was not finished", "run the rollback again; it goes on")
