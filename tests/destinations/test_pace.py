"""The pace of calls, against a port of the server's limiter in simulated time."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from dentlib.clock import ManualClock
from dentlib.destinations.twenty.pace import Pace


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


@dataclass
class Told:
    """Accepted calls a minute and the share refused, after the burst."""

    per_minute: float
    refused: float


def run(
    line: Line, *, limit: int = 100, believed: int | None = None, named: bool = True, minutes: float = 60.0
) -> Told:
    """Return what became of a simulated run; its first minute, which holds the burst, isn't counted.

    `believed`: the rate as configured. `named`: refusals say the limit.
    """
    clock, server = ManualClock(), ServerBucket(limit)
    pace = Pace(clock, believed if believed is not None else limit)
    accepted = refused = 0
    while clock.elapsed_s < (minutes + 1) * 60:
        pace.before_call()
        way_s, rest_s = line.times()
        clock.sleep(way_s)
        passed = server.accepts(clock.elapsed_s)
        clock.sleep(rest_s)
        if not passed and named:
            pace.learn(limit, 60.0)
        elif not passed:
            pace.slower()
        pace.after_call(accepted=passed)
        if clock.elapsed_s > 60:
            accepted, refused = accepted + passed, refused + (not passed)
    return Told(accepted / minutes, refused / (accepted + refused))


def steady(seed: int, stalled: float = 0.0) -> Line:
    """Return a line whose answers take 20 to 250 ms."""
    return Line(seed, way_s=lambda r: 0.005, stalled=stalled)


@pytest.mark.parametrize("limit", [100, 200])
@pytest.mark.parametrize("seed", range(3))
def test_an_hour_with_jitter_uses_97_of_100_calls_and_none_is_refused(seed: int, limit: int) -> None:
    """Answers that take 20 to 250 ms cost neither calls nor refusals, at either plan."""
    told = run(steady(seed), limit=limit)
    assert told.per_minute >= 0.95 * limit + (2 if limit == 100 else 0)
    assert told.refused == 0


@pytest.mark.parametrize("limit", [100, 200])
@pytest.mark.parametrize("seed", range(3))
def test_stalled_calls_cost_little(seed: int, limit: int) -> None:
    """With 3 % of the calls stalled for 2 s, 93 of 100 pass and under 1 % is refused."""
    told = run(steady(seed, stalled=0.03), limit=limit)
    assert told.per_minute >= (93 if limit == 100 else 175)
    assert told.refused < 0.01


@pytest.mark.parametrize("seed", range(2))
def test_an_uncertain_way_to_the_server_widens_the_margin(seed: int) -> None:
    """Where calls arrive up to 25 ms apart from when they were sent, refusals stay under half a per cent."""
    told = run(Line(seed, way_s=lambda r: r.uniform(0.005, 0.03)))
    assert told.per_minute >= 95
    assert told.refused < 0.005


@pytest.mark.parametrize("believed", [0, 120, 200, 1000])
def test_a_wrong_rate_settles_by_what_is_refused(believed: int) -> None:
    """Told too much, or nothing, ten minutes after the burst pass 91 calls a minute with under 0.5 % refused."""
    told = run(steady(7), limit=100, believed=believed, minutes=10)
    assert told.per_minute >= 91
    assert told.refused < 0.005


@pytest.mark.parametrize(("limit", "believed"), [(100, 0), (60, 100), (30, 200)])
def test_a_refusal_without_a_number_slows_down_until_it_is_slow_enough(limit: int, believed: int) -> None:
    """A proxy says 429 and no more: the rate comes down to what passes, and no lower than two thirds of it."""
    told = run(steady(7), limit=limit, believed=believed, named=False, minutes=30)
    assert told.per_minute >= limit * 2 / 3
    assert told.refused < 0.02


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
