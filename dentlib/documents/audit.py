"""The audit's facts as sections: findings, tables, columns, relationships, files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dentlib.documents import numbers
from dentlib.documents.view import Column, Figure, Section, Share, Status, Table, Tone, severity, severity_rank
from dentlib.facts import AuditFacts, ColumnFacts, FileFacts, TableFacts
from dentlib.model import Problem, Severity
from dentlib.privacy import SMALL_CELL, mask
from dentlib.vocabulary import known_sources, load_vocabulary

READABLE = ("csv", "xlsx")
"""Kinds of files that have rows. The names of all others may name a patient, and are masked."""

_MOST_VALUES = 12
_TO_ANSWER = Status("answer", Tone.STOP)


def sections(facts: AuditFacts) -> tuple[Section, ...]:
    """Return the audit's sections in reading order. Pure; every value shown is a count, a name or masked."""
    return (_findings(facts), _tables(facts), _columns(facts), _relationships(facts), _files(facts))


def summary(facts: AuditFacts) -> Section:
    """Return what the whole audit says in one sentence, with its key figures."""
    rows = sum(t.rows for t in facts.tables)
    must = [f for f in facts.findings if f.severity is Severity.ERROR]
    recognised = [t for t in facts.tables if t.object]
    status = Status("answer", Tone.CHECK) if must else Status("ready", Tone.GOOD)
    tail = (
        f"{numbers.things(len(must), 'finding').capitalize()} {'needs' if len(must) == 1 else 'need'} an answer from "
        "the practice; without one, the rule of the map holds."
        if must
        else "Nothing in it needs an answer from the practice."
    )
    return Section(
        name="summary",
        heading="In short",
        finding=f"The export of {facts.client} from {product(facts.source)} has "
        f"{numbers.things(len(facts.tables), 'table')} with {numbers.things(rows, 'row')}. {tail}",
        status=status,
        figures=(
            Figure("files", numbers.count(len(facts.intake.files))),
            Figure("rows", numbers.count(rows), f"in {numbers.things(len(facts.tables), 'table')}"),
            Figure("tables recognised", numbers.count(len(recognised)), f"of {numbers.count(len(facts.tables))}"),
            Figure("to answer", numbers.count(len(must)), "findings", Tone.CHECK if must else Tone.GOOD),
            Figure("to check", numbers.count(sum(f.severity is Severity.WARNING for f in facts.findings)), "findings"),
        ),
    )


def product(source: str) -> str:
    """Return a practice system's name as its maker writes it; the key itself where no vocabulary has it."""
    return load_vocabulary(source).label if source in known_sources() else source


def decisions(facts: AuditFacts) -> tuple[str, ...]:
    """Return what the practice has to answer; the map says what happens without an answer."""
    asked = [
        f"{_where(f.table, f.column)}: {numbers.readable(f.message)}, {numbers.share(f.count, f.of)}. "
        f"{numbers.sentence(numbers.readable(f.hint))}".strip()
        for f in facts.findings
        if f.severity is Severity.ERROR
    ]
    asked += [
        f"{p.where}: {numbers.sentence(p.message, p.hint)}"
        for p in facts.intake.problems
        if p.severity is Severity.ERROR
    ]
    if facts.missing_objects:
        names = numbers.listing(list(facts.missing_objects))
        asked.append(f"The export has nothing for {names}. Send it, or confirm that the practice doesn't use it.")
    return tuple(asked)


def _where(table: str, column: str) -> str:
    return f"{table}.{column}" if column else table


def _findings(facts: AuditFacts) -> Section:
    found = sorted(facts.findings, key=lambda f: (severity_rank(f.severity), -f.count, f.table, f.column, f.kind))
    must = sum(f.severity is Severity.ERROR for f in found)
    check = sum(f.severity is Severity.WARNING for f in found)
    sentence = (
        f"{numbers.things(must, 'finding').capitalize()} to answer, {numbers.count(check)} to check, "
        f"{numbers.count(len(found) - must - check)} for information."
        if found
        else "Nothing unusual was found in the data."
    )
    return Section(
        name="findings",
        heading="Findings",
        finding=sentence,
        status=_verdict(must, check),
        tables=(
            Table(
                name="findings",
                caption="What was noticed, the most serious first. Examples show the shape of a value, never the value",
                columns=(
                    Column("Status", "status"),
                    Column("Where", "code"),
                    Column("What"),
                    Column("Rows", "share"),
                    Column("Example", "value"),
                    Column("What we suggest"),
                ),
                rows=tuple(
                    (
                        _TO_ANSWER if f.severity is Severity.ERROR else severity(f.severity),
                        _where(f.table, f.column),
                        numbers.first_upper(numbers.readable(f.message)),
                        Share(f.count, f.of),
                        f.masked_example,
                        numbers.first_upper(numbers.readable(f.hint)),
                    )
                    for f in found
                ),
            ),
        ),
    )


def _verdict(must: int, check: int) -> Status:
    if must:
        return _TO_ANSWER
    return Status("check", Tone.CHECK) if check else Status("fine", Tone.GOOD)


def _tables(facts: AuditFacts) -> Section:
    known = [t for t in facts.tables if t.object]
    missing = list(facts.missing_objects)
    sentence = f"{numbers.share_of(len(known), len(facts.tables), 'table')} were recognised."
    if missing:
        sentence += f" Expected and not found: {numbers.listing(missing, most=20)}."
    return Section(
        name="tables",
        heading="Tables",
        finding=sentence,
        status=Status("check", Tone.CHECK) if missing or len(known) < len(facts.tables) else Status("fine", Tone.GOOD),
        tables=(
            Table(
                name="tables",
                caption="Every table of the export",
                columns=(
                    Column("Table", "code"),
                    Column("Recognised as"),
                    Column("Rows", "number"),
                    Column("Columns", "number"),
                    Column("Key", "code"),
                    Column("About the key"),
                    Column("From", "code"),
                ),
                rows=tuple(_table_row(t) for t in facts.tables),
            ),
        ),
    )


def _table_row(t: TableFacts) -> tuple[object, ...]:
    recognised = t.object.replace("_", " ") if t.object else Status("not recognised", Tone.CHECK)
    return (t.name, recognised, t.rows, t.columns, ", ".join(t.key) or None, t.key_note or None, ", ".join(t.files))


def _columns(facts: AuditFacts) -> Section:
    empty = sum(c.filled == 0 for c in facts.columns)
    identifying = sum(bool(c.identifier_class) for c in facts.columns)
    return Section(
        name="columns",
        heading="Columns",
        finding=f"{numbers.things(len(facts.columns), 'column').capitalize()}; "
        f"{numbers.share(identifying, len(facts.columns))} hold what identifies a person and are masked here, "
        f"{numbers.are(empty)} empty.",
        status=Status(""),
        note="Pick-list values are shown with their rows; a value that fewer than five rows have is left out.",
        tables=(replace(_column_table(facts.columns), parts=_by_table(facts.columns)),),
    )


def _column_table(columns: Sequence[ColumnFacts]) -> Table:
    return Table(
        name="columns",
        caption="Every column, how full it is, and what it looks like",
        columns=(
            Column("Table", "code"),
            Column("Column", "code"),
            Column("Type"),
            Column("Filled", "share"),
            Column("Different values", "number"),
            Column("Longest, characters", "number"),
            Column("Identifies"),
            Column("Looks like", "value"),
        ),
        rows=tuple(_column_row(c) for c in columns),
    )


def _column_row(c: ColumnFacts) -> tuple[object, ...]:
    return (
        c.table,
        c.column,
        _type(c),
        Share(c.filled, c.rows, bar=True),
        c.distinct,
        c.longest or None,
        c.identifier_class.replace("_", " ") or None,
        _looks(c),
    )


def _by_table(columns: Sequence[ColumnFacts]) -> tuple[Table, ...]:
    """Return one table for each table of the export, headed by its name."""
    names = dict.fromkeys(c.table for c in columns)
    return tuple(_part_of(name, [c for c in columns if c.table == name]) for name in names)


def _part_of(table: str, columns: Sequence[ColumnFacts]) -> Table:
    whole = _column_table(columns)
    return replace(
        whole,
        name=f"columns-{table}",
        caption=f"{table}: {numbers.things(len(columns), 'column')}, {numbers.things(columns[0].rows, 'row')}",
        columns=whole.columns[1:],
        rows=tuple(row[1:] for row in whole.rows),
    )


def _looks(c: ColumnFacts) -> str:
    if c.identifier_class or not c.values:
        return " · ".join(c.masked_examples)
    common = [(value, rows) for value, rows in c.values if rows >= SMALL_CELL]  # a second lock: few people, one person
    listed = " · ".join(f"{value} ({numbers.count(rows)})" for value, rows in common[:_MOST_VALUES])
    return listed + (f" · and {numbers.count(len(common) - _MOST_VALUES)} more" if len(common) > _MOST_VALUES else "")


def _type(c: ColumnFacts) -> str:
    """Say type and format as people write it: `date, MM/DD/YYYY`."""
    return f"{c.type}, {numbers.readable(c.format)}" if c.format else c.type


def _relationships(facts: AuditFacts) -> Section:
    orphans = sum(r.orphans for r in facts.relationships)
    filled = sum(r.filled for r in facts.relationships)
    sentence = f"{numbers.things(len(facts.relationships), 'relationship').capitalize()} between tables. "
    sentence += (
        f"{numbers.share_of(orphans, filled, 'reference')} point at a record that isn't in the export."
        if orphans
        else "Every reference finds its record."
    )
    return Section(
        name="relationships",
        heading="Relationships",
        finding=sentence,
        status=Status("check", Tone.CHECK) if orphans else Status("fine", Tone.GOOD),
        tables=(
            Table(
                name="relationships",
                caption="Which column points at which table",
                columns=(
                    Column("Column", "code"),
                    Column("Points at", "code"),
                    Column("References", "number"),
                    Column("Without a record", "share"),
                ),
                rows=tuple(
                    (
                        f"{r.child_table}.{r.child_column}",
                        f"{r.parent_table}.{r.parent_column}",
                        r.filled,
                        Share(r.orphans, r.filled),
                    )
                    for r in facts.relationships
                ),
            ),
        ),
    )


def _files(facts: AuditFacts) -> Section:
    files = facts.intake.files
    lost = [f for f in files if f.physical_rows != f.loaded + f.rejected]
    physical, loaded = sum(f.physical_rows for f in files), sum(f.loaded for f in files)
    rejected = sum(f.rejected for f in files)
    account = (
        f"{numbers.things(len(lost), 'file').capitalize()} with rows that are not accounted for."
        if lost
        else f"Every row is accounted for: {numbers.count(physical)} in the files, {numbers.count(loaded)} read, "
        f"{numbers.count(rejected)} set aside with a reason."
    )
    status = Status("stop", Tone.STOP) if lost else _verdict(0, rejected)
    tables = [t for t in (_file_table(files), _document_table(files)) if t.rows]
    if facts.intake.problems:
        tables.append(problem_table("intake-problems", "What was met while reading", facts.intake.problems))
    return Section(
        name="files",
        heading="Files as received",
        finding=f"{numbers.things(len(files), 'file').capitalize()}, "
        f"{numbers.size(sum(f.size_bytes for f in files))}, taken in on {numbers.moment(facts.intake.taken_at)}. "
        f"{account}",
        status=status,
        note="The fingerprint (SHA-256) proves later which file was read. "
        f"Structure of the export: {facts.structure_hash}",
        tables=tuple(tables),
    )


def _file_table(files: tuple[FileFacts, ...]) -> Table:
    return Table(
        name="files",
        caption="Files with rows; rows in it = rows read + rows set aside",
        columns=(
            Column("File", "code"),
            Column("Kind"),
            Column("Size", "number"),
            Column("Encoding"),
            Column("Rows in it", "number"),
            Column("Read", "number"),
            Column("Set aside", "number"),
            Column("SHA-256", "hash"),
        ),
        rows=tuple(
            (
                f.path,
                f.kind,
                numbers.size(f.size_bytes),
                ", ".join(x for x in (f.encoding, f.encoding_reason) if x) or None,
                f.physical_rows,
                f.loaded,
                f.rejected,
                f.sha256,
            )
            for f in files
            if f.kind in READABLE
        ),
    )


def _document_table(files: tuple[FileFacts, ...]) -> Table:
    return Table(
        name="documents",
        caption="Documents and other files; their names are masked, as they may name a patient",
        columns=(Column("File", "value"), Column("Kind"), Column("Size", "number"), Column("SHA-256", "hash")),
        rows=tuple(
            (masked_path(f), f.kind, numbers.size(f.size_bytes), f.sha256) for f in files if f.kind not in READABLE
        ),
    )


def masked_path(f: FileFacts) -> str:
    """Return the path of a file with rows as it is; of any other its shape and its ending: `Aaaa/aaa99.pdf`."""
    if f.kind in READABLE:
        return f.path
    stem, dot, ending = f.path.rpartition(".")
    return (
        f"{mask(stem, 'file_name', longest=60)}.{ending[:5]}"
        if dot and "/" not in ending
        else mask(f.path, "file_name", longest=60)
    )


def problem_table(name: str, caption: str, problems: tuple[Problem, ...]) -> Table:
    """Return problems as a table, the worst first."""
    ordered = sorted(problems, key=lambda p: (severity_rank(p.severity), p.where, p.code))
    return Table(
        name=name,
        caption=caption,
        columns=(
            Column("Status", "status"),
            Column("Where", "code"),
            Column("What"),
            Column("Times", "number"),
            Column("The way out"),
        ),
        rows=tuple(
            (
                severity(p.severity),
                p.where,
                numbers.first_upper(p.message),
                p.count,
                numbers.first_upper(p.hint) or None,
            )
            for p in ordered
        ),
    )
