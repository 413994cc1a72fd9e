"""Text tables: every physical record ends as loaded, character for character, or as rejected with its reason."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dentlib.extraction.dialect import column_names, detect_dialect
from dentlib.extraction.tables import Loaded, load_table


def loaded(text: str, folder: Path) -> tuple[Loaded, list[tuple[object, ...]], list[tuple[object, ...]]]:
    """Load a text as `raw.t`; return counts, rows (without `_file`) and rejects (line, reason, raw)."""
    path = folder / "t.csv"
    path.write_text(text, encoding="utf-8", newline="")
    dialect = detect_dialect(path)
    assert dialect is not None
    con = duckdb.connect()
    con.execute("CREATE SCHEMA raw; CREATE SCHEMA meta")
    con.execute("CREATE TABLE meta.rejects (file VARCHAR, line BIGINT, reason VARCHAR, raw_text VARCHAR)")
    counts = load_table(con, path, dialect, "t", "t.csv", folder)
    rows = con.execute("SELECT * EXCLUDE (_file) FROM raw.t ORDER BY _row").fetchall()
    rejects = con.execute("SELECT line, reason, raw_text FROM meta.rejects").fetchall()
    con.close()
    assert counts.physical_rows == counts.loaded + counts.rejected == len(rows) + len(rejects)
    return counts, rows, rejects


TORTURE = [
    ("plain", "a,b\n1,x\n2,y\n", [("1", "x", 1, 2), ("2", "y", 2, 3)], []),
    ("crlf, no last line end", "a,b\r\n1,x\r\n2,y", [("1", "x", 1, 2), ("2", "y", 2, 3)], []),
    ("old Mac line ends", "a,b\r1,x\r2,y\r", [("1", "x", 1, 2), ("2", "y", 2, 3)], []),
    ("mixed line ends", "a,b\r\n1,x\n2,y\r\n", [("1", "x", 1, 2), ("2", "y", 2, 3)], []),
    ("empty told from nothing", 'a,b\n1,""\n2,\n', [("1", "", 1, 2), ("2", None, 2, 3)], []),
    ("the same beside line breaks", 'a,b\n"",x\n2,"p\nq"\n', [("", "x", 1, 2), ("2", "p\nq", 2, 3)], []),
    ("line break in a cell", 'a,b\n1,"x\r\ny"\n2,z\n', [("1", "x\r\ny", 1, 2), ("2", "z", 2, 4)], []),
    ("doubled quotes", 'a,b\n1,"say ""hi"""\n', [("1", 'say "hi"', 1, 2)], []),
    ("inch sign inside", 'a,b\n1,5" screw\n2,y\n', [("1", '5" screw', 1, 2), ("2", "y", 2, 3)], []),
    ("text after a quote", 'a,b\n1,"x" y\n', [("1", "x y", 1, 2)], []),
    ("blanks are characters", "a,b\n 1 , x\n", [(" 1 ", " x", 1, 2)], []),
    ("space before a quote", 'a,b\n1, "x"\n', [("1", ' "x"', 1, 2)], []),
    (
        "blank lines",
        "a,b\n1,x\n\n2,y\n,\n",
        [("1", "x", 1, 2), ("2", "y", 3, 4)],
        [(3, "blank", ""), (5, "blank", ",")],
    ),
    ("totals line", "a,b,c\n1,x,5\nTOTAL,,5\n", [("1", "x", "5", 1, 2)], [(3, "totals", "TOTAL,,5")]),
    ("a patient called Total", "a,b,c\nTotal,Ann,5\n", [("Total", "Ann", "5", 1, 2)], []),
    ("too many", "a,b\n1,x\n2,y,z\n3,w\n", [("1", "x", 1, 2), ("3", "w", 3, 4)], [(3, "too_many_cells", "2,y,z")]),
    ("blank cells beyond", "a,b\n1,x\n2,y,,\n", [("1", "x", 1, 2), ("2", "y", 2, 3)], []),
    ("too few", "a,b,c\n1,x,\n2,y\n", [("1", "x", None, 1, 2)], [(3, "too_few_cells", "2,y")]),
    (
        "blanks left out throughout",
        "a,b,c\n1,x,p\n2,y\n3,z,q\n",
        [("1", "x", "p", 1, 2), ("2", "y", None, 2, 3), ("3", "z", "q", 3, 4)],
        [],
    ),
    (
        "preamble",
        "Practice report\n\na;b;c\n1;x;2\n3;y;4\n",
        [("1", "x", "2", 1, 4), ("3", "y", "4", 2, 5)],
        [(1, "preamble", "Practice report"), (2, "preamble", "")],
    ),
    (
        "footer",
        "a,b\n1,x\n2,y\n3,z\n-- 3 records\n",
        [("1", "x", 1, 2), ("2", "y", 2, 3), ("3", "z", 3, 4)],
        [(5, "too_few_cells", "-- 3 records")],
    ),
    (
        "a quote never closed",
        'a,b,c\n1,"x,p\n2,y,q\n3,z,r\n',
        [("2", "y", "q", 2, 3), ("3", "z", "r", 3, 4)],
        [(2, "stray_quote", '1,"x,p')],
    ),
    ("a quote closed by another", 'a,b,c\n1,"x,p\n2,"y",q\n', [("2", "y", "q", 2, 3)], [(2, "stray_quote", '1,"x,p')]),
    ("formula and script", "a,b\n=cmd|x,<script>\n", [("=cmd|x", "<script>", 1, 2)], []),
    ("the word NULL", "a,b\nNULL,\\N\n", [("NULL", "\\N", 1, 2)], []),
    ("astral characters", "a,b\n😀,e\u0301\n", [("😀", "e\u0301", 1, 2)], []),
    ("header only", "a,b\n", [], []),
    ("one column", "a\n1\n2\n", [("1", 1, 2), ("2", 2, 3)], []),
]


@pytest.mark.parametrize(("text", "rows", "rejects"), [t[1:] for t in TORTURE], ids=[t[0] for t in TORTURE])
def test_torture(text: str, rows: list[object], rejects: list[object], tmp_path: Path) -> None:
    """Each nasty file gives exactly these rows with their lines, and exactly these rejects."""
    _, found, refused = loaded(text, tmp_path)
    assert found == rows
    assert refused == rejects


CELL = st.one_of(
    st.none(),
    st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\ufeff") | st.sampled_from('",;\n '),
        max_size=8,
    ),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(1, 99).map(str), CELL, CELL, CELL), max_size=8), st.sampled_from(",;\t|"))
def test_what_a_careful_writer_writes_is_read_back(
    tmp_path: Path, records: list[tuple[str | None, ...]], delimiter: str
) -> None:
    """Any text in quotes comes back character for character, with quoted-empty and nothing told apart."""
    lines = [delimiter.join(["key", "two", "three", "four"])]
    for record in records:
        lines.append(delimiter.join("" if c is None else '"' + c.replace('"', '""') + '"' for c in record))
    counts, rows, _ = loaded("\n".join(lines) + "\n", tmp_path)
    assert counts.loaded == len(records)
    assert [r[:4] for r in rows] == records


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.sampled_from('ab1",;\n\r \t'), max_size=60))
def test_any_text_at_all_is_accounted_for(tmp_path: Path, body: str) -> None:
    """Whatever stands below a header: records read by `csv.reader` alone are loaded or rejected, none vanishes."""
    counts, _, rejects = loaded("key,two,three\n" + body, tmp_path)
    dialect = detect_dialect(tmp_path / "t.csv")
    assert dialect is not None
    if all(reason != "stray_quote" for _, reason, _ in rejects):
        text = io.StringIO("key,two,three\n" + body, newline="")
        assert counts.physical_rows == len(list(csv.reader(text, delimiter=dialect.delimiter))) - 1
    else:
        assert counts.physical_rows >= 1


@pytest.mark.parametrize(
    ("header", "width", "names"),
    [
        (["A", "B"], 2, ("A", "B")),
        ([" A ", "a", ""], 3, ("A", "a_2", "column_3")),
        (["_row", "x"], 3, ("_row_2", "x", "column_3")),
        (["Id", "Id", "Id_2"], 3, ("Id", "Id_2", "Id_2_2")),
    ],
)
def test_column_names_are_distinct(header: list[str], width: int, names: tuple[str, ...]) -> None:
    """Header texts are kept exactly but trimmed, and made distinct without regard to case."""
    assert column_names(header, width) == names


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("a;b;c\n1,5;2,5;x\n3,5;4,5;y\n", ";"),
        ("a\tb\n1,2\t3\n", "\t"),
        ("a|b|c\n1|x, y|2\n", "|"),
        ('a,b\n"x;y;z",1\n"p;q;r",2\n', ","),
    ],
)
def test_delimiters_are_told_by_agreement(text: str, delimiter: str, tmp_path: Path) -> None:
    """The delimiter under which records agree about their width wins, not the most frequent character."""
    (tmp_path / "t.csv").write_text(text)
    dialect = detect_dialect(tmp_path / "t.csv")
    assert dialect is not None
    assert dialect.delimiter == delimiter
