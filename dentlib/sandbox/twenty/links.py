"""LINKS: which URLs are accepted and how they are normalised."""

from __future__ import annotations

import re
from typing import Any

import orjson

from dentlib.sandbox.twenty.refusals import Json, coded

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_ABSOLUTE = re.compile(r"([a-z][a-z0-9+.-]*://)([^/?#\s]+)(.*)", re.IGNORECASE | re.DOTALL)
_HOST = re.compile(r"(?:[^@\s/?#]*@)?[^\s/?#:@.]+(?:\.[^\s/?#:@.]+)+(?::\d{1,5})?(?:[/?#]\S*)?")


def normalise(url: str) -> str:
    """Lower the scheme and host and cut trailing slashes; a bare domain is kept as it is.

    Raises Refusal (INVALID_URL) for what is neither an absolute URL nor a domain.
    """
    absolute = _ABSOLUTE.fullmatch(url)
    if absolute and " " not in url:
        scheme, host, rest = absolute.groups()
        return f"{scheme.lower()}{host.lower()}{rest}".rstrip("/")
    if _HOST.fullmatch(url) and not _SCHEME.match(url.split("/")[0] + "/"):
        return url
    raise coded("The URL of the link is not valid", "INVALID_URL", "Invalid URL format.")


def coerce_parts(parts: Json, path: str) -> Json:
    """Normalise every URL; a lone secondary link becomes the primary one."""
    out = dict(parts)
    if out.get("secondaryLinks") is not None:
        out["secondaryLinks"] = [_secondary(item) for item in _listed(out["secondaryLinks"])]
    if out.get("primaryLinkUrl"):
        out["primaryLinkUrl"] = normalise(out["primaryLinkUrl"])
    elif out.get("secondaryLinks"):
        first, *others = out["secondaryLinks"]
        out.update(primaryLinkUrl=first["url"], primaryLinkLabel=first["label"], secondaryLinks=others)
    return out


def _listed(value: Any) -> list[Json]:
    items = orjson.loads(value) if isinstance(value, str) else value
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _secondary(item: Json) -> Json:
    url = item.get("url")
    return {"url": normalise(url) if url else url, "label": item.get("label")}
