"""Tests of the ledger: append-only, chained, one writer, one workspace; damage is named."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from loading_fakes import ENGAGEMENT, WORKSPACE

from dentlib.clock import ManualClock
from dentlib.errors import LedgerDamaged, Locked, UsageError
from dentlib.loading import Ledger, verify_log
from dentlib.model import Workspace


def opened(path: Path, **options: Any) -> Ledger:
    return Ledger.open(path, **{"workspace": WORKSPACE, "engagement": ENGAGEMENT, "clock": ManualClock(), **options})


@pytest.fixture
def ledger_path(world: Any) -> Path:
    world.load()
    world.ledger.close()
    return world.folder / "ledger.sqlite"


def damage(path: Path, *statements: str) -> None:
    db = sqlite3.connect(path)
    db.execute("DROP TRIGGER entry_is_never_updated")
    db.execute("DROP TRIGGER entry_is_never_deleted")
    for statement in statements:
        assert db.execute(statement).rowcount > 0
    db.commit()
    db.close()


def test_rows_can_not_be_changed(ledger_path: Path) -> None:
    """The triggers refuse it before the chain has to show it."""
    db = sqlite3.connect(ledger_path)
    for statement in ("UPDATE entry SET at = ''", "DELETE FROM entry"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            db.execute(statement)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE entry SET body = json_set(body, '$.step', 'x') WHERE seq = 6", "entry 6 was edited"),
        ("UPDATE entry SET at = '2020-01-01T00:00:00.000Z' WHERE seq = 3", "entry 3 was edited"),
        ("DELETE FROM entry WHERE seq = 5", "entry 5 was edited or removed"),
        ("DELETE FROM entry WHERE seq > 8", "ends at entry 8"),
        ("UPDATE current SET record_id = 'x' WHERE step = 'carriers'", "table current"),
        ("DELETE FROM current WHERE source_key = '1'", "table current"),
    ],
)
def test_damage_is_named(ledger_path: Path, statement: str, said: str) -> None:
    """An edited, removed or cut off row, and an edited projection; reader and writer alike refuse."""
    damage(ledger_path, statement)
    for read_only in (False, True):
        with pytest.raises(LedgerDamaged, match=said):
            opened(ledger_path, read_only=read_only)


def test_an_older_copy_is_recognised(world: Any) -> None:
    """The head file beside the ledger knows better."""
    world.load("sample-1", "sample", only_sample=True)
    world.ledger.close()
    path, old = world.folder / "ledger.sqlite", world.folder / "old.sqlite"
    shutil.copy(path, old)
    world._ledger = None
    world.load()
    world.ledger.close()
    world._ledger = None
    shutil.copy(old, path)
    with pytest.raises(LedgerDamaged, match="older copy"):
        opened(path)


def test_a_missing_ledger_or_head_is_recognised(ledger_path: Path) -> None:
    """Neither file alone is enough."""
    head = ledger_path.with_name("ledger.sqlite.head")
    kept = head.read_bytes()
    head.unlink()
    with pytest.raises(LedgerDamaged, match="is missing"):
        opened(ledger_path)
    head.write_bytes(kept)
    ledger_path.unlink()
    with pytest.raises(LedgerDamaged, match="is gone"):
        opened(ledger_path)


def test_something_else_is_not_a_ledger(tmp_path: Path) -> None:
    """A file of other bytes gets one clear message."""
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(LedgerDamaged, match="not a readable ledger"):
        opened(path)


def test_it_belongs_to_one_workspace_and_engagement(ledger_path: Path) -> None:
    """A changed url or key must not write with another workspace's ledger."""
    with pytest.raises(UsageError, match="ws-1"):
        opened(ledger_path, workspace=Workspace("ws-2", "Other", "http://other"))
    with pytest.raises(UsageError, match="demo"):
        opened(ledger_path, engagement="other")


def test_one_writer_any_number_of_readers(tmp_path: Path) -> None:
    """A second writer is refused and told who holds it; a reader is not."""
    path = tmp_path / "ledger.sqlite"
    with opened(path, purpose="run") as writer:
        started = time.monotonic()
        with pytest.raises(Locked, match=r"process \d+, since .* \(run\)"):
            opened(path, wait_s=1.0)
        assert time.monotonic() - started < 1, "waiting goes through the clock"
        with opened(path, read_only=True) as reader:
            assert reader.head == writer.head
            with pytest.raises(UsageError):
                reader.append("run", {})
    opened(path).close()


def test_files_are_for_their_owner_only(ledger_path: Path) -> None:
    """Ledger, head and copies hold what was sent: mode 0600."""
    files = list(ledger_path.parent.glob("ledger.sqlite*"))
    assert {f.name for f in files} >= {"ledger.sqlite", "ledger.sqlite.head", "ledger.sqlite.after-run.copy"}
    assert {f.stat().st_mode & 0o777 for f in files} == {0o600}


def test_a_copy_aside_opens_as_a_ledger(ledger_path: Path) -> None:
    """The copy of a phase is complete, with its head."""
    with opened(ledger_path.with_name("ledger.sqlite.after-run.copy"), read_only=True) as copy:
        assert copy.live_counts()["carriers"] == 5


def test_same_input_same_chain(world: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Under an injected clock two rehearsals without files end in the same hash."""
    from loading_fakes import World, carrier, patient, prepare

    other = World(tmp_path_factory.mktemp("other"))
    heads = []
    for one in (world, other):
        prepare(one.con, {"carriers": [carrier("1")], "patients": [patient(str(n), "1") for n in range(1, 30)]})
        one.load()
        heads.append(one.ledger.head)
    assert heads[0] == heads[1]
    other.close()


def test_views_let_people_look(ledger_path: Path) -> None:
    """A SQLite shell shows intents and outcomes as tables."""
    db = sqlite3.connect(ledger_path)
    assert db.execute("SELECT count(DISTINCT source_key) FROM intent JOIN call ON call = seq WHERE step = 'carriers'")
    assert db.execute("SELECT count(*) FROM outcome").fetchone() == db.execute("SELECT count(*) FROM call").fetchone()
    assert db.execute("SELECT count(*) FROM row_outcome WHERE outcome = 'rejected'").fetchone() == (1,)


class _Interrupted:
    """A connection on which Ctrl-C arrives while a commit is being made: Python tells once it is made."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.armed = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        cursor = self._db.execute(sql, *values)
        if sql == "COMMIT" and self.armed:
            self.armed = False
            raise KeyboardInterrupt
        return cursor


def test_an_interrupt_out_of_a_commit_leaves_a_ledger_that_goes_on(world: Any) -> None:
    """What was committed counts: the next entry follows it, as when automations are put on again on the way out."""
    ledger = world.ledger
    ledger._db = _Interrupted(ledger._db)
    with pytest.raises(KeyboardInterrupt):
        ledger.append("probe", {"passed": True})
    last = ledger.last("kind = 'probe'")
    assert ledger.append("probe", {"passed": False}) == last.seq + 1
    world.reopen()
    assert world.ledger.last("kind = 'probe'").body == {"passed": False}


# ---- looking at a log from outside ---------------------------------------------------------------------------------


def test_an_intact_log_says_so(ledger_path: Path) -> None:
    """Entries, first and last, and the head as reports print it; copies of a phase can be checked as well."""
    facts = verify_log(ledger_path, clock=ManualClock())
    assert facts.intact
    assert facts.head.startswith(f"{facts.entries}:")
    assert (facts.engagement, facts.workspace) == (ENGAGEMENT, WORKSPACE.name)
    assert sum(rows for _, rows in facts.kinds) == facts.entries > 20
    assert facts.first_at <= facts.last_at
    assert verify_log(ledger_path.with_name("ledger.sqlite.after-run.copy"), clock=ManualClock()).intact


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE entry SET body = json_set(body, '$.step', 'x') WHERE seq = 6", "entry 6 was edited"),
        (
            "UPDATE entry SET block = zeroblob(10) WHERE seq = (SELECT min(seq) FROM entry WHERE block IS NOT NULL)",
            "edited",
        ),
        ("UPDATE entry SET body = 'x' WHERE seq = 1", "entry 1 was edited"),
        ("DELETE FROM entry WHERE seq > 8", "ends at entry 8"),
        ("DELETE FROM entry", "ends at entry 0"),
        ("UPDATE current SET state = 'destroyed' WHERE step = 'carriers'", "table current"),
    ],
)
def test_a_damaged_log_is_told_not_raised(ledger_path: Path, statement: str, said: str) -> None:
    """The verdict names the first bad row, and the way out."""
    damage(ledger_path, statement)
    facts = verify_log(ledger_path, clock=ManualClock())
    assert not facts.intact
    assert said in facts.verdict
    assert facts.way_out


def test_a_log_that_is_gone_cut_short_or_not_there(ledger_path: Path, tmp_path: Path) -> None:
    """Half a file, no file but its head, and nothing at all."""
    whole = ledger_path.read_bytes()
    for name in ("-wal", "-shm"):
        ledger_path.with_name(ledger_path.name + name).unlink(missing_ok=True)
    ledger_path.write_bytes(whole[: len(whole) // 2])
    assert not verify_log(ledger_path, clock=ManualClock()).intact
    ledger_path.unlink()
    assert "is gone" in verify_log(ledger_path, clock=ManualClock()).verdict
    with pytest.raises(UsageError, match="no ledger"):
        verify_log(tmp_path / "none.sqlite", clock=ManualClock())


def test_a_row_put_in_between_is_seen(ledger_path: Path) -> None:
    """A forger without the chain: numbers and hash must follow."""
    damage(
        ledger_path,
        "UPDATE entry SET seq = seq + 100000 WHERE seq > 7",
        "INSERT INTO entry SELECT 8, at, kind, run, body, block, hash FROM entry WHERE seq = 7",
        "UPDATE entry SET seq = seq - 99999 WHERE seq > 100000",
    )
    assert "entry 8 was edited" in verify_log(ledger_path, clock=ManualClock()).verdict


def test_the_lock_of_a_process_that_was_killed_is_free(tmp_path: Path) -> None:
    """Its note still names the dead process; the kernel knows better, and the next writer just starts."""
    path = tmp_path / "ledger.sqlite"
    program = (
        "import sys, os, signal\nfrom pathlib import Path\nfrom dentlib.clock import SystemClock\n"
        "from dentlib.loading import WriterLock\n"
        "WriterLock(Path(sys.argv[1]), clock=SystemClock(), purpose='run')\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    lock = path.with_name(path.name + ".lock")
    done = subprocess.run([sys.executable, "-c", program, str(lock)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert b'"purpose":"run"' in lock.read_bytes()
    opened(path).close()


def test_a_ledger_from_before_a_table_was_thought_of_can_be_read(tmp_path: Path) -> None:
    """Looking at an older ledger needs no writer first."""
    path = tmp_path / "old.sqlite"
    with Ledger.open(path, workspace=WORKSPACE, engagement="demo", clock=ManualClock()) as ledger:
        ledger.append("run", {"kind": "run", "params": {}}, run="r1")
    db = sqlite3.connect(path)
    db.execute("DROP TABLE adopted")
    db.commit()
    db.close()
    with Ledger.open(path, workspace=None, engagement="demo", clock=ManualClock(), read_only=True) as ledger:
        assert ledger.last("kind = 'run'") is not None
