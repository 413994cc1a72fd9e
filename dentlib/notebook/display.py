"""Objects that notebooks display; each has a `_repr_html_` that comes from the documents' own templates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from dentlib.documents import Section, numbers
from dentlib.documents.view import Status, Tone


class Decidable(Protocol):
    """A stage's result, as far as its decisions go."""

    @property
    def decisions(self) -> Sequence[str]:
        """What a person must decide."""
        ...

    @property
    def exit_code(self) -> int:
        """0 where the next stage can start."""
        ...

    @property
    def pages(self) -> Sequence[Path]:
        """The client pages that were written."""
        ...


def decisions_needed(result: Decidable) -> Section:
    """Return what a person must decide after a stage, and where the pages to read are; for the last section. Pure."""
    asked = tuple(result.decisions)
    return Section(
        name="decisions",
        heading="Decisions needed",
        finding=_asked(len(asked), bool(result.exit_code)),
        status=Status("decide", Tone.STOP)
        if result.exit_code
        else Status("answer", Tone.CHECK)
        if asked
        else Status("go on", Tone.GOOD),
        items=asked,
        note="To read: " + ", ".join(f"{p.parent.name}/{p.name}" for p in result.pages) if result.pages else "",
    )


def _asked(n: int, waits: bool) -> str:
    if waits:
        return f"{numbers.things(n, 'decision').capitalize()} needed before the next stage."
    if n:
        return f"{numbers.things(n, 'answer').capitalize()} asked of the practice; the next stage can start."
    return "No decision is needed: the next stage can start."
