"""The line that a consultant walks, one short function per stage. Notebooks and the command line call only these.

    new → audit → review → approve map → prepare → sample → approve sample → run → delta → reconcile      (→ rollback)

Every stage opens its own desk (lock, work store, destination, ledger), writes its pages and evidence, and returns a
`StageResult`. Raises a `DentlibError` when it can't go on; problems with data are counted in the result's facts.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dentlib import approvals, documents, loading, mapping, ownership
from dentlib import assembly as make
from dentlib import telling as tell
from dentlib.approvals import Approval
from dentlib.clock import Clock, SystemClock
from dentlib.desk import Desk, open_desk
from dentlib.engagement import REHEARSAL, DestinationSettings, Engagement, Settings
from dentlib.errors import GateClosed, UsageError
from dentlib.extraction import take_in
from dentlib.facts import AuditFacts, CheckFacts, MappingFacts, RollbackFacts, RunFacts, SampleFacts, StepFacts
from dentlib.loading.reading import NO_LIMIT_MINUTES
from dentlib.loading.reconcile import judged_again
from dentlib.model import Progress, Silence
from dentlib.pairs import load_pair
from dentlib.results import StageResult, finish, run_folder, tells_its_errors, write_private
from dentlib.vocabulary import load_vocabulary

NOT_AGREED = "the reconciliation does not agree: see its checks"
NO_BACKUP = (
    "nobody has confirmed that the CRM's own backup was made before this run (dentlib approve … sample --backup)"
)


def new(
    name: str,
    *,
    source: str,
    destination: str,
    export: Path,
    settings: Mapping[str, Any] | None = None,
    clock: Clock | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Open an engagement and take the client's export into custody. All or nothing; no CRM is touched.

    Raises UsageError for a name in use, an unknown product or pair, bad settings; ExportError for an unusable export.
    """
    clock = clock or SystemClock()
    load_vocabulary(source)
    load_pair(source, destination)
    root = Engagement.path_of(name)
    if (root / "engagement.yaml").exists():
        raise UsageError(
            f"there is an engagement '{name}' already, in {root}", "choose another name, or delete that folder"
        )
    fresh = not root.exists()
    engagement = Engagement(
        name, root, Settings(client=name, source=source, destination=DestinationSettings(product=destination))
    )
    try:
        facts = _take_in(engagement, export, clock, progress or Silence())
        engagement.configure(dict(settings or {}))
    except BaseException:
        if fresh:
            shutil.rmtree(root, ignore_errors=True)
        raise
    return {
        "engagement": name,
        "folder": str(root),
        "files": len(facts.files),
        "tables": len({f.table for f in facts.files if f.table}),
        "rows": sum(f.loaded for f in facts.files),
        "rejected": sum(f.rejected for f in facts.files),
        "undecided": list(engagement.settings.undecided()),
        "rehearsal": dict(REHEARSAL),
    }


def _take_in(engagement: Engagement, export: Path, clock: Clock, progress: Progress) -> Any:
    day, number = f"{clock.now():%Y-%m-%d}", 1
    while (engagement.root / "export" / f"{day}-{number:02d}").exists():
        number += 1
    return take_in(
        export,
        engagement.folder("export") / f"{day}-{number:02d}",
        engagement.work_db,
        round=f"{day}-{number:02d}",
        source_label=engagement.settings.source,
        clock=clock,
        progress=progress,
    )


@tells_its_errors
def audit(name: str, *, clock: Clock | None = None, progress: Progress | None = None) -> StageResult[AuditFacts]:
    """Say what the export is. Reads the export and writes pages; touches no CRM."""
    with open_desk(name, "audit", clock=clock, progress=progress) as desk:
        facts = make.audited(desk)
        lines = [
            f"{len(facts.tables)} tables, {sum(t.rows for t in facts.tables):,} rows, {len(facts.findings)} findings"
        ]
        return finish(desk.engagement, "audit", facts, ["audit"], clock=desk.clock, notes={"lines": lines})


@tells_its_errors
def review(name: str, *, clock: Clock | None = None, progress: Progress | None = None) -> StageResult[MappingFacts]:
    """Propose the map, hold it against the live destination, tell schema plan and owners. Writes nothing to the CRM.

    Exit code 1 while something keeps the map from being approved; the decisions say what.
    """
    with open_desk(name, "review", clock=clock, progress=progress) as desk:
        make.structure_hash(desk)
        make.proposed(desk)
        now = make.mapped(desk)
        make.prepared_records(desk, now)
        facts = make.mapping_facts(desk, now)
        lines = [
            f"{sum(x.status == 'mapped' for x in facts.lines)} of {len(facts.lines)} columns mapped",
            f"{len(now.plan.changes)} changes to the CRM's schema planned, {len(now.plan.conflicts)} conflicts",
        ]
        result = finish(
            desk.engagement,
            "review",
            facts,
            ["mapping", "schema", "owners", "rebuild"],
            clock=desk.clock,
            decisions=[*now.blocking, *_stand_ins(desk)],
            exit_code=1 if now.blocking else 0,
            notes={"lines": lines, "hashes": dict(now.hashes)},
        )
        tell.write_lists(desk, now, result.folder)
        _cutover_page(desk)
        return result


def _stand_ins(desk: Desk) -> list[str]:
    """Name the undecided settings, and what the rehearsal on the sandbox uses instead."""
    return [
        f"{name} is undecided: this rehearsal uses {REHEARSAL[name]} (dentlib configure {desk.name} "
        f"--{name.replace('_', '-')} …)"
        for name in desk.engagement.settings.undecided()
    ]


@tells_its_errors
def approve(name: str, what: str, *, by: str, backup: str = "", clock: Clock | None = None) -> dict[str, Any]:
    """Approve the `map` or the `sample` as it stands now, in a person's name.

    Approving the map also confirms which roles of the CRM will read clinical notes and the like. `backup` (with the
    sample): who made the CRM's own backup, and when.
    Raises GateClosed while something must be decided first, UsageError for anything else than map or sample.
    """
    if what not in ("map", "sample"):
        raise UsageError(f"'{what}' can't be approved", "approve map, or approve sample")
    if not by.strip():
        raise UsageError("an approval needs a person's name", '--by "A. Analyst"')
    with open_desk(name, f"approve {what}", clock=clock) as desk:
        now = make.approved(desk, "map") if what == "sample" else make.mapped(desk)
        if now.blocking:
            raise GateClosed(f"the map can't be approved yet: {'; '.join(now.blocking[:5])}", f"dentlib review {name}")
        hashes = dict(now.hashes)
        if what == "sample":
            hashes |= make.sample_hashes(desk)
            if not hashes["sample"]:
                raise GateClosed("there is no sample to approve in this workspace", f"dentlib sample {name}")
        confirms = (
            now.readable if what == "map" else [f"the CRM's own backup: {backup.strip()}"] if backup.strip() else []
        )
        approval = Approval(what=what, by=by.strip(), at=desk.clock.now(), hashes=hashes, confirms=confirms)
        approvals.add(desk.engagement.approvals_file, approval)
    following = f"dentlib {'sample' if what == 'map' else 'run'} {name}"
    told = {"engagement": name, "what": what, "by": approval.by, "at": approval.at.isoformat()}
    return {**told, "confirms": confirms, "next": following}


@tells_its_errors
def prepare(name: str, *, clock: Clock | None = None, progress: Progress | None = None) -> dict[str, Any]:
    """Turn the export into records, each row with its outcome. Writes the work store only; idempotent."""
    with open_desk(name, "prepare", clock=clock, progress=progress) as desk:
        now = make.mapped(desk)
        prepared = make.prepared_records(desk, now)
        checks = make.judged(desk, now, prepared)
        columns = ("step", "read", "prepared", "rejected", "excluded", "merged")
        rows = desk.con.execute(f"SELECT {', '.join(columns)} FROM prepared.steps").fetchall()
        told = {
            "stage": "prepare",
            "engagement": name,
            "steps": [dict(zip(columns, row, strict=True)) for row in rows],
            "checks": documents.as_data(checks),
            "exit_code": 0 if all(c.success for c in checks) else 1,
        }
        write_private(desk.engagement.new_run_folder(desk.clock.now(), "prepare") / "result.json", told)
        return told


@tells_its_errors
def sample(
    name: str,
    *,
    size: int | None = None,
    reveal: bool = False,
    clock: Clock | None = None,
    progress: Progress | None = None,
) -> StageResult[SampleFacts]:
    """Write a sample (closed under its lookups) and show source, intended and stored value of every field.

    Wants an approved map. The run adopts the sample's records. `size` None: the engagement's `sample_rows`. Resumable.
    """
    with open_desk(name, "sample", clock=clock, progress=progress) as desk:
        now = make.approved(desk, "map")
        prepared = make.prepared_records(desk, now)
        make.checked(desk, now, prepared)
        mapping.choose_sample(desk.con, now.map, prepared.steps, size or desk.settings.sample_rows, now.schema)
        make.set_up(desk, now, prepared.steps)
        loaded = make.load_all(desk, prepared, "sample", only_sample=True)
        facts = tell.sample_facts(desk, now, prepared, loaded)
        make.note_sample(desk, facts.data_hash)
        lines = [
            f"{sum(s.read for s in facts.steps):,} records, {facts.fields_compared:,} fields compared, "
            f"{facts.fields_different:,} different"
        ]
        return finish(
            desk.engagement, "sample", facts, ["sample"], clock=desk.clock, reveal=reveal, notes={"lines": lines}
        )


@tells_its_errors
def run(name: str, *, clock: Clock | None = None, progress: Progress | None = None) -> StageResult[RunFacts]:
    """Move everything, then reconcile. Wants an approved sample; goes on where a stopped run ended.

    Exit code 1 when the reconciliation does not agree.
    """
    with open_desk(name, "run", clock=clock, progress=progress) as desk:
        now = make.approved(desk, "sample")
        return _loaded_and_reconciled(desk, now, "run")


@tells_its_errors
def delta(
    name: str, *, export: str | Path | None = None, clock: Clock | None = None, progress: Progress | None = None
) -> StageResult[RunFacts]:
    """Bring over what a later export creates or changes; deletions are a list for a person. Wants a run before.

    A later export of the same structure keeps the approvals; another structure closes the gate and says why.
    """
    with open_desk(name, "delta", clock=clock, progress=progress) as desk:
        if loading.last_run(desk.ledger, "run") is None:
            raise GateClosed(f"'{name}' has had no full run yet", f"dentlib run {name}")
        if export:
            _take_in(desk.engagement, Path(export), desk.clock, desk.progress)
            make.audited(desk)
        now = make.approved(desk, "sample")
        return _loaded_and_reconciled(desk, now, "delta")


@tells_its_errors
def retry(name: str, *, clock: Clock | None = None, progress: Progress | None = None) -> StageResult[RunFacts]:
    """Send again what the last run or delta could not write, under the same run id, then reconcile.

    After a fix in the map, the CRM or the network; a changed map wants its approvals anew. Rows that were written stay
    as they are, unless the fix changes them. Raises GateClosed where there was no run.
    """
    with open_desk(name, "retry", clock=clock, progress=progress) as desk:
        last = next((r for r in reversed(loading.runs(desk.ledger)) if r.kind in ("run", "delta")), None)
        if last is None:
            raise GateClosed(f"'{name}' has had no run yet", f"dentlib run {name}")
        now = make.approved(desk, "sample")
        return _loaded_and_reconciled(desk, now, last.kind, again=last.run_id)


def _loaded_and_reconciled(desk: Desk, now: make.Mapped, kind: str, again: str = "") -> StageResult[RunFacts]:
    """Load and judge. `again`: the run whose failed rows are tried once more."""
    prepared = make.prepared_records(desk, now)
    before = make.checked(desk, now, prepared)
    ownership.require_decided(desk, now)
    expected = make.forecast(desk, prepared.steps)
    desk.progress.start("forecast", None, "calls")
    desk.progress.finish("forecast", tell.in_short(expected))
    make.set_up(desk, now, prepared.steps)
    deletions = loading.plan_delta(desk.ledger, desk.con, prepared.steps).deletions if kind == "delta" else ()
    with tell.names_failed_rows(desk):
        loaded = make.load_all(desk, prepared, kind, again=again)
    undecided = make.undecided(desk, deletions, loaded.run_id) if kind == "delta" else None
    checks = [*before, *make.reconciled(desk, prepared, loaded.run_id)]
    undecided = make.with_lost(desk, undecided, loaded.run_id) if undecided is not None else None
    facts = tell.run_facts(desk, now, prepared, loaded, checks, expected, undecided)
    loading.write_audit_log(desk.ledger, desk.engagement.reports / "audit-log.csv")
    good = _agrees(facts.steps, checks)
    folder = run_folder(desk.engagement, kind, desk.clock)
    lines = tell.to_decide(desk.name, undecided, folder)
    result = finish(
        desk.engagement,
        kind,
        facts,
        [kind],
        clock=desk.clock,
        decisions=[*([] if good else [NOT_AGREED]), *([] if _backed_up(desk) else [NO_BACKUP])],
        exit_code=0 if good else 1,
        notes={"lines": lines, "verdict": _verdict(checks, good), **tell.listed(undecided)},
        folder=folder,
    )
    tell.write_lists(desk, now, result.folder, undecided)
    _cutover_page(desk, loaded.switched_off)
    return result


def _backed_up(desk: Desk) -> bool:
    """Tell whether a backup needs no more confirming: somebody has, or it is the sandbox in the engagement's folder."""
    approval = approvals.latest(desk.engagement.approvals_file, "sample")
    return desk.settings.destination.url is None or bool(approval and approval.confirms)


def _agrees(steps: tuple[StepFacts, ...], checks: list[CheckFacts]) -> bool:
    return all(c.success for c in checks) and all(s.adds_up for s in steps)


def _verdict(checks: list[CheckFacts], good: bool) -> str:
    passed = sum(bool(c.success) for c in checks)
    return f"{'agrees' if good else 'DOES NOT AGREE'}, {passed} of {len(checks)} checks passed"


@tells_its_errors
def reconcile(
    name: str,
    *,
    imported: bool = False,
    rejudge: bool = False,
    minutes: float | None = None,
    clock: Clock | None = None,
    progress: Progress | None = None,
) -> StageResult[RunFacts]:
    """Read everything back and judge it again. Writes nothing to the CRM.

    `imported`: first find what the CRM's own importer made of the package's files, and judge the steps that went so.
    `rejudge`: judge what was read back last by the suites as they are now, without reading. `minutes`: how long reading
    may take at the rate allowed before a sample is read instead (its size and worth are told).
    """
    with open_desk(name, "reconcile", clock=clock, progress=progress) as desk:
        now = make.approved(desk, "map" if imported else "sample")
        prepared = make.prepared_records(desk, now)
        if imported:
            taken = make.imported(desk, prepared)
            prepared = replace(prepared, steps=tuple(s for s in prepared.steps if s.name in taken))
        last = next((r for r in reversed(loading.runs(desk.ledger)) if r.kind != "sample"), None)
        if last is None:
            raise GateClosed(f"'{name}' has had no run yet", f"dentlib run {name}")
        if rejudge:
            checks = judged_again(desk.con)
        else:
            checks = make.reconciled(desk, prepared, last.run_id, minutes=minutes or NO_LIMIT_MINUTES)
        facts = tell.reconciled_facts(desk, now, prepared, last, checks)
        good = _agrees(facts.steps, checks) and not any(s.failed for s in facts.steps if imported)
        return finish(
            desk.engagement,
            "reconcile",
            facts,
            ["delta" if last.kind == "delta" else "run"],
            clock=desk.clock,
            exit_code=0 if good else 1,
            notes={"verdict": _verdict(checks, good)},
        )


@tells_its_errors
def rollback(
    name: str, *, yes: bool = False, workspace: str = "", clock: Clock | None = None, progress: Progress | None = None
) -> StageResult[RollbackFacts]:
    """Put the CRM back as it was before the first write, and prove it. Without `yes`: only say what would be done.

    `workspace` must be the workspace's name, typed by a person; on the built-in sandbox it may be left out. Resumable.
    """
    with open_desk(name, "rollback", clock=clock, progress=progress) as desk:
        if not yes:
            facts = loading.preview(
                desk.ledger,
                desk.destination,
                clock=desk.clock,
                progress=desk.progress,
                client=desk.settings.client,
            )
            notes = {"verdict": "preview", "lines": tell.rollback_lines(facts)}
            pages = [] if facts.nothing else ["rollback"]
            return finish(desk.engagement, "rollback", facts, pages, clock=desk.clock, notes=notes)
        if (workspace or desk.settings.destination.url is not None) and workspace != desk.workspace.name:
            raise UsageError(
                "the workspace's name must be typed to roll it back",
                f"dentlib rollback {name} --yes --workspace '{desk.workspace.name}'",
            )
        facts = loading.rollback(
            desk.ledger, desk.destination, clock=desk.clock, progress=desk.progress, client=desk.settings.client
        )
        loading.write_audit_log(desk.ledger, desk.engagement.reports / "audit-log.csv")
        verdict, good = tell.rollback_verdict(facts)
        pages = [] if facts.nothing else ["rollback"]  # the page with the proof of the last one stays
        return finish(
            desk.engagement,
            "rollback",
            facts,
            pages,
            clock=desk.clock,
            exit_code=0 if good else 1,
            notes={"verdict": verdict, "lines": tell.rollback_lines(facts)},
        )


def save(result: StageResult[Any]) -> Path:
    """Write the result's `result.json` into its run folder; idempotent. What a notebook does last."""
    return result.save()


def _cutover_page(desk: Desk, switched_off: tuple[str, ...] = ()) -> None:
    settings = desk.settings
    facts = documents.checklist(
        desk.name, settings.client, f"{settings.source}--{settings.destination.product}", switched_off
    )
    now = desk.clock.now().astimezone(settings.zone)
    documents.write_page("cutover", facts, desk.engagement.reports, generated_at=now)
    documents.write_index(desk.engagement.reports, desk.name, settings.client, generated_at=now)


__all__ = [
    "StageResult",
    "approve",
    "audit",
    "delta",
    "new",
    "prepare",
    "reconcile",
    "retry",
    "review",
    "rollback",
    "run",
    "sample",
    "save",
]
