"""Read the sheets of an Excel workbook as text, cell by cell, so that "007" stays "007"."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import fastexcel

from dentlib.errors import ExportError

SUFFIXES = frozenset({".xlsx", ".xlsm", ".xls", ".xlsb", ".ods"})
_BATCH_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class Sheet:
    """One sheet, written out as UTF-8 CSV."""

    name: str
    text: Path


def sheets_as_text(path: Path, scratch: Path) -> list[Sheet]:
    """Write every sheet that isn't empty as CSV into `scratch`, all cells as the text that Excel stores.

    One sheet is held in memory at a time (Excel's own limit is 1,048,576 rows). Raises ExportError for a file that is
    no workbook.
    """
    try:
        book = fastexcel.read_excel(path)
        names = list(book.sheet_names)
    except fastexcel.FastExcelError as error:
        raise ExportError(
            f"{path.name} can't be read as an Excel workbook", "open it in Excel and save it again, or export as CSV"
        ) from error
    sheets = []
    for number, name in enumerate(names):
        frame = book.load_sheet(number, header_row=None, skip_rows=0, dtypes="string").to_polars()
        if frame.width == 0 or frame.height == 0:
            continue
        text = scratch / f"{path.stem}.{number}.csv"
        with text.open("w", encoding="utf-8", newline="") as out:
            writer = csv.writer(out)
            for start in range(0, frame.height, _BATCH_ROWS):
                writer.writerows(frame.slice(start, _BATCH_ROWS).rows())
        sheets.append(Sheet(name, text))
    return sheets
