"""The nouns that rooms hand to each other: problems, outcomes, the destination's schema, load steps, progress.

Frozen and slotted; nothing here opens a file or a socket. Facts that pages show are in `dentlib.facts`.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import orjson

JSON = dict[str, Any]

ID_NAMESPACE = uuid.UUID("6d1f8f0e-4f3f-5b0a-9c57-0d3e5b1c7a42")
"""Namespace of every deterministic record id. Changing it would orphan all ledgers ever written."""


def record_id(engagement: str, step: str, source_key: str) -> str:
    """Return the record id that this source row gets in this step: UUIDv5, the same on every machine and run.

    DuckDB's equal: sha1(from_hex(<namespace>) || encode('<engagement>|<step>|<key>')), cut to 16 bytes, with
    version 5 and variant bits set. `tests/test_model.py` compares the two.
    """
    return str(uuid.uuid5(ID_NAMESPACE, f"{engagement}|{step}|{source_key}"))


def content_hash(value: Any) -> str:
    """Return sha256 (hex) of a value's canonical JSON (sorted keys); for gates, never for patients' row hashes."""
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)).hexdigest()


class Severity(StrEnum):
    """How bad a finding or problem is."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, where, and the way out. Never holds a patient's value."""

    code: str
    where: str
    message: str
    hint: str = ""
    severity: Severity = Severity.ERROR
    count: int = 1


class Outcome(StrEnum):
    """What became of a source row in a step. Exactly one each; they add up to the rows read."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    MERGED = "merged"
    REJECTED = "rejected"
    EXCLUDED = "excluded"
    FAILED = "failed"


class Progress(Protocol):
    """Where long work says how far it is. Implementations: terminal, notebook, file, silence."""

    def start(self, task: str, total: int | None, unit: str = "rows") -> None:
        """Begin a task of `total` units (None: not known)."""
        ...

    def advance(self, task: str, by: int = 1) -> None:
        """Say that `by` more units are done."""
        ...

    def finish(self, task: str, note: str = "") -> None:
        """End a task."""
        ...


class Silence:
    """Progress that goes nowhere."""

    def start(self, task: str, total: int | None, unit: str = "rows") -> None:
        """Ignore."""

    def advance(self, task: str, by: int = 1) -> None:
        """Ignore."""

    def finish(self, task: str, note: str = "") -> None:
        """Ignore."""


# ---- the destination's schema -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a SELECT or MULTI_SELECT field."""

    value: str
    label: str
    color: str = "gray"


@dataclass(frozen=True, slots=True)
class WantedObject:
    """A custom object that a map needs. `offer_name` is what the offer to the client called it."""

    name: str
    plural: str
    label: str
    label_plural: str
    description: str = ""
    icon: str = "IconBox"
    offer_name: str = ""


@dataclass(frozen=True, slots=True)
class WantedField:
    """A field that a map needs on an object, standard or custom.

    `type` is a Twenty field type (TEXT, NUMBER, BOOLEAN, DATE, DATE_TIME, SELECT, MULTI_SELECT, CURRENCY, ADDRESS,
    PHONES, EMAILS, LINKS, ARRAY, RICH_TEXT, RAW_JSON, RELATION, ...). For RELATION `target` is the target object's
    singular name and `inverse_label` the label of the list on the other side. `extend` marks a standard SELECT that
    only gets options added.
    """

    object: str
    name: str
    type: str
    label: str
    description: str = ""
    options: tuple[Option, ...] = ()
    unique: bool = False
    target: str = ""
    inverse_label: str = ""
    extend: bool = False
    offer_name: str = ""
    icon: str = ""


@dataclass(frozen=True, slots=True)
class WantedSchema:
    """All custom objects and fields of a map, in the order in which they must be made."""

    objects: tuple[WantedObject, ...]
    fields: tuple[WantedField, ...]


@dataclass(frozen=True, slots=True)
class DestinationField:
    """A field as the destination describes it. `options` are values in the destination's order.

    `columns`: the names under which a relation is written (`companyId`; `targetPersonId`, … where it may point to
    several objects). Empty for everything else, also for the list on the other side of a relation.
    """

    id: str
    name: str
    type: str
    label: str = ""
    unique: bool = False
    nullable: bool = True
    options: tuple[Option, ...] = ()
    target: str = ""
    active: bool = True
    system: bool = False
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DestinationObject:
    """An object as the destination describes it."""

    id: str
    name: str
    plural: str
    label: str = ""
    fields: Mapping[str, DestinationField] = field(default_factory=dict)
    active: bool = True


@dataclass(frozen=True, slots=True)
class DestinationSchema:
    """Everything the destination says about its objects, by singular name."""

    objects: Mapping[str, DestinationObject]

    def hash(self) -> str:
        """Return a hash of objects, fields, types and options (not of ids): what a gate compares."""
        return content_hash(
            {
                o.name: {
                    f.name: [f.type, f.unique, f.target, [x.value for x in f.options], f.active]
                    for f in o.fields.values()
                }
                for o in self.objects.values()
            }
        )


class Decision(StrEnum):
    """What the schema plan does about one wanted thing."""

    CREATE = "create"
    REUSE = "reuse"
    EXTEND = "extend"  # options are added to a SELECT that exists
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class SchemaItem:
    """One line of the schema plan: an object (`field` empty) or a field."""

    decision: Decision
    object: str
    field: str = ""
    type: str = ""
    label: str = ""
    reason: str = ""
    wanted_object: WantedObject | None = None
    wanted_field: WantedField | None = None
    add_options: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True)
class SchemaPlan:
    """The whole plan, in order of application."""

    items: tuple[SchemaItem, ...]

    @property
    def conflicts(self) -> tuple[SchemaItem, ...]:
        """Lines that a person must settle."""
        return tuple(i for i in self.items if i.decision is Decision.CONFLICT)

    @property
    def changes(self) -> tuple[SchemaItem, ...]:
        """Lines that will change the destination."""
        return tuple(i for i in self.items if i.decision in (Decision.CREATE, Decision.EXTEND))

    def hash(self) -> str:
        """Return a hash of what the map *wants* (the same before and after the plan is applied)."""
        return content_hash([[i.object, i.field, i.type] for i in self.items])


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
    choose record ids. `max_upload_mb`: None where unknown.
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
class FileTicket:
    """An upload under way: enough to finish it after a crash. JSON-able by `dataclasses.asdict`."""

    file_id: str
    upload_url: str
    done: bool = False


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
        """Take one applied item back. Idempotent: gone already is fine."""
        ...

    def create(self, object_name: str, records: Sequence[JSON], tag: str) -> None:
        """Create all the records (each with its own `id`) or none. Raises Refused when the destination says no."""
        ...

    def update(self, object_name: str, record_id: str, fields: JSON, tag: str) -> None:
        """Change fields of one record."""
        ...

    def update_batch(self, object_name: str, changes: Sequence[tuple[str, JSON]], tag: str) -> None:
        """Change fields of up to `batch_rows` existing records, (id, fields) each, in one call.

        Only where `capabilities.batch_updates`, and only fields that aren't unique. Not atomic: after InDoubt or
        Refused the records are read again. Never leaves a record that wasn't there before.
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

    def scan(self, object_name: str, *, source_prefix: str | None = None) -> Iterator[JSON]:
        """Read all records whose sourceSystemId starts with the prefix (None: all), page by page, in id order."""
        ...

    def count(self, object_name: str, *, source_prefix: str | None = None) -> int: ...

    def destroy(self, object_name: str, ids: Sequence[str], tag: str) -> None:
        """Destroy for good (not soft-delete). Idempotent: gone already is fine."""
        ...

    def destroy_side_effects(self, object_name: str, ids: Sequence[str]) -> int:
        """Destroy what the destination itself wrote about these records (timeline, runs); before `destroy`."""
        ...

    def begin_upload(self, path: Path, object_name: str, field_name: str) -> FileTicket: ...

    def finish_upload(self, ticket: FileTicket, path: Path) -> FileTicket:
        """Send the bytes, streamed, and complete. Idempotent for a ticket already done."""
        ...

    def download(self, object_name: str, record_id: str, field_name: str) -> bytes:
        """Fetch the bytes of a record's first file."""
        ...

    def switches(self) -> list[Switch]:
        """List what would react to a load and is on."""
        ...

    def switch_off(self, switch: Switch) -> None: ...

    def switch_on(self, switch: Switch) -> None:
        """Put it back exactly as `switch.before` says. Idempotent."""
        ...

    def close(self) -> None: ...


# ---- what mapping hands to loading --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LoadStep:
    """One step of the load, whose rows lie in `work.duckdb`, schema `prepared`, table `table`.

    Columns of that table, which loading reads (others, one per destination field, are for checks):
    `ordinal` BIGINT (load order) · `source_key` VARCHAR (unique in the step) · `record_id` VARCHAR · `payload` VARCHAR
    (JSON of the record as it is sent, `id` and `sourceSystemId` included) · `row_hash` VARCHAR (sha256 of the payload)
    · `file_path` VARCHAR (a file to upload, else NULL) · `source_table`, `source_file` VARCHAR, `source_row` BIGINT
    · `in_sample` BOOLEAN.
    `file_field`: the FILES field that gets the upload. `depends_on`: steps whose records must be confirmed first.
    `error_budget`: share of rejects (0 to 1) above which the run stops.
    """

    name: str
    object_name: str
    table: str
    source_prefix: str
    depends_on: tuple[str, ...] = ()
    file_field: str = ""
    error_budget: float = 0.05
    label: str = ""


PREPARED_OUTCOMES = "prepared.outcomes"
"""Rows that don't reach the loader: step, source_table, source_key, source_file, source_row, outcome
(rejected | excluded | merged), code, reason. One row per (step, source row)."""

PREPARED_PROBLEMS = "prepared.problems"
"""Values that were not carried as they are: step, source_key, field, code, reason, source_file, source_row, count,
detail (which other record has to do with it; never a value)."""
