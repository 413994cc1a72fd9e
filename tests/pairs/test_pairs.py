"""Tests of the pairs: every shipped pair is whole, and a bad one says where it is bad."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from dentlib.errors import UsageError
from dentlib.pairs import FieldRule, known_pairs, lay_over, load_pair
from dentlib.vocabulary import load_vocabulary


@pytest.mark.parametrize(("source", "destination"), known_pairs())
def test_every_step_reads_an_object_of_its_vocabulary(source: str, destination: str) -> None:
    """A pair never names an object, key or owner field that its product doesn't have."""
    pair, vocabulary = load_pair(source, destination), load_vocabulary(source)
    for step in pair.steps:
        fields = vocabulary.objects[step.from_].fields
        assert step.key == "content" or step.key in fields
    if pair.owners:
        assert pair.owners.email in vocabulary.objects[pair.owners.from_].fields


def test_an_unknown_pair_names_the_known_ones() -> None:
    """The way out is the list."""
    with pytest.raises(UsageError) as error:
        load_pair("dent-o-soft", "salesforce")
    assert "dent-o-soft → twenty" in error.value.hint


@pytest.mark.parametrize(
    ("rule", "asks_for"),
    [
        ({"source": "email"}, "missing"),
        ({"source": "sex", "values": {"M": "MALE"}, "missing": "leave_empty"}, "unmapped"),
        ({"source": ["a", "b"], "missing": "reject"}, "combine"),
        ({"source": "a", "constant": "b", "missing": "reject"}, "exactly one"),
        ({"missing": "reject"}, "exactly one"),
        ({"source": "a", "missing": "guess"}, "reject"),
        ({"source": "a", "missing": "reject", "mising": "reject"}, "Extra inputs"),
    ],
)
def test_a_rule_has_no_silent_default(rule: dict[str, object], asks_for: str) -> None:
    """What happens to a missing or unmapped value must be said; unknown keys are refused."""
    with pytest.raises(ValidationError, match=asks_for):
        FieldRule.model_validate(rule)


def test_a_patch_merges_replaces_and_takes_away() -> None:
    """Mappings merge, null takes away, everything else replaces."""
    below = {"a": {"x": 1, "y": 2}, "b": [1], "c": 3}
    assert lay_over(below, {"a": {"y": None, "z": 4}, "b": [2]}) == {"a": {"x": 1, "z": 4}, "b": [2], "c": 3}
