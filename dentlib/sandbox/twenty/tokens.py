"""JSON Web Tokens, HS256: API keys and signed file links."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

import orjson

from dentlib.sandbox.twenty.refusals import Json


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _signature(head: str, secret: str) -> str:
    return _encode(hmac.new(secret.encode(), head.encode(), hashlib.sha256).digest())


def sign(claims: Json, secret: str) -> str:
    """Make a token of these claims."""
    head = f"{_encode(orjson.dumps({'alg': 'HS256', 'typ': 'JWT'}))}.{_encode(orjson.dumps(claims))}"
    return f"{head}.{_signature(head, secret)}"


def verify(token: str, secret: str) -> Json | None:
    """Return the claims when the signature is ours, else None. Does not look at the expiry."""
    parts = token.split(".")
    if len(parts) != 3 or not hmac.compare_digest(_signature(f"{parts[0]}.{parts[1]}", secret), parts[2]):
        return None
    return claims_of(token)


def claims_of(token: str) -> Json | None:
    """Read the claims without checking the signature; None when this is no token."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = orjson.loads(_decode(parts[1]))
    except (binascii.Error, ValueError):
        return None
    return claims if isinstance(claims, dict) else None
