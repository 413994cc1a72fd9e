"""Recognise a client's tables and columns by the words of a vocabulary. Pure: reads headers only, never values."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from rapidfuzz import fuzz

from dentlib.vocabulary.words import ObjectWords, Vocabulary

SURE = 0.85
"""A confidence from which a proposal needs no second look."""

_TABLE_FLOOR = 0.5
_COLUMN_FLOOR = 0.6
_FUZZY_FLOOR = 88.0
_FOLD = str.maketrans({"İ": "I", "ı": "i", "ş": "s", "Ş": "S", "ğ": "g", "Ğ": "G", "ß": "ss", "ø": "o", "æ": "ae"})
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


@dataclass(frozen=True, slots=True)
class TableShape:
    """A table's name and its columns as they stand in the file."""

    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ColumnMatch:
    """What a column was recognised as (`field` empty: nothing), how surely, and why."""

    column: str
    field: str
    confidence: float
    evidence: str
    candidates: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class TableMatch:
    """What a table was recognised as (`object` empty: nothing), how surely, and why."""

    table: str
    object: str
    confidence: float
    evidence: str
    columns: Mapping[str, ColumnMatch]


@dataclass(frozen=True)
class Assignment:
    """Every table of an export with what it and its columns were recognised as."""

    tables: Mapping[str, TableMatch] = field(default_factory=dict)

    def table_of(self, object_name: str) -> tuple[str, ...]:
        """Return the tables that hold this object; several when an export splits it."""
        return tuple(t.table for t in self.tables.values() if t.object == object_name)

    def columns_of(self, object_name: str) -> list[tuple[str, str, str]]:
        """Return (table, column, logical field) of every recognised column of this object."""
        return [
            (t.table, c.column, c.field)
            for t in self.tables.values()
            if t.object == object_name
            for c in t.columns.values()
            if c.field
        ]

    @cached_property
    def objects(self) -> tuple[str, ...]:
        """The objects found, each once."""
        return tuple(dict.fromkeys(t.object for t in self.tables.values() if t.object))


def fold(text: str) -> str:
    """Return the text without accents; dotted and dotless i become `i` by an explicit table."""
    decomposed = unicodedata.normalize("NFKD", text.translate(_FOLD))
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def split_words(header: str) -> tuple[str, ...]:
    """Return a header's words in small letters: `WirelessPhone2` → wireless, phone, 2."""
    return tuple(w.lower() for w in _WORD.findall(fold(header)))


def assign(tables: Sequence[TableShape], vocabulary: Vocabulary) -> Assignment:
    """Recognise tables and columns. One table per object, unless several have the same columns (a split export).

    Confidence runs from 0 to 1; a column below 0.6 and a table below 0.5 are left unrecognised.
    """
    matcher = _Matcher(vocabulary)
    scored: list[tuple[float, int, TableShape, str, str, dict[str, ColumnMatch]]] = []
    for shape in tables:
        for name, words in vocabulary.objects.items():
            columns = matcher.columns(shape, name, words)
            confidence, evidence = matcher.table(shape, name, words, columns)
            scored.append((confidence, -len(scored), shape, name, evidence, columns))
    taken: dict[str, TableMatch] = {}
    owner: dict[str, TableShape] = {}
    for confidence, _, shape, name, evidence, columns in sorted(scored, key=lambda s: (-s[0], -s[1])):
        if confidence < _TABLE_FLOOR or shape.name in taken:
            continue
        if name in owner and set(owner[name].columns) != set(shape.columns):
            continue
        owner.setdefault(name, shape)
        taken[shape.name] = TableMatch(shape.name, name, round(confidence, 2), evidence, columns)
    nothing = "no object of the vocabulary has such a name and such columns"
    return Assignment(
        {
            s.name: taken.get(s.name)
            or TableMatch(s.name, "", 0.0, nothing, {c: ColumnMatch(c, "", 0.0, nothing) for c in s.columns})
            for s in tables
        }
    )


class _Matcher:
    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._abbreviations = {k: split_words(v) for k, v in vocabulary.abbreviations.items()}
        self._aliases: dict[str, list[tuple[str, str, tuple[str, ...], str]]] = {}
        self._own_words: dict[str, frozenset[str]] = {}
        spread: dict[str, set[str]] = {}
        for name, words in vocabulary.objects.items():
            rows = []
            for field_name, item in words.fields.items():
                for alias in (*item.aliases, item.label):
                    expanded = self._expand(split_words(alias))
                    rows.append((field_name, alias, expanded, "".join(split_words(alias))))
                    spread.setdefault("".join(expanded), set()).add(name)
            self._aliases[name] = rows
            table_words: Iterable[str] = (w for t in (*words.tables, words.label) for w in split_words(t))
            self._own_words[name] = frozenset(_singular(w) for w in self._expand(tuple(table_words)))
        self._spread = {k: len(v) for k, v in spread.items()}

    def _expand(self, words: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(x for w in words for x in self._abbreviations.get(w, (w,)))

    def columns(self, shape: TableShape, name: str, words: ObjectWords) -> dict[str, ColumnMatch]:
        """Match each column to at most one field and each field to at most one column, best first."""
        candidates: list[tuple[float, str, str, str]] = []
        for column in shape.columns:
            candidates += [(score, column, f, why) for f, (score, why) in self._fields(column, name).items()]
        order = {c: i for i, c in enumerate(shape.columns)}
        found: dict[str, ColumnMatch] = {}
        used: set[str] = set()
        per_column: dict[str, list[tuple[str, float]]] = {}
        for score, column, field_name, why in sorted(candidates, key=lambda c: (-c[0], order[c[1]], c[2])):
            per_column.setdefault(column, []).append((field_name, round(score, 2)))
            if column not in found and field_name not in used and score >= _COLUMN_FLOOR:
                found[column] = ColumnMatch(column, field_name, round(score, 2), why)
                used.add(field_name)
        result = {}
        for column in shape.columns:
            match = found.get(column) or ColumnMatch(column, "", 0.0, "no field is called like this")
            alternatives = tuple(per_column.get(column, ())[:3])
            result[column] = ColumnMatch(column, match.field, match.confidence, match.evidence, alternatives)
        return result

    def _fields(self, column: str, name: str) -> dict[str, tuple[float, str]]:
        raw = split_words(column)
        plain, expanded = "".join(raw), self._expand(raw)
        own = self._own_words[name]
        bare = tuple(w for w in expanded if _singular(w) not in own) or expanded
        forms = {"".join(expanded), plain}
        best: dict[str, tuple[float, str]] = {}
        for field_name, alias, words, compact in self._aliases[name]:
            joined = "".join(words)
            if plain == compact:
                score, why = 1.0, f"is called “{alias}”"
            elif joined in forms:
                score, why = 0.95, f"reads as “{alias}”"
            elif "".join(bare) == joined or "".join(bare) == "".join(w for w in words if _singular(w) not in own):
                score, why = 0.88, f"reads as “{alias}” without the table's own name"
            elif len(joined) > 3 and expanded[: len(words)] == words:
                score, why = 0.65, f"begins with “{alias}”"
            else:
                ratio = fuzz.ratio("".join(expanded), joined) if min(len(joined), len(plain)) > 4 else 0.0
                if ratio < _FUZZY_FLOOR:
                    continue
                score, why = ratio / 100 * 0.8, f"looks like “{alias}”"
            if score > best.get(field_name, (0.0, ""))[0]:
                best[field_name] = (score, why)
        return best

    def table(
        self, shape: TableShape, name: str, words: ObjectWords, columns: Mapping[str, ColumnMatch]
    ) -> tuple[float, str]:
        """Weigh the table's name and how many telling columns it has; common ones (id, date) tell little."""
        table_words = self._expand(split_words(shape.name))
        raw = "".join(split_words(shape.name))
        compact = "".join(_singular(w) for w in table_words)
        by_name, called = 0.0, ""
        for alias in (*words.tables, words.label):
            alias_words = self._expand(split_words(alias))
            written = "".join(split_words(alias))
            if compact == "".join(_singular(w) for w in alias_words) or _singular(raw) == _singular(written):
                score = 1.0
            elif {_singular(w) for w in alias_words} <= {_singular(w) for w in table_words}:
                score = 0.8
            else:
                score = 0.0
            if score > by_name:
                by_name, called = score, alias
        matched = [c for c in columns.values() if c.field]
        telling = sum(1 / self._spread.get("".join(self._expand(split_words(c.column))), 1) for c in matched)
        required = [f for f, w in words.fields.items() if w.required]
        has = {c.field for c in matched}
        share = len(matched) / max(1, len(shape.columns))
        complete = sum(f in has for f in required) / max(1, len(required))
        evidence = f"{len(matched)} of {len(shape.columns)} columns recognised"
        if by_name:
            if not matched:
                return 0.0, evidence
            confidence = 0.6 * by_name + 0.2 * min(1.0, 2 * share) + 0.2 * complete
            return confidence, f"is called “{called}”; {evidence}"
        if telling >= 3 and share >= 0.5 and complete >= 0.99:
            return 0.5 + 0.2 * share, f"its columns tell; {evidence}"
        return 0.0, evidence


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word
