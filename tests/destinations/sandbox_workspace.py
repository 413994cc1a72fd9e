"""A sandbox under test, what a map wants of it, and invented records."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import httpx

from dentlib.clock import SystemClock
from dentlib.destinations.twenty import TwentyDestination
from dentlib.model import Option, WantedField, WantedObject, WantedSchema
from dentlib.sandbox.twenty.server import TwentySandbox
from dentlib.sandbox.twenty.snapshot import Rows, dump_state

VERSIONS = ("2.21", "1.17")
CLAIM = WantedObject("insuranceClaim", "insuranceClaims", "Insurance claim", "Insurance claims", "Invented")
CLAIM_TYPES = (Option("OPEN", "Open", "blue"), Option("PAID", "Paid", "green"))
WANTED = WantedSchema(
    (CLAIM,),
    (
        WantedField("person", "sourceSystemId", "TEXT", "Source system ID", unique=True),
        WantedField("person", "dateOfBirth", "DATE", "Date of birth"),
        WantedField("person", "homeAddress", "ADDRESS", "Home address"),
        WantedField("insuranceClaim", "sourceSystemId", "TEXT", "Source system ID", unique=True),
        WantedField("insuranceClaim", "fee", "CURRENCY", "Fee"),
        WantedField("insuranceClaim", "claimStatus", "SELECT", "Status", options=CLAIM_TYPES),
        WantedField("insuranceClaim", "patient", "RELATION", "Patient", target="person", inverse_label="Claims"),
        WantedField("opportunity", "stage", "SELECT", "Stage", options=(Option("DECLINED", "Declined"),), extend=True),
    ),
)


class QuickClock(SystemClock):
    """The machine's clock, but waiting for the worker is shortened."""

    def sleep(self, seconds: float) -> None:
        super().sleep(min(seconds, 0.05))


class Workspace:
    """The server under test, and what it has stored."""

    def __init__(self, server: TwentySandbox, state: Path) -> None:
        self.server, self.state = server, state

    def ask(self, path: str, body: dict[str, Any]) -> None:
        """Call one of the sandbox's own endpoints."""
        headers = {"Authorization": f"Bearer {self.server.api_key}"}
        url = f"{self.server.url}/sandbox/{path}"
        httpx.post(url, json=body, headers=headers, trust_env=False).raise_for_status()

    def rest(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Call the REST side with the admin key and return the answer without its envelope."""
        headers = {"Authorization": f"Bearer {self.server.api_key}"}
        response = httpx.request(method, self.server.url + path, json=body, headers=headers, trust_env=False)
        response.raise_for_status()
        data = response.json()
        inner = data.get("data", data) if isinstance(data, dict) else data
        return next(iter(inner.values())) if isinstance(inner, dict) and len(inner) == 1 else inner

    def stored(self) -> Rows:
        """Return every table, after the worker is done."""
        self.ask("settle", {})
        return dump_state(self.state)


def link_columns(twenty: TwentyDestination, object_name: str, target: str) -> list[str]:
    """Return the columns by which an object links to another, under whatever name this version has them."""
    fields = twenty.describe().objects[object_name].fields.values()
    return [c for f in fields for c in f.columns if c.casefold().endswith(f"{target}id".casefold())]


def person(number: int, **more: Any) -> dict[str, Any]:
    """Return an invented person."""
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"person {number}")),
        "name": {"firstName": "Ana", "lastName": f"Invented {number}"},
        "sourceSystemId": f"patient:{number}",
    } | more
