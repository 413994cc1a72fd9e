"""The way back where others have come to need something of ours: it stays, is told, is taken up, and goes later."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "laws"))

from back import Site, practice

from dentlib.facts import RollbackFacts
from dentlib.loading import Ledger, preview, rollback

PATIENT, CARRIER = practice.rid("patients", 1), practice.rid("carriers", 2)
NOTE, LINK, TASK, PERSON = (practice.rid("others", name) for name in ("note", "link", "task", "person"))
BY_OTHERS = " (by somebody else: this migration never wrote to it)"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path, "2.21", full=False)
    yield made
    made.close()


def others_go_on_working(site: Site) -> None:
    """A note on one of our patients; our option and our field used for records of their own; ours binned and edited."""
    site.create("note", [{"id": NOTE, "title": "Theirs"}])
    site.create("noteTarget", [{"id": LINK, "noteId": NOTE, "targetPersonId": PATIENT}])
    site.create("task", [{"id": TASK, "title": "Theirs", "status": "BROKEN"}])
    site.create("person", [{"id": PERSON, "dateOfBirth": "1970-01-01"}])
    site.bin("Task", practice.rid("visits", 3))
    edited = "UPDATE record SET doc = json_set(doc, '$.updatedBy.workspaceMemberId', ?) WHERE id = ?"
    with sqlite3.connect(site.folder / "state.sqlite") as db:
        db.execute(edited, (practice.rid("others", "member"), practice.rid("patients", 2)))
    db.close()


def by_object(facts: RollbackFacts) -> dict[str, tuple[int, int, int, int]]:
    return {x.object: (x.destroyed, x.kept, x.binned, x.changed) for x in facts.lines}


def assert_kept(facts: RollbackFacts) -> None:
    kept = {rid: why for _, rid, why in facts.kept}
    assert kept == {
        PATIENT: "somebody attached something to it since (1 noteTarget)",
        CARRIER: "a record that is kept (person) needs it",
    }
    assert {name for name, _ in facts.schema_kept} == {
        "task.status", "person.dateOfBirth", "person.sourceSystemId", "company.sourceSystemId"
    }  # fmt: skip


def test_what_others_need_stays_and_goes_later(site: Site) -> None:
    """Preview and deed agree; nothing dangles; a later run takes the kept ones up; once free, all goes."""
    before = site.stored()
    with site.ledger() as ledger:
        site.forward(ledger)
        others_go_on_working(site)
        told = preview(ledger, site.twenty, clock=site.clock)
        assert_kept(told)
        assert by_object(told)["task"] == (6, 0, 1, 0)
        assert by_object(told)["person"] == (5, 1, 0, 1)
        facts = rollback(ledger, site.twenty, clock=site.clock)
        assert_kept(facts)
        assert by_object(facts) == by_object(told)
        assert (facts.destroyed, facts.schema_removed) == (told.destroyed, told.schema_removed)
        theirs = {("note", NOTE), ("noteTarget", LINK), ("task", TASK), ("person", PERSON)}
        by_worker = ("timelineActivity", "workflowRun")
        assert {d for d in facts.differences if not d.startswith(by_worker)} == {
            f"{name} {rid}: is new{BY_OTHERS}" for name, rid in theirs
        }
        assert facts.differences_ours == 0
        still_there_and_taken_up(site, ledger)
        others_take_theirs_away(site)
        assert rollback(ledger, site.twenty, clock=site.clock).differences == ()
    assert site.left_over(before) == {}


def still_there_and_taken_up(site: Site, ledger: Ledger) -> None:
    stored = site.twenty.read("person", [PATIENT])[PATIENT]
    assert stored["companyId"] == CARRIER
    options = [o.value for o in site.twenty.describe().objects["task"].fields["status"].options]
    assert options == ["TODO", "IN_PROGRESS", "DONE", "BROKEN"], "of our two options only the one that is chosen stays"
    assert ledger.live_counts() == {"patients": 1, "carriers": 1}
    again = rollback(ledger, site.twenty, clock=site.clock)
    assert (again.destroyed, len(again.kept)) == ((), 2)
    site.forward(ledger)
    assert ledger.live_counts()["patients"] == practice.PATIENTS


def others_take_theirs_away(site: Site) -> None:
    site.twenty.destroy_side_effects("note", [NOTE])
    site.twenty.destroy_side_effects("task", [TASK])
    site.twenty.destroy_side_effects("person", [PERSON])
    for name, rid in (("noteTarget", LINK), ("note", NOTE), ("task", TASK), ("person", PERSON)):
        site.twenty.destroy(name, [rid], "theirs_go")
