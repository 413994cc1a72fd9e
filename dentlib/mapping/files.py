"""Look at the files that an export's rows name: is it there, how large, is it what it says."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa

from dentlib.filetypes import START_BYTES, oddity
from dentlib.mapping.references import FILE_TABLE
from dentlib.mapping.values import file_label


def look_at_files(
    con: duckdb.DuckDBPyConnection,
    names: str,
    documents_dir: Path,
    max_upload_mb: float | None,
    reasons: dict[str, str],
) -> None:
    """Make the temp table of files: name, path, size, kind, code, remark, trouble. `names`: SQL with a column of names.

    `code`: why a file can't be uploaded; `remark`: what is to be told of one that can; `file_trouble`: either in words.

    Files are found by name anywhere in the folder, so a path of the practice's own machine does no harm, and no name
    leads out of it. Reads file sizes and first bytes only.
    """
    received = _received(documents_dir)
    columns: dict[str, list[str | None]] = {
        n: [] for n in ("name", "path", "file_size", "file_kind", "code", "remark", "file_trouble")
    }
    for (name,) in con.execute(f"SELECT DISTINCT name FROM ({names}) AS t(name) WHERE name IS NOT NULL").fetchall():
        path, size, code = _look(name, received, max_upload_mb)
        remark = "" if code or path is None else _look_inside(path, name)
        extension = name.rsplit(".", 1)[1].upper() if "." in name else "unknown"
        columns["name"].append(name)
        columns["path"].append(str(path) if path and not code else None)
        columns["file_size"].append(f"{size:,} bytes" if size is not None else "unknown")
        columns["file_kind"].append(extension)
        columns["code"].append(code or None)
        columns["remark"].append(remark or None)
        told = f"Not uploaded: {reasons[code]}." if code else f"Uploaded; {reasons[remark]}." if remark else None
        columns["file_trouble"].append(told)
    con.register("files_seen", pa.table({k: pa.array(v, pa.string()) for k, v in columns.items()}))
    con.execute(f"CREATE OR REPLACE TEMP TABLE {FILE_TABLE.split('.')[1]} AS SELECT * FROM files_seen")
    con.unregister("files_seen")


def _received(folder: Path) -> dict[str, list[Path]]:
    """Return the files of the folder by name, capitals folded."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            found.setdefault(path.name.casefold(), []).append(path)
    return found


def _look(
    name: str, received: dict[str, list[Path]], max_upload_mb: float | None
) -> tuple[Path | None, int | None, str]:
    label, code = file_label(name)
    if label is None:
        return None, None, code
    named = received.get(label.casefold(), [])
    if len(named) > 1:
        said = name.strip().replace("\\", "/").casefold()
        named = [p for p in named if str(p).casefold().endswith("/" + said.lstrip("/"))]
        if len(named) != 1:
            return None, None, "file_ambiguous"
    if not named:
        return None, None, "file_missing"
    path = named[0]
    size = path.stat().st_size
    if max_upload_mb is not None and size > max_upload_mb * 1_000_000:
        return path, size, "file_too_large"
    if size and _look_inside(path, label) == "file_not_what_it_says":
        return path, size, "file_not_what_it_says"
    return path, size, ""


def _look_inside(path: Path, name: str) -> str:
    """Compare a file's first bytes with its extension; return the code of what is odd."""
    with path.open("rb") as file:
        start = file.read(START_BYTES)
    found = oddity(name, start) if start else ""
    # The destination stores what it recognises under its true type (a PNG named .pdf becomes .png), but refuses a file
    # whose content it can't recognise under an extension that it can.
    return "" if found == "file_without_extension" else found
