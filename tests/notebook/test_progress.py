"""Progress: one display in a notebook, a file between processes, bars in a terminal."""

import io
from pathlib import Path
from typing import Any

import orjson
import pytest
from rich.console import Console

from dentlib.clock import ManualClock
from dentlib.model import Progress
from dentlib.notebook import progress as told
from dentlib.notebook.progress import FileProgress, NotebookProgress, Several, TerminalProgress, following
from dentlib.results import RUN_FOLDER


class Recorder:
    """A progress that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    def start(self, task: str, total: int | None, unit: str = "rows") -> None:
        self.events.append(("start", task, total, unit))

    def advance(self, task: str, by: int = 1) -> None:
        self.events.append(("advance", task, by))

    def finish(self, task: str, note: str = "") -> None:
        self.events.append(("finish", task, note))

    def counted(self, task: str) -> int:
        return sum(e[2] for e in self.events if e[:2] == ("advance", task))


class Handle:
    """Stands in for IPython's display handle."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def update(self, shown: NotebookProgress) -> None:
        self.texts.append(shown._repr_mimebundle_()["text/plain"])


@pytest.fixture
def handle(monkeypatch: pytest.MonkeyPatch) -> Handle:
    """Take the place of IPython's display."""
    stand_in = Handle()

    def display(shown: NotebookProgress, display_id: bool) -> Handle:
        stand_in.update(shown)
        return stand_in

    monkeypatch.setattr("IPython.display.display", display)
    return stand_in


def test_a_notebook_is_updated_at_most_five_times_a_second(handle: Handle) -> None:
    """A thousand rows in two seconds make about ten updates, and the last one is right."""
    clock = ManualClock()
    shown = NotebookProgress(clock)
    shown.start("patients", 1000)
    for _ in range(1000):
        clock.sleep(0.002)
        shown.advance("patients")
    shown.finish("patients")
    assert len(handle.texts) <= 2 + 2 * 5 + 1
    assert handle.texts[0] == "patients 0/1,000 rows"
    assert handle.texts[-1] == "patients 1,000/1,000 done"


def test_a_notebook_tells_the_time_left(handle: Handle) -> None:
    """A quarter done in ten seconds leaves thirty."""
    clock = ManualClock()
    shown = NotebookProgress(clock)
    shown.start("appointments", 4000)
    clock.sleep(10)
    shown.advance("appointments", 1000)
    assert handle.texts[-1] == "appointments 1,000/4,000 rows, about 30 s left"


def test_the_last_state_is_plain_text_without_a_bar(handle: Handle) -> None:
    """An executed copy keeps words, not a bar that stands still; markup in a name stays text."""
    shown = NotebookProgress(ManualClock())
    shown.start("<files>", None, "files")
    assert "<progress aria-label=" in shown._repr_mimebundle_()["text/html"]
    shown.finish("<files>", "3 too large")
    html = shown._repr_mimebundle_()["text/html"]
    assert "<progress" not in html
    assert "&lt;files&gt; 0 done (3 too large)" in html


def test_a_file_gets_few_lines_and_the_whole_count(tmp_path: Path) -> None:
    """Counting on is written five times a second at most; nothing is lost at the end."""
    clock = ManualClock()
    path = tmp_path / "progress.jsonl"
    written = FileProgress(path, clock)
    written.start("patients", 1000)
    for _ in range(1000):
        clock.sleep(0.001)
        written.advance("patients")
    written.finish("patients", "7 set aside")
    events = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    assert len(events) <= 8
    assert sum(e.get("by", 0) for e in events) == 1000
    assert events[-1] == {"event": "finish", "task": "patients", "note": "7 set aside"}
    assert path.stat().st_mode & 0o777 == 0o600


def test_following_shows_all_that_was_written(tmp_path: Path) -> None:
    """What another process writes is told in order and once, what comes at the very end included."""
    path = tmp_path / "progress.jsonl"
    seen = Recorder()
    with following(path, seen, poll_s=0.001):
        written: Progress = FileProgress(path)
        written.start("patients", 30, "records")
        for _ in range(3):
            written.advance("patients", 10)
        written.finish("patients")
    assert seen.events[0] == ("start", "patients", 30, "records")
    assert seen.events[-1] == ("finish", "patients", "")
    assert seen.counted("patients") == 30


def test_following_waits_for_whole_lines(tmp_path: Path) -> None:
    """Half a line is read when its other half has come."""
    path = tmp_path / "progress.jsonl"
    line = orjson.dumps({"event": "start", "task": "a", "total": 1, "unit": "rows"}) + b"\n"
    seen = Recorder()
    reader = told._Reader(path, seen)
    reader.read()
    path.write_bytes(line[:9])
    reader.read()
    assert seen.events == []
    path.write_bytes(line + line)
    reader.read()
    reader.read()
    assert len(seen.events) == 2


def test_following_a_file_that_never_comes_is_fine(tmp_path: Path) -> None:
    """A stage without progress leaves nothing to show."""
    seen = Recorder()
    with following(tmp_path / "none.jsonl", seen):
        pass
    assert seen.events == []


def test_the_terminal_shows_counts_and_the_note() -> None:
    """Counts have their thousands separated and the note stays beside the bar."""
    out = io.StringIO()
    with TerminalProgress(Console(file=out, force_terminal=True, width=110)) as bars:
        bars.start("patients", 4871)
        bars.advance("patients", 4871)
        bars.finish("patients", "7 set aside")
    assert "4,871/4,871 rows" in out.getvalue()
    assert "7 set aside" in out.getvalue()


def test_several_places_hear_the_same() -> None:
    """What goes to several places goes to each of them."""
    a, b = Recorder(), Recorder()
    both = Several(a, b)
    both.start("x", 1)
    both.advance("x")
    both.finish("x")
    assert a.events == b.events
    assert len(a.events) == 3


def test_a_run_folder_makes_a_notebook_write_its_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handle: Handle
) -> None:
    """With a run folder progress goes to its file as well; without one only to the display."""
    monkeypatch.setenv(RUN_FOLDER, str(tmp_path))
    told.show_progress().start("patients", 1)
    assert (tmp_path / "progress.jsonl").is_file()
    monkeypatch.delenv(RUN_FOLDER)
    assert isinstance(told.show_progress(), NotebookProgress)
