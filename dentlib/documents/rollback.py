"""A rollback's facts as sections: what is taken back, what is kept and why, and the proof that all is as it was."""

from __future__ import annotations

from collections.abc import Sequence

from dentlib.documents import numbers
from dentlib.documents.outcomes import harmless
from dentlib.documents.switches import switches_section
from dentlib.documents.view import Column, Figure, Section, Status, Table, Tone
from dentlib.facts import RollbackFacts, RollbackLine

_CLOSENESS = {
    "values": "every value of every record",
    "times": "every record by its id and the time of its last change",
    "counted": "the number of records",
    "unreadable": "not at all: the key may not read it",
}


def sections(facts: RollbackFacts) -> tuple[Section, ...]:
    """Return the rollback's sections. Pure; a preview says that nothing was done yet."""
    return (_taken_back(facts), _kept(facts), _proof(facts), switches_section(facts.switches))


def summary(facts: RollbackFacts) -> Section:
    """Return what was taken back in one sentence, with key figures."""
    destroyed, restored = _sum(facts.destroyed), _sum(facts.restored)
    return Section(
        name="summary",
        heading="In short",
        finding=_in_short(facts, destroyed, restored),
        status=verdict(facts),
        figures=(
            Figure("records taken out", numbers.count(destroyed)),
            Figure("put back", numbers.count(restored)),
            Figure("fields, objects removed", numbers.count(len(facts.schema_removed))),
            Figure("kept", numbers.count(_kept_things(facts)), tone=Tone.CHECK if _kept_things(facts) else Tone.PLAIN),
            Figure(
                "differences",
                "—" if facts.preview or facts.nothing else numbers.count(_differences(facts)),
                "compared before and after",
                Tone.PLAIN if facts.preview or facts.nothing else Tone.STOP if facts.differences else Tone.GOOD,
            ),
        ),
    )


def _in_short(facts: RollbackFacts, destroyed: int, restored: int) -> str:
    if facts.nothing:
        return f"There is nothing to take back in the workspace of {facts.client}, and nothing was done."
    if facts.preview:
        return (
            f"Nothing has been done yet. A rollback would take {numbers.things(destroyed, 'record')} out of the "
            f"workspace of {facts.client} and put {numbers.count(restored)} back as they were."
        )
    return (
        f"{numbers.things(destroyed, 'record').capitalize()} were taken out of the workspace of {facts.client}, "
        f"{numbers.count(restored) if restored else 'none had to be'} put back as they were. "
        + ("The workspace is as it was before." if not _left(facts) else "The workspace is not quite as it was.")
    )


def verdict(facts: RollbackFacts) -> Status:
    """Return `as before` only where nothing differs and nothing was kept; a preview proves nothing."""
    if facts.nothing:
        return Status("nothing to do", Tone.GOOD)
    if facts.preview:
        return Status("preview", Tone.PLAIN)
    if facts.differences:
        return Status("differences", Tone.STOP)
    return Status("some kept", Tone.CHECK) if _kept_things(facts) else Status("as before", Tone.GOOD)


def decisions(facts: RollbackFacts) -> tuple[str, ...]:
    """Return what a person has to decide or look at."""
    asked = []
    if facts.preview and not facts.nothing:
        asked.append("Confirm the rollback, or leave everything as it is.")
    changed = sum(line.changed for line in facts.lines)
    if facts.preview and changed:
        asked.append(
            f"Of the records that would be removed, {numbers.are(changed)} last changed by hand: that work would go "
            "with them. Note it down first where it matters."
        )
    one, many = ("would be", "would be") if facts.preview else ("was", "were")
    asked += [
        f"{numbers.things(n, 'record')} of {name} {one if n == 1 else many} kept: {harmless(why)}"
        for name, why, n in _reasons(facts)
    ]
    asked += _schema_asked(facts, one, many)
    asked += [f"Still different: {harmless(d)}" for d in facts.differences[:_DIFFERENCES_ASKED]]
    more = _differences(facts) - len(facts.differences[:_DIFFERENCES_ASKED])
    return (*asked, f"And {numbers.count(more)} more differences, in the list.") if more else tuple(asked)


_DIFFERENCES_ASKED = 5
_FIELDS_ASKED = 3


def _schema_asked(facts: RollbackFacts, one: str, many: str) -> list[str]:
    """Ask about additions that stay: each by itself where they are few, else an object at a time; the list has all."""
    if len(facts.schema_kept) <= _FIELDS_ASKED:
        return [f"{name} {one} kept: {harmless(why)}" for name, why in facts.schema_kept]
    return [
        f"{numbers.things(int(str(n)), 'addition')} to {name} {one if n == 1 else many} kept: {which}. "
        "What stays, and why, says what holds each"
        for name, n, which in _by_object([name for name, _ in facts.schema_kept])
    ]


def _sum(counts: Sequence[tuple[str, int]]) -> int:
    return sum(n for _, n in counts)


def _differences(facts: RollbackFacts) -> int:
    return max(facts.differences_found, len(facts.differences))


def _reasons(facts: RollbackFacts) -> tuple[tuple[str, str, int], ...]:
    """Return (object, why, how many) of what was kept; facts without these counts are counted here."""
    if facts.kept_why or not facts.kept:
        return facts.kept_why
    pairs = [(name, why) for name, _, why in facts.kept]
    return tuple((*pair, pairs.count(pair)) for pair in dict.fromkeys(pairs))


def _kept_things(facts: RollbackFacts) -> int:
    return sum(n for _, _, n in _reasons(facts)) + len(facts.schema_kept)


def _left(facts: RollbackFacts) -> bool:
    return bool(facts.differences or _kept_things(facts))


# ---- what is taken back --------------------------------------------------------------------------------------------


def _taken_back(facts: RollbackFacts) -> Section:
    destroyed, restored = _sum(facts.destroyed), _sum(facts.restored)
    would = "would be " if facts.preview else "were "
    finding = (
        f"{numbers.things(destroyed, 'record').capitalize()} {would}removed for good, "
        f"{numbers.count(restored) if restored else 'none'} {would}given their earlier values, "
        f"{numbers.things(len(facts.schema_removed), 'addition')} to the workspace {would}removed."
    )
    effects = (
        f"{numbers.things(facts.side_effects, 'entry', 'entries').capitalize()} that the CRM itself had written "
        "about these records (timeline, workflow runs) went with them"
        if facts.side_effects
        else ""
    )
    tables = (
        Table(
            name="taken-back",
            caption="Records, by object",
            columns=(
                Column("Object"),
                Column("Removed", "number"),
                Column("of which in the bin", "number"),
                Column("of which last changed by hand", "number"),
                Column("Put back", "number"),
                Column("Kept", "number"),
                Column("Gone already", "number"),
            ),
            rows=tuple(_line(line) for line in _lines(facts)),
            total=_total(facts),
        ).without_empty(2),
        Table(
            name="schema-removed",
            caption="Additions to the workspace that are removed",
            columns=(Column("Object", "code"), Column("Additions", "number"), Column("Which")),
            rows=_by_object(facts.schema_removed),
        ),
    )
    return Section(
        name="summary",
        heading="What is taken back" if facts.preview else "What was taken back",
        finding=_in_short(facts, 0, 0) if facts.nothing else finding,
        status=verdict(facts),
        note=numbers.sentence(effects, *facts.remarks),
        tables=tuple(t for t in tables if t.rows),
    )


def _lines(facts: RollbackFacts) -> tuple[RollbackLine, ...]:
    """Return a line for each object; the counts of what was done, resumed or not, are those of the ledger."""
    destroyed, restored = dict(facts.destroyed), dict(facts.restored)
    known = {line.object: line for line in facts.lines}
    found = []
    for name in dict.fromkeys([*known, *destroyed, *restored]):
        line = known.get(name, RollbackLine(name))
        found.append(
            RollbackLine(
                name, destroyed.get(name, 0), restored.get(name, 0), line.kept, line.gone, line.binned, line.changed
            )
        )
    return tuple(line for line in found if any((line.destroyed, line.restored, line.kept, line.gone)))


def _line(line: RollbackLine) -> tuple[object, ...]:
    rest = (line.binned, line.changed, line.restored, line.kept, line.gone)
    return (line.object, line.destroyed, *(n or None for n in rest))


def _total(facts: RollbackFacts) -> tuple[object, ...]:
    lines = _lines(facts)
    columns = zip(*(_line(line)[1:] for line in lines), strict=True)
    return ("All", *(sum(int(str(n)) for n in column if n) for column in columns)) if lines else ()


def _by_object(removed: Sequence[str]) -> tuple[tuple[object, ...], ...]:
    """Return a row for each object: `person.gender` is a field of it, `procedure` the object itself."""
    fields: dict[str, list[str]] = {}
    for name in removed:
        owner, _, field = name.partition(".")
        fields.setdefault(owner, []).append(field or "the object itself")
    return tuple((owner, len(names), ", ".join(names)) for owner, names in sorted(fields.items()))


# ---- what is kept --------------------------------------------------------------------------------------------------


def _kept(facts: RollbackFacts) -> Section:
    kept = _kept_things(facts)
    would = "would be" if facts.preview else "was" if kept == 1 else "were"
    finding = (
        f"{numbers.things(kept, 'thing').capitalize()} of this migration {would} kept, because others have come to "
        "need them. A later run takes them up again; a later rollback tries again."
        if kept
        else "Nothing of this migration has to stay."
        if facts.preview
        else "Nothing of this migration was kept."
    )
    tables = (
        Table(
            name="kept-why",
            caption="Why records are kept",
            columns=(Column("Object"), Column("Records", "number"), Column("Why")),
            rows=tuple((name, n, harmless(why)) for name, why, n in _reasons(facts)),
        ),
        Table(
            name="schema-kept",
            caption="Additions to the workspace that stay",
            columns=(Column("Which", "code"), Column("Why")),
            rows=tuple((name, harmless(why)) for name, why in facts.schema_kept),
        ),
        Table(
            name="kept",
            caption="Records that are kept, one by one",
            columns=(Column("Object"), Column("Record", "code"), Column("Why")),
            rows=tuple((name, key, harmless(why)) for name, key, why in facts.kept),
        ),
    )
    return Section(
        name="kept",
        heading="What stays, and why",
        finding=finding,
        status=Status("look at it", Tone.CHECK) if kept else Status("nothing kept", Tone.GOOD),
        tables=tuple(t for t in tables if t.rows),
    )


# ---- the proof -----------------------------------------------------------------------------------------------------


def _proof(facts: RollbackFacts) -> Section:
    if facts.nothing:
        finding = "Nothing was written since the last rollback, so there is nothing to compare."
    elif facts.preview:
        finding = (
            "The proof is made after the rollback: the workspace is then compared with the picture of it that was "
            "taken before the first write."
        )
    elif facts.differences:
        ours = facts.differences_ours
        others = _differences(facts) - ours
        finding = (
            f"{numbers.things(_differences(facts), 'difference').capitalize()} between the workspace now and the "
            f"picture of it taken before the first write: {numbers.count(ours) if ours else 'none'} in records of "
            f"this migration, {numbers.count(others) if others else 'none'} elsewhere."
        )
    else:
        finding = "The workspace was compared with the picture of it taken before the first write: no difference"
        finding += " but what is kept above." if _kept_things(facts) else "."
    closely = [_CLOSENESS[how] for _, _, how in facts.compared]
    how_many = [(how, closely.count(how)) for how in dict.fromkeys(closely)]
    note = "; ".join(f"{how}: {numbers.things(n, 'object')}" for how, n in how_many)
    tables = (
        Table(
            name="differences-left",
            caption="What differs",
            columns=(Column("Difference"),),
            rows=tuple((harmless(d),) for d in facts.differences),
        ),
        Table(
            name="compared",
            caption="What is compared, and how closely",
            columns=(Column("Object"), Column("Records before", "number"), Column("Compared")),
            rows=tuple((name, n, _CLOSENESS[how]) for name, n, how in facts.compared if n or how == "unreadable"),
        ),
    )
    return Section(
        name="proof",
        heading="Proof",
        finding=finding,
        status=verdict(facts),
        note=numbers.sentence(
            f"Compared by {note}" if note else "",
            f"Records in the bin are part of it. The hashes lie beside the ledger, in {facts.picture}"
            if facts.picture
            else "",
        ),
        tables=tuple(t for t in tables if t.rows),
    )
