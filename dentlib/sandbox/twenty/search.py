"""The search vector: which words of a record are indexed, and how large that may get."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from dentlib.sandbox.twenty.model import Model
from dentlib.sandbox.twenty.refusals import Json

MAX_VECTOR_BYTES = 1024 * 1024 - 1
_MOST_PLACES = 256
_FIELDS = {
    "person": ("name", "emails", "phones", "jobTitle"),
    "company": ("name", "domainName"),
    "workspaceMember": ("name", "userEmail"),
    "task": ("title", "bodyV2"),
    "note": ("title", "bodyV2"),
}
_PARTS = (
    "firstName", "lastName", "primaryEmail", "additionalEmails", "primaryPhoneNumber", "primaryLinkUrl", "markdown",
)  # fmt: skip
_MARKUP = re.compile(r"https?://|<[^>]*>")
_WORD = re.compile(r"[^\W_]+(?:[-.@_][^\W_]+)*")


def searchable_text(model: Model, doc: Json) -> str:
    """The text of a record that goes into its search vector."""
    fields = _FIELDS.get(model.obj.name) or [name for name in ("name", "title") if name in model.outputs] or ("id",)
    words: list[str] = []
    for name in fields:
        value = doc.get(name)
        if isinstance(value, str):
            words.append(value)
        elif isinstance(value, dict):
            for part in _PARTS:
                item = value.get(part)
                if isinstance(item, str):
                    words.append(item)
                elif item:
                    words += item
    return " ".join(words)


def vector(model: Model, doc: Json) -> str:
    """Write the vector as Postgres shows it: each distinct word, unaccented and lower-cased, with its positions."""
    text = searchable_text(model, doc)
    if "://" in text or "<" in text:
        text = _MARKUP.sub(" ", text)
    places: dict[str, str] = {}
    for at, word in enumerate(_lexemes(text), start=1):
        places[word] = f"{places[word]},{at}" if word in places else str(at)
    return " ".join([f"'{word}':{places[word]}" for word in sorted(places)])


def _lexemes(words: str) -> list[str]:
    plain = words if words.isascii() else unicodedata.normalize("NFKD", words).encode("ascii", "ignore").decode()
    return [word for word in _WORD.findall(plain.lower()) if len(word) < 2047]


def vector_bytes(model: Model, doc: Json) -> int:
    """The size of a record's search vector as Postgres counts it: per word its letters, a count and its places."""
    counts = Counter(_lexemes(searchable_text(model, doc)))
    return sum((len(word) + 1) // 2 * 2 + 2 + 2 * min(places, _MOST_PLACES) for word, places in counts.items())
