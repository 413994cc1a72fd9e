"""Count everything that has an effect outside, and kill the process before or after one of them.

Points lie before each HTTP request and after each that may write, before each commit of the ledger, between the commit
and the note of its head, and around each copy of it. (After a commit nothing happens until the next of these, so that
is no point of its own; nor is the time after a read.) No exception stands in for the kill.
"""

from __future__ import annotations

import json
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from httpx._transports import default

from dentlib.loading.chain import SideFile
from dentlib.loading.ledger import Ledger


class Killer:
    """Counts effects and kills the process at one of them (0: never). `log`: where the name of the place goes."""

    def __init__(self, point: int = 0, log: Path | None = None) -> None:
        self.point = point
        self.count = 0
        self.log = log
        self.names: list[str] = []

    def __call__(self, name: str) -> None:
        self.count += 1
        if not self.point:
            self.names.append(name)
        if self.count == self.point:
            if self.log:
                self.log.write_text(name)
            os.kill(os.getpid(), signal.SIGKILL)


class _Instruments:
    """Where the patched methods find what to do in this process."""

    killer: Callable[[str], None] = Killer()
    network: Callable[[httpx.Request, Callable[[httpx.Request], httpx.Response]], httpx.Response] | None = None


def use(killer: Callable[[str], None], network: Any = None) -> None:
    """Count with this killer from now on; `network` stands between client and server and may do anything."""
    _Instruments.killer, _Instruments.network = killer, network


def _what(request: httpx.Request) -> str:
    return f"{request.method} {request.url.path}"


def _may_write(request: httpx.Request) -> bool:
    """Tell a write from a read; a body that is streamed, such as a file's, is a write."""
    if request.method == "GET":
        return False
    return not isinstance(request.stream, httpx.ByteStream) or b'"query":"query' not in request.content[:40]


def instrument() -> None:
    """Patch transport and ledger, once, before any fork."""
    send, transaction = httpx.HTTPTransport.handle_request, Ledger.transaction
    write, copy_aside = SideFile.write, Ledger.copy_aside

    def handle_request(self: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        _Instruments.killer(f"before {_what(request)}")
        network = _Instruments.network
        answer = send(self, request) if network is None else network(request, lambda r: send(self, r))
        if _may_write(request):
            _Instruments.killer(f"after {_what(request)}")
        return answer

    @contextmanager
    def noted_transaction(self: Ledger) -> Iterator[None]:
        outer = self._pending is None
        with transaction(self):
            yield
            if outer:
                _Instruments.killer("before commit")

    def noted_write(self: SideFile, head: Any) -> None:
        _Instruments.killer("before head is noted")
        write(self, head)

    def noted_copy(self: Ledger, label: str) -> Path:
        _Instruments.killer("before copy aside")
        made = copy_aside(self, label)
        _Instruments.killer("after copy aside")
        return made

    context = httpx.create_ssl_context()  # made for each connection otherwise, and none of these uses it
    default.create_ssl_context = lambda *_, **__: context  # type: ignore[attr-defined]
    httpx.HTTPTransport.handle_request = handle_request  # type: ignore[method-assign]
    Ledger.transaction = noted_transaction  # type: ignore[method-assign]
    SideFile.write = noted_write  # type: ignore[method-assign]
    Ledger.copy_aside = noted_copy  # type: ignore[method-assign]


def begin_child(action: Callable[[], Any]) -> tuple[int, Any]:
    """Fork; return the child's process id and the pipe on which it will tell what `action` returned."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        status = 1
        try:
            answer = json.dumps(action())
            status = 0
        except BaseException as error:
            answer = json.dumps({"error": type(error).__name__, "trace": traceback.format_exc()[-2500:]})
        with os.fdopen(writer, "w") as pipe:
            pipe.write(answer)
        os._exit(status)
    os.close(writer)
    return child, reader


def end_child(child: int, reader: int) -> tuple[int, Any]:
    """Wait for a child; return (minus its signal, or its exit status) and what it told."""
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    return code, json.loads(text) if text else None


def in_child(action: Callable[[], Any]) -> tuple[int, Any]:
    """Do something in a forked child and wait for it."""
    return end_child(*begin_child(action))
