"""Three rounds of exports on the built-in sandbox, people at work in the CRM meanwhile, and every kind of decision."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from dentlib import errands, samples, stages
from dentlib.desk import open_desk
from dentlib.engagement import Engagement
from dentlib.errors import GateClosed, UsageError
from dentlib.sandbox.twenty.snapshot import differences, dump_state

SETTINGS = {
    "client": "Bright Smile",
    "time_zone": "America/Los_Angeles",
    "currency": "USD",
    "phone_country": "US",
    "languages": ["en"],
    "fallback_owner": "admin@brightsmile.example",
    "destination.sandbox_limits": "off",
    "sample_rows": 40,
}
PATIENTS = 40
MARK = "steps:\n  appointments:\n    deletions: {mark: {field: removedInSource, value: DELETED}}\n"


def fill(file: Path, column: str, how: Callable[[dict[str, str]], str | None]) -> Path:
    """Fill a column of a file in, as a person does."""
    with file.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        row[column] = how(row) or row[column]
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return file


def by_hand(name: str, change: Callable[[Any], Any]) -> Any:
    """Do something in the workspace as somebody who works there."""
    with open_desk(name, "by hand") as desk:
        return change(desk)


@pytest.mark.law
def test_rounds_decisions_owners_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What changed arrives, what others changed stays, what was decided happens once; in the end all is as before."""
    monkeypatch.setenv("DENTLIB_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DENTLIB_RUN_DIR", raising=False)
    known: dict[int, Any] = {}
    for number in (1, 2, 3):
        samples.write_samples("dent-o-soft", tmp_path / str(number), PATIENTS, 11, round=number)
        if number > 1:
            known[number] = orjson.loads((tmp_path / str(number) / "known-trouble.json").read_bytes())["delta"]
    stages.new("x", source="dent-o-soft", destination="twenty", export=tmp_path / "1", settings=SETTINGS)
    engagement = Engagement.open("x")
    stages.review("x")
    text = engagement.map_file.read_text(encoding="utf-8")
    engagement.map_file.write_text(text.replace("steps: {}\n", MARK), encoding="utf-8")
    before = dump_state(engagement.root / "sandbox-twenty.sqlite")
    stages.approve("x", "map", by="A. Analyst")
    stages.sample("x")
    stages.approve("x", "sample", by="A. Analyst")
    first = stages.run("x")
    assert first.exit_code == 0

    # ---- somebody works in the CRM; the second export ---------------------------------------------------------------
    keys = known[2]["Patients"]["changed_keys"]

    def work_there(desk: Any) -> dict[str, str]:
        there = {c.source_key: c.record_id for c in desk.ledger.records("patients") if c.source_key in keys}
        for number, rid in enumerate(there.values()):
            theirs = {
                "homeAddress": {"addressStreet1": f"Their Street {number}"},
                "phones": {"primaryPhoneNumber": f"415555990{number}", "primaryPhoneCountryCode": "US"},
                "emails": {"primaryEmail": f"theirs{number}@example.com"},
            }
            desk.destination.update("person", rid, theirs, "by_hand")
        return there

    touched = by_hand("x", work_there)
    assert touched
    second = stages.delta("x", export=tmp_path / "2")
    assert all(s.adds_up for s in second.facts.steps)
    by_step = {s.step: s for s in second.facts.steps}
    assert by_step["appointments"].created == known[2]["Appointments"]["created"]
    assert {c["record_id"] for c in second.notes["conflicts"]} <= set(touched.values())
    conflicts = fill(second.folder / "conflicts.csv", "decision", lambda r: "theirs")
    assert len(second.notes["conflicts"]) >= len(touched), "each of them was changed on both sides"
    deletions = second.folder / "deletions.csv"
    assert deletions.stat().st_mode & 0o777 == 0o600

    def how(row: dict[str, str]) -> str:
        if row["step"] in ("appointments", "appointment_links"):
            return "mark" if row["step"] == "appointments" else "keep"
        return "delete"

    fill(deletions, "decision", how)
    rehearsed = errands.decide("x", [deletions], by="A. Analyst", dry_run=True)
    told = errands.decide("x", [deletions], by="A. Analyst")
    assert told["done"] == rehearsed["done"]
    assert errands.decide("x", [conflicts], by="A. Analyst")["done"] == {"theirs": len(second.notes["conflicts"])}
    assert told["done"]["mark"] >= 1
    assert told["done"]["delete"] >= 1
    again = errands.decide("x", [deletions], by="A. Analyst")
    assert not again["done"]
    assert again["already"] == told["done"]

    # ---- the third export ----------------------------------------------------------------------------------------
    third = stages.delta("x", export=tmp_path / "3")
    assert all(s.adds_up for s in third.facts.steps)
    settled = dict(third.facts.settled)
    assert settled["mark"] == told["done"]["mark"]
    assert settled["keep"] == told["done"]["keep"]
    assert settled["theirs"] == len(second.notes["conflicts"])
    by_step = {s.step: s for s in third.facts.steps}
    assert by_step["appointments"].created == known[3]["Appointments"]["created"]

    # ---- owners --------------------------------------------------------------------------------------------------
    listed = errands.owners("x")
    member = next(m for m in listed["members"] if m != SETTINGS["fallback_owner"])
    person = max(
        (o for o in listed["owners"] if o["how"] == "fallback" and o["source_key"]), key=lambda o: o["records"]
    )
    file = Path(listed["file"])
    with pytest.raises(UsageError, match="member_email: this e-mail is no member"):
        errands.reassign_owners("x", fill(file, "member_email", lambda r: "x@y.example"), by="A. Analyst")
    file = Path(errands.owners("x")["file"])
    fill(file, "member_email", lambda r: member if r["source_key"] == person["source_key"] else None)
    given = errands.reassign_owners("x", file, by="A. Analyst")
    assert sum(given["changed"].values()) == person["records"]
    quiet = stages.delta("x")
    assert sum(s.created + s.updated + s.failed for s in quiet.facts.steps) == 0, "the map keeps the assignment"

    back = stages.rollback("x", yes=True)
    assert back.facts.differences == ()
    assert differences(before, dump_state(engagement.root / "sandbox-twenty.sqlite")) == {}


@pytest.mark.law
def test_nobody_is_undecided_before_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a fallback owner who is a member the gate is closed, and a placeholder in the map opens it."""
    monkeypatch.setenv("DENTLIB_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DENTLIB_RUN_DIR", raising=False)
    samples.write_samples("dent-o-soft", tmp_path / "1", PATIENTS, 11, only=["Patients", "Appointments", "Staff"])
    settings = SETTINGS | {"fallback_owner": "nobody@brightsmile.example"}
    stages.new("y", source="dent-o-soft", destination="twenty", export=tmp_path / "1", settings=settings)
    engagement = Engagement.open("y")
    stages.review("y")
    assert errands.owners("y")["exit_code"] == 1
    stages.approve("y", "map", by="A. Analyst")
    stages.sample("y")
    stages.approve("y", "sample", by="A. Analyst")
    with pytest.raises(GateClosed, match=r"the owners of \d+ of the staff are undecided"):
        stages.run("y")
    text = engagement.map_file.read_text(encoding="utf-8")
    engagement.map_file.write_text(text + "\nowners: {unassigned: ['*']}\n", encoding="utf-8")
    told = errands.owners("y")
    assert told["exit_code"] == 0
    assert {o["how"] for o in told["owners"]} == {"matched", "unassigned"}
