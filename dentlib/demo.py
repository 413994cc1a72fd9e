"""`make demo`: a sample practice moves into the built-in sandbox, by the same stages that a consultant walks.

A second call adopts what is there: the stages run again, and nothing is written twice.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dentlib import samples, stages
from dentlib.engagement import Engagement
from dentlib.model import Progress

NAME = "demo"
SETTINGS = {
    "client": "Bright Smile Dental (sample)",
    "time_zone": "America/Los_Angeles",
    "currency": "USD",
    "phone_country": "US",
    "languages": ["en"],
    "fallback_owner": "admin@brightsmile.example",
    "destination.sandbox_limits": "off",
    "past_before": samples.REFERENCE_DATE.isoformat(),  # its today: what lies after is still to come
}


def open_engagement(*, patients: int, seed: int, progress: Progress) -> None:
    """Write the sample export and take it in, unless the demo's engagement is there already. Idempotent."""
    if (Engagement.path_of(NAME) / "engagement.yaml").is_file():
        return
    with tempfile.TemporaryDirectory(prefix="dentlib-demo-") as folder:
        export = Path(folder) / "export"
        samples.write_samples("dent-o-soft", export, patients=patients, seed=seed)
        stages.new(
            NAME, source="dent-o-soft", destination="twenty", export=export, settings=SETTINGS, progress=progress
        )


def walk(stage: Callable[[str, dict[str, object]], dict[str, Any]]) -> dict[str, Any]:
    """Walk the line; `stage(name, parameters)` runs one notebook stage. Return what the run's `result.json` says.

    Approvals are given in the name of "demo": what a person does in an engagement, nobody has to do here.
    """
    stage("audit", {})
    stage("review", {})
    stages.approve(NAME, "map", by="demo")
    stage("sample", {})
    stages.approve(NAME, "sample", by="demo")
    return stage("run", {})
