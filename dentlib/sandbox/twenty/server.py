"""Start and stop the Twenty sandbox: in this process, or as a program of its own."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal

from dentlib.clock import Clock


class TwentySandbox:
    """In-process handle; the server runs in a background thread with its own event loop."""

    url: str
    api_key: str

    def __init__(
        self,
        state: Path | None = None,
        *,
        limits: Literal["default", "off"] = "default",
        version: str = "2.21",
        clock: Clock | None = None,
        members: Path | None = None,
        port: int = 0,
        workspaces: Literal["one", "per-token"] = "one",
    ) -> None:
        raise NotImplementedError("under construction")

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def make_key(
        self,
        *,
        role: Literal["admin", "limited"] = "admin",
        name: str = "loader",
        expires_at: datetime | None = None,
        revoked: bool = False,
    ) -> str:
        raise NotImplementedError("under construction")
