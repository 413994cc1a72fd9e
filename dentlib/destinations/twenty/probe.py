"""Find out what this workspace can do, by asking it; no call names a version, and an API key can't read one."""

from __future__ import annotations

from dentlib.destinations.twenty.attached import BY_ITSELF
from dentlib.destinations.twenty.client import Client, Operation
from dentlib.destinations.twenty.describe import Catalog
from dentlib.destinations.twenty.records import BATCH_ROWS, READ_ROWS, THIN_ROWS
from dentlib.destinations.twenty.updates import NOT_IN_BATCH
from dentlib.errors import Refused, SchemaConflict
from dentlib.model import JSON, Capabilities

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
    except Refused as refused:
        if "objectPermissions" not in refused.message:
            raise
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
