"""The list of deliberate trouble: what was put in, where, and how to count it again without this library."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TroubleKind:
    """One kind of trouble: its file, its group for readers, and a definition precise enough for a recount."""

    name: str
    file: str
    group: str
    definition: str


@cache
def trouble_kinds() -> dict[str, TroubleKind]:
    """Read the vocabulary of trouble (trouble.json of this package), in its order."""
    source = json.loads((Path(__file__).parent / "trouble.json").read_text(encoding="utf-8"))
    return {name: TroubleKind(name, file, group, definition) for name, (file, group, definition) in source.items()}


@dataclass
class TroubleLog:
    """Collects what the generator spoils, while it does so; `touched` rows are left alone by later rounds."""

    keys: dict[str, list[str]] = field(default_factory=dict)
    touched: set[tuple[str, str]] = field(default_factory=set)

    def mark(self, kind: str, table: str, key: str, also: Iterable[str] = (), *, tied: bool = True) -> None:
        """Note one case of `kind` at a row of `table`; `also` are further rows of that table that belong to the case.

        `tied=False`: nothing else depends on the case, so a later round may change the row, or drop it and `forget` it.
        """
        if kind not in trouble_kinds():
            raise KeyError(kind)
        self.keys.setdefault(kind, []).append(key)
        if tied:
            self.touched.add((table, key))
            self.touched.update((table, other) for other in also)

    def forget(self, gone: set[tuple[str, str]]) -> None:
        """Drop the untied cases of rows (table, key) that are gone."""
        for kind, keys in self.keys.items():
            table = trouble_kinds()[kind].file.removesuffix(".csv")
            self.keys[kind] = [key for key in keys if (table, key) not in gone]

    def counts(self, files: Iterable[str]) -> dict[str, int]:
        """Tell the number of cases per kind, for the kinds that live in `files`."""
        written = set(files)
        return {name: len(self.keys.get(name, ())) for name, kind in trouble_kinds().items() if kind.file in written}
