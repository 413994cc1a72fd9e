"""The other way in: files for the CRM's own importer, and taking up afterwards what it made of them.

Every record carries its id, so what was imported is known again, counted and reconciled as if it had been sent. What
can't go by file (files, formatted text, links of several kinds) follows with the next run.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

import duckdb

from dentlib.clock import Clock
from dentlib.facts import PackageFile, StepFacts
from dentlib.loading.history import require_no_unfinished_rollback
from dentlib.loading.ledger import Ledger
from dentlib.loading.patience import Patience
from dentlib.loading.rows import Row, aside_counts, matches_of, stream
from dentlib.loading.snapshot import ensure_baseline
from dentlib.model import JSON, Destination, LoadStep, Outcome, Progress, Silence

IMPORTED = "imported"
"""Tag of calls that the CRM's importer made in our stead."""

_NOT_IMPORTED = "not_imported", "the importer has not made this record"
_THEIRS = "match_waits", "it stands for a record that was in the CRM before: the run takes that up, by the map's rule"
_NOTHING: tuple[object, ...] = (None, "", [], {})
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Form(Protocol):
    """How a destination's importer wants the records of one object."""

    left: dict[str, str]
    titles: list[str]

    @property
    def max_rows(self) -> int: ...

    @property
    def opens(self) -> str: ...

    def cells(self, record: JSON) -> list[str]: ...

    def carried(self, record: JSON) -> JSON: ...


FormOf = Callable[[str, tuple[str, ...]], Form]
"""Make the form of an object for the fields that its records hold."""


@dataclass(slots=True)
class Package:
    """What was written, and what was left."""

    files: list[PackageFile] = field(default_factory=list)
    steps_left: list[tuple[str, str, int, str]] = field(default_factory=list)
    fields_left: list[tuple[str, str, int, str]] = field(default_factory=list)


def write_package(
    con: duckdb.DuckDBPyConnection,
    steps: Sequence[LoadStep],
    form_of: FormOf,
    folder: Path,
    *,
    remembered: Mapping[str, Mapping[str, str]] | None = None,
    progress: Progress | None = None,
) -> Package:
    """Write the prepared records as numbered CSV files in load order. Calls nothing; bounded memory.

    UTF-8, all cells quoted, values exactly as they would be sent (so not for a spreadsheet program: `formula_like`
    counts the cells that one would misread). A step with a link or file that can't go this way is left as a whole,
    because its rows would say nothing without it. So are rows that stand for records which were in the CRM before us
    (matched now, or `remembered`: step → source key → record id): the importer would write over them by their id.
    Files are private (0600) and replaced as a whole.
    """
    progress, package = progress or Silence(), Package()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for step in steps:
        progress.start(step.label or step.name, None)
        theirs = {*matches_of(con, step), *(remembered or {}).get(step.name, ())}
        held = _held(con, step, theirs)
        form = form_of(step.object_name, tuple(held))
        if theirs:
            package.steps_left.append((step.name, step.label or step.name, len(theirs), _THEIRS[1]))
        if why := _stays(step, form):
            rows = max(held.values(), default=0)
            package.steps_left.append((step.name, step.label or step.name, rows, why))
        else:
            package.fields_left += [(step.name, name, held[name], why) for name, why in form.left.items()]
            for part in _parts(con, step, form.max_rows, theirs):
                package.files.append(_written(part, step, form, folder, len(package.files) + 1))
        progress.finish(step.label or step.name)
    return package


def _stays(step: LoadStep, form: Form) -> str:
    """Say why no row of a step can go by file: a file, or a link without which it says nothing. Empty: it can."""
    if step.file_field:
        return "files are not taken by the importer"
    return next((why for name, why in form.left.items() if name.endswith("Id")), "")


def _held(con: duckdb.DuckDBPyConnection, step: LoadStep, theirs: Set[str]) -> dict[str, int]:
    """Count the rows that hold something in each field, in the order in which fields first appear."""
    found: Counter[str] = Counter()
    for chunk in stream(con, step, only_sample=False):
        for row in (r for r in chunk if r.source_key not in theirs):
            found.update(name for name, value in row.payload.items() if value not in _NOTHING)
    return dict(found)


def _parts(con: duckdb.DuckDBPyConnection, step: LoadStep, size: int, theirs: Set[str]) -> Iterator[list[Row]]:
    part: list[Row] = []
    for chunk in stream(con, step, only_sample=False):
        for row in (r for r in chunk if r.source_key not in theirs):
            part.append(row)
            if len(part) == size:
                yield part
                part = []
    if part:
        yield part


def _written(rows: list[Row], step: LoadStep, form: Form, folder: Path, number: int) -> PackageFile:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(form.titles)
    formula_like = 0
    for row in rows:
        cells = form.cells(row.payload)
        formula_like += sum(cell.startswith(_FORMULA) for cell in cells)
        writer.writerow(cells)
    data = text.getvalue().encode()
    path = folder / f"{number:02d}-{step.name}.csv"
    part = path.with_suffix(".part")
    part.touch(mode=0o600)
    part.write_bytes(data)
    part.replace(path)
    return PackageFile(
        number=number,
        file=path.name,
        step=step.name,
        label=step.label or step.name,
        object=step.object_name,
        opens=form.opens,
        rows=len(rows),
        titles=tuple(form.titles),
        sha256=hashlib.sha256(data).hexdigest(),
        formula_like=formula_like,
    )


def take_up(
    ledger: Ledger,
    destination: Destination,
    con: duckdb.DuckDBPyConnection,
    steps: Sequence[LoadStep],
    form_of: FormOf,
    *,
    run_id: str,
    clock: Clock,
    progress: Progress | None = None,
) -> list[StepFacts]:
    """Enter in the ledger which prepared records the CRM's importer has made. Reads the CRM only; resumable.

    Records are found by id; one that was there before us and that a row stands for is nobody's making: it counts as not
    imported, and the next run takes it up by the map's rule. What a file can't carry counts as not written yet, so that
    the next run sends it; steps that can't go by file are left to that run as a whole. A rollback takes these records
    away as if we had sent them. The facts returned, of the steps that go by file, add up to the rows read.
    """
    progress, patience = progress or Silence(), Patience(clock)
    require_no_unfinished_rollback(ledger)
    ensure_baseline(ledger, destination, patience=patience)
    ledger.append("run", {"kind": IMPORTED, "params": {}}, run=run_id)
    result = []
    for step in steps:
        theirs = matches_of(con, step)
        form = form_of(step.object_name, tuple(_held(con, step, theirs.keys())))
        if _stays(step, form):
            continue
        label = step.label or step.name
        progress.start(label, None)
        created, missing = 0, 0
        for chunk in stream(con, step, only_sample=False):
            ours = [r for r in chunk if r.source_key not in theirs]
            there, lacking = _sort(ledger, destination, patience, step, ours)
            _enter(ledger, step, there, form, run_id)
            waiting = [r for r in chunk if r.source_key in theirs]
            left = len(lacking) + len(waiting)
            created, missing = created + len(chunk) - left, missing + left
            _note_missing(ledger, step, lacking, _NOT_IMPORTED, run_id)
            _note_missing(ledger, step, waiting, _THEIRS, run_id)
            progress.advance(label, len(chunk))
        progress.finish(label)
        result.append(_end(ledger, con, step, created, missing, run_id))
    ledger.append("run_end", {"verdict": "taken up"}, run=run_id)
    return result


def _sort(
    ledger: Ledger, destination: Destination, patience: Patience, step: LoadStep, chunk: list[Row]
) -> tuple[list[Row], list[Row]]:
    """Return the rows whose record is there and not in the ledger yet, and those whose record is not there."""
    known = ledger.current(step.name, [r.source_key for r in chunk])
    rows = [r for r in chunk if (c := known.get(r.source_key)) is None or not c.live]
    present = _read(destination, patience, step.object_name, [r.record_id for r in rows])
    return [r for r in rows if r.record_id in present], [r for r in rows if r.record_id not in present]


def _note_missing(ledger: Ledger, step: LoadStep, rows: list[Row], why: tuple[str, str], run_id: str) -> None:
    if rows:
        failed = [[r.source_key, r.record_id, *why, None, None, r.row_hash] for r in rows]
        ledger.append("rows", {"step": step.name, "outcome": Outcome.FAILED, "rows": failed}, run=run_id)


def _end(
    ledger: Ledger, con: duckdb.DuckDBPyConnection, step: LoadStep, created: int, missing: int, run_id: str
) -> StepFacts:
    aside: Counter[str] = Counter()
    for outcome, _, _, rows in aside_counts(con, step):
        aside[outcome] += rows
    facts = StepFacts(
        step=step.name,
        label=step.label or step.name,
        object=step.object_name,
        read=created + missing + aside.total(),
        created=created,
        failed=missing,
        **aside,
    )
    body = {"step": step.name, "facts": asdict(facts)}
    ledger.append("step_end", body, run=run_id)
    return facts


def _read(destination: Destination, patience: Patience, object_name: str, ids: list[str]) -> dict[str, JSON]:
    return patience.transient(lambda: destination.read(object_name, ids)) if ids else {}


def _enter(ledger: Ledger, step: LoadStep, rows: list[Row], form: Form, run_id: str) -> None:
    if not rows:
        return
    carried = [form.carried(r.payload) for r in rows]
    with ledger.transaction():
        call = ledger.begin_call(
            run=run_id,
            step=step.name,
            object_name=step.object_name,
            op="create",
            tag=IMPORTED,
            # a record of which something is still to be sent must not look unchanged to the next run
            rows=[
                (r.source_key, r.record_id, f"{IMPORTED}:{r.row_hash}" if _lacks(r, form) else r.row_hash) for r in rows
            ],
            block={"new": carried},
        )
        ledger.end_call(call, run=run_id, result="found")


def _lacks(row: Row, form: Form) -> bool:
    """Tell whether a row holds something that its file could not carry."""
    return any(row.payload.get(name) not in _NOTHING for name in form.left)
