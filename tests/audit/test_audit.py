"""The audit of whole exports: every trouble found with its exact count, nothing identifying shown."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
from collections import Counter
from pathlib import Path

import pytest

from dentlib.audit import audit, require_known_tables
from dentlib.clock import ManualClock
from dentlib.errors import ExportError
from dentlib.extraction import take_in
from dentlib.facts import AuditFacts, IntakeFacts
from dentlib.model import Silence
from dentlib.privacy import IDENTIFYING, SMALL_CELL
from dentlib.samples import write_samples
from dentlib.vocabulary import load_vocabulary
from dentlib.workdb import open_work_db

# What only the destination can tell: whether an address belongs to a member of its workspace.
NOT_IN_THE_EXPORT = {"staff_email_no_member"}


def examined(source: Path, home: Path, product: str = "dent-o-soft", round: str = "r1") -> AuditFacts:
    """Take an export in and audit it on the sample practice's reference day."""
    clock = ManualClock()
    work = home / "work.duckdb"
    export = home / "export" / round
    intake: IntakeFacts = take_in(
        source, export, work, round=round, source_label=source.name, clock=clock, progress=Silence()
    )
    con = open_work_db(work)
    try:
        return audit(con, intake, load_vocabulary(product), engagement="e", client="Practice", clock=clock)
    finally:
        con.close()


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, AuditFacts]:
    """A sample practice's export and its audit."""
    folder = tmp_path_factory.mktemp("sample")
    write_samples("dent-o-soft", folder / "export-1", patients=200, seed=7)
    return folder / "export-1", examined(folder / "export-1", folder / "home")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_known_trouble_is_found_with_its_exact_count(seed: int, tmp_path: Path) -> None:
    """Each kind of trouble that the generator planted is a finding of the same name and number, over several seeds."""
    write_samples("dent-o-soft", tmp_path / "export", patients=100, seed=seed)
    planted = json.loads((tmp_path / "export/known-trouble.json").read_text())["trouble"]
    found: Counter[str] = Counter()
    for finding in examined(tmp_path / "export", tmp_path / "home").findings:
        found[finding.kind] += finding.count
    wanted = {kind: trouble["count"] for kind, trouble in planted.items() if kind not in NOT_IN_THE_EXPORT}
    assert {kind: found[kind] for kind in wanted} == wanted


def test_tables_keys_and_objects_are_recognised(sample: tuple[Path, AuditFacts]) -> None:
    """All tables of the product are recognised, each with a key that was proven."""
    _, facts = sample
    assert facts.missing_objects == ()
    assert all(t.object and len(t.key) == 1 and t.key_note.startswith("unique") for t in facts.tables)
    assert {t.object for t in facts.tables} >= {"patient", "carrier", "treatment_plan", "tooth_record", "definition"}


def test_relations_are_found_although_keys_overlap(sample: tuple[Path, AuditFacts]) -> None:
    """Every relation of the practice is found, and none that isn't there, although all keys count from 1."""
    _, facts = sample
    wanted = {
        ("patients", "inscarriers"),
        ("patients", "referrals"),
        ("patients", "patients"),
        ("patients", "staff"),
        ("treatplans", "patients"),
        ("treatplans", "staff"),
        ("procedures", "patients"),
        ("procedures", "treatplans"),
        ("procedures", "staff"),
        ("appointments", "patients"),
        ("appointments", "staff"),
        ("clinicalnotes", "patients"),
        ("clinicalnotes", "staff"),
        ("toothchart", "patients"),
        ("toothchart", "staff"),
        ("communications", "patients"),
        ("communications", "staff"),
        ("insclaims", "patients"),
        ("insclaims", "inscarriers"),
        ("insclaims", "staff"),
        ("insclaims", "treatplans"),
        ("labcases", "patients"),
        ("labcases", "labs"),
        ("labcases", "staff"),
        ("recalls", "patients"),
        ("docindex", "patients"),
        ("payments", "patients"),
        ("payments", "treatplans"),
        ("payments", "procedures"),
        ("referrals", "referrals"),
    }
    assert {(r.child_table, r.parent_table) for r in facts.relationships} == wanted


def test_nothing_identifying_is_shown(sample: tuple[Path, AuditFacts]) -> None:
    """No fact holds a patient's name, e-mail, phone or number; frequencies below five are left out everywhere."""
    source, facts = sample
    text = json.dumps(dataclasses.asdict(facts), default=str, ensure_ascii=False)
    with (source / "Patients.csv").open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            for name in ("LName", "EMail", "HmPhone", "WirelessPhone", "SSN", "Addr1", "ChartNo", "MemberId"):
                value = row[name].strip()
                if len(value) > 5 and name != "LName":
                    assert value not in text, name
                assert f'"{value}"' not in text or not value, name
    for column in facts.columns:
        assert not (column.identifier_class and column.values)
        assert column.identifier_class == "" or column.identifier_class in IDENTIFYING
        assert all(count >= SMALL_CELL for _, count in column.values)


def test_a_later_round_of_the_same_structure_keeps_the_hash(tmp_path: Path) -> None:
    """More rows leave the structure alone; an unseen status, a new column and another date style each change it."""
    header = "PatNum,LName,FName,Birthdate,Gender,PatStatus\n"
    rows = ["1,Doe,Ann,1980-02-03,F,Active\n", "2,Roe,Bo,1981-12-13,M,Inactive\n"]
    variants = {
        "first": header + "".join(rows),
        "more rows": header + "".join(rows) + "3,Poe,Cy,1990-05-06,M,Active\n",
        "new status": header + "".join(rows) + "3,Poe,Cy,1990-05-06,M,Moved away\n",
        "new column": header.strip() + ",Height\n" + "".join(r.strip() + ",180\n" for r in rows),
        "other dates": header + "".join(rows).replace("1980-02-03", "03.02.1980"),
    }
    hashes = {}
    for number, (name, text) in enumerate(variants.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "Patients.csv").write_text(text)
        hashes[name] = examined(folder, tmp_path / f"home{number}").structure_hash
    assert hashes["first"] == hashes["more rows"]
    assert len(set(hashes.values())) == 4


def test_an_export_of_something_else_has_no_known_table(tmp_path: Path) -> None:
    """Tables that no vocabulary knows are inventoried, but there is nothing to map: one clear message."""
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "weather.csv").write_text("station,celsius\n1,20.5\n2,21.5\n")
    facts = examined(tmp_path / "x", tmp_path / "home")
    assert [(t.name, t.object) for t in facts.tables] == [("weather", "")]
    assert "patient" in facts.missing_objects
    with pytest.raises(ExportError, match="none of the 1 table") as caught:
        require_known_tables(facts)
    assert "--source" in caught.value.hint


def test_the_audit_is_idempotent(sample: tuple[Path, AuditFacts], tmp_path: Path) -> None:
    """Auditing the same files again gives the same facts."""
    source, facts = sample
    again = examined(source, tmp_path / "home")
    assert dataclasses.replace(again, intake=facts.intake) == facts


def test_awkward_names_break_nothing(tmp_path: Path) -> None:
    """Quotes, braces, keywords and blanks in names of files and columns, and empty tables, are all examined."""
    source = tmp_path / "x"
    source.mkdir()
    (source / "Patients.csv").write_text("Pat\"Num,L'Name,{x},First Name,select,Birth;Date,DOB\n")
    (source / "We\"ird 'name.csv").write_text('a b,"c ""d",e\'f,_row\n1,2,3,4\n')
    (source / "Appointments.csv").write_text(
        "AptNum,PatientID,AptDate,AptTime,AptStatus\n1,,13/45/2024,25:99,Booked\n2,5,,,\n"
    )
    (source / "Ödemeler.csv").write_text('PayNum,PatientID,Tutar\n1,1,"1.234,50"\n2,1,"12,5"\n', encoding="cp1254")
    (source / "order.csv").write_text("group,table\n1,2\n")
    facts = examined(source, tmp_path / "home", "other")
    assert {t.name: t.rows for t in facts.tables} == {
        "appointments": 2,
        "odemeler": 2,
        "order": 1,
        "patients": 0,
        "we_ird_name": 1,
    }


@pytest.mark.real_data
def test_relations_of_a_real_export_without_declared_keys(tmp_path: Path) -> None:
    """Of a real export without declared keys every relation is found, none besides, and every row is loaded."""
    root = os.environ.get("DENTLIB_REAL_DATA")
    if not root:
        pytest.skip("DENTLIB_REAL_DATA names no folder with data sets")
    source = Path(root) / "synthea_111"
    facts = examined(source, tmp_path / "home", "other")
    for file in facts.intake.files:
        with (source / file.path).open(encoding="utf-8", newline="") as text:
            assert file.physical_rows == file.loaded == sum(1 for _ in csv.reader(text)) - 1
    parents = {
        "PATIENT": "patients",
        "ENCOUNTER": "encounters",
        "ORGANIZATION": "organizations",
        "PROVIDER": "providers",
        "PAYER": "payers",
        "SECONDARY_PAYER": "payers",
    }
    wanted = {(c.table, c.column, parents[c.column]) for c in facts.columns if c.column in parents and c.type == "text"}
    assert {(r.child_table, r.child_column, r.parent_table) for r in facts.relationships} == wanted
