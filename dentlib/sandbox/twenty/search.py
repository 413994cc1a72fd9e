"""The search vector: which words of a record are indexed, and how large that may get."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from dentlib.sandbox.twenty.model import Model
from dentlib.sandbox.twenty.refusals import Json

MAX_VECTOR_BYTES = 1024 * 1024
_FIELDS = {
    "person": ("name", "emails", "phones", "jobTitle"),
    "company": ("name", "domainName"),
    "workspaceMember": ("name", "userEmail"),
    "task": ("title", "bodyV2"),
    "note": ("title", "bodyV2"),
}
_PARTS = (
    "firstName",
    "lastName",
    "primaryEmail",
    "additionalEmails",
    "primaryPhoneNumber",
    "primaryLinkUrl",
    "markdown",
)
_WORD = re.compile(r"[^\W_]+(?:[-.@_][^\W_]+)*")


def searchable_text(model: Model, doc: Json) -> str:
    """The text of a record that goes into its search vector."""
    fields = _FIELDS.get(model.obj.name) or [name for name in ("name", "title") if name in model.outputs] or ("id",)
    return " ".join(_words_of(doc.get(name)) for name in fields)


def _words_of(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return " ".join(_words_of(value.get(part)) for part in _PARTS if value.get(part))
    return " ".join(_words_of(item) for item in value) if isinstance(value, list) else ""


def vector(model: Model, doc: Json) -> str:
    """Write the vector as Postgres shows it: each distinct word, unaccented and lower-cased, with its positions."""
    places: dict[str, list[int]] = {}
    for at, word in enumerate(_lexemes(re.sub(r"https?://|<[^>]*>", " ", searchable_text(model, doc))), start=1):
        places.setdefault(word, []).append(at)
    return " ".join(f"'{word}':{','.join(map(str, places[word]))}" for word in sorted(places))


def _lexemes(words: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", words).encode("ascii", "ignore").decode().lower()
    return [word for word in _WORD.findall(plain) if len(word) < 2047]


def exceeds_index(model: Model, doc: Json) -> bool:
    """Tell whether the distinct words of a record are more than the index holds (1 MB)."""
    words = set(_lexemes(searchable_text(model, doc)))
    return sum(len(word) + 8 for word in words) > MAX_VECTOR_BYTES
