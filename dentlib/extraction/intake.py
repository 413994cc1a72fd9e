"""Take a client's export in: keep the files as received, load their tables as text, and account for every row."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import duckdb

from dentlib.clock import Clock, stamp
from dentlib.errors import ExportError
from dentlib.extraction import manifest, workbook
from dentlib.extraction.dialect import Dialect, detect_dialect
from dentlib.extraction.receive import MANIFEST, Received, discard, receive
from dentlib.extraction.tables import Loaded, load_table
from dentlib.extraction.texts import as_utf8, detect_encoding, looks_like
from dentlib.facts import FileFacts, IntakeFacts
from dentlib.model import Problem, Progress, Severity
from dentlib.vocabulary.match import fold
from dentlib.workdb import GROUP_ROWS, open_work_db

_TABLES = frozenset({".csv", ".tsv", ".tab", ".psv"})
_PERHAPS_TABLES = frozenset({".txt", ".dat", ".asc", ".exp"})
_DOCUMENTS = frozenset(
    {".pdf", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".gif", ".bmp", ".webp", ".heic", ".dcm", ".doc", ".docx"}
    | {".odt", ".rtf", ".txt", ".md", ".html", ".htm", ".eml", ".msg"}
)
_AGREEMENT_FOR_A_GUESS = 0.9

_META = """
CREATE SCHEMA IF NOT EXISTS meta;
CREATE OR REPLACE TABLE meta.files (path VARCHAR, sha256 VARCHAR, size_bytes BIGINT, kind VARCHAR, table_name VARCHAR,
  encoding VARCHAR, encoding_reason VARCHAR, delimiter VARCHAR, physical_rows BIGINT, loaded BIGINT, rejected BIGINT,
  header_line BIGINT, looks_like VARCHAR);
CREATE OR REPLACE TABLE meta.tables (name VARCHAR, object VARCHAR, file VARCHAR);
CREATE OR REPLACE TABLE meta.columns (table_name VARCHAR, position INTEGER, column_name VARCHAR);
CREATE OR REPLACE TABLE meta.rejects (file VARCHAR, line BIGINT, reason VARCHAR, raw_text VARCHAR);
CREATE OR REPLACE TABLE meta.control_extract (file VARCHAR, table_name VARCHAR, physical_rows BIGINT, loaded BIGINT,
  rejected BIGINT);
DROP SCHEMA IF EXISTS raw CASCADE;
CREATE SCHEMA raw;
"""


def take_in(
    source: Path,
    export_dir: Path,
    work_db: Path,
    *,
    round: str,
    source_label: str,
    clock: Clock,
    progress: Progress,
) -> IntakeFacts:
    """Copy an export (folder, zip archive or one file) into custody and load its tables into `work.duckdb`.

    Writes `export_dir` (the files as received, read-only, with `manifest.json`) and, in one transaction, the schemas
    `raw` (one table per source table, replaced as a whole) and `meta` (`files`, `tables`, `columns`, `rejects`,
    `control_extract`). All or nothing: on an error neither is touched. Idempotent: the same files for the same round
    are loaded again under the manifest that is there, which is also how a lost `work.duckdb` is rebuilt (`source` may
    be `export_dir` itself). Files that are no tables are kept and hashed, not loaded.

    Raises ExportError: nothing there, no table at all, a file called a table that isn't text, other files already in
    custody for this round, or a file changed since.
    """
    incoming = export_dir.parent / f".incoming-{export_dir.name}"
    for left in [*export_dir.parent.glob(".incoming-*"), *work_db.parent.glob(".intake-*")]:
        discard(left)  # copies of patients' data that a killed intake left behind
    known = manifest.read(export_dir) if (export_dir / MANIFEST).is_file() else None
    fresh_db = not work_db.exists()
    work_db.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".intake-", dir=work_db.parent))
    try:
        received, folder = _received(source, export_dir, incoming, known, progress)
        taken_at = datetime.fromisoformat(stamp(clock.now()))  # as exact as the manifest can say it
        facts = IntakeFacts(round, taken_at, source_label, ())
        con = open_work_db(work_db, group_rows=GROUP_ROWS)
        try:
            con.execute("BEGIN")
            loading = _Loading(con, folder, scratch, progress)
            facts = replace(facts, files=loading.load(received), problems=tuple(loading.problems))
            if known is None:
                manifest.write(incoming, facts, loading.dialects)
                _move_into_custody(incoming, export_dir)
            else:
                facts = replace(facts, taken_at=known.taken_at, round=known.round, source=known.source)
            con.execute("COMMIT")
            con.execute("CHECKPOINT")
        finally:
            con.close()
    except BaseException:
        discard(incoming)
        if fresh_db:
            work_db.unlink(missing_ok=True)
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return facts


def _received(
    source: Path, export_dir: Path, incoming: Path, known: IntakeFacts | None, progress: Progress
) -> tuple[list[Received], Path]:
    """Return the files and the folder in which they lie: the incoming one, or custody where it has the same already."""
    if known is not None and source.resolve() == export_dir.resolve():
        changed = manifest.verify_custody(export_dir)
        if changed:
            raise ExportError(
                f"{len(changed)} file(s) of round {known.round} changed since intake, first {changed[0].where}",
                "put the original back, or take the new files in as a round of their own",
            )
        return manifest.received(export_dir), export_dir
    received = receive(source, incoming, progress)
    if known is None:
        if export_dir.exists() and any(export_dir.iterdir()):
            raise ExportError(f"{export_dir} holds files without a manifest", "move them away, then take the export in")
        return received, incoming
    if {(r.path, r.sha256) for r in received} != {(r.path, r.sha256) for r in manifest.received(export_dir)}:
        raise ExportError(
            f"round {known.round} already holds other files than {source.name}",
            "what was received stays as evidence: give the new export a round of its own",
        )
    discard(incoming)
    return received, export_dir


def _move_into_custody(incoming: Path, export_dir: Path) -> None:
    if export_dir.exists():
        export_dir.rmdir()
    incoming.rename(export_dir)


@dataclass(slots=True)
class _Recognised:
    """A text table on its way in."""

    path: str
    received: Received
    kind: str
    table: str
    text: Path
    dialect: Dialect
    encoding: str
    encoding_reason: str


class _Loading:
    """One load of all received files into an open transaction."""

    def __init__(self, con: duckdb.DuckDBPyConnection, folder: Path, scratch: Path, progress: Progress) -> None:
        self.con, self.folder, self.scratch, self.progress = con, folder, scratch, progress
        self.problems: list[Problem] = []
        self.dialects: dict[str, Dialect] = {}
        self.names: Counter[str] = Counter()
        self.hashes: dict[str, str] = {}

    def load(self, received: list[Received]) -> tuple[FileFacts, ...]:
        for statement in filter(str.strip, _META.split(";")):
            self.con.execute(statement)
        self.progress.start("load", len(received), "files")
        facts: list[FileFacts] = []
        for file in received:
            facts.extend(self._file(file))
            self.progress.advance("load")
        self.progress.finish("load")
        if not any(f.table for f in facts):
            raise ExportError(
                f"none of the {len(received)} file(s) is a table",
                "an export is CSV, tab or semicolon separated text, or Excel; ask the practice for one of these",
            )
        self._record(facts)
        return tuple(facts)

    def _file(self, file: Received) -> list[FileFacts]:
        suffix = Path(file.path).suffix.lower()
        if suffix in _TABLES | _PERHAPS_TABLES | workbook.SUFFIXES and file.size_bytes:
            if file.sha256 in self.hashes:
                self._note(
                    "same_file_twice", file.path, f"the same bytes as {self.hashes[file.sha256]}; not loaded again"
                )
                return [FileFacts(file.path, file.sha256, file.size_bytes, "other")]
            tables = self._sheets(file) if suffix in workbook.SUFFIXES else self._text(file, suffix in _TABLES)
            if tables:
                self.hashes[file.sha256] = file.path
                return [self._load_one(t) for t in tables]
        elif suffix in _TABLES:
            self._note("empty_file", file.path, "the file is empty")
        kind = "document" if suffix in _DOCUMENTS else "other"
        if kind == "other" and suffix not in _TABLES:
            self._note("not_loaded", file.path, "not a kind of table that is read; kept as received", Severity.INFO)
        return [FileFacts(file.path, file.sha256, file.size_bytes, kind)]

    def _text(self, file: Received, must_be_table: bool) -> list[_Recognised]:
        path = self.folder / file.path
        encoding = detect_encoding(path)
        if encoding is None:
            if must_be_table:
                raise ExportError(
                    f"{file.path} is called a table but is not text",
                    "ask for this file again as CSV; if it isn't needed, take it out of the export",
                )
            return []
        text = as_utf8(path, encoding, self.scratch)
        dialect = detect_dialect(text)
        if dialect is None:
            self._note("empty_file", file.path, "the file holds blank lines only")
            return []
        if not must_be_table and (dialect.width < 2 or dialect.agreement < _AGREEMENT_FOR_A_GUESS):
            return []
        if encoding.nul_bytes:
            self._note("nul_bytes", file.path, "zero bytes were left out", count=encoding.nul_bytes)
        table = self._table_name(Path(file.path).stem, file.path)
        return [_Recognised(file.path, file, "csv", table, text, dialect, encoding.name, encoding.reason)]

    def _sheets(self, file: Received) -> list[_Recognised]:
        sheets = workbook.sheets_as_text(self.folder / file.path, self.scratch)
        found = []
        for sheet in sheets:
            dialect = detect_dialect(sheet.text)
            if dialect is None:
                continue
            alone = len(sheets) == 1
            where = file.path if alone else f"{file.path}#{sheet.name}"
            table = self._table_name(Path(file.path).stem if alone else sheet.name, where)
            dialect = replace(dialect, header_line=dialect.header_record + 1)
            found.append(
                _Recognised(where, file, "xlsx", table, sheet.text, dialect, "", "Excel stores its text itself")
            )
        return found

    def _load_one(self, it: _Recognised) -> FileFacts:
        loaded: Loaded = load_table(
            self.con, it.text, it.dialect, it.table, it.path, self.scratch, lines_are_records=it.kind == "xlsx"
        )
        if it.text.parent == self.scratch:
            it.text.unlink()
        self.dialects[it.path] = it.dialect
        self.con.executemany(
            "INSERT INTO meta.columns VALUES (?, ?, ?)",
            [(it.table, n, c) for n, c in enumerate(it.dialect.columns, start=1)],
        )
        if loaded.rejected > loaded.loaded:
            self._note("mostly_rejected", it.path, "more rows were rejected than loaded", count=loaded.rejected)
        if loaded.trimmed:
            what = "blank cells beyond the header were left out of these rows"
            self._note("trailing_blank_cells", it.path, what, Severity.INFO, count=loaded.trimmed)
        return FileFacts(
            path=it.path,
            sha256=it.received.sha256,
            size_bytes=it.received.size_bytes,
            kind=it.kind,
            table=it.table,
            encoding=it.encoding,
            encoding_reason=it.encoding_reason,
            delimiter=it.dialect.delimiter if it.kind == "csv" else "",
            physical_rows=loaded.physical_rows,
            loaded=loaded.loaded,
            rejected=loaded.rejected,
            header_line=it.dialect.header_line,
        )

    def _table_name(self, stem: str, where: str) -> str:
        base = re.sub(r"[^0-9a-z]+", "_", fold(stem).lower()).strip("_") or "table"
        self.names[base] += 1
        if self.names[base] == 1:
            return base
        self._note("name_taken", where, f"another file is already loaded as {base}; loaded under a name of its own")
        name = f"{base}_{self.names[base]}"
        self.names[name] += 1
        return name

    def _record(self, facts: list[FileFacts]) -> None:
        rows = []
        for f in facts:
            counts = (f.physical_rows, f.loaded, f.rejected, f.header_line)
            how = (f.encoding, f.encoding_reason, f.delimiter)
            rows.append((f.path, f.sha256, f.size_bytes, f.kind, f.table or None, *how, *counts, self._looks_like(f)))
        columns = [list(c) for c in zip(*rows, strict=True)]  # one statement: inserts one by one take ages
        self.con.execute(f"INSERT INTO meta.files SELECT {', '.join(['unnest(?)'] * len(columns))}", columns)
        self.con.execute("INSERT INTO meta.tables SELECT table_name, NULL, path FROM meta.files WHERE table_name <> ''")
        self.con.execute(
            "INSERT INTO meta.control_extract SELECT path, table_name, physical_rows, loaded, rejected FROM meta.files "
            "WHERE table_name <> ''"
        )

    def _looks_like(self, fact: FileFacts) -> str:
        return fact.kind if fact.table else looks_like(self.folder / fact.path)

    def _note(
        self, code: str, where: str, message: str, severity: Severity = Severity.WARNING, *, count: int = 1
    ) -> None:
        self.problems.append(Problem(code, where, message, severity=severity, count=count))
