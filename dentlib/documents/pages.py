"""Which page is made of which facts, and the pages themselves: written atomically, with their CSV files beside them.

`pages.yaml` (beside the templates) holds titles, questions and the order; this module joins it with the builders.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict
from ruamel.yaml import YAML

from dentlib import assets
from dentlib.documents import (
    audit,
    cutover,
    evidence,
    mapping,
    numbers,
    package,
    preview,
    reconciliation,
    rollback,
    run,
    sample,
    setup,
)
from dentlib.documents.outcomes import without_addresses
from dentlib.documents.view import NOTEBOOK_ROWS, Section, Share, Status, Table, Tone
from dentlib.errors import UsageError
from dentlib.facts import (
    AuditFacts,
    CutoverFacts,
    DiffRow,
    FileFacts,
    MappingFacts,
    PackageFacts,
    PreviewFacts,
    RollbackFacts,
    RunFacts,
    SampleFacts,
)
from dentlib.privacy import for_spreadsheet, mask

Facts = AuditFacts | MappingFacts | SampleFacts | PreviewFacts | PackageFacts | RunFacts | RollbackFacts | CutoverFacts


class PageKind(BaseModel):
    """A page as `pages.yaml` describes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    title: str
    answers: str
    reader: str
    sections: tuple[str, ...]
    asks: str = "Decisions needed"


class _Builder(NamedTuple):
    sections: Callable[[Any, bool], tuple[Section, ...]]
    summary: Callable[[Any], Section]
    decisions: Callable[[Any], tuple[str, ...]]
    kinds: tuple[str, ...]


_BUILDERS: dict[type, _Builder] = {
    AuditFacts: _Builder(lambda f, _: audit.sections(f), audit.summary, audit.decisions, ("audit",)),
    MappingFacts: _Builder(
        lambda f, _: (
            *mapping.sections(f),
            *setup.sections(f),
            evidence.access_section(f),
            evidence.households_section(f),
        ),
        mapping.summary,
        mapping.decisions,
        ("mapping", "schema", "owners", "rebuild"),
    ),
    PreviewFacts: _Builder(lambda f, _: preview.sections(f), preview.summary, preview.decisions, ("preview",)),
    SampleFacts: _Builder(sample.sections, sample.summary, sample.decisions, ("sample",)),
    RunFacts: _Builder(
        lambda f, _: (
            *run.sections(f),
            *reconciliation.sections(f),
            evidence.remarks_section(f),
            evidence.confirmed_section(f),
        ),
        run.summary,
        run.decisions,
        ("run", "delta"),
    ),
    RollbackFacts: _Builder(lambda f, _: rollback.sections(f), rollback.summary, rollback.decisions, ("rollback",)),
    PackageFacts: _Builder(lambda f, _: package.sections(f), package.summary, package.decisions, ("package",)),
    CutoverFacts: _Builder(lambda f, _: cutover.sections(f), cutover.summary, cutover.decisions, ("cutover",)),
}


@dataclass(frozen=True, slots=True)
class Page:
    """A page that was written: what the index says of it.

    `revealed`: it shows patients' values as they are. `made`: when, as written on it (with the name of its time zone).
    """

    kind: str
    title: str
    file: str
    status: str
    tone: Tone
    finding: str
    generated_at: datetime
    decisions: int = 0
    revealed: bool = False
    made: str = ""

    def _repr_html_(self) -> str:
        from dentlib.documents.render import page_card

        return page_card(self)

    def __repr__(self) -> str:
        return f"{self.title}: {self.finding} ({self.file})"


@cache
def kinds() -> dict[str, PageKind]:
    """Return the pages that can be made, by kind, in reading order. Reads `pages.yaml` once."""
    text = (assets.folder("reports") / "pages.yaml").read_text(encoding="utf-8")
    return {k.kind: k for k in map(PageKind.model_validate, YAML(typ="safe").load(text))}


def _builder(facts: Facts) -> _Builder:
    try:
        return _BUILDERS[type(facts)]
    except KeyError:
        known = ", ".join(t.__name__ for t in _BUILDERS)
        raise UsageError(f"no page is made of {type(facts).__name__}", f"pages are made of {known}") from None


def section(facts: Facts, name: str, *, rows: int = NOTEBOOK_ROWS, reveal: bool = False) -> Section:
    """Return one section of the facts, for display: at most `rows` rows per table, and where the rest is.

    Pure. Masked unless `reveal` is true. Raises UsageError for a name that these facts have no section of.
    """
    built = {s.name: s for s in _builder(facts).sections(facts, reveal)}
    if name not in built:
        raise UsageError(f"there is no section named {name}", f"these facts have: {', '.join(built)}")
    return built[name].beside(_home(facts, name), _suffix(reveal)).limited(rows)


def _home(facts: Facts, name: str) -> str:
    for kind in _page_kinds(facts):
        if name in kinds()[kind].sections:
            return kind
    raise UsageError(f"section {name} is on no page", "name it in pages.yaml")


def _page_kinds(facts: Facts) -> tuple[str, ...]:
    if isinstance(facts, RunFacts):  # the same facts are two pages; which one, they know themselves
        return ("delta",) if facts.kind == "delta" else ("run",)
    return _builder(facts).kinds


def _suffix(reveal: bool) -> str:
    return "-practice-copy" if reveal else ""


def summary(facts: Facts) -> Section:
    """Return the facts in one sentence, with status and key figures. Pure."""
    return _builder(facts).summary(facts)


def decisions(facts: Facts) -> tuple[str, ...]:
    """Return what a person must decide before the next stage, each as a sentence; empty where nothing. Pure."""
    return _builder(facts).decisions(facts)


def page_sections(kind: str, facts: Facts, reveal: bool = False) -> tuple[Section, ...]:
    """Return the sections of a page, in its order. Raises UsageError where facts and kind don't belong together."""
    if kind not in kinds():
        raise UsageError(f"there is no page of kind {kind}", f"pages: {', '.join(kinds())}")
    builder = _builder(facts)
    if kind not in builder.kinds:
        raise UsageError(
            f"a page of kind {kind} is not made of {type(facts).__name__}",
            f"these facts make: {', '.join(builder.kinds)}",
        )
    built = {s.name: s for s in builder.sections(facts, reveal)}
    return tuple(built[name].beside(kind, _suffix(reveal)) for name in kinds()[kind].sections)


def write_page(
    kind: str,
    facts: Facts,
    out_dir: Path,
    *,
    reveal: bool = False,
    generated_at: datetime,
    decisions: Sequence[str] | None = None,
) -> Path:
    """Write a client page and the CSV files of its longer tables; return the page's path. Idempotent, atomic.

    `reveal` shows patients' values (sample only) and writes `<kind>-practice-copy.html` beside the masked page.
    `generated_at` must be aware; it is shown in its own time zone. `decisions`: what a person must decide, by default
    worked out from the facts. Files get mode 0600. `pages.json` beside it remembers the page for the index.
    Raises UsageError for an unknown kind, or one that these facts don't make.
    """
    from dentlib.documents.render import render_page

    sections = page_sections(kind, facts, reveal)
    asked = tuple(_builder(facts).decisions(facts) if decisions is None else decisions)
    lead = page_lead(kind, facts, sections)
    page = Page(
        kind=kind,
        title=kinds()[kind].title,
        file=f"{kind}{_suffix(reveal)}.html",
        status=lead.status.word,
        tone=lead.status.tone,
        finding=lead.finding,
        generated_at=generated_at,
        decisions=len(asked) if kind in kinds_with_decisions(facts) else 0,
        revealed=reveal,
        made=numbers.moment(generated_at),
    )
    out_dir.mkdir(parents=True, exist_ok=True)
    for table in (t for s in sections for t in s.tables if t.csv_file):
        _write(out_dir / table.csv_file, as_csv(table))
    shown = asked if page.decisions else ()
    if lead.finding == sections[0].finding:  # a page of one section says it once
        sections = (replace(sections[0], finding=""),)
    html = render_page(kinds()[kind], page, facts.client, facts.engagement, lead, sections, shown)
    _write(out_dir / page.file, html)
    _remember(out_dir, page)
    return out_dir / page.file


def kinds_with_decisions(facts: Facts) -> tuple[str, ...]:
    """Return the pages that ask for the decisions of these facts: the first one they make (a run's or a delta's)."""
    made = _builder(facts).kinds
    return made if isinstance(facts, RunFacts) else made[:1]


def page_lead(kind: str, facts: Facts, sections: tuple[Section, ...]) -> Section:
    """Return what opens a page: the summary of the facts, or the section itself on a page of one section."""
    lead = _builder(facts).summary(facts)
    if len(sections) == 1 and kind not in kinds_with_decisions(facts):
        return replace(lead, finding=sections[0].finding, status=sections[0].status, figures=())
    return lead


def write_index(
    out_dir: Path,
    engagement: str,
    client: str,
    pages: Sequence[Page] | None = None,
    *,
    generated_at: datetime | None = None,
) -> Path:
    """Write `index.html`, which leads through all pages in reading order, with their status; return its path.

    `pages`: by default those that `write_page` has remembered in this folder. A page that isn't there yet is listed as
    such. Idempotent. `generated_at`: by default the moment of the newest page.
    """
    from dentlib.documents.render import render_index

    known = tuple(read_pages(out_dir) if pages is None else pages)
    out_dir.mkdir(parents=True, exist_ok=True)
    html = render_index(client, engagement, tuple(kinds().values()), known, generated_at)
    _write(out_dir / "index.html", html)
    return out_dir / "index.html"


def read_pages(out_dir: Path) -> tuple[Page, ...]:
    """Return the pages written into a folder so far, in reading order; those since removed are left out. Reads only."""
    path = out_dir / "pages.json"
    if not path.exists():
        return ()
    rows = [
        Page(**{**row, "tone": Tone(row["tone"]), "generated_at": datetime.fromisoformat(row["generated_at"])})
        for row in orjson.loads(path.read_bytes())
    ]
    return tuple(sorted((p for p in rows if (out_dir / p.file).exists()), key=_place))


def _place(page: Page) -> tuple[int, bool]:
    return (list(kinds()).index(page.kind), page.revealed)


def _remember(out_dir: Path, page: Page) -> None:
    kept = {p.file: p for p in read_pages(out_dir)} | {page.file: page}
    ordered = sorted(kept.values(), key=_place)
    _write(out_dir / "pages.json", orjson.dumps(ordered, option=orjson.OPT_INDENT_2).decode())


def as_csv(table: Table) -> str:
    """Return a table as CSV (UTF-8 with a byte order mark, so that Excel reads ğ and é), no cell of it a formula."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    header: list[str] = []
    for c in table.columns:
        header += [c.title, f"{c.title}, of"] if c.kind == "share" else [c.title]
    writer.writerow(header)
    for row in table.rows:
        cells: list[Any] = []
        for column, cell in zip(table.columns, row, strict=True):
            if column.kind == "share":
                cells += [cell.n, cell.of] if isinstance(cell, Share) else ["", ""]
            else:
                cells.append(str(cell) if isinstance(cell, Status) else "" if cell is None else cell)
        writer.writerow([for_spreadsheet(c) for c in cells])
    return "\ufeff" + out.getvalue()


def as_data(facts: Any, *, reveal: bool = False) -> Any:
    """Return facts as plain dicts, lists and scalars, for `result.json` and `--json`; masked unless `reveal`. Pure."""
    if isinstance(facts, DiffRow) and not reveal:
        facts = _masked(facts)
    if isinstance(facts, FileFacts) and not reveal:
        facts = replace(facts, path=audit.masked_path(facts))
    if is_dataclass(facts) and not isinstance(facts, type):
        return {f.name: as_data(getattr(facts, f.name), reveal=reveal) for f in fields(facts)}
    if isinstance(facts, dict):
        return {str(k): as_data(v, reveal=reveal) for k, v in facts.items()}
    if isinstance(facts, list | tuple):
        return [as_data(v, reveal=reveal) for v in facts]
    return facts.isoformat() if isinstance(facts, datetime) else facts


def _masked(d: DiffRow) -> DiffRow:
    cls = d.identifier_class
    source, intended, stored = (mask(v, cls) if cls else without_addresses(v) for v in (d.source, d.intended, d.stored))
    return replace(d, source_key="", record_id="", source=source, intended=intended, stored=stored)


def _write(path: Path, text: str) -> None:
    draft = path.with_name(path.name + ".part")
    with os.fdopen(
        os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8", newline=""
    ) as f:
        f.write(text)
    draft.replace(path)
