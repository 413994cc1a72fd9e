"""Keep to the destination's rate by modelling the server's own bucket.

The server refills `floor((now - last accepted call) x limit / window)` tokens and restarts its watch at every accepted
call, so the fraction of each gap is lost: a gap of 599 ms earns nothing at 100 calls a minute, one of 600 ms earns one.
A textbook bucket, or an absolute schedule, drifts into refusals. So calls are spaced just over one whole step after
the previous one was sent, which loses two per cent, and a reserve of tokens stays untouched for the gaps that the
network shortens on the way.
"""

from __future__ import annotations

import math

from dentlib.clock import Clock

WINDOW_S = 60.0
FIRST_MARGIN_S = 0.012
_WIDEN_S = 0.012
_FORGET_SHARE = 0.0007
_RESERVED_SHARE = 0.4
_SLOWER = 1.15
_SLOWEST_STEP_S = 10.0
_CLOSE_CALLS = 60
ASSUMED_CALLS = 100
_LONGEST_BURST = 60  # a second window of 100 calls in 1 s is never reached


class Pace:
    """Wait before each counted call so that the server accepts it; learn from what it refuses.

    `calls_per_minute` None: nothing is held back until the server says its limit. Not thread-safe; one per connection
    to a workspace. All times are in seconds of `clock.monotonic()`.
    """

    def __init__(self, clock: Clock, calls_per_minute: int | None) -> None:
        self._clock = clock
        self._limit = 0
        self._step_s = 0.0
        self._tokens = self._reserve = 0
        self._last_sent_s = clock.monotonic()
        self._write_off_next = True
        self._since_refusal = _CLOSE_CALLS
        self.margin_s = FIRST_MARGIN_S
        self.known_by = "nothing; no call was refused so far"
        if calls_per_minute:
            self.learn(calls_per_minute, WINDOW_S)
            self.known_by = "the settings"

    @property
    def calls_per_minute(self) -> int | None:
        """Tell the limit as told or learnt; None where nothing limits."""
        return round(WINDOW_S / self._step_s) if self._limit else None

    @property
    def step_s(self) -> float:
        """Tell how long the server takes to refill one call; 0 where nothing limits."""
        return self._step_s

    def learn(self, tokens: int, window_s: float) -> None:
        """Take over the limit that the server names when it refuses; one it already keeps to changes nothing."""
        step_s = window_s / tokens
        if (tokens, step_s) != (self._limit, self._step_s):
            self.known_by = "a refusal that named it"
            self._limit, self._step_s = tokens, step_s
            self._tokens = tokens
            self._reserve = max(math.ceil(tokens * _RESERVED_SHARE), tokens - _LONGEST_BURST)

    def slower(self) -> None:
        """Take in a refusal that names no limit: assume Twenty's usual one, or less than so far when it comes again.

        One refusal in sixty calls is the network's; two say that the server allows less.
        """
        if not self._limit:
            self.learn(ASSUMED_CALLS, WINDOW_S)
            self.known_by = "a refusal that named no limit: the usual one is assumed"
        elif self._since_refusal < _CLOSE_CALLS:
            self._step_s = min(self._step_s * _SLOWER, _SLOWEST_STEP_S)
            self.known_by = "refusals that named no limit"
        self._since_refusal = 0

    def before_call(self) -> None:
        """Wait until the model says that the next call is accepted, and count it as sent."""
        if not self._limit:
            return
        missing = self._reserve + 1 - self._available(self._clock.monotonic())
        if missing > 0:
            # The watch restarts with every call: only a gap of whole steps since the last one earns anything.
            earned = self._reserve + 1 - self._tokens
            due_s = self._last_sent_s + earned * self._step_s + self.margin_s
            self._clock.sleep(max(0.0, due_s - self._clock.monotonic()))
        now_s = self._clock.monotonic()
        self._tokens = max(0, self._available(now_s) - 1)
        self._last_sent_s = now_s

    def after_call(self, *, accepted: bool) -> None:
        """Take in how the call went.

        A refusal empties the model, gives up the reserve (it wasn't there) and widens the margin; the caller tries
        again through `before_call`, which then waits a whole step; the margin shrinks back over the next hundreds of
        calls. An answer that took longer than a step may have been counted late, which splits one gain into two
        smaller ones, and half the time costs a token: every second such call writes one off.
        """
        if not self._limit:
            return
        now_s = self._clock.monotonic()
        if not accepted:
            self._tokens = 0
            self._reserve = 0
            self._last_sent_s = now_s
            self.margin_s = min(self.margin_s + _WIDEN_S, self._step_s / 4)
            return
        self._since_refusal += 1
        self.margin_s -= (self.margin_s - FIRST_MARGIN_S) * _FORGET_SHARE
        if now_s - self._last_sent_s > self._step_s:
            self._tokens = max(0, self._tokens - 1) if self._write_off_next else self._tokens
            self._write_off_next = not self._write_off_next

    def _available(self, now_s: float) -> int:
        gap_s = now_s - self._last_sent_s - self.margin_s
        return min(self._limit, self._tokens + max(0, math.floor(gap_s / self._step_s + 1e-9)))
