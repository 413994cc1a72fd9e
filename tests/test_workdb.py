"""The work database: opened alone, quoted safely, rebuilt rather than repaired."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from dentlib.errors import Locked, UsageError
from dentlib.workdb import frugally, literal, open_work_db, quoted


def test_it_is_private_and_keeps_its_content(tmp_path: Path) -> None:
    """A new file is made for the owner only; reading alone can't change it."""
    path = tmp_path / "deep" / "work.duckdb"
    with open_work_db(path) as con:
        con.execute("CREATE TABLE t AS SELECT 1 AS a")
    assert path.stat().st_mode & 0o777 == 0o600
    with open_work_db(path, read_only=True) as con:
        assert con.execute("FROM t").fetchall() == [(1,)]
        with pytest.raises(duckdb.Error):
            con.execute("CREATE TABLE u AS SELECT 1 AS a")


def test_nothing_there_and_something_else_there(tmp_path: Path) -> None:
    """A missing file and a file that is no database are each told with the way out."""
    with pytest.raises(UsageError, match="no work database"):
        open_work_db(tmp_path / "none.duckdb", read_only=True)
    (tmp_path / "text.duckdb").write_text("hello, this is not a database at all " * 400)
    with pytest.raises(UsageError, match="can't be opened") as caught:
        open_work_db(tmp_path / "text.duckdb")
    assert "rebuilt" in caught.value.hint


def test_another_process_is_told(tmp_path: Path) -> None:
    """While one process writes, another one gets `Locked`, not a damaged file."""
    path = tmp_path / "work.duckdb"
    code = f"from pathlib import Path; from dentlib.workdb import open_work_db; open_work_db(Path({str(path)!r}))"
    with open_work_db(path):
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert other.returncode != 0
    assert Locked.__name__ in other.stderr


def test_names_and_texts_are_quoted() -> None:
    """Names and texts from a client's file can't leave their quotes."""
    name, text = 'a"b; DROP', "it's; --"
    row = duckdb.execute(f"SELECT {literal(text)} AS {quoted(name)}")
    assert [d[0] for d in row.description] == [name]
    assert row.fetchall() == [(text,)]


def test_what_needs_more_memory_is_done_once_more_with_what_is_usual(tmp_path: Path) -> None:
    """Little is tried first; the limit is as before afterwards, also when the work fails."""
    con = open_work_db(tmp_path / "work.duckdb")
    usual = con.execute("SELECT current_setting('memory_limit')").fetchone()
    seen: list[object] = []

    def work() -> int:
        seen.append(con.execute("SELECT current_setting('memory_limit')").fetchone())
        if len(seen) == 1:
            raise duckdb.OutOfMemoryException("too little")
        return 7

    assert frugally(con, work) == 7
    assert seen[0] != usual
    assert seen[1] == usual
    with pytest.raises(ZeroDivisionError):
        frugally(con, lambda: 1 // 0)
    assert con.execute("SELECT current_setting('memory_limit')").fetchone() == usual
    con.close()
