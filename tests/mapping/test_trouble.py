"""Each kind of trouble that an export is known to hold ends as one would expect: right, kept as text, or set aside."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import duckdb
import orjson
import pytest

from dentlib.clock import ManualClock
from dentlib.extraction import take_in
from dentlib.mapping import PrepareContext, load_map, prepare, propose, write_proposals
from dentlib.model import Member, Silence
from dentlib.pairs import load_pair
from dentlib.samples import write_samples
from dentlib.vocabulary import load_vocabulary
from dentlib.workdb import open_work_db

BY_SCOPE = {
    "test_patient",
    "archived_patient",
    "recall_switched_off",
    "no_recall_for_inactive",
    "no_recall_for_the_dead",
}
ADMIN = "20202020-0000-4000-8000-000000000002"
MEMBERS = (
    Member("20202020-0000-4000-8000-000000000001", "mara.velden@brightsmile.example", "Mara Velden"),
    Member(ADMIN, "admin@brightsmile.example", "Demo Admin"),
)

Row = dict[str, Any]
Holds = Callable[[Row, Row, set[str]], bool]  # the record, the source's row, the codes told about it


def digits(text: str) -> str:
    """Return the last ten digits of a phone number."""
    return re.sub(r"\D", "", text)[-10:]


def numbers(record: Row) -> list[str]:
    """Return all phone numbers of a person."""
    phones = record["phones"] or {"primaryPhoneNumber": "", "additionalPhones": []}
    return [phones["primaryPhoneNumber"], *(p["number"] for p in phones["additionalPhones"])]


def unborn(code: str) -> Holds:
    """No birth date, its text kept, and told."""
    return lambda r, s, c: r["dateOfBirth"] is None and s["Birthdate"] in r["sourceRemarks"] and code in c


def right_phone(record: Row, source: Row, codes: set[str]) -> bool:
    """The number of the cell is among the person's, and nothing had to be told."""
    return digits(source["WirelessPhone"]) in numbers(record) and not any(c.startswith("phone") for c in codes)


def money(text: str) -> int:
    """Return an amount in micros, read by other means than the product's."""
    amount = round(float(re.sub(r"[^\d.]", "", text)) * 100) * 10_000
    return -amount if "(" in text or "-" in text else amount


ARRIVES: dict[str, tuple[str, Holds]] = {
    "birthdate_missing": ("patients", lambda r, s, c: r["dateOfBirth"] is None),
    "birthdate_impossible": (
        "patients",
        lambda r, s, c: r["dateOfBirth"] is None and s["Birthdate"] in r["sourceRemarks"] and bool(c),
    ),
    "birthdate_1900": ("patients", unborn("date_placeholder")),
    "birthdate_future": ("patients", unborn("date_in_future")),
    "unknown_gender": ("patients", lambda r, s, c: r["gender"] is None and s["Gender"] in r["sourceRemarks"]),
    "unknown_appointment_status": (
        "appointments",
        lambda r, s, c: r["appointmentStatus"] == "OTHER" and r["sourceStatus"] == s["AptStatus"],
    ),
    "unknown_plan_status": ("plans", lambda r, s, c: r["stage"] == "NEW" and s["PlanStatus"] in r["sourceRemarks"]),
    "unknown_claim_status": (
        "claims",
        lambda r, s, c: r["claimStatus"] is None and r["sourceStatus"] == s["ClaimStatus"],
    ),
    "unknown_recall_type": (
        "recalls",
        lambda r, s, c: r["recallType"] is None and s["RecallType"] in r["sourceRemarks"],
    ),
    "unknown_procedure_code": (
        "procedures",
        lambda r, s, c: r["procedureCode"] is None and r["sourceCode"] == s["ProcCode"],
    ),
    "orphan_plans_provider": ("plans", lambda r, s, c: r["ownerId"] == ADMIN and "owner_unknown" in c),
    "orphan_patients_carrier": (
        "patients",
        lambda r, s, c: r["carrierCompanyId"] is None and s["CarrierNum"] in r["sourceRemarks"] and "orphan" in c,
    ),
    "orphan_labcases_lab": (
        "lab_prescriptions",
        lambda r, s, c: r["labId"] is None and s["LabNum"] in r["sourceRemarks"],
    ),
    "phone_plain_digits": ("patients", right_phone),
    "phone_dotted": ("patients", right_phone),
    "phone_dashed": ("patients", right_phone),
    "phone_international": ("patients", right_phone),
    "phone_leading_one": ("patients", right_phone),
    "phone_double_zero": ("patients", right_phone),
    "phone_extension": (
        "patients",
        lambda r, s, c: digits(s["WirelessPhone"].split("x")[0]) in numbers(r) and "phone_extension_dropped" in c,
    ),
    "phone_letters": (
        "patients",
        lambda r, s, c: s["WirelessPhone"] in r["sourceRemarks"] and "phone_letters_read" in c,
    ),
    "phone_too_short": ("patients", lambda r, s, c: s["WirelessPhone"] in r["sourceRemarks"] and "phone_invalid" in c),
    "phone_two_in_one": (
        "patients",
        lambda r, s, c: {digits(p) for p in s["WirelessPhone"].split("/")} <= set(numbers(r)),
    ),
    "email_invalid": ("patients", lambda r, s, c: s["EMail"].strip() in r["sourceRemarks"] and "email_invalid" in c),
    "name_apostrophe": ("patients", lambda r, s, c: r["name"]["lastName"] == s["LName"].strip()),
    "name_emoji": ("patients", lambda r, s, c: r["preferredName"] == s["Preferred"].strip()),
    "name_markup": ("patients", lambda r, s, c: r["name"]["lastName"] == s["LName"].strip()),
    "name_formula": ("patients", lambda r, s, c: r["name"]["firstName"] == s["FName"].strip()),
    "do_not_contact": ("patients", lambda r, s, c: r["doNotContact"] is True),
    "past_still_open": (
        "appointments",
        lambda r, s, c: (r["status"], r["appointmentStatus"]) == ("DONE", "COMPLETED")
        and r["sourceStatus"] == s["AptStatus"]
        and "past_appointment_closed" in c,
    ),
    "recall_without_last_visit": ("recalls", lambda r, s, c: bool(r["dueAt"]) != ("not_computable" in c)),
    "referrer_organisations": ("referrer_companies", lambda r, s, c: r["companyKind"] == "REFERRAL_SOURCE"),
    "referrer_persons": ("referrer_people", lambda r, s, c: r["personKind"] == "REFERRER"),
    "payments_negative": ("payments", lambda r, s, c: r["amount"]["amountMicros"] == money(s["Amount"]) < 0),
    "payments_in_parentheses": ("payments", lambda r, s, c: r["amount"]["amountMicros"] == money(s["Amount"]) < 0),
    "payments_formatted": ("payments", lambda r, s, c: r["amount"]["amountMicros"] == money(s["Amount"])),
    "plan_amounts_formatted": ("plans", lambda r, s, c: r["amount"]["amountMicros"] == money(s["PlanAmount"])),
    "mixed_date_styles": (
        "procedures",
        lambda r, s, c: r["performedOn"][:4] in s["ProcDate"] and not c - {"unmapped_value"},
    ),
    "document_over_10_mb": ("documents", lambda r, s, c: "Not uploaded" in r["bodyV2"]["blocknote"]),
    "document_missing_on_disk": ("documents", lambda r, s, c: "Not uploaded" in r["bodyV2"]["blocknote"]),
    "document_wrong_extension": ("document_files", lambda r, s, c: "file_of_another_kind" in c),
}  # fmt: skip

STAYS: dict[str, tuple[str, str]] = {
    "orphan_appointments_patient": ("appointments", "orphan"),
    "orphan_procedures_patient": ("procedures", "orphan"),
    "orphan_claims_patient": ("claims", "orphan"),
    "orphan_payments_patient": ("payments", "orphan"),
    "orphan_notes_patient": ("clinical_notes", "orphan"),
    "test_patients": ("patients", "test_patient"),
    "blocked_slots": ("appointments", "blocked_slot"),
    "deceased_with_future_appointment": ("appointments", "no_open_task_for_the_dead"),
    "deceased_with_future_recall": ("recalls", "no_recall_for_the_dead"),
    "inactive_with_future_recall": ("recalls", "no_recall_for_inactive"),
    "exact_duplicate_rows": ("appointments", "exact_repetition"),
}
FILES = {"document_over_10_mb": "file_too_large", "document_missing_on_disk": "file_missing"}


@pytest.fixture(scope="module", params=[3, 17])
def export(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[duckdb.DuckDBPyConnection, dict[str, Any]]]:
    """A practice prepared on its own reference day, and the list of its trouble."""
    root = tmp_path_factory.mktemp("trouble")
    write_samples("dent-o-soft", root / "in", patients=150, seed=request.param)
    trouble = json.loads((root / "in/known-trouble.json").read_text())["trouble"]
    work = root / "work.duckdb"
    take_in(root / "in", root / "export", work, round="1", source_label="x", clock=ManualClock(), progress=Silence())
    con = open_work_db(work)
    pair = load_pair("dent-o-soft", "twenty")
    path = write_proposals(propose(con, load_vocabulary("dent-o-soft"), pair), root)
    told = PrepareContext(
        "test", date(2026, 1, 5), "America/Los_Angeles", "USD", "US", MEMBERS, MEMBERS[1].email, root / "export", 10.0
    )
    prepare(con, load_map(pair, path), told)
    yield con, trouble
    con.close()


def records(con: duckdb.DuckDBPyConnection, step: str, keys: list[str]) -> dict[str, Row]:
    """Return payloads of a step by source key."""
    rows = con.execute(f"SELECT source_key, payload FROM prepared.{step} WHERE list_contains(?, source_key)", [keys])
    return {key: orjson.loads(text) for key, text in rows.fetchall()}


def outcomes(con: duckdb.DuckDBPyConnection, step: str) -> dict[str, set[str]]:
    """Return the codes for which rows of a step stay, by source key."""
    found: dict[str, set[str]] = {}
    for key, code in con.execute("SELECT source_key, code FROM prepared.outcomes WHERE step = ?", [step]).fetchall():
        found.setdefault(key, set()).add(code)
    return found


def sources(con: duckdb.DuckDBPyConnection, file: str, keys: list[str]) -> dict[str, Row]:
    """Return raw rows of a file by their first column."""
    table = file.removesuffix(".csv").lower()
    result = con.execute(f"SELECT * FROM raw.{table}")
    names = [d[0] for d in result.description or ()]
    return {r[0]: dict(zip(names, r, strict=True)) for r in result.fetchall() if r[0] in keys}


@pytest.mark.parametrize("kind", sorted(ARRIVES))
def test_trouble_that_arrives_is_right_or_told(export: Any, kind: str) -> None:
    """The record holds what can be held, never a guess; a row that isn't there stays with its patient, by scope."""
    con, trouble = export
    keys = trouble[kind]["keys"]
    step, holds = ARRIVES[kind]
    found, gone, raw = records(con, step, keys), outcomes(con, step), sources(con, trouble[kind]["file"], keys)
    told: dict[str, set[str]] = {}
    for key, code in con.execute("SELECT source_key, code FROM prepared.problems WHERE step = ?", [step]).fetchall():
        told.setdefault(key, set()).add(code)
    for key in keys:
        if key in found:
            assert holds(found[key], raw[key], told.get(key, set()) - {"owner_unmatched"}), f"{kind} {key}"
        else:
            assert gone[key] & BY_SCOPE, f"{kind} {key}"


@pytest.mark.parametrize("kind", sorted(STAYS))
def test_trouble_that_stays_is_listed(export: Any, kind: str) -> None:
    """Orphans, test patients, blocked slots and repetitions reach no record; each is listed with its code."""
    con, trouble = export
    step, code = STAYS[kind]
    gone = outcomes(con, step)
    for key in trouble[kind]["keys"]:
        assert gone[key] & ({code} | BY_SCOPE), f"{kind} {key}"
        assert code == "exact_repetition" or key not in records(con, step, [key])


@pytest.mark.parametrize("kind", sorted(FILES))
def test_files_that_cannot_go_are_flagged_not_lost(export: Any, kind: str) -> None:
    """The note is there and says so; the file is listed as rejected."""
    con, trouble = export
    for key in trouble[kind]["keys"]:
        assert outcomes(con, "document_files")[key] & ({FILES[kind]} | BY_SCOPE)


def test_no_total_line_is_taken_for_a_payment(export: Any) -> None:
    """A line of totals is no record, and the amounts that arrive are those of the rows."""
    con, _ = export
    row = con.execute("SELECT count(*) FROM prepared.payments WHERE source_key ILIKE 'total%'").fetchone()
    assert row == (0,)
    assert not [k for k in outcomes(con, "payments") if k.lower().startswith("total")]
