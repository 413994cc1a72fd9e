"""Try again what may be tried again: bounded, with growing pauses, through the clock that is passed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from dentlib.clock import Clock
from dentlib.errors import InDoubt, Transient

T = TypeVar("T")

Hook = Callable[[str], None]
"""Called with the name of each effect right before or after it, so that a test can stop the process there."""


def no_hook(name: str) -> None:
    """Do nothing."""


@dataclass
class Patience:
    """How often and how long to try. The pause doubles from `first_pause_s` up to `longest_pause_s` seconds."""

    clock: Clock
    attempts: int = 8
    first_pause_s: float = 0.5
    longest_pause_s: float = 30.0
    retries: int = field(default=0, init=False)

    def pause(self, attempt: int) -> None:
        """Wait after the failed attempt number `attempt` (1, 2, …) and count it."""
        self.retries += 1
        self.clock.sleep(min(self.longest_pause_s, self.first_pause_s * 2 ** (attempt - 1)))

    def transient(self, action: Callable[[], T]) -> T:
        """Return what `action` returns; try again where nothing was written. Raises the last error when all fail."""
        return self._repeat(action, (Transient,))

    def idempotent(self, action: Callable[[], T]) -> T:
        """As `transient`, for actions that may be done twice: an answer in doubt is a reason to do it again."""
        return self._repeat(action, (Transient, InDoubt))

    def _repeat(self, action: Callable[[], T], worth: tuple[type[Exception], ...]) -> T:
        attempt = 0
        while True:
            attempt += 1
            try:
                return action()
            except worth:
                if attempt >= self.attempts:
                    raise
                self.pause(attempt)
