"""Read a pair, and lay a patch over it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dentlib.errors import MapError, UsageError
from dentlib.pairs.model import Pair
from dentlib.yamltext import read_yaml, validation_problems

_FOLDER = Path(__file__).resolve().parent


def known_pairs() -> tuple[tuple[str, str], ...]:
    """Return every (source, destination) for which there is a pair, sorted."""
    return tuple(sorted((p.stem.split("--")[0], p.stem.split("--")[1]) for p in _FOLDER.glob("*--*.yaml")))


@cache
def load_pair(source: str, destination: str) -> Pair:
    """Return the pair of this source and destination. Reads only.

    Raises UsageError when there is none (and names those that exist), MapError for a bad file.
    """
    if (source, destination) not in known_pairs():
        known = ", ".join(f"{s} → {d}" for s, d in known_pairs())
        raise UsageError(f"there is no pair {source} → {destination}", f"known are: {known}")
    path = _FOLDER / f"{source}--{destination}.yaml"
    try:
        return Pair.model_validate(read_yaml(path))
    except ValidationError as error:
        problems = validation_problems(error, path)
        first = f"{problems[0].where}: {problems[0].message}"
        raise MapError(f"the pair is not well formed: {first}", problems[0].hint, problems) from error


def lay_over(below: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """Return `below` with the patch laid over it: mappings merge, null takes away, everything else replaces."""
    merged = dict(below)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = lay_over(merged[key], value)
        else:
            merged[key] = value
    return merged
