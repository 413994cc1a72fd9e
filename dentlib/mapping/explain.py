"""Say, field by field, what a prepared record is made of: source columns and texts beside the intended value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import orjson

from dentlib.mapping.map import Map
from dentlib.mapping.uses import references_of
from dentlib.model import PREPARED_PROBLEMS
from dentlib.pairs import Step
from dentlib.workdb import quoted


@dataclass(frozen=True, slots=True)
class ExplainRow:
    """One field of one record. `source` and `intended` are unmasked: mask by `identifier_class` before showing."""

    step: str
    source_key: str
    record_id: str
    field: str
    source_columns: str
    source: str
    intended: str
    identifier_class: str
    problem: str


@dataclass(frozen=True, slots=True)
class _Origin:
    """The source of one destination field: (object, logical field, reference column) and a note where it is none."""

    fields: tuple[str, ...]
    note: str = ""


def explain(con: duckdb.DuckDBPyConnection, map: Map, step_name: str, source_keys: Sequence[str]) -> list[ExplainRow]:
    """Return one row per field of each record, in the order of the keys; reads `prepared` and `staged` only."""
    step = map.pair.step(step_name)
    wanted = list(dict.fromkeys(source_keys))
    records = {
        r[0]: (r[1], orjson.loads(r[2]))
        for r in con.execute(
            f"SELECT source_key, record_id, payload FROM prepared.{quoted(step_name)} "
            "WHERE list_contains(?, source_key)",
            [wanted],
        ).fetchall()
    }
    sources = _staged(con, step, wanted)
    problems: dict[tuple[str, str], list[str]] = {}
    for key, field, reason in con.execute(
        f"SELECT source_key, field, reason FROM {PREPARED_PROBLEMS} WHERE step = ? AND list_contains(?, source_key)",
        [step_name, wanted],
    ).fetchall():
        problems.setdefault((key, field), []).append(reason)
    origins = _origins(map, step)
    kept = kept_as_text(map, step)
    labels = {s.step: s.label.lower() for s in map.active_steps}
    elsewhere = {
        f"{name}Id": f"found among: {', '.join(labels[s] for s in lookup.or_in if s in labels)}"
        for name, lookup in step.lookups.items()
        if lookup.or_in
    }
    rows: list[ExplainRow] = []
    for key in wanted:
        if key not in records:
            continue
        record_id, payload = records[key]
        for path, value in _flat(payload, origins):
            if path in kept:
                told_elsewhere = "values that could not be carried over as they were"
                rows.append(
                    ExplainRow(
                        step_name, key, record_id, path, f"({told_elsewhere})", "", _shown(value), "free_text", ""
                    )
                )
                continue
            origin = origins.get(path) or origins.get(path.split(".")[0]) or _Origin((), "given by the map")
            told = [(f, sources.get(key, {}).get(f)) for f in origin.fields]
            texts = "; ".join(str(v) for _, v in told if v is not None) or (origin.note if not origin.fields else "")
            columns = ", ".join(_columns(map, step.from_, f) for f in origin.fields) or f"({origin.note})"
            reason = "; ".join(problems.get((key, path), ()) or problems.get((key, path.split(".")[0]), ()))
            if value is None and texts and origin.fields and not reason:
                reason = elsewhere.get(path, "")
            rows.append(
                ExplainRow(
                    step_name,
                    key,
                    record_id,
                    path,
                    columns,
                    texts,
                    _shown(value),
                    _identifier(map, step.from_, origin.fields),
                    reason,
                )
            )
    return rows


def kept_as_text(map: Map, step: Step) -> set[str]:
    """Return the fields that take the texts of values which could not be carried as they were."""
    rules = [*map.fields_of(step).values(), *([step.created] if step.created else [])]
    decisions = [d for r in rules for d in (r.missing, r.invalid, r.unmapped) if d is not None]
    decisions += [lookup.orphan for lookup in step.lookups.values()]
    return {d.keep_as_text for d in decisions if d.keep_as_text}


def _staged(con: duckdb.DuckDBPyConnection, step: Step, keys: list[str]) -> dict[str, dict[str, Any]]:
    result = con.execute(
        f"SELECT * FROM staged.{quoted(step.from_)} WHERE _fate = 'first' AND list_contains(?, _key)", [keys]
    )
    names = [d[0] for d in result.description or ()]
    return {row[names.index("_key")]: dict(zip(names, row, strict=True)) for row in result.fetchall()}


def _origins(map: Map, step: Step) -> dict[str, _Origin]:
    found: dict[str, _Origin] = {}
    for path, rule in map.fields_of(step).items():
        references = references_of(rule)
        related = [step.related[r[1:]] for r in references if r.startswith("$")]
        note = "; ".join(f"{r.take} of {r.object}.{r.field}" for r in related) or "constant of the map"
        fields = tuple(
            f for r in references if not r.startswith("$") for f in _made_of(map, step.from_, r.split(".")[0])
        )
        found[path] = _Origin(fields, note)
    for name, lookup in step.lookups.items():
        found[f"{name}Id"] = _Origin((lookup.source.split(".")[0],), "")
    if step.owner is not None:
        source = (step.owner.source,) if step.owner.source else ()
        for field in (step.owner.field, step.owner.name_field):
            if field:
                found[field] = _Origin(source, "the fallback owner")
    if step.created is not None:
        fields = tuple(f for r in step.created.source for f in _made_of(map, step.from_, r))
        found["createdAt"] = found["originalCreatedAt"] = _Origin(fields)
    elif step.prefix:
        found["originalCreatedAt"] = _Origin((), "the source keeps no date of creation")
    if step.prefix:
        found["sourceSystemId"] = _Origin((step.key,) if step.key != "content" else (), "content of the row")
    return found


def _made_of(map: Map, object_name: str, field: str) -> tuple[str, ...]:
    present = map.columns.get(object_name, {})
    words = map.vocabulary.field(object_name, field)
    if field in present or words is None or not words.made_of:
        return (field,)
    return words.made_of


def _columns(map: Map, object_name: str, field: str) -> str:
    return (
        " / ".join(column for _, column in map.columns.get(object_name, {}).get(field, ())) or f"({field}: no column)"
    )


def _identifier(map: Map, object_name: str, fields: tuple[str, ...]) -> str:
    classes = [w.identifier for f in fields if (w := map.vocabulary.field(object_name, f)) is not None and w.identifier]
    if len(set(classes)) > 1:
        return "free_text"
    return classes[0] if classes else ""


def _flat(payload: dict[str, Any], origins: dict[str, _Origin]) -> list[tuple[str, Any]]:
    """List a payload's fields; composites part by part where the map fills them part by part."""
    rows: list[tuple[str, Any]] = []
    parts: dict[str, list[str]] = {}
    for path in origins:
        if "." in path:
            parts.setdefault(path.split(".")[0], []).append(path)
    for name, value in payload.items():
        if name == "id":
            continue
        if name not in parts or (isinstance(value, dict) and value.get("additionalEmails")):
            rows.append((name, value))
            continue
        rows += [(p, value.get(p.split(".")[1]) if isinstance(value, dict) else None) for p in parts[name]]
    return rows


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
