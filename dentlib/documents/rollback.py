"""A rollback's facts as sections: what was taken back, and the proof that the workspace is as it was."""

from __future__ import annotations

from collections.abc import Sequence

from dentlib.documents import numbers
from dentlib.documents.outcomes import harmless
from dentlib.documents.view import Column, Figure, Section, Status, Table, Tone
from dentlib.facts import RollbackFacts


def sections(facts: RollbackFacts) -> tuple[Section, ...]:
    """Return the rollback's sections. Pure; a preview says that nothing was done yet."""
    return (_taken_back(facts), _proof(facts))


def summary(facts: RollbackFacts) -> Section:
    """Return what was taken back in one sentence, with key figures."""
    destroyed, restored = sum(n for _, n in facts.destroyed), sum(n for _, n in facts.restored)
    if facts.preview:
        finding = (
            f"Nothing has been done yet. A rollback would take {numbers.things(destroyed, 'record')} out of the "
            f"workspace of {facts.client} and put {numbers.count(restored)} back as they were."
        )
    else:
        finding = (
            f"{numbers.things(destroyed, 'record').capitalize()} were taken out of the workspace of {facts.client}, "
            f"{numbers.count(restored) if restored else 'none had to be'} put back as they were. "
            + ("The workspace is as it was before." if not _left(facts) else "The workspace is not quite as it was.")
        )
    return Section(
        name="summary",
        heading="In short",
        finding=finding,
        status=verdict(facts),
        figures=(
            Figure("records taken out", numbers.count(destroyed)),
            Figure("put back", numbers.count(restored)),
            Figure("fields, objects removed", numbers.count(len(facts.schema_removed))),
            Figure("kept", numbers.count(len(facts.kept)), tone=Tone.CHECK if facts.kept else Tone.PLAIN),
            Figure(
                "differences",
                "—" if facts.preview else numbers.count(len(facts.differences)),
                "compared before and after",
                Tone.PLAIN if facts.preview else Tone.STOP if facts.differences else Tone.GOOD,
            ),
        ),
    )


def verdict(facts: RollbackFacts) -> Status:
    """Return `as before` only where nothing differs and nothing was kept; a preview proves nothing."""
    if facts.preview:
        return Status("preview", Tone.PLAIN)
    if facts.differences:
        return Status("differences", Tone.STOP)
    return Status("some kept", Tone.CHECK) if facts.kept else Status("as before", Tone.GOOD)


def decisions(facts: RollbackFacts) -> tuple[str, ...]:
    """Return what a person has to decide."""
    asked = []
    if facts.preview:
        asked.append("Confirm the rollback, or leave everything as it is.")
    asked += [f"{object_name} ({key}) was kept: {harmless(why)}" for object_name, key, why in facts.kept]
    asked += [f"Still different: {harmless(d)}" for d in facts.differences]
    return tuple(asked)


def _left(facts: RollbackFacts) -> bool:
    return bool(facts.differences or facts.kept)


def _taken_back(facts: RollbackFacts) -> Section:
    destroyed = dict(facts.destroyed)
    restored = dict(facts.restored)
    would = "would be " if facts.preview else "were "
    return Section(
        name="summary",
        heading="What is taken back" if facts.preview else "What was taken back",
        finding=f"{numbers.things(sum(destroyed.values()), 'record').capitalize()} {would}removed for good, "
        f"{numbers.count(sum(restored.values())) if restored else 'none'} {would}given their earlier values, "
        f"{numbers.things(len(facts.schema_removed), 'addition')} to the workspace {would}removed.",
        status=verdict(facts),
        note=f"{numbers.things(facts.side_effects, 'entry', 'entries').capitalize()} that the CRM itself had written "
        "about these records (timeline, workflow runs) go with them."
        if facts.side_effects
        else "",
        tables=tuple(
            t
            for t in (
                Table(
                    name="taken-back",
                    caption="Records, by object",
                    columns=(Column("Object"), Column("Removed", "number"), Column("Put back", "number")),
                    rows=tuple(
                        (name, destroyed.get(name, 0), restored.get(name, 0))
                        for name in dict([*destroyed.items(), *restored.items()])
                    ),
                    total=("All", sum(destroyed.values()), sum(restored.values())),
                ),
                Table(
                    name="schema-removed",
                    caption="Additions to the workspace that are removed",
                    columns=(Column("Object", "code"), Column("Additions", "number"), Column("Which")),
                    rows=_by_object(facts.schema_removed),
                ),
            )
            if t.rows
        ),
    )


def _by_object(removed: Sequence[str]) -> tuple[tuple[object, ...], ...]:
    """Return a row for each object: `person.gender` is a field of it, `procedure` the object itself."""
    fields: dict[str, list[str]] = {}
    for name in removed:
        owner, _, field = name.partition(".")
        fields.setdefault(owner, []).append(field or "the object itself")
    return tuple((owner, len(names), ", ".join(names)) for owner, names in sorted(fields.items()))


def _proof(facts: RollbackFacts) -> Section:
    if facts.preview:
        finding = (
            "The proof is made after the rollback: the workspace is then compared with the picture of it that was "
        )
        finding += "taken before the first write."
    elif facts.differences:
        finding = f"{numbers.things(len(facts.differences), 'difference').capitalize()} between the workspace now and "
        finding += "the picture of it taken before the first write."
    else:
        finding = "The workspace was compared with the picture of it taken before the first write: no difference."
    return Section(
        name="proof",
        heading="Proof",
        finding=finding,
        status=verdict(facts),
        tables=tuple(
            t
            for t in (
                Table(
                    name="differences-left",
                    caption="What differs",
                    columns=(Column("Difference"),),
                    rows=tuple((harmless(d),) for d in facts.differences),
                ),
                Table(
                    name="kept",
                    caption="Records that were kept, because someone has changed them since",
                    columns=(Column("Object"), Column("Record", "code"), Column("Why")),
                    rows=tuple((name, key, harmless(why)) for name, key, why in facts.kept),
                ),
            )
            if t.rows
        ),
    )
