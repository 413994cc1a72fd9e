"""Tests of the Great Expectations runner: verdicts, counts, crashes, and that no value leaks."""

from __future__ import annotations

from pathlib import Path

import duckdb
import orjson
import pytest

from dentlib import assets, checks
from dentlib.errors import UsageError


@pytest.fixture
def con() -> duckdb.DuckDBPyConnection:
    """A store with one table of four rows."""
    con = duckdb.connect()
    con.execute("CREATE SCHEMA s; CREATE TABLE s.t (k VARCHAR, v VARCHAR)")
    con.execute("INSERT INTO s.t VALUES ('1','Zebedee'),('2',NULL),('2','x'),(NULL,'y')")
    return con


def suite(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *expectations: dict[str, object]) -> None:
    """Put a suite called `mine` where suites are found."""
    (tmp_path / "mine.json").write_bytes(orjson.dumps({"name": "mine", "expectations": expectations}))
    monkeypatch.setattr(assets, "folder", lambda kind: tmp_path)


def expectation(kind: str, rule: str, **kwargs: object) -> dict[str, object]:
    """One expectation on s.t."""
    return {"type": kind, "kwargs": kwargs, "meta": {"rule": rule, "why": "because", "table": "s.t"}}


def test_verdicts_and_counts_come_back_in_suite_order(
    con: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each expectation has exactly one verdict with numerator and denominator; a value never shows."""
    suite(
        monkeypatch,
        tmp_path,
        expectation("expect_column_values_to_not_be_null", "filled", column="k"),
        expectation("expect_column_values_to_be_unique", "unique", column="k"),
        expectation(
            "unexpected_rows_expectation", "names", unexpected_rows_query="SELECT * FROM {batch} WHERE v = 'Zebedee'"
        ),
        expectation("expect_column_values_to_be_in_set", "codes", column="v", value_set=["Zebedee", "x", "y"]),
    )
    found = checks.run_suite(con, "mine")
    assert [(f.rule, f.success, f.numerator, f.denominator) for f in found] == [
        ("filled", False, 1, 4),
        ("unique", False, 2, 4),
        ("names", False, 1, 4),
        ("codes", True, 0, 4),
    ]
    assert "Zebedee" not in repr(found)


def test_a_check_that_crashes_is_never_a_pass(
    con: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A missing column makes the verdict None with a detail, not False and not True."""
    suite(monkeypatch, tmp_path, expectation("expect_column_values_to_not_be_null", "filled", column="nope"))
    (found,) = checks.run_suite(con, "mine")
    assert found.success is None
    assert found.detail.startswith("the check itself failed")


def test_for_each_stamps_out_one_check_per_row(
    con: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Placeholders are filled per row, lists included; a list that was not handed in is an error."""
    stamped = expectation(
        "expect_column_values_to_be_in_set", "set of {column}", column="{column}", value_set="{values}"
    )
    stamped["meta"]["for_each"] = "choices"  # type: ignore[index]
    suite(monkeypatch, tmp_path, stamped)
    rows = [{"column": "k", "values": ["1", "2"]}, {"column": "v", "values": ["x"]}]
    found = checks.run_suite(con, "mine", {"choices": rows})
    assert [(f.rule, f.success) for f in found] == [("set of k", True), ("set of v", False)]
    with pytest.raises(UsageError, match="not handed in"):
        checks.run_suite(con, "mine")


def test_every_shipped_expectation_says_why() -> None:
    """Each suite loads, and each check has a rule, a table and a reason."""
    names = [p.stem for p in assets.folder("expectations").glob("*.json")]
    assert set(names) >= {"extract", "prepared", "lookups", "reconciliation"}
    for name in names:
        assert checks.load_suite(name)["expectations"]
