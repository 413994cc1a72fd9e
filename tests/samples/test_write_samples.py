"""The sample exports: the same bytes each time, sound later rounds, believable content, and clear refusals."""

from __future__ import annotations

import csv
import hashlib
import json
import zlib
from pathlib import Path

import phonenumbers
import pytest

from dentlib.errors import UsageError
from dentlib.samples import write_samples


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.md5(path.read_bytes()).hexdigest() for path in files}


def records(file: Path, encoding: str = "utf-8-sig", delimiter: str = ",") -> dict[str, list[str]]:
    with file.open(encoding=encoding, newline="") as source:
        lines = [cells for cells in csv.reader(source, delimiter=delimiter) if any(cells)]
    return {cells[0]: cells for cells in lines[1:] if cells[0] != "TOTAL"}


@pytest.mark.parametrize("round_number", [1, 2])
def test_same_arguments_make_the_same_bytes(round_number: int, tmp_path: Path) -> None:
    """Two runs into different folders agree in every byte, lists and documents included; another seed differs."""
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_samples("dent-o-soft", tmp_path / name, patients=60, seed=seed, round=round_number)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert digests(tmp_path / "a") != digests(tmp_path / "c")


def test_bytes_do_not_drift_between_machines(tmp_path: Path) -> None:
    """A fingerprint of one export, so that a change of the generator is a decision and not an accident of a version."""
    write_samples("dent-o-soft", tmp_path, patients=40, seed=7)
    fingerprint = hashlib.md5(json.dumps(digests(tmp_path), sort_keys=True).encode()).hexdigest()
    assert fingerprint == "72390005d5fa6ce4e418828af360a1f5"


def test_part_of_an_export_equals_the_same_files_of_the_whole(tmp_path: Path) -> None:
    """`only` writes the named tables alone, with the content they have in a full export."""
    write_samples("dent-o-soft", tmp_path / "whole", patients=60, seed=5)
    part = write_samples("dent-o-soft", tmp_path / "part", patients=60, seed=5, only=["Appointments", "Patients"])
    assert set(part.rows) == {"Patients.csv", "Appointments.csv"}
    for name in part.rows:
        assert (tmp_path / "part" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not (tmp_path / "part" / "Documents").exists()
    assert "orphan_notes_patient" not in part.trouble


@pytest.mark.parametrize("seed", range(5))
def test_later_round_differs_by_exactly_the_listed_keys(seed: int, tmp_path: Path) -> None:
    """Round 2 against round 1, compared by key and content, gives the created, changed and deleted keys of the list."""
    write_samples("dent-o-soft", tmp_path / "1", patients=80, seed=seed)
    written = write_samples("dent-o-soft", tmp_path / "2", patients=80, seed=seed, round=2)
    listed = json.loads((tmp_path / "2" / "known-trouble.json").read_text(encoding="utf-8"))["delta"]
    for file in written.rows:
        options = {"InsCarriers.csv": ("cp1252", ","), "InsClaims.csv": ("utf-8", ";")}.get(file, ("utf-8-sig", ","))
        old, new = (records(tmp_path / name / file, *options) for name in "12")
        entry = listed.get(file.removesuffix(".csv"), {"created_keys": [], "changed_keys": [], "deleted_keys": []})
        assert new.keys() - old.keys() == set(entry["created_keys"])
        assert old.keys() - new.keys() == set(entry["deleted_keys"])
        assert {key for key in old.keys() & new.keys() if old[key] != new[key]} == set(entry["changed_keys"])
    assert all(
        len(listed[name][f"{what}_keys"]) == count for name, d in written.delta.items() for what, count in d.items()
    )
    for table in ("Patients", "Appointments", "TreatPlans"):
        assert min(written.delta[table].values()) >= 1


def test_later_round_brings_no_new_code(tmp_path: Path) -> None:
    """A later export keeps the structure: same headers, and no value in a code column that the first didn't have."""
    for name, round_number in (("1", 1), ("3", 3)):
        write_samples("dent-o-soft", tmp_path / name, patients=50, seed=11, round=round_number)
    codes = {"Appointments": (7, 8), "Procedures": (4, 10), "TreatPlans": (3,), "Recalls": (2, 3, 5), "Payments": (5,)}
    for table, places in codes.items():
        old, new = (records(tmp_path / name / f"{table}.csv") for name in "13")
        for place in places:
            assert {row[place] for row in new.values()} <= {row[place] for row in old.values()}


def test_clean_phones_are_valid_us_numbers(tmp_path: Path) -> None:
    """All home and work numbers, and mobile ones in the usual spelling, are valid for the country US."""
    write_samples("dent-o-soft", tmp_path, patients=200, seed=2, only=["Patients"])
    cells = [cell for row in records(tmp_path / "Patients.csv").values() for cell in row[15:18] if cell.startswith("(")]
    plain = [cell for cell in cells if "x" not in cell]
    assert len(plain) > 200
    assert all(phonenumbers.is_valid_number(phonenumbers.parse(cell, "US")) for cell in plain)


def test_plan_amount_is_the_sum_of_its_procedures(tmp_path: Path) -> None:
    """To the cent, also where the amount is written with currency sign and separators."""
    write_samples("dent-o-soft", tmp_path, patients=120, seed=9, round=2, only=["TreatPlans", "Procedures"])
    sums: dict[str, int] = {}
    for row in records(tmp_path / "Procedures.csv").values():
        sums[row[2]] = sums.get(row[2], 0) + int(row[8].replace(".", ""))
    for key, row in records(tmp_path / "TreatPlans.csv").items():
        assert int(row[4].translate(str.maketrans("", "", "$,."))) == sums[key]


def test_documents_are_sound_files(tmp_path: Path) -> None:
    """PDFs point to their own cross-reference table (the large one as well); a PNG's data unpack to its size."""
    write_samples("dent-o-soft", tmp_path, patients=60, seed=6, only=["DocIndex"])
    for path in (tmp_path / "Documents").iterdir():
        content = path.read_bytes()
        if content.startswith(b"%PDF-"):
            table_at = int(content.rsplit(b"startxref\n", 1)[1].split(b"\n")[0])
            assert content[table_at : table_at + 4] == b"xref"
            first = int(content[table_at:].split(b"\n")[3].split()[0])
            assert content[first : first + 7] == b"1 0 obj"
        else:
            start = content.index(b"IDAT") + 4
            length = int.from_bytes(content[start - 8 : start - 4], "big")
            assert len(zlib.decompress(content[start : start + length])) == 24 * 25


def test_smallest_practice_has_every_trouble(tmp_path: Path) -> None:
    """Twenty-five patients are enough for each kind, whatever the seed."""
    for seed in range(12):
        written = write_samples("dent-o-soft", tmp_path, patients=25, seed=seed, round=2)
        assert min(written.trouble.values()) >= 1, seed


def test_an_earlier_export_is_replaced_whole(tmp_path: Path) -> None:
    """Writing a smaller practice over a larger one leaves nothing of the larger."""
    write_samples("dent-o-soft", tmp_path / "same", patients=300, seed=1)
    write_samples("dent-o-soft", tmp_path / "same", patients=30, seed=2)
    write_samples("dent-o-soft", tmp_path / "fresh", patients=30, seed=2)
    assert digests(tmp_path / "same") == digests(tmp_path / "fresh")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"product": "dentix"}, "dent-o-soft"),
        ({"patients": 3}, "25"),
        ({"round": 0}, "from 1"),
        ({"only": ["Patience"]}, "Patients"),
        ({"only": []}, "Patients"),
    ],
)
def test_what_cannot_be_made_is_refused(changes: dict[str, object], words: str, tmp_path: Path) -> None:
    """A clear message with the way out, and nothing written."""
    arguments = {"product": "dent-o-soft", "out": tmp_path / "out", "patients": 30, "seed": 1} | changes
    with pytest.raises(UsageError) as refused:
        write_samples(**arguments)
    assert words in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    """Somebody's folder is never written into."""
    (tmp_path / "letter.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="other files"):
        write_samples("dent-o-soft", tmp_path, patients=30, seed=1)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
