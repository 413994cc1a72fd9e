"""View models: what a page says, before any HTML. Builders make them of facts, templates only render them.

A `Section` is what a notebook displays, and what a page is a row of. It opens with its finding (a computed sentence),
then come key figures, tables, and lines to sign. Everything in it has already passed the privacy gate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from dentlib.documents import numbers
from dentlib.model import Severity

NOTEBOOK_ROWS = 12
"""Rows of a table that a notebook shows; the rest is in the CSV beside the page."""

PAGE_ROWS = 200
"""Rows of a table that a page shows; the rest is in the CSV beside it."""


class Tone(StrEnum):
    """How a status looks. The word says it as well: colour is never the only carrier."""

    GOOD = "good"
    CHECK = "check"
    STOP = "stop"
    PLAIN = "plain"


_WORST_FIRST = (Tone.STOP, Tone.CHECK, Tone.GOOD, Tone.PLAIN)


def worst(tones: Sequence[Tone]) -> Tone:
    """Return the most serious of some tones (PLAIN of none)."""
    return next((t for t in _WORST_FIRST if t in tones), Tone.PLAIN)


@dataclass(frozen=True, slots=True)
class Status:
    """A status as a word and a tone."""

    word: str
    tone: Tone = Tone.PLAIN

    def __str__(self) -> str:
        return self.word


@dataclass(frozen=True, slots=True)
class Share:
    """A count and what it is a share of; drawn with a bar where `bar` is set."""

    n: int
    of: int
    bar: bool = False

    def __str__(self) -> str:
        return numbers.share(self.n, self.of)

    @property
    def width(self) -> int:
        """Length of the bar in percent, 0 to 100; at least 1 where there is anything."""
        if self.of <= 0 or self.n <= 0:
            return 0
        return max(1, min(100, round(100 * self.n / self.of)))


@dataclass(frozen=True, slots=True)
class Column:
    """A column. `kind`: text, number, share, status, code, email, value, hash, tick (a box) or line (to write on)."""

    title: str
    kind: str = "text"

    @property
    def right(self) -> bool:
        """Tell whether cells are set to the right, as figures are."""
        return self.kind in ("number", "share")


@dataclass(frozen=True, slots=True)
class Table:
    """A table. `name` is also the end of its CSV's name; `rows` hold str, int, Share, Status or None (shown as —).

    `parts`: the same rows as a page shows them, in several tables with headings of their own (by object, by step). The
    CSV and a notebook show the whole.
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    total: tuple[Any, ...] = ()
    shown_rows: int = PAGE_ROWS
    csv_file: str = ""
    parts: tuple[Table, ...] = ()

    def without_empty(self, keep: int = 1) -> Table:
        """Return the same table without the columns that say nothing in any row; the first `keep` stay."""
        said = [
            i < keep or c.kind in ("tick", "line") or any(row[i] not in (None, "") for row in self.rows)
            for i, c in enumerate(self.columns)
        ]

        def pick(cells: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(cell for cell, wanted in zip(cells, said, strict=True) if wanted)

        return replace(
            self,
            columns=pick(self.columns),
            rows=tuple(pick(row) for row in self.rows),
            total=pick(self.total) if self.total else (),
        )

    @property
    def shown(self) -> tuple[tuple[Any, ...], ...]:
        """The rows that are rendered."""
        return self.rows[: self.shown_rows]

    @property
    def heading_column(self) -> int:
        """Which cell names its row: the first that isn't a status or a box to tick."""
        return next((i for i, c in enumerate(self.columns) if c.kind not in ("status", "tick")), 0)

    @property
    def note(self) -> str:
        """Say what was left out, and where it is; empty where nothing was."""
        if len(self.rows) <= self.shown_rows:
            return ""
        where = f"; all are in {self.csv_file}" if self.csv_file else ""
        return f"{numbers.count(self.shown_rows)} of {numbers.count(len(self.rows))} rows{where}"


@dataclass(frozen=True, slots=True)
class Figure:
    """A key figure: what it counts, the figure, and a word of explanation."""

    label: str
    value: str
    note: str = ""
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page, and the object that a notebook displays for it.

    `finding` is one or two sentences, computed; `items` a short list; `sign` what a person confirms by signing.
    Displayed by Jupyter through `_repr_html_` with at most `shown_rows` rows per table.
    """

    name: str
    heading: str
    finding: str
    status: Status = Status("")
    note: str = ""
    figures: tuple[Figure, ...] = ()
    items: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    sign: str = ""

    def limited(self, rows: int) -> Section:
        """Return the same section with at most `rows` rows shown per table, and each table whole, not in several parts.

        A single part is a shorter telling of the whole, and stays.
        """
        return replace(self, tables=tuple(_limited(t, rows) for t in self.tables))

    def beside(self, kind: str, suffix: str = "") -> Section:
        """Return the same section with its tables' CSV files named after the page they lie beside.

        Only tables longer than a notebook shows get a file.
        """
        return replace(self, tables=tuple(_beside(t, f"{kind}-{t.name}{suffix}.csv") for t in self.tables))

    @property
    def caption(self) -> str:
        """The captions of its tables, with what was left out."""
        return "; ".join(f"{t.caption} ({t.note})" if t.note else t.caption for t in self.tables)

    def _repr_html_(self) -> str:
        from dentlib.documents.render import snippet

        return snippet(self)

    def __repr__(self) -> str:
        return f"{self.heading}: {self.finding}"


def _limited(table: Table, rows: int) -> Table:
    parts = tuple(replace(p, shown_rows=rows) for p in table.parts) if len(table.parts) == 1 else ()
    return replace(table, shown_rows=rows, parts=parts)


def _beside(table: Table, csv_file: str) -> Table:
    if len(table.rows) <= NOTEBOOK_ROWS:
        return table
    return replace(table, csv_file=csv_file, parts=tuple(replace(p, csv_file=csv_file) for p in table.parts))


_SEVERITY = {
    Severity.ERROR: Status("decide", Tone.STOP),
    Severity.WARNING: Status("check", Tone.CHECK),
    Severity.INFO: Status("note", Tone.PLAIN),
}
_SEVERITY_ORDER = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}


def severity(level: Severity) -> Status:
    """Return the word and tone of a severity, as a client reads it."""
    return _SEVERITY[level]


def severity_rank(level: Severity) -> int:
    """Return 0 for the worst, for sorting."""
    return _SEVERITY_ORDER[level]
