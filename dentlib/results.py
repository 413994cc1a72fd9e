"""What a stage gives back, and the evidence it leaves: `result.json` in its run folder, pages in `reports/`."""

from __future__ import annotations

import csv
import errno
import os
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from functools import wraps
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar

import duckdb
import orjson

from dentlib import documents
from dentlib.clock import Clock
from dentlib.documents import Facts
from dentlib.engagement import Engagement, home
from dentlib.errors import DentlibError, UsageError
from dentlib.privacy import for_spreadsheet, redact

RUN_FOLDER = "DENTLIB_RUN_DIR"
"""Environment variable by which the command line tells a notebook's kernel where its evidence goes."""

F = TypeVar("F", bound=Facts)
P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class StageResult(Generic[F]):
    """The outcome of a stage: facts, pages, what a person must decide, exit code (0 done, 1 a person must decide)."""

    stage: str
    engagement: str
    facts: F
    pages: tuple[Path, ...]
    decisions: tuple[str, ...]
    exit_code: int
    folder: Path
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def page(self) -> Path | None:
        """Return the page that tells this stage."""
        return self.pages[0] if self.pages else None

    def section(self, name: str, rows: int = 12) -> documents.Section:
        """Return one section of the facts for display in a notebook."""
        return documents.section(self.facts, name, rows=rows)

    def as_data(self) -> dict[str, Any]:
        """Return the machine-readable form: masked facts, pages, decisions, exit code."""
        return {
            "stage": self.stage,
            "engagement": self.engagement,
            "exit_code": self.exit_code,
            "decisions": list(self.decisions),
            "pages": [str(p) for p in self.pages],
            **self.notes,
            "facts": documents.as_data(self.facts),
        }

    def save(self) -> Path:
        """Write `result.json` into the run folder; idempotent. Tests and later stages read it, never the HTML."""
        return write_private(self.folder / "result.json", self.as_data())

    def _repr_html_(self) -> str:
        return documents.summary(self.facts)._repr_html_()

    def __repr__(self) -> str:
        """Say it in one sentence; never the facts themselves, which a notebook would store with patients' values."""
        return f"{self.stage} of {self.engagement}: {documents.summary(self.facts).finding}"


def write_private(path: Path, data: Any) -> Path:
    """Write JSON (0600), whole and at once."""
    part = path.with_suffix(".part")
    part.touch(mode=0o600)
    part.write_bytes(orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS, default=str))
    part.replace(path)
    return path


def write_csv(path: Path, kind: type, rows: Iterable[Any]) -> Path:
    """Write dataclasses as CSV (0600, UTF-8 with byte order mark, no cell a formula), whole and at once."""
    names = [f.name for f in fields(kind)]
    return write_rows(path, names, ([getattr(row, n) for n in names] for row in rows))


def write_rows(path: Path, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    """Write rows under these titles, as `write_csv` does."""
    part = path.with_suffix(".part")
    part.touch(mode=0o600)
    with part.open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(names)
        writer.writerows([for_spreadsheet(value) for value in row] for row in rows)
    part.replace(path)
    return path


def run_folder(engagement: Engagement, stage: str, clock: Clock) -> Path:
    """Return the folder that the command line chose for this stage's evidence, else a new one."""
    given = os.environ.get(RUN_FOLDER)
    return Path(given) if given else engagement.new_run_folder(clock.now(), stage)


def finish(
    engagement: Engagement,
    stage: str,
    facts: F,
    kinds: Sequence[str],
    *,
    clock: Clock,
    decisions: Sequence[str] = (),
    exit_code: int = 0,
    reveal: bool = False,
    notes: Mapping[str, Any] | None = None,
    folder: Path | None = None,
) -> StageResult[F]:
    """Write the pages and `result.json` of a stage, and return its result. `folder`: its run folder, where known."""
    now = clock.now().astimezone(engagement.settings.zone)
    asked = tuple(dict.fromkeys([*documents.decisions(facts), *decisions]))
    pages = [documents.write_page(k, facts, engagement.reports, generated_at=now, decisions=asked) for k in kinds]
    if reveal:
        pages += [documents.write_page(k, facts, engagement.reports, reveal=True, generated_at=now) for k in kinds]
    documents.write_index(engagement.reports, engagement.name, engagement.settings.client, generated_at=now)
    place = folder or run_folder(engagement, stage, clock)
    result = StageResult(stage, engagement.name, facts, tuple(pages), asked, exit_code, place, notes or {})
    result.save()
    return result


_NO_ROOM = ("no space left", "disk is full", "disk quota")


def as_ours(error: Exception) -> DentlibError | None:
    """Return an error as one that says the way out: itself if it is ours, or what a full or closed disk comes to.

    None for anything else. The texts of other libraries are not repeated: they may quote values.
    """
    if isinstance(error, DentlibError):
        return error
    if isinstance(error, OSError | sqlite3.Error | duckdb.Error):
        full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
        if full or any(words in str(error).lower() for words in _NO_ROOM):
            return DentlibError("the disk is full", "make room; the same command goes on where it stopped")
    if isinstance(error, PermissionError):
        return UsageError(
            "a file or folder may not be read or written by this user",
            f"look at the owner and rights of {home()} and of the export",
        )
    return None


def tells_its_errors(function: Callable[P, R]) -> Callable[P, R]:
    """Leave `error.json` in the run folder when a stage can't go on, so that the command line can say it in one line.

    The error goes on as it is: a notebook shows it, a library caller catches it.
    """

    @wraps(function)
    def told(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            folder, known = os.environ.get(RUN_FOLDER), as_ours(error)
            if folder and known is not None:
                data = {
                    "error": type(known).__name__,
                    "message": redact(known.message),
                    "hint": redact(known.hint),
                    "exit_code": known.exit_code,
                }
                with suppress(OSError):  # no room for it either: then the executed notebook has to tell
                    write_private(Path(folder) / "error.json", data)
            raise

    return told
