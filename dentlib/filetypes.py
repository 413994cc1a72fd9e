"""Tell by the first bytes whether a file is what its name says. Data in `filetypes.json`; opens nothing itself."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import orjson

START_BYTES = 64
"""How much of a file's beginning `kind_of` wants."""


@cache
def _kinds() -> tuple[tuple[str, tuple[tuple[int, bytes], ...]], ...]:
    kinds = orjson.loads((Path(__file__).parent / "filetypes.json").read_bytes())["kinds"]
    return tuple((k, tuple((at, bytes.fromhex(start)) for at, start in v["starts"])) for k, v in kinds.items())


@cache
def _promised() -> dict[str, str]:
    kinds = orjson.loads((Path(__file__).parent / "filetypes.json").read_bytes())["kinds"]
    return {extension: kind for kind, v in kinds.items() for extension in v["extensions"]}


def kind_of(start: bytes) -> str:
    """Return the kind whose first bytes these are; empty for one that isn't recognised."""
    return next((k for k, starts in _kinds() if any(start[at : at + len(s)] == s for at, s in starts)), "")


def extension_of(name: str) -> str:
    """Return a file name's extension in lower case, without dot; empty where it has none."""
    stem, dot, extension = name.strip().rpartition(".")
    return extension.lower() if dot and stem.strip(".") and extension else ""


def oddity(name: str, start: bytes) -> str:
    """Return what is odd about a file with this name and beginning.

    `file_without_extension`, `file_not_what_it_says` (its extension promises bytes that aren't there),
    `file_of_another_kind` (they are those of another kind); empty where nothing is.
    """
    extension = extension_of(name)
    if not extension:
        return "file_without_extension"
    promised = _promised().get(extension)
    if promised is None:
        return ""
    found = kind_of(start)
    return "" if found == promised else "file_of_another_kind" if found else "file_not_what_it_says"
