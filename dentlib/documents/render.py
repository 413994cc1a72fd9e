"""Turn view models into HTML: Jinja2 with autoescape on, one stylesheet inlined, nothing fetched, no script."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from dentlib import assets
from dentlib.documents import numbers
from dentlib.documents.pages import Page, PageKind
from dentlib.documents.view import Section

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; base-uri 'none'; form-action 'none'"
)
"""What a page may do: show itself. No script, no connection, whatever may have slipped into its text."""


@cache
def stylesheet() -> str:
    """Return the one stylesheet of all pages, notebook snippets and exported notebooks."""
    return (assets.folder("reports") / "style.css").read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    env = Environment(
        loader=FileSystemLoader(assets.folder("reports")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters["breakable"] = _breakable
    env.filters["at_break"] = lambda address: Markup("<wbr>@").join(str(address).split("@"))
    env.filters["unbroken"] = lambda share: str(share).replace(" %", "\u00a0%")
    env.filters.update(count=numbers.count, percent=numbers.percent, moment=numbers.moment, things=numbers.things)
    env.globals.update(csp=CONTENT_SECURITY_POLICY, css=Markup(stylesheet()))  # our own file, no data in it
    return env


def _breakable(name: str) -> Markup:
    """Let a name of table and column break after its dot, not in the middle of a word."""
    return Markup(".<wbr>").join(str(name).split("."))


def snippet(section: Section) -> str:
    """Return a section as an HTML fragment that carries its style: what a notebook displays."""
    return _environment().get_template("snippet.html.j2").render(section=section)


def page_card(page: Page) -> str:
    """Return a page's title, status and finding as an HTML fragment."""
    return _environment().get_template("card.html.j2").render(page=page)


def render_page(
    kind: PageKind,
    page: Page,
    client: str,
    engagement: str,
    lead: Section,
    sections: Sequence[Section],
    decisions: Sequence[str],
) -> str:
    """Return a whole page. Pure but for reading the templates once."""
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            kind=kind,
            page=page,
            client=client,
            engagement=engagement,
            lead=lead,
            sections=sections,
            decisions=decisions,
        )
    )


def _stand(pages: Sequence[Page]) -> str:
    """Say where the engagement stands: the last page made, and which pages wait for an answer."""
    if not pages:
        return ""
    last = max(pages, key=lambda p: p.generated_at)
    asking = [p.title for p in pages if p.decisions and not p.revealed]
    waits = f"Answers are needed on: {numbers.listing(asking)}." if asking else "No page waits for an answer."
    return f"Last made: {last.title} ({last.status}). {waits}"


def render_index(
    client: str,
    engagement: str,
    kinds: Sequence[PageKind],
    pages: Sequence[Page],
    generated_at: datetime | None,
) -> str:
    """Return the index: every kind of page in reading order, with the page where there is one."""
    newest = max(pages, key=lambda p: p.generated_at, default=None)
    at = numbers.moment(generated_at) if generated_at else newest.made if newest else ""
    steps = [(k, [p for p in pages if p.kind == k.kind]) for k in kinds]
    return (
        _environment()
        .get_template("index.html.j2")
        .render(client=client, engagement=engagement, steps=steps, at=at, stand=_stand(pages))
    )
