"""Say what an export is: inventory, profile, keys, relations, findings. Opens no file and no socket."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from dentlib.audit import notices
from dentlib.audit.checks import Ground, load_checks, run_checks
from dentlib.audit.keys import Key, exact_duplicates, find_key, find_relationships
from dentlib.audit.profile import Column, profile_columns
from dentlib.audit.views import LogicalView, lay_views
from dentlib.clock import Clock
from dentlib.errors import ExportError
from dentlib.facts import AuditFacts, Finding, IntakeFacts, RelationshipFacts, TableFacts
from dentlib.model import Progress, Severity, Silence, content_hash
from dentlib.vocabulary import FieldWords, Vocabulary
from dentlib.vocabulary.match import Assignment, TableShape, assign
from dentlib.workdb import quoted

_ORDER = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}


def audit(
    con: duckdb.DuckDBPyConnection,
    intake: IntakeFacts,
    vocabulary: Vocabulary,
    *,
    engagement: str,
    client: str,
    clock: Clock,
    progress: Progress | None = None,
) -> AuditFacts:
    """Examine the raw tables of an export and return everything the audit page, the map and the quote need.

    Reads `raw` and `meta`; the one thing it writes is `meta.tables.object`, the object each table was recognised as.
    Idempotent; the same tables on the same day give the same facts. Identifying columns carry neither values nor
    unmasked examples, and no frequency below 5 is told.
    """
    names = _tables(con)
    assignment = assign([TableShape(t, tuple(c)) for t, c in names.items()], vocabulary)
    con.executemany(
        "UPDATE meta.tables SET object = ? WHERE name = ?",
        [[m.object or None, m.table] for m in assignment.tables.values()],
    )
    columns = profile_columns(con, names, _known(assignment, vocabulary), progress or Silence())
    duplicates = {t: exact_duplicates(con, t, c) for t, c in names.items()}
    keys = {t: _key(con, t, c, columns, duplicates[t], assignment, vocabulary) for t, c in names.items()}
    relationships = find_relationships(con, columns, keys, assignment, vocabulary)
    tables = _table_facts(con, names, assignment, keys)
    views = lay_views(con, assignment, vocabulary, columns, duplicates)
    ground = Ground(
        con,
        views,
        vocabulary,
        {(r.child_table, r.child_column): r for r in relationships},
        {c: it.facts.identifier_class for c, it in columns.items()},
        clock.now().date(),
    )
    return AuditFacts(
        engagement=engagement,
        client=client,
        source=vocabulary.source,
        intake=intake,
        tables=tuple(tables.values()),
        columns=tuple(c.facts for c in columns.values()),
        relationships=tuple(relationships),
        findings=_findings(ground, intake, columns, relationships, tables, keys, duplicates),
        missing_objects=tuple(
            name for name, words in vocabulary.objects.items() if words.expected and name not in assignment.objects
        ),
        structure_hash=content_hash(structure(con, assignment, vocabulary, columns)),
    )


def require_known_tables(facts: AuditFacts) -> None:
    """Raise ExportError where not one table is what the vocabulary knows: there would be nothing to map."""
    if not any(t.object for t in facts.tables):
        names = ", ".join(t.name for t in facts.tables[:10])
        raise ExportError(
            f"none of the {len(facts.tables)} table(s) is one that `{facts.source}` has (found: {names})",
            "check that --source names the right product and that this is the whole export",
        )


def structure(
    con: duckdb.DuckDBPyConnection,
    assignment: Assignment,
    vocabulary: Vocabulary,
    columns: Mapping[tuple[str, str], Column],
) -> dict[str, Any]:
    """Return what an approval of the map stands on: tables, columns, their meaning, date styles and mapped values.

    Rows and other values don't belong to it, so that a later round of the same structure keeps the approval. Reads
    only.
    """
    tables: dict[str, Any] = {}
    for (table, column), it in columns.items():
        match = assignment.tables[table]
        field_name = match.columns[column].field
        words = vocabulary.field(match.object, field_name) if match.object and field_name else None
        entry: dict[str, Any] = {"field": f"{match.object}.{field_name}" if field_name else ""}
        if words is not None:
            entry["type"] = words.type
            entry["dates"] = sorted(f for f, _ in it.dates.formats)
            if words.mapped_list:
                entry["values"] = _values(con, table, column)
        tables.setdefault(table, {})[column] = entry
    return tables


def _values(con: duckdb.DuckDBPyConnection, table: str, column: str) -> list[str]:
    text = f"trim({quoted(column)})"
    query = f"SELECT DISTINCT {text} FROM raw.{quoted(table)} WHERE {text} <> '' ORDER BY 1"
    return [v for (v,) in con.execute(query).fetchall()]


def _tables(con: duckdb.DuckDBPyConnection) -> dict[str, list[str]]:
    tables: dict[str, list[str]] = {}
    query = "SELECT table_name, column_name FROM meta.columns ORDER BY table_name, position"
    for table, column in con.execute(query).fetchall():
        tables.setdefault(table, []).append(column)
    return tables


def _known(assignment: Assignment, vocabulary: Vocabulary) -> dict[tuple[str, str], FieldWords]:
    return {
        (match.table, c.column): vocabulary.objects[match.object].fields[c.field]
        for match in assignment.tables.values()
        if match.object
        for c in match.columns.values()
        if c.field
    }


def _key(
    con: duckdb.DuckDBPyConnection,
    table: str,
    names: Sequence[str],
    columns: Mapping[tuple[str, str], Column],
    duplicates: int,
    assignment: Assignment,
    vocabulary: Vocabulary,
) -> Key:
    match = assignment.tables[table]
    wanted = vocabulary.objects[match.object].key if match.object else ""
    declared = next((c.column for c in match.columns.values() if wanted and c.field == wanted), "")
    return find_key(con, table, {n: columns[table, n] for n in names}, duplicates, declared)


def _table_facts(
    con: duckdb.DuckDBPyConnection,
    names: Mapping[str, Sequence[str]],
    assignment: Assignment,
    keys: Mapping[str, Key],
) -> dict[str, TableFacts]:
    files: dict[str, list[str]] = {}
    for name, file in con.execute("SELECT name, file FROM meta.tables ORDER BY name, file").fetchall():
        files.setdefault(name, []).append(file)
    facts = {}
    for table, columns in names.items():
        row = con.execute(f"SELECT count(*) FROM raw.{quoted(table)}").fetchone()
        assert row is not None
        facts[table] = TableFacts(
            table,
            int(row[0]),
            len(columns),
            assignment.tables[table].object,
            keys[table].columns,
            keys[table].note,
            tuple(files.get(table, ())),
        )
    return facts


def _findings(
    ground: Ground,
    intake: IntakeFacts,
    columns: Mapping[tuple[str, str], Column],
    relationships: list[RelationshipFacts],
    tables: Mapping[str, TableFacts],
    keys: Mapping[str, Key],
    duplicates: Mapping[str, int],
) -> tuple[Finding, ...]:
    empty = Counter(t for (t, _), c in columns.items() if c.facts.rows and not c.facts.filled)
    found = run_checks(ground)
    found += notices.notices_about_files(ground.con, intake)
    found += notices.notices_about_tables(tables, keys, duplicates, empty)
    found += notices.notices_about_dates(columns, _covered(ground.views, "unreadable"))
    found += notices.notices_about_relations(relationships, _covered(ground.views, "orphans"))
    return tuple(sorted(found, key=lambda f: (_ORDER[f.severity], -f.count, f.kind, f.table, f.column)))


def _covered(views: Mapping[str, LogicalView], what: str) -> set[tuple[str, str]]:
    """Return the columns that a check of this sort counts already."""
    places = set()
    for check in load_checks():
        object_name, _, field_name = str(getattr(check, what)).partition(".")
        view = views.get(object_name)
        if view is not None and field_name in view.sources:
            places.add(view.sources[field_name])
    return places
