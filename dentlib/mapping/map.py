"""The map of one engagement: the pair with this client's patch laid over it, and how the client's columns were read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from dentlib.errors import MapError
from dentlib.model import content_hash
from dentlib.pairs import FieldRule, Pair, Step, lay_over
from dentlib.vocabulary import Vocabulary, load_vocabulary
from dentlib.yamltext import read_yaml, validation_problems


class TableMap(BaseModel):
    """One raw table: the source object it holds (null: not used), and its columns' logical fields (null: not used)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    object: str | None
    columns: Mapping[str, str | None]


class Formats(BaseModel):
    """How dates and amounts are written. `columns`: `table.column` → day-month order, where it differs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    date_order: Literal["mdy", "dmy", ""] = ""
    decimal: Literal[".", ","] = "."
    columns: Mapping[str, Literal["mdy", "dmy"]] = Field(default_factory=dict)


def _as_text(written: Any) -> Any:
    return "" if written is None else written.isoformat() if isinstance(written, date) else written


Cutoff = Annotated[str, BeforeValidator(_as_text), Field(pattern=r"^([1-9]\d?y|\d{4}-\d\d-\d\d)?$")]
"""How far back history goes: `5y` (five years before the run), a day `YYYY-MM-DD`, or empty for everything."""


class _Patch(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    tables: Mapping[str, TableMap] = Field(default_factory=dict)
    formats: Formats = Formats()
    choices: Mapping[str, str] = Field(default_factory=dict)
    history: Mapping[str, Cutoff] = Field(default_factory=dict)
    steps: Mapping[str, Any] = Field(default_factory=dict)
    schema_: Mapping[str, Any] = Field(alias="schema", default_factory=dict)
    owners: Mapping[str, Any] = Field(default_factory=dict)
    not_migrated: Mapping[str, Any] = Field(default_factory=dict)


class Map(BaseModel):
    """The effective map: everything that decides what arrives. `hash` changes with any of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pair: Pair
    tables: Mapping[str, TableMap]
    formats: Formats
    path: Path | None = None

    def hash(self) -> str:
        """Return the hash of the effective map: what an approval names."""
        return content_hash(self.model_dump(mode="json", by_alias=True, exclude={"path"}))

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The words of the source product."""
        return load_vocabulary(self.pair.source)

    @cached_property
    def columns(self) -> Mapping[str, Mapping[str, tuple[tuple[str, str], ...]]]:
        """Object → logical field → the (table, column) it stands in."""
        found: dict[str, dict[str, list[tuple[str, str]]]] = {}
        for table, words in self.tables.items():
            if words.object:
                fields = found.setdefault(words.object, {})
                for column, field in words.columns.items():
                    if field:
                        fields.setdefault(field, []).append((table, column))
        return {o: {f: tuple(c) for f, c in fields.items()} for o, fields in found.items()}

    def tables_of(self, object_name: str) -> tuple[str, ...]:
        """Return the raw tables that hold an object, in the order of the map."""
        return tuple(t for t, words in self.tables.items() if words.object == object_name)

    def holds(self, when_choice: Mapping[str, str]) -> bool:
        """Tell whether all these choices are answered like this."""
        return all(self.pair.choices[name].chosen == answer for name, answer in when_choice.items())

    @cached_property
    def active_steps(self) -> tuple[Step, ...]:
        """The steps whose choices hold and whose source object is in the export, in load order."""
        return tuple(s for s in self.pair.steps if self.holds(s.when_choice) and self.tables_of(s.from_))

    def fields_of(self, step: Step) -> Mapping[str, FieldRule]:
        """Return the field rules of a step whose choices hold."""
        return {path: rule for path, rule in step.fields.items() if self.holds(rule.when_choice)}

    def date_order(self, object_name: str, field: str) -> str:
        """Return the day-month order of a field's columns; empty where nobody decided."""
        orders = {
            self.formats.columns.get(f"{table}.{column}", self.formats.date_order)
            for table, column in self.columns.get(object_name, {}).get(field, ())
        }
        return orders.pop() if len(orders) == 1 else self.formats.date_order


def load_map(pair: Pair, patch_path: Path | None = None) -> Map:
    """Return the pair with the engagement's patch over it. Reads only; no file or an empty one is an empty patch.

    Raises MapError with a Problem for everything that is not well formed: file, line and key.
    """
    path = patch_path if patch_path is not None and patch_path.is_file() else None
    try:
        patch = _Patch.model_validate(read_yaml(path) if path else {})
    except ValidationError as error:
        raise _not_well_formed(error, path) from error
    whole = pair.model_dump(mode="json", by_alias=True, exclude_unset=True)
    changes: dict[str, Any] = {
        "choices": {name: {"chosen": answer} for name, answer in patch.choices.items()},
        "schema": dict(patch.schema_),
        "not_migrated": dict(patch.not_migrated),
    }
    if patch.owners:
        changes["owners"] = dict(patch.owners)
    unknown = [n for n in patch.steps if n not in {s.step for s in pair.steps}]
    unknown += [n for n in patch.choices if n not in pair.choices]
    unknown += [f"history of {n}" for n in patch.history if n not in {s.step for s in pair.steps if s.history}]
    if unknown:
        known = ", ".join([s.step for s in pair.steps] + list(pair.choices))
        raise MapError(f"the map patches what the pair doesn't have: {', '.join(unknown)}", f"known are: {known}")
    merged = lay_over(whole, changes)
    merged["steps"] = [
        _cut_off(lay_over(step, patch.steps.get(step["step"], {})), patch.history.get(step["step"], ""))
        for step in whole["steps"]
        if step["step"] not in patch.steps or patch.steps[step["step"]] is not None
    ]
    try:
        effective = Pair.model_validate(merged)
    except ValidationError as error:
        raise _not_well_formed(error, path) from error
    return Map(pair=effective, tables=patch.tables, formats=patch.formats, path=path)


def _cut_off(step: dict[str, Any], back: str) -> dict[str, Any]:
    """Return the step with a scope rule for rows from before the cut-off; a row without a date is kept."""
    if not back:
        return step
    since = f"run-{back}" if back.endswith("y") else back
    years = "a year" if back == "1y" else f"{back[:-1]} years"
    words = f"from more than {years} before the run" if back.endswith("y") else f"from before {back}"
    rule = {"when": {step["history"]: {"before": since}}, "code": "before_cut_off", "reason": words}
    return {**step, "where": [*step.get("where", ()), rule]}


def _not_well_formed(error: ValidationError, path: Path | None) -> MapError:
    problems = validation_problems(error, path or Path("map.yaml"))
    text = "; ".join(f"{p.where}: {p.message}" for p in problems[:3])
    return MapError(f"the map is not well formed: {text}", "mend the lines named and try again", problems)
