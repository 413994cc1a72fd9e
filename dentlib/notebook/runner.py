"""Run a notebook by papermill, in process, with what papermill leaves out: parameters are checked, secrets refused.

papermill only warns about an unknown parameter, and stores all of them in clear in the executed copy. So a parameter
must be known, of the type that its cell declares, and must not look like a secret. The kernel is a process of its own
and ends with this one. A cell that takes too long is stopped.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dentlib import assets
from dentlib.documents.render import CONTENT_SECURITY_POLICY, stylesheet
from dentlib.errors import DentlibError, UsageError

TIME_LIMIT_S = 24 * 3600
"""Longest that one cell may take: a full run of a large practice at a plan's rate is one cell."""

STOP_WITHIN_S = 40.0
"""How long a stage that is told to stop (Ctrl-C) may take to switch the CRM's automations on again and to end."""

_PRIVATE = "dentlib-kernel-"

_SECRET_NAME = re.compile(r"(?i)(api|access|private|auth)_?key|token|secret|password|passwd|credential|bearer")
_SECRET_VALUE = re.compile(
    r"(?i)^bearer\s|^eyJ[\w-]{8,}\.|://[^/\s:@]+:[^@/\s]+@|-----BEGIN|^(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]{32,}$"
)
_VIEW = "application/vnd.jupyter.widget-view+json"
_OUTSIDE = re.compile(
    r"""(?:src|href)=["']?(?:https?:)?//[^"'>\s]+|url\(["']?(?:https?:)?//[^)]+|@import[^;]+|<script""", re.IGNORECASE
)


class NotebookFailed(DentlibError):
    """A cell failed, took too long, or lost its kernel. The executed copy tells where.

    `error_name` is the class of what was raised in the cell. Its text is not repeated here: it may hold values.
    """

    def __init__(self, message: str, hint: str = "", *, error_name: str = "") -> None:
        super().__init__(message, hint)
        self.error_name = error_name


def find_notebook(name: str | Path) -> Path:
    """Return the path of a shipped notebook by name (`01_audit`), or of a given `.ipynb` file. Reads only."""
    path = Path(name)
    if path.suffix == ".ipynb" and path.is_file():
        return path
    shipped = assets.folder("notebooks") / f"{name}.ipynb"
    if not shipped.is_file():
        known = ", ".join(sorted(p.stem for p in shipped.parent.glob("*.ipynb")))
        raise UsageError(f"there is no notebook '{name}'", f"notebooks: {known}")
    return shipped


def known_parameters(notebook: Path) -> dict[str, Any]:
    """Return the parameters that a notebook declares, with their defaults. Reads only, runs nothing.

    Raises UsageError unless exactly one cell is tagged `parameters`, and it holds nothing but `name = literal`.
    """
    import nbformat

    nb = nbformat.read(notebook, as_version=4)
    cells = [c for c in nb.cells if "parameters" in c.metadata.get("tags", [])]
    if len(cells) != 1:
        raise UsageError(f"{notebook.name} has {len(cells)} cells tagged parameters", "tag exactly one")
    known: dict[str, Any] = {}
    for statement in ast.parse(cells[0].source).body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        value = getattr(statement, "value", None)
        if len(targets) != 1 or not isinstance(targets[0], ast.Name) or value is None:
            raise UsageError(f"{notebook.name}: line {statement.lineno} of the parameters cell", "only name = value")
        known[targets[0].id] = ast.literal_eval(value)
    return known


def check_parameters(notebook: Path, parameters: Mapping[str, Any]) -> None:
    """Refuse what can't be passed: unknown names, other types than declared, anything that looks like a secret.

    Raises UsageError; the message names the parameter, never its value.
    """
    known = known_parameters(notebook)
    if unknown := sorted(set(parameters) - set(known)):
        raise UsageError(
            f"{notebook.name} has no parameter {', '.join(unknown)}", f"its parameters: {', '.join(sorted(known))}"
        )
    for name, value in parameters.items():
        if _SECRET_NAME.search(name) or (isinstance(value, str) and _SECRET_VALUE.search(value)):
            raise UsageError(
                f"the parameter {name} looks like a secret, and would be stored in the executed notebook",
                "put the key into the environment, and its name into the settings: api_key: env:NAME",
            )
        wanted, given = type(known[name]), type(value)  # type() keeps True out of int
        if given is not wanted and (wanted, given) != (float, int):
            raise UsageError(f"the parameter {name} of {notebook.name} is {wanted.__name__}, not {given.__name__}")


def run_notebook(
    name: str | Path,
    out: Path,
    parameters: Mapping[str, Any] | None = None,
    *,
    cwd: Path | None = None,
    time_limit_s: int = TIME_LIMIT_S,
) -> Path:
    """Execute a notebook from top to bottom and return the executed copy, `out` (mode 0600, without widget state).

    `name`: a shipped notebook (`01_audit`) or a path. `time_limit_s`: for each cell. The copy is written after every
    cell, also when one fails. Its kernel inherits the environment. Raises UsageError for parameters that can't be
    passed, before anything is run; NotebookFailed when a cell fails, takes too long, or its kernel ends.
    """
    source = find_notebook(name)
    given = dict(parameters or {})
    check_parameters(source, given)
    import nbformat
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    out.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    hint = f"the executed copy tells where: {out}"
    try:
        _sweep_private_folders()
        with tempfile.TemporaryDirectory(prefix=f"{_PRIVATE}{os.getpid()}-") as private:
            papermill.execute_notebook(
                str(source),
                str(out),
                given,
                kernel_name="python3",
                language="python",
                cwd=str(cwd) if cwd else None,
                progress_bar=False,
                coalesce_streams=True,
                start_timeout=120,
                execution_timeout=time_limit_s,
                config=_kernel_settings(Path(private)),
            )
    except papermill.PapermillExecutionError as error:
        message = f"{source.stem} stopped in cell {error.exec_count} with {error.ename}"
        raise NotebookFailed(message, hint, error_name=str(error.ename)) from None  # its text may hold values
    except CellTimeoutError:
        raise NotebookFailed(f"a cell of {source.stem} took longer than {time_limit_s} s", hint) from None
    except DeadKernelError:
        raise NotebookFailed(f"the kernel of {source.stem} ended before it was done", hint) from None
    nb = nbformat.read(out, as_version=4)
    nb.metadata.pop("widgets", None)  # not store_widget_state=False: KeyError once an Output widget is used
    nbformat.write(nb, out)
    return out


def _sweep_private_folders() -> None:
    """Remove the sockets' folders that killed processes of this user left behind."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PRIVATE}*-*"):
        owner = folder.name.removeprefix(_PRIVATE).partition("-")[0]
        if owner.isdigit() and folder.stat().st_uid == os.getuid() and not _is_alive(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def _is_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _kernel_settings(private: Path) -> Any:
    """Let process and kernel speak through sockets in a private folder: what they say is not readable on the network.

    Where there are no such sockets (Windows) it stays with loopback TCP. The kernel's own log is cut to what is fatal:
    being told to end it calls an error, on our stderr; what a cell raises comes back by other ways.
    """
    from traitlets.config import Config

    settings = Config()
    settings.KernelManager.shutdown_wait_time = STOP_WITHIN_S
    settings.NotebookClient.extra_arguments = ["--IPKernelApp.log_level=CRITICAL"]
    if os.name == "posix":
        settings.KernelManager.transport = "ipc"
        settings.KernelManager.connection_file = str(private / "kernel.json")
    return settings


def export_page(executed: Path, html: Path, *, title: str) -> Path:
    """Write an executed notebook as a client page: our own template, no code, no widgets, nothing fetched.

    Cells tagged `remove_cell`, `parameters` or `injected-parameters` are left out. Raises UsageError where an output
    would load something, or brings a script.
    """
    import nbformat
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    nb = nbformat.read(executed, as_version=4)
    for cell in nb.cells:
        if cell.cell_type == "code":  # else a dead widget prints its repr
            cell.outputs = [o for o in cell.outputs if _VIEW not in o.get("data", {})]
    config = Config()
    config.TagRemovePreprocessor.enabled = True
    config.TagRemovePreprocessor.remove_cell_tags = {"remove_cell", "parameters", "injected-parameters"}
    exporter = HTMLExporter(
        config=config,
        template_name="notebook",
        extra_template_basedirs=[str(assets.folder("reports"))],
        exclude_input=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
        embed_images=True,
    )
    resources = {"title": title, "css": stylesheet(), "csp": CONTENT_SECURITY_POLICY}
    body, _ = exporter.from_notebook_node(nb, resources=resources)
    if found := _OUTSIDE.findall(body):
        raise UsageError(
            f"{executed.name} would load {len(found)} things from elsewhere", "take them out of its outputs"
        )
    html.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(html, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    html.write_text(body, encoding="utf-8")
    return html
