"""Keys and relations: proven by the data, and never by inclusion alone."""

from __future__ import annotations

from pathlib import Path

from dentlib.audit import audit
from dentlib.clock import ManualClock
from dentlib.extraction import take_in
from dentlib.facts import AuditFacts
from dentlib.model import Silence
from dentlib.vocabulary import load_vocabulary
from dentlib.workdb import open_work_db


def examined(tmp_path: Path, **tables: str) -> AuditFacts:
    """Audit tables given as texts, as an export of an unknown product."""
    source = tmp_path / "x"
    source.mkdir()
    for name, text in tables.items():
        (source / f"{name}.csv").write_text(text)
    work = tmp_path / "work.duckdb"
    clock = ManualClock()
    intake = take_in(source, tmp_path / "e", work, round="r", source_label="x", clock=clock, progress=Silence())
    with open_work_db(work) as con:
        return audit(con, intake, load_vocabulary("other"), engagement="e", client="c", clock=clock)


def keys(facts: AuditFacts) -> dict[str, tuple[str, ...]]:
    """Return each table's key."""
    return {t.name: t.key for t in facts.tables}


def test_single_composite_and_no_key(tmp_path: Path) -> None:
    """One unique column is the key, else columns that are unique together, else none, and that is said."""
    facts = examined(
        tmp_path,
        gadget="Colour,GadgetID\nred,1\nred,2\nblue,3\n",
        pairing="Left,Right\n1,1\n1,2\n2,1\n",
        heap="A,B\n1,x\n1,x\n1,x\n2,\n2,\n",
    )
    assert keys(facts) == {"gadget": ("GadgetID",), "pairing": ("Left", "Right"), "heap": ()}
    notes = {t.name: t.key_note for t in facts.tables}
    assert notes["heap"].startswith("no key: 3 rows repeat others")


def test_a_declared_key_that_repeats_is_a_finding(tmp_path: Path) -> None:
    """The vocabulary's key column stays the key, but a repetition with other content is told as an error."""
    facts = examined(
        tmp_path, patients="PatientID,LastName,BirthDate\n1,Doe,1980-01-02\n1,Roe,1981-01-02\n2,Poe,1982-01-02\n"
    )
    assert keys(facts) == {"patients": ("PatientID",)}
    assert [(f.kind, f.count) for f in facts.findings if f.severity == "error"] == [("key_not_unique", 1)]


def test_exact_duplicate_rows_leave_the_key_alone(tmp_path: Path) -> None:
    """Rows that repeat cell by cell are counted and don't spoil a key."""
    facts = examined(tmp_path, gadget="GadgetID,Colour\n1,red\n2,red\n2,red\n3,blue\n")
    assert keys(facts) == {"gadget": ("GadgetID",)}
    assert [(f.kind, f.count) for f in facts.findings if f.kind == "exact_duplicate_rows"] == [
        ("exact_duplicate_rows", 1)
    ]


def test_small_overlapping_integers_need_a_name(tmp_path: Path) -> None:
    """Of columns that all hold 1 to 3, only those called like a parent point at it."""
    facts = examined(
        tmp_path,
        gadget="GadgetID,Drawer\n1,1\n2,2\n3,3\n",
        drawer="DrawerID,Width\n1,3\n2,1\n3,2\n",
        sale="SaleID,GadgetID,Number\n1,1,1\n2,3,2\n3,3,1\n4,9,1\n5,1,2\n6,1,2\n7,2,2\n8,2,1\n9,2,1\n10,1,1\n11,3,3\n12,2,3\n",
    )
    found = {(r.child_table, r.child_column, r.parent_table, r.orphans) for r in facts.relationships}
    assert found == {("gadget", "Drawer", "drawer", 0), ("sale", "GadgetID", "gadget", 1)}


def test_world_unique_values_point_without_a_name(tmp_path: Path) -> None:
    """Values that are unique in the world prove a relation whatever the column is called."""
    ids = [f"{n:08x}-1111-2222-3333-{n:012x}" for n in range(1, 6)]
    facts = examined(
        tmp_path,
        thing="Key,Size\n" + "".join(f"{i},{n % 2}\n" for n, i in enumerate(ids)),
        event="Nr,Whose\n" + "".join(f"{n},{i}\n" for n, i in enumerate(ids + ids)),
    )
    assert [(r.child_column, r.parent_table) for r in facts.relationships] == [("Whose", "thing")]
