"""A full run that is killed at random moments and started again ends as one that was never killed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from dentlib import samples, stages
from dentlib.clock import SystemClock
from dentlib.destinations import open_destination
from dentlib.engagement import Engagement
from dentlib.loading import Ledger, outcomes
from dentlib.sandbox.twenty.server import TwentySandbox

SETTINGS = {
    "client": "Bright Smile",
    "time_zone": "America/Los_Angeles",
    "currency": "USD",
    "phone_country": "US",
    "languages": ["en"],
    "fallback_owner": "admin@brightsmile.example",
    "destination.sandbox_limits": "off",
}
CHOSEN_BY_THE_SERVER = {"createdAt", "updatedAt", "position", "file"}
OBJECTS = ("company", "person", "opportunity", "task", "taskTarget", "note", "noteTarget", "attachment")


def ready(export: Path) -> Engagement:
    """Walk an engagement called `kill` up to its approved sample."""
    stages.new("kill", source="dent-o-soft", destination="twenty", export=export, settings=SETTINGS)
    stages.review("kill")
    stages.approve("kill", "map", by="A. Analyst")
    stages.sample("kill", size=60)
    stages.approve("kill", "sample", by="A. Analyst")
    return Engagement.open("kill")


def run_command() -> subprocess.Popen[bytes]:
    """Start `dentlib run kill` as a person would."""
    return subprocess.Popen(
        [sys.executable, "-m", "dentlib", "run", "kill"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def records(engagement: Engagement) -> dict[tuple[str, str], str]:
    """Every record of the workspace: (object, id) → content without what the server chooses by itself."""
    found = {}
    with TwentySandbox(engagement.root / "sandbox-twenty.sqlite", limits="off") as sandbox:
        destination = open_destination(
            "twenty", sandbox.url, sandbox.api_key, clock=SystemClock(), calls_per_minute=None
        )
        schema = destination.describe()
        for name in sorted({*OBJECTS, *(o for o in schema.objects if "sourceSystemId" in schema.objects[o].fields)}):
            for record in destination.scan(name):
                kept = {k: v for k, v in record.items() if k not in CHOSEN_BY_THE_SERVER}
                assert (name, record["id"]) not in found
                found[name, record["id"]] = orjson.dumps(kept, option=orjson.OPT_SORT_KEYS).decode()
        destination.close()
    return found


@pytest.mark.law
def test_killed_three_times_is_never_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Same final records, none doubled, whatever the moments; the seed is printed on failure."""
    monkeypatch.delenv("DENTLIB_RUN_DIR", raising=False)
    export = tmp_path / "export"
    samples.write_samples("dent-o-soft", export, 300, 5)
    monkeypatch.setenv("DENTLIB_HOME", str(tmp_path / "quiet"))
    homes = {"quiet": ready(export)}
    shutil.copytree(tmp_path / "quiet", tmp_path / "killed")
    monkeypatch.setenv("DENTLIB_HOME", str(tmp_path / "killed"))
    homes["killed"] = Engagement.open("kill")
    monkeypatch.setenv("DENTLIB_HOME", str(tmp_path / "quiet"))
    started = time.monotonic()
    quiet = run_command()
    assert quiet.wait() == 0, quiet.communicate()[1]
    whole_s = time.monotonic() - started
    monkeypatch.setenv("DENTLIB_HOME", str(tmp_path / "killed"))
    seed = random.SystemRandom().randrange(10**6)
    chance, kills = random.Random(seed), 0
    while kills < 3:
        process = run_command()
        time.sleep(chance.uniform(0.3, 0.9) * whole_s)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    last = run_command()
    out, err = last.communicate()
    assert last.returncode == 0, (seed, out, err)
    assert records(homes["killed"]) == records(homes["quiet"]), f"seed {seed}"
    for engagement in homes.values():
        file = next(engagement.folder("ledgers").glob("*.sqlite"))
        with Ledger.open(file, workspace=None, engagement="kill", clock=SystemClock(), read_only=True) as ledger:
            steps, _ = outcomes.outcomes_of(ledger, next(iter(ledger.rows("SELECT max(run) FROM entry")))[0])
            assert all(s.adds_up for s in steps)


@pytest.mark.law
def test_ctrl_c_leaves_nothing_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped in the middle of a load: the CRM's automations are on again, it says so and ends with 130; then go on."""
    monkeypatch.delenv("DENTLIB_RUN_DIR", raising=False)
    monkeypatch.setenv("DENTLIB_HOME", str(tmp_path / "home"))
    samples.write_samples("dent-o-soft", tmp_path / "export", 300, 5)
    engagement = ready(tmp_path / "export")
    ledger = next(engagement.folder("ledgers").glob("*.sqlite"))

    def switched(state: str) -> int:
        sql = "SELECT count(*) FROM entry WHERE kind = 'switch' AND run LIKE 'run-%' AND body ->> 'state' = ?"
        with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as db:
            return int(db.execute(sql, (state,)).fetchone()[0])

    process = run_command()
    while not switched("off") and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130, said
    assert b"the same command goes on" in said
    assert switched("on") == switched("off") > 0
    again = run_command()
    assert again.wait() == 0, again.communicate()[1]
