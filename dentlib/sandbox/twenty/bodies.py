"""Bodies in and out: JSON, multipart, and the odd texts that the real server answers."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web

from dentlib.sandbox.twenty.refusals import Json
from dentlib.sandbox.twenty.versions import Release


def first_words(body: bytes) -> str:
    return body[:2000].decode("utf-8", "replace")


def json_answer(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json", charset="utf-8")


def bytes_answer(content: bytes, name: str) -> web.Response:
    """A file to be kept under this name."""
    quoted = name.encode("ascii", "replace").decode().replace('"', "'")
    return web.Response(
        body=content,
        content_type="application/octet-stream",
        headers={"Content-Disposition": f'attachment; filename="{quoted}"'},
    )


def text_as_json(text: str, status: int) -> web.Response:
    """Plain text under JSON's name, as the body parser's own errors come."""
    return web.Response(text=text, status=status, content_type="application/json", charset="utf-8")


def json_error_words(body: bytes, error: orjson.JSONDecodeError) -> str:
    """Say what is wrong with a JSON text as V8 says it."""
    text = body.decode("utf-8", "replace")
    if error.pos >= len(text.rstrip()) or "EOF" in str(error):
        return "Unexpected end of JSON input"
    return f"Unexpected token '{text[error.pos]}', \"{text[:20]}\" is not valid JSON"


def put(target: Any, steps: list[str], value: Any) -> None:
    for step in steps[:-1]:
        target = target[int(step)] if isinstance(target, list) else target.setdefault(step, {})
    if isinstance(target, list):
        target[int(steps[-1])] = value
    else:
        target[steps[-1]] = value


def read_multipart(body: bytes, content_type: str) -> dict[str, tuple[str | None, bytes]]:
    """Split a multipart body into its parts: name → (file name, content)."""
    boundary = content_type.partition("boundary=")[2].split(";")[0].strip().strip('"')
    out: dict[str, tuple[str | None, bytes]] = {}
    for raw in body.split(b"--" + boundary.encode())[1:-1]:
        head, _, content = raw.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        names: dict[str, str] = {}
        for line in head.decode("utf-8", "replace").split("\r\n"):
            if line.lower().startswith("content-disposition"):
                for piece in line.split(";")[1:]:
                    key, _, text = piece.strip().partition("=")
                    names[key.lower()] = text.strip('"')
        out[names.get("name", "")] = (names.get("filename"), content.removesuffix(b"\r\n"))
    return out


def client_config(of: Release) -> Json:
    """What `/client-config` tells anyone; no server version is in it, as in the real one."""
    found: Json = orjson.loads(of.asset("client-config-{}.json"))
    return found
