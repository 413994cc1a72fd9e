"""Turn a step's references and conditions into SQL over its staged rows.

A step is worked in two passes. The first joins what the references need and gives their texts (`x0`, `x1`, …) with the
fast reading of each (`f0`, …); then the odd texts are read, once each, and the second pass has clean cells (`c0`, …)
with their codes (`k0`, …). Both are SQL over views: nothing wide is stored on the way.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date

import duckdb

from dentlib.errors import MapError
from dentlib.mapping.functions import FUNCTIONS, OF_TYPE, ValueFunction, local_to_utc, trimmed
from dentlib.mapping.map import Map
from dentlib.mapping.values import ValueContext
from dentlib.pairs import Condition, Step
from dentlib.vocabulary import FieldWords
from dentlib.workdb import literal, quoted

FILE_TABLE = "temp.document_files"
FILE_FACTS = ("file_kind", "file_size", "file_trouble")


ReadOdd = Callable[[duckdb.DuckDBPyConnection, ValueFunction, str, ValueContext, str], str]


@dataclass(frozen=True, slots=True)
class Text:
    """A text of the first pass: its column, the logical field it comes from, and the SQL type (texts or related)."""

    column: str
    words: FieldWords | None
    object_name: str
    field_name: str
    sql_type: str = "VARCHAR"


@dataclass(frozen=True, slots=True)
class Cell:
    """A clean value of the second pass (`value`), its code, and its kind."""

    value: str
    code: str
    kind: str


@dataclass
class _Reading:
    column: str
    text: str
    function: ValueFunction
    context: ValueContext
    at: str


@dataclass
class References:
    """Collects what a step refers to while its rules are compiled, and gives the SQL of both passes.

    `rows`: where the rows of the first pass are, once `read` has run.
    """

    map: Map
    step: Step
    context: ValueContext
    related: dict[str, tuple[str, str]] = field(default_factory=dict)  # name → (temp table, sql type)
    rows: str = "temp.first_pass"
    _texts: dict[str, str] = field(default_factory=dict)
    _joins: dict[str, str] = field(default_factory=dict)
    _readings: dict[tuple[str, str, str, str], _Reading] = field(default_factory=dict)
    _computed: dict[str, str] = field(default_factory=dict)
    _cells: list[str] = field(default_factory=list)
    _odd: list[str] = field(default_factory=list)

    # ---- texts ----

    def text(self, reference: str) -> Text:
        """Return the text that a reference stands for; a field that no column holds is an empty text."""
        if reference.startswith("$"):
            table, sql_type = self.related[reference[1:]]
            self._joins.setdefault(table, f"LEFT JOIN {table} ON {self._match(reference[1:], table)}")
            return Text(self._keep(f"{table}.value"), None, "", reference, sql_type)
        if "." in reference:
            through, _, name = reference.partition(".")
            words = self.map.vocabulary.field(self.step.from_, through)
            if words is None or not words.references:
                raise MapError(f"step {self.step.step}: `{reference}` doesn't lead anywhere", "it must be a reference")
            alias = quoted(f"to_{through}")
            if words.references not in self.map.columns or not self._has(self.step.from_, through):
                return Text(self._keep("NULL::VARCHAR"), None, words.references, name)
            parent = f"(SELECT * FROM staged.{quoted(words.references)} WHERE _fate = 'first')"
            self._joins.setdefault(alias, f"LEFT JOIN {parent} AS {alias} ON {alias}._key = s.{quoted(through)}")
            return self._field(words.references, name, alias)
        return self._field(self.step.from_, reference, "s")

    def _has(self, object_name: str, name: str) -> bool:
        return name in self.map.columns.get(object_name, {})

    def _field(self, object_name: str, name: str, alias: str) -> Text:
        words = self.map.vocabulary.field(object_name, name)
        if words is None:
            raise MapError(
                f"step {self.step.step}: {object_name} has no field `{name}`", "see the vocabulary for its fields"
            )
        return Text(self._keep(field_sql(self.map, object_name, name, alias)), words, object_name, name)

    def joined(self, references: tuple[str, ...], combine: str, separator: str) -> Text:
        """Return several references as one text: the first that is filled, or all of them joined."""
        texts = [self.text(r) for r in references]
        if len(texts) == 1:
            return texts[0]
        inside = ", ".join(trimmed(t.column) for t in texts)
        sql = f"nullif(concat_ws({literal(separator)}, {inside}), '')" if combine == "join" else f"coalesce({inside})"
        return Text(self._keep(sql), texts[0].words, texts[0].object_name, texts[0].field_name)

    def file_fact(self, reference: str, fact: str) -> str:
        """Return a fact of the file that a reference names: its kind, size or what is the matter with it."""
        text = self.text(reference)
        join = f"LEFT JOIN {FILE_TABLE} AS files ON files.name = s.{quoted(reference)}"
        self._joins.setdefault("files", join)
        del text
        return self._keep(f"files.{fact}::VARCHAR")

    def folded(self, text: Text) -> str:
        """Return the text in small letters without blanks around: for comparing with what the map lists."""
        return self._keep(f"lower({trimmed(text.column)})")

    def computed(self, sql: str) -> str:
        """Return a column of the second pass for an expression over its cells, so that it is worked out once."""
        return self._computed.setdefault(sql, f"m{len(self._computed)}")

    def _keep(self, sql: str) -> str:
        return self._texts.setdefault(sql, f"x{len(self._texts)}")

    def _match(self, name: str, table: str) -> str:
        ours = self.step.related[name].match.values()
        pairs = []
        for ordinal, reference in enumerate(ours):
            pairs.append(f"{table}.m{ordinal} = {field_sql(self.map, self.step.from_, reference, 's')}")
        return " AND ".join(pairs)

    # ---- cells ----

    def cell(self, text: Text, functions: tuple[str, ...] = (), at: str = "") -> Cell:
        """Return the clean value of a text, by the functions named or the one of its field's type."""
        if text.sql_type != "VARCHAR":
            lost = self._keep(f"{self.related[text.field_name[1:]][0]}.lost")
            code = f"CASE WHEN {lost} > 0 THEN 'sum_incomplete' END"
            return Cell(text.column, code, kind_of_type(text.sql_type))
        name = functions[-1] if functions else OF_TYPE[text.words.type] if text.words else "trim"
        if name not in FUNCTIONS:
            raise MapError(f"step {self.step.step}: no value function `{name}`", f"known are: {', '.join(FUNCTIONS)}")
        function = FUNCTIONS[name]
        order = self.map.date_order(text.object_name, text.field_name) if text.object_name else ""
        reading = self._readings.setdefault(
            (text.column, name, at, order),
            _Reading(str(len(self._readings)), text.column, function, with_order(self.context, order), at),
        )
        return Cell(f"c{reading.column}", f"k{reading.column}", function.kind)

    def may_tell(self, text: Text, functions: tuple[str, ...]) -> bool:
        """Whether the value function of a text ever has something to tell."""
        if text.sql_type != "VARCHAR":
            return True
        name = functions[-1] if functions else OF_TYPE[text.words.type] if text.words else "trim"
        function = FUNCTIONS[name]
        return not function.total or function.code is not None

    # ---- the two passes ----

    def first_pass(self, only: str) -> str:
        """Return the SQL of the first pass: staged rows, texts, and fast readings where those may be unsure."""
        texts = "".join(f", {sql} AS {name}" for sql, name in self._texts.items())
        joins = " ".join(self._joins.values())
        rows = (
            f"SELECT s._id, s._table, s._file, s._row, s._key, s._fate{texts} "
            f"FROM staged.{quoted(self.step.from_)} AS s {joins} WHERE {only}"
        )
        fast = "".join(
            f", ({r.function.fast(r.text, r.context, r.at)})::{r.function.sql_type} AS f{r.column}"
            for r in self._readings.values()
            if not r.function.total and not r.function.always_odd
        )
        return f"SELECT *{fast} FROM ({rows})"

    def read(self, con: duckdb.DuckDBPyConnection, only: str, read_odd: ReadOdd) -> None:
        """Make the rows of the first pass and read their odd texts; nothing is stored where every reading is total."""
        if all(r.function.total for r in self._readings.values()):
            self.rows = f"({self.first_pass(only)})"
        else:
            con.execute(f"CREATE OR REPLACE TEMP TABLE first_pass AS {self.first_pass(only)}")
        for r in self._readings.values():
            n, function = r.column, r.function
            text = f"w.{r.text}"
            if function.total:
                code = function.code(text) if function.code else "NULL::VARCHAR"
                self._cells.append(f"{function.fast(text, r.context, r.at)} AS c{n}, {code} AS k{n}")
                continue
            unread = "true" if function.always_odd else f"f{n} IS NULL"
            odd = f"(SELECT DISTINCT {r.text} AS text FROM {self.rows} WHERE {r.text} IS NOT NULL AND {unread})"
            fast = f"NULL::{function.sql_type}" if function.always_odd else f"w.f{n}"
            if con.execute(f"SELECT 1 FROM {odd} LIMIT 1").fetchone() is None:
                self._cells.append(f"{fast} AS c{n}, NULL::VARCHAR AS k{n}")
                continue
            name = read_odd(con, function, odd, r.context, r.at)
            unsure = text if function.always_odd else f"CASE WHEN w.f{n} IS NULL THEN {text} END"
            self._odd.append(f"LEFT JOIN {name} AS o{n} ON o{n}.text = {unsure}")
            value = f"o{n}.value" if function.always_odd else f"coalesce({fast}, o{n}.value)"
            self._cells.append(f"{value} AS c{n}, o{n}.code AS k{n}")

    def second_pass(self, rows: str = "") -> str:
        """Return the SQL of every cell with its code, over the rows of the first pass (`rows`: some of them)."""
        columns = ", ".join(["w.*", *self._cells])
        cells = f"SELECT {columns} FROM {rows or self.rows} AS w {' '.join(self._odd)}"
        computed = "".join(f", {sql} AS {name}" for sql, name in self._computed.items())
        return f"SELECT *{computed} FROM ({cells})"

    # ---- conditions ----

    def condition(self, condition: Condition) -> str:
        """Return a condition of the second pass as SQL that is never NULL."""
        parts = []
        for reference, test in condition.items():
            text = self.text(reference)
            if test.in_ or test.not_in:
                parts += text_tests(
                    self.folded(text), spellings(text.words, test.in_), spellings(text.words, test.not_in)
                )
            if test.blank is not None:
                parts.append(f"{text.column} IS {'' if test.blank else 'NOT '}NULL")
            if test.like:
                parts.append(f"coalesce(regexp_matches({trimmed(text.column)}, {literal(test.like)}, 'i'), false)")
            for operator, moment in (("<", test.before), (">=", test.not_before)):
                if moment:
                    parts.append(self._compare(text, operator, moment))
        return self.computed("(" + " AND ".join(parts or ["true"]) + ")")

    def _compare(self, text: Text, operator: str, moment: str) -> str:
        day = literal(day_of(moment, self.context.run_date).isoformat())
        if text.words is not None and text.words.type == "datetime":
            start = local_to_utc(f"TIMESTAMP {day}", self.context.time_zone)
            return f"coalesce({self.cell(text, ('datetime',)).value} {operator} {start}, false)"
        return f"coalesce({self.cell(text, ('date',)).value} {operator} DATE {day}, false)"

    def only(self) -> str:
        """Return the step's routing condition over the staged rows."""
        return routing(self.map, self.step)


def with_order(context: ValueContext, order: str) -> ValueContext:
    """Return the context with a column's own day-month order."""
    if order == context.date_order:
        return context
    return ValueContext(
        context.time_zone, context.currency, context.phone_country, context.run_date, order, context.decimal
    )


def field_sql(map: Map, object_name: str, name: str, alias: str) -> str:
    """Return a logical field over the staged rows `alias`: its column, or the fields it is made of, or NULL."""
    present = map.columns.get(object_name, {})
    if name in present:
        return f"{alias}.{quoted(name)}"
    words = map.vocabulary.field(object_name, name)
    parts = [f"{alias}.{quoted(p)}" for p in (words.made_of if words else ()) if p in present]
    if not parts:
        return "NULL::VARCHAR"
    joined = ", ".join(trimmed(p) for p in parts)
    return f"CASE WHEN {parts[0]} IS NOT NULL THEN concat_ws(' ', {joined}) END"


def routing(map: Map, step: Step) -> str:
    """Return which staged rows are this step's business (`only`), as SQL over `s`."""
    parts = []
    for reference, test in step.only.items():
        words = map.vocabulary.field(step.from_, reference)
        sql = field_sql(map, step.from_, reference, "s")
        folded = f"lower({trimmed(sql)})"
        parts += text_tests(folded, spellings(words, test.in_), spellings(words, test.not_in))
        if test.blank is not None:
            parts.append(f"{sql} IS {'' if test.blank else 'NOT '}NULL")
    return " AND ".join(parts) or "true"


def spellings(words: FieldWords | None, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Return canonical values together with the spellings that the vocabulary knows for them."""
    known = words.values if words is not None else {}
    by_fold = {k.lower(): v for k, v in known.items()}
    return tuple(s for w in wanted for s in (w, *by_fold.get(w.lower(), ())))


def left_out(map: Map, step: Step, source: str) -> dict[str, str]:
    """Return value (small letters) → reason, for the values of a field that alone keep a row out of a step."""
    words = map.vocabulary.field(step.from_, source)
    return {
        value.lower(): rule.reason
        for rule in step.where
        if set(rule.when) == {source} and map.holds(rule.when_choice)
        for value in spellings(words, rule.when[source].in_)
    }


def text_tests(folded: str, inside: tuple[str, ...], outside: tuple[str, ...]) -> list[str]:
    """Return tests of a folded text (small letters, trimmed) against lists; an empty text is in no list."""
    tests = []
    if inside:
        tests.append(f"coalesce({folded} IN ({', '.join(literal(v.lower()) for v in inside)}), false)")
    if outside:
        tests.append(f"coalesce({folded} NOT IN ({', '.join(literal(v.lower()) for v in outside)}), true)")
    return tests


def kind_of_type(sql_type: str) -> str:
    """Return the kind of a related value by its SQL type."""
    if sql_type.endswith("[]"):
        return "list"
    kinds = {"DATE": "date", "TIMESTAMP": "datetime", "BIGINT": "integer", "BOOLEAN": "boolean"}
    return "money" if sql_type.startswith("DECIMAL") else kinds.get(sql_type, "text")


_MOMENT = re.compile(r"run(?:-(\d+)y)?|(\d{4}-\d{2}-\d{2})")


def day_of(moment: str, run_date: date) -> date:
    """Return the day that `run`, `run-10y` or an ISO date means."""
    found = _MOMENT.fullmatch(moment)
    if found is None:
        raise MapError(f"`{moment}` is not a day", "write `run`, `run-10y` or YYYY-MM-DD")
    if found[2]:
        return date.fromisoformat(found[2])
    years = int(found[1] or 0)
    day = 28 if (run_date.month, run_date.day) == (2, 29) and years % 4 else run_date.day
    return run_date.replace(year=run_date.year - years, day=day)
