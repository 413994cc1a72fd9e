"""One writer at a time, on an engagement and on a workspace; a ledger that is not the one that was written is named.

Everything through the command line, as a person meets it.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import orjson
import pytest

from dentlib import samples, stages
from dentlib.engagement import Engagement
from dentlib.sandbox.twenty.server import TwentySandbox

pytestmark = pytest.mark.law

SETTINGS = {
    "client": "Bright Smile",
    "time_zone": "America/Los_Angeles",
    "currency": "USD",
    "phone_country": "US",
    "languages": ["en"],
    "fallback_owner": "admin@brightsmile.example",
    "sample_rows": 20,
    "destination.calls_per_minute": 6000,
    "destination.api_key": "env:LAWS_KEY",
}


def start(*words: str) -> subprocess.Popen[str]:
    """Start the command line as a person would."""
    command = [sys.executable, "-m", "dentlib", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def said(*words: str) -> tuple[int, str]:
    """Run a command to its end; return its exit code and all that it said, on one line."""
    out, err = (process := start(*words)).communicate()
    return process.returncode, " ".join(f"{out}{err}".split())


@pytest.fixture(scope="module")
def practice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engagement]:
    """An engagement with an approved sample on a workspace that others could write to, and a second engagement."""
    folder = tmp_path_factory.mktemp("one-at-a-time")
    samples.write_samples("dent-o-soft", folder / "export", 60, 11)
    with pytest.MonkeyPatch.context() as patch, TwentySandbox(folder / "crm.sqlite", limits="off") as crm:
        patch.setenv("DENTLIB_HOME", str(folder / "home"))
        patch.delenv("DENTLIB_RUN_DIR", raising=False)
        patch.setenv("LAWS_KEY", crm.api_key)
        for name in ("one", "two"):
            settings = {**SETTINGS, "destination.url": crm.url}
            stages.new(name, source="dent-o-soft", destination="twenty", export=folder / "export", settings=settings)
            stages.review(name)
            stages.approve(name, "map", by="A. Analyst")
        stages.sample("one")
        stages.approve("one", "sample", by="A. Analyst", backup="B. Backup, today")
        yield Engagement.open("one")


def ledger_of(engagement: Engagement) -> Path:
    """Return its only ledger."""
    (file,) = engagement.folder("ledgers").glob("*.sqlite")
    return file


def entries(file: Path) -> int:
    """Count the entries of a ledger."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
        return int(db.execute("SELECT count(*) FROM entry").fetchone()[0])


def writer_of(engagement: Engagement) -> int:
    """Return the process that holds an engagement's lock: a command's kernel works for it."""
    (lock,) = engagement.root.glob("*.lock")
    return int(orjson.loads(lock.read_bytes())["pid"])


@pytest.fixture
def halted(practice: Engagement) -> Iterator[int]:
    """A run that was halted in the middle of its writing; gives the process that wrote."""
    file = ledger_of(practice)
    before, process = entries(file), start("run", "one")
    while entries(file) <= before + 3 and process.poll() is None:
        time.sleep(0.01)
    assert process.poll() is None, process.communicate()
    writer = writer_of(practice)
    os.kill(writer, signal.SIGSTOP)
    yield writer
    for pid in (process.pid, writer):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.communicate()


def test_a_second_writer_is_refused_and_a_stale_lock_is_none(practice: Engagement, halted: int) -> None:
    """The same engagement, another one on the same workspace; once the writer was killed nothing is in the way."""
    code, words = said("run", "one")
    assert code == 2, words
    assert f"process {halted}" in words
    code, words = said("sample", "two")
    assert code == 2, words
    assert f"process {halted}" in words
    assert "run of one" in words
    os.kill(halted, signal.SIGKILL)
    locks = [*practice.root.glob("*.lock"), *(practice.root.parent / ".locks").glob("*.lock")]
    assert any(str(halted) in lock.read_text() for lock in locks), "the dead writer's note is still there"
    code, words = said("run", "one")
    assert code == 0, words
    code, words = said("verify-log", "one")
    assert code == 0, words


def edited(file: Path) -> None:
    """Change one entry, past the triggers that forbid it."""
    with closing(sqlite3.connect(file)) as db:
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f'DROP TRIGGER "{name}"')
        assert db.execute("UPDATE entry SET run = 'another' WHERE seq = 5").rowcount == 1
        db.commit()


def truncated(file: Path) -> None:
    """Cut the last entries off, so that the chain of the rest is whole."""
    with closing(sqlite3.connect(file)) as db:
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f'DROP TRIGGER "{name}"')
        db.execute("DELETE FROM entry WHERE seq > (SELECT max(seq) - 3 FROM entry)")
        db.commit()


def older(file: Path) -> None:
    """Put an older copy in its place, as a restored backup would."""
    copy = next(file.parent.glob(f"{file.name}.after-schema.copy"))
    for suffix in ("-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)
    shutil.copy(copy, file)


@pytest.mark.parametrize(("harm", "word"), [(edited, "entry 5"), (truncated, "cut off"), (older, "older copy")])
def test_a_ledger_that_is_not_the_one_that_was_written(
    practice: Engagement, harm: Callable[[Path], None], word: str
) -> None:
    """Nothing is written with it, and it is named, with what is wrong."""
    file = ledger_of(practice)
    kept = {path: path.read_bytes() for path in file.parent.iterdir() if path.is_file()}
    try:
        harm(file)
        for command in (("run", "one"), ("verify-log", "one")):
            code, words = said(*command)
            assert code == 2, words
            assert file.name[:20] in words
            assert word in words
    finally:
        for path in [p for p in file.parent.iterdir() if p.is_file()]:
            path.unlink()
        for path, content in kept.items():
            path.write_bytes(content)
    assert said("verify-log", "one")[0] == 0
