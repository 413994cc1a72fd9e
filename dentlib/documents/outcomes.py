"""Outcomes of steps as a table: shared by the sample's page and the run's."""

from __future__ import annotations

import re

from dentlib.documents import numbers
from dentlib.documents.view import Column, Section, Status, Table, Tone
from dentlib.facts import StepFacts
from dentlib.privacy import mask

OUTCOMES = ("created", "updated", "unchanged", "merged", "rejected", "excluded", "failed")
"""The outcomes, in the order in which pages show them."""

WORDS = {
    "merged": "joined with another",
    "rejected": "set aside",
    "excluded": "left out by rule",
}
"""What a client calls an outcome, where that isn't the word itself."""


def word(outcome: str) -> str:
    """Return an outcome in the words of a client page."""
    return WORDS.get(outcome, outcome)


def totals(steps: tuple[StepFacts, ...]) -> dict[str, int]:
    """Return rows read and each outcome, summed over all steps."""
    return {name: sum(getattr(s, name) for s in steps) for name in ("read", *OUTCOMES)}


def not_arrived(total: dict[str, int]) -> str:
    """Say what did not arrive, and why: `35 set aside with a reason, 705 left out by rule, none failed`."""
    rejected, excluded, failed = (numbers.count(total[n]) if total[n] else "none" for n in _NOT_ARRIVED)
    return f"{rejected} set aside with a reason, {excluded} left out by rule, {failed} failed"


_NOT_ARRIVED = ("rejected", "excluded", "failed")


def outcomes_section(steps: tuple[StepFacts, ...], heading: str) -> Section:
    """Return the outcomes of all steps: every row read in exactly one column, and whether they add up."""
    total = totals(steps)
    wrong = [s for s in steps if not s.adds_up]
    arrived = total["created"] + total["updated"] + total["unchanged"] + total["merged"]
    if wrong:
        finding = (
            f"The outcomes of {numbers.listing([s.label or s.step for s in wrong])} do not add up to the rows read."
        )
    else:
        finding = (
            f"{numbers.share_of(arrived, total['read'], 'row')} arrived; {not_arrived(total)}. "
            "Every row read has exactly one outcome."
        )
    columns = (
        Column("What"),
        Column("Object in the CRM"),
        Column("Rows read", "number"),
        *(Column(word(name).capitalize(), "number") for name in OUTCOMES),
        Column("Adds up", "status"),
    )
    return Section(
        name="outcomes",
        heading=heading,
        finding=finding,
        status=_status(bool(wrong), total),
        note="A row is counted once in each step that reads it: an appointment becomes a task, and a place on its "
        "person's timeline. Unchanged: it was in the CRM already and is the same, such as the records of the sample.",
        tables=(
            Table(
                name="outcomes",
                caption="Rows read = the sum of the outcomes beside it",
                columns=columns,
                rows=tuple(_row(s) for s in steps),
                total=("All", "", total["read"], *(total[name] for name in OUTCOMES), _adds_up(not wrong)),
            ),
        ),
    )


def _status(wrong: bool, total: dict[str, int]) -> Status:
    if wrong:
        return Status("does not add up", Tone.STOP)
    if total["failed"]:
        return Status("failures", Tone.STOP)
    return Status("check", Tone.CHECK) if total["rejected"] else Status("complete", Tone.GOOD)


def _adds_up(yes: bool) -> Status:
    return Status("yes", Tone.GOOD) if yes else Status("no", Tone.STOP)


def _row(s: StepFacts) -> tuple[object, ...]:
    return (
        s.label or s.step,
        s.object or None,
        s.read,
        *(getattr(s, name) for name in OUTCOMES),
        _adds_up(s.adds_up),
    )


def harmless(text: str) -> str:
    """Mask what looks like an e-mail address or a phone number in words that came from elsewhere.

    The producers of reasons must not put values into them; a destination's own message is beyond their control.
    """
    return " ".join(mask(w, longest=60) if _looks_like_value(w) else w for w in text.split(" "))


_ADDRESS = re.compile(r"[^\s\"'<>\[\]{}(),;:]+@[^\s\"'<>\[\]{}(),;:]+")


def without_addresses(text: str) -> str:
    """Mask every e-mail address in a value that is said to identify nobody: a second lock, should the map be wrong."""
    return _ADDRESS.sub(lambda found: mask(found.group(), longest=60), text)


_RECORD_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _looks_like_value(w: str) -> bool:
    bare = w.strip("\"'(),.;:<>[]")
    if _RECORD_ID.fullmatch(bare):
        return False
    return "@" in bare or sum(c.isdigit() for c in bare) >= 7
