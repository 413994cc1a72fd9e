"""The limiter throws fractions away: pacing that a textbook bucket would allow is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dentlib.clock import ManualClock
from dentlib.sandbox.twenty.limiter import Bucket, Limiter
from dentlib.sandbox.twenty.refusals import Refusal
from dentlib.sandbox.twenty.server import TwentySandbox

Connect = Callable[[TwentySandbox], Any]


class Ticking:
    """Milliseconds that move when told to."""

    def __init__(self) -> None:
        self.ms = 1_000_000

    def __call__(self) -> int:
        return self.ms


def _paced(interval_ms: int, calls: int, start_empty: bool = True) -> tuple[int, int]:
    """Send calls on an absolute schedule; count accepted and refused."""
    now = Ticking()
    limiter = Limiter(now)
    if start_empty:
        limiter.drain()
    begin, accepted = now.ms, 0
    for at in range(1, calls + 1):
        now.ms = begin + at * interval_ms
        try:
            limiter.take()
            accepted += 1
        except Refusal:
            pass
    return accepted, calls - accepted


def test_a_hundred_pass_in_a_burst_and_the_next_is_refused() -> None:
    """The long window holds 100 calls; the 101st of a burst slower than the short window is refused."""
    now = Ticking()
    limiter = Limiter(now)
    for _ in range(100):
        limiter.take()
        now.ms += 20
    with pytest.raises(Refusal, match="100 tokens per 60000 ms"):
        limiter.take()


def test_the_short_window_refuses_first_when_all_come_at_once() -> None:
    """A hundred calls in one instant empty the short window, which is asked first."""
    limiter = Limiter(Ticking())
    for _ in range(100):
        limiter.take()
    with pytest.raises(Refusal, match="100 tokens per 1000 ms"):
        limiter.take()


@pytest.mark.parametrize(("interval_ms", "refused"), [(599, 50), (500, 50), (600, 0), (610, 0), (1199, 0)])
def test_pacing_after_a_burst(interval_ms: int, refused: int) -> None:
    """After a drain every other call below 600 ms is refused; from 600 ms on none is."""
    assert _paced(interval_ms, 100)[1] == refused


def test_a_steady_610_gives_98_a_minute() -> None:
    """An hour at 0.610 s: every call passes, 98.4 a minute."""
    accepted, refused = _paced(610, 5902)
    assert (accepted, refused) == (5902, 0)


def test_jitter_around_600_falls_far_below_the_nominal_rate() -> None:
    """Gaps of 599 and 601 ms in turn lose a quarter of their calls: fractions are thrown away."""
    now = Ticking()
    limiter = Limiter(now)
    limiter.drain()
    accepted = 0
    for at in range(3000):
        now.ms += 599 if at % 2 else 601
        try:
            limiter.take()
            accepted += 1
        except Refusal:
            pass
    assert accepted == 2250  # of each four calls one is refused: its 599 ms refilled nothing


def test_a_refused_call_does_not_delay_the_next_token() -> None:
    """Refusals move nothing: the token comes 600 ms after the last accepted call."""
    now = Ticking()
    bucket = Bucket(100, 60_000)
    bucket.tokens, bucket.last_ms = 0, now.ms
    for wait in (100, 300, 599):
        with pytest.raises(Refusal):
            bucket.take(now.ms + wait)
    bucket.take(now.ms + 600)
    assert (bucket.tokens, bucket.last_ms) == (0, now.ms + 600)


@given(st.lists(st.integers(0, 5000), max_size=60))
def test_the_bucket_follows_its_formula(gaps: list[int]) -> None:
    """`min(limit, tokens + floor((now - last accepted) * limit / window))`, whatever the gaps."""
    bucket = Bucket(100, 60_000)
    tokens, last, now = 100, 0, 0
    bucket.tokens, bucket.last_ms = tokens, last
    for gap in gaps:
        now += gap
        expected = min(100, tokens + (now - last) * 100 // 60_000)
        assert bucket.available(now) == expected
        if expected:
            bucket.take(now)
            tokens, last = expected - 1, now
    assert bucket.tokens == tokens


def test_the_server_refuses_by_its_injected_clock(connect: Connect) -> None:
    """REST answers 429 and GraphQL 200; metadata is not counted; two minutes later the bucket is full again."""
    clock = ManualClock()
    with TwentySandbox(limits="default", clock=clock) as sandbox:
        crm = connect(sandbox)
        for _ in range(100):
            assert crm.http.get("/rest/people?limit=0").status_code == 200
            clock.sleep(0.025)
        refused = crm.http.get("/rest/people?limit=0")
        assert (refused.status_code, "retry-after" in refused.headers) == (429, False)
        answer = crm.graphql("{people(first:1){totalCount}}")
        assert answer["data"] == {"people": None}
        assert answer["errors"][0]["extensions"]["subCode"] == "LIMIT_REACHED"
        assert crm.metadata("{objects(paging:{first:1}){edges{node{id}}}}")
        clock.sleep(120)
        assert all(crm.http.get("/rest/people?limit=0").status_code == 200 for _ in range(100))


def test_a_document_costs_one_token_whatever_its_roots(connect: Connect) -> None:
    """Root fields run side by side and read the counter before any writes it."""
    clock = ManualClock()
    with TwentySandbox(limits="default", clock=clock) as sandbox:
        crm = connect(sandbox)
        for _ in range(50):
            clock.sleep(0.05)
            answer = crm.graphql("{people{totalCount} companies{totalCount} tasks{totalCount} notes{totalCount}}")
            assert "errors" not in answer
