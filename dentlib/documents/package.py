"""A package's facts as sections: what an administrator clicks, file by file, and what follows by another way."""

from __future__ import annotations

from dentlib.documents import numbers
from dentlib.documents.view import Column, Figure, Section, Status, Table, Tone
from dentlib.facts import PackageFacts


def sections(facts: PackageFacts) -> tuple[Section, ...]:
    """Return the package's sections in the order of work. Pure."""
    return (_files(facts), _columns(facts), _left(facts))


def summary(facts: PackageFacts) -> Section:
    """Return in one sentence what the package is."""
    rows = sum(f.rows for f in facts.files)
    left = sum(n for _, _, n, _ in facts.steps_left)
    return Section(
        name="summary",
        heading="In short",
        finding=f"{numbers.things(len(facts.files), 'file')} with {numbers.things(rows, 'record')} to import into "
        f"{facts.workspace or 'the workspace'}, in the order of their numbers."
        + (
            f" {numbers.things(left, 'record').capitalize()} can't go this way and follow with the run." if left else ""
        ),
        status=Status("to import", Tone.CHECK),
        figures=(
            Figure("files", numbers.count(len(facts.files))),
            Figure("records in them", numbers.count(rows)),
            Figure("records that follow", numbers.count(left)),
        ),
    )


def decisions(facts: PackageFacts) -> tuple[str, ...]:
    """Return what has to be watched: cells that a spreadsheet program would change."""
    cells = sum(f.formula_like for f in facts.files)
    if not cells:
        return ()
    return (
        f"{numbers.things(cells, 'cell')} would be read as a formula by a spreadsheet program (telephone codes among "
        "them): give the files to the importer as they are, and don't open or save them in a spreadsheet program.",
    )


def _files(facts: PackageFacts) -> Section:
    return Section(
        name="files",
        heading="File by file",
        finding="Import one file after the other; begin the next when the one before says that it has ended.",
        tables=(
            Table(
                name="files",
                caption=f"The files lie in {facts.folder}",
                columns=(
                    Column("Done", "tick"),
                    Column("No.", "number"),
                    Column("File", "code"),
                    Column("Open in the CRM"),
                    Column("Records", "number"),
                    Column("sha256", "hash"),
                ),
                rows=tuple(("", f.number, f.file, f.opens, f.rows, f.sha256[:16]) for f in facts.files),
                total=("", "", "all", "", sum(f.rows for f in facts.files), ""),
            ),
        ),
        items=(
            "Choose the file as it is; answer yes when asked whether the first row holds the titles.",
            "The importer matches each title with the field of the same name: look at the list, change nothing, and "
            "leave no column out. The column Id keeps each record recognisable; without it nothing can be proven.",
            "Where the importer says that rows are wrong, stop there and tell the consultant: do not skip rows.",
            "Afterwards the consultant counts and compares every record: dentlib reconcile … --imported.",
        ),
    )


def _columns(facts: PackageFacts) -> Section:
    seen: dict[str, tuple[str, ...]] = {f.label: f.titles for f in facts.files}
    rows = tuple((label, title) for label, titles in seen.items() for title in titles)
    return Section(
        name="columns",
        heading="Columns, as the importer calls them",
        finding=f"{numbers.things(len(rows), 'column')} in {numbers.things(len(seen), 'kind')} of files.",
        tables=(
            Table(
                name="columns",
                caption="Each title is the name of the field that it goes to",
                columns=(Column("Records"), Column("Column", "code")),
                rows=rows,
            ),
        ),
    )


def _left(facts: PackageFacts) -> Section:
    rows = [(label, "", n, why) for _, label, n, why in facts.steps_left]
    labels = {f.step: f.label for f in facts.files}
    rows += [(labels.get(step, step), name, n, why) for step, name, n, why in facts.fields_left]
    return Section(
        name="left",
        heading="What can't go by file",
        finding=f"{numbers.things(len(rows), 'kind')} of data follow through the API: dentlib run, after the import."
        if rows
        else "Everything goes by file.",
        tables=(
            Table(
                name="left",
                caption="Nothing of it is lost: the run after the import brings it",
                columns=(Column("Records"), Column("Field", "code"), Column("Rows", "number"), Column("Why")),
                rows=tuple(rows),
            ),
        )
        if rows
        else (),
    )
