"""Read the YAML that people edit: YAML 1.2 (so `NO` and `Y` are texts), and where in the file a key stands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from dentlib.errors import MapError
from dentlib.model import Problem


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the file's top mapping; an empty file is an empty mapping. Reads only.

    Raises MapError naming file and line when it is not YAML or not a mapping.
    """
    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise MapError(f"{path.name}, line {line}: {error.problem}", "mend the YAML at this line") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise MapError(f"{path.name} is not a mapping of keys to values", "start the file with keys such as `steps:`")
    return content


def line_of(path: Path, keys: Sequence[str | int]) -> int:
    """Return the 1-based line where the innermost of the keys that exist stands; 0 when the file is not there."""
    if not path.is_file():
        return 0
    node: Any = YAML(typ="rt", pure=True).load(path.read_text(encoding="utf-8"))
    line = 1
    for key in keys:
        try:
            marks: Any = node.lc
            line = (marks.key(key) if isinstance(node, dict) else marks.item(key))[0] + 1
            node = node[key]
        except (KeyError, IndexError, TypeError, AttributeError):
            break
    return int(line)


def validation_problems(error: ValidationError, path: Path) -> list[Problem]:
    """Turn pydantic's errors into problems that name file, line and key. Input values are not repeated."""
    problems = []
    for item in error.errors(include_input=False, include_url=False):
        keys = [k for k in item["loc"] if not (isinstance(k, str) and k.startswith(("function-", "constrained")))]
        line = line_of(path, keys)
        where = f"{path.name}, line {line}: {'.'.join(str(k) for k in keys)}"
        hint = "remove the key or spell it right" if item["type"] == "extra_forbidden" else "complete or mend this key"
        problems.append(Problem("not_well_formed", where, item["msg"], hint))
    return problems
