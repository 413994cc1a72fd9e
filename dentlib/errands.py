"""What is done beside the main line: settings, where an engagement stands, and errands before and after a run.

Each opens its own desk where it needs one, like a stage, and returns plain data that the command line prints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dentlib import approvals, loading, mapping, ownership
from dentlib import assembly as make
from dentlib import telling as tell
from dentlib.approvals import Approval
from dentlib.clock import Clock, SystemClock
from dentlib.desk import open_desk
from dentlib.engagement import Engagement
from dentlib.errors import GateClosed, UsageError
from dentlib.facts import PackageFacts, PreviewFacts
from dentlib.loading import Ledger
from dentlib.model import Progress
from dentlib.results import StageResult, finish, tells_its_errors, write_csv, write_private


def configure(name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Change settings (dotted names for the destination's) and return them all. Keys are only ever referred to."""
    engagement = Engagement.open(name)
    of_now = engagement.settings.destination
    state = engagement.root / f"sandbox-{of_now.product}.sqlite"
    if changes.get("destination.sandbox_version", of_now.sandbox_version) != of_now.sandbox_version and state.exists():
        raise UsageError(
            f"the built-in sandbox of '{name}' is a Twenty {of_now.sandbox_version} already",
            f"open another engagement, or give this one up with all that is in it: delete {state}",
        )
    settings = engagement.configure(changes) if changes else engagement.settings
    return settings.model_dump(mode="json")


@tells_its_errors
def preview(name: str, *, clock: Clock | None = None, progress: Progress | None = None) -> StageResult[PreviewFacts]:
    """Say what a run would do, how long it takes and what reacts to it. Wants an approved map; writes no record.

    Exit code 1 while something is undecided that closes the gate to the run.
    """
    with open_desk(name, "preview", clock=clock, progress=progress) as desk:
        now = make.approved(desk, "map")
        prepared = make.prepared_records(desk, now)
        facts = tell.preview_facts(desk, now, prepared)
        facts = replace(facts, undecided=(*facts.undecided, *ownership.ownerless(desk, now)))
        lines = [
            tell.in_short(facts.forecast),
            f"{facts.matches.matched:,} rows stand for records that are in the CRM already; not clear: "
            f"{facts.matches.ambiguous:,}",
            *(f"{r.kind}: {r.label}, can't be switched off ({r.detail})" for r in facts.reactions),
        ]
        return finish(
            desk.engagement,
            "preview",
            facts,
            ["preview"],
            clock=desk.clock,
            exit_code=1 if facts.undecided else 0,
            notes={"verdict": "nothing is written yet", "lines": lines},
        )


@tells_its_errors
def package(
    name: str, *, set_up: bool = False, clock: Clock | None = None, progress: Progress | None = None
) -> StageResult[PackageFacts]:
    """Write the records as files for the CRM's own importer, and a page that says what to click. Wants an approved map.

    The fields of the map must be in the CRM first: `set_up` makes them (and proves them with one record, removed
    again). No record is written. Afterwards: `dentlib reconcile --imported`, then `dentlib run` for what is left.
    """
    with open_desk(name, "package", clock=clock, progress=progress) as desk:
        now = make.approved(desk, "map")
        prepared = make.prepared_records(desk, now)
        make.checked(desk, now, prepared)
        if set_up:
            make.set_up(desk, now, prepared.steps)
        elif now.plan.changes:
            raise GateClosed(
                f"{len(now.plan.changes)} objects, fields or options of the map are not in the CRM yet",
                f"dentlib package {name} --set-up makes them first",
            )
        # the picture from before the importer's first record: a rollback is compared with it
        loading.ensure_baseline(desk.ledger, desk.destination, patience=loading.Patience(desk.clock))
        folder = desk.engagement.folder("package")
        for old in folder.glob("*.csv"):
            old.unlink()
        written = loading.write_package(
            desk.con,
            prepared.steps,
            make.form_of(desk),
            folder,
            remembered=loading.remembered(desk.ledger, [s.name for s in prepared.steps]),
            progress=desk.progress,
        )
        facts = PackageFacts(
            engagement=name,
            client=desk.settings.client,
            workspace=desk.workspace.name,
            folder=f"{name}/{folder.name}",
            files=tuple(written.files),
            steps_left=tuple(written.steps_left),
            fields_left=tuple(written.fields_left),
        )
        lines = [
            f"{sum(f.rows for f in facts.files):,} records in {len(facts.files)} files: {folder}",
            f"{sum(n for _, _, n, _ in facts.steps_left):,} records can't go by file; the run afterwards sends them",
        ]
        notes = {"verdict": "written", "lines": lines}
        return finish(
            desk.engagement,
            "package",
            facts,
            ["package"],
            clock=desk.clock,
            notes=notes,
        )


@tells_its_errors
def decide(
    name: str, files: Sequence[Path], *, by: str, dry_run: bool = False, clock: Clock | None = None
) -> dict[str, Any]:
    """Carry out what a person decided in the files of a delta: conflicts and deletions. Resumable; each once.

    `dry_run`: only say what would be done. Exit code 1 when rows were refused, which are no longer as they were listed.
    Raises UsageError naming file, row and column of what is no decision; then nothing is done.
    """
    if not by.strip():
        raise UsageError("decisions need a person's name", '--by "A. Analyst"')
    choices, left = loading.read_choices([_found(name, file) for file in files])
    with open_desk(name, "decide", clock=clock) as desk:
        now = make.approved(desk, "sample")
        marks = {s.step: s.deletions.mark for s in now.map.active_steps if s.deletions is not None}
        carried = loading.decide(
            desk.ledger,
            desk.destination,
            choices,
            marks={step: loading.Mark(m.field, m.value) for step, m in marks.items()},
            by=by.strip(),
            run_id=f"decide-{desk.clock.now():%Y%m%dT%H%M%S%f}",
            clock=desk.clock,
            dry_run=dry_run,
        )
        told = {
            "stage": "decide",
            "engagement": name,
            "by": by.strip(),
            "dry_run": dry_run,
            "done": dict(carried.done),
            "already": dict(carried.already),
            "undecided": left,
            "refused": [{"where": r.where, "ref": r.ref, "reason": r.reason} for r in carried.refused],
            "exit_code": 1 if carried.refused else 0,
        }
        write_private(desk.engagement.new_run_folder(desk.clock.now(), "decide") / "result.json", told)
        if not dry_run:
            loading.write_audit_log(desk.ledger, desk.engagement.reports / "audit-log.csv")
    return told


def _found(name: str, file: Path) -> Path:
    """Return a file as named, or as named from the engagement's folder."""
    inside = Engagement.path_of(name) / file
    return inside if not file.exists() and inside.exists() else file


@dataclass(frozen=True, slots=True)
class OwnerLine:
    """A row of `owners.csv`: one of the staff, how their records find a member, and `member_email` to change."""

    source_key: str
    name: str
    email: str
    role: str
    records: int
    how: str
    why: str
    invited: str
    member_email: str


@tells_its_errors
def owners(name: str, *, clock: Clock | None = None, progress: Progress | None = None) -> dict[str, Any]:
    """List the staff and whose member gets their records, and write `owners.csv` to fill in. Writes nothing to the CRM.

    Exit code 1 while somebody's records would have no owner though the map doesn't allow it. `invited`: addresses that
    have not accepted; None where this key can't see them.
    """
    with open_desk(name, "owners", clock=clock, progress=progress) as desk:
        now = make.mapped(desk)
        make.prepared_records(desk, now)
        rows = mapping.owner_rows(desk.con, now.map)
        invited = desk.destination.invitations()
        asked = {address.lower() for address in invited or ()}
        lines = [
            OwnerLine(
                o.source_key, o.name, o.email, o.role, o.records, o.how, o.reason,
                "yes" if o.email.lower() in asked and o.email else "", o.member_email,
            )
            for o in rows
        ]  # fmt: skip
        folder = desk.engagement.new_run_folder(desk.clock.now(), "owners")
        undecided = ownership.ownerless(desk, now)
        told = {
            "stage": "owners",
            "engagement": name,
            "owners": [asdict(line) for line in lines],
            "members": sorted(m.email for m in desk.destination.members()),
            "invited": invited,
            "undecided": list(undecided),
            "file": str(write_csv(folder / "owners.csv", OwnerLine, lines)),
            "exit_code": 1 if undecided else 0,
        }
        write_private(folder / "result.json", told)
        return told


@tells_its_errors
def reassign_owners(
    name: str,
    file: Path,
    *,
    by: str,
    dry_run: bool = False,
    clock: Clock | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Give records the owners that `owners.csv` names now: in the map, and in the CRM where they are there already.

    Approvals that held are given again in the name of `by`, for the map as it is then. Resumable. `dry_run`: only say
    what would change. An owner whom somebody chose in the CRM stays and is told (exit code 1).
    Raises UsageError naming row and column of what can't be: nothing is done then.
    """
    if not by.strip():
        raise UsageError("owners are assigned in a person's name", '--by "A. Analyst"')
    with open_desk(name, "owners", clock=clock, progress=progress) as desk:
        now = make.mapped(desk)
        make.prepared_records(desk, now)
        wanted = ownership.assigned_owners(desk, now, _found(name, file))
        written = sum(desk.ledger.live_counts().values()) > 0
        if written and not dry_run:
            make.approved(desk, "sample")
        folder = desk.engagement.new_run_folder(desk.clock.now(), "owners")
        after = ownership.with_owners(desk, now, wanted, by.strip(), folder / "map.yaml" if dry_run else None)
        prepared = make.prepared_records(desk, after)
        fields = {s.step: s.owner.field for s in after.map.active_steps if s.owner is not None and s.owner.field}
        done = loading.Reassigned()
        if written and wanted:
            done = loading.reassign(
                desk.ledger,
                desk.destination,
                desk.con,
                [(s, fields[s.name]) for s in prepared.steps if s.name in fields],
                wanted,
                by=by.strip(),
                run_id=f"owners-{desk.clock.now():%Y%m%dT%H%M%S%f}",
                clock=desk.clock,
                dry_run=dry_run,
            )
        told = {
            "stage": "owners",
            "engagement": name,
            "by": by.strip(),
            "dry_run": dry_run,
            "assigned": wanted,
            "changed": dict(done.changed),
            "right": dict(done.right),
            "kept": [asdict(k) for k in done.kept],
            "exit_code": 1 if done.kept else 0,
        }
        write_private(folder / "result.json", told)
        if not dry_run and written:
            loading.write_audit_log(desk.ledger, desk.engagement.reports / "audit-log.csv")
        return told


def verify_log(name: str, *, clock: Clock | None = None) -> dict[str, Any]:
    """Check every ledger of an engagement from its first entry to its last. Reads only; asks no CRM.

    Exit code 2 where one was edited, cut or replaced. Raises GateClosed where nothing was written yet.
    """
    folder = Engagement.open(name).folder("ledgers")
    names = {p.name.removesuffix(".head") for p in [*folder.glob("*.sqlite"), *folder.glob("*.sqlite.head")]}
    if not names:
        raise GateClosed(f"'{name}' has no ledger yet: nothing was written", f"dentlib sample {name}")
    found = [loading.verify_log(folder / file, clock=clock or SystemClock()) for file in sorted(names)]
    return {
        "stage": "verify-log",
        "engagement": name,
        "ledgers": [asdict(f) | {"kinds": dict(f.kinds)} for f in found],
        "exit_code": 0 if all(f.intact for f in found) else 2,
    }


def status(name: str, *, clock: Clock | None = None) -> dict[str, Any]:
    """Say where an engagement stands and what comes next. Reads only; asks no CRM."""
    engagement = Engagement.open(name)
    given = {what: approvals.latest(engagement.approvals_file, what) for what in ("map", "sample")}
    told: dict[str, Any] = {
        "engagement": name,
        "client": engagement.settings.client,
        "source": engagement.settings.source,
        "destination": engagement.settings.destination.url or f"built-in {engagement.settings.destination.product}",
        "round": (engagement.rounds() or ["none"])[-1],
        "undecided": list(engagement.settings.undecided()),
        **{
            what: f"approved by {a.by} at {a.at:%Y-%m-%d %H:%M} UTC" if a else "not approved"
            for what, a in given.items()
        },
        "run": "none",
        "live_records": 0,
    }
    ledgers = sorted(engagement.folder("ledgers").glob("*.sqlite"), key=lambda p: p.stat().st_mtime)
    if ledgers:
        with Ledger.open(
            ledgers[-1], workspace=None, engagement=name, clock=clock or SystemClock(), read_only=True
        ) as ledger:
            ran = loading.runs(ledger)
            told["live_records"] = sum(ledger.live_counts().values())
            if ran:
                told["run"] = f"{ran[-1].run_id}: {ran[-1].verdict or 'not ended, goes on with the same command'}"
            back = loading.rolled_back_at(ledger)
            if back and not ran:
                told["run"] = f"rolled back at {back}"
            told["complete"] = bool(ran) and ran[-1].kind in ("run", "delta") and bool(ran[-1].verdict)
    told["next"] = _next(name, told, given)
    return told


def _next(name: str, told: Mapping[str, Any], given: Mapping[str, Approval | None]) -> str:
    if given["map"] is None:
        return f'dentlib audit {name}, dentlib review {name}, dentlib approve {name} map --by "A. Analyst"'
    if given["sample"] is None:
        return f'dentlib sample {name}, dentlib approve {name} sample --by "A. Analyst"'
    if told.get("complete"):
        return f"dentlib delta {name} --export …"
    begun = told["run"].endswith("goes on with the same command")
    return f"dentlib run {name}" + (f" (after a fix of rows that failed: dentlib retry {name})" if begun else "")
