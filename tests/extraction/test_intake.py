"""Intake as a whole: what is kept, what is loaded, what is refused, and that nothing is half done."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from dentlib.clock import ManualClock
from dentlib.errors import ExportError
from dentlib.extraction import read_manifest, take_in, verify_custody
from dentlib.facts import IntakeFacts
from dentlib.model import Silence
from dentlib.workdb import open_work_db

PATIENTS = b"PatNum,Name\r\n1,Ada\r\n2,Bo\r\n"


def intake(source: Path, home: Path, round: str = "r1") -> IntakeFacts:
    """Take a source into an engagement's folder."""
    return take_in(
        source,
        home / "export" / round,
        home / "work.duckdb",
        round=round,
        source_label=source.name,
        clock=ManualClock(),
        progress=Silence(),
    )


def rows(home: Path, query: str) -> list[tuple[object, ...]]:
    """Ask the work database."""
    con = open_work_db(home / "work.duckdb", read_only=True)
    try:
        return con.execute(query).fetchall()
    finally:
        con.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small export folder with a table, a document below it, and something unknown."""
    source = tmp_path / "from-client"
    (source / "Documents").mkdir(parents=True)
    (source / "Patients.csv").write_bytes(PATIENTS)
    (source / "Documents" / "consent.pdf").write_bytes(b"%PDF-1.4\n%%EOF\n")
    (source / "what.bin").write_bytes(bytes(range(256)))
    return source


def test_a_folder_is_kept_as_received_and_its_tables_loaded(folder: Path, tmp_path: Path) -> None:
    """Files are copied read-only, tables loaded with file, row and line, the rest kept with its kind."""
    facts = intake(folder, tmp_path / "home")
    assert {f.path: (f.kind, f.table, f.physical_rows) for f in facts.files} == {
        "Patients.csv": ("csv", "patients", 2),
        "Documents/consent.pdf": ("document", "", 0),
        "what.bin": ("other", "", 0),
    }
    kept = tmp_path / "home/export/r1/Patients.csv"
    assert kept.read_bytes() == PATIENTS
    assert kept.stat().st_mode & 0o777 == 0o400
    assert rows(tmp_path / "home", "FROM raw.patients") == [
        ("1", "Ada", "Patients.csv", 1, 2),
        ("2", "Bo", "Patients.csv", 2, 3),
    ]
    assert rows(tmp_path / "home", "FROM meta.columns") == [("patients", 1, "PatNum"), ("patients", 2, "Name")]
    assert rows(tmp_path / "home", "FROM meta.control_extract") == [("Patients.csv", "patients", 2, 2, 0)]


def test_the_manifest_says_what_intake_said(folder: Path, tmp_path: Path) -> None:
    """Reading the manifest gives the same facts again, and custody is untouched."""
    facts = intake(folder, tmp_path / "home")
    custody = tmp_path / "home/export/r1"
    assert read_manifest(custody) == facts
    assert verify_custody(custody) == []


def test_custody_notices_every_kind_of_change(folder: Path, tmp_path: Path) -> None:
    """A changed, a removed and an added file are each named."""
    intake(folder, tmp_path / "home")
    custody = tmp_path / "home/export/r1"
    (custody / "Patients.csv").chmod(0o600)
    (custody / "Patients.csv").write_bytes(PATIENTS.replace(b"Ada", b"Eve"))
    (custody / "what.bin").unlink()
    (custody / "new.csv").write_bytes(b"a,b\n1,2\n")
    found = {(p.code, p.where) for p in verify_custody(custody)}
    assert found == {("file_changed", "Patients.csv"), ("file_missing", "what.bin"), ("file_added", "new.csv")}
    with pytest.raises(ExportError, match="changed since intake"):
        intake(custody, tmp_path / "home")


def test_a_zip_with_a_nested_folder_is_the_same_export(folder: Path, tmp_path: Path) -> None:
    """Zip members are unpacked with their folders; clutter of the archiver is left out."""
    archive = tmp_path / "export.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        out.write(folder / "Patients.csv", "practice/data/Patients.csv")
        out.writestr("__MACOSX/practice/._Patients.csv", b"\0\0")
    facts = intake(archive, tmp_path / "home")
    assert [(f.path, f.table, f.loaded) for f in facts.files] == [("practice/data/Patients.csv", "patients", 2)]


def test_one_file_alone_is_an_export(folder: Path, tmp_path: Path) -> None:
    """A single CSV file can be taken in."""
    assert [f.table for f in intake(folder / "Patients.csv", tmp_path / "home").files] == ["patients"]


def test_the_same_files_again_change_nothing(folder: Path, tmp_path: Path) -> None:
    """Taking in twice is idempotent, and a lost work database is rebuilt from custody alone."""
    home = tmp_path / "home"
    first = intake(folder, home)
    assert intake(folder, home) == first
    (home / "work.duckdb").unlink()
    assert intake(home / "export/r1", home) == first
    assert rows(home, "SELECT count(*) FROM raw.patients") == [(2,)]


def test_other_files_for_a_round_in_custody_are_refused(folder: Path, tmp_path: Path) -> None:
    """Evidence is never overwritten; a later export is a round of its own and replaces the raw tables."""
    home = tmp_path / "home"
    intake(folder, home)
    (folder / "Patients.csv").write_bytes(b"PatNum,Name\n9,Cy\n")
    with pytest.raises(ExportError, match="already holds other files"):
        intake(folder, home)
    assert rows(home, "SELECT count(*) FROM raw.patients") == [(2,)]
    (folder / "what.bin").unlink()
    intake(folder, home, "r2")
    assert rows(home, 'SELECT "Name" FROM raw.patients') == [("Cy",)]
    assert rows(home, "SELECT count(*) FROM meta.files") == [(2,)]


def empty_zip(folder: Path) -> Path:
    path = folder / "empty.zip"
    with zipfile.ZipFile(path, "w"):
        pass
    return path


def slipping_zip(folder: Path) -> Path:
    path = folder / "slip.zip"
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("../../escaped.csv", b"a,b\n1,2\n")
    return path


def linking_zip(folder: Path) -> Path:
    path = folder / "link.zip"
    with zipfile.ZipFile(path, "w") as out:
        info = zipfile.ZipInfo("link.csv")
        info.external_attr = 0o120777 << 16
        out.writestr(info, "/etc/passwd")
    return path


def bomb(folder: Path) -> Path:
    path = folder / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("a.csv", b"a,b\n")
    raw = bytearray(path.read_bytes())
    at = raw.find(b"PK\x01\x02")
    raw[at + 24 : at + 28] = (1 << 31).to_bytes(4, "little")  # the declared size, as the directory tells it
    path.write_bytes(bytes(raw))
    return path


def not_a_zip(folder: Path) -> Path:
    (folder / "not.zip").write_bytes(b"hello")
    return folder / "not.zip"


def garbage(folder: Path) -> Path:
    (folder / "garbage.csv").write_bytes(bytes((i * 73 + 11) % 256 for i in range(5000)))
    return folder / "garbage.csv"


def only_documents(folder: Path) -> Path:
    (folder / "docs").mkdir()
    (folder / "docs" / "scan.pdf").write_bytes(b"%PDF-1.4\n")
    (folder / "docs" / "empty.csv").write_bytes(b"")
    return folder / "docs"


def linked(folder: Path) -> Path:
    (folder / "linked").mkdir()
    (folder / "linked" / "a.csv").symlink_to("/etc/hostname")
    return folder / "linked"


def empty_folder(folder: Path) -> Path:
    (folder / "nothing").mkdir()
    return folder / "nothing"


def pdf_named_csv(folder: Path) -> Path:
    (folder / "report.csv").write_bytes(b"%PDF-1.4\n%%EOF\n")
    return folder / "report.csv"


def broken_workbook(folder: Path) -> Path:
    (folder / "book.xlsx").write_bytes(b"PK\x03\x04 broken")
    return folder / "book.xlsx"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda f: f / "nowhere", "no export at"),
        (empty_zip, "holds no files"),
        (empty_folder, "holds no files"),
        (slipping_zip, "leads out of its folder"),
        (linking_zip, "leads out of its folder or a link"),
        (bomb, "not believable"),
        (not_a_zip, "not a readable zip"),
        (garbage, "is not text"),
        (pdf_named_csv, "is not text"),
        (broken_workbook, "can't be read as an Excel workbook"),
        (only_documents, "is a table"),
        (linked, "is a link"),
    ],
    ids=lambda v: getattr(v, "__name__", None),
)
def test_what_cannot_be_taken_in_is_refused_with_nothing_written(make, says: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Each bad input: one message with the way out, no custody folder, no work database, no left-overs."""
    source = make(tmp_path)
    home = tmp_path / "home"
    with pytest.raises(ExportError, match=says) as caught:
        intake(source, home)
    assert caught.value.hint
    assert [p for p in home.rglob("*") if p.is_file()] == []
    assert not (tmp_path.parent / "escaped.csv").exists()


def test_a_refused_round_leaves_the_one_before_it(folder: Path, tmp_path: Path) -> None:
    """A failed intake rolls the work database back to the round that was there."""
    home = tmp_path / "home"
    intake(folder, home)
    (folder / "zz.csv").write_bytes(b"\x01\x02\x03" * 500)
    with pytest.raises(ExportError, match=r"zz\.csv is called a table"):
        intake(folder, home, "r2")
    assert rows(home, "SELECT count(*) FROM raw.patients") == [(2,)]
    assert not (home / "export/r2").exists()


def workbook(path: Path, sheets: dict[str, list[list[str]]]) -> None:
    """Write a minimal workbook whose cells are all texts."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    rels = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    office = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    listed, related, kinds = "", "", ""
    with zipfile.ZipFile(path, "w") as out:
        for n, (name, cells) in enumerate(sheets.items(), start=1):
            listed += f'<sheet name="{name}" sheetId="{n}" r:id="r{n}"/>'
            related += f'<Relationship Id="r{n}" Type="{rels}/worksheet" Target="worksheets/s{n}.xml"/>'
            kinds += f'<Override PartName="/xl/worksheets/s{n}.xml" ContentType="{office}.worksheet+xml"/>'
            rows = "".join(
                f'<row r="{r}">'
                + "".join(f'<c r="{"ABC"[c]}{r}" t="inlineStr"><is><t>{v}</t></is></c>' for c, v in enumerate(row))
                + "</row>"
                for r, row in enumerate(cells, start=1)
            )
            out.writestr(
                f"xl/worksheets/s{n}.xml", f'<worksheet xmlns="{main}"><sheetData>{rows}</sheetData></worksheet>'
            )
        out.writestr(
            "xl/workbook.xml", f'<workbook xmlns="{main}" xmlns:r="{rels}"><sheets>{listed}</sheets></workbook>'
        )
        out.writestr(
            "xl/_rels/workbook.xml.rels", f'<Relationships xmlns="{package}/relationships">{related}</Relationships>'
        )
        out.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" Type="{rels}/officeDocument" '
            'Target="xl/workbook.xml"/></Relationships>',
        )
        out.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{package}/content-types"><Default Extension="rels" '
            'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f'<Override PartName="/xl/workbook.xml" ContentType="{office}.sheet.main+xml"/>{kinds}</Types>',
        )


def test_sheets_of_a_workbook_are_tables_of_text(tmp_path: Path) -> None:
    """Each sheet becomes a table; "007" stays text; the sheet's row is the line."""
    book = tmp_path / "Practice.xlsx"
    workbook(
        book,
        {
            "Patients": [["Id", "Code"], ["1", "007"], ["2", "line\nbreak"], ["3", "x"]],
            "Labs": [["Id", "Name"], ["9", "Lab"]],
        },
    )
    facts = intake(book, tmp_path / "home")
    assert [(f.path, f.table, f.loaded) for f in facts.files] == [
        ("Practice.xlsx#Patients", "patients", 3),
        ("Practice.xlsx#Labs", "labs", 1),
    ]
    query = 'SELECT "Code", _row, _line FROM raw.patients'
    assert rows(tmp_path / "home", query) == [("007", 1, 2), ("line\nbreak", 2, 3), ("x", 3, 4)]
    assert verify_custody(tmp_path / "home/export/r1") == []


def test_two_files_of_one_name_and_one_file_twice(tmp_path: Path) -> None:
    """A second spelling gets a name of its own; the same bytes are not loaded twice; both are told."""
    source = tmp_path / "x"
    (source / "old").mkdir(parents=True)
    (source / "Patients.csv").write_bytes(PATIENTS)
    (source / "PATIENTS.txt").write_bytes(b"PatNum;Name\n7;Di\n")
    (source / "old" / "copy.csv").write_bytes(PATIENTS)
    facts = intake(source, tmp_path / "home")
    assert sorted(f.table for f in facts.files) == ["", "patients", "patients_2"]
    assert sorted(p.code for p in facts.problems) == ["name_taken", "same_file_twice"]


def test_what_was_tolerated_is_told(tmp_path: Path) -> None:
    """Blank cells beyond the header are counted, and a document's first bytes are remembered beside its name."""
    source = tmp_path / "x"
    source.mkdir()
    (source / "Recalls.csv").write_bytes(b"Id,Kind\n1,a\n2,b,,\n3,c,\n4,d\n")
    (source / "scan.pdf").write_bytes(b"\x89PNG\r\n")
    facts = intake(source, tmp_path / "home")
    assert [(p.code, p.where, p.count) for p in facts.problems] == [("trailing_blank_cells", "Recalls.csv", 2)]
    kinds = rows(tmp_path / "home", "SELECT path, kind, looks_like FROM meta.files ORDER BY 1")
    assert kinds == [("Recalls.csv", "csv", "csv"), ("scan.pdf", "document", "png")]


def test_rejects_keep_their_raw_text(tmp_path: Path) -> None:
    """Every rejected row can be read in full, with file, physical line and reason; the control table adds up."""
    source = tmp_path / "Payments.csv"
    source.write_bytes(b'Id,Memo,Amount\n1,"two\nlines",5\n\n2,x,y,z\nTOTAL,,5\n')
    facts = intake(source, tmp_path / "home")
    assert rows(tmp_path / "home", "FROM meta.rejects") == [
        ("Payments.csv", 4, "blank", ""),
        ("Payments.csv", 5, "too_many_cells", "2,x,y,z"),
        ("Payments.csv", 6, "totals", "TOTAL,,5"),
    ]
    assert rows(tmp_path / "home", "FROM meta.control_extract") == [("Payments.csv", "payments", 4, 1, 3)]
    assert [p.code for p in facts.problems] == ["mostly_rejected"]


def test_what_a_killed_intake_left_behind_is_removed(folder: Path, tmp_path: Path) -> None:
    """Copies of patients' data from an intake that never ended don't stay, whichever round it was for."""
    left = [tmp_path / "home" / ".intake-abc", tmp_path / "home" / "export" / ".incoming-r0"]
    for place in left:
        place.mkdir(parents=True)
        (place / "patients.csv").write_bytes(PATIENTS)
    intake(folder, tmp_path / "home")
    assert not any(place.exists() for place in left)
