"""Bugs that a loader might have, planted by name: the laws must see each of them, or they prove nothing."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from dentlib.destinations.twenty.client import Operation
from dentlib.destinations.twenty.records import Records
from dentlib.errors import Refused
from dentlib.loading.sending import Sender, Sent, Written
from dentlib.loading.updating import Updater


def plant(control: str) -> None:
    """Plant a bug by name; nothing for an empty one."""
    if control:
        _PLANTS[control]()


def _outcome_first() -> None:
    """The outcome is recorded before the request."""
    intend = Sender.intend

    def both(self: Sender, step: Any, rows: Any, **more: Any) -> Sent:
        sent = intend(self, step, rows, **more | {"after": None})
        self.ledger.end_call(sent.call, run=self.run_id, result="written")
        return sent

    def nothing_more(self: Sender, sent: Sent, result: str) -> Written:
        self.hook("before outcome")
        return Written(created=len(sent.rows))

    Sender.intend = both  # type: ignore[method-assign, assignment]
    Sender._end = nothing_more  # type: ignore[method-assign]


def _assume_written() -> None:
    """In doubt → assume written."""

    def assume(self: Sender, entry: Any) -> None:
        self.ledger.end_call(entry.seq, run=entry.run, result="found")

    Sender._settle_create = assume  # type: ignore[method-assign]
    Sender._found = lambda self, sent: True  # type: ignore[method-assign]


def _only_resend() -> None:
    """In doubt → only send again."""

    def resend(self: Sender, entry: Any) -> None:
        self._not_written(entry, [key for key, _, _ in entry.body["rows"]])

    def believe(self: Sender, object_name: str, ids: Any) -> dict[str, Any]:
        return {}

    Sender._settle_create = resend  # type: ignore[method-assign]
    Sender._read = believe  # type: ignore[method-assign]


def _soft_delete() -> None:
    """A rollback that only puts records into the bin."""

    def bin_them(self: Records, object_name: str, ids: Any, tag: str) -> None:
        shape = self._catalog.shape(object_name)
        type_name = f"{shape.type_name}FilterInput!"
        variables = {"f": (type_name, {"id": {"in": list(ids)}})}
        operation = Operation(f"delete{shape.plural_name}", "(filter:$f)", "{id}", variables, writes=True)
        with suppress(Refused):
            self._client.records(operation, "bin", tag)

    Records.destroy = bin_them  # type: ignore[method-assign]


def _overwrite_theirs() -> None:
    """An update that takes whatever is stored for what we wrote."""
    compare = Updater._compare

    def blind(self: Updater, step: Any, row: Any, current: Any, stored: Any) -> Any:
        ours = {**stored, **{k: v for k, v in self._base(current).items() if k in row.payload}}
        return compare(self, step, row, current, ours)

    Updater._compare = blind  # type: ignore[method-assign]


_PLANTS = {
    "outcome-first": _outcome_first,
    "assume-written": _assume_written,
    "only-resend": _only_resend,
    "soft-delete": _soft_delete,
    "overwrite-theirs": _overwrite_theirs,
}
SCENARIO = {"soft-delete": "back", "overwrite-theirs": "delta"}
"""Where a bug shows; a first load unless told."""

CONTROLS = tuple(_PLANTS)
