"""Spoil the n-th answer, in every way that a network has, let the load end, compare: a program of its own.

    python answers.py --kind lost|reset|half|twice|limit|429|500|502|stall [--crash] [--every 7] [--start 0] …

With `--crash` the process is killed shortly after, too, and started again. Faults are played on the socket by the
sandbox; a stall of 40 s is played between client and socket, so that nobody has to wait: the client gives up, and the
request arrives later, in the middle of what the client does next. Prints JSON as `points.py` does.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import crm
import httpx
from killing import Killer, in_child, use
from planted import plant
from trials import Trials, main_with

STATUS = {"429": 429, "500": 500, "502": 502}
KINDS = ("lost", "reset", "half", "twice", "limit", *STATUS, "stall")
STALL_S = 40.0
_SOON = 8


class KillSoon(Killer):
    """Kills some effects after the n-th request has begun."""

    def __init__(self, request: int, effects_later: int) -> None:
        super().__init__()
        self.requests_left, self.left = request, effects_later

    def __call__(self, name: str) -> None:
        if name.startswith("before ") and "/" in name:
            self.requests_left -= 1
        if self.requests_left <= 0:
            self.left -= 1
        if not self.left:
            self.point = self.count + 1
        super().__call__(name)


class Stall:
    """A network that holds back the n-th request for 40 s: the client sees nothing, the server gets it later."""

    def __init__(self, request: int, arrives_after: int) -> None:
        self.left, self.arrives_after = request, arrives_after
        self.held: httpx.Request | None = None

    def __call__(self, request: httpx.Request, send: Callable[[httpx.Request], httpx.Response]) -> httpx.Response:
        self.left -= 1
        if self.left == 0:
            request.read()
            self.held = request
            raise httpx.ReadTimeout(f"no answer within {STALL_S:g} s", request=request)
        if self.held is not None:
            self.arrives_after -= 1
            if self.arrives_after <= 0:
                late, self.held = self.held, None
                send(late).read()
        return send(request)


def trial(trials: Trials, kind: str, request: int, crash: bool) -> dict[str, Any] | None:
    """Spoil the answer to one request; return what is wrong in the end, or None."""
    dice = random.Random(f"{kind} {request}")
    network = Stall(request, dice.randint(1, 3)) if kind == "stall" else None
    plan = [] if network else [_fault(kind, request)]
    killer = KillSoon(request, dice.randint(2, _SOON)) if crash else Killer()
    name = f"{kind}-{request}"

    def first(folder: Path, url: str) -> Any:
        use(killer, network)
        return trials.run(folder, url)

    def again(folder: Path, url: str) -> Any:
        use(Killer())
        return trials.run(folder, url)

    with trials.place(name) as (state, folder):
        killer.log = folder / "killed-at"
        with crm.served(state, version=trials.ground.version, faults=plan) as server:
            code, told = in_child(lambda: first(folder, server.url))
            if code == -signal.SIGKILL:
                code, told = in_child(lambda: again(folder, server.url))
        at = killer.log.read_text() if killer.log.exists() else ""
        return trials.judged(name, at, state, code, told)


def _fault(kind: str, request: int) -> dict[str, Any]:
    skipped = {"skip": request - 1, "times": 1, "match": ""}
    if kind in STATUS:
        return {"kind": "status", "status": STATUS[kind], **skipped}
    return {"kind": kind, **skipped}


def go(trials: Trials, options: argparse.Namespace) -> tuple[int, list[Any]]:
    """Spoil every n-th answer."""
    plant(options.control)
    requests = sum(1 for name in trials.effects if name.startswith("before ") and "/" in name)
    kinds = KINDS if options.kind == "all" else options.kind.split(",")
    found = []
    for number, kind in enumerate(kinds):
        for request in range(1 + (options.start + number) % options.every, requests + 1, options.every):
            found.append(trial(trials, kind, request, options.crash))
    return len(found), [bad for bad in found if bad]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--kind", default="all")
    parser.add_argument("--crash", action="store_true")
    parser.add_argument("--control", default="")
    main_with(parser, go)
