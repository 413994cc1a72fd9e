"""Load one text table into schema `raw`, and prove by two readers that nothing was lost.

The quick pass (`csv.reader`) counts records and characters first. Where it saw nothing unusual, DuckDB reads the file
itself; else the careful pass writes the loadable records out cleanly and puts the others aside with their reasons.
Either way the loaded table must hold exactly the records and characters that the pass counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import duckdb

from dentlib.errors import ExportError
from dentlib.extraction.dialect import Dialect
from dentlib.extraction.records import judged_records, survey
from dentlib.workdb import literal, quoted

LONGEST_RECORD_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Loaded:
    """Records of one file: `physical_rows` = `loaded` + `rejected`; `trimmed` of the loaded lost blank cells beyond."""

    physical_rows: int
    loaded: int
    rejected: int
    trimmed: int = 0


class _Mismatch(Exception):
    """DuckDB and the independent pass don't agree about this file."""


def load_table(
    con: duckdb.DuckDBPyConnection,
    path: Path,
    dialect: Dialect,
    table: str,
    file: str,
    scratch: Path,
    *,
    lines_are_records: bool = False,
) -> Loaded:
    """Load a UTF-8 text table as `raw.<table>`, its rejects into `meta.rejects`; inside the caller's transaction.

    Columns: the dialect's, as VARCHAR, with the file's exact characters (NULL: nothing between the delimiters; '':
    `""`), then `_file` VARCHAR, `_row` BIGINT (record behind the header, from 1) and `_line` BIGINT (physical line,
    from 1; with `lines_are_records` the record's own number, as in a sheet). Raises ExportError when the two readers
    disagree.
    """
    seen = survey(path, dialect)
    if seen.clean:
        try:
            _load_as_is(con, path, dialect, table, file)
            _prove(con, table, dialect, seen.records, seen.characters)
            return Loaded(seen.records, seen.records, 0)
        except (_Mismatch, duckdb.Error):
            # Quoting on which readers differ: the careful pass writes it so that there is one reading only.
            con.execute(f"DROP TABLE IF EXISTS raw.{quoted(table)}")
    return _load_carefully(con, path, dialect, table, file, scratch, seen.drops_trailing_blanks, lines_are_records)


def _load_as_is(con: duckdb.DuckDBPyConnection, path: Path, dialect: Dialect, table: str, file: str) -> None:
    number = "row_number() OVER ()"
    con.execute(
        f"CREATE OR REPLACE TABLE raw.{quoted(table)} AS SELECT {_named(dialect)}, {literal(file)} AS _file, "
        f"{number} AS _row, {number} + {dialect.header_line} AS _line "
        f"FROM {_reader(path, dialect.delimiter, _placeholders(dialect), 'header = true')}"
    )


def _load_carefully(
    con: duckdb.DuckDBPyConnection,
    path: Path,
    dialect: Dialect,
    table: str,
    file: str,
    scratch: Path,
    fill: bool,
    lines_are_records: bool,
) -> Loaded:
    good, bad = scratch / f"{table}.good.csv", scratch / f"{table}.bad.csv"
    loaded = rejected = trimmed = characters = 0
    try:
        with (
            good.open("w", encoding="utf-8", newline="") as accepted,
            bad.open("w", encoding="utf-8", newline="") as refused,
        ):
            for record in judged_records(path, dialect, fill):
                line = dialect.header_record + 1 + record.row if lines_are_records else record.line
                if record.reason:
                    rejected += 1
                    _write(refused, [str(line), record.reason, record.raw.rstrip("\r\n")])
                    continue
                loaded += 1
                if record.plain:
                    characters += len(record.raw) - dialect.width + 1
                    accepted.write(f"{record.row}{dialect.delimiter}{line}{dialect.delimiter}{record.raw}\n")
                    continue
                trimmed += record.trimmed
                characters += sum(len(c) for c in record.cells if c)
                _write(accepted, [str(record.row), str(line), *record.cells], dialect.delimiter)
        columns = ["_row", "_line", *_placeholders(dialect)]
        con.execute(
            f"CREATE OR REPLACE TABLE raw.{quoted(table)} AS SELECT {_named(dialect)}, {literal(file)} AS _file, "
            f"_row::BIGINT AS _row, _line::BIGINT AS _line FROM {_our_reader(good, columns, dialect.delimiter)}"
        )
        if rejected:
            con.execute(
                f"INSERT INTO meta.rejects SELECT {literal(file)}, line::BIGINT, reason, raw_text "
                f"FROM {_our_reader(bad, ['line', 'reason', 'raw_text'])}"
            )
        _prove(con, table, dialect, loaded, characters)
    except (_Mismatch, duckdb.Error) as error:
        why = str(error) if isinstance(error, _Mismatch) else type(error).__name__  # DuckDB's own words quote the row
        raise ExportError(
            f"two readers don't agree about {file}: {why}", "this file needs a look by eye; nothing was taken in"
        ) from None
    finally:
        good.unlink(missing_ok=True)
        bad.unlink(missing_ok=True)
    return Loaded(loaded + rejected, loaded, rejected, trimmed)


def _write(out: IO[str], cells: Iterable[str | None], delimiter: str = ",") -> None:
    """Write one record so that there is only one way to read it: every cell in quotes, except what is not there."""
    out.write(delimiter.join("" if c is None else '"' + c.replace('"', '""') + '"' for c in cells) + "\n")


def _prove(con: duckdb.DuckDBPyConnection, table: str, dialect: Dialect, records: int, characters: int) -> None:
    lengths = " + ".join(f"coalesce(sum(length({quoted(c)})), 0)" for c in dialect.columns)
    found = con.execute(f"SELECT count(*), {lengths} FROM raw.{quoted(table)}").fetchone()
    assert found is not None
    if (found[0], int(found[1])) != (records, characters):
        raise _Mismatch(
            f"{found[0]:,} against {records:,} records, {int(found[1]):,} against {characters:,} characters"
        )


def _placeholders(dialect: Dialect) -> list[str]:
    return [f"c{n}" for n in range(dialect.width)]


def _named(dialect: Dialect) -> str:
    return ", ".join(f"c{n} AS {quoted(name)}" for n, name in enumerate(dialect.columns))


def _our_reader(path: Path, columns: list[str], delimiter: str = ",") -> str:
    """Read what `_write` wrote; its line end is told, or a line break inside the first cell would be taken for one."""
    return _reader(path, delimiter, columns, "header = false, new_line = '\\n'")


def _reader(path: Path, delimiter: str, columns: list[str], more: str) -> str:
    types = ", ".join(f"{literal(c)}: 'VARCHAR'" for c in columns)
    return (
        f"read_csv({literal(str(path))}, auto_detect = false, columns = {{{types}}}, delim = {literal(delimiter)}, "
        "quote = '\"', escape = '\"', strict_mode = true, allow_quoted_nulls = false, nullstr = '', "
        f"null_padding = false, max_line_size = {LONGEST_RECORD_BYTES}, {more})"
    )
