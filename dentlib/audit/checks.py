"""Evaluate the checks of `checks.yaml` over the logical views, with exact counts and masked examples. Reads only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

import duckdb
from pydantic import BaseModel, ConfigDict, Field, model_validator

from dentlib.audit.views import LogicalView
from dentlib.facts import Finding, RelationshipFacts
from dentlib.model import Severity
from dentlib.privacy import mask
from dentlib.vocabulary import Vocabulary
from dentlib.workdb import literal, quoted
from dentlib.yamltext import read_yaml

_YES = ("y", "yes", "true", "t", "1", "x", "ja", "oui", "evet", "si", "sí")
_SPELLINGS = re.compile(r"\$spellings\((\w+)\.(\w+), ([^)]*)\)")


class Check(BaseModel):
    """One check as people write it; exactly one of `rows`, `blank`, `matches`, `unknown`, `unreadable`, `orphans`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: str
    severity: Severity
    message: str
    hint: str
    needs: tuple[str, ...] = ()
    rows: str = ""
    blank: str = ""
    matches: str = ""
    pattern: str = ""
    unknown: str = ""
    unreadable: str = ""
    orphans: str = ""

    @model_validator(mode="after")
    def _one_of(self) -> Check:
        if sum(map(bool, (self.rows, self.blank, self.matches, self.unknown, self.unreadable, self.orphans))) != 1:
            raise ValueError("needs exactly one of rows, blank, matches, unknown, unreadable, orphans")
        if bool(self.matches) != bool(self.pattern) or bool(self.rows) != bool(self.needs):
            raise ValueError("`matches` goes with `pattern`, `rows` with `needs`")
        return self

    @property
    def fields(self) -> tuple[str, ...]:
        """Logical fields (object.field) that must be there; the first one is what the finding is about."""
        return self.needs or (self.blank or self.matches or self.unknown or self.unreadable or self.orphans,)


class Checks(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    checks: tuple[Check, ...] = Field(min_length=1)


@cache
def load_checks() -> tuple[Check, ...]:
    """Return the checks. Reads only."""
    return Checks.model_validate(read_yaml(Path(__file__).with_name("checks.yaml"))).checks


@dataclass(frozen=True, slots=True)
class Ground:
    """What checks are evaluated on."""

    con: duckdb.DuckDBPyConnection
    views: Mapping[str, LogicalView]
    vocabulary: Vocabulary
    relationships: Mapping[tuple[str, str], RelationshipFacts]
    identifier_classes: Mapping[tuple[str, str], str]
    today: date


def run_checks(ground: Ground) -> list[Finding]:
    """Evaluate every check whose fields the export has, and return those that found something.

    `count` is the number of occurrences, `of` the rows of the object that the finding is about (exact duplicates once).
    """
    _lay_received_files(ground.con)
    return [f for check in load_checks() if (f := _evaluate(check, ground)) is not None]


def _lay_received_files(con: duckdb.DuckDBPyConnection) -> None:
    con.execute(
        r"""CREATE OR REPLACE TEMP VIEW received_files AS
        SELECT lower(regexp_extract(path, '[^/]*$')) AS name, regexp_extract(path, '^(.*)/', 1) AS folder,
          lower(regexp_extract(path, '\.([^./]*)$', 1)) AS extension, size_bytes, looks_like, kind FROM meta.files"""
    )


def _evaluate(check: Check, ground: Ground) -> Finding | None:
    located = [_locate(name, ground) for name in check.fields]
    if any(place is None for place in located) or located[0] is None:
        return None
    object_name, table, column = located[0]
    query = _query(check, ground, table, column)
    if query is None:
        return None
    row = ground.con.execute(
        f"SELECT count(*), min(example), (SELECT count(*) FROM {quoted(object_name)}) FROM ({query})"
    ).fetchone()
    assert row is not None
    if not row[0]:
        return None
    identifier = ground.identifier_classes[table, column] or "free_text"  # single values are small cells: never shown
    return Finding(
        check.kind,
        check.severity,
        table,
        column,
        int(row[0]),
        int(row[2]),
        check.message,
        check.hint,
        mask(str(row[1] or ""), identifier),
    )


def _locate(name: str, ground: Ground) -> tuple[str, str, str] | None:
    object_name, _, field_name = name.partition(".")
    view = ground.views.get(object_name)
    if view is None or field_name not in view.sources:
        return None
    return (object_name, *view.sources[field_name])


def _query(check: Check, ground: Ground, table: str, column: str) -> str | None:
    object_name, _, field_name = check.fields[0].partition(".")
    field = quoted(field_name)
    rows = f"SELECT {field} AS example FROM {quoted(object_name)} WHERE"
    if check.rows:
        return _filled_in(check.rows, ground)
    if check.blank:
        return f"{rows} {field} IS NULL"
    if check.matches:
        return f"{rows} regexp_full_match({quoted(field_name + '__raw')}, {literal(check.pattern)})"
    if check.unreadable:
        return f"{rows} {field} IS NOT NULL AND {quoted(field_name + '__at')} IS NULL"
    if check.unknown:
        known = _spellings(ground.vocabulary, object_name, field_name, ())
        return f"{rows} lower({field}) NOT IN {known}" if known else None
    relation = ground.relationships.get((table, column))
    if relation is None:
        return None
    parents = f"SELECT trim({quoted(relation.parent_column)}) FROM raw.{quoted(relation.parent_table)}"
    return (
        f"{rows} {field} IS NOT NULL AND {field} NOT IN ({parents} WHERE trim({quoted(relation.parent_column)}) <> '')"
    )


def _filled_in(query: str, ground: Ground) -> str:
    query = query.replace("$today", f"DATE '{ground.today.isoformat()}'").replace("$yes", str(_YES))

    def spelt(match: re.Match[str]) -> str:
        wanted = tuple(w.strip() for w in match[3].split(","))
        return _spellings(ground.vocabulary, match[1], match[2], wanted) or "('')"

    return _SPELLINGS.sub(spelt, query)


def _spellings(vocabulary: Vocabulary, object_name: str, field_name: str, wanted: tuple[str, ...]) -> str:
    """Return all spellings of these canonical values (none named: of all), in small letters, as a SQL list."""
    words = vocabulary.field(object_name, field_name)
    values = {} if words is None else words.values
    spelt = {s.lower() for value, others in values.items() if not wanted or value in wanted for s in (value, *others)}
    return f"({', '.join(map(literal, sorted(spelt)))})" if spelt else ""
