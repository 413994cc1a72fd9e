"""What Twenty itself writes about the records we make: timeline entries and workflow runs. Found and destroyed here.

Its worker writes them seconds after the record. Those of tasks and custom objects survive the record with nothing that
ties them to it, so they go first, once the worker has caught up.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

import orjson

from dentlib.clock import Clock, stamp
from dentlib.destinations.twenty.describe import Catalog, Shape, columns_to
from dentlib.destinations.twenty.records import Records
from dentlib.model import JSON

_TIMELINE = "timelineActivity"
_RUN = "workflowRun"
_POLL_S = 2.0
_STEADY_POLLS = 2
_LONGEST_WAIT_S = 60.0
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_ROWS = 200


class Effects:
    """The side effects of one workspace. `touched` tells it that records were written since it last waited."""

    def __init__(self, clock: Clock, catalog: Catalog, records: Records) -> None:
        self._clock = clock
        self._catalog = catalog
        self._records = records
        self._settled = False
        self._runs_of: dict[str, set[str]] = {}

    def touched(self) -> None:
        """Note that records were written: the worker may be behind again."""
        self._settled = False

    def destroy(self, object_name: str, ids: Sequence[str], since: datetime | None = None) -> int:
        """Destroy timeline entries and automatic workflow runs about these records; return how many.

        Waits first until the worker has caught up, at most a minute. Idempotent. Runs started by hand stay. `since`:
        for records that aren't ours; only what was written about changes of them from then on that no member made.
        """
        timeline = self._catalog.shape(_TIMELINE)
        columns = [c for f in timeline.fields for c in columns_to(f, object_name)]
        if not ids or not columns:
            return 0
        column = columns[0]
        self._settle()
        gone = 0
        for start in range(0, len(ids), _ROWS):
            part = list(ids[start : start + _ROWS])
            where: JSON = {"or": [{column: {"in": part}}, {"linkedRecordId": {"in": part}}]}
            if since is not None:
                where = {"and": [{column: {"in": part}}, *_of_programs(timeline, object_name, since)]}
            gone += len(self._records.destroy_where(timeline, where))
            mentioned = part if since is None else []
            runs = sorted({run for record in mentioned for run in self._runs_of.pop(record, ())})
            if runs:
                gone += len(self._records.destroy_where(self._catalog.shape(_RUN), {"id": {"in": runs}}))
        return gone

    def _settle(self) -> None:
        """Wait until the number of timeline entries and runs stays the same for some seconds."""
        if self._settled:
            return
        deadline_s = self._clock.monotonic() + _LONGEST_WAIT_S
        before, steady = self._counts(), 0
        while steady < _STEADY_POLLS and self._clock.monotonic() < deadline_s:
            self._clock.sleep(_POLL_S)
            now = self._counts()
            before, steady = now, steady + 1 if now == before else 0
        self._runs_of = self._automatic_runs() if before[1] else {}
        self._settled = True

    def _counts(self) -> tuple[int, int]:
        names = [n for n in (_TIMELINE, _RUN) if n in self._catalog.names()]
        counts = [self._records.count_where(self._catalog.shape(n), {}) for n in names]
        return counts[0], counts[1] if len(counts) > 1 else 0

    def _automatic_runs(self) -> dict[str, set[str]]:
        """Map each id that an automatic run's state mentions to those runs."""
        found: dict[str, set[str]] = {}
        for run in self._records.pages(self._catalog.shape(_RUN), {}, "{id state createdBy{source}}"):
            if (run["createdBy"] or {}).get("source") == "WORKFLOW":
                for mentioned in set(_UUID.findall(orjson.dumps(run["state"]).decode())):
                    found.setdefault(mentioned, set()).add(run["id"])
        return found


def _of_programs(timeline: Shape, object_name: str, since: datetime) -> list[JSON]:
    """Return the filters for entries about changes, from a moment on, that no member of the workspace made."""
    filters: list[JSON] = [{"name": {"eq": f"{object_name}.updated"}}, {"happensAt": {"gte": stamp(since)}}]
    if timeline.has_column("workspaceMemberId"):
        filters.append({"workspaceMemberId": {"is": "NULL"}})
    return filters
