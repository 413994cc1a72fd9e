"""The checks as data: well formed, about fields that exist, each with its own name and a way out."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from dentlib.audit.checks import Check, load_checks
from dentlib.vocabulary import load_vocabulary

GOOD = {"kind": "k", "severity": "info", "message": "m", "hint": "h"}


def test_every_check_is_about_fields_of_the_vocabulary() -> None:
    """A check about a field that doesn't exist would never run, and nobody would notice."""
    vocabulary = load_vocabulary("other")
    for check in load_checks():
        for name in check.fields:
            object_name, _, field_name = name.partition(".")
            assert vocabulary.field(object_name, field_name) is not None, f"{check.kind}: {name}"


def test_every_check_has_its_own_kind_and_a_way_out() -> None:
    """Kinds are what pages and machines tell findings by."""
    kinds = [c.kind for c in load_checks()]
    assert len(kinds) == len(set(kinds))
    assert all(c.message and c.hint for c in load_checks())


def test_unknown_checks_have_values_to_compare_with() -> None:
    """A check for unknown codes needs known ones; without them it could not fail."""
    vocabulary = load_vocabulary("other")
    for check in load_checks():
        if check.unknown:
            words = vocabulary.field(*check.unknown.split("."))
            assert words is not None
            assert words.values, check.kind


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"blank": "patient.email", "orphans": "claim.patient_id"},
        {"matches": "patient.email"},
        {"rows": "SELECT 1 AS example"},
        {"blank": "patient.email", "treshold": 3},
        {"blank": "patient.email", "severity": "bad"},
    ],
)
def test_a_check_that_is_not_well_formed_is_refused(more: dict[str, object]) -> None:
    """Exactly one question per check, complete, with no misspelt key."""
    with pytest.raises(ValidationError):
        Check.model_validate(GOOD | more)
