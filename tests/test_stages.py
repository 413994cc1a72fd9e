"""The main line on the built-in sandbox: a small practice there, again, changed, and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from dentlib import errands, samples, stages
from dentlib.clock import SystemClock
from dentlib.engagement import Engagement
from dentlib.errors import BudgetExceeded, ExportError, GateClosed, Locked, UsageError
from dentlib.loading import WriterLock
from dentlib.sandbox.twenty.snapshot import differences, dump_state

SETTINGS = {
    "client": "Bright Smile",
    "time_zone": "America/Los_Angeles",
    "currency": "USD",
    "phone_country": "US",
    "languages": ["en"],
    "fallback_owner": "admin@brightsmile.example",
    "destination.sandbox_limits": "off",
    "sample_rows": 60,
}
PATIENTS = 40


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home of engagements for this module."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DENTLIB_HOME", str(folder))
        patch.delenv("DENTLIB_RUN_DIR", raising=False)
        yield folder


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small sample export."""
    folder = tmp_path_factory.mktemp("export") / "one"
    samples.write_samples("dent-o-soft", folder, PATIENTS, 11)
    return folder


def opened(name: str, export: Path) -> Engagement:
    """Open a new engagement on the export."""
    stages.new(name, source="dent-o-soft", destination="twenty", export=export, settings=SETTINGS)
    return Engagement.open(name)


def state_of(engagement: Engagement) -> dict[str, Any]:
    """Everything in the sandbox's store, table by table, without the metadata version counter."""
    return dump_state(engagement.root / "sandbox-twenty.sqlite")


class Line:
    """The main line walked once; what came of each stage."""

    def __init__(self, export: Path) -> None:
        self.engagement = opened("line", export)
        self.audit = stages.audit("line")
        self.review = stages.review("line")
        self.before = state_of(self.engagement)
        stages.approve("line", "map", by="A. Analyst")
        self.sample = stages.sample("line", reveal=True)
        stages.approve("line", "sample", by="A. Analyst")
        self.run = stages.run("line")
        self.loaded = state_of(self.engagement)


@pytest.fixture(scope="module")
def line(home: Path, export: Path) -> Line:
    """Walk the line once for all tests of this module."""
    return Line(export)


def test_every_row_has_one_outcome(line: Line) -> None:
    """Outcomes add up in every step, and people, deals, tasks and notes did arrive."""
    assert all(step.adds_up for step in line.run.facts.steps)
    made = {s.step: s.created + s.unchanged for s in line.run.facts.steps}
    for step in ("carriers", "patients", "plans", "appointments", "claims"):
        assert made[step] > 0, step


def test_the_reconciliation_agrees(line: Line) -> None:
    """Every check of export, prepared rows, counts, money, links and fields passes."""
    assert [c.rule for c in line.run.facts.checks if not c.success] == []
    assert {c.point for c in line.run.facts.checks} == {"extract", "prepared", "reconciliation", "lookups"}
    assert line.run.exit_code == 0


def test_the_sample_reads_back_as_meant(line: Line) -> None:
    """No field of a sample record differs from what was intended."""
    wrong = [(d.step, d.field, d.reason) for d in line.sample.facts.diff if not d.same]
    assert wrong == []
    assert line.sample.facts.fields_compared > 200


def test_the_sample_is_adopted_by_the_run(line: Line) -> None:
    """The run writes no record of the sample twice."""
    sampled = sum(s.created for s in line.sample.facts.steps)
    assert sum(s.unchanged for s in line.run.facts.steps) == sampled


def test_pages_hold_no_patient_by_name(line: Line, export: Path) -> None:
    """Masked pages and JSON show none of the practice's rarer family names; the practice's own copy does."""
    rows = (export / "Patients.csv").read_text(encoding="utf-8-sig").splitlines()
    everybody = {cells[2] for cells in (row.split(",") for row in rows[1:]) if len(cells) > 3}
    names = {name for name in everybody if len(name) > 6}
    assert names
    pages = [p for p in line.engagement.reports.glob("*.html") if "practice-copy" not in p.name]
    assert {"index.html", "audit.html", "mapping.html", "sample.html", "run.html"} <= {p.name for p in pages}
    for page in [*pages, *line.engagement.folder("runs").rglob("*.json")]:
        text = page.read_text(encoding="utf-8")
        assert not [n for n in names if n in text], page.name
    copy = (line.engagement.reports / "sample-practice-copy.html").read_text(encoding="utf-8")
    assert any(f">{n}<" in copy for n in everybody)


def test_a_second_run_writes_nothing(line: Line) -> None:
    """Running again adopts what is there: everything unchanged, the CRM's store the same."""
    again = stages.run("line")
    assert sum(s.created + s.updated for s in again.facts.steps) == 0
    assert state_of(line.engagement) == line.loaded
    assert again.exit_code == 0


def test_too_many_failed_rows_are_named_where_the_error_says(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that the error budget stops leaves the audit log, and its way out names this engagement."""
    log = line.engagement.reports / "audit-log.csv"
    log.unlink()
    stopped = BudgetExceeded("9 of 163", "mend the data, then: dentlib retry")
    monkeypatch.setattr(stages.make, "load_all", lambda *_, **__: (_ for _ in ()).throw(stopped))
    with pytest.raises(BudgetExceeded) as stop:
        stages.retry("line")
    assert stop.value.hint.startswith(str(log))
    assert stop.value.hint.endswith("dentlib retry line")
    assert len(log.read_text().splitlines()) > PATIENTS


def test_changed_settings_void_both_approvals(line: Line) -> None:
    """Money in another currency, or another fallback owner, is not what was looked at in the sample."""
    for name, value in (("currency", "EUR"), ("fallback_owner", "office@brightsmile.example")):
        before = errands.configure("line", {})[name]
        errands.configure("line", {name: value})
        try:
            with pytest.raises(GateClosed, match="settings that decide what the records hold"):
                stages.run("line")
        finally:
            errands.configure("line", {name: before})


def test_a_sample_counts_for_the_workspace_it_is_in(line: Line) -> None:
    """With the same schema but another workspace behind the address, nothing runs and nothing can be approved."""
    files = list(line.engagement.root.glob("sandbox-twenty.sqlite*"))
    aside = line.engagement.root / "aside"
    aside.mkdir()
    for file in files:
        file.rename(aside / file.name)
    try:
        with pytest.raises(GateClosed, match="given for another workspace"):
            stages.run("line")
        with pytest.raises(GateClosed, match="no sample to approve in this workspace"):
            stages.approve("line", "sample", by="A. Analyst")
    finally:
        for file in line.engagement.root.glob("sandbox-twenty.sqlite*"):
            file.unlink()
        for file in aside.iterdir():
            file.rename(line.engagement.root / file.name)
        aside.rmdir()


def test_a_delta_brings_what_changed_and_rollback_takes_all_back(line: Line, tmp_path: Path) -> None:
    """A later export creates and updates; deletions are listed; then the workspace is as before the first write."""
    samples.write_samples("dent-o-soft", tmp_path / "two", PATIENTS, 11, round=2)
    known = orjson.loads((tmp_path / "two" / "known-trouble.json").read_bytes())["delta"]
    changed = stages.delta("line", export=tmp_path / "two")
    by_step = {s.step: s for s in changed.facts.steps}
    assert all(s.adds_up for s in changed.facts.steps)
    assert by_step["appointments"].created == known["Appointments"]["created"]
    assert sum(s.updated for s in changed.facts.steps) > 0
    assert changed.notes["deletions"]
    assert changed.exit_code == 0
    assert stages.run("line").exit_code == 0
    assert stages.reconcile("line").facts.kind == "run", "the last load is judged, whatever its kind"
    preview = stages.rollback("line")
    assert preview.facts.preview
    back = stages.rollback("line", yes=True)
    assert back.facts.differences == ()
    assert back.facts.kept == ()
    assert back.exit_code == 0
    assert differences(line.before, state_of(line.engagement)) == {}


def test_gates(home: Path, export: Path) -> None:
    """No write without an approved map, no run without an approved sample, and an edited map voids both."""
    engagement = opened("gates", export)
    with pytest.raises(GateClosed, match="has no map yet"):
        stages.sample("gates")
    stages.review("gates")
    before = state_of(engagement)
    with pytest.raises(GateClosed, match="not approved"):
        stages.sample("gates")
    stages.approve("gates", "map", by="A. Analyst")
    with pytest.raises(GateClosed, match="no sample to approve"):
        stages.approve("gates", "sample", by="A. Analyst")
    with pytest.raises(GateClosed, match="sample of 'gates' is not approved"):
        stages.run("gates")
    text = engagement.map_file.read_text(encoding="utf-8")
    assert "steps:" in text
    engagement.map_file.write_text(
        text.replace("steps: {}", "steps:\n  patients:\n    error_budget: 0.2\n"), encoding="utf-8"
    )
    with pytest.raises(GateClosed, match="the map was edited"):
        stages.sample("gates")
    assert state_of(engagement) == before


@pytest.mark.parametrize("name", ["gone", "empty", "binary", "foreign"])
def test_an_unusable_export_leaves_nothing(home: Path, tmp_path: Path, name: str) -> None:
    """No such folder, an empty zip, a table that is not text: one message, and no engagement is left."""
    source = tmp_path / "export"
    if name == "empty":
        source = tmp_path / "export.zip"
        source.write_bytes(b"PK\x05\x06" + bytes(18))
    elif name == "binary":
        source.mkdir()
        (source / "Patients.csv").write_bytes(bytes(range(256)) * 40)
    elif name == "foreign":
        source.mkdir()
        (source / "weather.csv").write_text("station,celsius,wind\nA,12,3\nB,11,4\n", encoding="utf-8")
        stages.new("foreign", source="dent-o-soft", destination="twenty", export=source, settings=SETTINGS)
        with pytest.raises(ExportError, match="none of the 1 table"):
            stages.audit("foreign")
        return
    with pytest.raises((ExportError, UsageError)) as caught:
        stages.new(f"x-{name}", source="dent-o-soft", destination="twenty", export=source, settings=SETTINGS)
    assert caught.value.hint
    assert caught.value.exit_code == 2
    assert not (home / f"x-{name}").exists()


def test_one_writer_at_a_time(home: Path, export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second stage on a busy engagement is refused and names the holder."""
    monkeypatch.setattr("dentlib.desk.LOCK_WAIT_S", 0.0)
    engagement = opened("busy", export)
    with (
        WriterLock(engagement.root / "busy.lock", clock=SystemClock(), purpose="run"),
        pytest.raises(Locked, match=r"process \d+"),
    ):
        stages.audit("busy")


def test_status_reads_only(line: Line) -> None:
    """Status names approvals, rounds and what comes next without asking the CRM."""
    told = errands.status("line")
    assert told["map"].startswith("approved by A. Analyst")
    assert told["next"].startswith("dentlib ")
