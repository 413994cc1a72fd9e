"""Figures are written one way on every page."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dentlib.documents import numbers


@pytest.mark.parametrize(
    ("n", "of", "written"),
    [
        (312, 4871, "312 of 4,871 (6.4 %)"),
        (4871, 4871, "4,871 of 4,871 (100 %)"),
        (0, 4871, "0 of 4,871 (0 %)"),
        (1, 4871, "1 of 4,871 (< 0.1 %)"),
        (4870, 4871, "4,870 of 4,871 (> 99.9 %)"),
        (0, 0, "0 of 0"),
        (1_234_567, 2_000_000, "1,234,567 of 2,000,000 (61.7 %)"),
    ],
)
def test_a_percentage_always_comes_with_its_count(n: int, of: int, written: str) -> None:
    """A share is never rounded to nothing or to everything, and nothing has no percentage."""
    assert numbers.share(n, of) == written


@given(st.integers(1, 10**9).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_only_none_is_0_and_only_all_is_100(case: tuple[int, int]) -> None:
    """`0 %` and `100 %` are said of exactly none and all."""
    n, of = case
    assert (numbers.percent(n, of) == "0 %") == (n == 0)
    assert (numbers.percent(n, of) == "100 %") == (n == of)
    assert numbers.percent(n, of) not in ("0.0 %", "100.0 %")


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0.31, "0.3 s"), (40, "40 s"), (59.9, "1 min"), (720, "12 min"), (3900, "1 h 05 min"), (36_000, "10 h 00 min")],
)
def test_durations_are_rounded_to_what_a_person_cares_for(seconds: float, written: str) -> None:
    """Seconds below a minute, minutes below an hour, then both."""
    assert numbers.duration(seconds) == written


@pytest.mark.parametrize(
    ("n_bytes", "written"), [(812, "812 bytes"), (14_240, "14.2 kB"), (999_960, "1.0 MB"), (3_100_000_000, "3.1 GB")]
)
def test_sizes_are_decimal(n_bytes: int, written: str) -> None:
    """Units change before a figure would read 1000.0."""
    assert numbers.size(n_bytes) == written


def test_a_moment_is_told_in_its_own_zone() -> None:
    """The same moment reads differently in Los Angeles, and says so."""
    at = datetime(2026, 1, 5, 9, 5, tzinfo=UTC)
    assert numbers.moment(at) == "5 January 2026, 09:05 UTC"
    assert numbers.moment(at.astimezone(timezone(timedelta(hours=-8), "PST"))) == "5 January 2026, 01:05 PST"


def test_words_agree_with_their_number() -> None:
    """One table, three tables, no tables; one is, three are."""
    assert [numbers.things(n, "table") for n in (0, 1, 3)] == ["no tables", "1 table", "3 tables"]
    assert [numbers.are(n) for n in (0, 1, 2000)] == ["none is", "1 is", "2,000 are"]
    assert numbers.share_of(4, 5, "table") == "4 of 5 tables (80.0 %)"


def test_listings_and_sentences_read_as_written_by_hand() -> None:
    """Names are joined with and; parts become sentences with capital and full stop."""
    assert numbers.listing(["a", "b", "c"]) == "a, b and c"
    assert numbers.listing(list("abcdefgh"), most=3) == "a, b, c and 5 more"
    assert numbers.listing(["a"]) == "a"
    assert numbers.sentence("the key is not unique", "", "name another.") == "The key is not unique. Name another."
