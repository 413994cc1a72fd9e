"""Rounds of deltas on a sandbox of the real destination, with changes made there by hand, and every decision."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import duckdb
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from sandbox_practice import ENGAGEMENT, STEPS, WANTED, QuickClock, fakes

from dentlib.destinations.twenty import open_twenty
from dentlib.errors import UsageError
from dentlib.loading import (
    Choice,
    ConflictLine,
    Ledger,
    LoadResult,
    Mark,
    Patience,
    Undecided,
    apply_schema,
    conflict_lines,
    decide,
    deletion_lines,
    list_lost,
    list_undecided,
    load,
    plan_delta,
    read_choices,
    rollback,
    write_audit_log,
)
from dentlib.loading.decision_files import DeletionLine
from dentlib.model import JSON, Option, WantedField, WantedSchema, record_id
from dentlib.results import write_csv
from dentlib.sandbox.twenty.server import TwentySandbox
from dentlib.sandbox.twenty.snapshot import differences, dump_state

SOME = ("carriers", "patients", "visits", "visit_links")
USED = tuple(s for s in STEPS if s.name in SOME)
REMOVED = WantedField("task", "removedInSource", "SELECT", "Removed", options=(Option("DELETED", "Deleted"),))
MARKS = {"visits": Mark("removedInSource", "DELETED")}
PATIENTS = 8


class Practice:
    """A practice in a workspace: its rows, which tests change, and rounds of them."""

    def __init__(self, folder: Path, server: TwentySandbox) -> None:
        self.folder, self.server, self.clock = folder, server, QuickClock()
        self.twenty = open_twenty(server.url, server.api_key, clock=self.clock, calls_per_minute=None, timeout_s=5)
        self.link = "targetPersonId" if self.twenty.capabilities.link_prefix else "personId"
        self.con = duckdb.connect(":memory:", config={"threads": 1})
        self.before = self.stored()
        self.ledger = Ledger.open(
            folder / "ledger.sqlite", workspace=self.twenty.workspace(), engagement=ENGAGEMENT, clock=self.clock
        )
        wanted = WantedSchema(WANTED.objects, (*WANTED.fields, REMOVED))
        apply_schema(self.ledger, self.twenty, self.twenty.plan(wanted), clock=self.clock)
        self.fields: dict[str, dict[str, JSON]] = {step: {} for step in SOME}
        self.rounds = 0
        for n in range(1, PATIENTS + 1):
            self.add(str(n))

    def id(self, step: str, key: str) -> str:
        return record_id(ENGAGEMENT, step, key)

    def add(self, key: str) -> None:
        """Add a patient with a visit, at one of three carriers."""
        carrier = str(int(key) % 3 + 1)
        self.fields["carriers"][carrier] = {"name": f"Carrier {carrier}", "sourceSystemId": f"carrier:{carrier}"}
        self.fields["patients"][key] = {
            "name": {"firstName": "Ana", "lastName": f"O'Neil {key}"},
            "emails": {"primaryEmail": f"ana.{key}@example.com"},
            "homeAddress": {"addressStreet1": f"{key} Main Street"},
            "dateOfBirth": "1980-02-29",
            "companyId": self.id("carriers", carrier),
            "sourceSystemId": f"patient:{key}",
        }
        self.fields["visits"][key] = {"title": f"Visit {key}", "status": "DONE", "sourceSystemId": f"visit:{key}"}
        link = {"taskId": self.id("visits", key), self.link: self.id("patients", key)}
        self.fields["visit_links"][key] = link

    def drop(self, *steps: str, key: str) -> None:
        for step in steps:
            del self.fields[step][key]

    def change(self, step: str, key: str, **fields: Any) -> None:
        """Change a row in the source."""
        self.fields[step][key] = deepcopy(self.fields[step][key]) | fields

    def by_hand(self, step: str, key: str, **fields: Any) -> None:
        """Change a record in the workspace, as somebody who works there."""
        self.twenty.update(self.object_of(step), self.id(step, key), fields, "by_hand")

    def object_of(self, step: str) -> str:
        return next(s.object_name for s in USED if s.name == step)

    def round(self) -> tuple[LoadResult, Undecided]:
        """Load what the source holds now: a run, then deltas."""
        self.rounds += 1
        kind: Any = "run" if self.rounds == 1 else "delta"
        tables = {s: [fakes.row_of(s, k, f) for k, f in sorted(rows.items())] for s, rows in self.fields.items()}
        fakes.prepare(self.con, tables, steps=USED)
        deletions = plan_delta(self.ledger, self.con, USED).deletions
        run_id = f"{kind}-{self.rounds}"
        result = load(self.ledger, self.twenty, self.con, USED, run_id=run_id, kind=kind, clock=self.clock)
        assert all(s.adds_up for s in result.steps)
        patience = Patience(self.clock)
        return result, list_undecided(self.ledger, self.twenty, deletions, run_id=run_id, patience=patience)

    def decide(self, undecided: Undecided, how: Callable[[Any], str], **options: Any) -> Any:
        """Fill the files in, as a person does, and carry them out."""
        files = []
        for name, kind, lines in (
            ("conflicts.csv", ConflictLine, conflict_lines(undecided.conflicts)),
            ("deletions.csv", DeletionLine, deletion_lines(undecided.missing)),
        ):
            path = write_csv(self.folder / name, kind, list(lines))
            with path.open(encoding="utf-8-sig", newline="") as file:
                rows = list(csv.DictReader(file))
            with path.open("w", encoding="cp1252", newline="") as file:  # as a spreadsheet program saves it
                writer = csv.DictWriter(file, [*kind.__dataclass_fields__], delimiter=";")
                writer.writeheader()
                for row, listed in zip(rows, [*undecided.conflicts, *undecided.missing][: len(rows)], strict=False):
                    writer.writerow(row | {"decision": how(listed)})
            files.append(path)
            undecided = Undecided((), undecided.missing, ())
        choices, _ = read_choices(files)
        return self.carry_out(choices, **options)

    def carry_out(self, choices: list[Choice], **options: Any) -> Any:
        return decide(
            self.ledger, self.twenty, choices, marks=MARKS, by="A. Analyst", run_id=f"decide-{self.rounds}",
            clock=self.clock, **options,
        )  # fmt: skip

    def record(self, step: str, key: str) -> JSON:
        return self.twenty.read(self.object_of(step), [self.id(step, key)], deleted=True).get(self.id(step, key), {})

    def stored(self) -> Any:
        import httpx

        headers = {"Authorization": f"Bearer {self.server.api_key}"}
        httpx.post(f"{self.server.url}/sandbox/settle", json={}, headers=headers, trust_env=False).raise_for_status()
        return dump_state(self.folder / "state.sqlite")


@pytest.fixture(params=["2.21", "1.17"])
def practice(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Practice]:
    """Give a practice that has moved once."""
    with TwentySandbox(tmp_path / "state.sqlite", limits="off", version=request.param) as server:
        made = Practice(tmp_path, server)
        first, _ = made.round()
        assert sum(s.failed for s in first.steps) == 0
        yield made
        made.ledger.close()
        made.con.close()
        made.twenty.close()


def by_step(result: LoadResult) -> dict[str, tuple[int, int, int]]:
    return {s.step: (s.created, s.updated, s.failed) for s in result.steps}


def test_three_rounds_with_changes_made_by_hand(practice: Practice) -> None:
    """Theirs is never overwritten; what was decided comes back only when either side changes; rollback is before."""
    practice.change("patients", "1", homeAddress={"addressStreet1": "1 New Street"}, dateOfBirth="1981-01-01")
    practice.change("patients", "2", homeAddress={"addressStreet1": "2 New Street"}, dateOfBirth="1982-02-02")
    practice.by_hand("patients", "2", homeAddress={"addressStreet1": "Their Street"})
    practice.by_hand("patients", "3", dateOfBirth="1970-07-07")
    practice.change("patients", "3", homeAddress={"addressStreet1": "3 New Street"})
    practice.add("21")
    second, undecided = practice.round()
    assert by_step(second)["patients"] == (1, 3, 0)
    (conflict,) = undecided.conflicts
    assert (conflict.source_key, conflict.field) == ("2", "homeAddress")
    assert practice.record("patients", "2")["homeAddress"]["addressStreet1"] == "Their Street"
    assert practice.record("patients", "2")["dateOfBirth"][:10] == "1982-02-02", "the other field did arrive"
    assert practice.record("patients", "3")["dateOfBirth"][:10] == "1970-07-07"
    assert practice.record("patients", "3")["homeAddress"]["addressStreet1"] == "3 New Street"
    assert practice.round()[1].conflicts == (conflict,), "not decided: it stays on the list"

    done = practice.decide(undecided, lambda c: "theirs")
    assert (dict(done.done), done.refused) == ({"theirs": 1}, [])
    practice.change("patients", "2", dateOfBirth="1983-03-03")
    third, undecided = practice.round()
    assert by_step(third)["patients"] == (0, 1, 0)
    assert (undecided.conflicts, undecided.settled) == ((), (("theirs", 1),))
    practice.by_hand("patients", "2", homeAddress={"addressStreet1": "Their Other Street"})
    (again,) = practice.round()[1].conflicts
    assert again.stored["addressStreet1"] == "Their Other Street", "their side changed"

    assert practice.decide(Undecided((again,), (), ()), lambda c: "ours").done == {"ours": 1}
    assert practice.record("patients", "2")["homeAddress"]["addressStreet1"] == "2 New Street"
    assert practice.decide(Undecided((again,), (), ()), lambda c: "ours").already == {"ours": 1}
    assert practice.round()[1].conflicts == ()
    back = rollback(practice.ledger, practice.twenty, clock=practice.clock)
    assert back.differences == ()
    assert differences(practice.before, practice.stored()) == {}


def test_every_decision_about_deletions(practice: Practice) -> None:
    """Keep, mark, delete; parents wait for what hangs on them; a row that comes back is taken up again."""
    for key in ("1", "2", "3"):
        practice.drop("patients", "visits", "visit_links", key=key)
    practice.drop("visits", "visit_links", key="4")
    practice.drop("patients", key="5")  # its visit stays
    practice.by_hand("visits", "3", title="Changed by hand")
    _, undecided = practice.round()
    assert len(undecided.missing) == 12
    assert {m.changed for m in undecided.missing if (m.step, m.source_key) == ("visits", "3")} == {("title",)}
    assert len(practice.round()[1].missing) == 12, "what nobody decided stays on the list"

    def how(listed: Any) -> str:
        if listed.source_key == "1":
            return "delete"
        if listed.source_key == "2":
            return "keep"
        if (listed.step, listed.source_key) == ("visits", "4"):
            return "mark"
        return "delete" if listed.source_key == "5" else ""

    _, undecided = practice.round()
    rehearsed = practice.decide(undecided, how, dry_run=True)
    assert practice.record("patients", "1"), "a dry run touches nothing"
    done = practice.decide(undecided, how)
    assert done.done == rehearsed.done == {"delete": 3, "keep": 3, "mark": 1}
    (refused,) = done.refused
    assert "other records point to it (1 taskTarget)" in refused.reason
    assert not practice.record("patients", "1")
    assert not practice.record("visits", "1")
    assert practice.record("patients", "2")
    assert practice.record("visits", "4")["removedInSource"] == "DELETED"
    audit = practice.folder / "audit-log.csv"
    write_audit_log(practice.ledger, audit)
    with audit.open(encoding="utf-8", newline="") as file:
        told = [r for r in csv.DictReader(file) if r["kind"] == "decide"]
    assert sorted(r["outcome"] for r in told if r["code"] == "decision") == ["delete"] * 3 + ["keep"] * 3 + ["mark"]
    assert {r["reason"] for r in told if r["code"] == "decision"} == {"deleted: decided by A. Analyst"}
    assert [r["operation"] for r in told if r["code"] == ""].count("destroy") == 3
    again = practice.decide(undecided, how)
    assert (dict(again.done), dict(again.already)) == ({}, {"delete": 3, "keep": 3, "mark": 1})

    practice.add("4")
    practice.add("1")
    result, undecided = practice.round()
    assert by_step(result)["patients"] == (1, 0, 0), "what was destroyed is made anew when its row comes back"
    assert by_step(result)["visits"] == (1, 1, 0), "the mark comes off"
    assert practice.record("visits", "4")["removedInSource"] is None
    assert dict(undecided.settled) == {"keep": 3}
    assert {(m.step, m.source_key) for m in undecided.missing} == {
        ("patients", "3"), ("visits", "3"), ("visit_links", "3"), ("patients", "5"),
    }  # fmt: skip
    back = rollback(practice.ledger, practice.twenty, clock=practice.clock)
    assert back.differences == ()
    assert differences(practice.before, practice.stored()) == {}


def test_a_record_destroyed_in_the_crm_is_listed_not_made_again(practice: Practice) -> None:
    """It does not fail the run; it is made again only when somebody says so. Gone on both sides is simply noted."""
    practice.twenty.destroy("task", [practice.id("visits", "1"), practice.id("visits", "2")], "by_hand")
    practice.change("visits", "1", title="Changed")
    practice.drop("visits", "visit_links", key="2")
    result, undecided = practice.round()
    assert by_step(result)["visits"] == (0, 0, 1)
    assert [(m.source_key, m.why) for m in undecided.missing if m.step == "visits"] == [("1", "destroyed in the CRM")]
    refused = practice.decide(undecided, lambda m: "delete" if m.step == "visits" else "").refused
    assert "keep or recreate" in refused[0].reason
    done = practice.decide(undecided, lambda m: "recreate" if m.step == "visits" else "")
    assert done.done == {"recreate": 1}
    result, undecided = practice.round()
    assert by_step(result)["visits"] == (1, 0, 0)
    assert practice.record("visits", "1")["title"] == "Changed"


def test_what_the_reconciliation_misses_is_listed(practice: Practice) -> None:
    """A record destroyed in the CRM whose row did not change; one that is there after all is not listed."""
    practice.twenty.destroy("task", [practice.id("visits", "6")], "by_hand")
    undecided = practice.round()[1]
    assert undecided.missing == ()
    missing = [("visits", practice.id("visits", key)) for key in ("6", "7")]
    patience = Patience(practice.clock)
    found = list_lost(practice.ledger, practice.twenty, undecided, missing, run_id="delta-2", patience=patience)
    assert [(m.source_key, m.why) for m in found.missing] == [("6", "destroyed in the CRM")]
    again = list_lost(practice.ledger, practice.twenty, found, missing, run_id="delta-2", patience=patience)
    assert again == found
    assert practice.decide(found, lambda m: "keep").done == {"keep": 1}
    result, undecided = practice.round()
    assert next(s.excluded for s in result.steps if s.step == "visits") == 1
    assert (undecided.missing, dict(undecided.settled)) == ((), {"keep": 1})


def test_a_record_that_stays_away_by_decision_fails_no_more(practice: Practice) -> None:
    """Its row is left out with the reason, in every later delta, and counted as decided."""
    practice.twenty.destroy("task", [practice.id("visits", "1")], "by_hand")
    practice.change("visits", "1", title="Changed")
    undecided = practice.round()[1]
    assert practice.decide(undecided, lambda m: "keep" if m.step == "visits" else "").done == {"keep": 1}
    assert practice.decide(undecided, lambda m: "keep" if m.step == "visits" else "").already == {"keep": 1}
    practice.change("visits", "1", title="Changed again")
    result, undecided = practice.round()
    visits = next(s for s in result.steps if s.step == "visits")
    assert (visits.failed, visits.excluded, visits.created) == (0, 1, 0)
    assert dict(undecided.settled) == {"keep": 1}
    assert not [m for m in undecided.missing if m.step == "visits"]
    assert not practice.record("visits", "1")


def test_what_is_no_longer_as_listed_is_refused(practice: Practice) -> None:
    """Changed again there, changed again in the source, back in the export, edited in the file: row by row."""
    for key in ("1", "2", "3"):
        practice.change("patients", key, dateOfBirth="1990-01-01")
        practice.by_hand("patients", key, dateOfBirth="1970-01-01")
    practice.drop("visits", "visit_links", key="4")
    practice.drop("visits", "visit_links", key="5")
    _, old = practice.round()
    practice.by_hand("patients", "1", dateOfBirth="1971-01-01")
    practice.by_hand("visits", "5", title="Changed by hand")
    practice.change("patients", "2", dateOfBirth="1991-01-01")
    practice.add("4")
    practice.rounds += 1
    first = practice.decide(old, lambda m: "delete" if m.source_key == "5" else "ours" if m.source_key == "1" else "")
    reasons = sorted(r.reason for r in first.refused)
    assert "somebody changed it again in the CRM" in reasons[0]
    assert "somebody changed it in the CRM since it was listed (title)" in reasons[1]
    practice.round()
    decisions = {"1": "ours", "2": "theirs", "3": "ours", "4": "delete"}
    later = practice.decide(old, lambda m: decisions.get(m.source_key, ""))
    words = {r.where: r.reason for r in later.refused}
    assert later.done == {"ours": 1}, "the third is as it was listed"
    assert len(words) == 4
    assert sum("it was listed again" in w for w in words.values()) == 2
    assert sum("not on the list of the last delta any more" in w for w in words.values()) == 2
    edited = practice.carry_out([Choice(old.missing[0].ref, practice.id("visits", "1"), "", "delete", "d.csv, row 2")])
    assert "the row was edited" in edited.refused[0].reason
    unknown = practice.carry_out([Choice("c1-1", "x", "", "ours", "c.csv, row 2")])
    assert "no such row was listed" in unknown.refused[0].reason


def test_cells_that_are_no_decision_are_named(tmp_path: Path) -> None:
    """By file, row and column; and nothing is done."""
    path = tmp_path / "conflicts.csv"
    path.write_text("ref,record_id,field,decision\nc1-1,x,f,Ours\nc1-2,x,f,mine\nwhat,x,f,ours\nc1-1,x,f,theirs\n")
    with pytest.raises(UsageError) as caught:
        read_choices([path])
    for words in ("row 3, column decision", "row 4, column ref", "conflicts.csv, row 2 decides the same record"):
        assert words in caught.value.message
    path.write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match="has no column decision, record_id, ref"):
        read_choices([path])


def test_a_formula_in_a_source_key_does_no_harm(tmp_path: Path) -> None:
    """What a spreadsheet program would run is a text in the files, and the rows are still known by their names."""
    line = DeletionLine("d1-1", "visits", "=cmd|1", "task", "x", "deleted", "", "keep or delete", "keep")
    path = write_csv(tmp_path / "deletions.csv", DeletionLine, [line])
    assert "'=cmd|1" in path.read_text(encoding="utf-8-sig")
    assert path.stat().st_mode & 0o777 == 0o600
    choices, left = read_choices([path])
    assert ([c.ref for c in choices], left) == (["d1-1"], 0)
    assert "cmd" not in repr(line)


def test_what_is_new_for_a_destroyed_parent_is_listed_and_does_not_stop_the_delta(practice: Practice) -> None:
    """The parent's own row did not change, so only the refusal of its child tells; made again when somebody says so."""
    practice.twenty.destroy("task", [practice.id("visits", "3")], "by_hand")
    link = {"taskId": practice.id("visits", "3"), practice.link: practice.id("patients", "4")}
    practice.fields["visit_links"]["second"] = link
    result, undecided = practice.round()
    assert by_step(result)["visit_links"] == (0, 0, 1)
    assert [(r.code, r.count) for r in result.reasons] == [("parent_gone", 1)]
    listed = [m for m in undecided.missing if m.step == "visits"]
    assert [(m.source_key, m.why) for m in listed] == [("3", "destroyed in the CRM")]
    assert practice.decide(undecided, lambda m: "recreate" if m.step == "visits" else "").done == {"recreate": 1}
    result, undecided = practice.round()
    assert (by_step(result)["visits"], by_step(result)["visit_links"]) == ((1, 0, 0), (1, 0, 0))


def test_a_conflict_of_a_row_that_failed_stands_as_it_was_listed(practice: Practice) -> None:
    """What the row means is not in the ledger then; deciding waits until it could be written."""
    practice.change("patients", "1", dateOfBirth="1990-01-01", emails={"primaryEmail": "ana.2@example.com"})
    practice.by_hand("patients", "1", dateOfBirth="1970-01-01")
    result, undecided = practice.round()
    assert by_step(result)["patients"] == (0, 0, 1), "the e-mail is another's"
    (conflict,) = undecided.conflicts
    assert conflict.meant == "1990-01-01"
    assert "the source says something else" in practice.decide(undecided, lambda c: "ours").refused[0].reason
    practice.change("patients", "1", emails={"primaryEmail": "ana.new@example.com"})
    assert by_step(practice.round()[0])["patients"] == (0, 1, 0)
    undecided = practice.round()[1]
    assert practice.decide(undecided, lambda c: "ours").done == {"ours": 1}
    assert practice.record("patients", "1")["dateOfBirth"][:10] == "1990-01-01"
