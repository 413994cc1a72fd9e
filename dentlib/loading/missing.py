"""Which records are not in the destination, so that what belongs to them isn't sent either."""

from __future__ import annotations

from dataclasses import dataclass, field

from dentlib.loading.rows import Row
from dentlib.loading.words import EXCUSED


@dataclass(slots=True)
class Missing:
    """Records that are not in the destination (id → the step they belong to), for what should point to them.

    `excused`: those that someone took away there; neither they nor what belongs to them count against a budget.
    """

    steps: dict[str, str] = field(default_factory=dict)
    excused: set[str] = field(default_factory=set)

    def add(self, row: Row, step: str, code: str) -> None:
        """Note a row that could not be written."""
        self.steps[row.record_id] = step
        if code in EXCUSED:
            self.excused.add(row.record_id)

    def found(self, row: Row) -> None:
        """Forget a row that was written after all."""
        self.steps.pop(row.record_id, None)

    def parent_of(self, row: Row) -> str | None:
        """Return the id of a missing record that the row points to."""
        if self.steps:
            for name, value in row.payload.items():
                if name.endswith("Id") and value in self.steps:
                    return str(value)
        return None
