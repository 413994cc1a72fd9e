"""Work one step: staged rows → clean cells → values and fates → prepared rows with payloads, outcomes and problems.

On the way there is one temporary table per step: values, codes, lookups and the row's fate. What stays is a table of
typed values in schema `prepared_rows`, and over it the view in `prepared` that the loader reads. Every staged row that
the step takes is afterwards either in `prepared.<step>` or in `prepared.outcomes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import duckdb

from dentlib.mapping.functions import read_odd_texts
from dentlib.mapping.links import Link, compile_lookup, compile_owner
from dentlib.mapping.map import Map
from dentlib.mapping.payload import ROWS, Part, json_of, moment, record_digest_sql, record_id_sql, stored
from dentlib.mapping.references import FILE_TABLE, References
from dentlib.mapping.related import aggregate_related
from dentlib.mapping.rules import Compiled, Fate, RuleCompiler
from dentlib.mapping.schema import ORIGINAL_DATE, SOURCE_ID
from dentlib.mapping.sharing import Sharing
from dentlib.mapping.values import ValueContext
from dentlib.model import PREPARED_OUTCOMES, PREPARED_PROBLEMS, Member
from dentlib.pairs import Step
from dentlib.workdb import literal, quoted

KEYS = "_id, _table, _file, _row, _key"
CODES = "_codes"
FURTHER = "further "
"""Begins the name of the column for shared values that go to a field's not unique neighbour."""


class StepWork:
    """Everything that one step needs while it is worked."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        map: Map,
        step: Step,
        context: ValueContext,
        engagement: str,
        link_columns: Mapping[str, str],
    ) -> None:
        self._columns = link_columns
        self._con, self._map, self._step, self._context, self._engagement = con, map, step, context, engagement
        self._references = References(map, step, context)
        self._table = f"{ROWS}.{quoted(step.step)}"
        some = con.execute("SELECT 1 FROM temp.matched WHERE step = ? LIMIT 1", [step.step]).fetchone()
        self._has_matches = some is not None

    def run(self, fallback: Member | None) -> tuple[int, int]:
        """Work the step; return rows read and rows prepared."""
        step, references = self._step, self._references
        for name in step.related:
            references.related[name] = aggregate_related(self._con, self._map, step, name, self._context)
        compiler = RuleCompiler(references)
        fields = [compiler.compile(path, rule) for path, rule in self._map.fields_of(step).items()]
        created = [compiler.compile("createdAt", step.created)] if step.created else []
        scope = [
            Fate(references.condition(rule.when), "'excluded'", literal(rule.code), literal(rule.reason))
            for rule in step.where
            if self._map.holds(rule.when_choice)
        ]
        steps = {s.step: s for s in self._map.active_steps}
        links = [
            compile_lookup(references, name, rule, steps, self._columns[name]) for name, rule in step.lookups.items()
        ]
        if step.owner is not None:
            links.append(compile_owner(references, step.owner, fallback))
        columns, verdict = self._judgement([*fields, *created], scope, links)
        references.read(self._con, references.only(), read_odd_texts)
        told = self._told([*fields, *created], links)
        judged = self._judged(columns, verdict, links, references.rows)
        payload = self._write_prepared(judged, fields, created, links, told)
        self._set_aside(self._judged(KEYS, verdict, links, "temp.set_aside"))
        self._tell(told)
        self._make_view(payload, [link.written for link in links if link.written and link.name in step.lookups])
        read = self._count(references.rows)
        return read, self._count(self._table)

    def _count(self, table: str) -> int:
        row = self._con.execute(f"SELECT count(*) FROM {table}").fetchone()
        return int(row[0]) if row else 0

    # ---- the row's values and fate ----

    def _judgement(self, fields: list[Compiled], scope: list[Fate], links: list[Link]) -> tuple[str, str]:
        """Return the SQL of a row's values (v_), what is to be told (p_) and texts to keep (t_), and of its fate."""
        file_fates = self._file_fates()
        fates = [
            Fate("_fate = 'no_key'", "'rejected'", "'key_missing'", "'key'"),
            Fate("_fate = 'conflict'", "'rejected'", "'key_not_unique'", "'key'"),
            Fate("_fate = 'same'", "'merged'", "'exact_repetition'", "'key'"),
            *scope,
            *([Fate("match_ambiguous", "'rejected'", "'match_ambiguous'", "'match'")] if self._has_matches else []),
            *(f for link in links for f in link.fates),
            *(f for c in fields for f in c.fates),
            *file_fates,
        ]
        verdict = " ".join(
            f"WHEN {f.when} THEN {{'outcome': {f.outcome}, 'code': {f.code}, 'reason': {f.reason}}}" for f in fates
        )
        columns = [KEYS]
        columns += [f"{c.value} AS {quoted('v_' + c.path)}" for c in fields]
        columns += [f"{c.code} AS {quoted('p_' + c.path)}" for c in fields if c.code != "NULL::VARCHAR"]
        columns += [f"{c.raw} AS {quoted('t_' + c.path)}" for c in fields if c.keep_in]
        columns += [f"{link.code} AS {quoted('p_' + link.name)}" for link in links]
        columns += [f"{link.raw} AS {quoted('t_' + link.name)}" for link in links if link.keep_in]
        columns += [link.column for link in links]
        columns += ["matched_id"] if self._has_matches else []
        columns += ["owner_name, owner_key"] if self._step.owner is not None else []
        columns += ["file_path, file_remark"] if self._step.file is not None else []
        return ", ".join(columns), f"CASE {verdict} END AS fate"

    def _judged(self, columns: str, verdict: str, links: list[Link], rows: str) -> str:
        """Return the SQL that judges rows of the first pass. It is never stored as a whole."""
        selects = "".join(f", {link.select}" for link in links)
        joins = " ".join(link.joins for link in links)
        if self._step.file is not None:
            selects += ", doc.path AS file_path, doc.code AS file_code, doc.remark AS file_remark"
            name = self._references.text(self._step.file.source).column
            joins += f" LEFT JOIN {FILE_TABLE} AS doc ON doc.name = r.{name}"
        if self._has_matches:
            selects += (
                ", m.record_id AS matched_id, (m.source_key IS NOT NULL AND m.record_id IS NULL) AS match_ambiguous"
            )
            joins += f" LEFT JOIN temp.matched AS m ON m.step = {literal(self._step.step)} AND m.source_key = r._key"
        cells = self._references.second_pass(rows)
        return f"(SELECT {columns}, {verdict} FROM (SELECT r.*{selects} FROM ({cells}) AS r {joins}))"

    def _file_fates(self) -> list[Fate]:
        rule = self._step.file
        if rule is None:
            return []
        name = self._references.text(rule.source).column
        fates = []
        for decision, when in (
            (rule.missing, f"({name} IS NULL OR coalesce(file_code, '') <> 'file_too_large')"),
            (rule.over_limit, "file_code = 'file_too_large'"),
        ):
            outcome = "'excluded'" if decision.do == "exclude" else "'rejected'"
            bad = f"{when} AND file_path IS NULL"
            fates.append(Fate(bad, outcome, "coalesce(file_code, 'missing_value')", literal("File")))
        return fates

    # ---- what is told ----

    def _told(self, fields: list[Compiled], links: list[Link]) -> list[tuple[str, str]]:
        """Return (field, column of the judged row with its code) of all about which there may be something to tell."""
        told = [(c.path, f"p_{c.path}") for c in fields if c.code != "NULL::VARCHAR"]
        told += [(link.written or link.name, f"p_{link.name}") for link in links if link.code != "NULL::VARCHAR"]
        if self._step.file is not None:
            told.append((self._step.file.field, "file_remark"))
        return told

    def _set_aside(self, judged: str) -> None:
        """Write down the rows that aren't in the prepared table. Only they are asked for the reason of their fate."""
        self._con.execute(
            f"CREATE OR REPLACE TEMP TABLE set_aside AS SELECT w.* FROM {self._references.rows} AS w "
            f"ANTI JOIN {self._table} AS p ON p.ordinal = w._id"
        )
        self._con.execute(
            f"INSERT INTO {PREPARED_OUTCOMES} SELECT {literal(self._step.step)}, _table, coalesce(_key, ''), _file, "
            f"_row, fate.outcome, fate.code, CASE WHEN t.text IS NULL OR fate.reason = t.text THEN fate.reason "
            f"ELSE fate.reason || ': ' || t.text END FROM {judged} AS j "
            f"LEFT JOIN temp.reasons AS t ON t.code = fate.code ORDER BY _id"
        )

    def _tell(self, told: list[tuple[str, str]]) -> None:
        """Write down the values that were not carried as they are; take their codes out of the prepared table."""
        parts = [
            f"SELECT ordinal, {literal(name)} AS field, {CODES}.code_{n} AS code, source_key, source_file, source_row "
            f"FROM {self._table} WHERE {CODES}.code_{n} IS NOT NULL"
            for n, (name, _) in enumerate(told)
        ]
        if not parts:
            return
        self._con.execute(
            f"INSERT INTO {PREPARED_PROBLEMS} SELECT {literal(self._step.step)}, source_key, field, u.code, "
            f"coalesce(t.text, u.code), source_file, source_row, 1, '' FROM ({' UNION ALL '.join(parts)}) AS u "
            f"LEFT JOIN temp.reasons AS t ON t.code = u.code"
        )
        self._con.execute(f"ALTER TABLE {self._table} DROP COLUMN {CODES}")

    # ---- the prepared table ----

    def _write_prepared(
        self,
        judged: str,
        fields: list[Compiled],
        created: list[Compiled],
        links: list[Link],
        told: list[tuple[str, str]],
    ) -> str:
        """Make the table of typed values, with the codes of what is to be told; return SQL for the payload over it."""
        step = self._step
        rows = f"SELECT * EXCLUDE (fate) FROM {judged} WHERE fate IS NULL"
        overflow: dict[str, str] = {}
        sharing = Sharing(self._con, step, self._engagement, self._record_id(), has_matches=self._has_matches)
        for c in fields:
            if c.shared == "first_keeps_it" and c.kind == "phones":
                rows = sharing.first_keeps_number(rows, c.path)
            elif c.shared == "first_keeps_it":
                rows = sharing.first_keeps_it(rows, c.path)
                overflow[c.path] = quoted("o_" + c.path)
        kept, extra = self._kept_as_text([*fields, *created], links)
        parts = [Part(c.path, c.kind, quoted("v_" + c.path)) for c in fields if c.path not in kept]
        parts += [Part(path, "text", column) for path, column in kept.items()]
        parts += [Part(link.written, "text", link.column) for link in links if link.written]
        if step.owner is not None and step.owner.name_field and step.owner.source:
            parts.append(Part(step.owner.name_field, "text", "owner_name"))
        columns = "".join(f", {stored(p)} AS {quoted(p.path)}" for p in parts)
        columns += "".join(f", {column} AS {quoted(FURTHER + path)}" for path, column in overflow.items())
        columns += f", {quoted('v_createdAt')} AS {quoted('createdAt')}" if created else ""
        digest = record_digest_sql(self._engagement, step.step, "_key")
        file_path = "file_path" if step.file is not None else "NULL::VARCHAR"
        owner_key = "owner_key" if step.owner is not None else "NULL::VARCHAR"
        codes = ", ".join(f"'code_{n}': {quoted(column)}" for n, (_, column) in enumerate(told))
        columns += f", {{{codes}}} AS {CODES}" if told else ""
        self._con.execute(
            f"CREATE TABLE {self._table} AS "
            f"SELECT _id AS ordinal, _key AS source_key, {self._record_id()} AS record_id, "
            f"{file_path} AS file_path, _table AS source_table, _file AS source_file, _row AS source_row, "
            f"false AS in_sample, {owner_key} AS owner_key{columns} "
            f"FROM (SELECT *, {digest} AS _digest{extra} FROM ({rows}))"
        )
        for c in fields:
            if c.shared == "keep_all" and c.kind == "phones":
                sharing.note_numbers(self._table, c.path)
        return self._payload([replace(p, column=quoted(p.path)) for p in parts], overflow, bool(created))

    def _record_id(self) -> str:
        """Return SQL for a row's record id: that of a record which is there already, else one made from its key."""
        made = record_id_sql("_digest")
        return f"coalesce(matched_id, {made})" if self._has_matches else made

    def _payload(self, parts: list[Part], overflow: Mapping[str, str], dated: bool) -> str:
        """Return SQL for the record's JSON over the columns of the prepared table."""
        step, date = self._step, quoted("createdAt")
        parts = [replace(p, overflow=quoted(FURTHER + p.path)) if p.path in overflow else p for p in parts]
        if step.prefix:
            parts.insert(0, Part(SOURCE_ID, "text", f"{literal(step.prefix + ':')} || source_key"))
            parts.append(Part(ORIGINAL_DATE, "datetime", date if dated else "NULL::TIMESTAMP"))
        dates = ""
        if dated:
            written = f"',\"createdAt\":\"' || {moment(date)} || '\"'"
            dates = f" || CASE WHEN {date} IS NULL THEN '' ELSE {written} END"
        return (
            f"'{{\"id\":\"' || record_id || '\"'{dates} || ',' || substr({json_of(parts, self._context.currency)}, 2)"
        )

    def _make_view(self, payload: str, ids: Sequence[str]) -> None:
        """Make the view that works payload and hash out when they are read.

        `ids`: columns that hold ids of other records; ids are kept as UUID and read as text.
        """
        texts = ", ".join(f"{quoted(column)}::VARCHAR AS {quoted(column)}" for column in ("record_id", *ids))
        self._con.execute(
            f"CREATE VIEW prepared.{quoted(self._step.step)} AS "
            f"SELECT * REPLACE ({texts}), sha256(payload) AS row_hash "
            f"FROM (SELECT *, {payload} AS payload FROM {self._table})"
        )

    def _kept_as_text(self, fields: list[Compiled], links: list[Link]) -> tuple[dict[str, str], str]:
        """Return field → column for the texts of values that could not be carried, one labelled line each."""
        lines: dict[str, list[str]] = {}
        for c in fields:
            if c.keep_in:
                label = f"{literal(c.label + ': ')} || " if c.label else ""
                told = f"CASE WHEN {quoted('p_' + c.path)} IS NOT NULL THEN {label}{quoted('t_' + c.path)} END"
                lines.setdefault(c.keep_in, []).append(told)
        for link in links:
            if link.keep_in:
                line = f"{literal(link.label + ': ')} || {quoted('t_' + link.name)}"
                lines.setdefault(link.keep_in, []).append(
                    f"CASE WHEN {quoted('p_' + link.name)} IS NOT NULL THEN {line} END"
                )
        kept, extra = {}, ""
        for ordinal, (path, texts) in enumerate(lines.items()):
            own = [quoted("v_" + c.path) for c in fields if c.path == path]
            extra += f", nullif(concat_ws(chr(10), {', '.join([*own, *texts])}), '') AS keep_{ordinal}"
            kept[path] = f"keep_{ordinal}"
        return kept, extra
