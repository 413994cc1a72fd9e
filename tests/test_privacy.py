"""Tests of the privacy gate: shapes instead of values, secrets redacted, formulas made harmless."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dentlib.privacy import for_spreadsheet, mask, redact


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        ("Ana O'Neil", "Aaa A'Aaaa"),
        ("415-555-2671", "999-999-9999"),
        ("Şule 😀", "Aaaa ·"),
        ("", ""),
        (None, ""),
        ("line\nbreak", "aaaa aaaaa"),
    ],
)
def test_a_mask_shows_the_shape_only(value: str | None, shape: str) -> None:
    """Letters, digits and the rest become their kind."""
    assert mask(value, "name") == shape


@given(st.text(min_size=3, alphabet=st.characters(whitelist_categories=("Lu", "Ll", "Nd"))))
def test_a_mask_never_holds_two_different_letters(value: str) -> None:
    """Whatever the value, only `A`, `a` and `9` of it are left."""
    assert set(mask(value, "name")) <= set("Aa9…")


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("Authorization: Bearer abc.def", "abc.def"),
        ("postgresql://me:s3cret@db/x", "s3cret"),
        ("api_key=XYZ123 next", "XYZ123"),
        ("token: qwerty", "qwerty"),
    ],
)
def test_secrets_are_redacted(text: str, gone: str) -> None:
    """What looks like a credential does not survive."""
    assert gone not in redact(text)


@pytest.mark.parametrize("value", ["=1+1", "+1", "-1", "@x", "|cmd", "\t=1"])
def test_a_formula_is_made_text(value: str) -> None:
    """A spreadsheet program sees text."""
    assert for_spreadsheet(value) == "'" + value


def test_harmless_cells_stay_as_they_are() -> None:
    """Numbers and plain text are not touched."""
    assert for_spreadsheet("plain") == "plain"
    assert for_spreadsheet(-5) == -5
