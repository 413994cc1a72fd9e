"""The plan of a replay: which exchanges in which order on which workspace, and the set-up they lack."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from replaying.comparison import Rule
from ruamel.yaml import YAML

ALLOWED_CATEGORIES = {
    "user sign-in",
    "dashboards",
    "running workflows",
    "webhooks' delivery",
    "message and calendar sync",
}


@dataclass(frozen=True)
class Scene:
    """One workspace and what is done to it, step by step."""

    name: str
    workspace: dict[str, Any]
    steps: list[dict[str, Any]]


@dataclass(frozen=True)
class Plan:
    """Everything about one version's replay that is not in the recording itself.

    `recorded_at` is the address at which the recorded server answered; `least_matched` the share of all exchanges that
    must be answered as recorded; `deviations` the exchanges known to be answered otherwise, each with its reason:
    they count as mismatched, and nothing else may be.
    """

    version: str
    contracts: Path
    recorded_at: str
    least_matched: float
    scenes: list[Scene]
    options: dict[int, dict[str, Any]]
    rules: list[Rule]
    out_of_scope: dict[int, str] = field(default_factory=dict)
    deviations: dict[int, str] = field(default_factory=dict)


def _yaml(file: Path) -> Any:
    return YAML(typ="safe").load(file.read_text("utf-8"))


def numbers(spec: Any) -> list[int]:
    """Read `200-234`, `107` or a list of such; in the order given."""
    if isinstance(spec, list):
        return [number for part in spec for number in numbers(part)]
    first, _, last = str(spec).partition("-")
    return list(range(int(first), int(last or first) + 1))


def load_plan(folder: Path, version: str) -> Plan:
    """Read `plan-VERSION.yaml`, `ignored.yaml` and `out-of-scope.yaml` of `folder`; reads only.

    Raises ValueError for a category or a rule that the contract doesn't allow.
    """
    raw = _yaml(folder / f"plan-{version}.yaml")
    rules = [
        Rule(
            path=path,
            holds=entry["holds"],
            reason=entry["reason"],
            exchanges=frozenset(numbers(entry["exchanges"])) if "exchanges" in entry else None,
        )
        for entry in _yaml(folder / "ignored.yaml")[version]
        for path in ([entry["path"]] if isinstance(entry["path"], str) else entry["path"])
    ]
    out_of_scope = {}
    for entry in _yaml(folder / "out-of-scope.yaml").get(version) or []:
        if entry["category"] not in ALLOWED_CATEGORIES or not entry["reason"]:
            raise ValueError(f"exchange {entry['number']}: {entry['category']!r} may not be out of scope")
        out_of_scope[int(entry["number"])] = f"{entry['category']}: {entry['reason']}"
    return Plan(
        version=version,
        contracts=folder.parent / "contracts",
        recorded_at=raw["recorded_at"],
        least_matched=float(raw["least_matched"]),
        scenes=[Scene(scene["scene"], scene.get("workspace") or {}, scene["steps"]) for scene in raw["scenes"]],
        options={number: given for spec, given in (raw.get("options") or {}).items() for number in numbers(spec)},
        rules=rules,
        out_of_scope=out_of_scope,
        deviations={
            number: entry["reason"] for entry in raw.get("deviations") or [] for number in numbers(entry["exchanges"])
        },
    )
