"""Start and stop the Twenty sandbox: in this process, or as a program of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from datetime import datetime
from pathlib import Path
from typing import Literal

import orjson
from aiohttp import web

from dentlib.clock import Clock, SystemClock
from dentlib.errors import UsageError
from dentlib.sandbox.twenty import auth, effects, tokens
from dentlib.sandbox.twenty.app import Site
from dentlib.sandbox.twenty.prefill import read_members
from dentlib.sandbox.twenty.refusals import Json
from dentlib.sandbox.twenty.state import State
from dentlib.sandbox.twenty.versions import NEWEST, RELEASES
from dentlib.sandbox.twenty.workspace import SteerableClock

KEY_VARIABLE = "DENTLIB_SANDBOX_API_KEY"
VERSIONS = tuple(RELEASES)
HOST = "127.0.0.1"
_MAX_BODY = 1024 * 1024 * 1024
_MAX_LINE = 1024 * 1024
_KEEP_ALIVE_S = 65.0


def _site(
    state: State,
    clock: Clock | None,
    members: Path | None,
    limits: Literal["default", "off"],
    workspaces: Literal["one", "per-token"],
    owner_keys: tuple[str, ...] = (),
    max_upload_mb: float | None = None,
) -> Site:
    return Site(
        state,
        SteerableClock(clock or SystemClock()),
        read_members(members),
        limits=limits,
        workspaces=workspaces,
        owner_keys=owner_keys,
        max_upload_bytes=None if max_upload_mb is None else int(max_upload_mb * 1_000_000),
    )


async def _listen(site: Site, port: int) -> tuple[web.AppRunner, str]:
    app = web.Application(client_max_size=_MAX_BODY)
    app.router.add_route("*", "/{path:.*}", site.handle)
    runner = web.AppRunner(
        app, access_log=None, keepalive_timeout=_KEEP_ALIVE_S, max_line_size=_MAX_LINE, max_field_size=_MAX_LINE
    )
    await runner.setup()
    listener = web.TCPSite(runner, HOST, port)
    try:
        await listener.start()
    except OSError as error:
        await runner.cleanup()
        raise UsageError(
            f"port {port} can't be opened: {error.strerror}", "choose another --port, or 0 for a free one"
        ) from error
    address = runner.addresses[0]
    site.base_url = f"http://{HOST}:{address[1]}"
    for space in site.spaces.values():
        effects.flush(space)
    return runner, site.base_url


class TwentySandbox:
    """A Twenty on this machine, run by a background thread with its own event loop.

    `url` is set by `start`; `api_key` is an admin key of the (first) workspace, made with it. With `state` the
    workspace survives a restart; without, it is gone with the handle. With `workspaces="per-token"` any opaque bearer
    token gets a fresh workspace of its own. Usable as a context manager.
    """

    url: str
    api_key: str

    def __init__(
        self,
        state: Path | None = None,
        *,
        limits: Literal["default", "off"] = "default",
        version: str = NEWEST,
        clock: Clock | None = None,
        members: Path | None = None,
        port: int = 0,
        workspaces: Literal["one", "per-token"] = "one",
        max_upload_mb: float | None = None,
        effects_delay_s: float = 0.02,
    ) -> None:
        self._state = State(state, version)
        self._site = _site(self._state, clock, members, limits, workspaces, max_upload_mb=max_upload_mb)
        self._site.effects_delay_s = effects_delay_s
        self._port = port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._runner: web.AppRunner | None = None
        self._thread: threading.Thread | None = None
        self.url = ""
        self.workspace_id = self._site.main.id
        self.api_key = (
            auth.make_key(self._site.main, role="admin", name="loader") if not self._keys() else self._again()
        )

    def _keys(self) -> bool:
        return self._state.one("SELECT 1 FROM api_key WHERE ws=?", (self._site.main.ws,)) is not None

    def _again(self) -> str:
        """Sign the first key of an existing state anew; no token is ever stored."""
        space = self._site.main
        row = self._state.one(
            "SELECT doc FROM api_key WHERE ws=? AND role='admin' AND json_extract(doc,'$.revokedAt') IS NULL LIMIT 1",
            (space.ws,),
        )
        if row is None:
            return auth.make_key(space, role="admin", name="loader")
        doc: Json = orjson.loads(row[0])
        expires = datetime.fromisoformat(doc["expiresAt"]).timestamp()
        claims = {"sub": space.id, "type": "API_KEY", "workspaceId": space.id, "exp": int(expires), "jti": doc["id"]}
        return tokens.sign(claims, space.secret)

    def start(self) -> None:
        """Listen on loopback; returns when the server answers. Raises UsageError when the port is taken."""
        ready: list[BaseException | str] = []
        done = threading.Event()

        def run() -> None:
            self._loop = asyncio.new_event_loop()
            try:
                self._runner, url = self._loop.run_until_complete(_listen(self._site, self._port))
                ready.append(url)
            except BaseException as error:
                ready.append(error)
                done.set()
                return
            done.set()
            self._loop.run_forever()
            self._loop.run_until_complete(self._runner.cleanup())
            self._loop.close()

        self._thread = threading.Thread(target=run, name="twenty-sandbox", daemon=True)
        self._thread.start()
        done.wait()
        if isinstance(ready[0], BaseException):
            raise ready[0]
        self.url = ready[0]

    def stop(self) -> None:
        """Stop listening, finish waiting side effects, close the state. Idempotent."""
        if self._thread is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._thread = None
            for space in self._site.spaces.values():
                effects.flush(space)
            self._state.close()

    def make_key(
        self,
        *,
        role: Literal["admin", "limited"] = "admin",
        name: str = "loader",
        expires_at: datetime | None = None,
        revoked: bool = False,
    ) -> str:
        """Make another API key of the first workspace and return its token."""
        loop = self._loop
        if self._thread is None or loop is None:
            return auth.make_key(self._site.main, role=role, name=name, expires_at=expires_at, revoked=revoked)

        async def make() -> str:
            return auth.make_key(self._site.main, role=role, name=name, expires_at=expires_at, revoked=revoked)

        return asyncio.run_coroutine_threadsafe(make(), loop).result()

    def __enter__(self) -> TwentySandbox:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()


def serve(
    *,
    port: int = 3001,
    state: Path | None = None,
    limits: Literal["default", "off"] = "default",
    members: Path | None = None,
    version: str = NEWEST,
    workspaces: Literal["one", "per-token"] = "one",
    max_upload_mb: float | None = None,
    die_with_parent: bool = False,
    key_file: Path | None = None,
) -> None:
    """Serve in the foreground until SIGINT or SIGTERM (or, with `die_with_parent`, the end of standard input).

    Prints one line of JSON when ready: `{"url", "workspace"}`. An API key given in the environment variable
    DENTLIB_SANDBOX_API_KEY is accepted as an admin key; without one a key is made and written to `key_file` (mode
    0600; beside the state file unless told) and the line tells its path as `key_file`. Raises UsageError.
    """
    logging.getLogger("aiohttp").setLevel(logging.ERROR)
    given_key = os.environ.pop(KEY_VARIABLE, "")
    if state is not None:
        state.parent.mkdir(parents=True, exist_ok=True)
    opened = State(state, version)
    site = _site(
        opened,
        None,
        members,
        limits,
        workspaces,
        owner_keys=(given_key,) if given_key else (),
        max_upload_mb=max_upload_mb,
    )
    line: Json = {"workspace": site.main.id}
    path: Path | None = None
    if not given_key:
        path = key_file or (state.with_suffix(".key") if state else Path(f"twenty-sandbox-{os.getpid()}.key"))
        _write_key(path, auth.make_key(site.main, role="admin", name="loader"))
        line["key_file"] = str(path)
    try:
        asyncio.run(_serve(site, port, line, die_with_parent))
    finally:
        opened.close()
        if path is not None and state is None:
            path.unlink(missing_ok=True)  # a key to a workspace that is gone


def _write_key(path: Path, key: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(key + "\n")


async def _serve(site: Site, port: int, line: Json, die_with_parent: bool) -> None:
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, over.set)
    runner, url = await _listen(site, port)
    sys.stdout.write(orjson.dumps({"url": url, **line}).decode() + "\n")
    sys.stdout.flush()
    if die_with_parent:
        threading.Thread(target=_watch_parent, args=(loop, over), daemon=True).start()
    await over.wait()
    await runner.cleanup()
    for space in site.spaces.values():
        effects.flush(space)


def _watch_parent(loop: asyncio.AbstractEventLoop, over: asyncio.Event) -> None:
    """Wait for the end of standard input, which comes when the parent is gone."""
    while os.read(0, 4096):
        pass
    with contextlib.suppress(RuntimeError):  # the loop is closed already: the server is going down anyway
        loop.call_soon_threadsafe(over.set)
