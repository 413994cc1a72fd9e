"""Client pages: facts → view models → page, notebook snippet, CSV and JSON, all from the same facts.

Nothing here opens a socket or reads an export. Values of patients are masked unless a caller says `reveal=True`.
"""

from dentlib.documents.cutover import checklist
from dentlib.documents.pages import (
    Facts,
    Page,
    as_data,
    decisions,
    kinds,
    read_pages,
    section,
    summary,
    write_index,
    write_page,
)
from dentlib.documents.view import Section

__all__ = [
    "Facts",
    "Page",
    "Section",
    "as_data",
    "checklist",
    "decisions",
    "kinds",
    "read_pages",
    "section",
    "summary",
    "write_index",
    "write_page",
]
