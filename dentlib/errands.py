"""What is done beside the main line: settings, where an engagement stands, and errands before and after a run.

Each opens its own desk where it needs one, like a stage, and returns plain data that the command line prints.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dentlib import approvals, loading
from dentlib import assembly as make
from dentlib import telling as tell
from dentlib.approvals import Approval
from dentlib.clock import Clock, SystemClock
from dentlib.desk import open_desk
from dentlib.engagement import Engagement
from dentlib.facts import PreviewFacts
from dentlib.loading import Ledger
from dentlib.model import Progress
from dentlib.results import StageResult, finish, tells_its_errors


def configure(name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Change settings (dotted names for the destination's) and return them all. Keys are only ever referred to."""
    engagement = Engagement.open(name)
    settings = engagement.configure(changes) if changes else engagement.settings
    return settings.model_dump(mode="json")


@tells_its_errors
def preview(name: str, *, clock: Clock | None = None, progress: Progress | None = None) -> StageResult[PreviewFacts]:
    """Say what a run would do, how long it takes and what reacts to it. Wants an approved map; writes no record.

    Exit code 1 while something is undecided that closes the gate to the run.
    """
    with open_desk(name, "preview", clock=clock, progress=progress) as desk:
        now = make.approved(desk, "map")
        prepared = make.prepared_records(desk, now)
        facts = tell.preview_facts(desk, prepared)
        ends = f", ends about {facts.forecast.ends_at:%Y-%m-%d %H:%M}" if facts.forecast.ends_at else ""
        minutes = "" if facts.forecast.minutes is None else f", {facts.forecast.minutes:,} minutes"
        lines = [
            f"{facts.forecast.records:,} records to write in {facts.forecast.calls:,} calls, about "
            f"{facts.forecast.reading:,} more to read back{minutes}{ends}",
            *(f"{r.label}: can't be switched off ({r.detail})" for r in facts.reactions),
        ]
        return finish(
            desk.engagement,
            "preview",
            facts,
            ["preview"],
            clock=desk.clock,
            exit_code=1 if facts.undecided else 0,
            notes={"verdict": "nothing is written yet", "lines": lines},
        )


def status(name: str, *, clock: Clock | None = None) -> dict[str, Any]:
    """Say where an engagement stands and what comes next. Reads only; asks no CRM."""
    engagement = Engagement.open(name)
    given = {what: approvals.latest(engagement.approvals_file, what) for what in ("map", "sample")}
    told: dict[str, Any] = {
        "engagement": name,
        "client": engagement.settings.client,
        "source": engagement.settings.source,
        "destination": engagement.settings.destination.url or f"built-in {engagement.settings.destination.product}",
        "round": (engagement.rounds() or ["none"])[-1],
        "undecided": list(engagement.settings.undecided()),
        **{
            what: f"approved by {a.by} at {a.at:%Y-%m-%d %H:%M} UTC" if a else "not approved"
            for what, a in given.items()
        },
        "run": "none",
        "live_records": 0,
    }
    ledgers = sorted(engagement.folder("ledgers").glob("*.sqlite"), key=lambda p: p.stat().st_mtime)
    if ledgers:
        with Ledger.open(
            ledgers[-1], workspace=None, engagement=name, clock=clock or SystemClock(), read_only=True
        ) as ledger:
            ran = loading.runs(ledger)
            told["live_records"] = sum(ledger.live_counts().values())
            if ran:
                told["run"] = f"{ran[-1].run_id}: {ran[-1].verdict or 'not ended, goes on with the same command'}"
            back = loading.rolled_back_at(ledger)
            if back and not ran:
                told["run"] = f"rolled back at {back}"
            told["complete"] = bool(ran) and ran[-1].kind in ("run", "delta") and bool(ran[-1].verdict)
    told["next"] = _next(name, told, given)
    return told


def _next(name: str, told: Mapping[str, Any], given: Mapping[str, Approval | None]) -> str:
    if given["map"] is None:
        return f'dentlib audit {name}, dentlib review {name}, dentlib approve {name} map --by "A. Analyst"'
    if given["sample"] is None:
        return f'dentlib sample {name}, dentlib approve {name} sample --by "A. Analyst"'
    return f"dentlib delta {name} --export …" if told.get("complete") else f"dentlib run {name}"
