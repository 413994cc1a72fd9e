"""The house keeps its shape: imports go one way, only some rooms open sockets, files stay readable."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import dentlib

PACKAGE = Path(dentlib.__file__).parent
BASE = ("errors", "assets", "clock", "model", "facts", "privacy")
GROUND = (
    "workdb",
    "yamltext",
    "sheets",
    "filetypes",
    "gx_duckdb",
    "checks",
    "engagement",
    "approvals",
    "vocabulary",
    "pairs",
)
STAGE_PACKAGES = ("documents", "loading", "destinations", "mapping", "audit", "extraction")
APART = ("sandbox", "samples")
MAIN_LINE = ("desk", "results", "assembly", "ownership", "telling", "stages", "errands")
FACE = ("notebook", "demo", "terminal", "__main__")

MAY_IMPORT: dict[str, set[str]] = {
    "errors": {"model"},  # for its annotations only
    "assets": {"errors"},
    "clock": {"errors"},
    "model": {"errors", "clock"},
    "facts": {"errors", "clock", "model"},
    "privacy": {"errors", "model", "facts"},
    **{name: {*BASE, *GROUND} - {name} for name in GROUND},
    **{name: {*BASE, *GROUND} for name in STAGE_PACKAGES},
    **{name: {"model", "clock", "errors", "assets"} for name in APART},
    **{name: {*BASE, *GROUND, *STAGE_PACKAGES, *MAIN_LINE} - {name} for name in MAIN_LINE},
    "notebook": {*BASE, *GROUND, "documents", "results", "stages", "errands"},
    "demo": {*BASE, *GROUND, "stages", "errands", "samples"},
    "terminal": {*BASE, *GROUND, "stages", "errands", "results", "notebook", "demo", "samples"},
    "__main__": {*BASE, *GROUND, *APART, "stages", "errands", "terminal"},
}
SOCKET_MODULES = {"socket", "httpx", "aiohttp", "urllib", "http", "requests", "sqlalchemy"}
MAY_OPEN_SOCKETS = {"destinations", "sandbox", "checks"}  # checks: SQLAlchemy over the open DuckDB connection


def modules() -> list[tuple[str, Path]]:
    """Every source file with the room it belongs to."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[0] != "_assets":
            found.append((parts[0], path))
    return found


def imported(path: Path) -> set[str]:
    """Full names of what a file imports, relative imports resolved."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = ["dentlib", *path.relative_to(PACKAGE).parts[: -node.level]]
                base = ".".join([*parts, *([node.module] if node.module else [])])
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names if base == "dentlib")}
    return names


@pytest.mark.parametrize(("room", "path"), modules(), ids=lambda v: v.name if isinstance(v, Path) else v)
def test_imports_go_one_way(room: str, path: Path) -> None:
    """A room imports only what lies below it; stage packages don't know each other."""
    if room == "__init__":
        return
    rooms = {name.split(".")[1] for name in imported(path) if name.startswith("dentlib.")}
    foreign = rooms - {room} - MAY_IMPORT[room]
    assert not foreign, f"{path.relative_to(PACKAGE)} imports {sorted(foreign)}"


@pytest.mark.parametrize(("room", "path"), modules(), ids=lambda v: v.name if isinstance(v, Path) else v)
def test_only_some_rooms_open_sockets(room: str, path: Path) -> None:
    """Audit, mapping, documents and stages never touch the network themselves."""
    if room in MAY_OPEN_SOCKETS:
        return
    used = {n.split(".")[0] for n in imported(path) - {"urllib.parse"}} & SOCKET_MODULES
    assert not used, f"{path.relative_to(PACKAGE)} imports {sorted(used)}"


def test_files_stay_readable() -> None:
    """No source file grows much beyond 400 lines (450 is the limit)."""
    long = {str(p.relative_to(PACKAGE)): n for _, p in modules() if (n := len(p.read_text().splitlines())) > 450}
    assert not long, long


def test_no_vague_module_names() -> None:
    """Names say what a module is for."""
    vague = [p for _, p in modules() if p.stem in {"utils", "util", "helpers", "helper", "common", "misc", "manager"}]
    assert not vague
