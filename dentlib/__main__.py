"""The command line: parse, call a stage, show progress, set the exit code: 0 done, 1 a person must decide, 2 failed.

Stages that have a notebook run it through papermill, in process, and leave the executed copy as evidence.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from dentlib import errands, stages, terminal

INTERRUPTED = 130
"""Exit code of a command stopped by Ctrl-C, as shells have it."""

app = typer.Typer(
    name="dentlib",
    help="Move a dental practice's data into a CRM, prove that all of it arrived, and take it back if need be.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
sandbox_app = typer.Typer(no_args_is_help=True, help="A CRM on this machine, true to recorded answers of the real one.")
samples_app = typer.Typer(no_args_is_help=True, help="Write a believable, troublesome export of an invented practice.")
app.add_typer(sandbox_app, name="sandbox")
app.add_typer(samples_app, name="samples")

Name = Annotated[str, typer.Argument(help="the engagement, e.g. brightsmile")]
SandboxLimits = Literal["default", "off"]
AsJson = Annotated[bool, typer.Option("--json", help="print the result as JSON")]


@app.command(epilog="Example: dentlib new brightsmile --source dent-o-soft --destination twenty --export ./client.zip")
def new(
    name: Name,
    source: Annotated[str, typer.Option(help="the practice system, e.g. dent-o-soft, or other")],
    destination: Annotated[str, typer.Option(help="the CRM, e.g. twenty")],
    export: Annotated[Path, typer.Option(help="the client's folder, zip archive or file")],
    client: Annotated[str | None, typer.Option(help="the practice's name, as the pages show it")] = None,
    time_zone: Annotated[str | None, typer.Option(help="e.g. America/Los_Angeles")] = None,
    currency: Annotated[str | None, typer.Option(help="e.g. USD")] = None,
    phone_country: Annotated[str | None, typer.Option(help="two letters, e.g. US")] = None,
    languages: Annotated[str | None, typer.Option(help="comma-separated, e.g. en,nl")] = None,
    fallback_owner: Annotated[str | None, typer.Option(help="e-mail of the member who gets unmatched records")] = None,
    as_json: AsJson = False,
) -> None:
    """Open an engagement: take the client's export into custody. Writes nothing to any CRM."""
    settings: dict[str, Any] = {
        "client": client,
        "time_zone": time_zone,
        "currency": currency,
        "phone_country": phone_country,
        "languages": languages.split(",") if languages else None,
        "fallback_owner": fallback_owner,
    }
    with terminal.progress(as_json) as progress:
        told = stages.new(
            name,
            source=source,
            destination=destination,
            export=export,
            settings={k: v for k, v in settings.items() if v is not None},
            progress=progress,
        )
    terminal.show_new(told, as_json)


@app.command(epilog="Example: dentlib configure brightsmile --url https://crm.example.com --api-key env:TWENTY_KEY")
def configure(
    name: Name,
    url: Annotated[str | None, typer.Option(help="the CRM's address; 'sandbox' goes back to the built-in one")] = None,
    api_key: Annotated[str | None, typer.Option(help="where the key is: env:NAME or keyring:SERVICE")] = None,
    plan: Annotated[str | None, typer.Option(help="pro, organization or self-hosted: decides the rate")] = None,
    calls_per_minute: Annotated[int | None, typer.Option(help="goes before the plan; 0: nothing limits")] = None,
    sandbox_version: Annotated[
        str | None, typer.Option(help="2.21 or 1.17: which Twenty the built-in sandbox is, before its first use")
    ] = None,
    client: Annotated[str | None, typer.Option()] = None,
    time_zone: Annotated[str | None, typer.Option()] = None,
    currency: Annotated[str | None, typer.Option()] = None,
    phone_country: Annotated[str | None, typer.Option()] = None,
    languages: Annotated[str | None, typer.Option()] = None,
    fallback_owner: Annotated[str | None, typer.Option()] = None,
    sample_rows: Annotated[int | None, typer.Option(help="records in the sample")] = None,
    as_json: AsJson = False,
) -> None:
    """Change settings; without options, show them. Keys are only ever referred to."""
    changes: dict[str, Any] = {
        "destination.api_key": api_key,
        "destination.plan": plan,
        "destination.calls_per_minute": calls_per_minute,
        "destination.sandbox_version": sandbox_version,
        "client": client,
        "time_zone": time_zone,
        "currency": currency,
        "phone_country": phone_country,
        "languages": languages.split(",") if languages else None,
        "fallback_owner": fallback_owner,
        "sample_rows": sample_rows,
    }
    changes = {k: v for k, v in changes.items() if v is not None}
    if url is not None:
        changes["destination.url"] = None if url == "sandbox" else url
    terminal.show_settings(errands.configure(name, changes), as_json)


@app.command(epilog="Example: dentlib audit brightsmile")
def audit(name: Name, as_json: AsJson = False) -> None:
    """Say what the export is: files, tables, columns, keys, relationships, findings. Reads only."""
    terminal.run_stage("audit", name, {}, as_json)


@app.command(epilog="Example: dentlib review brightsmile")
def review(name: Name, as_json: AsJson = False) -> None:
    """Propose the map, check it against the destination, show schema plan and owners. Writes nothing to the CRM."""
    terminal.run_stage("review", name, {}, as_json)


@app.command(epilog='Example: dentlib approve brightsmile map --by "A. Analyst"')
def approve(
    name: Name,
    what: Annotated[str, typer.Argument(help="map or sample")],
    by: Annotated[str, typer.Option(help="who approves")],
    backup: Annotated[str, typer.Option(help="with the sample: who backed the CRM up, and when")] = "",
    as_json: AsJson = False,
) -> None:
    """Approve the map or the sample, as it stands now. Void as soon as it changes.

    Approving the map confirms, too, which roles of the CRM will read clinical notes and the like.
    """
    terminal.show_approval(stages.approve(name, what, by=by, backup=backup), as_json)


@app.command(epilog="Example: dentlib prepare brightsmile")
def prepare(name: Name, as_json: AsJson = False) -> None:
    """Turn the export into records as they will be sent, each row with its outcome. Writes nothing to the CRM."""
    with terminal.progress(as_json) as progress:
        told = stages.prepare(name, progress=progress)
    terminal.show_prepared(told, as_json)
    raise typer.Exit(told["exit_code"])


@app.command(epilog="Example: dentlib sample brightsmile --size 200 --reveal")
def sample(
    name: Name,
    size: Annotated[int | None, typer.Option(help="records; by default the engagement's sample_rows")] = None,
    reveal: Annotated[bool, typer.Option("--reveal", help="also write the practice's own copy, not masked")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a sample to the CRM and show source, intended and stored value of every field. Wants an approved map."""
    terminal.run_stage("sample", name, {"size": size or 0, "reveal": reveal}, as_json)


@app.command(epilog="Example: dentlib preview brightsmile --json")
def preview(name: Name, as_json: AsJson = False) -> None:
    """Say what a run would write, how long it takes, when it ends, and what reacts to it. Writes no record."""
    with terminal.progress(as_json) as progress:
        result = errands.preview(name, progress=progress)
    terminal.show_result(result.as_data(), as_json)
    raise typer.Exit(result.exit_code)


@app.command(epilog="Example: dentlib package brightsmile --set-up")
def package(
    name: Name,
    set_up: Annotated[bool, typer.Option("--set-up", help="make the map's fields in the CRM first")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the records as files for the CRM's own importer, with a page that says what to click.

    Afterwards: dentlib reconcile … --imported, then dentlib run for what can't go by file.
    """
    with terminal.progress(as_json) as progress:
        result = errands.package(name, set_up=set_up, progress=progress)
    terminal.show_result(result.as_data(), as_json)
    raise typer.Exit(result.exit_code)


@app.command(epilog="Example: dentlib run brightsmile")
def run(name: Name, as_json: AsJson = False) -> None:
    """Move everything, then reconcile. Wants an approved sample. Goes on where a stopped run ended."""
    terminal.run_stage("run", name, {}, as_json)


@app.command(epilog="Example: dentlib retry brightsmile")
def retry(name: Name, as_json: AsJson = False) -> None:
    """Send again what the last run could not write, after a fix: same run, nothing twice; then reconcile."""
    with terminal.progress(as_json) as progress:
        result = stages.retry(name, progress=progress)
    terminal.show_result(result.as_data(), as_json)
    raise typer.Exit(result.exit_code)


@app.command(epilog="Example: dentlib delta brightsmile --export ./from-client-friday.zip")
def delta(
    name: Name,
    export: Annotated[
        Path | None, typer.Option(help="the later export; without it the last one is compared again")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring over what was created or changed since; list what was deleted."""
    terminal.run_stage("delta", name, {"export": str(export.absolute()) if export else ""}, as_json)


@app.command(epilog='Example: dentlib decide brightsmile --from runs/…-delta/conflicts.csv --by "A. Analyst"')
def decide(
    name: Name,
    files: Annotated[list[Path], typer.Option("--from", help="conflicts.csv, deletions.csv, as filled in")],
    by: Annotated[str, typer.Option(help="who decided")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be done")] = False,
    as_json: AsJson = False,
) -> None:
    """Carry out what was decided about a delta's conflicts (theirs, ours) and deletions (keep, mark, delete).

    A row that is no longer as it was listed is refused. What is deleted can't come back byte for byte: its values stay
    in the ledger, but a record made again has new times and none of what the CRM had written about it.
    """
    told = errands.decide(name, files, by=by, dry_run=dry_run)
    terminal.show_decided(told, as_json)
    raise typer.Exit(told["exit_code"])


@app.command(epilog='Example: dentlib owners brightsmile --from runs/…-owners/owners.csv --by "A. Analyst"')
def owners(
    name: Name,
    file: Annotated[Path | None, typer.Option("--from", help="owners.csv, with member_email filled in")] = None,
    by: Annotated[str, typer.Option(help="with --from: who assigns")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="with --from: only say what would change")] = False,
    as_json: AsJson = False,
) -> None:
    """List whose records go to which member, and write owners.csv; with --from, assign them anew.

    The map keeps the assignment, and records that are in the CRM already get their new owner; one whom somebody chose
    in the CRM stays.
    """
    with terminal.progress(as_json) as progress:
        told = (
            errands.owners(name, progress=progress)
            if file is None
            else errands.reassign_owners(name, file, by=by, dry_run=dry_run, progress=progress)
        )
    terminal.show_owners(told, as_json)
    raise typer.Exit(told["exit_code"])


@app.command(epilog="Example: dentlib reconcile brightsmile")
def reconcile(
    name: Name,
    imported: Annotated[
        bool, typer.Option("--imported", help="first find what the CRM's own importer made of the package")
    ] = False,
    rejudge: Annotated[
        bool, typer.Option("--rejudge", help="judge what was read back last once more, without reading")
    ] = False,
    minutes: Annotated[
        float | None, typer.Option(min=0.1, help="read for so long at most; of what is more, a sample that is told")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read everything back and judge it: counts, money, links, fields, files. Writes nothing to the CRM."""
    with terminal.progress(as_json) as progress:
        result = stages.reconcile(name, imported=imported, rejudge=rejudge, minutes=minutes, progress=progress)
    terminal.show_result(result.as_data(), as_json)
    raise typer.Exit(result.exit_code)


@app.command(epilog="Example: dentlib rollback brightsmile --yes --workspace 'Bright Smile'")
def rollback(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="do it; without, only what would be done is shown")] = False,
    workspace: Annotated[str, typer.Option(help="the workspace's name, wanted where a URL is configured")] = "",
    as_json: AsJson = False,
) -> None:
    """Put the CRM back as it was before the first write of this engagement, and prove it."""
    terminal.run_stage("rollback", name, {"yes": yes, "workspace": workspace}, as_json)


@app.command("verify-log", epilog="Example: dentlib verify-log brightsmile")
def verify_log(name: Name, as_json: AsJson = False) -> None:
    """Check the ledger from its first entry to its last, and say so or what is wrong. Reads only."""
    told = errands.verify_log(name)
    terminal.show_logs(told, as_json)
    raise typer.Exit(told["exit_code"])


@app.command(epilog="Example: dentlib status brightsmile --json")
def status(name: Name, as_json: AsJson = False) -> None:
    """Say where an engagement stands and what comes next. Reads only."""
    terminal.show_status(errands.status(name), as_json)


@app.command()
def demo(
    patients: Annotated[int, typer.Option(help="size of the sample practice")] = 500,
    seed: Annotated[int, typer.Option()] = 7,
) -> None:
    """Move a sample practice into the built-in sandbox, end to end. A second call adopts what is there."""
    raise typer.Exit(terminal.run_demo(patients, seed))


@samples_app.command(
    "dent-o-soft", epilog="Example: dentlib samples dent-o-soft --patients 500 --seed 7 --out ./export"
)
def samples_dent_o_soft(
    out: Annotated[Path, typer.Option(help="a new or empty folder")],
    patients: Annotated[int, typer.Option(min=1)] = 500,
    seed: Annotated[int, typer.Option()] = 7,
    round_number: Annotated[
        int, typer.Option("--round", min=1, max=2, help="2: a later export of the same practice")
    ] = 1,
    only: Annotated[str, typer.Option(help="comma-separated tables, e.g. Patients,Appointments")] = "",
    as_json: AsJson = False,
) -> None:
    """Write an export as an on-premises Dent-O-Soft practice would hand it over, with KNOWN-TROUBLE.md beside it."""
    terminal.write_samples("dent-o-soft", out, patients, seed, round_number, only, as_json)


@sandbox_app.command("twenty", epilog="Example: dentlib sandbox twenty --port 3001 --state ./twenty.sqlite")
def sandbox_twenty(
    port: Annotated[int, typer.Option(help="0: any free one", min=0, max=65535)] = 3001,
    limits: Annotated[SandboxLimits, typer.Option(help="default: 100 calls a minute")] = "default",
    state: Annotated[
        Path | None, typer.Option(help="SQLite file that keeps the workspace; none: gone at the end")
    ] = None,
    members: Annotated[Path | None, typer.Option(help="JSON or CSV list of the workspace's members")] = None,
    version: Annotated[str, typer.Option(help="the Twenty that it is: 2.21 or 1.17")] = "2.21",
    max_upload_mb: Annotated[float | None, typer.Option(help="largest file taken")] = None,
    die_with_parent: Annotated[bool, typer.Option("--die-with-parent", hidden=True)] = False,
) -> None:
    """Run a Twenty (2.21, or 1.17) on loopback, true to recorded answers.

    Prints one line of JSON when ready: its url and the file that holds an API key. A key given in the environment
    variable DENTLIB_SANDBOX_API_KEY is taken instead.
    """
    from dentlib.sandbox.twenty.server import serve

    serve(
        port=port,
        limits=limits,
        state=state,
        members=members,
        version=version,
        max_upload_mb=max_upload_mb,
        die_with_parent=die_with_parent,
    )


def main() -> None:
    """Run the command line; every error is one message and an exit code, with `--json` also an object that says so."""
    terminal.never_fail_on_letters()
    try:
        returned = app(standalone_mode=False)
        code = returned if isinstance(returned, int) else 0
        stopped = code == INTERRUPTED  # typer turns Ctrl-C into this code, without a word
    except (typer.Abort, KeyboardInterrupt):
        code, stopped = INTERRUPTED, True
    except typer.Exit as end:
        code, stopped = end.exit_code, False
    except Exception as error:
        sys.exit(terminal.tell_error(*terminal.in_words(error), as_json="--json" in sys.argv))
    if stopped:
        terminal.tell("stopped; the same command goes on where it stopped")
    sys.exit(code)


if __name__ == "__main__":
    main()
