"""Walk the whole line once under an injected clock, against a sandbox under the same one: a program of its own.

    python rehearse.py HOME EXPORT LATER PORT VERSION

Everything that may differ between two walks is held still from outside: the clock, the sandbox's own clock and random
ids, the port. Whatever then differs in what the walk leaves behind is the product's own doing.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dentlib import desk, stages
from dentlib.clock import ManualClock
from dentlib.engagement import Engagement
from dentlib.sandbox.twenty import ids, prefill
from dentlib.sandbox.twenty.server import TwentySandbox

SETTINGS = {
    "client": "Bright Smile",
    "time_zone": "America/Los_Angeles",
    "currency": "USD",
    "phone_country": "US",
    "languages": ["en"],
    "fallback_owner": "admin@brightsmile.example",
    "destination.sandbox_limits": "off",
    "sample_rows": 20,
}


class Ticking(ManualClock):
    """A clock that stands still for everybody, but lets the sandbox's worker run while somebody waits."""

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        time.sleep(0.002)


class _Dice:
    """Stands in for `os` in the sandbox's ids, and for `secrets` in its prefill: the same ids in the same order."""

    def __init__(self) -> None:
        self._random = random.Random(7)

    def urandom(self, size: int) -> bytes:
        return self._random.randbytes(size)

    def token_hex(self, size: int) -> str:
        return self._random.randbytes(size).hex()


def main() -> None:
    home, export, later, port, version = sys.argv[1:]
    os.environ["DENTLIB_HOME"] = home
    clock, dice = Ticking(), _Dice()
    ids.os = dice  # type: ignore[attr-defined]
    prefill.secrets = dice  # type: ignore[attr-defined]

    @contextmanager
    def embedded(engagement: Engagement) -> Iterator[tuple[str, str]]:
        state = engagement.root / "sandbox-twenty.sqlite"
        sandbox = TwentySandbox(state, limits="off", version=version, clock=clock, port=int(port), effects_delay_s=0.0)
        with sandbox:
            yield sandbox.url, sandbox.api_key

    desk._embedded_sandbox = embedded  # type: ignore[assignment]
    stages.new("same", source="dent-o-soft", destination="twenty", export=Path(export), settings=SETTINGS, clock=clock)
    stages.audit("same", clock=clock)
    stages.review("same", clock=clock)
    stages.approve("same", "map", by="A. Analyst", clock=clock)
    stages.sample("same", clock=clock)
    stages.approve("same", "sample", by="A. Analyst", clock=clock)
    stages.run("same", clock=clock)
    stages.delta("same", export=later, clock=clock)
    stages.reconcile("same", clock=clock)


if __name__ == "__main__":
    main()
