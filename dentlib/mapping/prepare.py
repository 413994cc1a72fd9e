"""Apply the map: raw rows → prepared records. Pure of any network; the result lies in schema `prepared`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path

import duckdb
import pyarrow as pa

from dentlib.errors import MapError
from dentlib.mapping.files import look_at_files
from dentlib.mapping.map import Map
from dentlib.mapping.owners import OWNERS, fallback_member, match_owners
from dentlib.mapping.payload import ROWS
from dentlib.mapping.references import field_sql, routing
from dentlib.mapping.schema import link_columns
from dentlib.mapping.sharing import make_table
from dentlib.mapping.staging import CONTENT_KEY, stage
from dentlib.mapping.values import ValueContext
from dentlib.mapping.work_step import StepWork
from dentlib.model import (
    PREPARED_OUTCOMES,
    PREPARED_PROBLEMS,
    DestinationSchema,
    LoadStep,
    MatchRules,
    Member,
    Problem,
    Progress,
    Severity,
    Silence,
)
from dentlib.pairs import Step
from dentlib.workdb import literal, quoted
from dentlib.yamltext import read_yaml


@dataclass(frozen=True, slots=True)
class PrepareContext:
    """What preparing must be told; nothing is guessed.

    `existing_emails`: addresses of records in the workspace that are *not* ours, so that a shared address clashes with
    nobody. `own_emails`: addresses that records of ours hold as their own now → record id: whoever holds an address
    keeps it, and while its holder doesn't give it up nobody else gets it. Records that were there before us and stand
    for a row (`matched`: step → source key → record id) are ours in this. `ambiguous`: step → source keys that fit
    several records, or one with others, and are rejected for it. `max_upload_mb`: None where unknown. `schema`: as the
    destination describes it, for the names of links; without it they have the names that the map gives them.
    """

    engagement: str
    run_date: date
    time_zone: str
    currency: str
    phone_country: str
    members: tuple[Member, ...]
    fallback_owner_email: str
    documents_dir: Path
    max_upload_mb: float | None
    existing_emails: frozenset[str] = frozenset()
    own_emails: Mapping[str, str] = field(default_factory=dict)
    matched: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    ambiguous: Mapping[str, frozenset[str]] = field(default_factory=dict)
    schema: DestinationSchema | None = None


@dataclass(frozen=True, slots=True)
class PreparedFacts:
    """What preparing made. `read` = `prepared` + rejected + excluded + merged, per step.

    `tables`: (raw table, rows, rows that reached a step, rows in no step).
    `problem_counts`: (step, field, code, count).
    """

    steps: tuple[LoadStep, ...]
    read: Mapping[str, int]
    prepared: Mapping[str, int]
    problems: tuple[Problem, ...]
    tables: tuple[tuple[str, int, int, int], ...]
    problem_counts: tuple[tuple[str, str, str, int], ...]


@cache
def reasons() -> dict[str, str]:
    """Return what every code means, in words."""
    return {str(k): str(v) for k, v in read_yaml(Path(__file__).with_name("reasons.yaml")).items()}


def prepare(
    con: duckdb.DuckDBPyConnection, map: Map, context: PrepareContext, progress: Progress | None = None
) -> PreparedFacts:
    """Write schema `prepared` from schema `raw`: one table per step, outcomes, problems, owners.

    Drops and rebuilds; the same input gives the same rows, ids and hashes. Every row of a mapped table ends, per step,
    in exactly one place. All or nothing: what stops half-way leaves `prepared` as it was. Raises MapError for a map
    that can't be applied.
    """
    with _written_at_once(con):
        return _prepare(con, map, context, progress or Silence())


@contextmanager
def _written_at_once(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Write in one transaction, so that no table passes through the log, with the quick ways of packing only.

    The others take longer to weigh up than a store that is thrown away can give back.
    """
    con.execute("SET disabled_compression_methods = 'fsst,dict_fsst,zstd'")
    try:
        con.begin()
        try:
            yield
        except BaseException:
            con.rollback()
            raise
        con.commit()
    finally:
        con.execute("RESET disabled_compression_methods")


def _work(
    con: duckdb.DuckDBPyConnection, map: Map, step: Step, values: ValueContext, context: PrepareContext
) -> StepWork:
    return StepWork(con, map, step, values, context.engagement, link_columns(map, step, context.schema))


def _prepare(con: duckdb.DuckDBPyConnection, map: Map, context: PrepareContext, told: Progress) -> PreparedFacts:
    steps = map.active_steps
    told.start("prepare", len(steps), "steps")
    values = ValueContext(
        context.time_zone,
        context.currency,
        context.phone_country,
        context.run_date,
        map.formats.date_order,
        map.formats.decimal,
    )
    stage(con, map, _keys(map))
    _make_schemas(con, context)
    _note_matches(con, context)
    fallback = fallback_member(map, context.members, context.fallback_owner_email)
    match_owners(con, map, context.members, fallback)
    _look_at_files(con, map, context)
    read: dict[str, int] = {}
    prepared: dict[str, int] = {}
    for step in steps:
        read[step.step], prepared[step.step] = _work(con, map, step, values, context).run(fallback)
        told.advance("prepare")
    _count_owners(con, map, fallback)
    _write_steps(con, map, read, prepared)
    told.finish("prepare", f"{sum(prepared.values()):,} records of {sum(read.values()):,} rows")
    tables = _tables(con, map)
    counts = con.execute(
        f"SELECT step, field, code, count(*)::BIGINT FROM {PREPARED_PROBLEMS} GROUP BY ALL ORDER BY step, field, code"
    ).fetchall()
    problems = tuple(
        Problem(
            "in_no_step",
            table,
            f"{lost:,} of {rows:,} rows are taken by no step",
            "see `only:` in the map",
            Severity.WARNING,
            lost,
        )
        for table, rows, _, lost in tables
        if lost
    )
    load_steps = tuple(load_step(map, s) for s in steps)
    return PreparedFacts(load_steps, read, prepared, problems, tables, tuple(counts))


def load_step(map: Map, step: Step) -> LoadStep:
    """Return what the loader is told about a step."""
    active = {s.step for s in map.active_steps}
    parents = dict.fromkeys(r.step for r in step.lookups.values() if r.step in active and r.step != step.step)
    return LoadStep(
        name=step.step,
        object_name=step.to,
        table=step.step,
        source_prefix=f"{step.prefix}:" if step.prefix else "",
        depends_on=tuple(parents),
        file_field=step.file.field if step.file else "",
        error_budget=step.error_budget,
        label=step.label,
        match=MatchRules(step.match.by, step.match.found, step.match.ambiguous) if step.match else None,
    )


def _keys(map: Map) -> dict[str, str]:
    keys = {name: words.key for name, words in map.vocabulary.objects.items() if words.key in map.columns.get(name, {})}
    for step in map.active_steps:
        if step.key != CONTENT_KEY and step.key not in map.columns[step.from_]:
            raise MapError(
                f"step {step.step}: no column holds its key `{step.key}`",
                "name the column in map.yaml, or use key: content",
            )
        if keys.get(step.from_, step.key) != step.key and step.key == CONTENT_KEY:
            continue
        keys[step.from_] = step.key
    return keys


def _make_schemas(con: duckdb.DuckDBPyConnection, context: PrepareContext) -> None:
    for schema in ("prepared", ROWS):
        con.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}")
    con.execute(
        f"CREATE TABLE {PREPARED_OUTCOMES} (step VARCHAR, source_table VARCHAR, source_key VARCHAR, "
        "source_file VARCHAR, source_row BIGINT, outcome VARCHAR, code VARCHAR, reason VARCHAR)"
    )
    con.execute(
        f"CREATE TABLE {PREPARED_PROBLEMS} (step VARCHAR, source_key VARCHAR, field VARCHAR, code VARCHAR, "
        "reason VARCHAR, source_file VARCHAR, source_row BIGINT, count BIGINT, detail VARCHAR)"
    )
    make_table(con)
    known = reasons()
    con.register("reason_rows", pa.table({"code": list(known), "text": list(known.values())}))
    con.execute("CREATE OR REPLACE TEMP TABLE reasons AS SELECT * FROM reason_rows")
    con.unregister("reason_rows")
    emails = sorted(e.lower() for e in context.existing_emails)
    con.execute("CREATE OR REPLACE TEMP TABLE taken (object VARCHAR, path VARCHAR, value VARCHAR, holder VARCHAR)")
    if emails:
        con.register("existing", pa.table({"value": emails}))
        con.execute(
            "INSERT INTO taken SELECT 'person', 'emails.primaryEmail', value, 'a record of the workspace itself' "
            "FROM existing"
        )
        con.unregister("existing")
    con.execute("CREATE OR REPLACE TEMP TABLE held (object VARCHAR, path VARCHAR, value VARCHAR, record_id VARCHAR)")
    if context.own_emails:
        own = {"value": [e.lower() for e in context.own_emails], "id": list(context.own_emails.values())}
        con.register("own", pa.table(own))
        con.execute(
            "INSERT INTO held SELECT 'person', 'emails.primaryEmail', value, any_value(id) FROM own GROUP BY value"
        )
        con.unregister("own")


def _note_matches(con: duckdb.DuckDBPyConnection, context: PrepareContext) -> None:
    """Make `temp.matched`: rows that stand for records of the workspace (record id), or fit several (NULL)."""
    rows: list[tuple[str, str, str | None]] = [
        (step, key, rid) for step, found in context.matched.items() for key, rid in found.items()
    ]
    rows += [(step, key, None) for step, keys in context.ambiguous.items() for key in sorted(keys)]
    texts = {c: pa.array([r[i] for r in rows], pa.string()) for i, c in enumerate(("step", "source_key", "record_id"))}
    con.register("matched_rows", pa.table(texts))
    con.execute(
        "CREATE OR REPLACE TEMP TABLE matched AS "
        "SELECT step, source_key, record_id::UUID AS record_id FROM matched_rows"
    )
    con.unregister("matched_rows")


def _look_at_files(con: duckdb.DuckDBPyConnection, map: Map, context: PrepareContext) -> None:
    names = [
        f"SELECT {field_sql(map, s.from_, s.file.source, 's')} FROM staged.{quoted(s.from_)} AS s"
        for s in map.active_steps
        if s.file is not None
    ]
    query = " UNION ALL ".join(names) or "SELECT NULL::VARCHAR WHERE false"
    look_at_files(con, query, context.documents_dir, context.max_upload_mb, reasons())


def _count_owners(con: duckdb.DuckDBPyConnection, map: Map, fallback: Member | None) -> None:
    """Say per member of staff how many records go to whom; records without a known owner get a row of their own."""
    owned = [s for s in map.active_steps if s.owner is not None and s.owner.field]
    if not owned:
        return
    union = " UNION ALL ".join(f"SELECT owner_key FROM {ROWS}.{quoted(s.step)}" for s in owned)
    con.execute(
        f"UPDATE {OWNERS} SET records = c.n FROM (SELECT owner_key, count(*) AS n FROM ({union}) GROUP BY 1) AS c "
        f"WHERE c.owner_key = {OWNERS}.source_key"
    )
    how = "fallback" if fallback else "unassigned"
    member = [fallback.id, fallback.name, fallback.email] if fallback else ["", "", ""]
    for condition, reason in (
        ("owner_key IS NULL", "the source names nobody"),
        (f"owner_key NOT IN (SELECT source_key FROM {OWNERS})", "named in the records, but not in the list of staff"),
    ):
        key = "''" if "IS NULL" in condition else "owner_key"
        con.execute(
            f"INSERT INTO {OWNERS} SELECT {key}, '', '', '', ?, ?, ?, ?, count(*), ? FROM ({union}) WHERE {condition} "
            f"GROUP BY 1 ORDER BY 1",
            [how, *member, reason],
        )


def _write_steps(
    con: duckdb.DuckDBPyConnection, map: Map, read: Mapping[str, int], prepared: Mapping[str, int]
) -> None:
    con.execute(
        "CREATE TABLE prepared.steps (step VARCHAR, object_name VARCHAR, source_object VARCHAR, source_prefix VARCHAR, "
        "read BIGINT, prepared BIGINT, rejected BIGINT, excluded BIGINT, merged BIGINT)"
    )
    for step in map.active_steps:
        con.execute(
            "INSERT INTO prepared.steps SELECT ?, ?, ?, ?, ?, ?, count(*) FILTER (outcome = 'rejected'), "
            f"count(*) FILTER (outcome = 'excluded'), count(*) FILTER (outcome = 'merged') FROM {PREPARED_OUTCOMES} "
            "WHERE step = ?",
            [
                step.step,
                step.to,
                step.from_,
                f"{step.prefix}:" if step.prefix else "",
                read[step.step],
                prepared[step.step],
                step.step,
            ],
        )


def _tables(con: duckdb.DuckDBPyConnection, map: Map) -> tuple[tuple[str, int, int, int], ...]:
    """Count, per raw table that a step reads, the rows that reached a step and those that none takes."""
    found = []
    for object_name in dict.fromkeys(s.from_ for s in map.active_steps):
        routes = " OR ".join(f"({routing(map, s)})" for s in map.active_steps if s.from_ == object_name)
        found += con.execute(
            f"SELECT _table, count(*)::BIGINT, (count(*) FILTER ({routes}))::BIGINT, "
            f"(count(*) FILTER (NOT ({routes})))::BIGINT FROM staged.{quoted(object_name)} AS s GROUP BY 1 ORDER BY 1"
        ).fetchall()
    return tuple(found)


__all__ = ["PrepareContext", "PreparedFacts", "literal", "load_step", "prepare", "reasons"]
