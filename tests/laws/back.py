"""A workspace with a life of its own, a practice that is taken into it, and the comparison table by table.

Theirs: 5,000 people (or none), a company, a task with a link, a custom object and field, an option of their own, people
in the bin with e-mail addresses of ours, and a company and a person that rows of ours stand for.
"""

from __future__ import annotations

import hashlib
import importlib.util
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import httpx
import orjson
from scenarios import QuickClock, file_field

from dentlib.destinations.twenty import TwentyDestination, open_twenty
from dentlib.loading import Ledger, apply_schema, load, probe
from dentlib.model import JSON, Decision, Option, SchemaPlan, WantedField, WantedObject, WantedSchema
from dentlib.sandbox.twenty.server import TwentySandbox
from dentlib.sandbox.twenty.snapshot import Rows, differences, dump_state

_spec = importlib.util.spec_from_file_location("practice_of_the_way_back", Path(__file__).with_name("practice.py"))
assert _spec is not None
assert _spec.loader is not None
practice = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(practice)
practice.MATCHED = {}  # whom rows stand for is said below

PEOPLE = 5_000
BROKEN, FROZEN = Option("BROKEN", "Broken off"), Option("FROZEN", "Frozen")
WANTED = WantedSchema(
    practice.WANTED.objects,
    (*practice.WANTED.fields, WantedField("task", "status", "SELECT", "Status", options=(BROKEN, FROZEN), extend=True)),
)
THEIR_SCHEMA = WantedSchema(
    (WantedObject("chair", "chairs", "Chair", "Chairs", "Theirs"),),
    (
        WantedField("person", "shoeSize", "TEXT", "Shoe size"),
        WantedField("chair", "sitter", "RELATION", "Sitter", target="person", inverse_label="Chairs"),
        WantedField("task", "status", "SELECT", "Status", options=(Option("LATER", "Later"),), extend=True),
    ),
)
THEIR_COMPANY = practice.rid("theirs", "company")
THEIR_PERSON = practice.rid("theirs", "person")
THEIR_SECOND = practice.rid("theirs", "second company")
STANDS_FOR = {
    ("carriers", 2): THEIR_SECOND,
    ("carriers", 3): THEIR_COMPANY,
    ("patients", 5): THEIR_PERSON,
}


class Site:
    """A sandbox in this process, a destination to it, and a folder for the ledger."""

    def __init__(self, folder: Path, version: str, *, full: bool) -> None:
        self.folder, self.full = folder, full
        self.server = TwentySandbox(folder / "state.sqlite", limits="off", version=version)
        self.server.start()
        self.clock = QuickClock()
        self.twenty = self.connect()
        self.steps = practice.steps(file_field(self.twenty))
        self.person = self.columns("taskTarget")
        if full:
            self._fill()

    def connect(self) -> TwentyDestination:
        return open_twenty(self.server.url, self.server.api_key, clock=self.clock, calls_per_minute=None, timeout_s=10)

    def close(self) -> None:
        self.twenty.close()
        self.server.stop()

    def columns(self, object_name: str) -> str:
        """Return the name of an object's link to a person in this version."""
        columns = [c for f in self.twenty.describe().objects[object_name].fields.values() for c in f.columns]
        return next(c for c in columns if c.lower().endswith("personid"))

    def ledger(self) -> Ledger:
        return Ledger.open(
            self.folder / "ledger.sqlite",
            workspace=self.twenty.workspace(),
            engagement=practice.ENGAGEMENT,
            clock=self.clock,
            wait_s=5,
        )

    def ask(self, path: str, body: JSON) -> Any:
        headers = {"Authorization": f"Bearer {self.server.api_key}"}
        answer = httpx.post(f"{self.server.url}/{path}", json=body, headers=headers, trust_env=False)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def bin(self, type_name: str, rid: str) -> None:
        """Soft-delete a record, as a person does in the CRM."""
        answer = self.ask("graphql", {"query": f'mutation {{ delete{type_name}(id: "{rid}") {{ id }} }}'})
        assert "errors" not in answer, answer

    def stored(self) -> Rows:
        """Return every table, after the worker has done what waits."""
        self.ask("sandbox/settle", {})
        return dump_state(self.folder / "state.sqlite")

    # ---- a life of its own -------------------------------------------------------------------------------------

    def _fill(self) -> None:
        make_schema(self.twenty, THEIR_SCHEMA)
        people = [
            {
                "id": practice.rid("theirs", n),
                "name": {"firstName": "Tea", "lastName": f"Their {n}"},
                "emails": {"primaryEmail": f"their.{n}@example.com"},
                "shoeSize": str(n % 9 + 30),
            }
            for n in range(PEOPLE)
        ]
        twins = [{"id": practice.rid("twins", n), "emails": {"primaryEmail": f"ana.{n}@example.com"}} for n in (2, 4)]
        person = {"id": THEIR_PERSON, "name": {"firstName": "Ana", "lastName": ""}, "shoeSize": "38"}
        companies = {THEIR_COMPANY: "Carrier Three", THEIR_SECOND: "Carrier Two"}
        self.create("company", [{"id": rid, "name": name} for rid, name in companies.items()])
        self.create("person", [*people, *twins, person | {"companyId": THEIR_COMPANY}])
        for n in (2, 4):
            self.bin("Person", practice.rid("twins", n))
        task = practice.rid("theirs", "task")
        self.create("task", [{"id": task, "title": "Call back", "status": "LATER"}])
        self.create("taskTarget", [{"id": practice.rid("theirs", "link"), "taskId": task, self.person: THEIR_PERSON}])
        self.create("chair", [{"id": practice.rid("theirs", "chair"), "name": "Chair", "sitterId": THEIR_PERSON}])

    def create(self, object_name: str, records: list[JSON]) -> None:
        for start in range(0, len(records), 200):
            self.twenty.create(object_name, records[start : start + 200], f"theirs_{start}")

    # ---- our practice ------------------------------------------------------------------------------------------

    def work(self, round_: int) -> duckdb.DuckDBPyConnection:
        """Return the work store of a round; in a full workspace two rows stand for records of theirs."""
        file = self.folder / f"work-{round_}.duckdb"
        link = self.person.removesuffix("PersonId").removesuffix("personId")
        tables = practice.rows(self.folder, link, round_=round_)
        tables["visits"] = [_changed(row, '"DONE"', '"BROKEN"') if row[0] == "1" else row for row in tables["visits"]]
        if round_ > 1:
            tables["carriers"] = [_changed(row, "Carrier", f"Round {round_}: Carrier") for row in tables["carriers"]]
        for (step, key), theirs in STANDS_FOR.items() if self.full else ():
            ours = practice.rid(step, key)
            tables = {name: [_changed(row, ours, theirs) for row in rows] for name, rows in tables.items()}
        practice.prepare(file, tables, self.steps)
        con = duckdb.connect(str(file), config={"threads": 1})
        if self.full:
            con.execute("CREATE SCHEMA IF NOT EXISTS matching")
            con.execute(
                "CREATE TABLE IF NOT EXISTS matching.matches (step VARCHAR, source_key VARCHAR, record_id VARCHAR, "
                "rule VARCHAR, found VARCHAR)"
            )
            for (step, key), theirs in STANDS_FOR.items():
                found = "update" if step == "carriers" else "update_empty"
                con.execute("INSERT INTO matching.matches VALUES (?,?,?,?,?)", [step, str(key), theirs, "name", found])
        return con

    def forward(self, ledger: Ledger, **more: Any) -> None:
        """Schema, probe, sample, run; each may be called again."""
        number = ledger.epoch
        with closing(self.work(0)) as con:
            apply_schema(ledger, self.twenty, self.twenty.plan(WANTED), clock=self.clock)
            if not ledger.live_counts():
                probe(ledger, self.twenty, con, self.steps, clock=self.clock)
            given: Any = {"clock": self.clock}
            load(
                ledger,
                self.twenty,
                con,
                self.steps,
                run_id=f"sample-{number}",
                kind="sample",
                only_sample=True,
                **given,
            )
            load(ledger, self.twenty, con, self.steps, run_id=f"run-{number}", kind="run", **given, **more)

    def delta(self, ledger: Ledger, round_: int) -> None:
        """A later round."""
        with closing(self.work(round_)) as con:
            load(ledger, self.twenty, con, self.steps, run_id=f"delta-{round_}", kind="delta", clock=self.clock)

    def left_over(self, before: Rows) -> Rows:
        """Return what is not as it was, table by table, but who changed a record of theirs last: that can't be set."""
        found = differences(before, self.stored())
        records = [_without_last_writer(row) for row in found.pop("record", [])]
        odd = [row for row in records if records.count(row) != 2]
        return found | ({"record": odd} if odd else {})


def make_schema(twenty: TwentyDestination, wanted: WantedSchema) -> None:
    """Make what is wanted, as an administrator would."""
    plan: SchemaPlan = twenty.plan(wanted)
    assert not plan.conflicts, plan.conflicts
    for item in plan.items:
        if item.decision is not Decision.REUSE:
            twenty.apply(item)


def _changed(row: list[Any], old: str, new: str) -> list[Any]:
    text = row[2].replace(old, new)
    digest = row[3] if text == row[2] else hashlib.sha256(text.encode()).hexdigest()
    return [row[0], row[1].replace(old, new), text, digest, *row[4:]]


def _without_last_writer(row: tuple[object, ...]) -> tuple[object, ...]:
    doc = orjson.loads(str(row[-1]))
    if doc["id"] in STANDS_FOR.values():
        doc.pop("updatedBy", None)
    return (*row[:-1], orjson.dumps(doc, option=orjson.OPT_SORT_KEYS).decode())
