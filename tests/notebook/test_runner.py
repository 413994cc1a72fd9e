"""The runner refuses what papermill would let pass, and leaves evidence."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from dentlib.errors import UsageError
from dentlib.notebook import runner
from dentlib.notebook.runner import (
    NotebookFailed,
    check_parameters,
    export_page,
    find_notebook,
    known_parameters,
    run_notebook,
)

PARAMETERS = 'engagement: str = "demo"  # its name\nrows: int = 3  # how many\nshare: float = 0.5\nopen: bool = False'


def write(path: Path, *cells: str, parameters: str = PARAMETERS) -> Path:
    """Write a small notebook with a parameters cell."""
    first = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    code = [nbformat.v4.new_code_cell(c) for c in cells]
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Title"), first, *code]), path)
    return path


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Return a notebook with nothing to do."""
    return write(tmp_path / "small.ipynb")


def test_parameters_are_read_without_running_anything(small: Path) -> None:
    """Names and defaults come from the tagged cell."""
    assert known_parameters(small) == {"engagement": "demo", "rows": 3, "share": 0.5, "open": False}


def test_unknown_parameters_are_refused_before_anything_runs(small: Path, tmp_path: Path) -> None:
    """A misspelt parameter stops the run, names the known ones, and leaves no copy."""
    with pytest.raises(UsageError, match="no parameter engagment"):
        run_notebook(small, tmp_path / "out.ipynb", {"engagment": "demo"})
    assert not (tmp_path / "out.ipynb").exists()


@pytest.mark.parametrize(("name", "value"), [("rows", "3"), ("rows", True), ("open", 1), ("engagement", None)])
def test_parameters_of_another_type_are_refused(small: Path, name: str, value: Any) -> None:
    """A text is no number, and True is not 1."""
    with pytest.raises(UsageError, match=f"the parameter {name} of small.ipynb is"):
        check_parameters(small, {name: value})


def test_a_whole_number_will_do_for_a_fraction(small: Path) -> None:
    """The only widening that is allowed."""
    check_parameters(small, {"share": 1})


@pytest.mark.parametrize(
    "value",
    [
        "Bearer abc",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.x",
        "https://user:hunter2@crm.example.com",
        "-----BEGIN PRIVATE KEY-----",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
    ],
)
def test_values_that_look_like_secrets_are_refused_and_not_repeated(small: Path, value: str) -> None:
    """papermill would store them in clear; the message doesn't hold them either."""
    with pytest.raises(UsageError, match="looks like a secret") as caught:
        check_parameters(small, {"engagement": value})
    assert value not in str(caught.value)


@pytest.mark.parametrize("name", ["api_key", "apiKey", "token", "db_password", "client_secret"])
def test_names_that_look_like_secrets_are_refused(tmp_path: Path, name: str) -> None:
    """A notebook cannot even declare one and get it."""
    book = write(tmp_path / "n.ipynb", parameters=f'{name}: str = ""')
    with pytest.raises(UsageError, match="looks like a secret"):
        check_parameters(book, {name: "x"})


@pytest.mark.parametrize(
    "value", ["brightsmile", "a-long-name-for-a-practice-in-a-town-by-the-sea", "/data/2026-01-05.zip"]
)
def test_ordinary_values_pass(small: Path, value: str) -> None:
    """Names and paths are no secrets."""
    check_parameters(small, {"engagement": value})


def test_a_parameters_cell_holds_values_only(tmp_path: Path) -> None:
    """Code in it is refused, and so are two such cells."""
    with pytest.raises(UsageError, match="only name = value"):
        known_parameters(write(tmp_path / "a.ipynb", parameters="import os"))
    book = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("a = 1", metadata={"tags": ["parameters"]}) for _ in range(2)]
    )
    nbformat.write(book, tmp_path / "b.ipynb")
    with pytest.raises(UsageError, match="2 cells tagged"):
        known_parameters(tmp_path / "b.ipynb")


def test_an_unknown_notebook_is_refused_with_the_known_ones() -> None:
    """The way out of a wrong name is the list of right ones."""
    with pytest.raises(UsageError, match="01_audit"):
        find_notebook("07_party")


CELLS = (
    "from dentlib.notebook import show_progress\n"
    "shown = show_progress()\nshown.start('rows', rows)\nshown.advance('rows', rows)\nshown.finish('rows')",
    "from dentlib.documents import gallery_facts, section\nsection(gallery_facts.audit_facts(), 'findings')",
    "1 / open",
)


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Execute one small notebook, whose last cell fails, and return its copy and the message."""
    folder = tmp_path_factory.mktemp("executed")
    book = write(folder / "small.ipynb", *CELLS)
    with pytest.raises(NotebookFailed) as caught:
        run_notebook(book, folder / "run" / "out.ipynb", {"rows": 30}, time_limit_s=60)
    return folder / "run" / "out.ipynb", str(caught.value)


def test_a_failure_says_where_and_keeps_the_copy(executed: tuple[Path, str]) -> None:
    """The message names notebook, cell and error, not its text; the copy is private and has the parameters."""
    copy, message = executed
    assert "small stopped in cell 5 with ZeroDivisionError" in message
    assert "division by zero" not in message
    assert copy.stat().st_mode & 0o777 == 0o600
    assert "rows = 30" in copy.read_text(encoding="utf-8")


def test_the_executed_copy_has_no_junk(executed: tuple[Path, str]) -> None:
    """Progress leaves one output with its last state, and nothing on standard error."""
    outputs = [o for c in nbformat.read(executed[0], 4).cells if c.cell_type == "code" for o in c.outputs]
    shown = [o["data"]["text/plain"] for o in outputs if "data" in o]
    assert "rows 30/30 done" in shown
    assert not [o for o in outputs if o.output_type == "stream"]


def test_an_exported_page_has_neither_code_nor_parameters(executed: tuple[Path, str], tmp_path: Path) -> None:
    """What the outputs say is there, in our own style; code, parameters, scripts and addresses are not."""
    html = export_page(executed[0], tmp_path / "page.html", title="Audit <1>").read_text(encoding="utf-8")
    assert "<title>Audit &lt;1&gt;</title>" in html
    assert "61 of 19,238" in html
    assert "rows 30/30 done" in html
    assert "show_progress" not in html
    assert "# how many" not in html
    assert not re.search(r"https?://|<script|src=", html)


def test_an_output_that_loads_something_is_not_exported(tmp_path: Path) -> None:
    """A picture from elsewhere would break in a client's mail, and tell who reads it."""
    cell = nbformat.v4.new_code_cell("x")
    cell.outputs = [nbformat.v4.new_output("display_data", data={"text/html": '<img src="https://cdn.example/x.png">'})]
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "out.ipynb")
    with pytest.raises(UsageError, match="would load 1 things"):
        export_page(tmp_path / "out.ipynb", tmp_path / "page.html", title="x")
    assert not (tmp_path / "page.html").exists()


def test_an_error_of_ours_is_two_lines_in_a_notebook(tmp_path: Path) -> None:
    """What is wrong and the way out; no code of the library, no paths."""
    raising = "from dentlib import errors\nraise errors.GateClosed('not approved', 'approve it')"
    with pytest.raises(NotebookFailed):
        run_notebook(write(tmp_path / "closed.ipynb", raising), tmp_path / "out.ipynb", time_limit_s=60)
    cells = nbformat.read(tmp_path / "out.ipynb", 4).cells
    shown = [o for c in cells if c.cell_type == "code" for o in c.outputs if o.output_type == "error"]
    assert [o["traceback"] for o in shown] == [["not approved", "  way out: approve it"]]


def test_folders_of_killed_runners_are_swept_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process that is gone left behind is removed; the folder of one that lives, or of anything else, stays."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    names = [f"dentlib-kernel-{gone.pid}-a", f"dentlib-kernel-{os.getpid()}-b", "dentlib-kernel-x-c", "other"]
    for name in names:
        (tmp_path / name).mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    runner._sweep_private_folders()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(names[1:])
