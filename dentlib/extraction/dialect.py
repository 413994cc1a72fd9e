"""Decide how a text table is cut: its delimiter, where its header stands, and what its columns are called."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from dentlib.errors import ExportError

DELIMITERS = (",", ";", "\t", "|")
SAMPLE_CHARACTERS = 1 << 18
SAMPLE_RECORDS = 200
MAX_COLUMNS = 10_000
FIELD_CHARACTERS = 4 << 20
OWN_COLUMNS = ("_file", "_row", "_line")

csv.field_size_limit(FIELD_CHARACTERS)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one file is cut. `header_record` counts csv records from 0 (those before it are a preamble).

    `header_line` is the physical line, from 1, on which the header starts; `agreement` the share of sampled records
    that are as wide as most.
    """

    delimiter: str
    reason: str
    header_record: int
    header_line: int
    columns: tuple[str, ...]
    agreement: float

    @property
    def width(self) -> int:
        """Cells that a whole record has."""
        return len(self.columns)


def detect_dialect(path: Path) -> Dialect | None:
    """Decide a UTF-8 text's dialect from its first 200 records; None when there is no record at all. Reads only.

    Raises ExportError for a header of more than 10,000 columns.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        sample = file.read(SAMPLE_CHARACTERS)
    candidates = [_scored(sample, d) for d in DELIMITERS]
    best = max(candidates, key=lambda c: c[0])
    _, delimiter, records, width, agreement = best
    if not any(any(cell.strip() for cell in cells) for cells, _ in records):
        return None
    header = _header_record(records, width)
    cells, header_line = records[header]
    if len(cells) > MAX_COLUMNS:
        raise ExportError(f"{path.name} has {len(cells):,} columns", "this is not a table; take it out of the export")
    named = max(len(cells), width) if header + 1 < len(records) else len(cells)
    reason = f"{agreement:.0%} of {len(records)} sampled records have {width} cells" if width > 1 else "one column"
    return Dialect(delimiter, reason, header, header_line, column_names(cells, named), agreement)


def _scored(sample: str, delimiter: str) -> tuple[float, str, list[tuple[list[str], int]], int, float]:
    records = _sample_records(sample, delimiter)
    widths = Counter(len(cells) for cells, _ in records if cells)
    if not widths:
        return (-1.0, delimiter, records, 0, 0.0)
    width, rows = widths.most_common(1)[0]
    agreement = rows / sum(widths.values())
    return (agreement * math.log(width) if width > 1 else 0.0, delimiter, records, width, agreement)


def _sample_records(sample: str, delimiter: str) -> list[tuple[list[str], int]]:
    """Return the first records with the physical line on which each starts; the cut one at the end is left out."""
    records: list[tuple[list[str], int]] = []
    reader = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
    line = 1
    try:
        for cells in reader:
            records.append((cells, line))
            line = reader.line_num + 1
            if len(records) == SAMPLE_RECORDS:
                return records
    except csv.Error:
        return records  # a cell longer than any real one: this delimiter doesn't fit beyond this point
    if len(sample) == SAMPLE_CHARACTERS and len(records) > 1:
        records.pop()
    return records


def _header_record(records: list[tuple[list[str], int]], width: int) -> int:
    """Return the first record that names at least half as many columns as most records have cells."""
    needed = 1 if width < 3 else max(2, math.ceil(width / 2))
    for number, (cells, _) in enumerate(records):
        if sum(1 for cell in cells if cell.strip()) >= needed:
            return number
    return next(n for n, (cells, _) in enumerate(records) if any(c.strip() for c in cells))


def column_names(header: list[str], width: int) -> tuple[str, ...]:
    """Return `width` distinct column names: header texts trimmed, empty ones `column_N`, repeated ones `_2`, `_3`…

    Names are told apart without regard to case, as SQL does; `_file`, `_row` and `_line` are kept for our own.
    """
    taken = {name.lower() for name in OWN_COLUMNS}
    names: list[str] = []
    for number in range(1, width + 1):
        text = header[number - 1].strip() if number <= len(header) else ""
        base = text or f"column_{number}"
        name, suffix = base, 2
        while name.lower() in taken:
            name, suffix = f"{base}_{suffix}", suffix + 1
        taken.add(name.lower())
        names.append(name)
    return tuple(names)
