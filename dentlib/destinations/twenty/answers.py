"""Tell what an answer of Twenty means: a value, or one exception of `dentlib.errors`.

Twenty answers most errors with HTTP 200 and an `errors` list. The name under which the answer comes (the alias on the
one root field) is sent by us and unique, so an answer that belongs to another request is recognised.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import httpx
import orjson

from dentlib.errors import AccessDenied, DestinationError, InDoubt, RateLimited, Refused, Terminal, Transient
from dentlib.model import JSON
from dentlib.privacy import mask, redact

_TAKE_OUT = "take out NUL characters; a text of more than 1 MB of different words is too long for the search index"
_FINAL_500 = {
    "Data validation error.": ("DATA_VALIDATION", _TAKE_OUT),
    "invalid byte sequence": ("DATA_VALIDATION", _TAKE_OUT),
    "unsupported Unicode escape": ("DATA_VALIDATION", _TAKE_OUT),
    "too long for tsvector": ("DATA_VALIDATION", _TAKE_OUT),
    "index row size": ("DATA_VALIDATION", "shorten the value of the unique field"),
    "out of range": ("DATA_VALIDATION", "write dates that exist, as YYYY-MM-DD"),
    "invalid input syntax": ("DATA_VALIDATION", "write the value in the form of its field's type"),
    "request entity too large": ("BODY_TOO_LARGE", "send fewer or shorter records in one call"),
    "violates ": ("CONSTRAINT", "load the record that this one points to first"),
}
"""What Twenty says with a server error although trying again will not help: (code, way out)."""

_VALUES = [
    re.compile(r"(?is)(?P<kept>invalid (?:\w+ )?value )(?P<value>.+(?= for (?:[\w -]*field|\"))|.+$)"),
    re.compile(r"(?is)(?P<kept>phone number is invalid )(?P<value>.+)$"),
    re.compile(r"(?is)(?P<kept>invalid country code )(?P<value>.+)$"),
    re.compile(r"(?is)(?P<kept>found \d+ for [^=]*= )(?P<value>.+)$"),
    re.compile(r"(?is)(?P<kept>\([\w.]+: )(?P<value>[^)]+)"),
    re.compile(r"(?is)(?P<kept>=\()(?P<value>[^)]+)"),
    re.compile(r"(?is)(?P<kept>)(?P<value>[\"'].+[\"'])(?= is not a valid)"),
]
"""Where the server's messages repeat what was sent. That part is shown as its shape only."""

_LONGEST_MESSAGE = 2_000


class Uncorrelated(Exception):
    """An error answer without our alias: ours only if nothing else was asked on that connection."""

    def __init__(self, error: DestinationError) -> None:
        super().__init__()
        self.error = error


@dataclass(frozen=True, slots=True)
class Expected:
    """What the answer to one request must look like. `writes`: no trustworthy answer means in doubt."""

    alias: str
    writes: bool
    what: str


def own_words(message: str) -> str:
    """Return the destination's message with values masked and secrets taken out; at most 400 characters."""
    message = message[:_LONGEST_MESSAGE]
    for pattern in _VALUES:
        message = pattern.sub(lambda m: m["kept"] + mask(m["value"], "free_text", 40), message)
    return redact(message)[:400]


def lost(expected: Expected, why: str) -> DestinationError:
    """Return the error for an answer that can't be trusted: InDoubt for a write, Transient for a read."""
    if expected.writes:
        return InDoubt(f"{expected.what}: {why}", "read back what is there before sending it again")
    return Transient(f"{expected.what}: {why}", "try again; if it stays, look at the server's log")


def value_of(response: httpx.Response, expected: Expected) -> Any:
    """Return the value under our alias.

    Raises RateLimited, AccessDenied, Refused, or what `lost` says; Uncorrelated where the answer is an error that
    doesn't carry the alias.
    """
    body = _json(response)
    if not isinstance(body, dict):
        raise _without_json(response, expected)
    errors = body.get("errors")
    data = body.get("data")
    if isinstance(data, dict) and data and expected.alias not in data:
        raise lost(expected, "the answer belongs to another request")
    if isinstance(errors, list) and errors:
        error = _of_graphql(errors[0], response.status_code, expected)
        raise error if isinstance(data, dict) and expected.alias in data else Uncorrelated(error)
    if response.status_code >= 400:
        raise Uncorrelated(_of_rest(body, response.status_code, expected))
    if not isinstance(data, dict) or expected.alias not in data:
        raise lost(expected, f"HTTP {response.status_code} without the data asked for")
    return data[expected.alias]


def plain_value(response: httpx.Response, expected: Expected) -> Any:
    """Return what a REST path answers, out of its envelope. Raises as `value_of` does."""
    body = _json(response)
    if response.status_code >= 400 or body is None:
        messages = body if isinstance(body, dict) else {"message": response.text[:_LONGEST_MESSAGE]}
        raise _of_rest(messages, response.status_code, expected)
    data = body.get("data", body) if isinstance(body, dict) else body
    return next(iter(data.values())) if isinstance(data, dict) and len(data) == 1 else data


def _json(response: httpx.Response) -> Any:
    try:
        return orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return None


def _without_json(response: httpx.Response, expected: Expected) -> Exception:
    status = response.status_code
    if 300 <= status < 400:
        host = httpx.URL(response.headers.get("location", "")).host or "another path"
        return Terminal(f"{expected.what}: the server redirects to {host}", "configure the url that it redirects to")
    if status >= 400 and len(response.content) < 2_000:
        return Uncorrelated(_by_status(status, response.text, "", expected))
    return lost(expected, f"HTTP {status} with an answer that is not JSON")


def _of_graphql(error: JSON, status: int, expected: Expected) -> DestinationError:
    extensions = error.get("extensions") or {}
    code, sub_code = str(extensions.get("code") or ""), str(extensions.get("subCode") or "")
    message = str(error.get("message") or "")
    if sub_code == "LIMIT_REACHED" or message.startswith("Limit reached ("):
        return RateLimited(f"{expected.what}: {message}")
    if code == "UNAUTHENTICATED" or sub_code == "PERMISSION_DENIED" or (code == "FORBIDDEN" and not sub_code):
        return _denied(message, expected)
    for said, (final_code, hint) in _FINAL_500.items():
        if said in message:
            return Refused(f"{expected.what}: {own_words(message)}", hint, code=final_code)
    if expected.alias.startswith(RECORDS) and (code == "INTERNAL_SERVER_ERROR" or status >= 500):
        return lost(expected, f"the server failed: {own_words(message)}")
    words = "; ".join([own_words(message), *_details(extensions)])
    return Refused(
        f"{expected.what}: {words}",
        code=sub_code or (_detail_code(extensions) if code == "METADATA_VALIDATION_FAILED" else code),
        conflicting_id=extensions.get("conflictingRecordId"),
    )


RECORDS = "r_"
"""How aliases of calls on records begin; those on metadata begin otherwise and never stay in doubt for an error."""


def _details(extensions: JSON) -> list[str]:
    """Return the messages of a failed metadata validation, without the follow-up noise on views and indexes."""
    found: list[str] = []
    for kind in ("objectMetadata", "fieldMetadata", "index"):
        for entry in (extensions.get("errors") or {}).get(kind) or []:
            for error in entry.get("errors", ()) if isinstance(entry, dict) else ():
                message = own_words(str(error.get("message") or ""))
                if message and message not in found and message != "Object metadata not found":
                    found.append(message)
    return found[:3]


def _detail_code(extensions: JSON) -> str:
    for kind in ("objectMetadata", "fieldMetadata", "index"):
        for entry in (extensions.get("errors") or {}).get(kind) or []:
            for error in entry.get("errors", ()) if isinstance(entry, dict) else ():
                if error.get("code") != "OBJECT_METADATA_NOT_FOUND":
                    return str(error.get("code"))
    return "METADATA_VALIDATION_FAILED"


def _of_rest(body: JSON, status: int, expected: Expected) -> DestinationError:
    messages = body.get("messages") or [body.get("message") or body.get("error") or ""]
    return _by_status(status, "; ".join(str(m) for m in messages), str(body.get("code") or ""), expected)


def _by_status(status: int, message: str, code: str, expected: Expected) -> DestinationError:
    if status == 429 or message.startswith("Limit reached ("):
        return RateLimited(f"{expected.what}: {own_words(message) or 'HTTP 429'}")
    if status in (401, 403) or code == "PERMISSION_DENIED":
        return _denied(message, expected)
    for said, (final_code, hint) in _FINAL_500.items():
        if said in message:
            return Refused(f"{expected.what}: {own_words(message)}", hint, code=final_code)
    if status >= 500:
        return lost(expected, f"HTTP {status}")
    return Refused(f"{expected.what}: {own_words(message) or f'HTTP {status}'}", code=code or f"HTTP_{status}")


def _denied(message: str, expected: Expected) -> AccessDenied:
    return AccessDenied(
        f"{expected.what}: {own_words(message)}",
        "check the API key: neither expired nor revoked, and its role may read, write and destroy records and change "
        "the data model",
    )
