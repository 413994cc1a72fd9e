"""Send a recorded request to a server as it was sent then: raw path, raw body, multipart parts."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import re
from typing import Any
from urllib.parse import quote, urlsplit

from replaying.comparison import Reply
from replaying.exchanges import Json

_PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
_PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n"
_PDF += b"trailer<</Root 1 0 R>>\n%%EOF"
_SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
_RTF = rb"{\rtf1 hello}"
FILE = re.compile(r"^<file (.+), (\d+) bytes, ([\w/.+-]+)>$")
RAW_BYTES = re.compile(r"^<(\d+) raw bytes>$")
_GENUINE = {"png": _PNG, "pdf": _PDF, "svg": _SVG, "rtf": _RTF}


def file_bytes(kind: str, size: int) -> bytes:
    """Make the content of a recorded upload: `size` bytes of a real png, pdf, svg or rtf, or of plain text."""
    genuine = _GENUINE.get(kind)
    if genuine is None:
        return (b"not what its name says. " * (size // 24 + 1))[:size]
    if len(genuine) > size:
        raise ValueError(f"a {kind} takes {len(genuine)} bytes at least, {size} wanted")
    return genuine + b"\n" * (size - len(genuine))


def multipart(parts: dict[str, Json], content: dict[str, bytes]) -> tuple[bytes, str]:
    """Encode the recorded parts of a GraphQL upload; returns the body and its content type."""
    boundary = "----replayed-exchange"
    lines = []
    for name, part in parts.items():
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'
        if isinstance(part, str) and (described := FILE.match(part)):
            head += f'; filename="{described[1]}"\r\nContent-Type: {described[3]}'
            data = content[part]
        else:
            data = json.dumps(part, ensure_ascii=False).encode()
        lines.append(head.encode() + b"\r\n\r\n" + data + b"\r\n")
    return b"".join(lines) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


class Connection:
    """One keep-alive connection to the sandbox."""

    def __init__(self, base_url: str, timeout_s: float = 60.0) -> None:
        self._address = urlsplit(base_url).netloc
        self._timeout_s = timeout_s
        self._http: http.client.HTTPConnection | None = None

    def send(self, method: str, path: str, headers: dict[str, str], body: bytes | None) -> Reply:
        """Send one request and read its answer: JSON where it is JSON, text or bytes otherwise."""
        target = quote(path, safe="/?&=%:,[]()+@!*;'~$")
        if self._http is None:
            self._http = http.client.HTTPConnection(self._address, timeout=self._timeout_s)
        # A server that refuses a body by its size answers, and hangs up, before it has read all of it.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._http.request(method, target, body=body, headers=headers)
        answer = self._http.getresponse()
        raw = answer.read()
        media_type = answer.headers.get("content-type", "").partition(";")[0].strip()
        if answer.will_close:
            self.close()
        return Reply(answer.status, media_type, _decoded(raw, media_type))

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._http is not None:
            self._http.close()
            self._http = None


def _decoded(raw: bytes, media_type: str) -> Any:
    if media_type == "application/json" or raw[:1] in (b"{", b"[") or raw in (b"true", b"false", b"null"):
        try:
            return json.loads(raw)
        except ValueError:
            return raw.decode("utf-8", "replace")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw
