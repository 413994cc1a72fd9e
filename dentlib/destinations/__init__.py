"""CRMs that a practice can move to. `open_destination` is the only door."""

from __future__ import annotations

from pydantic import SecretStr

from dentlib.clock import Clock
from dentlib.destinations.twenty.spreadsheet import Spreadsheet
from dentlib.errors import UsageError
from dentlib.model import Destination, DestinationSchema

__all__ = ["KNOWN", "open_destination", "spreadsheet_form"]

KNOWN = ("twenty",)
"""Names of the destinations that can be opened."""


def open_destination(
    name: str,
    url: str,
    api_key: SecretStr | str,
    *,
    clock: Clock,
    calls_per_minute: int | None,
    timeout_s: float = 60.0,
) -> Destination:
    """Return the workspace of this name's CRM behind a url and an API key. Opens no connection yet.

    `calls_per_minute` None holds nothing back. Raises UsageError for an unknown name, url or key.
    """
    if name == "twenty":
        from dentlib.destinations.twenty import open_twenty

        return open_twenty(url, api_key, clock=clock, calls_per_minute=calls_per_minute, timeout_s=timeout_s)
    raise UsageError(f"there is no destination called {name}", f"known: {', '.join(KNOWN)}")


def spreadsheet_form(name: str, schema: DestinationSchema, object_name: str, fields: tuple[str, ...]) -> Spreadsheet:
    """Return how the importer of this CRM wants records that hold these fields. Calls nothing.

    Raises UsageError for a CRM without an importer that we know.
    """
    if name == "twenty":
        return Spreadsheet(schema, object_name, fields)
    raise UsageError(f"the importer of {name} is not known", "load through the API instead: dentlib run")
