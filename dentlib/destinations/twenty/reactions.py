"""What reacts to a load and can't be switched off by an API key, to be told before. Reads only."""

from __future__ import annotations

from collections.abc import Iterator

import httpx

from dentlib.destinations.twenty.client import Client, Operation
from dentlib.destinations.twenty.describe import Catalog
from dentlib.destinations.twenty.quiet import ON_RECORDS, TRIGGER
from dentlib.destinations.twenty.records import Records
from dentlib.errors import AccessDenied, Refused
from dentlib.model import JSON, Reaction

_VERSION = "workflowVersion"
_MATCHED = {"messageParticipant": "messages", "calendarEventParticipant": "calendar events"}
_STARTED_BY_HAND = ("MANUAL", "WEBHOOK", ON_RECORDS)


class Reactions:
    """The reactions of one workspace."""

    def __init__(self, client: Client, catalog: Catalog, records: Records) -> None:
        self._client = client
        self._catalog = catalog
        self._records = records

    def all(self) -> list[Reaction]:
        """List webhooks (their host only), the timeline, the matching of participants, and active workflows."""
        return [*self._webhooks(), *self._timeline(), *self._matching(), *self._workflows()]

    def invitations(self) -> list[str] | None:
        """Return the addresses invited as members that haven't accepted; None where this key may not see them."""
        operation = Operation("findWorkspaceInvitations", "", "{email}")
        try:
            found = self._client.metadata(operation, "read the invitations")
        except (AccessDenied, Refused):
            return None
        return sorted(i["email"] for i in found)

    def _webhooks(self) -> Iterator[Reaction]:
        what = "read the webhooks"
        try:
            try:
                hooks = self._client.metadata(Operation("webhooks", "", "{targetUrl operations}"), what)
            except Refused:
                hooks = self._client.rest("/rest/metadata/webhooks", what)
        except AccessDenied:
            yield Reaction("webhook", "webhooks unknown", "this key's role may not see the workspace's webhooks")
            return
        for hook in hooks:
            # Only the host: path and query of a webhook often hold a secret.
            host = httpx.URL(hook["targetUrl"]).host or "an address without a host"
            yield Reaction("webhook", host, f"is called for {', '.join(hook['operations']) or 'nothing'}")

    def _timeline(self) -> Iterator[Reaction]:
        if "timelineActivity" in self._catalog.names():
            yield Reaction(
                "timeline",
                "one entry a record",
                "dated today, written seconds later; Twenty's switch for it is not in its API",
            )

    def _matching(self) -> Iterator[Reaction]:
        for name, what in _MATCHED.items():
            if name in self._catalog.names():
                held = self._records.count_where(self._catalog.shape(name), {})
                if held:
                    yield Reaction(
                        "matching",
                        what,
                        f"new people are tied by e-mail address to the {held:,} participants of {what}",
                    )

    def _workflows(self) -> Iterator[Reaction]:
        """Active ones that a trigger row doesn't stand for: by the clock, or on records without such a row."""
        if _VERSION not in self._catalog.names():
            return
        where: JSON = {"status": {"eq": "ACTIVE"}}
        active = list(
            self._records.pages(self._catalog.shape(_VERSION), where, "{id workflowId trigger workflow{name}}")
        )
        if not any((v.get("trigger") or {}).get("type") for v in active):
            return
        switchable = set()
        if TRIGGER in self._catalog.names():
            rows = self._records.pages(self._catalog.shape(TRIGGER), {}, "{id type workflowId}")
            switchable = {r["workflowId"] for r in rows if r["type"] == ON_RECORDS}
        for version in active:
            kind = str((version.get("trigger") or {}).get("type") or "")
            name = str((version.get("workflow") or {}).get("name") or "a workflow")
            if kind == ON_RECORDS and version["workflowId"] not in switchable:
                yield Reaction(
                    "workflow", name, "runs on changes of records and has no trigger that could be switched off"
                )
            elif kind not in _STARTED_BY_HAND:
                yield Reaction("workflow", name, f"runs by itself ({kind.lower()}) and may meet records of the load")
