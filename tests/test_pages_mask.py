"""No patient is on a page, in a CSV, in JSON or in an executed notebook, except in the practice's own copy."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from dentlib import samples, stages
from dentlib.engagement import Engagement
from dentlib.notebook.runner import run_notebook

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
IDENTIFYING = ("EMail", "HmPhone", "WirelessPhone", "WkPhone", "Birthdate", "SSN", "Addr1", "MemberId", "ChartNo")
OWN_COPY = "practice-copy"


def _patients(export: Path) -> list[dict[str, str]]:
    """Read the sample's patients by themselves, not through the library."""
    path = next(p for p in export.rglob("*.csv") if p.stem.lower() == "patients")
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("cp1252")
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))


def _telling(patients: list[dict[str, str]]) -> set[str]:
    """Return what tells who a patient is: addresses, numbers, dates, and names in full, in either order."""
    found = {row.get(column, "").strip() for row in patients for column in IDENTIFYING}
    for row in patients:
        first, last = row["FName"].strip(), row["LName"].strip()
        if first and last:
            found |= {f"{first} {last}", f"{last}, {first}"}
        digits = [re.sub(r"\D", "", row.get(c, "")) for c in ("HmPhone", "WirelessPhone", "WkPhone")]
        found |= {d[-10:] for d in digits if len(d) >= 10}
    return {value for value in found if len(value) >= 6}


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, set[str]]]:
    """A small engagement that went to its sample by notebook, and through the run; and what may not be seen of it."""
    export = tmp_path_factory.mktemp("export") / "one"
    samples.write_samples("dent-o-soft", export, 40, 11)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DENTLIB_HOME", str(tmp_path_factory.mktemp("home")))
        patch.delenv("DENTLIB_RUN_DIR", raising=False)
        stages.new("masked", source="dent-o-soft", destination="twenty", export=export, settings=SETTINGS)
        stages.audit("masked")
        stages.review("masked")
        stages.approve("masked", "map", by="A. Analyst")
        root = Engagement.open("masked").root
        run_notebook("03_sample_diff", root / "runs" / "03.ipynb", {"engagement": "masked", "reveal": True})
        stages.approve("masked", "sample", by="A. Analyst")
        stages.run("masked")
        yield root, _telling(_patients(export))


def _shown(root: Path) -> dict[str, str]:
    files = [p for folder in ("reports", "runs") for p in (root / folder).rglob("*") if p.is_file()]
    return {str(p.relative_to(root)): p.read_text(encoding="utf-8") for p in files}


def test_nothing_that_is_shown_tells_who_a_patient_is(walked: tuple[Path, set[str]]) -> None:
    """Pages, CSV files, JSON, logs and the executed notebook; the values themselves stay out of the message."""
    root, telling = walked
    shown = {name: text for name, text in _shown(root).items() if OWN_COPY not in name}
    assert {"reports/sample.html", "reports/sample-diff.csv", "reports/run.html", "runs/03.ipynb"} <= set(shown)
    assert {name: n for name, text in shown.items() if (n := sum(value in text for value in telling))} == {}


def test_the_practices_own_copy_shows_them(walked: tuple[Path, set[str]]) -> None:
    """So the search above finds what it looks for."""
    root, telling = walked
    own = "".join(text for name, text in _shown(root).items() if OWN_COPY in name)
    assert sum(value in own for value in telling) > 20
