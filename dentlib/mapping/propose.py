"""Propose, for every column of an export, what it is and where it goes; write it down for a person to confirm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb
import orjson
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from dentlib.mapping.functions import BLANKS
from dentlib.mapping.staging import raw_columns
from dentlib.mapping.uses import uses_of
from dentlib.model import Problem, Severity
from dentlib.pairs import Pair
from dentlib.vocabulary import Vocabulary
from dentlib.vocabulary.match import SURE, Assignment, TableShape, assign
from dentlib.workdb import quoted


@dataclass(frozen=True, slots=True)
class ColumnProposal:
    """One column: its logical field, and the first destination field that the pair makes of it (empty: none)."""

    table: str
    column: str
    object: str
    field: str
    target_object: str
    target_field: str
    confidence: float
    sure: bool
    evidence: str
    candidates: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Proposals:
    """What is proposed for an export. `date_order` is empty where nothing in the export tells."""

    columns: tuple[ColumnProposal, ...]
    assignment: Assignment
    date_order: str
    date_orders: Mapping[str, str]
    decimal: str
    problems: tuple[Problem, ...]
    pair: Pair


def propose(con: duckdb.DuckDBPyConnection, vocabulary: Vocabulary, pair: Pair) -> Proposals:
    """Read headers, and how dates and amounts are written, from schema `raw`; propose a map. Reads only."""
    shapes = [TableShape(t, c) for t, c in raw_columns(con).items()]
    assignment = assign(shapes, vocabulary)
    targets = {(o, f): use for (o, f), use in uses_of(pair).items()}
    columns = []
    for match in assignment.tables.values():
        for c in match.columns.values():
            uses = targets.get((match.object, c.field), ())
            object_name, field = (uses[0].destination_object, uses[0].path) if uses else ("", "")
            columns.append(
                ColumnProposal(
                    match.table,
                    c.column,
                    match.object,
                    c.field,
                    object_name,
                    field,
                    c.confidence,
                    c.confidence >= SURE and match.confidence >= SURE,
                    c.evidence,
                    c.candidates,
                )
            )
    order, orders, problems = _date_orders(con, assignment, vocabulary)
    decimal = _decimal(con, assignment, vocabulary)
    return Proposals(tuple(columns), assignment, order, orders, decimal, tuple(problems), pair)


def _typed(assignment: Assignment, vocabulary: Vocabulary, types: tuple[str, ...]) -> list[tuple[str, str]]:
    return [
        (table, column)
        for name in assignment.objects
        for table, column, field in assignment.columns_of(name)
        if vocabulary.objects[name].fields[field].type in types
    ]


def _date_orders(
    con: duckdb.DuckDBPyConnection, assignment: Assignment, vocabulary: Vocabulary
) -> tuple[str, dict[str, str], list[Problem]]:
    """Decide day-month or month-day per column by the values that can only be read one way."""
    orders: dict[str, str] = {}
    undecided: list[str] = []
    problems: list[Problem] = []
    for table, column in _typed(assignment, vocabulary, ("date", "datetime")):
        text = f"trim({quoted(column)}, {BLANKS})"
        digits = f"regexp_extract({text}, '^(\\d{{1,2}})[/.\\-](\\d{{1,2}})[/.\\-](\\d{{4}})', ['a', 'b', 'y'])"
        day_first_reading = "try_strptime(d.a || '/' || d.b || '/' || d.y, '%d/%m/%Y') IS NOT NULL"
        month_first_reading = "try_strptime(d.a || '/' || d.b || '/' || d.y, '%m/%d/%Y') IS NOT NULL"
        row = con.execute(
            f"SELECT count(*), count(*) FILTER (dmy AND NOT mdy), count(*) FILTER (mdy AND NOT dmy) FROM (SELECT "
            f"{day_first_reading} AS dmy, {month_first_reading} AS mdy "
            f"FROM (SELECT {digits} AS d FROM raw.{quoted(table)}) WHERE d.y <> '') WHERE dmy OR mdy"
        ).fetchone()
        written, day_first, month_first = row if row is not None else (0, 0, 0)
        name = f"{table}.{column}"
        if not written:
            continue
        if day_first and month_first:
            message = f"{day_first:,} values only read day first, {month_first:,} only month first"
            problems.append(
                Problem("date_order_mixed", name, message, "ask the practice; set formats.columns in map.yaml")
            )
            orders[name] = "dmy" if day_first > month_first else "mdy"
        elif day_first or month_first:
            orders[name] = "dmy" if day_first else "mdy"
        else:
            undecided.append(name)
    found = list(orders.values())
    main = max(set(found), key=lambda o: (found.count(o), o)) if found else ""
    if undecided and len(set(found)) != 1:
        for name in undecided:
            problems.append(
                Problem(
                    "date_order_unknown",
                    name,
                    "day and month can't be told apart",
                    "set formats.columns in map.yaml",
                    Severity.WARNING,
                )
            )
    return main, {n: o for n, o in orders.items() if o != main}, problems


def _decimal(con: duckdb.DuckDBPyConnection, assignment: Assignment, vocabulary: Vocabulary) -> str:
    points = commas = 0
    for table, column in _typed(assignment, vocabulary, ("money",)):
        row = con.execute(
            f"SELECT count(*) FILTER (regexp_matches({quoted(column)}, '\\.\\d{{1,2}}\\D*$')), "
            f"count(*) FILTER (regexp_matches({quoted(column)}, ',\\d{{1,2}}\\D*$')) FROM raw.{quoted(table)}"
        ).fetchone()
        points, commas = points + (row[0] if row else 0), commas + (row[1] if row else 0)
    return "," if commas > points else "."


def write_proposals(proposals: Proposals, folder: Path) -> Path:
    """Write `proposals.json`, and the patch `map.yaml`; return the latter's path.

    An existing map.yaml is a person's: only tables and columns that it doesn't name yet are added, comments stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    listed = [
        {k: v for k, v in asdict(c).items() if k not in ("object", "field")}
        | {"logical": f"{c.object}.{c.field}" if c.field else ""}
        for c in proposals.columns
    ]
    (folder / "proposals.json").write_bytes(orjson.dumps(listed, option=orjson.OPT_INDENT_2))
    path = folder / "map.yaml"
    yaml = YAML()
    yaml.width = 160
    document: Any = yaml.load(path.read_text(encoding="utf-8")) if path.is_file() else None
    if document is None:
        document = _new_document(proposals)
    document.setdefault("formats", CommentedMap({"date_order": proposals.date_order, "decimal": proposals.decimal}))
    _add_tables(document.setdefault("tables", CommentedMap()), proposals)
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(document, file)
    return path


def _new_document(proposals: Proposals) -> CommentedMap:
    document = CommentedMap()
    document.yaml_set_start_comment(
        f"The map of this engagement: a patch over the pair {proposals.pair.label}.\n"
        "Change what stands here; whatever isn't named is as the pair says. Any change voids the approval.\n"
    )
    formats = CommentedMap({"date_order": proposals.date_order, "decimal": proposals.decimal})
    if proposals.date_orders:
        formats["columns"] = CommentedMap(proposals.date_orders)
    document["formats"] = formats
    formats.yaml_add_eol_comment("mdy: month first, dmy: day first, empty: nobody knows", "date_order")
    choices = CommentedMap()
    for name, choice in proposals.pair.choices.items():
        choices[name] = choice.chosen
        choices.yaml_add_eol_comment(f"{choice.question} ({' | '.join(choice.options)})", name)
    document["choices"] = choices
    dated = [s for s in proposals.pair.steps if s.history]
    if dated:
        document["history"] = CommentedMap({s.step: "" for s in dated})
        document.yaml_set_comment_before_after_key(
            "history",
            before="\nHow far back each goes: 5y (five years before the run), a day YYYY-MM-DD, empty: everything.",
        )
    document["steps"] = CommentedMap()
    document.yaml_set_comment_before_after_key(
        "steps",
        before='\nPatches by step, e.g.  patients: {error_budget: 0.1, fields: {gender: {values: {"9": OTHER}}}}',
    )
    document["tables"] = CommentedMap()
    document.yaml_set_comment_before_after_key(
        "tables", before="\nWhat each table and column was recognised as. `null`: not used. A `?` wants a second look."
    )
    return document


def _add_tables(tables: Any, proposals: Proposals) -> None:
    for name, match in proposals.assignment.tables.items():
        entry = tables.get(name)
        if entry is None:
            entry = tables[name] = CommentedMap({"object": match.object or None, "columns": CommentedMap()})
            if match.object and match.confidence < SURE:
                entry.yaml_add_eol_comment(f"? {match.confidence:.2f} {match.evidence}", "object")
        columns = entry["columns"]
        for column, c in match.columns.items():
            if column not in columns:
                columns[column] = c.field if c.field and match.object else None
                if c.field and c.confidence < SURE:
                    columns.yaml_add_eol_comment(f"? {c.confidence:.2f} {c.evidence}", column)
