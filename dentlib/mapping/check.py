"""Check a map against the export and the destination: everything that is wrong, at once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import duckdb

from dentlib.errors import MapError
from dentlib.mapping.functions import BLANKS
from dentlib.mapping.map import Map
from dentlib.mapping.references import References, field_sql, left_out, spellings
from dentlib.mapping.rules import RuleCompiler
from dentlib.mapping.schema import ORIGINAL_DATE, SOURCE_ID, link_columns, wanted_schema, written_by
from dentlib.mapping.staging import CONTENT_KEY, raw_columns
from dentlib.mapping.uses import references_of
from dentlib.mapping.values import ValueContext
from dentlib.model import DestinationSchema, Problem, Severity, WantedSchema
from dentlib.pairs import FieldRule, Step
from dentlib.vocabulary import FieldWords
from dentlib.workdb import literal, quoted
from dentlib.yamltext import line_of

RESERVED = frozenset(
    [
        "event",
        "events",
        "plan",
        "plans",
        "job",
        "jobs",
        "user",
        "users",
        "role",
        "roles",
        "type",
        "types",
        "field",
        "fields",
        "link",
        "links",
        "object",
        "objects",
        "index",
        "relation",
        "relations",
        "currency",
        "currencies",
        "fullNames",
        "address",
        "addresses",
        "aggregate",
        "search",
        "searches",
        "workspace",
        "workspaces",
        "appToken",
        "appTokens",
        "approvedAccessDomain",
        "approvedAccessDomains",
        "featureFlag",
        "featureFlags",
        "keyValuePair",
        "keyValuePairs",
        "twoFactorMethod",
        "twoFactorMethods",
        "userWorkspace",
        "userWorkspaces",
        "userWorkspaceRole",
        "userWorkspaceRoles",
    ]
)
"""Names that Twenty refuses for objects and fields."""


def check(map: Map, con: duckdb.DuckDBPyConnection, schema: DestinationSchema | None = None) -> list[Problem]:
    """Return everything that is wrong with a map, errors first. Reads schema `raw` only.

    An error keeps the map from being approved. With the destination's `schema`, fields and options are held against it.
    """
    found = [*_tables(map, con), *_steps(map), *_lookups(map), *_dates(map, con)]
    if not any(p.severity is Severity.ERROR for p in found):
        wanted = wanted_schema(map, con)
        found += [*_schema(map, wanted, schema), *_options(map, wanted, schema), *_values(map, con), *_keys(map, con)]
    order = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}
    return sorted(found, key=lambda p: order[p.severity])


def _at(map: Map, *keys: str) -> str:
    name = map.path.name if map.path else "map.yaml"
    line = line_of(map.path, keys) if map.path else 0
    return f"{name}, line {line}: {'.'.join(keys)}" if line else f"{name}: {'.'.join(keys)}"


# ---- tables and columns ----


def _tables(map: Map, con: duckdb.DuckDBPyConnection) -> Iterator[Problem]:
    columns = raw_columns(con)
    objects = map.vocabulary.objects
    for table, words in map.tables.items():
        if table not in columns:
            yield Problem(
                "table_not_in_export", _at(map, "tables", table), "the export has no such table", "", Severity.WARNING
            )
            continue
        if words.object is None:
            continue
        if words.object not in objects:
            hint = f"known are: {', '.join(objects)}"
            yield Problem("unknown_object", _at(map, "tables", table), f"no object `{words.object}`", hint)
            continue
        seen: dict[str, str] = {}
        for column, field in words.columns.items():
            where = ("tables", table, "columns", column)
            if column not in columns[table]:
                yield Problem(
                    "column_not_in_export", _at(map, *where), "the table has no such column", "", Severity.WARNING
                )
            elif field is not None and field not in objects[words.object].fields:
                hint = f"known are: {', '.join(objects[words.object].fields)}"
                yield Problem("unknown_field", _at(map, *where), f"{words.object} has no field `{field}`", hint)
            elif field is not None and field in seen:
                message = f"`{field}` is already column {seen[field]}"
                yield Problem("field_twice", _at(map, *where), message, "set one of the two to null")
            if field is not None:
                seen.setdefault(field, column)
    for table, names in columns.items():
        if table not in map.tables:
            yield Problem("table_undecided", table, "the map says nothing about this table", "dentlib review adds it")
        else:
            for column in names:
                if column not in map.tables[table].columns:
                    message = "the map says nothing about this column"
                    yield Problem("column_undecided", f"{table}.{column}", message, "name its field, or null")


# ---- steps ----


def _steps(map: Map) -> Iterator[Problem]:
    context = ValueContext("UTC", "USD", "US", date(2026, 1, 1), map.formats.date_order, map.formats.decimal)
    for step in map.pair.steps:
        if step.from_ not in map.vocabulary.objects:
            yield Problem("unknown_object", step.step, f"no object `{step.from_}` in the vocabulary")
            continue
        references = References(map, step, context)
        for name in step.related:
            references.related[name] = (f"related_{name}", "VARCHAR[]")
        compiler = RuleCompiler(references)
        rules = dict(step.fields) | ({"createdAt": step.created} if step.created else {})
        for path, rule in rules.items():
            try:
                compiler.compile(path, rule)
            except (MapError, KeyError) as error:
                message = error.message if isinstance(error, MapError) else f"unknown name {error}"
                yield Problem("rule_not_usable", f"{step.step}: {path}", message, "mend the rule")
        yield from _conditions(step, references)
        yield from _matches(map, step)
        if step not in map.active_steps:
            continue
        present = map.columns[step.from_]
        if step.key != CONTENT_KEY and step.key not in present:
            yield Problem(
                "key_absent",
                step.step,
                f"no column holds the key `{step.key}`",
                "name it under tables:, or use key: content",
            )
        for path, rule in rules.items():
            if rule.missing is not None and rule.missing.do == "reject" and not _has_source(map, step, rule):
                message = "it is required, but no column of the export holds it"
                yield Problem(
                    "required_source_absent",
                    f"{step.step}: {path}",
                    message,
                    "name the column under tables:, or decide otherwise",
                )


def _matches(map: Map, step: Step) -> Iterator[Problem]:
    """What a step compares with the workspace's records, it must fill itself; only numbers may be kept by all."""
    filled = {*map.fields_of(step), *([SOURCE_ID] if step.prefix else [])}
    for rule in step.match.by if step.match else ():
        for path in rule:
            if path not in filled and path.removesuffix(".primaryPhoneNumber") not in filled:
                hint = f"this step fills: {', '.join(sorted(filled))}"
                yield Problem("match_not_usable", f"{step.step}: match", f"the step doesn't fill `{path}`", hint)
    for path, field in step.fields.items():
        if field.shared == "keep_all" and "." in path:
            yield Problem(
                "shared_not_usable",
                f"{step.step}: {path}",
                "an address must be unique in the destination, so not all can keep it",
                "shared: first_keeps_it",
            )


def _conditions(step: Step, references: References) -> Iterator[Problem]:
    conditions = [rule.when for rule in step.where] + [step.only]
    conditions += [o.when for rule in step.fields.values() for o in rule.overrides]
    for condition in conditions:
        try:
            references.condition(condition)
        except MapError as error:
            yield Problem("condition_not_usable", step.step, error.message, error.hint)


def _has_source(map: Map, step: Step, rule: FieldRule) -> bool:
    wanted = references_of(rule)
    plain = [r for r in wanted if "." not in r and not r.startswith("$")]
    return len(plain) < len(wanted) or any(field_sql(map, step.from_, r, "s") != "NULL::VARCHAR" for r in plain)


def _lookups(map: Map) -> Iterator[Problem]:
    order = [s.step for s in map.pair.steps]
    active = {s.step for s in map.active_steps}
    for step in map.pair.steps:
        for name, lookup in step.lookups.items():
            where = f"{step.step}: {name}"
            if lookup.step not in order:
                yield Problem(
                    "lookup_step_unknown", where, f"there is no step `{lookup.step}`", f"known are: {', '.join(order)}"
                )
            elif order.index(lookup.step) >= order.index(step.step):
                message = f"step `{lookup.step}` is loaded later, or is this step: a cycle"
                yield Problem(
                    "lookup_not_before", where, message, "move the step up; a record can only point to one that exists"
                )
            elif step.step in active and lookup.step not in active:
                hard = lookup.orphan.do in ("reject", "follow")
                message = f"step `{lookup.step}` has no table in this export" + (
                    ", so every row is rejected" if hard else ""
                )
                severity = Severity.ERROR if hard and not _never_filled(map, step, lookup.source) else Severity.INFO
                yield Problem(
                    "lookup_step_absent", where, message, "decide orphan: leave_empty, or add the table", severity
                )


def _never_filled(map: Map, step: Step, source: str) -> bool:
    return "." not in source and field_sql(map, step.from_, source, "s") == "NULL::VARCHAR"


# ---- dates, keys, values ----


def _dates(map: Map, con: duckdb.DuckDBPyConnection) -> Iterator[Problem]:
    columns = raw_columns(con)
    for object_name, fields in map.columns.items():
        for field, places in fields.items():
            words = map.vocabulary.field(object_name, field)
            if words is None or words.type not in ("date", "datetime") or map.date_order(object_name, field):
                continue
            for table, column in places:
                if column not in columns.get(table, ()):
                    continue
                text = f"trim({quoted(column)}, {BLANKS})"
                row = con.execute(
                    f"SELECT count(*) FROM raw.{quoted(table)} "
                    f"WHERE regexp_matches({text}, '^\\d{{1,2}}[/.\\-]\\d{{1,2}}[/.\\-]\\d{{4}}')"
                ).fetchone()
                if row and row[0]:
                    message = "day and month can't be told apart, and nobody said which comes first"
                    hint = "ask the practice; set formats.date_order in map.yaml to mdy or dmy"
                    yield Problem("date_order_unknown", f"{table}.{column}", message, hint, Severity.ERROR, row[0])


def _keys(map: Map, con: duckdb.DuckDBPyConnection) -> Iterator[Problem]:
    columns = raw_columns(con)
    for object_name in dict.fromkeys(s.from_ for s in map.active_steps if s.key != CONTENT_KEY):
        key = next(s.key for s in map.active_steps if s.from_ == object_name)
        for table, column in map.columns[object_name].get(key, ()):
            name = f"nullif(trim({quoted(column)}, {BLANKS}), '')"
            content = ", ".join(f"coalesce({quoted(c)}, chr(1))" for c in columns[table])
            row = con.execute(
                f"SELECT coalesce(sum(n), 0), (SELECT count(*) FROM raw.{quoted(table)} WHERE {name} IS NULL) FROM "
                f"(SELECT count(*) AS n FROM raw.{quoted(table)} WHERE {name} IS NOT NULL GROUP BY {name} "
                f"HAVING count(*) > 1 AND count(DISTINCT md5(concat_ws(chr(31), {content}))) > 1)"
            ).fetchone()
            for count, code, message in (
                (int(row[0]) if row else 0, "key_not_unique", "rows share a key but differ; they will be rejected"),
                (int(row[1]) if row else 0, "key_missing", "rows have no key; they will be rejected"),
            ):
                if count:
                    yield Problem(
                        code,
                        f"{table}.{column}",
                        message,
                        "mend the export, or choose another key",
                        Severity.WARNING,
                        count,
                    )


def _values(map: Map, con: duckdb.DuckDBPyConnection) -> Iterator[Problem]:
    """Count the rows whose value a value map doesn't know."""
    for step in map.active_steps:
        for path, rule in map.fields_of(step).items():
            if not rule.values or len(rule.source) != 1 or "." in rule.source[0] or rule.source[0].startswith("$"):
                continue
            words = map.vocabulary.field(step.from_, rule.source[0])
            known = _known(words, (*rule.values, *left_out(map, step, rule.source[0])))
            for table, column in map.columns[step.from_].get(rule.source[0], ()):
                text = f"lower(trim({quoted(column)}, {BLANKS}))"
                row = con.execute(
                    f"SELECT count(*), count(DISTINCT {text}) FROM raw.{quoted(table)} "
                    f"WHERE {text} <> '' AND {text} NOT IN ({known})"
                ).fetchone()
                if row and row[0]:
                    values = "1 value" if row[1] == 1 else f"{row[1]:,} values"
                    rows = "1 row" if row[0] == 1 else f"{row[0]:,} rows"
                    message = f"{values} in {rows} not in the value map"
                    yield Problem(
                        "values_unmapped",
                        f"{step.step}: {path} ({table}.{column})",
                        message,
                        "add them to the map, or keep its decision",
                        Severity.WARNING,
                        row[0],
                    )


def _known(words: FieldWords | None, values: tuple[str, ...]) -> str:
    return ", ".join(literal(v.lower()) for v in spellings(words, values))


# ---- the destination ----


def _schema(map: Map, wanted: WantedSchema, schema: DestinationSchema | None) -> Iterator[Problem]:
    for o in wanted.objects:
        for name in (o.name, o.plural):
            if name in RESERVED:
                yield Problem(
                    "reserved_name", o.name, f"`{name}` is reserved in the destination", "choose another name"
                )
    inverse: dict[tuple[str, str], str] = {}
    declared: dict[str, set[str]] = {}
    for f in wanted.fields:
        declared.setdefault(f.object, set()).add(f.name)
        if f.name in RESERVED:
            yield Problem(
                "reserved_name",
                f"{f.object}.{f.name}",
                "the name is reserved in the destination",
                "choose another name",
            )
        if f.type == "RELATION":
            if not f.target or not f.inverse_label:
                yield Problem(
                    "relation_incomplete", f"{f.object}.{f.name}", "a relation needs target and inverse_label"
                )
            key = (f.target, f.inverse_label.lower())
            if key in inverse:
                message = f"the list “{f.inverse_label}” on {f.target} is already made by {inverse[key]}"
                yield Problem("inverse_label_taken", f"{f.object}.{f.name}", message, "give it another inverse_label")
            inverse[key] = f"{f.object}.{f.name}"
        if any("," in o.label for o in f.options):
            yield Problem(
                "option_label", f"{f.object}.{f.name}", "a label of an option holds a comma", "write it without"
            )
    if schema is None:
        return
    custom = {o.name for o in wanted.objects}
    for step in map.active_steps:
        there = schema.objects.get(step.to)
        if there is None and step.to not in custom:
            yield Problem("unknown_destination_object", step.step, f"the destination has no object `{step.to}`")
            continue
        known = set(there.fields) if there else {"name", "createdAt"}
        links = link_columns(map, step, schema)
        columns = {c for f in there.fields.values() for c in f.columns} if there else set()
        for name in sorted(written_by(map, step) - known - declared.get(step.to, set()) - {SOURCE_ID, ORIGINAL_DATE}):
            if f"{name}Id" not in columns and links.get(name) not in columns:
                yield Problem(
                    "unknown_destination_field",
                    f"{step.step}: {name}",
                    f"{step.to} has no field `{name}`",
                    "declare it under schema:, or choose another",
                )


def _options(map: Map, wanted: WantedSchema, schema: DestinationSchema | None) -> Iterator[Problem]:
    allowed: dict[tuple[str, str], set[str]] = {}
    for f in wanted.fields:
        if f.type in ("SELECT", "MULTI_SELECT"):
            allowed.setdefault((f.object, f.name), set()).update(o.value for o in f.options)
    if schema is not None:
        for o in schema.objects.values():
            for field in o.fields.values():
                if field.options:
                    allowed.setdefault((o.name, field.name), set()).update(x.value for x in field.options)
    extended = {(f.object, f.name) for f in wanted.fields if f.extend}
    for step in map.active_steps:
        mark = step.deletions.mark if step.deletions is not None else None
        if mark is not None and str(mark.value) not in allowed.get((step.to, mark.field), {str(mark.value)}):
            message = f"`{mark.value}` is no option of {step.to}.{mark.field}"
            yield Problem("option_absent", f"{step.step}: deletions.mark", message, "add it under schema:")
        for path, rule in map.fields_of(step).items():
            known = allowed.get((step.to, path))
            if known is None or (schema is None and (step.to, path) in extended):
                continue
            targets = {*rule.values.values(), *(o.value for o in rule.overrides)}
            targets.update(d.value for d in (rule.missing, rule.invalid, rule.unmapped) if d is not None)
            if rule.constant is not None:
                targets.add(rule.constant)
            for target in sorted({str(t) for t in targets if t is not None} - known):
                yield Problem(
                    "option_absent",
                    f"{step.step}: {path}",
                    f"`{target}` is no option of {step.to}.{path}",
                    "add it under schema:, or map to another",
                )
