"""Owners after a load, on a sandbox of the real destination: changed through the ledger, and theirs stays theirs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from test_delta_decisions import USED, Practice, by_step

from dentlib.loading import reassign, rollback
from dentlib.sandbox.twenty.server import TwentySandbox
from dentlib.sandbox.twenty.snapshot import differences

VISITS = next(s for s in USED if s.name == "visits")


class Owned(Practice):
    """A practice whose visits have owners; visit n belongs to staff 1 or 2, in turn."""

    def own(self, member_of: dict[str, str]) -> None:
        """Say which member gets the visits of which staff."""
        for key in self.fields["visits"]:
            self.change("visits", key, assigneeId=member_of[str(int(key) % 2 + 1)])

    def round(self) -> Any:
        result = super().round()
        self.con.execute("ALTER TABLE prepared.visits ADD COLUMN owner_key VARCHAR")
        self.con.execute("UPDATE prepared.visits SET owner_key = (source_key::INTEGER % 2 + 1)::VARCHAR")
        return result

    def prepare(self) -> None:
        """Prepare what the source holds now, without loading it."""
        rows = [visit_row(self, key) for key in sorted(self.fields["visits"])]
        for row in rows:
            self.con.execute(
                "UPDATE prepared.visits SET payload = ?, row_hash = ? WHERE source_key = ?",
                [row["payload"], row["row_hash"], row["source_key"]],
            )

    def reassign(self, **options: Any) -> Any:
        return reassign(
            self.ledger, self.twenty, self.con, [(VISITS, "assigneeId")], {"2": "x@example.com"}, by="A. Analyst",
            run_id="owners-1", clock=self.clock, **options,
        )  # fmt: skip


def visit_row(practice: Owned, key: str) -> dict[str, Any]:
    from sandbox_practice import fakes

    row: dict[str, Any] = fakes.row_of("visits", key, practice.fields["visits"][key])
    return row


@pytest.mark.parametrize("version", ["2.21", "1.17"])
def test_owners_are_changed_afterwards(tmp_path: Path, version: str) -> None:
    """Only records of the staff named, only that field; a choice made in the CRM stays; once; and back again."""
    with TwentySandbox(tmp_path / "state.sqlite", limits="off", version=version) as server:
        practice = Owned(tmp_path, server)
        one, two, three = (m.id for m in practice.twenty.members()[:3])
        practice.own({"1": one, "2": one})
        practice.round()
        practice.by_hand("visits", "1", assigneeId=three)
        practice.stored()  # the workspace has written its timeline
        practice.twenty.destroy_side_effects("task", [practice.id("visits", "3")])
        practice.twenty.destroy("task", [practice.id("visits", "3")], "by_hand")
        practice.own({"1": one, "2": two})
        practice.change("visits", "5", title="Changed in the source as well")
        practice.prepare()
        assert practice.reassign(dry_run=True).changed == {"visits": 2}
        done = practice.reassign()
        assert done.changed == {"visits": 2}
        assert {k.why for k in done.kept} == {
            "somebody chose another owner in the CRM", "it is not in the CRM any more",
        }  # fmt: skip
        owners = {k: practice.record("visits", k).get("assigneeId") for k in practice.fields["visits"]}
        assert owners == {
            "1": three, "2": one, "3": None, "4": one, "5": two, "6": one, "7": two, "8": one,
        }  # fmt: skip
        assert practice.record("visits", "5")["title"] == "Visit 5", "another field waits for the delta"
        again = practice.reassign()
        assert (dict(again.changed), dict(again.right)) == ({}, {"visits": 2})
        result, undecided = practice.round()
        assert by_step(result)["visits"] == (0, 1, 1), "the title of one; one is gone"
        assert [c.source_key for c in undecided.conflicts] == ["1"]
        assert rollback(practice.ledger, practice.twenty, clock=practice.clock).differences == ()
        assert differences(practice.before, practice.stored()) == {}
        practice.ledger.close()
        practice.con.close()
        practice.twenty.close()
