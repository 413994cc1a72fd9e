"""The other way in: files for the CRM's own importer, imported as its front end does, counted and completed after."""

from __future__ import annotations

import csv
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from dentlib import errands, samples, stages
from dentlib.clock import SystemClock
from dentlib.destinations import open_destination
from dentlib.destinations.twenty.spreadsheet import importer
from dentlib.engagement import Engagement
from dentlib.errors import GateClosed
from dentlib.model import DestinationObject, DestinationSchema
from dentlib.sandbox.twenty.server import TwentySandbox

SETTINGS = {
    "client": "Bright Smile",
    "time_zone": "America/Los_Angeles",
    "currency": "USD",
    "phone_country": "US",
    "languages": ["en"],
    "fallback_owner": "admin@brightsmile.example",
    "past_before": samples.REFERENCE_DATE.isoformat(),
    "sample_rows": 20,
}


class Importer:
    """The importer of the front end: titles to fields, cells to values, batches of 200 with upsert, links by id."""

    def __init__(self, sandbox: TwentySandbox, schema: DestinationSchema) -> None:
        self._schema = schema
        self._http = httpx.Client(base_url=sandbox.url, headers={"Authorization": f"Bearer {sandbox.api_key}"})

    def take(self, object_name: str, file: Path) -> int:
        """Import one file; fails as a whole where a batch is refused."""
        described = self._schema.objects[object_name]
        with file.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        records = [self._record(described, row) for row in rows]
        type_name = object_name[:1].upper() + object_name[1:]
        plural = described.plural[:1].upper() + described.plural[1:]
        query = f"mutation($d:[{type_name}CreateInput!]!){{create{plural}(data:$d,upsert:true){{id}}}}"
        for start in range(0, len(records), 200):
            body = {"query": query, "variables": {"d": records[start : start + 200]}}
            answer = self._http.post(
                "/graphql", content=orjson.dumps(body), headers={"Content-Type": "application/json"}
            )
            assert "errors" not in answer.json(), answer.json()["errors"][0]["message"]
        return len(records)

    def _record(self, described: DestinationObject, row: dict[str, str]) -> dict[str, Any]:
        record: dict[str, Any] = {}
        labels = {f.label: f for f in described.fields.values() if f.active}
        for title, cell in row.items():
            label, _, part_label = title.partition(" / ")
            field = labels[label]
            if not cell:
                continue
            if field.columns:
                record[field.name] = {"connect": {"where": {"id": cell}}}
            elif part_label:
                parts = {v: k for k, v in importer().parts[field.type].items()}
                part = parts[part_label]
                record.setdefault(field.name, {})[part] = self._part(part, cell)
            else:
                record[field.name] = self._plain(field.type, cell)
        return record

    @staticmethod
    def _part(part: str, cell: str) -> Any:
        if part == "amountMicros":
            return int(Decimal(cell) * 1_000_000)
        return orjson.loads(cell) if part in importer().json_cells else cell

    @staticmethod
    def _plain(kind: str, cell: str) -> Any:
        if kind == "BOOLEAN":
            return cell == "true"
        if kind == "NUMBER":
            return float(cell)
        return orjson.loads(cell) if kind in ("MULTI_SELECT", "ARRAY", "RAW_JSON") else cell


def new_engagement(export: Path, settings: dict[str, Any]) -> None:
    """Open the engagement `pack` on an export."""
    stages.new("pack", source="dent-o-soft", destination="twenty", export=export, settings=SETTINGS | settings)


def test_imported_files_are_counted_completed_and_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """package → the importer → reconcile --imported agrees on what went by file → run brings the rest → rollback."""
    monkeypatch.setenv("DENTLIB_HOME", str(tmp_path / "home"))
    samples.write_samples("dent-o-soft", tmp_path / "export", 40, 11)
    with TwentySandbox(limits="off") as sandbox:
        monkeypatch.setitem(os.environ, "PACKAGE_KEY", sandbox.api_key)
        to = {"destination.url": sandbox.url, "destination.api_key": "env:PACKAGE_KEY"}
        to["destination.calls_per_minute"] = 0  # type: ignore[assignment]
        stages.new(
            "pack", source="dent-o-soft", destination="twenty", export=tmp_path / "export", settings=SETTINGS | to
        )
        stages.review("pack")
        stages.approve("pack", "map", by="A. Analyst")
        with pytest.raises(GateClosed, match="not in the CRM yet"):
            errands.package("pack")
        result = errands.package("pack", set_up=True)
        facts = result.facts
        assert {f.object: f.opens.split(" →")[0] for f in facts.files}["company"] == "Companies"
        assert [f.number for f in facts.files] == list(range(1, len(facts.files) + 1))
        assert {why for *_, why in facts.steps_left} >= {"files are not taken by the importer"}
        assert all((tmp_path / "home" / "pack" / "package" / f.file).stat().st_mode & 0o077 == 0 for f in facts.files)

        destination = open_destination(
            "twenty", sandbox.url, sandbox.api_key, clock=SystemClock(), calls_per_minute=None
        )
        front_end = Importer(sandbox, destination.describe())
        folder = Engagement.open("pack").root / "package"
        *before, last = facts.files
        for file in before:
            assert front_end.take(file.object, folder / file.file) == file.rows
        early = stages.reconcile("pack", imported=True)
        assert early.exit_code == 1  # a file that was forgotten is said, with its rows
        assert {s.step: s.failed for s in early.facts.steps if s.failed} == {last.step: last.rows}
        assert {r.code for r in early.facts.reasons if r.outcome == "failed"} == {"not_imported"}

        assert front_end.take(last.object, folder / last.file) == last.rows
        judged = stages.reconcile("pack", imported=True).facts
        assert {s.step for s in judged.steps} == {f.step for f in facts.files}
        assert all(s.adds_up and not s.failed for s in judged.steps)
        assert sum(s.created for s in judged.steps) == sum(f.rows for f in facts.files)
        # what can't go by file is still to come, and said; nothing else is wrong
        stale = [c for c in judged.checks if not c.success]
        assert [c.rule for c in stale] == ["nothing_stale"]
        assert stale[0].numerator == sum(rows for _, _, rows, _ in facts.fields_left)

        stages.sample("pack")
        stages.approve("pack", "sample", by="A. Analyst")
        ran = stages.run("pack")
        assert ran.exit_code == 0, [c for c in ran.facts.checks if not c.success]
        created = {s.step: s.created for s in ran.facts.steps}
        assert all(created[f.step] == 0 for f in facts.files), created
        back = stages.rollback("pack", yes=True, workspace=destination.workspace().name)
        assert back.facts.differences == ()
        destination.close()
