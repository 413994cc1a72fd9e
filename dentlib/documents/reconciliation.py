"""What reading everything back found, as sections: how much was read, what differs and why, sums and links."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

from dentlib.documents import numbers
from dentlib.documents.view import Column, Section, Share, Status, Table, Tone, worst
from dentlib.facts import ExplainedFacts, LinkFacts, ReconciliationFacts, RunFacts, StepCounts, SumFacts

KINDS: Mapping[str, Status] = {
    "missing": Status("missing", Tone.STOP),
    "unknown": Status("not written by us", Tone.STOP),
    "twin": Status("there twice", Tone.STOP),
    "file": Status("another file", Tone.STOP),
    "unexplained": Status("unexplained", Tone.STOP),
    "lost": Status("lost", Tone.STOP),
    "truncated": Status("cut short", Tone.STOP),
    "defaulted": Status("filled by default", Tone.STOP),
    "listed": Status("removed by somebody", Tone.CHECK),
    "changed": Status("changed by a person", Tone.CHECK),
    "kept": Status("left as theirs", Tone.CHECK),
    "normalised": Status("in the CRM's form", Tone.GOOD),
    "identical": Status("identical", Tone.GOOD),
}
"""What each kind of difference is called, the gravest first."""

_ORDER = list(KINDS)


def sections(facts: RunFacts) -> tuple[Section, ...]:
    """Return the sections of a reading back; each says so where nothing was read. Pure."""
    found = facts.reconciliation
    if found is None:
        nothing = Section("readback", "What was read back", "Nothing was read back.", Status("not read", Tone.CHECK))
        return (
            nothing,
            replace(nothing, name="differences", heading="Differences, and what explains them"),
            replace(nothing, name="totals", heading="Sums, groups and links"),
        )
    return (_readback(found), _differences(found), _totals(found))


# ---- how much was read ---------------------------------------------------------------------------------------------


def _readback(found: ReconciliationFacts) -> Section:
    looked, confirmed = sum(s.looked_at for s in found.steps), sum(s.confirmed for s in found.steps)
    back = sum(s.read_back for s in found.steps)
    how_many = (
        f"Every record was asked for by its id and compared field by field: {numbers.share_of(back, looked, 'record')} "
        "were there."
        if found.whole
        else f"{numbers.share_of(looked, confirmed, 'record')} were read and compared field by field, chosen by chance "
        f"(seed {found.seed}); {numbers.share_of(back, looked, 'record')} of these were there. {_worth(found)}"
    )
    took = numbers.duration((found.ended_at - found.started_at).total_seconds())
    right = looked == back and all(s.at_destination == s.expected_there for s in found.steps)
    return Section(
        name="readback",
        heading="What was read back",
        finding=f"{how_many} {_files(found)}".strip(),
        status=Status("all there" if found.whole else "all of the sample there", Tone.GOOD)
        if right
        else Status("not all there", Tone.STOP),
        note=f"Read in {took} with {numbers.things(found.calls, 'call')} of the CRM, at most "
        f"{numbers.count(found.page_rows)} records each. In the CRM: counted anew by source id, independently of what "
        "was answered while writing; records that were there before carry their own.",
        tables=(
            Table(
                name="counts",
                caption="Records by step, on both sides",
                columns=(
                    Column("What"),
                    Column("Object in the CRM"),
                    Column("Confirmed", "number"),
                    Column("Read back", "share"),
                    Column("Counted in the CRM", "number"),
                    Column("Should be", "number"),
                    Column("There before", "number"),
                    Column("Removed, listed", "number"),
                    Column("In the bin", "number"),
                    Column("Gone", "number"),
                    Column("Not ours", "number"),
                    Column("Twice", "number"),
                    Column("Right", "status"),
                ),
                rows=tuple(_count_row(s) for s in found.steps),
            ).without_empty(),
        ),
    )


def _worth(found: ReconciliationFacts) -> str:
    least = min((s.seen_one_percent for s in found.steps), default=1.0)
    return (
        "A fault in 1 % of the records of a step would have been seen with a chance of at least "
        f"{100 * least:.{1 if least < 0.999 else 3}f} %."
    )


def _files(found: ReconciliationFacts) -> str:
    if not found.files:
        return ""
    compared, same = sum(f.compared for f in found.files), sum(f.same for f in found.files)
    expected = sum(f.expected for f in found.files)
    size = numbers.size(sum(f.size_bytes for f in found.files))
    right = f"{numbers.share_of(same, compared, 'file')} hold the bytes that were sent"
    return f"{numbers.share_of(compared, expected, 'file')} were fetched ({size}); {right}."


def _count_row(s: StepCounts) -> tuple[object, ...]:
    wrong = s.looked_at != s.read_back or s.at_destination != s.expected_there or s.unknown or s.twins
    return (
        *(s.label, s.object, s.confirmed, Share(s.read_back, s.confirmed), s.at_destination, s.expected_there),
        *(s.matched or None, s.listed or None, s.in_bin or None, s.gone or None, s.unknown or None, s.twins or None),
        Status("no", Tone.STOP) if wrong else Status("yes", Tone.GOOD),
    )


# ---- what differs --------------------------------------------------------------------------------------------------


def _differences(found: ReconciliationFacts) -> Section:
    by_kind: dict[str, int] = defaultdict(int)
    for e in found.explained:
        by_kind[e.kind] += e.count
    total = sum(by_kind.values())
    other = total - by_kind["identical"] - by_kind["normalised"]
    explained = ", ".join(f"{numbers.count(n)} {KINDS[k].word}" for k, n in _graded(by_kind) if k not in _FINE)
    tones = [KINDS[d.kind].tone for d in found.differences]
    return Section(
        name="differences",
        heading="Differences, and what explains them",
        finding=f"{numbers.things(total, 'value')} compared: {numbers.count(by_kind['identical'])} identical, "
        f"{numbers.count(by_kind['normalised'])} in the CRM's own form"
        + (f", {explained}." if other else "; none differs otherwise.")
        + (f" {numbers.things(found.differences_found, 'difference')} in all." if found.differences_found else ""),
        status=Status("none", Tone.GOOD) if not found.differences else _STATUS[worst(tones)],
        note="Each explanation was worked out again from what was sent. What could not be explained that way is "
        "unexplained, and fails. Values are never shown, records by their id in the CRM.",
        tables=(_explained(found), *((_named(found),) if found.differences else ())),
    )


_FINE = ("identical", "normalised")
_STATUS = {Tone.STOP: Status("differences", Tone.STOP), Tone.CHECK: Status("changes by others", Tone.CHECK)}


def _graded(by_kind: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(((k, n) for k, n in by_kind.items() if n), key=lambda x: _ORDER.index(x[0]))


def _explained(found: ReconciliationFacts) -> Table:
    """Return one row for each kind and form, with the fields it holds for."""
    label = {s.step: s.label for s in found.steps}
    forms: dict[tuple[str, str], list[ExplainedFacts]] = defaultdict(list)
    for e in found.explained:
        if e.kind != "identical":
            forms[e.kind, e.how].append(e)
    rows = []
    for (kind, how), of in sorted(forms.items(), key=lambda x: (_ORDER.index(x[0][0]), x[0][1])):
        fields = [f"{label.get(e.step, e.step)}: {e.field} {numbers.count(e.count)}" for e in of]
        rows.append((KINDS[kind], numbers.first_upper(how), sum(e.count for e in of), numbers.listing(fields, most=8)))
    return Table(
        name="explanations",
        caption="Values that are not written exactly as they were sent, by what explains them",
        columns=(Column("Kind", "status"), Column("How"), Column("Values", "number"), Column("Of these")),
        rows=tuple(rows),
    )


def _named(found: ReconciliationFacts) -> Table:
    label = {s.step: s.label for s in found.steps}
    return Table(
        name="differences",
        caption="Records that are not as they were meant, the gravest first",
        columns=(
            Column("Kind", "status"),
            Column("What"),
            Column("Object in the CRM"),
            Column("Record", "code"),
            Column("Field", "code"),
            Column("How"),
        ),
        rows=tuple(
            (
                KINDS[d.kind],
                label.get(d.step, d.step),
                d.object,
                d.record_id,
                d.field or None,
                numbers.first_upper(d.how),
            )
            for d in found.differences
        ),
    )


# ---- sums, groups, links -------------------------------------------------------------------------------------------


def _totals(found: ReconciliationFacts) -> Section:
    wrong = sum(not s.same for s in found.sums) + sum(not x.same for x in found.links) + len(found.groups_different)
    parts = (
        numbers.things(len(found.sums), "sum"),
        numbers.things(found.groups, "group"),
        numbers.things(len(found.links), "link"),
    )
    return Section(
        name="totals",
        heading="Sums, groups and links",
        finding=f"{parts[0]}, {parts[1]} and {parts[2]} compared on both sides; "
        + (f"{numbers.count(wrong)} differ." if wrong else "all agree."),
        status=Status("differences", Tone.STOP) if wrong else Status("agree", Tone.GOOD),
        note="Sums with smallest and greatest of every amount, number and date; groups by stage, status, kind, yes or "
        "no, and year; of every link the children of each parent. Values that a person has changed since count on "
        "neither side.",
        tables=tuple(t for t in (_sums(found), _links(found), _groups(found)) if t.rows),
    )


def _sums(found: ReconciliationFacts) -> Table:
    label = {s.step: s.label for s in found.steps}
    return Table(
        name="sums",
        caption="What was sent, and what is stored",
        columns=(
            Column("What"),
            Column("Field", "code"),
            Column("Values", "number"),
            Column("Sum sent", "number"),
            Column("Sum stored", "number"),
            Column("Smallest", "number"),
            Column("Greatest", "number"),
            Column("Same", "status"),
        ),
        rows=tuple(
            (
                label.get(s.step, s.step),
                s.field,
                s.sent_n,
                *_both(s),
                _ends(s, least=True),
                _ends(s, least=False),
                _yes(s),
            )
            for s in found.sums
        ),
    )


def _both(s: SumFacts) -> tuple[str, str]:
    if s.kind in ("money", "number"):
        return _written(s, s.sent_sum), _written(s, s.stored_sum)
    off = s.stored_sum - s.sent_sum
    days = off if s.kind == "date" else off // 86_400_000
    return "as dates", "the same" if not off else f"{days:+,} days in all"


def _ends(s: SumFacts, *, least: bool) -> str:
    sent, stored = (s.sent_min, s.stored_min) if least else (s.sent_max, s.stored_max)
    return _written(s, sent) if sent == stored else f"{_written(s, sent)} → {_written(s, stored)}"


def _written(s: SumFacts, value: int | None) -> str:
    """Write a value; of dates only the year is known here, because a date may be a patient's."""
    if value is None:
        return "none"
    if s.kind in ("date", "moment"):
        return str(value)
    whole = f"{value / 1_000_000:,.2f}"
    return f"{whole} {s.unit}".strip() if s.kind == "money" else whole.removesuffix(".00")


def _yes(s: SumFacts | LinkFacts) -> Status:
    return Status("yes", Tone.GOOD) if s.same else Status("no", Tone.STOP)


def _links(found: ReconciliationFacts) -> Table:
    label = {s.step: s.label for s in found.steps}
    return Table(
        name="links",
        caption="Links, by the children of each parent",
        columns=(
            Column("What"),
            Column("Link", "code"),
            Column("Links", "number"),
            Column("Parents", "number"),
            Column("Leading elsewhere", "number"),
            Column("Leading nowhere", "number"),
            Column("Parents with other children", "number"),
            Column("Same", "status"),
        ),
        rows=tuple(
            (
                *(label.get(x.step, x.step), x.field, x.children, x.parents),
                *(x.moved or None, x.orphans or None, x.parents_different or None, _yes(x)),
            )
            for x in found.links
        ),
    ).without_empty()


def _groups(found: ReconciliationFacts) -> Table:
    label = {s.step: s.label for s in found.steps}
    return Table(
        name="groups",
        caption="Groups whose number differs",
        columns=(
            Column("What"),
            Column("Field", "code"),
            Column("Group"),
            Column("Sent", "number"),
            Column("Stored", "number"),
        ),
        rows=tuple(
            (label.get(g.step, g.step), g.field, g.value or "(none)", g.sent, g.stored) for g in found.groups_different
        ),
    )
