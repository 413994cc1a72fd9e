"""Which rows stand for records that are in the workspace already, and what that would do to them: before a write."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MatchRuleFacts:
    """One rule: the fields that must be equal, rows with exactly one record, rows that fit several or with others."""

    rule: str
    matched: int
    ambiguous: int


@dataclass(frozen=True, slots=True)
class MatchStepFacts:
    """One step. `rows` that were never written = matched + ambiguous + new; `records`: what others keep there.

    `found`, `if_ambiguous`: what the map says. `remembered`: matches of earlier loads. `would_fill`,
    `would_overwrite`, `would_keep`: (field, records): empty there and filled, replaced with the old value kept for a
    rollback, and left as theirs though the source says otherwise.
    """

    step: str
    label: str
    object: str
    found: str
    if_ambiguous: str
    rows: int
    records: int
    rules: tuple[MatchRuleFacts, ...] = ()
    remembered: int = 0
    would_fill: tuple[tuple[str, int], ...] = ()
    would_overwrite: tuple[tuple[str, int], ...] = ()
    would_keep: tuple[tuple[str, int], ...] = ()

    @property
    def matched(self) -> int:
        """Rows that stand for exactly one record."""
        return sum(r.matched for r in self.rules)

    @property
    def ambiguous(self) -> int:
        """Rows that fit several records, or one together with others."""
        return sum(r.ambiguous for r in self.rules)

    @property
    def new(self) -> int:
        """Rows that fit nothing."""
        return self.rows - self.matched - self.ambiguous


@dataclass(frozen=True, slots=True)
class MatchFacts:
    """All steps that have rules. `ambiguous_pairs`: step, source key, record id, rule; at most the first thousand."""

    steps: tuple[MatchStepFacts, ...]
    ambiguous_pairs: tuple[tuple[str, str, str, str], ...] = ()

    @property
    def matched(self) -> int:
        """Rows that stand for exactly one record, over all steps."""
        return sum(s.matched for s in self.steps)

    @property
    def ambiguous(self) -> int:
        """Rows that need a person, over all steps."""
        return sum(s.ambiguous for s in self.steps)
