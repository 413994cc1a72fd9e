"""A CRM that behaves, in a SQLite file so that it outlives a killed process, and a small practice prepared for it.

It creates batches whole or not at all, keeps e-mails unique (the bin included), checks foreign keys, writes timeline
rows of its own, lower-cases e-mails, and can lose answers, stall, refuse for the rate, or be unreachable on command.
Updates in batches are not atomic: a fault may leave half of them written.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import orjson

from dentlib.clock import ManualClock
from dentlib.errors import AccessDenied, InDoubt, RateLimited, Refused, Unreachable
from dentlib.loading import Ledger, LoadResult, load
from dentlib.model import (
    JSON,
    Capabilities,
    Decision,
    DestinationField,
    DestinationObject,
    DestinationSchema,
    FileTicket,
    LastWrite,
    LoadStep,
    Member,
    ProbedFact,
    Reaction,
    SchemaItem,
    SchemaPlan,
    Switch,
    WantedField,
    WantedSchema,
    Workspace,
    record_id,
)

STANDARD = {
    "company": {"name": "TEXT", "sourceSystemId": "TEXT", "createdAt": "DATE_TIME"},
    "person": {"name": "FULL_NAME", "emails": "EMAILS", "companyId": "UUID", "city": "TEXT", "sourceSystemId": "TEXT"},
    "attachment": {"name": "TEXT", "file": "FILES", "targetPersonId": "UUID"},
    "timelineActivity": {"target": "TEXT"},
}
PARENTS = {"companyId": "company", "targetPersonId": "person"}
BAD = "not-a-value"
ENGAGEMENT = "demo"
WORKSPACE = Workspace("ws-1", "Bright Smile", "http://127.0.0.1:1")


class FakeCrm:
    """The state of one workspace."""

    def __init__(self, path: Path) -> None:
        self.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=20)
        self.db.executescript("""
            PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;
            CREATE TABLE IF NOT EXISTS record (object TEXT, id TEXT, doc TEXT, PRIMARY KEY (object, id));
            CREATE TABLE IF NOT EXISTS email (address TEXT PRIMARY KEY, id TEXT);
            CREATE TABLE IF NOT EXISTS file (id TEXT PRIMARY KEY, bytes BLOB, state TEXT);
            CREATE TABLE IF NOT EXISTS switch (id TEXT PRIMARY KEY, state TEXT);
            CREATE TABLE IF NOT EXISTS field (object TEXT, name TEXT, type TEXT, PRIMARY KEY (object, name));
        """)
        if not self.db.execute("SELECT count(*) FROM field").fetchone()[0]:
            with self:
                for name, fields in STANDARD.items():
                    self.db.executemany("INSERT INTO field VALUES (?,?,?)", [(name, f, t) for f, t in fields.items()])
                self.db.execute("INSERT INTO switch VALUES ('trigger', 'on')")

    def __enter__(self) -> FakeCrm:
        self.db.execute("BEGIN IMMEDIATE")
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.db.execute("ROLLBACK" if kind else "COMMIT")

    def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return everything, table by table. An upload that was only begun is not: a cron sweeps it."""
        tables = ("record", "email", "switch", "field")
        found = {t: sorted(self.db.execute(f"SELECT * FROM {t}").fetchall()) for t in tables}
        found["file"] = sorted(self.db.execute("SELECT * FROM file WHERE state <> 'begun'").fetchall())
        return found

    def insert(self, object_name: str, records: Sequence[JSON]) -> None:
        """Create all records or none, as the real one does."""
        with self:
            for sent in records:
                self._insert(object_name, dict(sent))

    def _insert(self, object_name: str, record: JSON) -> None:
        known = {n for (n,) in self.db.execute("SELECT name FROM field WHERE object = ?", (object_name,))}
        for name, value in record.items():
            if name not in known | {"id"}:
                raise Refused(f'Object {object_name} doesn\'t have any "{name}" field.', code="BAD_USER_INPUT")
            if value == BAD or BAD in str(value):
                raise Refused(f'Invalid value "{value}" for field {name}', code="INVALID_ARGS_DATA")
            parent = PARENTS.get(name)
            if parent and value and not self.get(parent, value):
                raise Refused("violates foreign key constraint", code="BAD_USER_INPUT")
        if "emails" in record and (address := record["emails"].get("primaryEmail")):
            record["emails"] = {**record["emails"], "primaryEmail": address.lower()}
            if self.db.execute("SELECT 1 FROM email WHERE address = ?", (address.lower(),)).fetchone():
                raise Refused("A duplicate entry was detected", code="BAD_USER_INPUT")
            self.db.execute("INSERT INTO email VALUES (?,?)", (address.lower(), record["id"]))
        if self.get(object_name, record["id"]):
            raise Refused("A duplicate entry was detected", code="BAD_USER_INPUT")
        for file in record.get("file") or ():
            changed = self.db.execute(
                "UPDATE file SET state = 'used' WHERE id = ? AND state = 'sent'", (file["fileId"],)
            )
            if changed.rowcount != 1:
                raise Refused("already associated with a permanent files field", code="BAD_USER_INPUT")
        self.put(object_name, record)
        self.put("timelineActivity", {"id": f"t-{record['id']}", "target": record["id"]})

    def get(self, object_name: str, rid: str) -> JSON | None:
        row = self.db.execute("SELECT doc FROM record WHERE object = ? AND id = ?", (object_name, rid)).fetchone()
        return orjson.loads(row[0]) if row else None

    def put(self, object_name: str, record: JSON) -> None:
        text = orjson.dumps(record, option=orjson.OPT_SORT_KEYS).decode()
        self.db.execute("INSERT OR REPLACE INTO record VALUES (?,?,?)", (object_name, record["id"], text))

    def all(self, object_name: str) -> list[JSON]:
        rows = self.db.execute("SELECT doc FROM record WHERE object = ? ORDER BY id", (object_name,))
        return [orjson.loads(text) for (text,) in rows]

    def remove(self, object_name: str, rid: str) -> None:
        record = self.get(object_name, rid)
        self.db.execute("DELETE FROM record WHERE object = ? AND id = ?", (object_name, rid))
        self.db.execute("DELETE FROM email WHERE id = ?", (rid,))
        for file in (record or {}).get("file") or ():
            self.db.execute("DELETE FROM file WHERE id = ?", (file["fileId"],))

    def change(self, object_name: str, rid: str, fields: JSON) -> None:
        """Change fields of a record; e-mails stay unique."""
        record = self.get(object_name, rid)
        if record is None:
            raise Refused("Record not found", code="NOT_FOUND")
        if BAD in str(fields):
            raise Refused(f"Invalid value {BAD}", code="INVALID_ARGS_DATA")
        if "emails" in fields:
            address = str((fields["emails"] or {}).get("primaryEmail") or "").lower()
            fields = fields | {"emails": {**(fields["emails"] or {}), "primaryEmail": address}}
            if self.db.execute("SELECT 1 FROM email WHERE address = ? AND id <> ?", (address, rid)).fetchone():
                raise Refused("A duplicate entry was detected", code="BAD_USER_INPUT")
            self.db.execute("DELETE FROM email WHERE id = ?", (rid,))
            if address:
                self.db.execute("INSERT INTO email VALUES (?,?)", (address, rid))
        self.put(object_name, record | fields)


@dataclass
class FakeStats:
    """What was done so far."""

    calls: int = 0
    refused_for_rate: int = 0
    retries: int = 0


def value_at(record: JSON, path: str) -> Any:
    """Return the value under a dotted name, None where there is none."""
    value: Any = record
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


@dataclass
class FakeDestination:
    """The CRM behind its API. `faults`: number of the create call (1, 2, …) → what goes wrong with it.

    `update_faults`: the same for batches of updates (lost, never sent, half, refused).
    """

    crm: FakeCrm
    batch_rows: int = 4
    faults: dict[int, str] = field(default_factory=dict)
    hook: Callable[[str], None] = lambda name: None
    name: str = "fake"
    creates: int = 0
    reads: int = 0
    uploads: int = 0
    sizes: list[int] = field(default_factory=list)
    forgets: tuple[str, ...] = ()  # fields that are accepted and not kept
    stalled: tuple[str, list[JSON]] | None = None
    batch_updates: bool = True
    read_rows: int = 500
    thin_rows: int = 5000
    update_faults: dict[int, str] = field(default_factory=dict)
    update_sizes: list[int] = field(default_factory=list)
    single_updates: int = 0
    finds: int = 0
    stats: FakeStats = field(default_factory=FakeStats)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            self.batch_rows,
            None,
            True,
            True,
            10_000,
            1.0,
            True,
            "target",
            batch_updates=self.batch_updates,
            read_rows=self.read_rows,
            thin_rows=self.thin_rows,
        )

    def workspace(self) -> Workspace:
        return WORKSPACE

    def describe(self) -> DestinationSchema:
        objects: dict[str, dict[str, DestinationField]] = {}
        for name, fname, ftype in self.crm.db.execute("SELECT * FROM field ORDER BY 1, 2").fetchall():
            objects.setdefault(name, {})[fname] = DestinationField(fname, fname, ftype, unique=ftype == "EMAILS")
        return DestinationSchema({n: DestinationObject(n, n, n + "s", fields=f) for n, f in objects.items()})

    def members(self) -> list[Member]:
        return []

    def plan(self, wanted: WantedSchema) -> SchemaPlan:
        there = self.describe().objects
        return SchemaPlan(
            tuple(
                SchemaItem(
                    Decision.REUSE if f.name in there[f.object].fields else Decision.CREATE,
                    f.object,
                    f.name,
                    f.type,
                    f.label,
                    wanted_field=f,
                )
                for f in wanted.fields
            )
        )

    def apply(self, item: SchemaItem) -> JSON:
        self.hook("crm before apply")
        assert item.wanted_field is not None
        row = (item.object, item.field, item.wanted_field.type)
        self.crm.db.execute("INSERT OR IGNORE INTO field VALUES (?,?,?)", row)
        self.hook("crm after apply")
        return {"object": item.object, "field": item.field}

    def look_before_undo(self, recipes: Sequence[JSON]) -> None:
        assert len({r["object"] for r in recipes}) == 1

    def undo(self, recipe: JSON) -> None:
        where = (recipe["object"], recipe["field"])
        self.crm.db.execute("DELETE FROM field WHERE object = ? AND name = ?", where)
        self.hook("crm after undo")

    def create(self, object_name: str, records: Sequence[JSON], tag: str) -> None:
        self.hook("crm before create")
        self.creates += 1
        self.sizes.append(len(records))
        fault = self.faults.get(self.creates, "")
        if self.stalled:
            waiting, self.stalled = self.stalled, None
            self.crm.insert(*waiting)  # the lost request arrives at last, just before this one
        if fault == "rate":
            raise RateLimited("Limit reached (100 tokens per 60000 ms)")
        if fault == "unreachable":
            raise Unreachable("no route")
        if fault == "denied":
            raise AccessDenied("the key was revoked")
        if fault == "never sent":
            raise InDoubt("reset")
        if fault == "stall":
            self.stalled = (object_name, [dict(r) for r in records])
            raise InDoubt("timeout")
        self.crm.insert(object_name, [{k: v for k, v in r.items() if k not in self.forgets} for r in records])
        self.hook("crm after create")
        if fault == "lost":
            raise InDoubt("answer cut")

    def roles_that_read(self, object_name: str) -> list[str]:
        return ["Admin"]

    def update(self, object_name: str, record_id: str, fields: JSON, tag: str) -> None:
        self.hook("crm before update")
        self.single_updates += 1
        with self.crm:
            self.crm.change(object_name, record_id, fields)
        self.hook("crm after update")

    def update_batch(
        self, object_name: str, changes: Sequence[tuple[str, JSON]], tag: str, *, created: Any = None
    ) -> None:
        self.hook("crm before update")
        assert self.batch_updates
        assert len(changes) <= self.batch_rows
        for _, fields in changes:  # unique fields go singly; emptied they may be, where the caller has just read
            assert "emails" not in fields or (created and not value_at(fields, "emails.primaryEmail"))
        self.update_sizes.append(len(changes))
        fault = self.update_faults.get(len(self.update_sizes), "")
        if fault == "rate":
            raise RateLimited("Limit reached (100 tokens per 60000 ms)")
        if fault == "never sent":
            raise InDoubt("reset")
        half = len(changes) // 2 if fault in ("half", "half refused") else len(changes)
        if fault == "refused":
            raise Refused("Invalid value", code="INVALID_ARGS_DATA")
        for rid, fields in changes[:half]:
            with self.crm:
                self.crm.change(object_name, rid, fields)
            self.hook("crm one of the batch updated")
        self.hook("crm after update")
        if fault in ("lost", "half"):
            raise InDoubt("answer cut")
        if fault == "half refused":
            raise Refused("Invalid value", code="INVALID_ARGS_DATA")

    def objections(self, object_name: str, records: Sequence[JSON]) -> dict[str, tuple[str, str]]:
        return {
            r["id"]: ("unfit_text", "a NUL character can't be stored")
            for r in records
            if "\\u0000" in orjson.dumps(r).decode()
        }

    def find(self, object_name: str, field: str, values: Sequence[str], *, deleted: bool = False) -> list[JSON]:
        self.finds += 1
        wanted = {v.lower() for v in values}
        found = [r for r in self.crm.all(object_name) if str(value_at(r, field) or "").lower() in wanted]
        return [r for r in found if deleted or not r.get("deletedAt")]

    def attached(self, object_name: str, ids: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
        found: dict[str, list[tuple[str, str]]] = {}
        for name, parent in PARENTS.items():
            for child in ("person", "attachment") if parent == object_name else ():
                for record in self.crm.all(child):
                    if record.get(name) in set(ids) and not record.get("deletedAt"):
                        found.setdefault(record[name], []).append((child, record["id"]))
        return found

    def reactions(self) -> list[Reaction]:
        return [Reaction("timeline", "An entry on the timeline of each record")]

    def invitations(self) -> list[str] | None:
        return []

    def probed(self) -> tuple[ProbedFact, ...]:
        return (ProbedFact("Records a call", str(self.capabilities.batch_rows), "told"),)

    def missing_rights(self, object_names: Sequence[str], *, schema: bool) -> list[str]:
        return []

    def file_fields(self, field_name: str, ticket: FileTicket, label: str) -> JSON:
        return {field_name: [{"fileId": ticket.file_id, "label": label}]}

    def read(self, object_name: str, ids: Sequence[str], *, deleted: bool = False) -> dict[str, JSON]:
        self.reads += 1
        found = {rid: record for rid in ids if (record := self.crm.get(object_name, rid))}
        return {rid: r for rid, r in found.items() if deleted or not r.get("deletedAt")}

    def scan(
        self,
        object_name: str,
        *,
        source_prefix: str | None = None,
        deleted: bool = False,
        fields: Sequence[str] | None = None,
    ) -> Iterator[JSON]:
        for record in self.crm.all(object_name):
            if record.get("deletedAt") and not deleted:
                continue
            if str(record.get("sourceSystemId") or "").startswith(source_prefix or ""):
                yield record if fields is None else {n: record.get(n) for n in ("id", *fields)}

    def count(self, object_name: str, *, source_prefix: str | None = None, deleted: bool = False) -> int:
        return len(list(self.scan(object_name, source_prefix=source_prefix, deleted=deleted)))

    def destroy(self, object_name: str, ids: Sequence[str], tag: str) -> None:
        self.hook("crm before destroy")
        with self.crm:
            for rid in ids:
                self.crm.remove(object_name, rid)
        self.hook("crm after destroy")

    def destroy_side_effects(self, object_name: str, ids: Sequence[str], *, since: datetime | None = None) -> int:
        if since is not None:
            return 0
        with self.crm:
            for rid in ids:
                self.crm.remove("timelineActivity", f"t-{rid}")
        return len(ids)

    def begin_upload(self, path: Path, object_name: str, field_name: str) -> FileTicket:
        self.uploads += 1
        number = self.crm.db.execute("SELECT count(*) FROM file").fetchone()[0]
        rid = hashlib.sha256(f"{path.name}{number}{os.urandom(4).hex()}".encode()).hexdigest()[:12]
        self.crm.db.execute("INSERT INTO file VALUES (?, NULL, 'begun')", (rid,))
        self.hook("crm after begin upload")
        return FileTicket(rid, "http://upload")

    def finish_upload(self, ticket: FileTicket, path: Path) -> FileTicket:
        if not ticket.done:
            if path.suffix == ".exe":
                raise Refused("bytes don't fit the extension", code="INVALID_FILE")
            sql = "UPDATE file SET bytes = ?, state = 'sent' WHERE id = ? AND state IN ('begun', 'sent')"
            if self.crm.db.execute(sql, (path.read_bytes(), ticket.file_id)).rowcount != 1:
                raise Refused("this upload has run out", code="EXPIRED")
        self.hook("crm after finish upload")
        return FileTicket(ticket.file_id, ticket.upload_url, done=True)

    def download(self, object_name: str, record_id: str, field_name: str) -> bytes:
        record = self.crm.get(object_name, record_id) or {}
        sql = "SELECT bytes FROM file WHERE id = ?"
        found: bytes = self.crm.db.execute(sql, (record[field_name][0]["fileId"],)).fetchone()[0]
        return found

    def digests(self, object_name: str, ids: Sequence[str], field_name: str) -> Iterator[tuple[str, str, int]]:
        for rid in ids:
            content = self.download(object_name, rid, field_name)
            yield rid, hashlib.sha256(content).hexdigest(), len(content)

    def last_writes(self, object_name: str, ids: Sequence[str]) -> dict[str, LastWrite]:
        return {rid: LastWrite("2026-01-01T00:00:00.000Z", "API", "loader") for rid in self.read(object_name, ids)}

    def switches(self) -> list[Switch]:
        rows = self.crm.db.execute("SELECT id FROM switch WHERE state = 'on'").fetchall()
        return [Switch(rid, "trigger", "Create company when adding a person", {"state": "on"}) for (rid,) in rows]

    def switch_off(self, switch: Switch) -> None:
        self.crm.db.execute("UPDATE switch SET state = 'off' WHERE id = ?", (switch.id,))

    def switch_on(self, switch: Switch) -> None:
        self.crm.db.execute("UPDATE switch SET state = ? WHERE id = ?", (switch.before["state"], switch.id))

    def close(self) -> None:
        self.crm.db.close()


WANTED = WantedSchema((), (WantedField("person", "recallDate", "DATE", "Recall"),))

STEPS = (
    LoadStep("carriers", "company", "carriers", "carrier:", error_budget=1.0),
    LoadStep("patients", "person", "patients", "patient:", depends_on=("carriers",), error_budget=1.0),
    LoadStep(
        "documents",
        "attachment",
        "documents",
        "document:",
        depends_on=("patients",),
        file_field="file",
        error_budget=1.0,
    ),
)


def row_of(step: str, key: str, fields: JSON, *, file_path: str | None = None, in_sample: bool = False) -> JSON:
    """Return one prepared row, as `prepare` would write it."""
    rid = record_id(ENGAGEMENT, step, key)
    payload = orjson.dumps({"id": rid, **fields}).decode()
    digest = hashlib.sha256(payload.encode()).hexdigest()
    return {
        "source_key": key, "record_id": rid, "payload": payload, "row_hash": digest, "file_path": file_path,
        "source_table": step, "source_file": f"{step}.csv", "source_row": 1, "in_sample": in_sample,
    }  # fmt: skip


def carrier(key: str, **more: Any) -> JSON:
    """Return a carrier's row."""
    return row_of("carriers", key, {"name": f"Carrier {key}", "sourceSystemId": f"carrier:{key}", **more})


def patient(key: str, carrier_key: str | None = None, **more: Any) -> JSON:
    """Return a patient's row."""
    fields: JSON = {
        "name": {"firstName": "Ana", "lastName": f"O'Neil {key}"},
        "emails": {"primaryEmail": f"Ana.{key}@example.com"},
        "sourceSystemId": f"patient:{key}",
    }
    if carrier_key:
        fields["companyId"] = record_id(ENGAGEMENT, "carriers", carrier_key)
    return row_of("patients", key, fields | more, in_sample=int(key) <= 3)


def prepare(
    con: duckdb.DuckDBPyConnection,
    tables: dict[str, list[JSON]],
    aside: Sequence[tuple[Any, ...]] = (),
    steps: Sequence[LoadStep] = STEPS,
) -> None:
    """Write the tables that loading reads, in place of any before."""
    con.execute("CREATE SCHEMA IF NOT EXISTS prepared")
    columns = (
        "ordinal BIGINT, source_key VARCHAR, record_id VARCHAR, payload VARCHAR, row_hash VARCHAR, file_path VARCHAR, "
        "source_table VARCHAR, source_file VARCHAR, source_row BIGINT, in_sample BOOLEAN"
    )
    for step in steps:
        con.execute(f"CREATE OR REPLACE TABLE prepared.{step.table} ({columns})")
        for ordinal, row in enumerate(tables.get(step.table, []), 1):
            con.execute(f"INSERT INTO prepared.{step.table} VALUES (?{',?' * 9})", [ordinal, *row.values()])
    con.execute(
        "CREATE OR REPLACE TABLE prepared.outcomes (step VARCHAR, source_table VARCHAR, source_key VARCHAR, "
        "source_file VARCHAR, source_row BIGINT, outcome VARCHAR, code VARCHAR, reason VARCHAR)"
    )
    for row in aside:
        con.execute("INSERT INTO prepared.outcomes VALUES (?,?,?,?,?,?,?,?)", list(row))


ASIDE = (
    ("patients", "patients", "90", "patients.csv", 90, "rejected", "birth_date", "no such day"),
    ("patients", "patients", "91", "patients.csv", 91, "excluded", "where", "older than the scope"),
    ("patients", "patients", "92", "patients.csv", 92, "merged", "duplicate", "the same row twice"),
)


def practice(folder: Path) -> dict[str, list[JSON]]:
    """Return a practice with trouble: a refused carrier with a patient of its own, a shared e-mail, files."""
    scan = folder / "scan.pdf"
    scan.write_bytes(b"%PDF-1.4 invented")
    wrong = folder / "wrong.exe"
    wrong.write_bytes(b"MZ")
    carriers = [carrier(str(n)) for n in range(1, 6)] + [carrier("6", createdAt=BAD)]
    patients = [patient(str(n), str(n % 6 + 1)) for n in range(1, 13)]
    patients.append(patient("13", None, emails={"primaryEmail": "ANA.1@example.com"}))

    def document(key: str, path: Path) -> JSON:
        person = record_id(ENGAGEMENT, "patients", key)
        return row_of("documents", key, {"name": path.name, "targetPersonId": person}, file_path=str(path))

    documents = [document("1", scan), document("2", wrong), document("3", scan), document("4", folder / "none.pdf")]
    return {"carriers": carriers, "patients": patients, "documents": documents}


class World:
    """A CRM, a ledger and a prepared practice in one folder. Opened again, it is as it was left."""

    def __init__(self, folder: Path, *, hook: Callable[[str], None] = lambda name: None, **options: Any) -> None:
        self.folder = folder
        self.clock = ManualClock()
        self.crm = FakeCrm(folder / "crm.sqlite")
        self.hook = hook
        self.destination = FakeDestination(self.crm, hook=hook, **options)
        self.con = duckdb.connect(":memory:", config={"threads": 1})
        prepare(self.con, practice(folder), ASIDE)
        self._ledger: Ledger | None = None

    @property
    def ledger(self) -> Ledger:
        if self._ledger is None:
            path = self.folder / "ledger.sqlite"
            self._ledger = Ledger.open(path, workspace=WORKSPACE, engagement=ENGAGEMENT, clock=self.clock)
        return self._ledger

    def load(self, run_id: str = "run-1", kind: Any = "run", **more: Any) -> LoadResult:
        more |= {"clock": self.clock, "hook": self.hook}
        return load(self.ledger, self.destination, self.con, STEPS, run_id=run_id, kind=kind, **more)

    def reopen(self) -> None:
        """Close the ledger and open it again, as the next command does."""
        self.ledger.close()
        self._ledger = None

    def close(self) -> None:
        if self._ledger:
            self._ledger.close()
        self.con.close()
        self.crm.db.close()
