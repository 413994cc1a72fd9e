"""Read the records of a text table one by one, each with its physical line, and judge which of them are data.

`survey` is the quick independent pass over a whole file (`csv.reader`, C speed); `judged_records` is the careful one
that also keeps raw text and survives stray quotes.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dentlib.extraction.dialect import Dialect

_TOTALS = re.compile(
    r"(?i)^\W*((grand|sub|genel)[ -]?)?(totals?|sum|summe|gesamt|toplam|totaal|totaux|total général)\W*$"
)
_AMOUNT = re.compile(r"[\s$€£₺(+-]*\d[\d.,' ]*[\s$€£₺)%-]*|[A-Z]{3} ?[\d.,]+|[\d.,]+ ?[A-Z]{3}|-+")
_DIGITS = frozenset("0123456789")


@dataclass(frozen=True, slots=True)
class Survey:
    """What a quick pass saw.

    `clean`: every record is one physical line, as wide as the header, and neither blank nor totals.
    `drops_trailing_blanks`: some records are short and no whole one ends blank, so the writer leaves blanks out.
    """

    records: int
    characters: int
    clean: bool
    drops_trailing_blanks: bool


class Judged(NamedTuple):
    """One record; `row` counts those behind the header from 1 (a preamble's are 0), `line` is physical, from 1.

    `reason` empty: loaded, with exactly the header's number of cells; None is an unquoted
    empty cell. `plain`: `raw` is one line without a quote, as wide as the header, and can be passed on as it stands.
    """

    row: int
    line: int
    reason: str
    cells: list[str | None]
    raw: str
    trimmed: bool = False
    plain: bool = False


def survey(path: Path, dialect: Dialect) -> Survey:
    """Count a table's data records and their cells' characters, and tell whether anything is unusual. Reads only."""
    width, records, characters, clean = dialect.width, 0, 0, True
    short = blank_ends = 0
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=dialect.delimiter)
        try:
            for _ in range(dialect.header_record + 1):
                next(reader)
            clean = dialect.header_record == 0 and reader.line_num == 1
            for cells in reader:
                records += 1
                if len(cells) != width:
                    clean = False
                    short += 1 < len(cells) < width
                    continue
                if not cells[-1]:
                    blank_ends += 1
                characters += sum(map(len, cells))
                if clean and cells[0][:1] not in _DIGITS and (_is_blank(cells) or _is_totals(cells)):
                    clean = False
            clean = clean and reader.line_num == records + 1
        except csv.Error:
            clean = False  # a cell beyond any real size: a stray quote, which the careful pass deals with
    return Survey(records, characters, clean, drops_trailing_blanks=short > 0 and blank_ends == 0)


def _is_blank(cells: list[str]) -> bool:
    return not any(c.strip() for c in cells)


def _is_totals(cells: list[str]) -> bool:
    """Tell whether a record begins with a word like "total", leaves cells blank, and otherwise holds only amounts."""
    filled = [c.strip() for c in cells if c.strip()]
    if not filled or len(filled) == len(cells) or len(filled[0]) > 24 or not _TOTALS.match(filled[0]):
        return False
    return all(_AMOUNT.fullmatch(c) for c in filled[1:])


class _Lines:
    """Physical lines with the possibility to give some back."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._given_back: deque[str] = deque()
        self.taken: list[str] = []

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._given_back.popleft() if self._given_back else next(self._lines)
        self.taken.append(line)
        return line

    def give_back_all_but_first(self) -> None:
        self._given_back.extendleft(reversed(self.taken[1:]))
        del self.taken[1:]


def judged_records(path: Path, dialect: Dialect, drops_trailing_blanks: bool) -> Iterator[Judged]:
    """Yield every record but the header, each either loadable or with the reason why it isn't. Reads only; streams.

    Reasons: `preamble`, `blank`, `totals`, `too_many_cells`, `too_few_cells`, `stray_quote`. Blank cells beyond the
    header are cut; missing ones at the end are filled only where the file as a whole leaves out trailing blanks. A
    quote that swallows whole records costs the one line it stands on.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = _Lines(file)
        reader = csv.reader(lines, delimiter=dialect.delimiter)
        row, line, number, width = 0, 1, -1, dialect.width
        while True:
            lines.taken.clear()
            number += 1
            try:
                cells = next(reader)
                if len(lines.taken) == 1 and len(cells) == width and cells[0][:1] in _DIGITS and row:
                    raw = lines.taken[0]
                    if '"' not in raw:  # by far the most frequent case: nothing to judge
                        row, line = row + 1, line + 1
                        yield Judged(row, line - 1, "", [], raw.rstrip("\r\n"), plain=True)
                        continue
            except StopIteration:
                return
            except csv.Error:
                cells = None
            if cells is None or _swallows_records(lines.taken, dialect):
                lines.give_back_all_but_first()
                cells = None
            raw = "".join(lines.taken)
            started, line = line, line + len(lines.taken)
            if number == dialect.header_record:
                continue
            row += number > dialect.header_record
            yield _judge(row, started, cells, raw, dialect, number < dialect.header_record, drops_trailing_blanks)


def _swallows_records(taken: list[str], dialect: Dialect) -> bool:
    """Tell whether a multi-line record holds whole records: then the quote that opened it is a stray one.

    Where the quoting is also malformed, one whole record inside is proof enough; where it happens to come out right,
    all of at least three inner lines must be whole records (a note's lines rarely have just as many delimiters).
    """
    if len(taken) < 2 or dialect.width < 3:
        return False
    whole = [text.count(dialect.delimiter) == dialect.width - 1 for text in taken[1:]]
    if _is_malformed(taken, dialect):
        return any(whole)
    return dialect.width >= 5 and len(whole) >= 4 and all(whole[:-1])


def _is_malformed(taken: list[str], dialect: Dialect) -> bool:
    try:
        return len(list(csv.reader(taken, delimiter=dialect.delimiter, strict=True))) != 1
    except csv.Error:
        return True


def _judge(
    row: int, line: int, cells: list[str] | None, raw: str, dialect: Dialect, before_header: bool, fill: bool
) -> Judged:
    width = dialect.width
    if cells is None:
        return Judged(row, line, "stray_quote", [], raw)
    if before_header:
        return Judged(row, line, "preamble", [], raw)
    if _is_blank(cells):
        return Judged(row, line, "blank", [], raw)
    reason = ""
    if len(cells) > width and any(c.strip() for c in cells[width:]):
        reason = "too_many_cells"
    elif _is_totals(cells):
        reason = "totals"
    elif len(cells) < width and not fill:
        reason = "too_few_cells"
    if reason:
        return Judged(row, line, reason, [], raw)
    quoted = _quoted_empty(raw, dialect.delimiter) if '""' in raw else frozenset[int]()
    values = [c if c or n in quoted else None for n, c in enumerate(cells[:width])]
    return Judged(row, line, "", values + [None] * (width - len(values)), "", len(cells) > width)


def _quoted_empty(raw: str, delimiter: str) -> frozenset[int]:
    """Return the numbers of the cells written as `""`, which says "empty" where nothing says "not known"."""
    found, number, inside, start = set(), 0, False, True
    for at, character in enumerate(raw):
        if character == '"':
            if start and raw[at : at + 2] == '""' and raw[at + 2 : at + 3] in (delimiter, "\r", "\n", ""):
                found.add(number)
            inside = not inside
        elif character == delimiter and not inside:
            number, start = number + 1, True
            continue
        start = False
    return frozenset(found)
