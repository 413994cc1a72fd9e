"""Find and plan a 1 % delta of a million patients: records' hashes worked out anew, merged with the ledger's."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import people

from dentlib import mapping, samples
from dentlib.clock import ManualClock, SystemClock
from dentlib.extraction import take_in
from dentlib.loading import Ledger, plan_delta
from dentlib.model import LoadStep, Member, Silence, Workspace
from dentlib.pairs import load_pair
from dentlib.vocabulary import load_vocabulary
from dentlib.workdb import open_work_db

RECORDS = 1_000_000
PATIENTS = 4_000
STEP = LoadStep("patients", "person", "patients", "patient:")
WORKSPACE = Workspace("bench", "Bench", "http://127.0.0.1:1")
BATCH_ROWS = 200


def build(root: Path, records: int) -> None:
    """Prepare a real sample, repeat its rows under new keys, and write the ledger of a run that loaded all of it.

    Of every thousand rows 8 hold something else than was written, 1 was never written, and 1 is gone from the export.
    """
    folder, work = root / "export", root / "work.duckdb"
    samples.write_samples("dent-o-soft", folder, PATIENTS, 7, only=["Patients"])
    kept = root / "kept"
    take_in(folder, kept, work, round="1", source_label="dent-o-soft", clock=SystemClock(), progress=Silence())
    con = open_work_db(work)
    pair = load_pair("dent-o-soft", "twenty")
    mapping.write_proposals(mapping.propose(con, load_vocabulary("dent-o-soft"), pair), root)
    admin = Member("20202020-0687-4c41-b707-ed1bfca972a7", "admin@brightsmile.example", "Demo Admin")
    context = mapping.PrepareContext(
        engagement="bench",
        run_date=date(2026, 1, 5),
        time_zone="America/Los_Angeles",
        currency="USD",
        phone_country="US",
        members=(admin,),
        fallback_owner_email=admin.email,
        documents_dir=kept,
        max_upload_mb=10.0,
    )
    mapping.prepare(con, mapping.load_map(pair, root / "map.yaml"), context)
    con.execute("CREATE TABLE one AS SELECT * FROM prepared_rows.patients")
    (size,) = con.execute("SELECT count(*) FROM one").fetchone() or (0,)
    con.execute("DELETE FROM prepared_rows.patients")
    con.execute(
        "INSERT INTO prepared_rows.patients SELECT one.* REPLACE (n * ? + one.ordinal AS ordinal, "
        "one.source_key || '-' || n AS source_key, uuid() AS record_id) FROM range(?) AS r(n), one LIMIT ?",
        [size, records // size + 1, records],
    )
    with Ledger.open(root / "ledger.sqlite", workspace=WORKSPACE, engagement="bench", clock=ManualClock()) as ledger:
        columns = "source_key, record_id, row_hash, payload"
        cursor = con.cursor().execute(f"SELECT {columns} FROM prepared.patients ORDER BY ordinal")
        number = 0
        while chunk := cursor.fetchmany(BATCH_ROWS * 100):
            with ledger.transaction():
                for start in range(0, len(chunk), BATCH_ROWS):
                    rows, records_sent = [], []
                    for key, rid, digest, payload in chunk[start : start + BATCH_ROWS]:
                        number += 1
                        turn = number % 1000
                        if turn != 9:
                            rows.append((key, rid, "other" if turn < 8 else digest))
                            records_sent.append(payload)
                        if turn == 8:
                            rows.append((f"{key}-gone", rid, digest))
                            records_sent.append(payload)
                    call = ledger.begin_call(
                        run="run-1",
                        step=STEP.name,
                        object_name=STEP.object_name,
                        op="create",
                        tag="bench",
                        rows=rows,
                        block=f'{{"new":[{",".join(records_sent)}]}}'.encode(),
                    )
                    ledger.end_call(call, run="run-1", result="written")
    con.close()


def measure(root: Path) -> dict[str, float]:
    """Plan in this process, so that its peak memory is the plan's own."""
    con = open_work_db(root / "work.duckdb")
    started = time.perf_counter()
    with Ledger.open(
        root / "ledger.sqlite", workspace=WORKSPACE, engagement="bench", clock=ManualClock(), read_only=True
    ) as ledger:
        opened = time.perf_counter()
        plan = plan_delta(ledger, con, [STEP])
        planned = time.perf_counter()
    (step,) = plan.steps
    assert step.created + step.changed + step.unchanged == RECORDS
    assert step.changed == RECORDS // 1000 * 8
    assert step.created == step.deleted == RECORDS // 1000
    con.close()
    return {
        "plan_s": planned - opened,
        "ledger_checked_s": opened - started,
        "found_and_planned_s": planned - started,
        "peak_gb": people.peak_gb(),
    }


def run() -> dict[str, float]:
    """Build the store and the ledger, then measure in a fresh process."""
    with tempfile.TemporaryDirectory(prefix="dentlib-bench-") as folder:
        root = Path(folder)
        _in_process("build", root)
        told = _in_process("measure", root)
        return {k: float(v) for k, v in (line.split("=") for line in told.split())}


def _in_process(what: str, root: Path) -> str:
    command = [sys.executable, __file__, what, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return done.stdout


if __name__ == "__main__":
    if sys.argv[1] == "build":
        build(Path(sys.argv[2]), RECORDS)
    else:
        for name, value in measure(Path(sys.argv[2])).items():
            sys.stdout.write(f"{name}={value}\n")
