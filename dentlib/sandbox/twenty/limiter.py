"""The rate limiter, ported exactly, with its looseness.

`refill = floor((now - last accepted) * limit / window)` and `last` is set anew by each accepted call, so fractions of
a token are thrown away: with 100 tokens a minute a gap of 599 ms refills nothing and one of 600 to 1,199 ms refills
one. A refused call moves nothing. State is in memory only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from dentlib.sandbox.twenty.refusals import limit_reached


@dataclass(slots=True)
class Bucket:
    """One window: `limit` tokens per `window_ms`."""

    limit: int
    window_ms: int
    tokens: int | None = None
    last_ms: int = 0

    def available(self, now_ms: int) -> int:
        """Tell the tokens at hand; changes nothing."""
        if self.tokens is None:
            return self.limit
        refill = (now_ms - self.last_ms) * self.limit // self.window_ms
        return min(self.limit, self.tokens + refill)

    def take(self, now_ms: int) -> None:
        """Take one token. Raises Refusal (LIMIT_REACHED) and changes nothing when there is none."""
        at_hand = self.available(now_ms)
        if at_hand < 1:
            raise limit_reached(self.limit, self.window_ms)
        self.tokens, self.last_ms = at_hand - 1, now_ms


@dataclass(slots=True)
class Limiter:
    """The short and the long window of one workspace.

    A document's root fields run side by side in the real server and each reads the counter before any writes it: all
    of them together cost one token. `now_ms` is the injected clock.
    """

    now_ms: Callable[[], int]
    mode: Literal["default", "off"] = "default"
    short: Bucket = field(default_factory=lambda: Bucket(100, 1000))
    long: Bucket = field(default_factory=lambda: Bucket(100, 60_000))

    def take(self) -> None:
        """Count one record call, or one document. Raises Refusal (LIMIT_REACHED)."""
        if self.mode == "off":
            return
        now_ms = self.now_ms()
        self.short.take(now_ms)
        self.long.take(now_ms)

    def drain(self) -> None:
        """Empty both windows, as after a burst: for rehearsing what follows."""
        now_ms = self.now_ms()
        for bucket in (self.short, self.long):
            bucket.tokens, bucket.last_ms = 0, now_ms
