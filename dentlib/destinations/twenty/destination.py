"""A Twenty workspace as a `dentlib.model.Destination`: the verbs, each handed to the module that knows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from dentlib.destinations.twenty import probe
from dentlib.destinations.twenty.attached import Attached
from dentlib.destinations.twenty.client import Client, Operation, Stats
from dentlib.destinations.twenty.describe import Catalog
from dentlib.destinations.twenty.effects import Effects
from dentlib.destinations.twenty.evidence import Evidence
from dentlib.destinations.twenty.files import Files, file_fields
from dentlib.destinations.twenty.objections import Objections
from dentlib.destinations.twenty.quiet import Quiet
from dentlib.destinations.twenty.reactions import Reactions
from dentlib.destinations.twenty.records import Records
from dentlib.destinations.twenty.rights import Rights
from dentlib.destinations.twenty.schema import Schema
from dentlib.destinations.twenty.updates import Updates
from dentlib.errors import Refused
from dentlib.model import (
    JSON,
    Capabilities,
    DestinationSchema,
    FileTicket,
    LastWrite,
    Member,
    ProbedFact,
    Reaction,
    SchemaItem,
    SchemaPlan,
    Switch,
    WantedSchema,
    Workspace,
)


class TwentyDestination:
    """One Twenty workspace. What each verb owes is said in `dentlib.model.Destination`.

    Not thread-safe. Whether a server of Twenty or something that behaves like one answers makes no difference.
    """

    name = "twenty"

    def __init__(self, client: Client) -> None:
        self._client = client
        self._catalog = Catalog(client)
        self._records = Records(client, self._catalog)
        self._schema = Schema(client, self._catalog, self._records)
        self._files = Files(client, self._catalog, self._records)
        self._quiet = Quiet(client, self._catalog, self._records)
        self._updates = Updates(client, self._catalog, self._records)
        self._objections = Objections(self._catalog, probe.BODY_BYTES)
        self._attached = Attached(client.clock, self._catalog, self._records)
        self._reactions = Reactions(client, self._catalog, self._records)
        self._effects = Effects(client.clock, self._catalog, self._records)
        self._rights = Rights(client, self._catalog)
        self._evidence = Evidence(client, self._catalog, self._records)
        self._capabilities: Capabilities | None = None

    def __repr__(self) -> str:
        return f"TwentyDestination({self._client.url!r})"

    @property
    def stats(self) -> Stats:
        """Return the counters of this connection: calls that count, refusals for the rate, retries."""
        return self._client.stats

    @property
    def capabilities(self) -> Capabilities:
        """Return what this workspace can do, probed once; the rate as configured or as the server named it."""
        if self._capabilities is None:
            self._capabilities = probe.capabilities(self._catalog)
        rate = self._client.pace.calls_per_minute
        return replace(self._capabilities, calls_per_minute=rate, batch_rows=self._records.batch_rows)

    def probed(self) -> tuple[ProbedFact, ...]:
        """Return what was found out by asking: limits, names, files, rights. Costs one call at most."""
        return probe.facts(self._client, self._catalog, self._records, self._rights, self._files.way())

    def missing_rights(self, object_names: Sequence[str], *, schema: bool) -> list[str]:
        """Say what the key may not do, of what a load of these objects and its rollback need."""
        return self._rights.missing(object_names, schema=schema)

    def workspace(self) -> Workspace:
        """Return the workspace behind url and key. Costs no rate."""
        try:
            found = self._client.metadata(Operation("currentWorkspace", "", "{id displayName}"), "open the workspace")
        except Refused as refused:
            hint = f"is {self._client.url} the bare address of a Twenty, such as https://crm.example.com?"
            raise Refused(refused.message, hint, code=refused.code) from None
        return Workspace(found["id"], found["displayName"] or "", self._client.url)

    def describe(self) -> DestinationSchema:
        """Read objects, fields and options. Costs no rate."""
        self._catalog.refresh()
        return self._catalog.schema()

    def members(self) -> list[Member]:
        """Read the people whom records can be assigned to."""
        shape = self._catalog.shape("workspaceMember")
        rows = self._records.pages(shape, {}, "{id userEmail name{firstName lastName}}")
        return [Member(r["id"], r["userEmail"] or "", _full_name(r["name"])) for r in rows]

    def roles_that_read(self, object_name: str) -> list[str]:
        """Return the labels of the roles that see records of this object. Costs no rate."""
        return probe.roles_that_read(self._client, self._catalog, object_name)

    def plan(self, wanted: WantedSchema) -> SchemaPlan:
        """Compare what is wanted with what is there. Reads only, costs no rate."""
        return self._schema.plan(wanted)

    def apply(self, item: SchemaItem) -> JSON:
        """Make one line of the plan and return its recipe. Idempotent; costs no rate."""
        return self._schema.apply(item)

    def undo(self, recipe: JSON) -> None:
        """Take one line back. Idempotent; Refused (`IN_USE`) where records hold something in it."""
        self._schema.undo(recipe)

    def look_before_undo(self, recipes: Sequence[JSON]) -> None:
        """Look whether several recipes of one object are free, in one call where they are. Undo them right after."""
        self._schema.look(recipes)

    def in_use(self, recipe: JSON) -> int:
        """Count the records that would lose something by `undo`. Costs two calls at most."""
        return self._schema.in_use(recipe)

    def create(self, object_name: str, records: Sequence[JSON], tag: str) -> None:
        """Create all the records, each with its own id, or none."""
        self._effects.touched()
        self._schema.touched()
        self._records.create(object_name, records, tag)

    def update(self, object_name: str, record_id: str, fields: JSON, tag: str) -> None:
        """Change fields of one record; those left out stay."""
        self._effects.touched()
        self._schema.touched()
        self._records.update(object_name, record_id, fields, tag)

    def update_batch(
        self,
        object_name: str,
        changes: Sequence[tuple[str, JSON]],
        tag: str,
        *,
        created: Mapping[str, str] | None = None,
    ) -> None:
        """Change fields of existing records in one call; not atomic, see `Updates.write`."""
        self._effects.touched()
        self._schema.touched()
        self._updates.write(object_name, changes, tag, created)

    def objections(self, object_name: str, records: Sequence[JSON]) -> dict[str, tuple[str, str]]:
        """Say which records the server would refuse or spoil: id → (code, words). No call, but see `describe`."""
        return self._objections.to(object_name, records)

    def find(self, object_name: str, field: str, values: Sequence[str], *, deleted: bool = False) -> list[JSON]:
        """Read the records whose field is one of the values; with `deleted` also soft-deleted ones."""
        return self._records.find(object_name, field, values, deleted=deleted)

    def attached(self, object_name: str, ids: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
        """Return the other live records that point to these, by id."""
        return self._attached.to(object_name, ids)

    def reactions(self) -> list[Reaction]:
        """List what reacts to a load and can't be switched off."""
        return self._reactions.all()

    def invitations(self) -> list[str] | None:
        """Return the addresses invited and not yet accepted; None where this key can't see them. Costs no rate."""
        return self._reactions.invitations()

    def read(self, object_name: str, ids: Sequence[str], *, deleted: bool = False) -> dict[str, JSON]:
        """Read records by id in the form in which they are written; with `deleted` also soft-deleted ones."""
        return self._records.read(object_name, ids, deleted=deleted)

    def scan(
        self,
        object_name: str,
        *,
        source_prefix: str | None = None,
        deleted: bool = False,
        fields: Sequence[str] | None = None,
    ) -> Iterator[JSON]:
        """Read all live records (with `deleted` all), page by page, in id order; `fields`: only these and the id."""
        return self._records.scan(object_name, source_prefix=source_prefix, deleted=deleted, fields=fields)

    def count(self, object_name: str, *, source_prefix: str | None = None, deleted: bool = False) -> int:
        """Count live records, with `deleted` all."""
        return self._records.count(object_name, source_prefix=source_prefix, deleted=deleted)

    def destroy(self, object_name: str, ids: Sequence[str], tag: str) -> None:
        """Destroy for good. Idempotent."""
        self._schema.touched()
        self._records.destroy(object_name, ids, tag)

    def destroy_side_effects(self, object_name: str, ids: Sequence[str], *, since: datetime | None = None) -> int:
        """Destroy timeline entries and automatic workflow runs about these records; before `destroy`."""
        return self._effects.destroy(object_name, ids, since)

    def begin_upload(self, path: Path, object_name: str, field_name: str) -> FileTicket:
        """Announce a file. Costs no rate."""
        return self._files.begin(path, object_name, field_name)

    def finish_upload(self, ticket: FileTicket, path: Path) -> FileTicket:
        """Send the bytes, streamed, and complete. May be repeated after a crash; costs no rate."""
        return self._files.finish(ticket, path)

    def file_fields(self, field_name: str, ticket: FileTicket, label: str) -> JSON:
        """Return the fields by which a record refers to an uploaded file."""
        return file_fields(field_name, ticket, label)

    def download(self, object_name: str, record_id: str, field_name: str) -> bytes:
        """Fetch the bytes of a record's first file."""
        return self._files.download(object_name, record_id, field_name)

    def digests(self, object_name: str, ids: Sequence[str], field_name: str) -> Iterator[tuple[str, str, int]]:
        """Yield (record id, sha256, bytes) of each record's first file. One counted call a page of records."""
        return self._evidence.digests(object_name, ids, field_name)

    def last_writes(self, object_name: str, ids: Sequence[str]) -> dict[str, LastWrite]:
        """Return who wrote each live record last, and when."""
        return self._evidence.last_writes(object_name, ids)

    def switches(self) -> list[Switch]:
        """List the workflow triggers on records that are on."""
        return self._quiet.switches()

    def switch_off(self, switch: Switch) -> None:
        """Switch a trigger off. Idempotent."""
        self._quiet.off(switch)

    def switch_on(self, switch: Switch) -> None:
        """Put a trigger back as it was. Idempotent."""
        self._quiet.on(switch)

    def close(self) -> None:
        """Close the connection. Idempotent."""
        self._client.close()


def _full_name(name: JSON | None) -> str:
    return " ".join(p for p in ((name or {}).get("firstName"), (name or {}).get("lastName")) if p)
