"""The manifest of an export in custody: what was received, when, and how each file was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import orjson

from dentlib.clock import stamp
from dentlib.errors import ExportError
from dentlib.extraction.dialect import Dialect
from dentlib.extraction.receive import MADE_BY, MANIFEST, Received, sha256_of
from dentlib.facts import FileFacts, IntakeFacts
from dentlib.model import Problem, Severity


def write(folder: Path, facts: IntakeFacts, dialects: Mapping[str, Dialect]) -> None:
    """Write `manifest.json` into `folder`, read-only."""
    files = []
    for file in facts.files:
        entry = asdict(file)
        dialect = dialects.get(file.path)
        if dialect is not None:
            entry |= {"delimiter_reason": dialect.reason, "columns": dialect.columns}
        files.append(entry)
    content = {
        "made_by": MADE_BY.decode(),
        "version": 1,
        "round": facts.round,
        "source": facts.source,
        "taken_at": stamp(facts.taken_at),
        "files": files,
        "problems": [asdict(p) for p in facts.problems],
    }
    path = folder / MANIFEST
    path.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")
    path.chmod(0o400)


def read(folder: Path) -> IntakeFacts:
    """Read the facts of an export in custody. Reads only. Raises ExportError when there is no readable manifest."""
    path = folder / MANIFEST
    try:
        content = orjson.loads(path.read_bytes())
        known = set(FileFacts.__dataclass_fields__)
        files = tuple(FileFacts(**{k: v for k, v in f.items() if k in known}) for f in content["files"])
        problems = tuple(Problem(**{**p, "severity": Severity(p["severity"])}) for p in content["problems"])
        return IntakeFacts(
            content["round"], datetime.fromisoformat(content["taken_at"]), content["source"], files, problems
        )
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise ExportError(
            f"{path} can't be read as a manifest ({type(error).__name__})", "take the export in again, as a new round"
        ) from error


def received(folder: Path) -> list[Received]:
    """List the files that the manifest names, each once (a workbook's sheets are one file). Reads only."""
    files = {_file_of(f): Received(_file_of(f), f.sha256, f.size_bytes) for f in read(folder).files}
    return sorted(files.values(), key=lambda r: r.path)


def _file_of(file: FileFacts) -> str:
    return file.path.partition("#")[0] if file.kind == "xlsx" else file.path


def verify_custody(export_dir: Path) -> list[Problem]:
    """Hash every file in custody again and compare with the manifest; empty means untouched. Reads only.

    Problems: `file_missing`, `file_changed`, `file_added`. Raises ExportError without a readable manifest.
    """
    problems = []
    expected = {r.path: r for r in received(export_dir)}
    for name, file in expected.items():
        path = export_dir / name
        if not path.is_file():
            problems.append(Problem("file_missing", name, "is in the manifest but not in the folder", "put it back"))
        elif path.stat().st_size != file.size_bytes or sha256_of(path) != file.sha256:
            problems.append(Problem("file_changed", name, "is not what was received", "put the original back"))
    present = {p.relative_to(export_dir).as_posix() for p in export_dir.rglob("*") if p.is_file()}
    for name in sorted(present - set(expected) - {MANIFEST}):
        problems.append(Problem("file_added", name, "was not received with this export", "take it in as a new round"))
    return problems
