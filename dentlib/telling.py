"""What stages tell: a sample side by side, a run or delta with its verdicts, and the lists row by row."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from dentlib import approvals, loading, mapping
from dentlib.assembly import Mapped, forecast, match_facts
from dentlib.desk import Desk
from dentlib.errors import BudgetExceeded
from dentlib.facts import CheckFacts, Forecast, PreviewFacts, RollbackFacts, RunFacts, SampleFacts
from dentlib.loading import Conflict, ConflictLine, DeletionLine, KeptField, LoadResult, Undecided
from dentlib.loading.files import RefusedFile
from dentlib.loading.history import RunRecord
from dentlib.loading.load import calls_of
from dentlib.loading.outcomes import outcomes_of
from dentlib.loading.reconciled import reconciliation_facts
from dentlib.loading.sample_diff import compare_sample
from dentlib.mapping import PreparedFacts, SetAside, ValueRemark
from dentlib.model import content_hash
from dentlib.results import write_csv, write_rows
from dentlib.workdb import quoted


def sample_facts(desk: Desk, now: Mapped, prepared: PreparedFacts, loaded: LoadResult) -> SampleFacts:
    """Read the sample back and put source, intended and stored side by side."""
    schema = desk.destination.describe()
    theirs = {(k.record_id, k.field) for k in loading.kept_fields(desk.ledger)}
    diff = []
    for step in prepared.steps:
        rows = desk.con.execute(
            f"SELECT source_key, record_id, payload FROM prepared.{quoted(step.table)} WHERE in_sample ORDER BY ordinal"
        ).fetchall()
        intended = {r[1]: orjson.loads(r[2]) for r in rows}
        stored = desk.destination.read(step.object_name, list(intended))
        types = loading.field_types(schema.objects[step.object_name])
        explained = mapping.explain(desk.con, now.map, step.name, [r[0] for r in rows])
        diff += compare_sample(explained, intended, stored, types, theirs)
    failed_lookups = sum(_failed_lookups(desk, step.name, step.table) for step in prepared.steps)
    owners = desk.con.execute("SELECT count(*) FROM prepared.owners WHERE how <> 'matched' AND records > 0").fetchone()
    return SampleFacts(
        engagement=desk.name,
        client=desk.settings.client,
        steps=loaded.steps,
        diff=tuple(diff),
        fields_compared=len(diff),
        fields_different=sum(not d.same for d in diff),
        unmatched_owners=owners[0] if owners else 0,
        failed_lookups=failed_lookups,
        problems=prepared.problems,
        data_hash=content_hash([[d.step, d.source_key, d.field, d.intended, d.same] for d in diff]),
    )


def _failed_lookups(desk: Desk, step: str, table: str) -> int:
    """Count links of the step's sample records that lead to nothing that moves."""
    row = desk.con.execute(
        f"SELECT count(*) FROM prepared.problems JOIN prepared.{quoted(table)} AS r USING (source_key) "
        "WHERE step = ? AND code IN ('orphan', 'parent_not_migrated') AND r.in_sample",
        [step],
    ).fetchone()
    return int(row[0]) if row else 0


def confirmations(desk: Desk) -> tuple[tuple[str, str, datetime], ...]:
    """Return what was confirmed, by whom and when: approvals, and what they vouched for besides."""
    found = [approvals.latest(desk.engagement.approvals_file, what) for what in ("map", "sample")]
    return tuple((words, a.by, a.at) for a in found if a is not None for words in (f"the {a.what}", *a.confirms))


def preview_facts(desk: Desk, now: Mapped, prepared: PreparedFacts) -> PreviewFacts:
    """Tell what a run from here would do. Reads only."""
    names = sorted({step.object_name for step in prepared.steps})
    lacking = desk.destination.missing_rights(names, schema=bool(now.plan.changes))
    how = desk.con.execute(
        "SELECT how, count(*), sum(records)::BIGINT FROM prepared.owners GROUP BY how ORDER BY how"
    ).fetchall()
    invited = desk.destination.invitations()
    return PreviewFacts(
        engagement=desk.name,
        client=desk.settings.client,
        workspace=desk.workspace.name,
        forecast=forecast(desk, prepared.steps),
        switches=tuple(s.label for s in desk.destination.switches()),
        reactions=tuple(desk.destination.reactions()),
        owners=tuple(how),
        invited=None if invited is None else len(invited),
        undecided=tuple(f"the key may not {right}" for right in lacking),
        matches=match_facts(desk, prepared),
        probed=desk.destination.probed(),
    )


def in_short(expected: Forecast) -> str:
    """Say the forecast in one line."""
    calls = f"{expected.records:,} records in {expected.calls:,} writing calls, {expected.reading:,} to read back"
    if expected.minutes is None or expected.ends_at is None:
        return f"{calls}; no rate is set and nothing was timed yet, so no time is foreseen"
    return f"{calls}, {expected.minutes:,} minutes: ends about {expected.ends_at:%Y-%m-%d %H:%M %Z}".rstrip()


def run_facts(
    desk: Desk,
    now: Mapped,
    prepared: PreparedFacts,
    loaded: LoadResult,
    checks: Sequence[CheckFacts],
    expected: Forecast,
    undecided: Undecided | None,
) -> RunFacts:
    """Tell a run or delta: outcomes, reasons, verdicts, forecast against fact."""
    return RunFacts(
        engagement=desk.name,
        client=desk.settings.client,
        run_id=loaded.run_id,
        kind=loaded.kind,
        started_at=loaded.started_at,
        ended_at=desk.clock.now(),
        steps=loaded.steps,
        reasons=loaded.reasons,
        checks=tuple(checks),
        forecast=expected,
        calls=loaded.calls,
        refused_for_rate=desk.destination.stats.refused_for_rate,
        retries=loaded.retries,
        switched_off=loaded.switched_off,
        ledger_head=loaded.ledger_head,
        tables=prepared.tables,
        confirmed=confirmations(desk),
        remarks=mapping.remark_counts(desk.con, now.map),
        gone=tuple(Counter(m.step for m in undecided.missing).items()) if undecided else (),
        conflicts=_conflict_counts(undecided.conflicts) if undecided else (),
        settled=undecided.settled if undecided else (),
        calls_by_step=tuple(loading.calls_by_step(desk.ledger, loaded.run_id).items()),
        written_at=loaded.ended_at,
        kept=loaded.kept,
        counted_calls=desk.destination.stats.calls,
        reconciliation=reconciliation_facts(desk.con),
        switches=loading.switch_history(desk.ledger, loaded.run_id),
    )


def reconciled_facts(
    desk: Desk, now: Mapped, prepared: PreparedFacts, last: RunRecord, checks: Sequence[CheckFacts]
) -> RunFacts:
    """Tell the last run again, with new verdicts; outcomes are those that the ledger holds."""
    steps, reasons = outcomes_of(desk.ledger, last.run_id)
    return RunFacts(
        engagement=desk.name,
        client=desk.settings.client,
        run_id=last.run_id,
        kind=last.kind,
        started_at=datetime.fromisoformat(last.started_at),
        ended_at=datetime.fromisoformat(last.ended_at) if last.ended_at else desk.clock.now(),
        steps=steps,
        reasons=reasons,
        checks=tuple(checks),
        forecast=forecast(desk, prepared.steps),
        calls=calls_of(desk.ledger, last.run_id),
        refused_for_rate=desk.destination.stats.refused_for_rate,
        retries=desk.destination.stats.retries,
        switched_off=(),
        ledger_head=desk.ledger.head,
        tables=prepared.tables,
        reconciliation=reconciliation_facts(desk.con),
        confirmed=confirmations(desk),
        remarks=mapping.remark_counts(desk.con, now.map),
        switches=loading.switch_history(desk.ledger, last.run_id),
    )


def _conflict_counts(conflicts: Sequence[Conflict]) -> tuple[tuple[str, str, int], ...]:
    counts = Counter((c.step, c.field) for c in conflicts)
    return tuple((step, field, n) for (step, field), n in sorted(counts.items()))


def write_lists(desk: Desk, now: Mapped, folder: Path, undecided: Undecided | None = None) -> None:
    """Write, row by row, what did not arrive (`rejects.csv`, evidence) and what arrived differently (a deliverable).

    Files that were not sent are listed with their path; after a delta also what a person has to decide
    (`conflicts.csv` and `deletions.csv`, where there is any).
    """
    write_csv(folder / "rejects.csv", SetAside, mapping.rows_set_aside(desk.con, now.map))
    write_csv(desk.engagement.reports / "value-remarks.csv", ValueRemark, mapping.value_remarks(desk.con, now.map))
    shared = mapping.household_rows(desk.con, now.map)
    write_rows(desk.engagement.reports / "households.csv", mapping.SHARED_COLUMNS, shared)
    if refused := loading.refused_files(desk.ledger):
        write_csv(folder / "files-not-sent.csv", RefusedFile, refused)
    if kept := loading.kept_fields(desk.ledger):
        write_csv(folder / "kept-as-theirs.csv", KeptField, kept)
    if undecided and undecided.conflicts:
        write_csv(folder / loading.CONFLICTS_FILE, ConflictLine, loading.conflict_lines(undecided.conflicts))
    if undecided and undecided.missing:
        write_csv(folder / loading.DELETIONS_FILE, DeletionLine, loading.deletion_lines(undecided.missing))


@contextmanager
def names_failed_rows(desk: Desk) -> Iterator[None]:
    """Where too many rows fail for the map, leave the audit log that names them, and tell where it is."""
    try:
        yield
    except BudgetExceeded as stop:
        log = desk.engagement.reports / "audit-log.csv"
        loading.write_audit_log(desk.ledger, log)
        raise BudgetExceeded(stop.message, f"{log} names each row and its reason; {stop.hint} {desk.name}") from stop


def to_decide(name: str, undecided: Undecided | None, folder: Path) -> list[str]:
    """Say in lines what a delta leaves for a person, and the command that carries it out."""
    if undecided is None or not (undecided.conflicts or undecided.missing):
        return []
    lines, files = [], []
    if undecided.conflicts:
        n = len(undecided.conflicts)
        lines.append(f"{n:,} value{'s' * (n > 1)} changed on both sides: the CRM's stay until somebody decides")
        files.append(folder / loading.CONFLICTS_FILE)
    if undecided.missing:
        n = len(undecided.missing)
        lines.append(f"{n:,} record{'s' * (n > 1)} gone from the export (or from the CRM): listed, not touched")
        files.append(folder / loading.DELETIONS_FILE)
    given = " ".join(f"--from {shlex.quote(str(file))}" for file in files)
    return [*lines, f'fill in the column decision, then: dentlib decide {name} {given} --by "A. Analyst"']


def listed(undecided: Undecided | None) -> dict[str, list[dict[str, Any]]]:
    """Return what is to be decided, without values and source keys, which may identify somebody."""
    if undecided is None:
        return {}
    return {
        "deletions": [
            {"ref": m.ref, "step": m.step, "object": m.object, "record_id": m.record_id, "why": m.why}
            for m in undecided.missing
        ],
        "conflicts": [
            {"ref": c.ref, "step": c.step, "object": c.object, "record_id": c.record_id, "field": c.field}
            for c in undecided.conflicts
        ],
    }


def rollback_verdict(facts: RollbackFacts) -> tuple[str, bool]:
    """Say in a few words how a rollback ended, and whether nothing is left to look at."""
    if facts.nothing:
        return "there was nothing to take back; nothing was done", True
    kept = sum(n for _, _, n in facts.kept_why) + len(facts.schema_kept)
    if not facts.differences and not kept:
        return "the workspace is as it was", True
    left = [f"{kept:,} things were kept" if kept else ""]
    left += [f"{facts.differences_found:,} things differ" if facts.differences else ""]
    return f"{', '.join(x for x in left if x)}: see the page, each is named", False


def rollback_lines(facts: RollbackFacts) -> list[str]:
    """Tell a rollback, or what it would do, in lines for the terminal."""
    if facts.nothing:
        return ["nothing of this migration stands in the workspace"]
    would = "would be " if facts.preview else ""
    destroyed, restored = (sum(n for _, n in counts) for counts in (facts.destroyed, facts.restored))
    lines = [
        f"{destroyed:,} records {would}destroyed, {restored:,} records {would}given their earlier values, "
        f"{len(facts.schema_removed)} additions to the schema {would}removed"
    ]
    changed = sum(x.changed for x in facts.lines)
    if changed:
        lines.append(f"{changed:,} of the records {would}destroyed were last changed by hand: that work goes with them")
    lines += [f"{n:,} of {name} {would}kept: {why}" for name, why, n in facts.kept_why]
    stay = Counter(name.partition(".")[0] for name, _ in facts.schema_kept)
    lines += [
        f"{n:,} addition{'s' * (n > 1)} to {name} {would}kept: the page says what holds each"
        for name, n in stay.items()
    ]
    return [*lines, *facts.remarks, *(["nothing was done yet"] if facts.preview else [])]
