"""Prepare 50,000 patients with 4 appointments each, against a plain DuckDB transform of the same files to parquet."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import duckdb
import people

from dentlib import mapping, samples
from dentlib.clock import SystemClock
from dentlib.extraction import take_in
from dentlib.model import Member, Silence
from dentlib.pairs import load_pair
from dentlib.vocabulary import load_vocabulary
from dentlib.workdb import open_work_db

PATIENTS = 50_000
ROUNDS = 3

PLAIN = """
COPY (SELECT PatNum, trim(LName) AS last_name, trim(FName) AS first_name, lower(trim(EMail)) AS email,
        try_strptime(Birthdate, '%Y-%m-%d')::DATE AS birth_date, Gender, trim(Addr1) AS street, trim(City) AS city,
        State, Zip,
        regexp_replace(WirelessPhone, '[^0-9]', '', 'g') AS mobile, regexp_replace(HmPhone, '[^0-9]', '', 'g') AS home,
        CarrierNum, GroupNo, MemberId, PatStatus, try_strptime(DateCreated, '%Y-%m-%d %H:%M:%S') AS created
      FROM read_csv('{folder}/Patients.csv', all_varchar = true, header = true))
  TO '{out}/patients.parquet' (FORMAT parquet);
COPY (SELECT a.AptNum, a.PatientID, try_strptime(a.AptDate || ' ' || a.AptTime, '%m/%d/%Y %I:%M %p') AS starts,
        try_strptime(a.AptDate || ' ' || a.AptTime, '%m/%d/%Y %I:%M %p')
          + to_minutes(try_cast(a.LengthMin AS INTEGER)) AS ends,
        a.AptType, a.AptStatus, trim(a.AptNote) AS note, a.ProvID, p.PatNum IS NOT NULL AS has_patient
      FROM read_csv('{folder}/Appointments.csv', all_varchar = true, header = true, strict_mode = false,
        null_padding = true, parallel = false) a
      LEFT JOIN read_csv('{folder}/Patients.csv', all_varchar = true, header = true) p ON p.PatNum = a.PatientID)
  TO '{out}/appointments.parquet' (FORMAT parquet);
"""


def plain(folder: Path, out: Path) -> float:
    """Transform with DuckDB alone, as anyone would write it; return seconds."""
    con = duckdb.connect(config={"threads": 2})
    started = time.perf_counter()
    con.execute(PLAIN.format(folder=folder, out=out))
    elapsed_s = time.perf_counter() - started
    con.close()
    return elapsed_s


def ours(work: Path, folder: Path, chosen: mapping.Map) -> float:
    """Prepare from the raw tables; return seconds."""
    con = open_work_db(work)
    context = mapping.PrepareContext(
        engagement="bench",
        run_date=date(2026, 1, 5),
        time_zone="America/Los_Angeles",
        currency="USD",
        phone_country="US",
        members=(Member("20202020-0687-4c41-b707-ed1bfca972a7", "admin@brightsmile.example", "Demo Admin"),),
        fallback_owner_email="admin@brightsmile.example",
        documents_dir=folder,
        max_upload_mb=10.0,
    )
    started = time.perf_counter()
    mapping.prepare(con, chosen, context)
    elapsed_s = time.perf_counter() - started
    con.close()
    return elapsed_s


def measure(root: Path) -> dict[str, float]:
    """Do it all in this process, so that its peak memory is the stage's own; the sample is written beforehand."""
    folder, work, out = root / "export", root / "work.duckdb", root / "out"
    out.mkdir()
    kept = root / "kept"
    take_in(folder, kept, work, round="1", source_label="dent-o-soft", clock=SystemClock(), progress=Silence())
    con = open_work_db(work)
    vocabulary, pair = load_vocabulary("dent-o-soft"), load_pair("dent-o-soft", "twenty")
    mapping.write_proposals(mapping.propose(con, vocabulary, pair), root)
    con.close()
    chosen = mapping.load_map(pair, root / "map.yaml")
    ratios, our_times, plain_times = [], [], []
    for _ in range(ROUNDS):
        plain_times.append(plain(kept, out))
        our_times.append(ours(work, kept, chosen))
        ratios.append(our_times[-1] / plain_times[-1])
    return {
        "plain_transform_s": sorted(plain_times)[ROUNDS // 2],
        "prepare_s": sorted(our_times)[ROUNDS // 2],
        "times_the_plain_transform": sorted(ratios)[ROUNDS // 2],
        "peak_gb": people.peak_gb(),
    }


def run() -> dict[str, float]:
    """Write the export, then measure in a fresh process."""
    with tempfile.TemporaryDirectory(prefix="dentlib-bench-") as folder:
        root = Path(folder)
        samples.write_samples("dent-o-soft", root / "export", PATIENTS, 7, only=["Patients", "Appointments"])
        told = subprocess.run(
            [sys.executable, __file__, str(root)],
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).parent,
        )
        if told.returncode:
            raise RuntimeError(told.stderr[-2000:])
        return {k: float(v) for k, v in (line.split("=") for line in told.stdout.split())}


if __name__ == "__main__":
    for name, value in measure(Path(sys.argv[1])).items():
        sys.stdout.write(f"{name}={value}\n")
