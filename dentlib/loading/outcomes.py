"""Tell the outcomes of a run again, from the ledger alone."""

from __future__ import annotations

from collections import Counter

from dentlib.facts import ReasonCount, StepFacts
from dentlib.loading.ledger import Ledger


def outcomes_of(ledger: Ledger, run_id: str) -> tuple[tuple[StepFacts, ...], tuple[ReasonCount, ...]]:
    """Return the outcomes per step of a run (as last ended), and the reasons of rows that were not written.

    Where a run was taken up again, by a retry say, its last part told all rows that never reach the loader anew.
    Reads only; streams the journal.
    """
    steps: dict[str, StepFacts] = {}
    for entry in ledger.entries("kind = 'step_end' AND run = ?", run_id, blocks=False):
        steps[entry.body["step"]] = StepFacts(**entry.body["facts"])
    counts: Counter[tuple[str, str, str, str]] = Counter()
    # failed rows are counted by the last word on each, below: a row that failed may have been written later
    begun = ledger.last("kind = 'run' AND run = ?", run_id)
    wanted = "kind = 'rows' AND run = ? AND seq > ? AND body ->> 'outcome' NOT IN ('unchanged', 'failed', 'settled')"
    for entry in ledger.entries(wanted, run_id, begun.seq if begun else 0, blocks=False):
        for row in entry.body["rows"]:
            counts[entry.body["step"], entry.body["outcome"], row[2], row[3]] += 1
    for step in steps:
        for _, code, reason in ledger.trouble(run_id, step).values():
            counts[step, "failed", code, reason] += 1
    reasons = tuple(ReasonCount(*key, count=n) for key, n in sorted(counts.items()))
    return tuple(steps.values()), reasons
