"""What the rules for shared e-mail addresses and telephone numbers do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HouseholdFacts:
    """One field. `households` of `people` who share a value; `kept` as their own, `further`: beside, as another one.

    `rule`: first_keeps_it or keep_all. `largest`: most people who share one value.
    """

    step: str
    label: str
    field: str
    rule: str
    households: int
    people: int
    kept: int
    further: int
    largest: int
