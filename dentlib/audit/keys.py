"""Find what identifies a row, and which columns point at other tables' rows. Reads only.

Keys of practice systems are small integers that overlap between tables, so that inclusion alone proves nothing: a
relation needs a reference in the vocabulary, a name that says where it points, or values that are unique in the world.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import duckdb

from dentlib.audit.profile import Column
from dentlib.facts import RelationshipFacts
from dentlib.vocabulary import Vocabulary
from dentlib.vocabulary.match import Assignment, split_words
from dentlib.workdb import quoted

COMPOSITE_ROWS = 200_000
COMPOSITE_COLUMNS = 8
WORLD_UNIQUE_LENGTH = 16
COVERAGE = 0.9
DUPLICATES_OF_A_KEYED_TABLE = 0.05
COVERAGE_WORLD_UNIQUE = 0.5
LONGEST_KEY = 64
_KEY_WORDS = {"id", "num", "no", "nr", "key", "code", "number", "pk", "guid", "uuid"}


@dataclass(frozen=True, slots=True)
class Key:
    """The columns that identify a row (none: told apart by content), and how that was found.

    `offending`: rows that a declared key doesn't identify, being blank or repeated with other content.
    """

    columns: tuple[str, ...]
    note: str
    offending: int = 0


def exact_duplicates(con: duckdb.DuckDBPyConnection, table: str, columns: Sequence[str]) -> int:
    """Count rows that repeat an earlier row of the table cell by cell."""
    cells = ", ".join(map(quoted, columns))
    source = f"raw.{quoted(table)}"
    row = con.execute(f"SELECT count(*) - count(DISTINCT hash({cells})) FROM {source}").fetchone()
    if not row or not row[0]:
        return 0
    row = con.execute(
        f"SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) n FROM {source} GROUP BY {cells})"
    ).fetchone()
    assert row is not None
    return int(row[0])


def find_key(
    con: duckdb.DuckDBPyConnection,
    table: str,
    columns: Mapping[str, Column],
    duplicates: int,
    declared: str,
) -> Key:
    """Find a table's key: the column that the vocabulary names, else the likeliest unique one, else two or three.

    Unique means unique among the rows that are left when exact duplicates are merged.
    """
    if not columns:
        return Key((), "no columns")
    rows = next(iter(columns.values())).facts.rows - duplicates
    merged = f" once {_repeated(duplicates)} merged" if duplicates else ""
    if declared:
        facts = columns[declared].facts
        if _is_unique(columns[declared], rows, duplicates):
            return Key((declared,), f"unique and never blank{merged}")
        blank, repeated = facts.rows - facts.filled, facts.filled - facts.distinct - duplicates
        return Key((declared,), f"not proven: {blank} blank, {repeated} repeated", blank + repeated)
    if rows <= 1:
        return Key((), "too few rows to tell")
    single = [n for n, c in columns.items() if _is_unique(c, rows, duplicates) and _could_be_key(c)]
    if duplicates > DUPLICATES_OF_A_KEYED_TABLE * (rows + duplicates):
        single = [n for n in single if _sounds_like_key(n)]
        if not single:
            return Key((), f"no key: {duplicates} rows repeat others, so rows are told apart by content and number")
    if single:
        best = max(single, key=lambda n: (_sounds_like_key(n), -list(columns).index(n)))
        return Key((best,), f"unique and never blank{merged}")
    composite = _composite(con, table, columns, rows)
    if composite:
        return Key(composite, f"unique together and never blank{merged}")
    return Key((), "no key found: rows are told apart by their content")


def _is_unique(column: Column, rows: int, duplicates: int) -> bool:
    facts = column.facts
    return facts.filled == rows + duplicates and facts.distinct == rows


def _could_be_key(column: Column) -> bool:
    facts = column.facts
    return (
        facts.type in ("integer", "text")
        and facts.longest <= LONGEST_KEY
        and facts.identifier_class
        not in (
            "name",
            "free_text",
            "email",
            "phone",
        )
    )


def _sounds_like_key(name: str) -> bool:
    words = split_words(name)
    return bool(words) and (words[-1] in _KEY_WORDS or name.lower().endswith(("id", "num", "key", "nr")))


def _composite(con: duckdb.DuckDBPyConnection, table: str, columns: Mapping[str, Column], rows: int) -> tuple[str, ...]:
    if rows > COMPOSITE_ROWS:
        return ()
    usable = [
        n
        for n, c in columns.items()
        if c.facts.filled >= rows
        and c.facts.type != "decimal"
        and c.facts.longest <= LONGEST_KEY
        and c.facts.distinct > 1
    ]
    usable = sorted(usable, key=lambda n: -columns[n].facts.distinct)[:COMPOSITE_COLUMNS]
    for size in (2, 3):
        for names in combinations(usable, size):
            if _product(columns[n].facts.distinct for n in names) < rows:
                continue
            cells = ", ".join(map(quoted, names))
            row = con.execute(f"SELECT count(DISTINCT ({cells})) FROM raw.{quoted(table)}").fetchone()
            if row and row[0] == rows:
                return tuple(n for n in columns if n in names)
    return ()


def _product(numbers: Iterable[int]) -> int:
    result = 1
    for number in numbers:
        result *= number
    return result


def find_relationships(
    con: duckdb.DuckDBPyConnection,
    columns: Mapping[tuple[str, str], Column],
    keys: Mapping[str, Key],
    assignment: Assignment,
    vocabulary: Vocabulary,
) -> list[RelationshipFacts]:
    """Find which columns point at which tables' keys, with filled rows and orphans.

    First the vocabulary's references, as they are; then, for columns it says nothing about, inclusion with evidence:
    the column is called like the parent's key or like its table and ≥ 90 % of its rows are found there, or its values
    are unique in the world and ≥ 50 % are.
    """
    single = {t: k.columns[0] for t, k in keys.items() if len(k.columns) == 1 and columns[t, k.columns[0]].facts.filled}
    found: dict[tuple[str, str], RelationshipFacts] = {}
    for table, column, parent in _references(assignment, vocabulary):
        if parent in single:
            found[table, column] = _count(con, table, column, parent, single[parent])
    for (table, column), it in columns.items():
        if (table, column) in found or not _could_point(it) or keys[table].columns == (column,):
            continue
        best = max(
            (
                (relation.filled - relation.orphans, relation)
                for parent, key in single.items()
                if _evidence(column, it, parent, key, columns[parent, key], assignment)
                for relation in [_count(con, table, column, parent, key)]
                if _covered(relation, it)
            ),
            key=lambda x: x[0],
            default=None,
        )
        if best:
            found[table, column] = best[1]
    return [found[c] for c in columns if c in found]


def _references(assignment: Assignment, vocabulary: Vocabulary) -> list[tuple[str, str, str]]:
    found = []
    for match in assignment.tables.values():
        for column in match.columns.values():
            words = vocabulary.field(match.object, column.field) if match.object and column.field else None
            if words is not None and words.references:
                parents = assignment.table_of(words.references)
                if len(parents) == 1:
                    found.append((match.table, column.column, parents[0]))
    return found


def _could_point(column: Column) -> bool:
    facts = column.facts
    return facts.type in ("integer", "text") and bool(facts.filled) and facts.longest <= LONGEST_KEY


def _evidence(column: str, it: Column, parent: str, key: str, parent_key: Column, assignment: Assignment) -> bool:
    if _world_unique(it) and _world_unique(parent_key):
        return True
    if it.facts.type != parent_key.facts.type:
        return False
    if column.lower() == key.lower() and len(split_words(key)) > 1:
        return True
    called = {_singular(w) for w in split_words(parent)} | {_singular(assignment.tables[parent].object)}
    called.discard("")
    words = [_singular(w) for w in split_words(column)]
    compact = _singular("".join(w for w in split_words(column) if w not in _KEY_WORDS))
    return compact in called or any(w in called for w in words)


def _world_unique(column: Column) -> bool:
    return (
        column.facts.type == "text"
        and column.average_length >= WORLD_UNIQUE_LENGTH
        and (column.facts.identifier_class == "record")
    )


def _covered(relation: RelationshipFacts, column: Column) -> bool:
    share = COVERAGE_WORLD_UNIQUE if _world_unique(column) else COVERAGE
    return relation.filled - relation.orphans >= share * relation.filled and relation.filled > relation.orphans


def _singular(word: str) -> str:
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word


def _count(con: duckdb.DuckDBPyConnection, table: str, column: str, parent: str, key: str) -> RelationshipFacts:
    row = con.execute(
        f"WITH parents AS (SELECT DISTINCT trim({quoted(key)}) AS k FROM raw.{quoted(parent)}) "
        f"SELECT count(*), count(*) FILTER (WHERE k IS NULL) FROM raw.{quoted(table)} AS child "
        f"LEFT JOIN parents ON trim(child.{quoted(column)}) = k WHERE trim(child.{quoted(column)}) <> ''"
    ).fetchone()
    assert row is not None
    return RelationshipFacts(table, column, parent, key, int(row[0]), int(row[1]))


def _repeated(rows: int) -> str:
    return "1 row that stands there twice is" if rows == 1 else f"{rows:,} rows that stand there more than once are"
