"""What a delta leaves for a person to decide, as tables and sentences of its page. Pure."""

from __future__ import annotations

from dentlib.documents import numbers
from dentlib.documents.view import Column, Table
from dentlib.facts import RunFacts

_SETTLED = {
    "theirs": "values of the CRM that stay, though the source says otherwise",
    "keep": "records that stay, though their row is gone",
    "mark": "records marked as gone from the source",
}


def tables(facts: RunFacts) -> tuple[Table, ...]:
    """Return the tables of what is undecided and of what was decided before; none where there is nothing."""
    label = {s.step: s.label or s.step for s in facts.steps}
    found = []
    if facts.gone:
        found.append(
            Table(
                name="gone",
                caption="Records whose row is gone from the export, or that are gone from the CRM; "
                "nothing is deleted by itself",
                columns=(Column("What"), Column("Records", "number")),
                rows=tuple((label.get(step, step), n) for step, n in facts.gone),
            )
        )
    if facts.conflicts:
        found.append(
            Table(
                name="conflicts",
                caption="Fields that were changed both in the source and in the CRM; the CRM's value was kept",
                columns=(Column("What"), Column("Field", "code"), Column("Records", "number")),
                rows=tuple((label.get(step, step), field, n) for step, field, n in facts.conflicts),
            )
        )
    if facts.settled:
        found.append(
            Table(
                name="settled",
                caption="Decided after an earlier delta, and still so",
                columns=(Column("Decision"), Column("What it says"), Column("Number", "number")),
                rows=tuple((decision, _SETTLED.get(decision, ""), n) for decision, n in facts.settled),
            )
        )
    return tuple(found)


def _were(n: int) -> str:
    return "was" if n == 1 else "were"


def told(facts: RunFacts) -> str:
    """Return the end of the page's first sentence."""
    gone, both = sum(n for _, n in facts.gone), sum(n for *_, n in facts.conflicts)
    parts = [f"{numbers.things(gone, 'record')} kept whose row is gone from the export"] if gone else []
    parts += [f"{numbers.things(both, 'value')} kept that somebody changed in the CRM"] if both else []
    return "".join(f"; {part}" for part in parts)


def asked(facts: RunFacts) -> list[str]:
    """Return what a person has to decide."""
    gone, both = sum(n for _, n in facts.gone), sum(n for *_, n in facts.conflicts)
    way = f"then dentlib decide {facts.engagement}"
    found = []
    if gone:
        found.append(
            f"{numbers.things(gone, 'record')} {_were(gone)} kept whose row is gone from the export: say which of them "
            f"are to be deleted, marked or kept, in deletions.csv of this delta's folder; {way}."
        )
    if both:
        found.append(
            f"{numbers.things(both, 'value')} {_were(both)} changed both in the source and in the CRM: say whose value "
            f"is right, in conflicts.csv of this delta's folder; {way}."
        )
    return found
