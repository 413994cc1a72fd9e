"""The last section of every notebook tells what a person must decide."""

from dataclasses import dataclass
from pathlib import Path

from dentlib.notebook import decisions_needed


@dataclass
class Result:
    """A stage's result, as far as this goes."""

    decisions: tuple[str, ...]
    pages: tuple[Path, ...] = (Path("/somewhere/reports/audit.html"),)
    exit_code: int = 1


def test_decisions_are_listed_with_the_page_to_read() -> None:
    """Each decision is a line; the page is named without the path above it."""
    section = decisions_needed(Result(("Name an owner.", "Send <b>labs</b>.")))
    assert section.finding == "2 decisions needed before the next stage."
    assert section.note == "To read: reports/audit.html"
    assert "<li>Send &lt;b&gt;labs&lt;/b&gt;.</li>" in section._repr_html_()


def test_without_decisions_the_next_stage_can_start() -> None:
    """Nothing to decide is said as well."""
    section = decisions_needed(Result((), (), 0))
    assert section.finding == "No decision is needed: the next stage can start."
    assert section.items == ()


def test_a_question_that_stops_nothing_says_so() -> None:
    """Findings of the audit are asked of the practice; the line goes on without an answer."""
    section = decisions_needed(Result(("Were they deleted?",), (), 0))
    assert section.finding == "1 answer asked of the practice; the next stage can start."
    assert section.items == ("Were they deleted?",)
