"""Great Expectations suites over the work store: read from `expectations/*.json`, told as `CheckFacts`.

A suite file holds expectations as Great Expectations writes them, plus, in `meta`: `rule` (stable name), `why` (for the
reader), `table` (which table it reads) and optionally `for_each` (name of a list of rows handed in by the caller; the
expectation is stamped out once per row, `{name}` placeholders filled in), `counts` (`numerator`, `denominator` as SQL
over the table, where a row of it stands for many) and `names` (SQL for one text that says where a failed check failed:
steps, fields, ids of records). Other counts come from GX; values never do.
"""

from __future__ import annotations

import atexit
import copy
import dataclasses
import functools
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb
import orjson

from dentlib import assets
from dentlib.errors import UsageError
from dentlib.facts import CheckFacts

Rows = Sequence[Mapping[str, Any]]


def load_suite(name: str) -> dict[str, Any]:
    """Read one suite file; raises UsageError where it is missing or an expectation lacks rule, why or table."""
    file = assets.folder("expectations") / f"{name}.json"
    if not file.is_file():
        raise UsageError(f"there is no suite '{name}' in {file.parent}")
    suite: dict[str, Any] = orjson.loads(file.read_bytes())
    for expectation in suite["expectations"]:
        missing = {"rule", "why", "table"} - set(expectation.get("meta", {}))
        if missing:
            raise UsageError(f"{file.name}: an expectation of type {expectation['type']} lacks {sorted(missing)}")
    return suite


def run_suite(
    con: duckdb.DuckDBPyConnection, name: str, rows: Mapping[str, Rows] | None = None, point: str | None = None
) -> list[CheckFacts]:
    """Validate one suite against the open work store; reads only.

    `rows` gives the lists that `for_each` names. Every stamped-out expectation comes back exactly once, in suite order;
    one that crashed has `success` None (an error, never a pass). `numerator` counts unexpected rows, `denominator` the
    rows of the table.
    """
    stamped = [e for template in load_suite(name)["expectations"] for e in _stamp(template, rows or {})]
    by_table: dict[str, list[dict[str, Any]]] = {}
    for number, expectation in enumerate(stamped):
        expectation["meta"]["number"] = number
        by_table.setdefault(expectation["meta"]["table"], []).append(expectation)
    found: dict[int, CheckFacts] = {}
    with _context(con) as source:
        for table, expectations in by_table.items():
            total = _count(con, table)
            for result in _validate(source, table, expectations):
                meta = result["expectation_config"]["meta"]
                facts = _facts(result, meta, point or name, total, _counted(con, table, meta))
                found[meta["number"]] = _names(con, facts, meta)
    missing = set(range(len(stamped))) - set(found)
    if missing:
        lost = [stamped[n]["meta"]["rule"] for n in sorted(missing)]
        raise UsageError(f"suite '{name}' gave no verdict for {lost}")
    return [found[n] for n in sorted(found)]


def _stamp(template: dict[str, Any], rows: Mapping[str, Rows]) -> Iterator[dict[str, Any]]:
    meta = template["meta"]
    if "for_each" not in meta:
        yield copy.deepcopy(template)
        return
    if meta["for_each"] not in rows:
        raise UsageError(f"check {meta['rule']} wants the list '{meta['for_each']}', which was not handed in")
    for row in rows[meta["for_each"]]:
        yield _fill(template, row)


def _fill(value: Any, row: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        if value.startswith("{") and value.endswith("}") and value[1:-1] in row:
            return row[value[1:-1]]
        for name, replacement in row.items():
            value = value.replace("{" + name + "}", str(replacement))
        return value
    if isinstance(value, dict):
        return {k: _fill(v, row) for k, v in value.items()}
    if isinstance(value, list):
        return [_fill(v, row) for v in value]
    return value


def _count(con: duckdb.DuckDBPyConnection, table: str) -> int:
    row = con.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(row[0]) if row else 0


def _counted(con: duckdb.DuckDBPyConnection, table: str, meta: dict[str, Any]) -> tuple[int, int] | None:
    """Count what a check says that it counts, where that isn't the rows of its table."""
    if "counts" not in meta:
        return None
    counts = meta["counts"]
    row = con.execute(f"SELECT {counts['numerator']}, {counts['denominator']} FROM {table}").fetchone()
    return (int(row[0] or 0), int(row[1] or 0)) if row else (0, 0)


def _names(con: duckdb.DuckDBPyConnection, facts: CheckFacts, meta: dict[str, Any]) -> CheckFacts:
    """Say where a failed check failed, if it knows."""
    if facts.success is not False or "names" not in meta:
        return facts
    row = con.execute(meta["names"]).fetchone()
    return dataclasses.replace(facts, detail=str(row[0] or "") if row else "")


def _facts(
    result: dict[str, Any], meta: dict[str, Any], point: str, total: int, counted: tuple[int, int] | None
) -> CheckFacts:
    crashed = _crash(result.get("exception_info") or {})
    outcome = result.get("result") or {}
    observed = outcome.get("observed_value")
    unexpected = outcome.get("unexpected_count", observed if isinstance(observed, int) else 0)
    numerator, denominator = counted or (int(unexpected or 0), int(outcome.get("element_count") or total))
    return CheckFacts(
        point=point,
        rule=meta["rule"],
        description=meta.get("description", meta["rule"]),
        success=None if crashed else bool(result["success"]),
        numerator=numerator,
        denominator=denominator,
        why=meta["why"],
        detail=f"the check itself failed: {crashed}" if crashed else "",
    )


def _crash(info: dict[str, Any]) -> str:
    """Return the kind of exception inside GX; only its first word, because messages may quote values."""
    if info.get("raised_exception"):
        return str(info.get("exception_message") or "error").split(":")[0][:80]
    for value in info.values():
        if isinstance(value, dict) and value.get("raised_exception"):
            return str(value.get("exception_message") or "error").split(":")[0][:80]
    return ""


# ---- Great Expectations over an open DuckDB connection -------------------------------------------------------------


@contextmanager
def _context(con: duckdb.DuckDBPyConnection) -> Iterator[Any]:
    """Open an ephemeral GX context whose data source is the caller's own connection."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # GX and its dialects warn about their own dependencies on import
        import great_expectations as gx
        from sqlalchemy.dialects import registry

        from dentlib import gx_duckdb

        _quiet_end()
        registry.register("duckgx", "dentlib.gx_duckdb", "GxDuck")
        gx_duckdb.GxDuck.con = con
        logging.getLogger("great_expectations").setLevel(logging.ERROR)
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        try:
            yield context.data_sources.add_sql("workbench", connection_string="duckgx:///workbench")
        finally:
            gx_duckdb.GxDuck.con = None


@functools.cache
def _quiet_end() -> None:
    """Keep the interpreter's last moments off the terminal.

    With GX loaded, DuckDB's binding prints a page about objects that are still alive when the interpreter is torn down.
    By then every message and traceback of ours has been written.
    """

    def close_stderr() -> None:
        sys.stderr.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)

    atexit.register(close_stderr)


def _validate(source: Any, table: str, expectations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Validate the expectations of one table; GX returns them in any order, so `meta.number` tells which is which."""
    import great_expectations as gx

    schema, _, name = table.rpartition(".")
    asset = source.add_table_asset(
        table.replace(".", "_").replace('"', ""), table_name=name.strip('"'), schema_name=schema or None
    )
    batch = asset.add_batch_definition_whole_table("whole").get_batch()
    suite = gx.ExpectationSuite(
        name=table, expectations=[{k: e[k] for k in ("type", "kwargs", "meta")} for e in expectations]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = batch.validate(suite, result_format={"result_format": "SUMMARY", "partial_unexpected_count": 0})
    results: list[dict[str, Any]] = report.to_json_dict()["results"]
    return results
