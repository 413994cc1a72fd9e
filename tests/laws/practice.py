"""A tiny invented practice that has a bit of everything, prepared for a workspace as it is.

Steps: companies, people (with an e-mail that somebody has, one in the bin, one twice), tasks and their links, a custom
object with money, a choice and a lookup, notes and their links, documents with files. Two rows are bad.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import orjson

from dentlib.model import JSON, LoadStep, Option, WantedField, WantedObject, WantedSchema, record_id

ENGAGEMENT = "laws"
_SOURCED = ("company", "person", "task", "note", "procedure")
KINDS = (Option("IN_HOUSE", "In house"), Option("LAB", "Laboratory"))
WANTED = WantedSchema(
    (WantedObject("procedure", "procedures", "Procedure", "Procedures", "Invented"),),
    (
        *(WantedField(o, "sourceSystemId", "TEXT", "Source system ID", unique=True) for o in _SOURCED),
        WantedField("person", "dateOfBirth", "DATE", "Date of birth"),
        WantedField("procedure", "fee", "CURRENCY", "Fee"),
        WantedField("procedure", "kind", "SELECT", "Kind", options=KINDS),
        WantedField("procedure", "patient", "RELATION", "Patient", target="person", inverse_label="Procedures"),
    ),
)
BATCH_ROWS = 3
PATIENTS = 6
SAMPLED = 2
COLUMNS = (
    "ordinal BIGINT, source_key VARCHAR, record_id VARCHAR, payload VARCHAR, row_hash VARCHAR, file_path VARCHAR, "
    "source_table VARCHAR, source_file VARCHAR, source_row BIGINT, in_sample BOOLEAN"
)
OUTCOMES = (
    "step VARCHAR, source_table VARCHAR, source_key VARCHAR, source_file VARCHAR, source_row BIGINT, outcome VARCHAR, "
    "code VARCHAR, reason VARCHAR"
)
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(64)


def steps(file_field: str) -> tuple[LoadStep, ...]:
    """Return the steps; `file_field` is where this version of the destination keeps an attachment's file."""
    return (
        LoadStep("carriers", "company", "carriers", "carrier:", error_budget=0.5),
        LoadStep("patients", "person", "patients", "patient:", ("carriers",), error_budget=0.5),
        LoadStep("visits", "task", "visits", "visit:", error_budget=0.5),
        LoadStep("visit_links", "taskTarget", "visit_links", "", ("visits", "patients"), error_budget=0.9),
        LoadStep("procedures", "procedure", "procedures", "procedure:", ("patients",), error_budget=0.9),
        LoadStep("notes", "note", "notes", "note:", error_budget=0.5),
        LoadStep("documents", "attachment", "documents", "", ("patients",), file_field=file_field, error_budget=0.5),
    )


MATCHED = {("carriers", 3): (11, "update_empty"), ("patients", 2): (12, "update")}
"""Rows that stand for records of somebody else: (step, key) → (number of that record, what the map says is done)."""


def rid(step: str, key: int) -> str:
    """Return the id of the record that a row becomes; for a matched one, of the record that is there."""
    if (step, key) in MATCHED:
        step, key = "others", MATCHED[step, key][0]
    return record_id(ENGAGEMENT, step, str(key))


def _row(step: str, key: int, fields: JSON, *, prefix: str = "", file_path: Path | None = None) -> list[Any]:
    source = {"sourceSystemId": f"{prefix}{key}"} if prefix else {}
    payload = orjson.dumps({"id": rid(step, key), **fields, **source}).decode()
    digest = hashlib.sha256(payload.encode() + (file_path.read_bytes() if file_path else b"")).hexdigest()
    path = str(file_path) if file_path else None
    return [str(key), rid(step, key), payload, digest, path, step, f"{step}.csv", key, key <= SAMPLED]


def _patient(n: int, *, changed: bool) -> JSON:
    emails = {5: "theirs@example.com", 6: "binned@example.com"}
    return {
        "name": {"firstName": "Ana", "lastName": f"O'Neil <{n}>" if not changed else f"Brown {n}"},
        "emails": {"primaryEmail": emails.get(n, f"Ana.{n}@Example.com")},
        "jobTitle": "patient" if not changed else "former patient",
        "phones": {
            "primaryPhoneNumber": f"415555{2000 + n}",
            "primaryPhoneCountryCode": "US",
            "primaryPhoneCallingCode": "+1",
        },
        "dateOfBirth": "1980-02-29",
        "createdAt": "2019-03-04T05:06:07.000Z",
        "companyId": rid("carriers", n % 2 + 1),
    }


def note_text(*lines: str) -> JSON:
    """Return a body with one paragraph a line."""
    blocks = [{"type": "paragraph", "content": [{"type": "text", "text": x, "styles": {}}]} for x in lines]
    return {"blocknote": orjson.dumps(blocks).decode()}


def rows(folder: Path, target: str, *, round_: int = 0) -> dict[str, list[list[Any]]]:
    """Return the prepared rows of all steps; `target`: how this version begins the names of links.

    Carrier 3 and patient 2 stand for records of somebody else. Round 0 is the first export. In round 1 patients 1 and 3
    and visit 2 were changed, patient 4 and visit 6 are gone, and there is a patient 7 with a visit.
    """
    there = [n for n in range(1, PATIENTS + 1 + round_) if not (round_ and n == 4)]
    changed = {1, 3} if round_ else set()
    picture = folder / "scan.png"
    if not picture.exists():
        picture.write_bytes(PICTURE)
    link = f"{target}PersonId" if target else "personId"
    visits = [n for n in there if not (round_ and n == 6)]
    return {
        "carriers": [
            _row("carriers", n, {"name": f"Carrier {n}", "address": {"addressCity": f"Town {n}"}}, prefix="carrier:")
            for n in range(1, 4)
        ],
        "patients": [_row("patients", n, _patient(n, changed=n in changed), prefix="patient:") for n in there],
        "visits": [
            _row(
                "visits",
                n,
                {
                    "title": f"Visit {n}" if not (round_ and n == 2) else "Visit 2, moved",
                    "status": "DONE",
                    "dueAt": "2025-01-02T09:00:00.000Z",
                },
                prefix="visit:",
            )
            for n in visits
        ],
        "visit_links": [_row("visit_links", n, {"taskId": rid("visits", n), link: rid("patients", n)}) for n in visits],
        "procedures": [
            _row(
                "procedures",
                n,
                {
                    "name": f"Crown {n}",
                    "fee": {"amountMicros": n * 10_000, "currencyCode": "USD"},
                    "kind": "LAB" if n != 2 else "UNKNOWN",
                    "patientId": rid("patients", n),
                },
                prefix="procedure:",
            )
            for n in range(1, 4)
        ],
        "notes": [
            _row("notes", n, {"title": "Note", "bodyV2": note_text("* text", "<b>")}, prefix="note:") for n in (1, 3)
        ],
        "documents": [
            _row("documents", n, {"name": "scan.png", link_of_files(): rid("patients", n)}, file_path=picture)
            for n in (1, 2, 3)
        ],
    }


def link_of_files() -> str:
    """Return the name of an attachment's link to a person: the same in every version so far."""
    return "targetPersonId"


ASIDE = (
    ("patients", "patients", "90", "patients.csv", 90, "rejected", "birth_date", "no such day"),
    ("patients", "patients", "91", "patients.csv", 91, "excluded", "where", "older than the scope"),
)


def prepare(file: Path, tables: dict[str, list[list[Any]]], order: Sequence[LoadStep]) -> None:
    """Write a work store with these rows."""
    file.unlink(missing_ok=True)
    with duckdb.connect(str(file), config={"threads": 1}) as con:
        con.execute("CREATE SCHEMA prepared")
        for step in order:
            con.execute(f"CREATE TABLE prepared.{step.table} ({COLUMNS})")
            _fill(con, f"prepared.{step.table}", ([n, *row] for n, row in enumerate(tables[step.table], 1)), 10)
        con.execute("CREATE SCHEMA matching")
        words = "step VARCHAR, source_key VARCHAR, record_id VARCHAR, rule VARCHAR, found VARCHAR"
        con.execute(f"CREATE TABLE matching.matches ({words})")
        found = [[step, str(key), rid(step, key), "name", how] for (step, key), (_, how) in MATCHED.items()]
        _fill(con, "matching.matches", found, 5)
        con.execute(f"CREATE TABLE prepared.outcomes ({OUTCOMES})")
        _fill(con, "prepared.outcomes", ASIDE, 8)


def _fill(con: duckdb.DuckDBPyConnection, table: str, found: Iterable[Sequence[Any]], width: int) -> None:
    listed = [list(row) for row in found]
    if listed:
        con.executemany(f"INSERT INTO {table} VALUES ({','.join('?' * width)})", listed)
