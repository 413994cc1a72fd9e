"""What is killed: a first load, a later round, decisions after it, the way back. Each may be called again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import httpx
import practice

from dentlib.clock import SystemClock
from dentlib.destinations.twenty import TwentyDestination, open_twenty
from dentlib.loading import (
    Choice,
    Ledger,
    Mark,
    Patience,
    apply_schema,
    decide,
    list_undecided,
    load,
    plan_delta,
    probe,
    rollback,
    switches_off,
    write_audit_log,
)
from dentlib.model import JSON


class QuickClock(SystemClock):
    """The machine's clock on which waiting takes next to no time, also for the one who asks how much has gone by."""

    def __init__(self) -> None:
        self._slept_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self._slept_s

    def sleep(self, seconds: float) -> None:
        super().sleep(min(seconds, 0.002))
        self._slept_s += max(0.0, seconds - 0.002)


def small_batches() -> None:
    """Make every batch of a `TwentyDestination` small, so that a tiny practice needs many of them."""
    probed = TwentyDestination.capabilities.fget  # type: ignore[attr-defined]

    def capabilities(self: TwentyDestination) -> Any:
        return replace(probed(self), batch_rows=practice.BATCH_ROWS)

    TwentyDestination.capabilities = property(capabilities)  # type: ignore[assignment, method-assign]


@dataclass
class World:
    """An engagement's folder beside a running workspace."""

    folder: Path
    url: str
    key: str
    clock: Any
    timeout_s: float = 10.0

    def __post_init__(self) -> None:
        self.twenty = open_twenty(self.url, self.key, clock=self.clock, calls_per_minute=None, timeout_s=self.timeout_s)
        self.ledger = Ledger.open(
            self.folder / "ledger.sqlite",
            workspace=self.twenty.workspace(),
            engagement=practice.ENGAGEMENT,
            clock=self.clock,
            wait_s=5,
        )
        self.steps = practice.steps(file_field(self.twenty))

    def work(self, round_: int) -> duckdb.DuckDBPyConnection:
        """Open the work store of a round, prepared beforehand."""
        return duckdb.connect(str(self.folder.parent / f"work-{round_}.duckdb"), read_only=True)

    def close(self) -> None:
        self.ledger.close()
        self.twenty.close()


def file_field(twenty: TwentyDestination) -> str:
    """Return the field of an attachment that holds its file in this version."""
    fields = twenty.describe().objects["attachment"].fields
    return "file" if "file" in fields else "fullPath"


def forward(world: World) -> list[Any]:
    """Schema, probe, sample, run: whatever was done is not done again."""
    con, ledger, twenty = world.work(0), world.ledger, world.twenty
    apply_schema(ledger, twenty, twenty.plan(practice.WANTED), clock=world.clock)
    if not ledger.live_counts():
        facts = probe(ledger, twenty, con, world.steps, clock=world.clock)
        assert all(f.same for f in facts.fields), [f for f in facts.fields if not f.same]
    more: Any = {"clock": world.clock}
    load(ledger, twenty, con, world.steps, run_id="sample-1", kind="sample", only_sample=True, **more)
    done = load(ledger, twenty, con, world.steps, run_id="run-1", kind="run", **more)
    return [*map(repr, done.steps), *map(repr, done.reasons)]


def later(world: World) -> list[Any]:
    """A later round: what was created and changed is written, what somebody changed stays, the rest is listed."""
    con, ledger = world.work(1), world.ledger
    gone = plan_delta(ledger, con, world.steps).deletions
    done = load(ledger, world.twenty, con, world.steps, run_id="delta-1", kind="delta", clock=world.clock)
    listed = list_undecided(ledger, world.twenty, gone, run_id=done.run_id, patience=Patience(world.clock))
    conflicts = [[c.step, c.source_key, c.field] for c in listed.conflicts]
    missing = [[m.step, m.source_key] for m in listed.missing]
    choices = [[c.ref, c.record_id, c.field, "ours", ""] for c in listed.conflicts]
    choices += [[m.ref, m.record_id, "", "mark" if m.source_key == "6" else "delete", ""] for m in listed.missing]
    (world.folder / "choices.json").write_text(json.dumps(choices))
    assert len(conflicts) == 1, conflicts
    assert len(missing) == 4, missing
    return [*map(repr, done.steps), *sorted(conflicts), *sorted(missing)]


def decided(world: World) -> list[Any]:
    """What a person decided about it: ours instead of theirs, records destroyed, one marked."""
    choices = [Choice(*row) for row in json.loads((world.folder / "choices.json").read_text())]
    carried = decide(
        world.ledger,
        world.twenty,
        choices,
        marks={"visits": Mark("title", "Gone")},
        by="A. Analyst",
        run_id="decide-1",
        clock=world.clock,
    )
    assert not carried.refused, carried.refused
    return sorted((carried.done + carried.already).items())


def back(world: World) -> list[Any]:
    """Everything back."""
    facts = rollback(world.ledger, world.twenty, clock=world.clock)
    assert facts.differences == (), facts.differences
    return [list(facts.kept)]


SCENARIOS: dict[str, Callable[[World], list[Any]]] = {
    "load": forward,
    "delta": later,
    "decide": decided,
    "back": back,
}
BEGINS_AFTER = {"load": "", "delta": "load", "decide": "delta", "back": "decide"}
"""Scenario → the one whose undisturbed end it begins with."""


def after(scenario: str, twenty: TwentyDestination) -> None:
    """Do what people do in the CRM after a scenario: somebody renames a patient that the next round changes too."""
    if scenario == "load":
        rid = practice.rid("patients", 3)
        twenty.update("person", rid, {"jobTitle": "a friend of the house"}, "theirs_1")


def others(twenty: TwentyDestination, url: str, key: str) -> None:
    """Fill a workspace with records of somebody else: e-mails that we have too, one in the bin; two that we match."""
    emails = {1: "theirs@example.com", 2: "binned@example.com", 12: "ana.2@example.com"}
    people: list[JSON] = [
        {
            "id": practice.rid("others", n),
            "name": {"firstName": "Tea", "lastName": "Their"},
            "emails": {"primaryEmail": email},
            "jobTitle": "their friend",
        }
        for n, email in emails.items()
    ]
    twenty.create("person", people, "theirs_2")
    twenty.create("company", [{"id": practice.rid("others", 11), "name": "Carrier Three"}], "theirs_3")
    body = {"query": f'mutation {{ deletePerson(id: "{people[1]["id"]}") {{ id }} }}'}
    headers = {"Authorization": f"Bearer {key}"}
    answer = httpx.post(f"{url}/graphql", json=body, headers=headers, trust_env=False).json()
    assert "errors" not in answer, answer


def run_once(folder: Path, scenario: str, url: str, key: str, *, clock: Any = None, timeout_s: float = 10.0) -> JSON:
    """Run a scenario in a folder and tell what the ledger has to say afterwards."""
    world = World(folder, url, key, clock or QuickClock(), timeout_s)
    steps = SCENARIOS[scenario](world)
    told = {
        "steps": steps,
        "off": switches_off(world.ledger),
        "open": len(world.ledger.open_calls()),
        "live": world.ledger.live_counts(),
        "has log": write_audit_log(world.ledger, folder / "audit.csv") > 0,
    }
    world.close()
    Ledger.open(  # opening again walks the whole chain and compares the projections
        folder / "ledger.sqlite", workspace=None, engagement=practice.ENGAGEMENT, clock=SystemClock(), read_only=True
    ).close()
    return told
