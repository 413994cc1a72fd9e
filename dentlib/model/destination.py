"""What a destination is to the rest of the house: a few verbs, and what it can do as data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from dentlib.model.schema import DestinationSchema, SchemaItem, SchemaPlan, WantedSchema
from dentlib.model.values import JSON


@dataclass(frozen=True, slots=True)
class Member:
    """A workspace member, whom records can be assigned to."""

    id: str
    email: str
    name: str


@dataclass(frozen=True, slots=True)
class Workspace:
    """The workspace behind a URL and key."""

    id: str
    name: str
    url: str


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a destination can do, as data that the loader consults; never `if name == …`.

    `batch_rows`: records a create call takes. `calls_per_minute`: None where nothing limits. `own_ids`: a client may
    choose record ids. `max_upload_mb`: None where unknown. `by_itself`: how the names begin of objects whose records
    the destination itself makes or ties to ours. `read_rows`, `thin_rows`: records that a page of `scan` holds, whole
    and with `fields` only.
    """

    batch_rows: int
    calls_per_minute: int | None
    own_ids: bool
    own_created_at: bool
    max_body_bytes: int
    max_upload_mb: float | None
    batch_atomic: bool
    link_prefix: str  # "target" where links are targetPersonId, "" where personId
    batch_updates: bool = False  # `update_batch` works
    not_in_batch: frozenset[str] = frozenset()  # fields, beside unique ones, that `update_batch` doesn't take
    by_itself: tuple[str, ...] = ()
    read_rows: int = 500
    thin_rows: int = 5000


class CallStats(Protocol):
    """What a connection has done so far. `calls` are requests that count against the rate."""

    calls: int
    refused_for_rate: int
    retries: int


@dataclass(frozen=True, slots=True)
class Switch:
    """Something of the destination that reacts to a load and can be switched off, e.g. an automated trigger."""

    id: str
    kind: str
    label: str
    before: JSON


@dataclass(frozen=True, slots=True)
class Reaction:
    """Something that reacts to a load and that we can't switch off; a person is told before.

    `kind`: webhook, timeline, workflow or matching.
    """

    kind: str
    label: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class LastWrite:
    """Who wrote a record last, as the destination tells it; empty where it doesn't.

    `at`: ISO 8601 by the destination's clock. `source`: API, MANUAL, WORKFLOW, … `name`: a person's, or a key's.
    `member_id`: the workspace member who did it by hand; empty for programs.
    """

    at: str
    source: str = ""
    name: str = ""
    member_id: str = ""


@dataclass(frozen=True, slots=True)
class FileTicket:
    """An upload under way: enough to finish it after a crash. JSON-able by `dataclasses.asdict`."""

    file_id: str
    upload_url: str
    done: bool = False


@dataclass(frozen=True, slots=True)
class ProbedFact:
    """Something found out about a destination by asking it. `how`: by what; empty values are told as unknown."""

    name: str
    value: str
    how: str


class Destination(Protocol):
    """The few verbs that a destination owes. Every method may raise Transient, InDoubt or Terminal (see errors).

    Writing methods take a `tag` (letters, digits, underscore; unique per attempt), which the destination echoes where
    it can, so that a foreign answer is recognised (then InDoubt).
    """

    name: str

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def stats(self) -> CallStats: ...

    def workspace(self) -> Workspace: ...

    def probed(self) -> tuple[ProbedFact, ...]:
        """Return what was found out about this destination by asking it, for a page. Costs a few calls."""
        ...

    def missing_rights(self, object_names: Sequence[str], *, schema: bool) -> list[str]:
        """Say in words what the key may not do, of what a load of these objects and its rollback need.

        `schema`: the data model has to be changed too.
        """
        ...

    def describe(self) -> DestinationSchema:
        """Read objects, fields and options. Costs no rate."""
        ...

    def members(self) -> list[Member]: ...

    def roles_that_read(self, object_name: str) -> list[str]:
        """Return the labels of the roles whose members see this object's records. Costs no rate."""
        ...

    def plan(self, wanted: WantedSchema) -> SchemaPlan:
        """Compare what is wanted with what is there. Reads only."""
        ...

    def apply(self, item: SchemaItem) -> JSON:
        """Make one object, field or set of options; return the JSON recipe that `undo` needs.

        Idempotent: where the same thing already exists as wanted, returns its recipe without changing anything.
        """
        ...

    def undo(self, recipe: JSON) -> None:
        """Take one applied item back. Idempotent: gone already is fine.

        Refused with the code IN_USE, and nothing changed, where records hold something in it.
        """
        ...

    def look_before_undo(self, recipes: Sequence[JSON]) -> None:
        """Prepare to undo several items of one object right after, with fewer calls. Changes nothing."""
        ...

    def create(self, object_name: str, records: Sequence[JSON], tag: str) -> None:
        """Create all the records (each with its own `id`) or none. Raises Refused when the destination says no."""
        ...

    def update(self, object_name: str, record_id: str, fields: JSON, tag: str) -> None:
        """Change fields of one record."""
        ...

    def update_batch(
        self,
        object_name: str,
        changes: Sequence[tuple[str, JSON]],
        tag: str,
        *,
        created: Mapping[str, str] | None = None,
    ) -> None:
        """Change fields of up to `batch_rows` existing records, (id, fields) each, in one call.

        Only where `capabilities.batch_updates`, and only fields that are neither unique nor in
        `capabilities.not_in_batch` (else UsageError). Not atomic: after InDoubt or Refused the records are read again.
        Never leaves a record that wasn't there before: Refused with RECORD_NOT_FOUND where some were gone. Read the
        records right before: one that somebody put into the bin in between comes back. `created`: id → time of creation
        as just read; with it `updatedAt` may be among the fields, and unique fields may be emptied.
        """
        ...

    def objections(self, object_name: str, records: Sequence[JSON]) -> dict[str, tuple[str, str]]:
        """Say which records the destination would refuse or spoil, as far as that is known without a call.

        Returns record id → (code, words in the destination's terms). Types, formats, options, lengths, NUL; not
        whether a unique value is taken (see `find`).
        """
        ...

    def find(self, object_name: str, field: str, values: Sequence[str], *, deleted: bool = False) -> list[JSON]:
        """Read the records whose `field` (dotted: emails.primaryEmail) is one of the values, as the destination
        compares them when the field is unique; with `deleted` also soft-deleted ones."""
        ...

    def attached(self, object_name: str, ids: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
        """Return for each id the other live records that point to it, as (object, id); ids without any are left out.

        What the destination wrote by itself (timeline entries and the like) doesn't count.
        """
        ...

    def reactions(self) -> list[Reaction]:
        """List what will react to a load and can't be switched off: webhooks, timeline, and the like."""
        ...

    def invitations(self) -> list[str] | None:
        """Return the e-mail addresses invited as members that have not accepted; None where this key can't see them."""
        ...

    def file_fields(self, field_name: str, ticket: FileTicket, label: str) -> JSON:
        """Return the fields by which a record refers to an uploaded file, in this destination's form."""
        ...

    def read(self, object_name: str, ids: Sequence[str], *, deleted: bool = False) -> dict[str, JSON]:
        """Read records by id, all fields in the form in which they are written; missing ids are left out."""
        ...

    def scan(
        self,
        object_name: str,
        *,
        source_prefix: str | None = None,
        deleted: bool = False,
        fields: Sequence[str] | None = None,
    ) -> Iterator[JSON]:
        """Read all records whose sourceSystemId starts with the prefix (None: all), page by page, in id order.

        `deleted`: soft-deleted ones too. `fields`: only these (plain fields and columns of links; `id` always comes),
        in much larger pages; a name that the object doesn't have is left out.
        """
        ...

    def count(self, object_name: str, *, source_prefix: str | None = None, deleted: bool = False) -> int: ...

    def destroy(self, object_name: str, ids: Sequence[str], tag: str) -> None:
        """Destroy for good (not soft-delete). Idempotent: gone already is fine."""
        ...

    def destroy_side_effects(self, object_name: str, ids: Sequence[str], *, since: datetime | None = None) -> int:
        """Destroy what the destination itself wrote about these records (timeline, runs); before `destroy`.

        `since`: for records that were there before us: only what it wrote from then on about changes by programs.
        """
        ...

    def begin_upload(self, path: Path, object_name: str, field_name: str) -> FileTicket: ...

    def finish_upload(self, ticket: FileTicket, path: Path) -> FileTicket:
        """Send the bytes, streamed, and complete. Idempotent for a ticket already done."""
        ...

    def download(self, object_name: str, record_id: str, field_name: str) -> bytes:
        """Fetch the bytes of a record's first file."""
        ...

    def digests(self, object_name: str, ids: Sequence[str], field_name: str) -> Iterator[tuple[str, str, int]]:
        """Yield (record id, sha256, bytes) of each live record's first file, fetched piece by piece; ("", 0): none."""
        ...

    def last_writes(self, object_name: str, ids: Sequence[str]) -> dict[str, LastWrite]:
        """Return who wrote each live record last, by id; ids that aren't there are left out."""
        ...

    def switches(self) -> list[Switch]:
        """List what would react to a load and is on."""
        ...

    def switch_off(self, switch: Switch) -> None: ...

    def switch_on(self, switch: Switch) -> None:
        """Put it back exactly as `switch.before` says. Idempotent."""
        ...

    def close(self) -> None: ...
