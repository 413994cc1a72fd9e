"""Compile the rules of a step into SQL over its second pass: value, code of what is wrong, and the row's fate."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from dentlib.errors import MapError
from dentlib.mapping.functions import FUNCTIONS, local_to_utc
from dentlib.mapping.references import FILE_FACTS, Cell, References, Text, spellings
from dentlib.pairs import FieldRule
from dentlib.workdb import literal

Scalar = str | int | bool | None
NO_CODE = "NULL::VARCHAR"
"""The code of a value about which there is nothing to tell."""

LONGEST_SPAN_MINUTES, LONGEST_SPAN_MONTHS = 366 * 24 * 60, 100 * 12
"""A year and a century: a longer one is a slip of the keyboard; no date is worked out from it, and that is told."""


@dataclass(frozen=True, slots=True)
class Fate:
    """A reason for which a row doesn't reach the loader: where it holds, and the outcome, code and reason (SQL)."""

    when: str
    outcome: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Compiled:
    """One destination field. `value`, `code`, `raw` are SQL over the second pass; `code` NULL where all is well."""

    path: str
    kind: str
    value: str
    code: str
    raw: str = "NULL::VARCHAR"
    label: str = ""
    keep_in: str = ""
    shared: str = ""
    fates: tuple[Fate, ...] = field(default_factory=tuple)


class RuleCompiler:
    """Compiles the field rules of one step."""

    def __init__(self, references: References) -> None:
        self._references = references

    def compile(self, path: str, rule: FieldRule) -> Compiled:
        """Return the rule as SQL. Raises MapError for a rule that says too little."""
        if rule.constant is not None:
            cell = Cell(scalar(rule.constant), NO_CODE, kind_of(rule.constant))
            return self._decide(path, rule, cell, "true", "NULL::VARCHAR", "", mapped=cell.value)
        if rule.template:
            return self._template(path, rule)
        if rule.date_plus is not None:
            return self._date_plus(path, rule)
        if rule.combine == "collect":
            return self._collect(path, rule)
        text = self._references.joined(rule.source, rule.combine, rule.separator)
        label = text.words.label if text.words else path
        if rule.values or rule.values_matching:
            return self._value_map(path, rule, text, label)
        cell = self._references.cell(text, rule.apply, rule.at)
        if not self._references.may_tell(text, rule.apply):
            cell = Cell(cell.value, NO_CODE, cell.kind)
        if cell.kind == "phones":
            cell = Cell(cell.value, cell.code, "phones")
        self._needs_invalid(path, rule, text)
        return self._decide(path, rule, cell, f"{text.column} IS NOT NULL", raw_text(text), label)

    def _needs_invalid(self, path: str, rule: FieldRule, text: Text) -> None:
        name = rule.apply[-1] if rule.apply else ""
        words = text.words
        if not name and words is not None:
            name = {"phone": "phone", "email": "email", "date": "date", "datetime": "datetime", "money": "money"}.get(
                words.type, words.type if words.type in ("integer", "boolean") else "trim"
            )
        if text.sql_type == "VARCHAR" and name in FUNCTIONS and FUNCTIONS[name].fallible and rule.invalid is None:
            step = self._references.step.step
            raise MapError(f"step {step}, {path}: `{name}` can fail", "say what happens to an invalid value (invalid:)")

    def _collect(self, path: str, rule: FieldRule) -> Compiled:
        """Several phone columns: every number that can be read, in order, each once; what can't is told."""
        texts = [self._references.text(r) for r in rule.source]
        cells = [self._references.cell(t, rule.apply) for t in texts]
        found = ", ".join(f"coalesce({c.value}, [])" for c in cells)
        every = f"flatten([{found}])"
        distinct = f"list_filter({every}, lambda x, i: list_position({every}, x) = i)"
        columns = ", ".join(c.value for c in cells)
        filled = " + ".join(f"({c.value} IS NOT NULL)::INTEGER" for c in cells)
        value = f"CASE WHEN {filled} < 2 THEN coalesce({columns}) WHEN len({every}) > 0 THEN {distinct} END"
        codes = ", ".join(c.code for c in cells)
        some = " OR ".join(f"{t.column} IS NOT NULL" for t in texts)
        labels = [literal((t.words.label if t.words else "") + ": ") for t in texts]
        lines = ", ".join(
            f"CASE WHEN {c.code} IS NOT NULL THEN {label} || {t.column} END"
            for label, t, c in zip(labels, texts, cells, strict=True)
        )
        raw = f"nullif(concat_ws('; ', {lines}), '')"
        cell = Cell(self._references.computed(value), f"coalesce({codes})", "phones")
        return self._decide(path, rule, cell, f"({some})", raw, "", raw_has_label=True)

    def _value_map(self, path: str, rule: FieldRule, text: Text, label: str) -> Compiled:
        if text.sql_type.endswith("[]"):
            matching = f"list_filter({text.column}, lambda x: regexp_full_match(x, {literal(rule.values_matching)}))"
            value = f"CASE WHEN len({matching}) > 0 THEN {matching} END"
            other = f"list_filter({text.column}, lambda x: NOT regexp_full_match(x, {literal(rule.values_matching)}))"
            code = f"CASE WHEN len({other}) > 0 THEN 'unmapped_value' END"
            raw = f"array_to_string({other}, ', ')"
            return self._decide(path, rule, Cell(value, code, "list"), f"len({text.column}) > 0", raw, path)
        folded = self._references.folded(text)
        taken: set[str] = set()
        cases = []
        for source, target in rule.values.items():
            known = [s.lower() for s in spellings(text.words, (source,)) if s.lower() not in taken]
            written = {k.lower() for k in rule.values}
            known = [s for s in known if s == source.lower() or s not in written]
            taken.update(known)
            if known:
                cases.append(f"WHEN {folded} IN ({', '.join(literal(s) for s in known)}) THEN {scalar(target)}")
        if rule.values_matching:
            plain = f"upper({folded})"
            cases.append(f"WHEN regexp_full_match({plain}, {literal(rule.values_matching)}) THEN {plain}")
        mapped = self._references.computed(f"CASE {' '.join(cases)} END")
        kinds = {kind_of(v) for v in rule.values.values()} or {"text"}
        cell = Cell(mapped, "'unmapped_value'", kinds.pop() if len(kinds) == 1 else "text")
        unmapped = rule.model_copy(update={"invalid": rule.unmapped})
        return self._decide(path, unmapped, cell, f"{text.column} IS NOT NULL", raw_text(text), label)

    def _date_plus(self, path: str, rule: FieldRule) -> Compiled:
        """First start that is there, plus months or minutes. A sum that can't be made is always told."""
        assert rule.date_plus is not None
        plus = rule.date_plus
        minutes = self._amount(plus.minutes, LONGEST_SPAN_MINUTES)
        months = self._amount(plus.months, LONGEST_SPAN_MONTHS)
        starts = []
        for reference in plus.start:
            text = self._references.text(reference)
            wants_time = text.words is not None and text.words.type == "datetime"
            cell = self._references.cell(text, (("datetime",) if wants_time else ("date",)))
            starts.append(f"{cell.value}::TIMESTAMP")
        whole = f"coalesce({', '.join(starts)})"
        if months != "0":
            whole = f"({whole} + to_months({months}))"
        if minutes != "0":
            whole = f"({whole} + to_minutes({minutes}))"
        if rule.at:
            whole = local_to_utc(f"(({whole})::DATE + TIME {literal(rule.at)})", self._references.context.time_zone)
        cell = Cell(self._references.computed(whole), "'not_computable'", "datetime")
        decided = rule.model_copy(update={"invalid": rule.missing})
        return self._decide(path, decided, cell, "true", "NULL::VARCHAR", path)

    def _amount(self, amount: str | int, longest: int) -> str:
        if isinstance(amount, int):
            return str(amount)
        value = self._references.cell(self._references.text(amount), ("integer",)).value
        return f"CASE WHEN {value} BETWEEN -{longest} AND {longest} THEN {value}::INTEGER END"

    def _template(self, path: str, rule: FieldRule) -> Compiled:
        """Placeholders in braces; a part in brackets is left out when one of its placeholders is empty."""
        pieces, filled = [], []
        for optional, plain in re.findall(r"\[([^\]]*)\]|([^\[]+)", rule.template):
            text, needs = self._fill(optional or plain)
            filled += needs
            everything = " AND ".join(f"{n} IS NOT NULL" for n in needs) or "true"
            pieces.append(f"CASE WHEN {everything} THEN {text} ELSE '' END" if optional else text)
        some = " OR ".join(f"{n} IS NOT NULL" for n in filled) or "true"
        line = " || ".join(pieces)
        edges = f"starts_with({line}, ' ') OR ends_with({line}, ' ') OR {line} = ''"
        whole = f"CASE WHEN {edges} THEN nullif(trim({line}, ' '), '') ELSE {line} END"
        cell = Cell(self._references.computed(f"CASE WHEN {some} THEN {whole} END"), NO_CODE, "text")
        if rule.apply == ("blocknote",):
            fast = FUNCTIONS["blocknote"].fast(cell.value, self._references.context, "")
            cell = Cell(f"({fast})", "'text_unreadable'", "blocknote")
        return self._decide(path, rule, cell, f"({some})", "NULL::VARCHAR", path)

    def _fill(self, template: str) -> tuple[str, list[str]]:
        pieces, needs = [], []
        for literal_text, placeholder in re.findall(r"([^{]+)|\{([^}]*)\}", template):
            if literal_text:
                pieces.append(literal(literal_text))
                continue
            reference, _, form = placeholder.partition("|")
            if form in FILE_FACTS:
                sql = self._references.file_fact(reference, form)
            elif form == "date":
                read = self._references.cell(self._references.text(reference), ("date",))
                sql = f"strftime({read.value}, '%Y-%m-%d')"
            elif form:
                raise MapError(f"`{placeholder}` is not a form of a value", f"known: date, {', '.join(FILE_FACTS)}")
            else:
                sql = self._references.cell(self._references.text(reference), ("trim",)).value
            needs.append(sql)
            pieces.append(f"coalesce({sql}, '')")
        return " || ".join(pieces), needs

    def _decide(
        self,
        path: str,
        rule: FieldRule,
        cell: Cell,
        present: str,
        raw: str,
        label: str,
        *,
        mapped: str = "",
        raw_has_label: bool = False,
    ) -> Compiled:
        value = mapped or cell.value
        missing, invalid = rule.missing, rule.invalid
        cases: list[str] = []
        codes: list[str] = []
        fates: list[Fate] = []
        for override in rule.overrides:
            holds = self._references.condition(override.when)
            cases.append(f"WHEN {holds} THEN {self._constant(override.value, cell.kind)}")
            codes.append(f"WHEN {holds} THEN {literal(override.note) if override.note else 'NULL'}")
        absent, bad = f"NOT ({present})", f"{present} AND {cell.value} IS NULL"
        bad_code = f"coalesce({cell.code}, 'unreadable_value')"
        for decision, when, fate_code in ((missing, absent, "'missing_value'"), (invalid, bad, bad_code)):
            if decision is None:
                continue
            if decision.value is not None:  # an absent or unreadable value is NULL by itself
                cases.append(f"WHEN {when} THEN {self._constant(decision.value, cell.kind)}")
            if decision.do in ("reject", "exclude"):
                outcome = "'rejected'" if decision.do == "reject" else "'excluded'"
                fates.append(Fate(when, outcome, fate_code, literal(label or path)))
        code = self._code(cell, present, bad, codes)
        keep = next((d.keep_as_text for d in (invalid, missing, rule.unmapped) if d is not None and d.keep_as_text), "")
        whole = f"CASE {' '.join(cases)} ELSE {value} END" if cases else value
        prefix = "" if raw_has_label else (label or path)
        return Compiled(path, cell.kind, whole, code, raw, prefix, keep, rule.shared, tuple(fates))

    def _code(self, cell: Cell, present: str, bad: str, overriding: list[str]) -> str:
        """Return what is to be told: an override's note, why a value could not be read, or a note on one that could."""
        if cell.code == NO_CODE:
            own = NO_CODE
        elif cell.code.startswith("'"):
            own = f"CASE WHEN {bad} THEN {cell.code} END"
        else:
            own = cell.code
        if not overriding:
            return own
        return f"CASE {' '.join(overriding)} ELSE {own} END"

    def _constant(self, value: Scalar, kind: str) -> str:
        if value is None:
            return "NULL"
        if kind in ("list",):
            return f"[{scalar(value)}]"
        if kind == "date":
            return f"DATE {literal(str(value))}"
        if kind == "blocknote":
            return FUNCTIONS["blocknote"].fast(scalar(str(value)), self._references.context, "")
        return scalar(value)


def raw_text(text: Text) -> str:
    """Return the source's own text of a cell, for keeping beside."""
    return text.column if text.sql_type == "VARCHAR" else f"{text.column}::VARCHAR"


def scalar(value: Scalar) -> str:
    """Return a constant of the map as SQL."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else literal(value)


def kind_of(value: Scalar) -> str:
    """Return the kind of a constant."""
    if isinstance(value, bool):
        return "boolean"
    return "integer" if isinstance(value, int) else "text"
