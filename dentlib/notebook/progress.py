"""How far long work is: in a notebook (one display, updated in place), in a terminal, and through a file between both.

A stage that runs in a notebook's kernel writes its progress to `progress.jsonl` in the run folder; the process that
started the kernel follows that file and shows it. All implement `dentlib.model.Progress`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson
from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from dentlib.clock import Clock, SystemClock
from dentlib.documents import numbers
from dentlib.documents.render import stylesheet
from dentlib.model import Progress
from dentlib.results import RUN_FOLDER

UPDATE_EVERY_S = 0.2
"""Least time between two updates of a display or a file: five a second."""


@dataclass(slots=True)
class _Work:
    """One task as it stands; `seconds` since it began."""

    name: str
    total: int | None
    unit: str
    began_s: float
    done: int = 0
    ended_s: float | None = None
    note: str = ""

    def says(self, now_s: float) -> str:
        """Say how far it is in plain words: `patients 3,000/4,871 rows, about 12 s left`."""
        if self.total == 0 and not self.done:
            return f"{self.name}: nothing to do" + (f" ({self.note})" if self.note else "")
        of = "" if self.total is None else f"/{numbers.count(self.total)}"
        text = f"{self.name} {numbers.count(self.done)}{of}"
        if self.ended_s is not None:
            return f"{text} done" + (f" ({self.note})" if self.note else "")
        text = f"{text} {self.unit}".rstrip()
        spent_s = now_s - self.began_s
        if self.total and self.done and spent_s >= 2:
            left_s = spent_s / self.done * max(0, self.total - self.done)
            text += f", about {numbers.duration(left_s)} left"
        return text


class NotebookProgress:
    """Progress as one display of a notebook, updated in place at most five times a second.

    Its last state is plain text ("patients 4,871/4,871 done"), so that an executed or exported copy reads well.
    Outside of IPython it shows nothing.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._tasks: dict[str, _Work] = {}
        self._handle: Any = None
        self._shown_s = float("-inf")

    def start(self, task: str, total: int | None, unit: str = "rows") -> None:
        """Begin a task, shown at once."""
        self._tasks[task] = _Work(task, total, unit, self._clock.monotonic())
        self._show()

    def advance(self, task: str, by: int = 1) -> None:
        """Count on; shown when the last update is old enough."""
        self._tasks[task].done += by
        if self._clock.monotonic() - self._shown_s >= UPDATE_EVERY_S:
            self._show()

    def finish(self, task: str, note: str = "") -> None:
        """End a task, shown at once."""
        work = self._tasks[task]
        work.ended_s, work.note = self._clock.monotonic(), note
        self._show()

    def _show(self) -> None:
        from IPython.display import display

        self._shown_s = self._clock.monotonic()
        if self._handle is None:
            self._handle = display(self, display_id=True)  # type: ignore[no-untyped-call]  # None outside of IPython
        else:
            self._handle.update(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        now_s = self._clock.monotonic()
        lines = [(w, w.says(now_s)) for w in self._tasks.values()]
        rows = "".join(f"<div>{self._bar(w)}{escape(text)}</div>" for w, text in lines)
        style = f"<style>{stylesheet()}</style>"
        return {
            "text/plain": "\n".join(text for _, text in lines),
            "text/html": f'<div class="dl snippet">{style}<div class="tasks">{rows}</div></div>',
        }

    @staticmethod
    def _bar(w: _Work) -> str:
        if w.ended_s is not None:
            return ""
        value = "" if w.total is None else f' value="{min(w.done, w.total)}" max="{max(1, w.total)}"'
        return f'<progress aria-label="{escape(w.name)}"{value}></progress>'


class FileProgress:
    """Progress as JSON lines appended to a file, so that another process can follow it with `following`.

    Holds names of tasks and counts only. Counting on is written at most five times a second, ends always.
    """

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._path = path
        self._waiting: dict[str, int] = {}
        self._written_s: dict[str, float] = {}

    def start(self, task: str, total: int | None, unit: str = "rows") -> None:
        """Write that a task begins."""
        self._waiting[task] = 0
        self._written_s[task] = self._clock.monotonic()
        self._write({"event": "start", "task": task, "total": total, "unit": unit})

    def advance(self, task: str, by: int = 1) -> None:
        """Add up, and write when the last line is old enough."""
        self._waiting[task] += by
        if self._clock.monotonic() - self._written_s[task] >= UPDATE_EVERY_S:
            self._flush(task)

    def finish(self, task: str, note: str = "") -> None:
        """Write what is left, and that the task ended."""
        self._flush(task)
        self._write({"event": "finish", "task": task, "note": note})

    def _flush(self, task: str) -> None:
        if self._waiting[task]:
            self._write({"event": "advance", "task": task, "by": self._waiting[task]})
        self._waiting[task] = 0
        self._written_s[task] = self._clock.monotonic()

    def _write(self, event: dict[str, Any]) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(orjson.dumps(event) + b"\n")


class Several:
    """Progress that goes to several places."""

    def __init__(self, *places: Progress) -> None:
        self._places = places

    def start(self, task: str, total: int | None, unit: str = "rows") -> None:
        """Pass on."""
        for place in self._places:
            place.start(task, total, unit)

    def advance(self, task: str, by: int = 1) -> None:
        """Pass on."""
        for place in self._places:
            place.advance(task, by)

    def finish(self, task: str, note: str = "") -> None:
        """Pass on."""
        for place in self._places:
            place.finish(task, note)


def show_progress() -> Progress:
    """Return the progress of a notebook's cell: shown in place, and told to the process that runs it, if any."""
    folder = os.environ.get(RUN_FOLDER)
    shown = NotebookProgress()
    return Several(shown, FileProgress(Path(folder) / "progress.jsonl")) if folder else shown


class _Count(ProgressColumn):
    """Counts with thousands separated, and their unit."""

    def render(self, task: Task) -> Text:
        of = "" if task.total is None else f"/{numbers.count(int(task.total))}"
        return Text(f"{numbers.count(int(task.completed))}{of} {task.fields['unit']}")


class TerminalProgress:
    """Progress bars in a terminal, with counts and time left; a context manager. Nothing before the first task."""

    def __init__(self, console: Console | None = None) -> None:
        self._rich = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            _Count(),
            TimeElapsedColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[note]}"),
            console=console or Console(stderr=True),
            refresh_per_second=5,
        )
        self._ids: dict[str, TaskID] = {}

    def __enter__(self) -> TerminalProgress:
        self._rich.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rich.stop()

    def start(self, task: str, total: int | None, unit: str = "rows") -> None:
        """Add a bar."""
        self._ids[task] = self._rich.add_task(task, total=total, unit=unit, note="")

    def advance(self, task: str, by: int = 1) -> None:
        """Move a bar on."""
        self._rich.advance(self._ids[task], by)

    def finish(self, task: str, note: str = "") -> None:
        """Fill a bar and leave its note beside it."""
        known = self._rich.tasks[self._rich.task_ids.index(self._ids[task])]
        total = known.completed if known.total is None else known.total
        self._rich.update(self._ids[task], total=total, completed=known.completed, note=note)


@contextmanager
def following(path: Path, progress: Progress, poll_s: float = UPDATE_EVERY_S) -> Iterator[None]:
    """Show what another process writes with `FileProgress` to `path`, until the block ends; then what is left of it.

    Reads only; the file may appear later, or never. A line that isn't whole yet is read the next time.
    """
    over = threading.Event()
    reader = _Reader(path, progress)

    def follow() -> None:
        while not over.wait(poll_s):
            reader.read()

    thread = threading.Thread(target=follow, name="follow-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        reader.read()


class _Reader:
    """Reads the events of a growing file, each once."""

    def __init__(self, path: Path, progress: Progress) -> None:
        self._path = path
        self._progress = progress
        self._read_bytes = 0

    def read(self) -> None:
        if not self._path.is_file():
            return
        with self._path.open("rb") as file:
            file.seek(self._read_bytes)
            whole = file.read().rpartition(b"\n")[0]
        for line in whole.splitlines():
            self._tell(orjson.loads(line))
        if whole:
            self._read_bytes += len(whole) + 1

    def _tell(self, event: dict[str, Any]) -> None:
        match event["event"]:
            case "start":
                self._progress.start(event["task"], event["total"], event["unit"])
            case "advance":
                self._progress.advance(event["task"], event["by"])
            case "finish":
                self._progress.finish(event["task"], event["note"])
