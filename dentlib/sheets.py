"""Read a CSV that a person filled in with a spreadsheet program, which saves it in its own way."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator
from pathlib import Path

from dentlib.errors import UsageError


def rows_of(path: Path, wanted: Collection[str], way_out: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the filled rows with their number as the program shows it: column → text, empty where nothing is.

    Commas, semicolons or tabs; UTF-8 or the program's own encoding. Reads only. Raises UsageError where the file can't
    be read or lacks one of the columns `wanted`.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}", way_out) from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")
    header = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count), restval="")
    missing = set(wanted) - {n.strip() for n in reader.fieldnames or ()}
    if missing:
        raise UsageError(f"{path.name} has no column {', '.join(sorted(missing))}", way_out)
    for number, row in enumerate(reader, 2):
        cells = {k.strip(): v or "" for k, v in row.items() if isinstance(k, str)}
        if any(cells.values()):
            yield number, cells
