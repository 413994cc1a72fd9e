"""What stages put together out of several rooms: the audit's note, the map with its plan, prepared records, checks.

Split from `stages.py` so that the main flow stays one short page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import orjson

from dentlib import approvals, loading, mapping
from dentlib.audit import audit, require_known_tables
from dentlib.checks import run_suite
from dentlib.clock import Clock, ManualClock
from dentlib.desk import Desk
from dentlib.destinations import spreadsheet_form
from dentlib.errors import ExportError, GateClosed, UsageError
from dentlib.extraction import read_manifest, take_in, verify_custody
from dentlib.facts import AccessRow, AuditFacts, CheckFacts, Forecast, MappingFacts, MatchFacts
from dentlib.loading import Deletion, LoadResult, ProbeFacts, Undecided
from dentlib.loading.package import FormOf
from dentlib.loading.reading import NO_LIMIT_MINUTES, ReadBudget
from dentlib.loading.reconcile import READ_ROWS, judged_again, reconcile
from dentlib.mapping import Map, PreparedFacts, check_rows
from dentlib.model import DestinationSchema, LoadStep, Problem, SchemaPlan, Severity, content_hash
from dentlib.pairs import load_pair
from dentlib.results import write_private
from dentlib.vocabulary import load_vocabulary
from dentlib.workdb import quoted


@dataclass(frozen=True, slots=True)
class Mapped:
    """The effective map beside the destination as it is now."""

    map: Map
    schema: DestinationSchema
    plan: SchemaPlan
    problems: tuple[Problem, ...]
    access: tuple[AccessRow, ...]
    hashes: Mapping[str, str]

    @property
    def blocking(self) -> tuple[str, ...]:
        """Say what keeps this map from being approved."""
        wrong = [f"{p.where}: {p.message}" for p in self.problems if p.severity is Severity.ERROR]
        return (*wrong, *(f"{i.object}.{i.field or '(object)'}: {i.reason}" for i in self.plan.conflicts))

    @property
    def readable(self) -> list[str]:
        """Say who will be able to read what is sensitive; approving the map confirms it."""
        return [f"{r.what} ({r.object}) can be read by: {', '.join(r.roles) or 'nobody'}" for r in self.access]


# ---- export and audit ----------------------------------------------------------------------------------------------


def rebuild_where_lost(desk: Desk) -> None:
    """Make the work store anew from the newest export in custody, where it was thrown away."""
    rounds = desk.engagement.rounds()
    if not desk.engagement.work_db.is_file() and rounds:
        folder = desk.engagement.root / "export" / rounds[-1]
        take_in(
            folder,
            folder,
            desk.engagement.work_db,
            round=rounds[-1],
            source_label=desk.settings.source,
            clock=desk.clock,
            progress=desk.progress,
        )


def audited(desk: Desk) -> AuditFacts:
    """Audit the newest round, refuse files changed since intake, and note the export's structure."""
    rebuild_where_lost(desk)
    rounds = desk.engagement.rounds()
    if not rounds:
        raise UsageError(f"'{desk.name}' has no export", f"dentlib delta {desk.name} --export ./from-client.zip")
    folder = desk.engagement.root / "export" / rounds[-1]
    changed = verify_custody(folder)
    if changed:
        raise ExportError(
            f"{len(changed)} file(s) of round {rounds[-1]} changed since intake, first {changed[0].where}",
            "put the original back: what was received is evidence",
        )
    facts = audit(
        desk.con,
        read_manifest(folder),
        load_vocabulary(desk.settings.source),
        engagement=desk.name,
        client=desk.settings.client,
        clock=_practice_clock(desk),
    )
    require_known_tables(facts)
    _note(desk, "structure", {"round": rounds[-1], "hash": facts.structure_hash})
    return facts


def _practice_clock(desk: Desk) -> Clock:
    """Return the clock by which past and future are told: standing at noon of `past_before`, where that is set."""
    day = desk.settings.past_before
    return ManualClock(datetime.fromisoformat(f"{day}T12:00:00+00:00")) if day else desk.clock


def structure_hash(desk: Desk) -> str:
    """Return the structure hash of the newest round; audits it where that was not done yet."""
    rebuild_where_lost(desk)
    noted = _read_note(desk, "structure")
    rounds = desk.engagement.rounds()
    if noted and rounds and noted["round"] == rounds[-1]:
        return str(noted["hash"])
    return audited(desk).structure_hash


def _note(desk: Desk, name: str, value: Any) -> None:
    desk.con.execute("CREATE SCHEMA IF NOT EXISTS meta")
    desk.con.execute("CREATE TABLE IF NOT EXISTS meta.notes (name VARCHAR PRIMARY KEY, value VARCHAR)")
    desk.con.execute("INSERT OR REPLACE INTO meta.notes VALUES (?, ?)", [name, orjson.dumps(value).decode()])


def _read_note(desk: Desk, name: str) -> Any:
    desk.con.execute("CREATE TABLE IF NOT EXISTS meta.notes (name VARCHAR PRIMARY KEY, value VARCHAR)")
    row = desk.con.execute("SELECT value FROM meta.notes WHERE name = ?", [name]).fetchone()
    return orjson.loads(row[0]) if row else None


# ---- the map -------------------------------------------------------------------------------------------------------


def proposed(desk: Desk) -> None:
    """Propose the map from the export; a map that is there keeps every decision made in it."""
    pair = load_pair(desk.settings.source, desk.settings.destination.product)
    proposals = mapping.propose(desk.con, load_vocabulary(desk.settings.source), pair)
    mapping.write_proposals(proposals, desk.engagement.map_file.parent)


def mapped(desk: Desk) -> Mapped:
    """Read the effective map and hold it against the destination's live schema. Reads only."""
    structure = structure_hash(desk)
    if not desk.engagement.map_file.is_file():
        raise GateClosed(f"'{desk.name}' has no map yet", f"dentlib review {desk.name}")
    pair = load_pair(desk.settings.source, desk.settings.destination.product)
    chosen = mapping.load_map(pair, desk.engagement.map_file)
    schema = desk.destination.describe()
    plan = desk.destination.plan(mapping.wanted_schema(chosen, desk.con))
    access = mapping.access_rows(chosen, desk.destination.roles_that_read)
    return Mapped(
        map=chosen,
        schema=schema,
        plan=plan,
        problems=tuple(mapping.check(chosen, desk.con, schema)),
        access=access,
        hashes={
            "map": chosen.hash(),
            "structure": structure,
            "plan": plan.hash(),
            "destination": approvals.destination_base_hash(schema, plan),
            "settings": _settings_hash(desk),
            "access": content_hash([[r.what, r.object, sorted(r.fields), sorted(r.roles)] for r in access]),
        },
    )


def _settings_hash(desk: Desk) -> str:
    """Hash the settings that decide what the records hold: money in another currency is another sample."""
    shaping = ("time_zone", "currency", "phone_country", "languages", "fallback_owner", "past_before", "max_upload_mb")
    return content_hash([[name, getattr(desk.settings, name)] for name in shaping])


def approved(desk: Desk, what: str) -> Mapped:
    """Return the map if the gate `what` (map, or sample, which includes it) is open; raises GateClosed otherwise."""
    now = mapped(desk)
    file = desk.engagement.approvals_file
    approvals.require(file, "map", now.hashes, desk.name)
    if what == "sample":
        approvals.require(file, "sample", {**now.hashes, **sample_hashes(desk)}, desk.name)
    if now.plan.conflicts:
        conflict = now.plan.conflicts[0]
        raise GateClosed(
            f"{conflict.object}.{conflict.field}: {conflict.reason}",
            f"rename or remove it in the CRM, or choose another name in the map; then dentlib review {desk.name}",
        )
    return now


def sample_file(desk: Desk) -> Path:
    """Return where the last sample's hash lies, beside the approvals that refer to it."""
    return desk.engagement.map_file.with_name("sample.json")


def note_sample(desk: Desk, data_hash: str) -> None:
    """Note the result of a sample and the workspace in which it is."""
    noted = {"data_hash": data_hash, "workspace": desk.workspace.id, "at": desk.clock.now()}
    write_private(sample_file(desk), noted)


def sample_hashes(desk: Desk) -> dict[str, str]:
    """Return what an approval of the sample adds to that of the map: its result, empty where this workspace has none.

    A sample in another workspace (a rehearsal's, say) is not one of this: the gate to a client's CRM stays closed.
    """
    file, here = sample_file(desk), desk.workspace.id
    noted = orjson.loads(file.read_bytes()) if file.is_file() else {}
    return {"sample": str(noted["data_hash"]) if noted.get("workspace") == here else "", "workspace": here}


def mapping_facts(desk: Desk, now: Mapped) -> MappingFacts:
    """Tell the map as a person reads it, with owners, scope and consent as they would be now."""
    return mapping.mapping_facts(
        desk.con,
        now.map,
        engagement=desk.name,
        client=desk.settings.client,
        problems=now.problems,
        schema=now.plan.items,
        roles_that_read=desk.destination.roles_that_read,
    )


# ---- records -------------------------------------------------------------------------------------------------------


def prepared_records(desk: Desk, now: Mapped) -> PreparedFacts:
    """Turn the export into records as they will be sent. Writes the work store only.

    Rows that stand for records of the workspace get their ids: those that the ledger remembers, and those that the
    map's rules find now, with which everything is prepared once more. So it is where the workspace holds people under
    ids of ours that the ledger doesn't know yet: a run was killed before it heard the answer, or files were imported.
    Their addresses are ours and clash with nobody.
    """
    people = _people(desk, now)
    known = loading.remembered(desk.ledger, [s.step for s in now.map.active_steps])
    live = "SELECT record_id FROM current WHERE state = 'live' AND object = 'person'"  # whose addresses are compared
    ours = {row[0] for row in desk.ledger.rows(live)}
    prepared = _prepared(desk, now, people, loading.Matches(known, {}, 0), ours)
    found = loading.match(
        desk.con, desk.ledger, desk.destination, prepared.steps, patience=loading.Patience(desk.clock)
    )
    unheard = _under_our_ids(desk, prepared, set(people.values()) - ours)
    if found.fresh or found.ambiguous or unheard:
        return _prepared(desk, now, people, found, ours | unheard)
    return prepared


def _under_our_ids(desk: Desk, prepared: PreparedFacts, record_ids: set[str]) -> set[str]:
    """Return which of these records have an id that a prepared row has."""
    found: set[str] = set()
    for step in prepared.steps if record_ids else ():
        table = f"prepared.{quoted(step.table)}"
        sql = f"SELECT record_id::VARCHAR FROM {table} WHERE record_id::VARCHAR IN (SELECT unnest(?))"
        found |= {rid for (rid,) in desk.con.execute(sql, [sorted(record_ids)]).fetchall()}
    return found


def _prepared(
    desk: Desk, now: Mapped, people: Mapping[str, str], matches: loading.Matches, live: set[str]
) -> PreparedFacts:
    settings = desk.settings
    rounds = desk.engagement.rounds()
    today = desk.clock.now().astimezone(settings.zone).date()
    ours = live | {rid for found in matches.matched.values() for rid in found.values()}
    context = mapping.PrepareContext(
        engagement=desk.name,
        run_date=date.fromisoformat(settings.past_before) if settings.past_before else today,
        time_zone=settings.time_zone or "UTC",
        currency=settings.currency or "",
        phone_country=settings.phone_country or "",
        members=tuple(desk.destination.members()),
        fallback_owner_email=settings.fallback_owner or "",
        documents_dir=desk.engagement.root / "export" / rounds[-1],
        max_upload_mb=settings.max_upload_mb,
        existing_emails=frozenset(email for email, rid in people.items() if rid not in ours),
        own_emails={email: rid for email, rid in people.items() if rid in ours},
        schema=now.schema,
        matched=matches.matched,
        ambiguous=matches.ambiguous,
    )
    return mapping.prepare(desk.con, now.map, context, progress=desk.progress)


def _people(desk: Desk, now: Mapped) -> dict[str, str]:
    """Return the primary e-mails of the workspace's people, with the record that has each.

    An address that is unique in the CRM and belongs to somebody else can't be ours; one of ours stays where it is.
    """
    if "person" not in now.schema.objects:
        return {}
    people = desk.destination.scan("person", fields=["emails"])
    emails = ((p["id"], (p.get("emails") or {}).get("primaryEmail")) for p in people)
    return {email.lower(): rid for rid, email in emails if email}


def match_facts(desk: Desk, prepared: PreparedFacts) -> MatchFacts:
    """Tell which rows stand for records of the workspace, and what loading them would change. Reads only."""
    patience = loading.Patience(desk.clock)
    return loading.match_facts(desk.con, desk.ledger, desk.destination, prepared.steps, patience=patience)


def judged(desk: Desk, now: Mapped, prepared: PreparedFacts) -> list[CheckFacts]:
    """Judge the export and the prepared records by their suites."""
    desk.progress.start("checks", 2, "suites")
    extract = run_suite(desk.con, "extract")
    desk.progress.advance("checks")
    rows = run_suite(desk.con, "prepared", check_rows(desk.con, now.map, prepared.steps, now.schema))
    desk.progress.advance("checks")
    desk.progress.finish("checks")
    return [*extract, *rows]


def checked(desk: Desk, now: Mapped, prepared: PreparedFacts) -> list[CheckFacts]:
    """Judge export and prepared records; raises GateClosed where a check fails or could not be made."""
    checks = judged(desk, now, prepared)
    failed = [c for c in checks if not c.success]
    if failed:
        first = failed[0]
        raise GateClosed(
            f"{len(failed)} of {len(checks)} checks before the load failed: {first.description} "
            f"({first.numerator:,} of {first.denominator:,}) {first.detail}",
            f"mend the map or the export, then dentlib review {desk.name}; nothing was written",
        )
    return checks


def set_up(desk: Desk, now: Mapped, steps: Sequence[LoadStep]) -> ProbeFacts:
    """Apply the schema plan through the ledger and prove it with one record of each object, removed again.

    Raises GateClosed, before anything is written, where the key lacks a right that the load or its rollback needs.
    """
    names = sorted({step.object_name for step in steps})
    if lacking := desk.destination.missing_rights(names, schema=bool(now.plan.changes)):
        raise GateClosed(
            f"the key may not: {'; '.join(lacking)}",
            "give the role of this key these rights in the CRM (settings, roles), then run the same command again",
        )
    loading.apply_schema(desk.ledger, desk.destination, now.plan, clock=desk.clock, progress=desk.progress)
    probed = loading.probe(desk.ledger, desk.destination, desk.con, steps, clock=desk.clock)
    if not probed.passed:
        words = [f"{f.object}.{f.field}: {f.reason}" for f in probed.fields if not f.same]
        words += [f"{step}: {code}: {said}" for step, code, said in probed.refused]
        raise GateClosed(
            f"the destination does not keep what is sent: {'; '.join(words[:5])}",
            f"look at these fields in the CRM, or leave them out in the map; then dentlib review {desk.name}",
        )
    return probed


def load_all(
    desk: Desk, prepared: PreparedFacts, kind: Any, *, only_sample: bool = False, again: str = ""
) -> LoadResult:
    """Load through the ledger, going on with a run of this kind that never ended.

    `again`: the run that is taken up once more, with the rows that it could not write.
    """
    unfinished = loading.open_run(desk.ledger, kind)
    fresh = f"{kind}-{desk.clock.now():%Y%m%dT%H%M%S%f}"
    run_id = again or (unfinished.run_id if unfinished else fresh)
    return loading.load(
        desk.ledger,
        desk.destination,
        desk.con,
        prepared.steps,
        run_id=run_id,
        kind=kind,
        only_sample=only_sample,
        retry_failed=bool(again),
        clock=desk.clock,
        progress=desk.progress,
    )


def form_of(desk: Desk) -> FormOf:
    """Return how the CRM's own importer wants the records of an object, by its schema as it is now."""
    schema, product = desk.destination.describe(), desk.settings.destination.product
    return lambda object_name, fields: spreadsheet_form(product, schema, object_name, fields)


def imported(desk: Desk, prepared: PreparedFacts) -> list[str]:
    """Enter in the ledger what the CRM's own importer made of the package; return the steps. Reads the CRM only."""
    run_id = f"imported-{desk.clock.now():%Y%m%dT%H%M%S%f}"
    taken = loading.take_up(
        desk.ledger,
        desk.destination,
        desk.con,
        prepared.steps,
        form_of(desk),
        run_id=run_id,
        clock=desk.clock,
        progress=desk.progress,
    )
    return [facts.step for facts in taken]


def forecast(desk: Desk, steps: Sequence[LoadStep]) -> Forecast:
    """Say what a load of everything needs from where it stands now: calls, minutes, the end. Calls nothing."""
    return loading.forecast(
        desk.ledger,
        desk.con,
        steps,
        desk.destination.capabilities,
        read_rows=READ_ROWS,
        now=desk.clock.now().astimezone(desk.settings.zone),
        rate_from=desk.settings.destination.rate_from,
    )


def undecided(desk: Desk, deletions: Sequence[Deletion], run_id: str) -> Undecided:
    """List what a delta leaves for a person to decide, as it is now in the CRM."""
    patience = loading.Patience(desk.clock)
    return loading.list_undecided(desk.ledger, desk.destination, deletions, run_id=run_id, patience=patience)


def with_lost(desk: Desk, listed: Undecided, run_id: str) -> Undecided:
    """Add what the reconciliation did not find of our records."""
    sql = "SELECT DISTINCT step, record_id FROM reconcile.differences WHERE kind = 'missing' AND record_id IS NOT NULL"
    missing = desk.con.execute(sql).fetchall()
    patience = loading.Patience(desk.clock)
    return loading.list_lost(desk.ledger, desk.destination, listed, missing, run_id=run_id, patience=patience)


def reconciled(
    desk: Desk, prepared: PreparedFacts, run_id: str, *, minutes: float = NO_LIMIT_MINUTES
) -> list[CheckFacts]:
    """Read everything back, or what `minutes` allow at the destination's rate, and judge it by the suites."""
    reconcile(
        desk.con,
        desk.ledger,
        desk.destination,
        prepared.steps,
        run_id=run_id,
        budget=ReadBudget.within(minutes, desk.destination.capabilities.calls_per_minute),
        clock=desk.clock,
        progress=desk.progress,
    )
    return judged_again(desk.con)
