"""Everything this library raises on purpose.

    DentlibError                     exit code 2: the stage could not run
    ├── UsageError                   can't be done as asked: no such folder, unknown parameter or product
    ├── ExportError                  the export can't be taken in: empty, not text, none of the expected tables
    ├── MapError                     vocabulary, pair or map is not well formed (carries Problems)
    ├── GateClosed                   exit code 1: a person must decide first: approve, settle a conflict
    ├── Locked                       another process works on this engagement or workspace
    ├── LedgerDamaged                the ledger was edited, cut or replaced by an older copy
    ├── BudgetExceeded               exit code 1: more rejects than the map allows
    └── DestinationError             the CRM or the way to it
        ├── Transient                worth another try, nothing was written
        │   ├── RateLimited          refused for its rate
        │   └── Unreachable          no connection was made
        ├── InDoubt                  sent, but no trustworthy answer: it may or may not have been written
        └── Terminal                 will fail again in the same way
            ├── AccessDenied         wrong, expired or revoked key, or a right is missing
            ├── Refused              the destination refused these records; carries its own words
            └── SchemaConflict       exit code 1: a field exists with another type, a name is taken

A problem with *data* is never an exception: it is a `dentlib.model.Problem`, counted and shown.
No message here may hold a secret or a patient's value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dentlib.model import Problem


class DentlibError(Exception):
    """Base of the tree. `message` says what is wrong and where, `hint` the way out."""

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  way out: {self.hint}" if self.hint else self.message

    def _render_traceback_(self) -> list[str]:
        """Say it in a notebook in two lines: where in the library it was raised helps nobody who reads it there."""
        return str(self).splitlines()


class UsageError(DentlibError):
    """What was asked for can't be done as asked."""


class ExportError(DentlibError):
    """The export can't be taken in."""


class MapError(DentlibError):
    """A vocabulary, pair or map is not well formed."""

    def __init__(self, message: str, hint: str = "", problems: Sequence[Problem] = ()) -> None:
        super().__init__(message, hint)
        self.problems = tuple(problems)


class GateClosed(DentlibError):
    """A person must decide before this stage can start."""

    exit_code = 1


class Locked(DentlibError):
    """Another process works on this engagement or on this workspace."""


class LedgerDamaged(DentlibError):
    """The ledger doesn't agree with its own hash chain, or with the copy of its head."""


class BudgetExceeded(DentlibError):
    """The share of rejects is above what the map allows."""

    exit_code = 1


class DestinationError(DentlibError):
    """The CRM, or the way to it."""


class Transient(DestinationError):
    """Worth another try: nothing was written."""


class RateLimited(Transient):
    """The call was refused for its rate; nothing was written."""


class Unreachable(Transient):
    """No connection was made; nothing was sent."""


class InDoubt(DestinationError):
    """The request left, but no trustworthy answer came: read back before doing anything else."""


class Terminal(DestinationError):
    """Will fail again in the same way."""


class AccessDenied(Terminal):
    """Wrong, expired or revoked key, or a right is missing."""


class Refused(Terminal):
    """The destination refused these records, with its own words in `message`.

    `code` is the destination's error code; `conflicting_id` the id of the record in the way, where it tells.
    """

    def __init__(self, message: str, hint: str = "", *, code: str = "", conflicting_id: str | None = None) -> None:
        super().__init__(message, hint)
        self.code = code
        self.conflicting_id = conflicting_id


class SchemaConflict(Terminal):
    """Something of the wanted schema is in the way of something else."""

    exit_code = 1
