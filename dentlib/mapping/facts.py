"""The map as a person reads it: every column of the export, value maps with frequencies, what stays and why."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import duckdb

from dentlib.facts import MapLine, MappingFacts, OwnerRow, ValueMapFacts
from dentlib.mapping.access import access_rows
from dentlib.mapping.functions import BLANKS
from dentlib.mapping.map import Map
from dentlib.mapping.owners import OWNERS, owner_rows
from dentlib.mapping.references import left_out, spellings, text_tests
from dentlib.mapping.schema import SOURCE_ID
from dentlib.mapping.sharing import household_facts
from dentlib.mapping.staging import raw_columns
from dentlib.mapping.uses import Use, active_uses
from dentlib.model import PREPARED_OUTCOMES, Problem, SchemaItem
from dentlib.privacy import SMALL_CELL
from dentlib.vocabulary.match import TableShape, assign, fold
from dentlib.workdb import quoted

_MOST_VALUES = 60


def mapping_facts(
    con: duckdb.DuckDBPyConnection,
    map: Map,
    *,
    engagement: str,
    client: str,
    problems: Sequence[Problem],
    schema: Sequence[SchemaItem],
    roles_that_read: Callable[[str], Sequence[str]] | None = None,
) -> MappingFacts:
    """Return the mapping document's facts. Reads only; owners and scope are those of the last preparation, else empty.

    `roles_that_read(object)` tells which of the destination's roles see an object; without it `access` stays empty.
    """
    columns = raw_columns(con)
    counts = {t: _fill(con, t, names) for t, names in columns.items()}
    return MappingFacts(
        engagement=engagement,
        client=client,
        lines=tuple(_lines(map, columns, counts)),
        value_maps=tuple(_value_maps(con, map)),
        schema=tuple(schema),
        owners=_owners(con, map),
        tables_not_migrated=tuple(_tables_not_migrated(map, counts)),
        rebuild=tuple(_rebuild(con, map)),
        scope=_scope(con),
        consent=tuple(_consent(con, map)),
        problems=tuple(problems),
        map_hash=map.hash(),
        access=access_rows(map, roles_that_read) if roles_that_read is not None else (),
        households=household_facts(con, map),
    )


def _fill(con: duckdb.DuckDBPyConnection, table: str, names: Sequence[str]) -> dict[str, int]:
    """Count the rows (under the empty name) and the filled cells per column."""
    chosen = "".join(f", count(*) FILTER (trim({quoted(n)}, {BLANKS}) <> '')" for n in names)
    row = con.execute(f"SELECT count(*){chosen} FROM raw.{quoted(table)}").fetchone()
    return dict(zip(["", *names], row or (), strict=True))


def _lines(map: Map, columns: dict[str, tuple[str, ...]], counts: dict[str, dict[str, int]]) -> list[MapLine]:
    recognised = assign([TableShape(t, c) for t, c in columns.items()], map.vocabulary)
    uses = active_uses(map)
    offers = {(o, n): f.offer_name for o, fields in map.pair.schema_.fields.items() for n, f in fields.items()}
    lines = []
    for table, names in columns.items():
        words = map.tables.get(table)
        object_name = (words.object if words else None) or ""
        for column in names:
            field = (words.columns.get(column) if words and object_name else None) or ""
            match = recognised.tables[table].columns[column]
            by_hand = field != match.field
            confidence = 1.0 if by_hand and field else match.confidence if field else 0.0
            evidence = "chosen in the map" if by_hand else match.evidence
            status, places, reason = _status(map, object_name, field, uses.get((object_name, field), ()))
            first = places[0] if places else None
            lines.append(
                MapLine(
                    table,
                    column,
                    f"{object_name}.{field}" if field else "",
                    confidence,
                    evidence,
                    first.step if first else "",
                    first.destination_object if first else "",
                    _all_places(places),
                    ", ".join(dict.fromkeys(o for p in places if (o := _offered(p, offers)))),
                    first.transform if first else "",
                    status,
                    counts[table][column],
                    counts[table][""],
                    reason,
                )
            )
    return lines


def _all_places(places: Sequence[Use]) -> str:
    """Name every field that a column reaches, the telling one first; those of another object with its name."""
    if not places:
        return ""
    home = places[0].destination_object
    named = [p.path if p.destination_object == home else f"{p.destination_object}.{p.path}" for p in places]
    return "; ".join(dict.fromkeys(named))


def _offered(place: Use, offers: dict[tuple[str, str], str]) -> str:
    """Return what the offer to the client calls a place."""
    if place.path == SOURCE_ID:
        return "Source_System_ID__c"
    return offers.get((place.destination_object, place.path.split(".")[0].removesuffix("Id")), "")


def _status(map: Map, object_name: str, field: str, uses: tuple[Use, ...]) -> tuple[str, tuple[Use, ...], str]:
    """Say what becomes of a column: status, the places where it is found afterwards, and why it has none."""
    if not object_name:
        return "not_migrated", (), "the table was not recognised as anything that moves"
    if map.vocabulary.objects[object_name].kind == "definition":
        return "definition", (), "a definition: listed for rebuilding, never migrated"
    places = tuple(u for u in uses if u.role != "condition")
    if places and places[0].role == "key":  # the links of the record's own key lead nowhere else
        places = tuple(u for u in places if u.role != "lookup")
    if places:
        return "mapped", places, ""
    said = map.pair.not_migrated.get(object_name, {}).get(field)
    if said is not None:
        return ("kept_elsewhere" if said.elsewhere else "not_migrated"), (), said.reason
    if uses:
        return "kept_elsewhere", (), "decides how other values arrive"
    owners = map.pair.owners
    if (
        owners is not None
        and object_name == owners.from_
        and field in (owners.key, owners.email, owners.role, *owners.name)
    ):
        return "kept_elsewhere", (), "matches providers to members of the workspace"
    if not field:
        return "not_migrated", (), "not recognised"
    if owners is not None and object_name == owners.from_:
        return "not_migrated", (), "members of staff are matched to members of the workspace, never created"
    if not any(s.from_ == object_name for s in map.active_steps):
        return "not_migrated", (), "nothing of this table moves by this map"
    return "not_migrated", (), "the pair has no place for it"


def _value_maps(con: duckdb.DuckDBPyConnection, map: Map) -> list[ValueMapFacts]:
    found = []
    for step in map.active_steps:
        for path, rule in map.fields_of(step).items():
            if not (rule.values or rule.values_matching) or len(rule.source) != 1 or rule.unmapped is None:
                continue
            source = rule.source[0]
            words = map.vocabulary.field(step.from_, source)
            for table, column in map.columns[step.from_].get(source, ()):
                targets = {s.lower(): str(v) for k, v in rule.values.items() for s in spellings(words, (k,))}
                targets |= {k.lower(): str(v) for k, v in rule.values.items()}
                targets |= {v: f"left out: {why}" for v, why in left_out(map, step, source).items() if v not in targets}
                decision = rule.unmapped.do if rule.unmapped.do != "value" else f"{rule.unmapped.value}"
                if rule.unmapped.keep_as_text:
                    decision += f", kept as text in {rule.unmapped.keep_as_text}"
                rows = con.execute(
                    f"SELECT trim({quoted(column)}, {BLANKS}) AS v, count(*), regexp_full_match(upper(v), ?) "
                    f"FROM raw.{quoted(table)} WHERE v <> '' GROUP BY v ORDER BY count(*) DESC, v LIMIT {_MOST_VALUES}",
                    [rule.values_matching or "\\b\\B"],
                ).fetchall()
                shown = tuple(
                    (v, n, targets.get(v.lower()) or (v.upper() if same else ""))
                    for v, n, same in rows
                    if not (words and words.identifier and n < SMALL_CELL)
                )
                found.append(ValueMapFacts(step.step, path, table, column, shown, decision))
    return found


def _has_table(con: duckdb.DuckDBPyConnection, name: str) -> bool:
    schema, table = name.split(".")
    sql = (
        "SELECT 1 FROM duckdb_tables() WHERE schema_name = ? AND table_name = ? AND database_name = current_database()"
    )
    return con.execute(sql, [schema, table]).fetchone() is not None


def _owners(con: duckdb.DuckDBPyConnection, map: Map) -> tuple[OwnerRow, ...]:
    if not _has_table(con, OWNERS):
        return ()
    return owner_rows(con, map)


def _tables_not_migrated(map: Map, counts: dict[str, dict[str, int]]) -> list[tuple[str, int, str]]:
    found = []
    reads = {s.from_ for s in map.active_steps}
    owners = map.pair.owners.from_ if map.pair.owners else ""
    for table, filled in counts.items():
        words = map.tables.get(table)
        object_name = (words.object if words else None) or ""
        if object_name in reads:
            continue
        if not object_name:
            reason = "not recognised as anything that moves"
        elif map.vocabulary.objects[object_name].kind == "definition":
            reason = "definitions are rebuilt by hand; see the rebuild reference"
        elif object_name == owners:
            reason = "staff is matched to members of the workspace; members are never created"
        else:
            reason = "nothing of this table moves by this map"
        found.append((table, filled[""], reason))
    return found


def _rebuild(con: duckdb.DuckDBPyConnection, map: Map) -> list[dict[str, Any]]:
    """List every definition with trigger, condition and action, how it is rebuilt by hand, and what its words are now.

    `fields` says in which field of the CRM a column named in the definition is found: `AptDate is task.dueAt`.
    """
    found: list[dict[str, Any]] = []
    fields = ("kind", "name", "applies_to", "trigger", "condition", "action", "enabled")
    names = _places_by_column(map)
    for object_name, words in map.vocabulary.objects.items():
        if words.kind != "definition":
            continue
        for table in map.tables_of(object_name):
            places = {f: dict(map.columns[object_name].get(f, ())).get(table) for f in fields}
            chosen = ", ".join(f"{quoted(c)} AS {f}" if c else f"NULL AS {f}" for f, c in places.items())
            for row in con.execute(f"SELECT {chosen} FROM raw.{quoted(table)} ORDER BY _file, _row").fetchall():
                told = {f: v or "" for f, v in zip(fields, row, strict=True)}
                means = map.pair.rebuild.get(_canonical(map, object_name, told["kind"]))
                told["fields"] = ", ".join([*_named_objects(map, told["applies_to"]), *_named_fields(names, told)])
                here = f"; here {told['fields']}" if told["fields"] else ""
                told["means"] = f"{means.means}{here}" if means else ""
                found.append(told)
    if map.pair.rebuild_note:
        found.append(dict.fromkeys((*fields, "fields"), "") | {"kind": "Note", "means": map.pair.rebuild_note})
    return found


def _places_by_column(map: Map) -> dict[str, list[tuple[str, str]]]:
    """Return column name → (table, first place in the CRM), for the columns that arrive."""
    uses = active_uses(map)
    found: dict[str, list[tuple[str, str]]] = {}
    for table, words in map.tables.items():
        for column, field in words.columns.items():
            use = next((u for u in uses.get((words.object or "", field or ""), ()) if u.role != "condition"), None)
            if use is not None:
                found.setdefault(column, []).append((table, f"{use.destination_object}.{use.path}"))
    return found


def _named_objects(map: Map, applies_to: str) -> list[str]:
    """Say what has become of the table that a definition applies to."""
    for table, words in map.tables.items():
        if fold(table).lower() == fold(applies_to).lower():
            objects = dict.fromkeys(s.to for s in map.active_steps if s.from_ == words.object and s.prefix)
            return [f"{applies_to} is {' and '.join(objects)}"] if objects else []
    return []


def _named_fields(names: dict[str, list[tuple[str, str]]], told: dict[str, str]) -> list[str]:
    """Say where the columns are found that a definition names: of the table it applies to, or of the only one."""
    applies = fold(told["applies_to"]).lower()
    said = []
    for word in dict.fromkeys(re.findall(r"\w+", f"{told['trigger']} {told['condition']} {told['action']}")):
        places = names.get(word, [])
        places = [p for p in places if fold(p[0]).lower() == applies] or places
        if len({p for _, p in places}) == 1:
            said.append(f"{word} is {places[0][1]}")
    return said


def _canonical(map: Map, object_name: str, value: str) -> str:
    words = map.vocabulary.objects[object_name].fields["kind"]
    for canonical in words.values:
        if value.strip().lower() in [s.lower() for s in spellings(words, (canonical,))]:
            return canonical
    return value


def _scope(con: duckdb.DuckDBPyConnection) -> tuple[tuple[str, str, int], ...]:
    if not _has_table(con, PREPARED_OUTCOMES):
        return ()
    rows = con.execute(
        f"SELECT step, any_value(reason), count(*) FROM {PREPARED_OUTCOMES} WHERE outcome = 'excluded' "
        "GROUP BY step, code ORDER BY step, code"
    ).fetchall()
    return tuple(rows)


def _consent(con: duckdb.DuckDBPyConnection, map: Map) -> list[tuple[str, int]]:
    found = []
    for what, condition in map.pair.consent.items():
        total, known = 0, False
        for table in map.tables_of("patient"):
            tests = []
            for field, test in condition.items():
                column = dict(map.columns["patient"].get(field, ())).get(table)
                folded = f"lower(trim({quoted(column)}, {BLANKS}))" if column else "NULL"
                tests += text_tests(folded, test.in_, test.not_in) if column else ["false"]
                known = known or column is not None
            row = con.execute(f"SELECT count(*) FROM raw.{quoted(table)} WHERE {' AND '.join(tests)}").fetchone()
            total += int(row[0]) if row else 0
        if known:
            found.append((what, total))
    return found
