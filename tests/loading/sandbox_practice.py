"""A small invented practice for a real workspace, and a program that loads it: `sandbox_practice.py FOLDER`.

The program reads url and key from the environment, works in FOLDER, and may be killed and started again.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import duckdb
import orjson

from dentlib.clock import SystemClock
from dentlib.destinations.twenty import TwentyDestination, open_twenty
from dentlib.loading import Ledger, LoadResult, apply_schema, load, probe
from dentlib.model import JSON, LoadStep, Option, WantedField, WantedObject, WantedSchema, record_id

if "loading_fakes" not in sys.modules:
    _spec = importlib.util.spec_from_file_location("loading_fakes", Path(__file__).with_name("fakes.py"))
    assert _spec is not None
    assert _spec.loader is not None
    sys.modules["loading_fakes"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["loading_fakes"])
fakes = sys.modules["loading_fakes"]
ENGAGEMENT: str = fakes.ENGAGEMENT

KINDS = (Option("IN_HOUSE", "In house"), Option("LAB", "Laboratory"))
_SOURCED = ("company", "person", "task", "note", "procedure")
WANTED = WantedSchema(
    (WantedObject("procedure", "procedures", "Procedure", "Procedures", "Invented"),),
    (
        *(WantedField(o, "sourceSystemId", "TEXT", "Source system ID", unique=True) for o in _SOURCED),
        WantedField("person", "dateOfBirth", "DATE", "Date of birth"),
        WantedField("person", "homeAddress", "ADDRESS", "Home address"),
        WantedField("procedure", "fee", "CURRENCY", "Fee"),
        WantedField("procedure", "kind", "SELECT", "Kind", options=KINDS),
        WantedField("procedure", "patient", "RELATION", "Patient", target="person", inverse_label="Procedures"),
    ),
)

STEPS = (
    LoadStep("carriers", "company", "carriers", "carrier:", error_budget=0.2),
    LoadStep("patients", "person", "patients", "patient:", ("carriers",), error_budget=0.2),
    LoadStep("visits", "task", "visits", "visit:", error_budget=0.2),
    LoadStep("visit_links", "taskTarget", "visit_links", "", ("visits", "patients"), error_budget=0.2),
    LoadStep("procedures", "procedure", "procedures", "procedure:", ("patients",), error_budget=0.2),
    LoadStep("notes", "note", "notes", "note:", error_budget=0.2),
    LoadStep("note_links", "noteTarget", "note_links", "", ("notes", "patients"), error_budget=0.2),
    LoadStep("documents", "attachment", "documents", "", ("patients",), file_field="file", error_budget=0.5),
)


def note_text(*lines: str) -> JSON:
    """Return a body with one paragraph a line."""
    blocks = [
        {"type": "paragraph", "content": [{"type": "text", "text": line, "styles": {}}] if line else []}
        for line in lines
    ]
    return {"blocknote": orjson.dumps(blocks).decode()}


def rows(folder: Path, patients: int) -> dict[str, list[JSON]]:
    """Return the prepared rows of all steps; two rows are bad."""

    def rid(step: str, key: int) -> str:
        return record_id(ENGAGEMENT, step, str(key))

    def row(step: str, key: int, prefix: str, fields: JSON, **more: Any) -> JSON:
        source = {"sourceSystemId": f"{prefix}{key}"} if prefix else {}
        made: JSON = fakes.row_of(step, str(key), fields | source, in_sample=key <= 5, **more)
        return made

    folder.mkdir(exist_ok=True)
    picture = folder / "scan.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    numbers = range(1, patients + 1)
    made: dict[str, list[JSON]] = {
        "carriers": [row("carriers", n, "carrier:", {"name": f"Carrier {n}"}) for n in range(1, 6)],
        "patients": [
            row(
                "patients",
                n,
                "patient:",
                {
                    "name": {"firstName": "Ana", "lastName": f"O'Neil <{n}>"},
                    "emails": {"primaryEmail": f"Ana.{n}@Example.com" if n != 7 else "ana.6@example.com"},
                    "phones": {
                        "primaryPhoneNumber": f"+1415555{2000 + n}",
                        "primaryPhoneCountryCode": "US",
                        "primaryPhoneCallingCode": "+1",
                    },
                    "homeAddress": {"addressStreet1": f"{n} Main Street", "addressCity": "Springfield"},
                    "dateOfBirth": "1980-02-29",
                    "createdAt": "2019-03-04T05:06:07.000Z",
                    "companyId": rid("carriers", n % 5 + 1),
                },
            )
            for n in numbers
        ],
        "visits": [
            row("visits", n, "visit:", {"title": f"Visit {n}", "status": "DONE", "dueAt": "2025-01-02T09:00:00.000Z"})
            for n in numbers
        ],
        "visit_links": [
            row("visit_links", n, "", {"taskId": rid("visits", n), "targetPersonId": rid("patients", n)})
            for n in numbers
        ],
        "procedures": [
            row(
                "procedures",
                n,
                "procedure:",
                {
                    "name": f"Crown {n}",
                    "fee": {"amountMicros": n * 10_000, "currencyCode": "USD"},
                    "kind": "LAB" if n != 4 else "UNKNOWN",
                    "patientId": rid("patients", n),
                },
            )
            for n in numbers
        ],
        "notes": [
            row("notes", n, "note:", {"title": "Note", "bodyV2": note_text("* text", "", "<b>")}) for n in numbers
        ],
        "note_links": [
            row("note_links", n, "", {"noteId": rid("notes", n), "targetPersonId": rid("patients", n)}) for n in numbers
        ],
        "documents": [
            row(
                "documents",
                n,
                "",
                {"name": "scan.png", "fileCategory": "IMAGE", "targetPersonId": rid("patients", n)},
                file_path=str(picture),
            )
            for n in numbers[:4]
        ],
    }
    return made


def store(folder: Path, patients: int) -> duckdb.DuckDBPyConnection:
    """Return a work store with the practice prepared."""
    con = duckdb.connect(":memory:", config={"threads": 1})
    fakes.prepare(con, rows(folder, patients), steps=STEPS)
    return con


def whole_way(ledger: Ledger, twenty: TwentyDestination, con: duckdb.DuckDBPyConnection, clock: Any) -> LoadResult:
    """Schema, probe, sample, run, resumable."""
    apply_schema(ledger, twenty, twenty.plan(WANTED), clock=clock)
    if not ledger.live_counts():
        facts = probe(ledger, twenty, con, STEPS, clock=clock)
        assert all(f.same for f in facts.fields), [f for f in facts.fields if not f.same]
    load(ledger, twenty, con, STEPS, run_id="sample-1", kind="sample", only_sample=True, clock=clock)
    return load(ledger, twenty, con, STEPS, run_id="run-1", kind="run", clock=clock)


class QuickClock(SystemClock):
    """The machine's clock; waiting for the destination's worker is shortened."""

    def sleep(self, seconds: float) -> None:
        super().sleep(min(seconds, 0.05))


def main() -> None:
    folder = Path(sys.argv[1])
    clock = QuickClock()
    twenty = open_twenty(
        os.environ["PRACTICE_URL"], os.environ["PRACTICE_KEY"], clock=clock, calls_per_minute=None, timeout_s=10
    )
    con = store(folder, int(sys.argv[2]))
    with Ledger.open(
        folder / "ledger.sqlite", workspace=twenty.workspace(), engagement=ENGAGEMENT, clock=clock, wait_s=5
    ) as ledger:
        result = whole_way(ledger, twenty, con, clock)
    print(orjson.dumps([[s.step, s.read, s.created, s.unchanged, s.failed] for s in result.steps]).decode())


if __name__ == "__main__":
    main()
