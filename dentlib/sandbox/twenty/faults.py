"""Faults on demand: what goes wrong with the next calls, played on the socket.

A plan is a list of faults; each is used `times` (1 unless told) for calls whose `METHOD path` or GraphQL root matches.
Kinds: `reset` (connection cut before the work), `lost` (work done, connection cut), `half` (half the answer, then
cut), `twice` (the answer delivered twice), `limit` (refused for its rate), `status` (an empty answer, 502 unless told),
`stall` (`seconds` before the work).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from dentlib.sandbox.twenty.refusals import Json, Refusal, limit_reached

KINDS = ("reset", "lost", "half", "twice", "limit", "status", "stall")


@dataclass(slots=True)
class Fault:
    """One planned fault; `skip` calls that match are let through first."""

    kind: str
    match: re.Pattern[str]
    times: int
    skip: int
    status: int
    seconds: float


def read_plan(plan: object) -> list[Fault]:
    """Read a plan from JSON. Raises Refusal for an unknown kind."""
    faults = []
    for item in plan if isinstance(plan, list) else []:
        if item.get("kind") not in KINDS:
            raise Refusal(f"unknown fault {item.get('kind')!r}; known: {', '.join(KINDS)}")
        faults.append(
            Fault(
                item["kind"],
                re.compile(item.get("match", "")),
                int(item.get("times", 1)),
                int(item.get("skip", 0)),
                int(item.get("status", 502)),
                float(item.get("seconds", 0)),
            )
        )
    return faults


class Faults:
    """The plan in force; in memory only."""

    def __init__(self) -> None:
        self.plan: list[Fault] = []

    def next_for(self, words: str) -> Fault | None:
        """Use up and return the first fault that matches the call."""
        for fault in self.plan:
            if fault.times > 0 and fault.match.search(words):
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                return fault
        return None

    def describe(self) -> list[Json]:
        """What is left of the plan."""
        return [{"kind": fault.kind, "times": fault.times, "match": fault.match.pattern} for fault in self.plan]


async def play(
    fault: Fault, request: web.Request, work: Callable[[], Awaitable[web.Response]], is_graphql: bool
) -> web.StreamResponse:
    """Answer one call with its fault."""
    if fault.kind == "reset":
        return _cut(request)
    if fault.kind == "status":
        return web.Response(status=fault.status)
    if fault.kind == "limit":
        refusal = limit_reached(100, 60_000)
        if is_graphql:
            return web.json_response({"data": None, "errors": [refusal.graphql()]})
        return web.json_response(refusal.rest(), status=429)
    if fault.kind == "stall":
        await asyncio.sleep(fault.seconds)
        return await work()
    response = await work()
    if fault.kind == "lost":
        return _cut(request)
    raw = _raw(response)
    if fault.kind == "half":
        _write(request, raw[: len(raw) - max(1, len(_body(response)) // 2)])
        if request.transport is not None:
            request.transport.close()
        return web.Response()
    await response.prepare(request)
    await response.write_eof()
    _write(request, raw)
    return response


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _write(request: web.Request, raw: bytes) -> None:
    if request.transport is not None:
        request.transport.write(raw)


def _body(response: web.Response) -> bytes:
    return bytes(response.body) if isinstance(response.body, (bytes, bytearray)) else b""


def _raw(response: web.Response) -> bytes:
    body = _body(response)
    head = f"HTTP/1.1 {response.status} {response.reason}\r\nContent-Type: {response.content_type}; charset=utf-8\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
