"""Recorded exchanges: read the packed file, and fill in what the recording left out of long requests."""

from __future__ import annotations

import gzip
import json
import re
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Json = Any
MORE_ITEMS = re.compile(r"^<(\d+) more items not kept>$")
MORE_CHARACTERS = re.compile(r"<(\d+) more characters not kept>$")
UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")


@dataclass(frozen=True)
class Exchange:
    """One recorded call and its answer, as recorded (placeholders included)."""

    number: int
    name: str
    why: str
    method: str
    path: str
    headers: dict[str, str]
    body: Json
    status: int
    answer_headers: dict[str, str]
    answer: Json
    notes: dict[str, Json] = field(default_factory=dict)


def load(packed: Path) -> dict[int, Exchange]:
    """Read the packed exchanges, by number; reads only."""
    known = {"number", "name", "why", "request", "response"}
    found: dict[int, Exchange] = {}
    for raw in json.loads(gzip.decompress(packed.read_bytes()))["exchanges"]:
        request, response = raw["request"], raw["response"]
        found[raw["number"]] = Exchange(
            number=raw["number"],
            name=raw["name"],
            why=raw["why"],
            method=request["method"],
            path=request["path"],
            headers=request["headers"],
            body=request["body"],
            status=response["status"],
            answer_headers=response["headers"],
            answer=response["body"],
            notes={key: value for key, value in raw.items() if key not in known},
        )
    return found


def completed(value: Json, seed: str) -> Json:
    """Return `value` with its `<N more …>` marks replaced by what they stand for, continuing the series kept.

    Lists go on counting where their last two items differ (UUIDs are made from `seed`), texts go on with the same
    character or the next hexadecimal word. Raises ValueError when a series can't be told from what was kept.
    """
    if isinstance(value, dict):
        return {key: completed(inner, f"{seed}.{key}") for key, inner in value.items()}
    if isinstance(value, list):
        if value and isinstance(value[-1], str) and (cut := MORE_ITEMS.match(value[-1])):
            kept = value[:-1]
            return kept + [_next_item(kept, step, seed) for step in range(1, int(cut[1]) + 1)]
        return [completed(inner, f"{seed}.{index}") for index, inner in enumerate(value)]
    if isinstance(value, str) and (cut := MORE_CHARACTERS.search(value)):
        kept_text = value[: cut.start()]
        return _continued_text(kept_text, len(kept_text) + int(cut[1]))
    return value


def _continued_text(kept: str, length: int) -> str:
    if len(set(kept)) == 1:
        return kept[0] * length
    first = kept.split(" ", 1)[0]
    if not re.fullmatch(r"w[0-9a-f]{6}", first):
        raise ValueError(f"the series of a text that begins {kept[:20]!r} is not known")
    words = " ".join(f"w{word:06x}" for word in range(length // 8 + 1))
    return words[:length]


def _next_item(kept: list[Json], step: int, seed: str) -> Json:
    last, before = kept[-1], kept[-2]
    if isinstance(last, str) and UUID.fullmatch(last):
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{seed}.{step}"))
    return _counted_on(before, last, step)


def _counted_on(before: Json, last: Json, step: int) -> Json:
    if isinstance(last, dict):
        return {key: _counted_on(before[key], last[key], step) for key in last}
    if last == before:
        return last
    if isinstance(last, bool) or not isinstance(last, int | str):
        raise ValueError(f"can't continue the series {before!r}, {last!r}")
    if isinstance(last, int):
        return last + (last - before) * step
    stem_before, stem_last = re.fullmatch(r"(.*?)(\d+)", before), re.fullmatch(r"(.*?)(\d+)", last)
    if not stem_before or not stem_last or stem_before[1] != stem_last[1]:
        raise ValueError(f"can't continue the series {before!r}, {last!r}")
    following = int(stem_last[2]) + (int(stem_last[2]) - int(stem_before[2])) * step
    width = len(stem_last[2]) if stem_last[2].startswith("0") or len(stem_before[2]) == len(stem_last[2]) > 1 else 0
    return f"{stem_last[1]}{following:0{width}d}" if width else f"{stem_last[1]}{following}"
