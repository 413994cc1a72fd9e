"""What the command line prints: progress, results, messages. Numbers only; never a patient's value."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dentlib import demo, samples
from dentlib.clock import SystemClock
from dentlib.engagement import Engagement, home
from dentlib.errors import DentlibError, UsageError
from dentlib.model import Progress, Silence
from dentlib.notebook.progress import TerminalProgress, following
from dentlib.notebook.runner import NotebookFailed, run_notebook
from dentlib.privacy import redact
from dentlib.results import RUN_FOLDER, as_ours

NOTEBOOKS = {
    "audit": "01_audit",
    "review": "02_mapping_review",
    "sample": "03_sample_diff",
    "run": "04_full_run",
    "delta": "05_delta",
    "rollback": "06_rollback",
}
OUTCOMES = ("read", "created", "updated", "unchanged", "merged", "rejected", "excluded", "failed")

WIDE = 140
"""Columns where no terminal says how many it has: a table in a log file should not be broken up."""

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDE)
err = Console(stderr=True, highlight=False, soft_wrap=True)


class StageFailed(DentlibError):
    """A stage inside a notebook could not go on; carries its message, way out and exit code."""

    def __init__(self, message: str, hint: str, exit_code: int, error_name: str = "") -> None:
        super().__init__(message, hint)
        self.exit_code = exit_code
        self.error_name = error_name


def never_fail_on_letters() -> None:
    """Write letters that the terminal's encoding doesn't have as escapes, instead of failing over a name."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def tell(message: str) -> None:
    """Print one message for a person, on standard error."""
    err.print(message, markup=False)


def tell_error(error: DentlibError, name: str, *, as_json: bool) -> int:
    """Say what is wrong and the way out, for a machine also as JSON on standard output; return the exit code."""
    message, hint = redact(error.message), redact(error.hint)
    if as_json:
        print_json({"error": name, "message": message, "hint": hint, "exit_code": error.exit_code})
    tell(f"{message}\n  way out: {hint}" if hint else message)
    return error.exit_code


def in_words(error: Exception) -> tuple[DentlibError, str]:
    """Return what to say of an error, and its name. Raises what nobody expected where a traceback is asked for."""
    known = as_ours(error)
    if known is not None:
        return known, getattr(known, "error_name", "") or type(known).__name__
    if type(error).__module__.startswith(("click", "typer")) and hasattr(error, "format_message"):
        return UsageError(error.format_message(), f"{_command_of(error)} --help"), "UsageError"
    if os.environ.get("DENTLIB_TRACEBACK"):
        raise error
    hint = "set DENTLIB_TRACEBACK=1, run it again and report what it shows (it may quote data)"
    return DentlibError(f"unexpected {type(error).__name__} inside dentlib", hint), type(error).__name__


def _command_of(error: Any) -> str:
    """Return the command that a wrong word was given to, as it is typed."""
    words: list[str] = []
    context = getattr(error, "ctx", None)
    while context is not None and context.parent is not None:
        words.insert(0, str(context.info_name))
        context = context.parent
    return " ".join(["dentlib", *words])


def print_json(data: Any) -> None:
    """Print JSON on standard output; in ASCII where the terminal is not UTF-8, so that it stays JSON."""
    text = orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS, default=str).decode()
    if not (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf8"):
        text = json.dumps(orjson.loads(text), indent=2)
    sys.stdout.write(text + "\n")


@contextmanager
def progress(as_json: bool) -> Iterator[Progress]:
    """Show progress on standard error, or nothing where a machine reads."""
    if as_json or not err.is_terminal:
        yield Silence()
        return
    with TerminalProgress(err) as shown:
        yield shown


MOST_ASKED = 3
"""Decisions that the last line of a command repeats; all of them stand above it."""


def run_stage(stage: str, name: str, parameters: Mapping[str, Any], as_json: bool) -> None:
    """Run a stage's notebook, show what came of it, and leave with its exit code."""
    data = run_notebook_stage(stage, name, parameters, quiet=as_json)
    show_result(data, as_json)
    if data["exit_code"]:
        asked = data["decisions"]
        more = f"; and {len(asked) - MOST_ASKED} more, above and on the page" if len(asked) > MOST_ASKED else ""
        words = "; ".join(asked[:MOST_ASKED]) + more
        undecided = StageFailed(f"{stage}: a person must decide before the next stage", words or "see the page", 1)
        # its JSON is printed already, exit code and decisions included: a machine reads one object
        raise typer.Exit(tell_error(undecided, "", as_json=False))


def run_notebook_stage(stage: str, name: str, parameters: Mapping[str, Any], *, quiet: bool) -> dict[str, Any]:
    """Execute a stage's notebook in a kernel of its own and return its `result.json`.

    The kernel writes evidence and progress into a new run folder. Raises StageFailed with the stage's own message.
    """
    engagement = Engagement.open(name)
    folder = engagement.new_run_folder(SystemClock().now(), stage)
    before = os.environ.get(RUN_FOLDER)
    os.environ[RUN_FOLDER] = str(folder)
    os.environ["DENTLIB_HOME"] = str(home())
    try:
        with progress(quiet) as shown, following(folder / "progress.jsonl", shown):
            run_notebook(NOTEBOOKS[stage], folder / f"{NOTEBOOKS[stage]}.ipynb", {"engagement": name, **parameters})
    except NotebookFailed as failure:
        error = folder / "error.json"
        if error.is_file():
            told = orjson.loads(error.read_bytes())
            raise StageFailed(told["message"], told["hint"], told["exit_code"], told["error"]) from None
        raise StageFailed(
            f"{stage} stopped: {failure.message}", f"the executed notebook tells where: {folder}", 2, failure.error_name
        ) from None
    finally:
        if before is None:
            os.environ.pop(RUN_FOLDER, None)
        else:
            os.environ[RUN_FOLDER] = before
    result: dict[str, Any] = orjson.loads((folder / "result.json").read_bytes())
    return result


# ---- results -------------------------------------------------------------------------------------------------------


def show_result(data: Mapping[str, Any], as_json: bool) -> None:
    """Print what a stage found."""
    if as_json:
        print_json(data)
        return
    out.print(f"[bold]{data['stage']}[/bold] of {data['engagement']}: {data.get('verdict') or 'done'}")
    if data["facts"].get("steps"):
        out.print(outcome_table(data["facts"]["steps"]))
    for line in data.get("lines", []):
        out.print(f"  {line}", markup=False)
    for decision in data["decisions"]:
        out.print(f"  to decide: {decision}", markup=False)
    for page in data["pages"]:
        out.print(f"  page: {page}", markup=False)


def outcome_table(steps: Sequence[Mapping[str, Any]]) -> Table:
    """Build the table of outcomes: one line a step, adding up to the rows read."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("step", no_wrap=True)
    table.add_column("object", no_wrap=True)
    for name in OUTCOMES:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("adds up", no_wrap=True)
    totals = dict.fromkeys(OUTCOMES, 0)
    for step in steps:
        good = step["read"] == sum(step[name] for name in OUTCOMES[1:])
        label = step["label"] or step["step"]
        table.add_row(
            escape(label), escape(step["object"]), *(f"{step[n]:,}" for n in OUTCOMES), "yes" if good else "NO"
        )
        totals = {n: totals[n] + step[n] for n in OUTCOMES}
    table.add_section()
    good = totals["read"] == sum(totals[name] for name in OUTCOMES[1:])
    table.add_row("all", "", *(f"{totals[n]:,}" for n in OUTCOMES), "yes" if good else "NO")
    return table


def show_new(told: Mapping[str, Any], as_json: bool) -> None:
    """Print what was taken in."""
    if as_json:
        print_json(told)
        return
    out.print(f"engagement [bold]{told['engagement']}[/bold] in {escape(told['folder'])}")
    out.print(
        f"  {told['files']} files taken in, {told['tables']} tables, {told['rows']:,} rows, {told['rejected']} rejected"
    )
    for name in told["undecided"]:
        out.print(f"  undecided: {name} (the built-in sandbox uses {told['rehearsal'][name]})", markup=False)
    out.print(f"  next: dentlib audit {told['engagement']}")


def show_settings(settings: Mapping[str, Any], as_json: bool) -> None:
    """Print the settings of an engagement."""
    if as_json:
        print_json(settings)
        return
    for key, value in settings.items():
        out.print(f"{key}: {'undecided' if value is None else value}", markup=False)


def show_approval(told: Mapping[str, Any], as_json: bool) -> None:
    """Print an approval."""
    if as_json:
        print_json(told)
        return
    out.print(f"{told['what']} approved by {told['by']}", markup=False)
    for words in told["confirms"]:
        out.print(f"  confirmed: {words}", markup=False)
    out.print(f"  next: {told['next']}", markup=False)


def show_decided(told: Mapping[str, Any], as_json: bool) -> None:
    """Print what became of decisions."""
    if as_json:
        print_json(told)
        return
    verb = "would be carried out" if told["dry_run"] else "carried out"
    for counts, words in ((told["done"], verb), (told["already"], "done before")):
        for decision, n in sorted(counts.items()):
            if n:
                out.print(f"{decision}: {n:,} {words}", markup=False)
    if told["undecided"]:
        out.print(f"not decided yet: {told['undecided']:,}", markup=False)
    for row in told["refused"]:
        out.print(f"  refused: {row['where']} ({row['ref']}): {row['reason']}", markup=False)


def show_owners(told: Mapping[str, Any], as_json: bool) -> None:
    """Print the staff and whose member gets their records, or what became of a new assignment."""
    if as_json:
        print_json(told)
        return
    if "owners" not in told:
        verb = "would get" if told["dry_run"] else "got"
        for key, address in told["assigned"].items():
            out.print(f"{key}: {address}", markup=False)
        for step, n in told["changed"].items():
            out.print(f"{step}: {n:,} records {verb} another owner", markup=False)
        for kept in told["kept"]:
            out.print(f"  kept: {kept['object']} {kept['record_id']}: {kept['why']}", markup=False)
        if not told["assigned"]:
            out.print("nobody assigned: member_email names nobody new; nothing changed", markup=False)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("staff", "name", "how", "member", "records"):
        table.add_column(column, justify="right" if column == "records" else "left")
    for row in told["owners"]:
        cells = (row["source_key"] or "(nobody named)", row["name"], row["how"], row["member_email"])
        table.add_row(*(escape(c) for c in cells), f"{row['records']:,}")
    out.print(table)
    if told["invited"] is None:
        out.print("invitations can't be seen by this key", markup=False)
    elif told["invited"]:
        out.print(f"invited, not accepted: {', '.join(told['invited'])}", markup=False)
    for words in told["undecided"]:
        out.print(f"  undecided: {words}", markup=False)
    out.print(f"  to change: fill in member_email in {told['file']}, then --from it", markup=False)


def show_prepared(told: Mapping[str, Any], as_json: bool) -> None:
    """Print what was prepared."""
    if as_json:
        print_json(told)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("step")
    for name in ("read", "prepared", "rejected", "excluded", "merged"):
        table.add_column(name, justify="right")
    for step in told["steps"]:
        table.add_row(
            escape(step["step"]), *(f"{step[n]:,}" for n in ("read", "prepared", "rejected", "excluded", "merged"))
        )
    out.print(table)
    for check in told["checks"]:
        if not check["success"]:
            out.print(f"  does not pass: {check['description']} {check['detail']}".rstrip(), markup=False)


def show_status(told: Mapping[str, Any], as_json: bool) -> None:
    """Print where an engagement stands."""
    if as_json:
        print_json(told)
        return
    for key in ("engagement", "client", "source", "destination", "round", "map", "sample", "run", "live_records"):
        out.print(f"{key}: {told[key]}", markup=False)
    out.print(f"next: {told['next']}", markup=False)


def show_logs(told: Mapping[str, Any], as_json: bool) -> None:
    """Print what a check of the ledgers found."""
    if as_json:
        print_json(told)
        return
    for log in told["ledgers"]:
        out.print(f"{log['file']}: {log['verdict'].removeprefix(log['file']).lstrip(': ')}", markup=False)
        if log["intact"]:
            out.print(f"  from {log['first_at']} to {log['last_at']}, workspace {log['workspace']}", markup=False)
            out.print(f"  head {log['head']}: compare it with the one on the last report", markup=False)
        else:
            out.print(f"  way out: {log['way_out']}", markup=False)


def write_samples(
    product: str, folder: Path, patients: int, seed: int, round_number: int, only: str, as_json: bool
) -> None:
    """Write a sample export and say what it holds."""
    tables = [t.strip() for t in only.split(",") if t.strip()] or None
    written = samples.write_samples(product, folder, patients, seed, round_number, tables)
    if as_json:
        print_json({"out": str(folder), "rows": written.rows, "trouble": written.trouble, "delta": written.delta})
        return
    out.print(f"{len(written.rows)} tables in {folder}, {sum(written.rows.values()):,} rows", markup=False)
    out.print(f"  trouble to find, with counts: {folder / 'KNOWN-TROUBLE.md'}", markup=False)


# ---- the demo ------------------------------------------------------------------------------------------------------


def run_demo(patients: int, seed: int) -> int:
    """Walk the whole line with a sample practice and print where everything is; return the exit code."""

    def stage(name: str, parameters: dict[str, object]) -> dict[str, Any]:
        out.print(f"[bold]{name}[/bold] …")
        data = run_notebook_stage(name, demo.NAME, parameters, quiet=False)
        for line in data.get("lines", []):
            out.print(f"  {line}", markup=False)
        if data["exit_code"]:
            raise UsageError(f"the demo stops at {name}", "; ".join(data["decisions"]))
        return data

    with progress(as_json=False) as shown:
        demo.open_engagement(patients=patients, seed=seed, progress=shown)
    data = demo.walk(stage)
    engagement = Engagement.open(demo.NAME)
    out.print()
    out.print(outcome_table(data["facts"]["steps"]))
    out.print("unchanged: there already, from the sample or an earlier run")
    out.print()
    out.print(f"reconciliation: {data['verdict']}", style="bold")
    out.print(f"pages:   {engagement.reports / 'index.html'}", markup=False)
    out.print(f"CRM:     {engagement.root / 'sandbox-twenty.sqlite'}", markup=False)
    out.print("try next:")
    for command in ("dentlib status demo", "dentlib rollback demo --yes", "make lab"):
        shown_command = command if command.startswith("make") else f".venv/bin/{command}"
        out.print(f"  {shown_command}", markup=False)
    return 0 if data["exit_code"] == 0 else 1
