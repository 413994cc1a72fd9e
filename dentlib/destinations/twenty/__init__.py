"""Twenty as a destination."""

from __future__ import annotations

import httpx
from pydantic import SecretStr

from dentlib.clock import Clock
from dentlib.destinations.twenty.client import Client
from dentlib.destinations.twenty.destination import TwentyDestination

__all__ = ["TwentyDestination", "open_twenty"]


def open_twenty(
    url: str,
    api_key: SecretStr | str,
    *,
    clock: Clock,
    calls_per_minute: int | None,
    timeout_s: float = 60.0,
    transport: httpx.BaseTransport | None = None,
) -> TwentyDestination:
    """Return the workspace behind a url and an API key. Opens no connection yet.

    `calls_per_minute`: what the workspace's plan allows (100 by default at Twenty); None holds nothing back
    until the server refuses a call and names its limit.
    `transport` is the seam for tests. Raises UsageError for a url or key that can't be right.
    """
    client = Client(
        url, api_key, clock=clock, calls_per_minute=calls_per_minute, timeout_s=timeout_s, transport=transport
    )
    return TwentyDestination(client)
