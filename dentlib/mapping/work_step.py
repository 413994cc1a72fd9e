"""Work one step: staged rows → clean cells → values and fates → prepared rows with payloads, outcomes and problems.

Tables on the way live in schema `preparing` and can be looked at: `preparing.<step>_1` (texts), `preparing.<step>` (values, codes,
lookups, the row's fate). Every staged row that the step takes is afterwards either in `prepared.<step>` or in
`prepared.outcomes`.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from dentlib.mapping.functions import read_odd_texts
from dentlib.mapping.map import Map
from dentlib.mapping.payload import Part, destination_columns, json_of, moment, record_id_sql
from dentlib.mapping.references import FILE_TABLE, References, field_sql
from dentlib.mapping.rules import Compiled, Fate, RuleCompiler
from dentlib.mapping.values import ValueContext
from dentlib.model import PREPARED_OUTCOMES, PREPARED_PROBLEMS, Member
from dentlib.pairs import LookupRule, Step
from dentlib.workdb import literal, quoted


@dataclass(frozen=True, slots=True)
class _Resolved:
    """A lookup or owner in the second pass: the column of the id, and code, raw text and fates."""

    name: str
    column: str
    code: str
    raw: str
    fates: tuple[Fate, ...]
    written: str  # key in the payload; empty: not written
    keep_in: str = ""
    join: str = ""


class StepWork:
    """Everything that one step needs while it is worked."""

    def __init__(
        self, con: duckdb.DuckDBPyConnection, map: Map, step: Step, context: ValueContext, engagement: str
    ) -> None:
        self.con, self.map, self.step, self.context, self.engagement = con, map, step, context, engagement
        self.references = References(map, step, context)
        self.known_steps = {s.step: s for s in map.active_steps}

    def run(self, fallback: Member | None) -> tuple[int, int]:
        """Work the step; return rows read and rows prepared."""
        self._aggregate_related()
        compiler = RuleCompiler(self.references)
        fields = [compiler.compile(path, rule) for path, rule in self.map.fields_of(self.step).items()]
        created = compiler.compile("createdAt", self.step.created) if self.step.created else None
        scope = [
            Fate(self.references.condition(rule.when), "'excluded'", literal(rule.code), literal(rule.reason))
            for rule in self.step.where
            if self.map.holds(rule.when_choice)
        ]
        lookups = [self._lookup(name, rule) for name, rule in self.step.lookups.items()]
        owner = self._owner(fallback)
        file_name = self._file_column()
        first, second = f"preparing.{quoted(self.step.step + '_1')}", f"preparing.{quoted(self.step.step)}"
        self.con.execute(f"CREATE TABLE {first} AS {self.references.first_pass(self.references.only())}")
        cells = self.references.second_pass(self.con, first, read_odd_texts)
        self.con.execute(
            f"CREATE TABLE {second} AS {self._judge(cells, fields, created, scope, lookups, owner, file_name)}"
        )
        self.con.execute(f"DROP TABLE {first}")
        self._outcomes(second)
        every = [*fields, *([created] if created else [])]
        self._problems(second, every, [*lookups, *owner])
        self._prepare(second, fields, created is not None, lookups, owner, bool(file_name))
        read = self.con.execute(f"SELECT count(*) FROM {second}").fetchone()
        prepared = self.con.execute(f"SELECT count(*) FROM prepared.{quoted(self.step.step)}").fetchone()
        assert read is not None
        assert prepared is not None
        return int(read[0]), int(prepared[0])

    # ---- values from rows of other objects ----

    def _aggregate_related(self) -> None:
        for name, related in self.step.related.items():
            table = f"temp.{quoted(f'related_{self.step.step}_{name}')}"
            theirs = [field_sql(self.map, related.object, f, "s") for f in related.match]
            if related.object not in self.map.columns:
                keys = ", ".join(f"NULL::VARCHAR AS m{i}" for i in range(len(theirs)))
                sql_type = {"sum": "DECIMAL(38,6)", "distinct": "VARCHAR[]", "count": "BIGINT"}.get(
                    related.take, "DATE"
                )
                self.con.execute(
                    f"CREATE OR REPLACE TEMP TABLE {table.split('.', 1)[1]} AS SELECT {keys}, NULL::{sql_type} AS value WHERE false"
                )
                self.references.related[name] = (table, sql_type)
                continue
            child = Step.model_validate(
                {
                    "step": f"{self.step.step}_{name}",
                    "label": name,
                    "from": related.object,
                    "to": "",
                    "key": "",
                    "prefix": "",
                    "error_budget": 0,
                }
            )
            inner = References(self.map, child, self.context)
            text = inner.text(related.field)
            cell = inner.cell(text, related.apply)
            holds = inner.condition(related.where)
            keys = [inner.text(f) for f in related.match]
            first = f"preparing.{quoted(child.step + '_1')}"
            self.con.execute(f"CREATE TABLE {first} AS {inner.first_pass('true')}")
            rows = inner.second_pass(self.con, first, read_odd_texts)
            groups = ", ".join(f"{k.column} AS m{i}" for i, k in enumerate(keys))
            names = ", ".join(f"m{i}" for i in range(len(keys)))
            chosen = f"SELECT {groups}, _id, {cell.value} AS v FROM ({rows}) WHERE _fate = 'first' AND {holds}"
            if related.take == "distinct":
                flat = f"SELECT {names}, _id, unnest(v) AS v FROM ({chosen})" if cell.kind == "list" else chosen
                value = (
                    f"SELECT {names}, list(v ORDER BY first_id, v) AS value FROM (SELECT {names}, v, min(_id) AS first_id "
                    f"FROM ({flat}) WHERE v IS NOT NULL GROUP BY {names}, v) GROUP BY {names}"
                )
            else:
                aggregate = {"sum": "sum(v)::DECIMAL(38,6)", "count": "count(v)"}.get(
                    related.take, f"{related.take}(v)"
                )
                value = f"SELECT {names}, {aggregate} AS value FROM ({chosen}) WHERE v IS NOT NULL GROUP BY {names}"
            self.con.execute(f"CREATE OR REPLACE TEMP TABLE {table.split('.', 1)[1]} AS {value}")
            self.con.execute(f"DROP TABLE {first}")
            described = self.con.execute(f"DESCRIBE {table}").fetchall()
            self.references.related[name] = (table, next(d[1] for d in described if d[0] == "value"))

    # ---- lookups and owners ----

    def _lookup(self, name: str, rule: LookupRule) -> _Resolved:
        text = self.references.text(rule.source)
        key = f"r.{text.column}"
        target = self.known_steps.get(rule.step)
        label = text.words.label if text.words else name
        column = f"lookup_{name}"
        joins, found, fate, not_here = [], "NULL::VARCHAR", "NULL::VARCHAR", "true"
        if target is not None:
            p, o = quoted(f"p_{name}"), quoted(f"o_{name}")
            joins.append(f"LEFT JOIN prepared.{quoted(rule.step)} AS {p} ON {p}.source_key = {key}")
            joins.append(
                f"LEFT JOIN (SELECT source_key, min(outcome) AS outcome, min(code) AS code, min(reason) AS reason "
                f"FROM {PREPARED_OUTCOMES} WHERE step = {literal(rule.step)} AND outcome <> 'merged' "
                f"GROUP BY source_key) AS {o} ON {o}.source_key = {key}"
            )
            found, fate = f"{p}.record_id", f"{o}.outcome"
        for other in rule.or_in:
            if other in self.known_steps:
                alias = quoted(f"e_{name}_{other}")
                joins.append(f"LEFT JOIN prepared.{quoted(other)} AS {alias} ON {alias}.source_key = {key}")
                not_here += f" AND {alias}.record_id IS NULL"
        fate_columns = f"{fate} AS fate_{name}"
        if target is not None:
            fate_columns += (
                f", {quoted(f'o_{name}')}.code AS fate_code_{name}, {quoted(f'o_{name}')}.reason AS fate_reason_{name}"
            )
        else:
            fate_columns += f", NULL::VARCHAR AS fate_code_{name}, NULL::VARCHAR AS fate_reason_{name}"
        select = f"{found} AS {column}, {fate_columns}, ({not_here}) AS nowhere_{name}"
        absent, lost = f"{text.column} IS NULL", f"{text.column} IS NOT NULL AND {column} IS NULL AND nowhere_{name}"
        lost_code = f"CASE WHEN fate_{name} IS NULL THEN 'orphan' ELSE 'parent_not_migrated' END"
        fates = []
        if rule.missing.do in ("reject", "exclude"):
            outcome = "'rejected'" if rule.missing.do == "reject" else "'excluded'"
            fates.append(Fate(absent, outcome, "'missing_value'", f"{literal(label)} || ' is missing'"))
        if rule.orphan.do == "reject":
            fates.append(Fate(lost, "'rejected'", lost_code, literal(label)))
        elif rule.orphan.do == "exclude":
            fates.append(Fate(lost, "'excluded'", lost_code, literal(label)))
        elif rule.orphan.do == "follow":
            code = f"CASE WHEN fate_{name} = 'excluded' THEN fate_code_{name} ELSE {lost_code} END"
            reason = f"CASE WHEN fate_{name} = 'excluded' THEN fate_reason_{name} ELSE {literal(label)} END"
            fates.append(Fate(lost, f"coalesce(fate_{name}, 'rejected')", code, reason))
        problem = f"CASE WHEN {lost} THEN {lost_code} END"
        written = f"{name}Id" if rule.write else ""
        return _Resolved(
            name,
            column,
            problem,
            text.column,
            tuple(fates),
            written,
            rule.orphan.keep_as_text,
            f"{select}\n{' '.join(joins)}",
        )

    def _owner(self, fallback: Member | None) -> list[_Resolved]:
        rule = self.step.owner
        if rule is None:
            return []
        to_fallback = literal(fallback.id) if fallback else "NULL"
        missing = to_fallback if rule.missing.do == "fallback" else "NULL"
        unmatched = to_fallback if rule.unmatched.do == "fallback" else "NULL"
        if not rule.source:
            select = f"{missing} AS owner_id, NULL::VARCHAR AS owner_name, NULL::VARCHAR AS owner_key\n"
            return [_Resolved(rule.field, "owner_id", "NULL", "NULL", (), rule.field, "", select)]
        text = self.references.text(rule.source)
        key = f"r.{text.column}"
        select = (
            f"CASE WHEN {key} IS NULL THEN {missing} WHEN w_owner.how = 'matched' THEN w_owner.member_id "
            f"ELSE {unmatched} END AS owner_id, coalesce(nullif(w_owner.name, ''), {key}) AS owner_name, "
            f"w_owner.source_key AS owner_row, w_owner.how AS owner_how, {key} AS owner_key"
            f"\nLEFT JOIN prepared.owners AS w_owner ON w_owner.source_key = {key}"
        )
        fates = []
        for decision, when in (
            (rule.missing, "owner_key IS NULL"),
            (rule.unmatched, "owner_key IS NOT NULL AND coalesce(owner_how, '') <> 'matched'"),
        ):
            if decision.do == "reject":
                fates.append(Fate(when, "'rejected'", "'owner_unmatched'", literal("owner")))
        code = (
            "CASE WHEN owner_key IS NULL THEN 'owner_missing' WHEN owner_row IS NULL THEN 'owner_unknown' "
            "WHEN owner_how <> 'matched' THEN 'owner_unmatched' END"
        )
        if not rule.field:
            code = "CASE WHEN owner_key IS NOT NULL AND owner_row IS NULL THEN 'owner_unknown' END"
        return [
            _Resolved(
                rule.field or rule.name_field, "owner_id", code, "owner_key", tuple(fates), rule.field, "", select
            )
        ]

    def _file_column(self) -> str:
        if self.step.file is None:
            return ""
        return self.references.text(self.step.file.source).column

    # ---- the row's fate ----

    def _judge(
        self,
        cells: str,
        fields: list[Compiled],
        created: Compiled | None,
        scope: list[Fate],
        lookups: list[_Resolved],
        owner: list[_Resolved],
        file_name: str,
    ) -> str:
        resolved = [*lookups, *owner]
        selects = "".join(f", {r.join.splitlines()[0]}" for r in resolved)
        joins = " ".join(r.join.split("\n", 1)[1] for r in resolved if "\n" in r.join)
        file_fates: list[Fate] = []
        if self.step.file is not None:
            selects += ", doc.path AS file_path, doc.code AS file_code"
            joins += f" LEFT JOIN {FILE_TABLE} AS doc ON doc.name = r.{file_name}"
            for decision, when in (
                (self.step.file.missing, f"{file_name} IS NULL OR file_code <> 'file_too_large'"),
                (self.step.file.over_limit, "file_code = 'file_too_large'"),
            ):
                outcome = "'excluded'" if decision.do == "exclude" else "'rejected'"
                bad = f"({when}) AND file_path IS NULL"
                file_fates.append(Fate(bad, outcome, "coalesce(file_code, 'missing_value')", literal("File")))
        joined = f"SELECT r.*{selects} FROM ({cells}) AS r {joins}"
        every = [*fields, *([created] if created else [])]
        valued = "".join(f", {c.value} AS {quoted('v_' + c.path)}, {c.code} AS {quoted('p_' + c.path)}" for c in every)
        raws = "".join(f", {c.raw} AS {quoted('t_' + c.path)}" for c in every if c.keep_in)
        coded = "".join(f", {r.code} AS {quoted('p_' + (r.written or r.name))}" for r in resolved)
        fates = [
            Fate("_fate = 'no_key'", "'rejected'", "'key_missing'", "'key'"),
            Fate("_fate = 'conflict'", "'rejected'", "'key_not_unique'", "'key'"),
            Fate("_fate = 'same'", "'merged'", "'exact_repetition'", "'key'"),
            *scope,
            *(f for r in resolved for f in r.fates),
            *(f for c in every for f in c.fates),
            *file_fates,
        ]
        verdicts = ""
        for name, what in (("_outcome", "outcome"), ("_code", "code"), ("_reason", "reason")):
            cases = " ".join(f"WHEN {f.when} THEN {getattr(f, what)}" for f in fates)
            verdicts += f", CASE {cases} END AS {name}"
        return f"SELECT *{valued}{raws}{coded}{verdicts} FROM ({joined})"

    def _outcomes(self, table: str) -> None:
        step = literal(self.step.step)
        self.con.execute(
            f"INSERT INTO {PREPARED_OUTCOMES} SELECT {step}, _table, coalesce(_key, ''), _file, _row, _outcome, _code, "
            f"CASE WHEN t.text IS NULL OR _outcome = 'excluded' AND _reason <> t.text AND t.text IS NULL THEN _reason "
            f"ELSE _reason || ': ' || t.text END FROM {table} AS w LEFT JOIN temp.reasons AS t ON t.code = w._code "
            f"WHERE _outcome IS NOT NULL"
        )

    def _problems(self, table: str, fields: list[Compiled], resolved: list[_Resolved]) -> None:
        names = [(c.path, f"p_{c.path}") for c in fields]
        names += [(r.name, f"p_{r.written or r.name}") for r in resolved]
        parts = [
            f"SELECT _id, {literal(name)} AS field, {quoted(column)} AS code, _key, _file, _row FROM {table} "
            f"WHERE _outcome IS NULL AND {quoted(column)} IS NOT NULL"
            for name, column in names
        ]
        if parts:
            self.con.execute(
                f"INSERT INTO {PREPARED_PROBLEMS} SELECT {literal(self.step.step)}, _key, field, u.code, "
                f"coalesce(t.text, u.code), _file, _row, 1 FROM ({' UNION ALL '.join(parts)}) AS u "
                f"LEFT JOIN temp.reasons AS t ON t.code = u.code ORDER BY _id, field"
            )

    # ---- the prepared table ----

    def _prepare(
        self,
        table: str,
        fields: list[Compiled],
        dated: bool,
        lookups: list[_Resolved],
        owner: list[_Resolved],
        has_file: bool,
    ) -> None:
        step, name = self.step, f"prepared.{quoted(self.step.step)}"
        rows = f"SELECT * FROM {table} WHERE _outcome IS NULL"
        overflow: dict[str, str] = {}
        for c in fields:
            if c.shared:
                rows = self._first_keeps_it(rows, c.path)
                overflow[c.path] = quoted("o_" + c.path)
        kept: dict[str, list[str]] = {}
        for c in fields:
            if c.keep_in:
                label = f"{literal(c.label + ': ')} || " if c.label else ""
                line = f"CASE WHEN {quoted('p_' + c.path)} IS NOT NULL THEN {label}{quoted('t_' + c.path)} END"
                kept.setdefault(c.keep_in, []).append(line)
        parts, extra = [], ""
        for c in fields:
            if c.path not in kept:
                parts.append(Part(c.path, c.kind, quoted("v_" + c.path), overflow.get(c.path, "")))
        for ordinal, (path, lines) in enumerate(kept.items()):
            own = [quoted("v_" + c.path) for c in fields if c.path == path]
            extra += f", nullif(concat_ws(chr(10), {', '.join([*own, *lines])}), '') AS keep_{ordinal}"
            parts.append(Part(path, "text", f"keep_{ordinal}"))
        parts += [Part(r.written, "text", r.column) for r in [*lookups, *owner] if r.written]
        if step.owner is not None and step.owner.name_field and step.owner.source:
            parts.append(Part(step.owner.name_field, "text", "owner_name"))
        if step.prefix:
            extra += f", {literal(step.prefix + ':')} || _key AS source_id"
            parts.insert(0, Part("sourceSystemId", "text", "source_id"))
        dates = ""
        if dated:
            written = moment(quoted("v_createdAt"))
            if step.prefix:
                parts.append(Part("originalCreatedAt", "datetime", quoted("v_createdAt")))
            dates = f" || CASE WHEN {quoted('v_createdAt')} IS NULL THEN '' ELSE ',\"createdAt\":\"' || {written} || '\"' END"
        elif step.prefix:
            extra += ", NULL::VARCHAR AS no_date"
            parts.append(Part("originalCreatedAt", "text", "no_date"))
        body = json_of(parts, self.context.currency)
        payload = f"'{{\"id\":\"' || record_id || '\"'{dates} || ',' || substr({body}, 2)"
        identified = f"SELECT *{extra}, {record_id_sql(self.engagement, step.step, '_key')} AS record_id FROM ({rows})"
        payloads = f"SELECT *, {payload} AS payload FROM ({identified})"
        file_path = "file_path" if has_file else "NULL::VARCHAR"
        columns = destination_columns([p for p in parts if p.path != "sourceSystemId"])
        owner_key = "owner_key" if owner else "NULL::VARCHAR"
        self.con.execute(
            f"CREATE TABLE {name} AS SELECT _id AS ordinal, _key AS source_key, record_id, payload, "
            f"sha256(payload) AS row_hash, {file_path} AS file_path, _table AS source_table, _file AS source_file, "
            f"_row AS source_row, false AS in_sample, {owner_key} AS owner_key{columns} FROM ({payloads}) ORDER BY _id"
        )

    def _first_keeps_it(self, rows: str, path: str) -> str:
        """Give a value that must be unique to the first row that has it; the others keep it as a further value."""
        value, taken = quoted("v_" + path), f"t_taken"
        mine = f"temp.taken WHERE object = {literal(self.step.to)} AND path = {literal(path)}"
        first = f"{value} IS NOT NULL AND {taken}.value IS NULL AND row_number() OVER (PARTITION BY {value} ORDER BY _id) = 1"
        ranked = (
            f"SELECT w.*, {first} AS is_first FROM ({rows}) AS w "
            f"LEFT JOIN (SELECT DISTINCT value FROM {mine}) AS {taken} ON {taken}.value = w.{value}"
        )
        table = f"preparing.{quoted(self.step.step + '_shared')}"
        self.con.execute(f"CREATE TABLE {table} AS {ranked}")
        self.con.execute(
            f"INSERT INTO temp.taken SELECT {literal(self.step.to)}, {literal(path)}, {value} FROM {table} WHERE is_first"
        )
        self.con.execute(
            f"INSERT INTO {PREPARED_PROBLEMS} SELECT {literal(self.step.step)}, _key, {literal(path)}, 'shared_value', "
            f"(SELECT text FROM temp.reasons WHERE code = 'shared_value'), _file, _row, 1 FROM {table} "
            f"WHERE {value} IS NOT NULL AND NOT is_first ORDER BY _id"
        )
        return (
            f"SELECT * REPLACE (CASE WHEN is_first THEN {value} END AS {value}), "
            f"CASE WHEN NOT is_first THEN {value} END AS {quoted('o_' + path)} FROM {table}"
        )
