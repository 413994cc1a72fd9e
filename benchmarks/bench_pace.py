"""A simulated hour of calls against the sandbox's port of the limiter; the baseline is its nominal rate."""

from __future__ import annotations

import random
from dataclasses import dataclass

import people

from dentlib.clock import ManualClock
from dentlib.destinations.twenty.pace import Pace
from dentlib.sandbox.twenty.limiter import Limiter
from dentlib.sandbox.twenty.refusals import Refusal

HOUR_S = 3600.0
CEILING = 100
WAY_S = 0.005


@dataclass
class Hour:
    """What became of an hour's calls."""

    accepted_per_minute: float
    refused_share: float


def simulate(seed: int, *, stalled: float) -> Hour:
    """Send calls for an hour; each takes 20 to 250 ms, a share of them 2 s longer, before or after it is counted."""
    clock, dice = ManualClock(), random.Random(seed)
    limiter = Limiter(lambda: round(clock.elapsed_s * 1000) + 10**12)
    pace = Pace(clock, CEILING)
    accepted = refused = 0
    while clock.elapsed_s < HOUR_S:
        pace.before_call()
        stall_s = 2.0 if dice.random() < stalled else 0.0
        before_s = stall_s * dice.choice((0.0, 1.0, dice.random()))
        clock.sleep(WAY_S + before_s)
        try:
            limiter.take()
            passed = True
        except Refusal:
            passed = False
        clock.sleep(dice.uniform(0.02, 0.25) + stall_s - before_s)
        pace.after_call(accepted=passed)
        accepted, refused = accepted + passed, refused + (not passed)
    return Hour(accepted / (HOUR_S / 60), refused / (accepted + refused))


def run() -> dict[str, float]:
    """Return the worst of several hours, with jitter and with stalls."""
    calm = [simulate(seed, stalled=0.0) for seed in range(5)]
    stalls = [simulate(seed, stalled=0.03) for seed in range(5)]
    slowest = min(hour.accepted_per_minute for hour in calm)
    return {
        "calls_a_minute_with_jitter": slowest,
        "refused_share_with_jitter": max(hour.refused_share for hour in calm),
        "calls_a_minute_with_stalls": min(hour.accepted_per_minute for hour in stalls),
        "refused_share_with_stalls": max(hour.refused_share for hour in stalls),
        "share_of_ceiling": slowest / CEILING,
        "records_a_minute_at_default_limits": slowest * people.BATCH_ROWS,
    }
