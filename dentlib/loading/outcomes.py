"""Tell the outcomes of a run again, from the ledger alone."""

from __future__ import annotations

from collections import Counter

from dentlib.facts import ReasonCount, StepFacts
from dentlib.loading.ledger import Ledger
from dentlib.loading.words import stays_away


def outcomes_of(ledger: Ledger, run_id: str) -> tuple[tuple[StepFacts, ...], tuple[ReasonCount, ...]]:
    """Return the outcomes per step of a run (as last ended), and the reasons of rows that were not written.

    Where a run was taken up again, by a retry say, its last part told all rows that never reach the loader anew; so
    does a step that is ended once more, because map or export were mended. Reads only; streams the journal.
    """
    steps: dict[str, StepFacts] = {}
    for entry in ledger.entries("kind = 'step_end' AND run = ?", run_id, blocks=False):
        steps[entry.body["step"]] = StepFacts(**entry.body["facts"])
    counts: Counter[tuple[str, str, str, str]] = Counter()
    aside: dict[str, Counter[tuple[str, str, str, str]]] = {}  # by step, told since its last end
    # failed rows are counted by the last word on each, below: a row that failed may have been written later
    begun = ledger.last("kind = 'run' AND run = ?", run_id)
    wanted = """
        run = ? AND seq > ? AND (kind = 'step_end' OR
        (kind = 'rows' AND body ->> 'outcome' NOT IN ('unchanged', 'failed', 'settled')))
    """
    told: dict[str, Counter[tuple[str, str, str, str]]] = {}
    for entry in ledger.entries(wanted, run_id, begun.seq if begun else 0, blocks=False):
        step = entry.body["step"]
        if entry.kind == "step_end":
            aside[step] = told.pop(step, Counter())
            continue
        for row in entry.body["rows"]:
            # told when the row is met, once for each part of a run, and not with the step's end
            into = counts if row[2] == stays_away()[0] else told.setdefault(step, Counter())
            into[step, entry.body["outcome"], row[2], row[3]] += 1
    for some in aside.values():
        counts.update(some)
    for step in steps:
        for _, code, reason in ledger.trouble(run_id, step).values():
            counts[step, "failed", code, reason] += 1
    reasons = tuple(ReasonCount(*key, count=n) for key, n in sorted(counts.items()))
    return tuple(steps.values()), reasons
