"""Find the notebooks, suites and page templates: beside the package in a clone, inside it in an installed wheel."""

from __future__ import annotations

from pathlib import Path

from dentlib.errors import UsageError

_PACKAGE = Path(__file__).resolve().parent
_FOLDERS = {"notebooks": "notebooks", "expectations": "expectations", "reports": "reports/templates"}


def folder(kind: str) -> Path:
    """Return the folder of `notebooks`, `expectations` or `reports`; reads only.

    Raises UsageError when the installation is incomplete.
    """
    for candidate in (_PACKAGE / "_assets" / kind, _PACKAGE.parent / _FOLDERS[kind]):
        if candidate.is_dir():
            return candidate
    raise UsageError(f"the {kind} of this installation are missing", "install dentlib again from its wheel or clone")
