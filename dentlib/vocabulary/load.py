"""Read a product's overlay over the shared dental terms."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dentlib.errors import MapError, UsageError
from dentlib.vocabulary.words import Vocabulary
from dentlib.yamltext import read_yaml, validation_problems

_FOLDER = Path(__file__).resolve().parent
_SHARED = "dental"


def known_sources() -> tuple[str, ...]:
    """Return the source products that have an overlay, sorted."""
    return tuple(sorted(p.stem for p in _FOLDER.glob("*.yaml") if p.stem != _SHARED))


@cache
def load_vocabulary(source: str) -> Vocabulary:
    """Return the shared terms with the product's overlay laid over them. Reads only.

    The overlay's lists of aliases and tables come before the shared ones; other keys replace the shared ones; an
    object or field set to null is taken away. Raises UsageError for an unknown product, MapError for a bad file.
    """
    if source not in known_sources():
        raise UsageError(f"no vocabulary for `{source}`", f"known are: {', '.join(known_sources())}")
    path = _FOLDER / f"{source}.yaml"
    overlay = read_yaml(path)
    merged = _lay_over(read_yaml(_FOLDER / f"{_SHARED}.yaml"), overlay)
    merged["source"] = source
    try:
        return Vocabulary.model_validate(merged)
    except ValidationError as error:
        problems = validation_problems(error, path)
        raise MapError(f"vocabulary {path.name} is not well formed: {problems[0].message}", "", problems) from error


def _lay_over(shared: dict[str, Any], overlay: dict[str, Any]) -> dict[str, Any]:
    merged = dict(shared)
    for key, value in overlay.items():
        below = merged.get(key)
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(below, dict):
            merged[key] = _lay_over(below, value)
        elif key in ("aliases", "tables") and isinstance(below, list):
            merged[key] = [*value, *[x for x in below if x not in value]]
        else:
            merged[key] = value
    return merged
