"""What reacts to a load: workflow triggers on records. Switch them off for the load, and on again as they were.

An API key may not deactivate a workflow, but it may soft-delete the row of its automated trigger, which works at once,
and restore it. Soft-deleting the workflow itself takes up to a minute and comes back deactivated. The time of the last
change is put back too; who changed it last can't be: no call sets `updatedBy`.
"""

from __future__ import annotations

from dentlib.destinations.twenty.client import Client, Operation
from dentlib.destinations.twenty.describe import Catalog
from dentlib.destinations.twenty.records import Records
from dentlib.errors import InDoubt, Refused
from dentlib.model import JSON, Switch

TRIGGER = "workflowAutomatedTrigger"
ON_RECORDS = "DATABASE_EVENT"
_SELECTION = "{id type settings updatedAt deletedAt workflow{name}}"


class Quiet:
    """The automated triggers of one workspace."""

    def __init__(self, client: Client, catalog: Catalog, records: Records) -> None:
        self._client = client
        self._catalog = catalog
        self._records = records

    def switches(self) -> list[Switch]:
        """List the triggers on records that are on now; none where the workspace knows no such triggers."""
        if TRIGGER not in self._catalog.names():
            return []
        shape = self._catalog.shape(TRIGGER)
        live = self._records.pages(shape, {}, _SELECTION)
        return [_switch(row) for row in live if row["type"] == ON_RECORDS]

    def off(self, switch: Switch) -> None:
        """Soft-delete the trigger. Idempotent: off or gone already is fine."""
        if self._state(switch) is None:
            return
        self._write("delete", switch.id, "switch a trigger off")

    def on(self, switch: Switch) -> None:
        """Restore the trigger and its time of last change as `switch.before` says. Idempotent.

        Raises Refused (`RECORD_NOT_FOUND`) where someone destroyed it since.
        """
        row = self._state(switch)
        if row is None:
            try:
                self._write("restore", switch.id, "switch a trigger on")
            except InDoubt:
                if self._state(switch) is None:
                    raise
            row = self._state(switch)
        if row is not None and row["updatedAt"] != switch.before["updatedAt"]:
            fields = {"updatedAt": switch.before["updatedAt"]}
            self._records.update(TRIGGER, switch.id, fields, f"on_{switch.id.replace('-', '')}")

    def _state(self, switch: Switch) -> JSON | None:
        """Return the live row, or None."""
        shape = self._catalog.shape(TRIGGER)
        rows = list(self._records.pages(shape, {"id": {"eq": switch.id}}, _SELECTION))
        return rows[0] if rows else None

    def _write(self, verb: str, trigger_id: str, what: str) -> None:
        type_name = self._catalog.shape(TRIGGER).type_name
        operation = Operation(f"{verb}{type_name}", "(id:$i)", "{id}", {"i": ("UUID!", trigger_id)}, writes=True)
        answer = self._client.records(operation, what)
        if not answer or answer["id"] != trigger_id:
            raise Refused(f"{what}: the trigger is not there", code="RECORD_NOT_FOUND")


def _switch(row: JSON) -> Switch:
    event = (row.get("settings") or {}).get("eventName") or "a change of records"
    workflow = (row.get("workflow") or {}).get("name") or "a workflow"
    return Switch(row["id"], TRIGGER, f"{workflow} (on {event})", {"updatedAt": row["updatedAt"], "deletedAt": None})
