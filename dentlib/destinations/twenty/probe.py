"""Find out what this workspace can do, by asking it; no call names a version, and an API key can't read one."""

from __future__ import annotations

from collections.abc import Mapping

from dentlib.destinations.twenty.attached import BY_ITSELF
from dentlib.destinations.twenty.client import Client, Operation
from dentlib.destinations.twenty.describe import Catalog
from dentlib.destinations.twenty.records import BATCH_ROWS, READ_ROWS, THIN_ROWS, Records
from dentlib.destinations.twenty.rights import Rights
from dentlib.destinations.twenty.updates import NOT_IN_BATCH
from dentlib.errors import AccessDenied, Refused, SchemaConflict
from dentlib.model import JSON, Capabilities, DestinationObject, ProbedFact

BODY_BYTES = 9_500_000
"""The server takes 10 MB; the rest is for what stands around the records."""

_ROLES = "{label canReadAllObjectRecords objectPermissions{objectMetadataId canReadObjectRecords}}"


def capabilities(catalog: Catalog) -> Capabilities:
    """Probe the workspace, all but its rate. Costs no rate.

    Raises SchemaConflict where tasks can't be linked to people in any way we know.
    """
    return Capabilities(
        batch_rows=BATCH_ROWS,
        calls_per_minute=None,
        own_ids=True,
        own_created_at=True,
        max_body_bytes=BODY_BYTES,
        max_upload_mb=None,
        batch_atomic=True,
        link_prefix=_link_prefix(catalog),
        batch_updates=True,
        not_in_batch=NOT_IN_BATCH,
        by_itself=BY_ITSELF,
        read_rows=READ_ROWS,
        thin_rows=THIN_ROWS,
    )


def facts(client: Client, catalog: Catalog, records: Records, rights: Rights, file_way: str) -> tuple[ProbedFact, ...]:
    """Return what this workspace was found to be like, each with how. Costs one call at most."""
    schema = catalog.schema().objects
    rate = client.pace.calls_per_minute
    role = rights.role()
    unique = (f"{o.name}: {', '.join(names)}" for o in schema.values() if (names := _unique(o)))
    stages = schema["opportunity"].fields["stage"].options if "opportunity" in schema else ()
    body = schema["note"].fields["bodyV2"].type if "note" in schema and "bodyV2" in schema["note"].fields else ""
    found = [
        ("Records a call", str(records.batch_rows), "200 until a refusal names less"),
        ("Calls a minute", str(rate) if rate else "not limited", client.pace.known_by),
        ("A task's link to a person", _link(schema, "taskTarget"), "the data model"),
        ("A note's link to a person", _link(schema, "noteTarget"), "the data model"),
        ("A file's link to a person", _link(schema, "attachment"), "the data model"),
        ("Files go", file_way, "the data model and the list of calls"),
        ("Formatted text is of the type", body, "the field note.bodyV2"),
        ("Documents are checked against the schema", _strictness(client), "a field that doesn't exist, asked for"),
        ("Unique fields", "; ".join(unique), "the data model"),
        ("Stages of an opportunity", ", ".join(o.value for o in stages), "the field opportunity.stage"),
        ("Role of the key", role.label if role else "", "the list of roles"),
    ]
    return tuple(ProbedFact(*f) for f in found)


def _unique(described: DestinationObject) -> list[str]:
    return [f.name for f in described.fields.values() if f.unique and f.name != "id"]


def _link(schema: Mapping[str, DestinationObject], name: str) -> str:
    fields = schema[name].fields.values() if name in schema else ()
    return next((c for f in fields for c, t in zip(f.columns, f.targets, strict=False) if t == "person"), "")


def _strictness(client: Client) -> str:
    operation = Operation("people", "(first:1)", "{edges{node{id noSuchFieldOfOurs}}}")
    try:
        client.records(operation, "ask for a field that doesn't exist")
    except Refused:
        return "yes"
    except AccessDenied:
        return ""
    return "no"


def uploads_directly(client: Client) -> bool:
    """Tell whether files can be sent in two steps (Twenty 2.19 and later) instead of inside a multipart call."""
    operation = Operation("__type", '(name:"Mutation")', "{fields{name}}")
    answer = client.metadata(operation, "ask how files are uploaded")
    return any(f["name"] == "createFileUpload" for f in answer["fields"])


def roles_that_read(client: Client, catalog: Catalog, object_name: str) -> list[str]:
    """Return the labels of the roles that see records of this object, in the workspace's order. Costs no rate.

    For an object that isn't there yet: those that would see it, by their general right.
    """
    object_id = catalog.shape(object_name).id if object_name in catalog.names() else ""
    try:
        roles: list[JSON] = client.metadata(Operation("getRoles", "", _ROLES), "read the roles")
    except Refused:
        # A version without rights per object: the general right of the role is all there is.
        roles = client.metadata(Operation("getRoles", "", "{label canReadAllObjectRecords}"), "read the roles")
    return [str(r["label"]) for r in roles if _reads(r, object_id)]


def _reads(role: JSON, object_id: str) -> bool:
    for permission in role.get("objectPermissions") or ():
        own = permission.get("canReadObjectRecords")
        if permission["objectMetadataId"] == object_id and own is not None:
            return bool(own)
    return bool(role["canReadAllObjectRecords"])


def _link_prefix(catalog: Catalog) -> str:
    links = catalog.shape("taskTarget")
    if links.has_column("targetPersonId"):
        return "target"
    if links.has_column("personId"):
        return ""
    raise SchemaConflict("taskTarget has neither targetPersonId nor personId", "this version of Twenty is not known")
