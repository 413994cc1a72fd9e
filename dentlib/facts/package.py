"""A package of files for the CRM's own importer: what is in it, and what can't go that way."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PackageFile:
    """One file, to be imported in the order of its number. `opens`: where a person begins."""

    number: int
    file: str
    step: str
    label: str
    object: str
    opens: str
    rows: int
    titles: tuple[str, ...]
    sha256: str
    formula_like: int  # cells that a spreadsheet program would read as a formula


@dataclass(frozen=True, slots=True)
class PackageFacts:
    """The whole package. `steps_left`: (step, label, rows, why); `fields_left`: (step, field, rows with it, why)."""

    engagement: str
    client: str
    workspace: str
    folder: str
    files: tuple[PackageFile, ...]
    steps_left: tuple[tuple[str, str, int, str], ...]
    fields_left: tuple[tuple[str, str, int, str], ...]
