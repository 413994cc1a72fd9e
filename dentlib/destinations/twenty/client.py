"""Speak to one Twenty workspace: requests, pacing, retries of what was certainly not written, and the errors."""

from __future__ import annotations

import base64
import itertools
import logging
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson
from pydantic import SecretStr

from dentlib.clock import Clock
from dentlib.destinations.twenty import answers
from dentlib.destinations.twenty.pace import Pace
from dentlib.errors import InDoubt, RateLimited, Terminal, Transient, Unreachable, UsageError

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_FIRST_TRIES = 3  # before anything answered, the url is more likely wrong than the server restarting
_TRIES = 8
_REFUSED_TRIES = 40
_LONGEST_BACK_OFF_S = 30.0
_LIMIT = re.compile(r"\((?P<tokens>\d+) tokens per (?P<window_ms>\d+) ms\)")
_SHORTEST_WINDOW_MS = 10_000
_TAG = re.compile(r"[A-Za-z0-9_]{1,100}")


SendMultipart = Callable[[httpx.Client, bytes, str], httpx.Response]
"""Sends a multipart call: (connection, its `operations` part, url) → answer."""

_JSON_BODY = {"Content-Type": "application/json"}


@dataclass(slots=True)
class Stats:
    """What this connection has done so far. `calls` are requests that count against the rate."""

    calls: int = 0
    refused_for_rate: int = 0
    retries: int = 0


@dataclass(frozen=True, slots=True)
class Operation:
    """One GraphQL operation with one root field. `variables`: name → (GraphQL type, value)."""

    root: str
    arguments: str = ""
    selection: str = ""
    variables: Mapping[str, tuple[str, Any]] = field(default_factory=dict)
    writes: bool = False

    def document(self, alias: str) -> str:
        """Return the document, its root field under the alias."""
        declared = ",".join(f"${name}:{kind}" for name, (kind, _) in self.variables.items())
        kind = "mutation" if self.writes else "query"
        return f"{kind}{f'({declared})' if declared else ''}{{{alias}:{self.root}{self.arguments}{self.selection}}}"


class _NoTokens(logging.Filter):
    """Keep signed urls out of httpx's own log: the token in them opens a patient's file."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(_bare(a) if isinstance(a, httpx.URL) else a for a in record.args)
        return True


def _bare(url: httpx.URL) -> httpx.URL:
    return url.copy_with(query=None)


logging.getLogger("httpx").addFilter(_NoTokens())


class Client:
    """A connection to one workspace. Retries only what was certainly not written; everything else goes up.

    `call` raises RateLimited and Unreachable after its last try, Transient for a read that keeps failing, InDoubt for
    a write without a trustworthy answer, and Terminal errors at once. The key is in no repr, log or message.
    """

    def __init__(
        self,
        url: str,
        api_key: SecretStr | str,
        *,
        clock: Clock,
        calls_per_minute: int | None,
        timeout_s: float,
        transport: httpx.BaseTransport | None,
    ) -> None:
        self.url = _checked(url)
        self.stats = Stats()
        self.clock = clock
        self.pace = Pace(clock, calls_per_minute)
        self._key = _checked_key(api_key)
        self._timeout_s = timeout_s
        self._transport = transport
        self._numbers = itertools.count(1)
        self._session = uuid.uuid4().hex[:8]
        self._answered = False
        self._http = self._connect()
        self._bare: httpx.Client | None = None  # for signed urls: it never carries the key

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    @property
    def key_id(self) -> str | None:
        """Return the id of the API key, which it carries itself; None where it is in no form that we know."""
        try:
            middle = self._key.get_secret_value().split(".")[1]
            claims = orjson.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
        except (IndexError, ValueError):
            return None
        found = claims.get("jti") if isinstance(claims, dict) else None
        return str(found) if found else None

    def close(self) -> None:
        """Close the connection. Idempotent."""
        self._http.close()
        if self._bare is not None:
            self._bare.close()

    def records(self, operation: Operation, what: str, tag: str | None = None) -> Any:
        """Call `/graphql`, which counts against the rate, and return the value of the root field."""
        return self._call("/graphql", operation, what, answers.RECORDS + self._tag(tag))

    def metadata(self, operation: Operation, what: str) -> Any:
        """Call `/metadata`, which doesn't count against the rate, and return the value of the root field."""
        return self._call("/metadata", operation, what, "m_" + self._tag(None))

    def rest(self, path: str, what: str) -> Any:
        """Read a path of the REST side that doesn't count against the rate, on a connection of its own; never retried.

        Answers there carry nothing that says which request they belong to.
        """
        expected = answers.Expected("", False, what)
        with self._connect() as http:
            response = self._guarded(lambda: http.get(self.url + path), expected)
        return answers.plain_value(response, expected)

    def upload(self, operation: Operation, what: str, send: SendMultipart) -> Any:
        """Call `/metadata` with a multipart body that `send` makes from the operations part; never retried."""
        alias = "m_" + self._tag(None)
        expected = answers.Expected(alias, operation.writes, what)
        response = self._guarded(lambda: send(self._http, _body(operation, alias), self.url + "/metadata"), expected)
        try:
            return answers.value_of(response, expected)
        except answers.Uncorrelated as uncorrelated:
            raise uncorrelated.error from None

    def bytes_of(self, request: httpx.Request, what: str, *, writes: bool) -> httpx.Response:
        """Send a request to a signed url, without the key; the answer's status is the caller's to judge."""
        expected = answers.Expected("", writes, what)
        with self._client(headers={}) as bare:
            return self._guarded(lambda: bare.send(request), expected)

    def fetched(self, url: str, what: str, take: Callable[[bytes], object]) -> int:
        """Fetch a signed url, without the key, hand its bytes over piece by piece, and return the answer's status."""
        if self._bare is None:
            self._bare = self._client(headers={})
        bare = self._bare

        def send() -> httpx.Response:
            with bare.stream("GET", url) as response:
                if response.status_code == 200:
                    for piece in response.iter_bytes():
                        take(piece)
                return response

        return self._guarded(send, answers.Expected("", False, what)).status_code

    def _tag(self, tag: str | None) -> str:
        if tag is None:
            return f"{self._session}_{next(self._numbers)}"
        if not _TAG.fullmatch(tag):
            raise UsageError("a tag has a character that is neither letter, digit nor underscore, or is too long")
        return tag

    def _call(self, path: str, operation: Operation, what: str, alias: str) -> Any:
        body = _body(operation, alias)
        expected = answers.Expected(alias, operation.writes, what)
        counted = path == "/graphql"
        refused = failed = 0
        fresh = False
        while True:
            try:
                return self._once(path, body, expected, counted=counted)
            except RateLimited:
                refused += 1
                self.stats.refused_for_rate += 1
                if refused >= _REFUSED_TRIES:
                    raise
                self.clock.sleep(0.0 if self.pace.step_s else min(0.6 * refused, _LONGEST_BACK_OFF_S))
            except Transient as error:
                failed += 1
                if failed >= (_TRIES if self._answered or not isinstance(error, Unreachable) else _FIRST_TRIES):
                    raise
                self._reconnect()
                self.clock.sleep(min(0.5 * 2 ** (failed - 1), _LONGEST_BACK_OFF_S))
            except answers.Uncorrelated as uncorrelated:
                if fresh or not operation.writes:
                    raise uncorrelated.error from None
                # It may belong to an earlier request on this connection. On a new one the first answer is ours, and
                # sending a write again is harmless: it goes out under the same ids.
                fresh = True
                self._reconnect()
            self.stats.retries += 1

    def _once(self, path: str, body: bytes, expected: answers.Expected, *, counted: bool) -> Any:
        if counted:
            self.pace.before_call()
            self.stats.calls += 1
        accepted = True
        try:
            response = self._guarded(
                lambda: self._http.post(self.url + path, content=body, headers=_JSON_BODY), expected
            )
            self._answered = True
            return answers.value_of(response, expected)
        except RateLimited as error:
            accepted = False
            self._learn(error.message)
            raise
        except answers.Uncorrelated as uncorrelated:
            accepted = not isinstance(uncorrelated.error, RateLimited)
            if not accepted:
                self._learn(uncorrelated.error.message)
            if isinstance(uncorrelated.error, (Transient, InDoubt)):
                raise uncorrelated.error from None
            raise
        finally:
            if counted:
                self.pace.after_call(accepted=accepted)

    def _learn(self, message: str) -> None:
        """Take over the limit that a refusal names; one that names none, as a proxy's, says just: slower."""
        limit = _LIMIT.search(message)
        if limit is None:
            self.pace.slower()
        # The limit per second only ever meets a burst; the pace keeps below it anyway.
        elif int(limit["window_ms"]) >= _SHORTEST_WINDOW_MS and int(limit["tokens"]):
            self.pace.learn(int(limit["tokens"]), int(limit["window_ms"]) / 1000)

    def _guarded(self, send: Callable[[], httpx.Response], expected: answers.Expected) -> httpx.Response:
        # `from None` throughout: httpx's exceptions carry the request, and with it the key.
        try:
            return send()
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            raise Unreachable(
                f"{expected.what}: no connection to {httpx.URL(self.url).host}",
                f"is the workspace at {self.url} up, and is the url right?",
            ) from None
        except httpx.TimeoutException:
            raise answers.lost(expected, f"no answer within {self._timeout_s:g} s") from None
        except httpx.TransportError as error:
            raise answers.lost(expected, f"the connection broke ({type(error).__name__})") from None
        except httpx.HTTPError as error:
            raise Terminal(f"{expected.what}: {type(error).__name__}", "check the url of the workspace") from None

    def _client(self, headers: dict[str, str]) -> httpx.Client:
        return httpx.Client(
            headers=headers,
            timeout=httpx.Timeout(self._timeout_s, connect=min(10.0, self._timeout_s)),
            transport=self._transport,
            # A proxy from the environment has no business between us and a server on this machine.
            trust_env=httpx.URL(self.url).host not in _LOOPBACK,
            follow_redirects=False,
        )

    def _connect(self) -> httpx.Client:
        key = self._key.get_secret_value()
        return self._client({"Authorization": f"Bearer {key}"})

    def _reconnect(self) -> None:
        if self._transport is None:
            self._http.close()
            self._http = self._connect()


def _body(operation: Operation, alias: str) -> bytes:
    values = {name: value for name, (_, value) in operation.variables.items()}
    return orjson.dumps({"query": operation.document(alias), "variables": values})


def _checked_key(api_key: SecretStr | str) -> SecretStr:
    key = (api_key.get_secret_value() if isinstance(api_key, SecretStr) else api_key).strip()
    if not key:
        raise UsageError("the API key is empty", "configure the engagement's key, such as env:PRACTICE_TWENTY_KEY")
    if not key.isascii() or not key.isprintable():
        raise UsageError("the API key holds characters that no key has", "copy the key again")
    return SecretStr(key)


def _checked(url: str) -> str:
    try:
        parsed = httpx.URL(url.strip())
    except httpx.InvalidURL:
        raise UsageError("the url of the workspace can't be read", "give it as https://crm.example.com") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise UsageError("the url of the workspace has no http(s) host", "give it as https://crm.example.com")
    if parsed.userinfo or parsed.query:
        raise UsageError(
            "the url of the workspace holds a login or a query", "give the bare address; the key goes apart"
        )
    return str(parsed).rstrip("/")
