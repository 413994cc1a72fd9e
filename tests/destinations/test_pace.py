"""The pace of calls, against a port of the server's limiter in simulated time."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from dentlib.clock import ManualClock
from dentlib.destinations.twenty.pace import Pace

HOUR_S = 3600.0


class ServerBucket:
    """Twenty's limiter: whole tokens only, and the watch restarts at each accepted call."""

    def __init__(self, limit: int, window_s: float = 60.0) -> None:
        self.limit, self.window_s = limit, window_s
        self.tokens = limit
        self.last_s: float | None = None

    def accepts(self, now_s: float) -> bool:
        if self.last_s is None or now_s - self.last_s >= 2 * self.window_s:
            self.tokens, self.last_s = self.limit, now_s
        refill = math.floor((now_s - self.last_s) * self.limit / self.window_s)
        tokens = min(self.limit, self.tokens + refill)
        if tokens < 1:
            return False
        self.tokens, self.last_s = tokens - 1, now_s
        return True


class Line:
    """A network and server: how long a call is on its way, and how long its answer takes."""

    def __init__(self, seed: int, *, way_s: Callable[[random.Random], float], stalled: float = 0.0) -> None:
        self.random = random.Random(seed)
        self.way_s, self.stalled = way_s, stalled

    def times(self) -> tuple[float, float]:
        way_s = self.way_s(self.random)
        rest_s = self.random.uniform(0.02, 0.25)
        if self.random.random() < self.stalled:
            before = self.random.choice((0.0, 1.0, self.random.random()))
            return way_s + 2.0 * before, rest_s + 2.0 * (1 - before)
        return way_s, rest_s


def hour(line: Line, limit: int = 100) -> tuple[float, float]:
    """Return accepted calls a minute and the share refused of one simulated hour."""
    clock, server = ManualClock(), ServerBucket(limit)
    pace = Pace(clock, limit)
    accepted = refused = 0
    while clock.elapsed_s < HOUR_S:
        pace.before_call()
        way_s, rest_s = line.times()
        clock.sleep(way_s)
        passed = server.accepts(clock.elapsed_s)
        clock.sleep(rest_s)
        pace.after_call(accepted=passed)
        accepted, refused = accepted + passed, refused + (not passed)
    return accepted / 60, refused / (accepted + refused)


@pytest.mark.parametrize("seed", range(3))
def test_an_hour_with_jitter_uses_97_of_100_calls_and_none_is_refused(seed: int) -> None:
    """Answers that take 20 to 250 ms cost neither calls nor refusals."""
    per_minute, refused = hour(Line(seed, way_s=lambda r: 0.005))
    assert per_minute >= 97
    assert refused == 0


@pytest.mark.parametrize("seed", range(3))
def test_stalled_calls_cost_little(seed: int) -> None:
    """With 3 % of the calls stalled for 2 s, 93 of 100 pass and under 1 % is refused."""
    per_minute, refused = hour(Line(seed, way_s=lambda r: 0.005, stalled=0.03))
    assert per_minute >= 93
    assert refused < 0.01


@pytest.mark.parametrize("seed", range(2))
def test_an_uncertain_way_to_the_server_widens_the_margin(seed: int) -> None:
    """Where calls arrive up to 25 ms apart from when they were sent, refusals stay under half a per cent."""
    per_minute, refused = hour(Line(seed, way_s=lambda r: r.uniform(0.005, 0.03)))
    assert per_minute >= 95
    assert refused < 0.005


def test_a_higher_plan_is_used() -> None:
    """At 200 calls a minute 190 pass."""
    per_minute, refused = hour(Line(1, way_s=lambda r: 0.005), limit=200)
    assert per_minute >= 190
    assert refused == 0


def test_a_refusal_waits_a_whole_step() -> None:
    """After a refusal the next call is sent a step and the widened margin later, not at once."""
    clock = ManualClock()
    pace = Pace(clock, 100)
    pace.before_call()
    pace.after_call(accepted=False)
    refused_at_s = clock.elapsed_s
    pace.before_call()
    assert clock.elapsed_s - refused_at_s == pytest.approx(0.6 + pace.margin_s)


def test_nothing_is_held_back_without_a_limit() -> None:
    """Without a limit no call waits."""
    clock = ManualClock()
    pace = Pace(clock, None)
    for _ in range(1000):
        pace.before_call()
        pace.after_call(accepted=True)
    assert clock.elapsed_s == 0
