"""Make a new workspace as the server makes one: standard objects, views, roles, sample records, members, workflows.

Sample records and members are invented. Metadata ids are stable per workspace id, so that two workspaces differ.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import secrets
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import orjson

from dentlib.clock import stamp
from dentlib.errors import UsageError
from dentlib.sandbox.twenty.auth import role_doc
from dentlib.sandbox.twenty.catalog import Field, Object
from dentlib.sandbox.twenty.ids import new_id, new_ids
from dentlib.sandbox.twenty.limiter import Limiter
from dentlib.sandbox.twenty.metadata_docs import OPTION_KEYS, add_index, add_view, field_doc, object_doc
from dentlib.sandbox.twenty.refusals import Json
from dentlib.sandbox.twenty.state import State, dumps
from dentlib.sandbox.twenty.versions import Release
from dentlib.sandbox.twenty.workspace import Caller, SteerableClock, Workspace
from dentlib.sandbox.twenty.writing import MAX_RECORDS, Writer

_SYSTEM = {"source": "MANUAL", "workspaceMemberId": None, "name": "System", "context": None}
_FIRST_LISTED = ("callRecording", "endedAt")
_COMPANIES = (
    ("Northgate Dental Supply", "https://northgate-supply.example"),
    ("Ivory Labs", "https://ivory.example"),
    ("Lakeside Instruments", "https://lakeside-instruments.example"),
    ("Clearview Imaging", "https://clearview-imaging.example"),
    ("Harbor Laundry", "https://harbor-laundry.example"),
)
_PEOPLE = (
    ("Nadia", "Brandt", 0),
    ("Leon", "Castel", 0),
    ("Yuki", "Arden", 1),
    ("Oscar", "Whitlow", 2),
    ("Priya", "Sandoval", 3),
)
_OPPORTUNITIES = (
    ("Starter kit order", 0, "NEW", 3),
    ("Whitening trays", 1, "MEETING", 12),
    ("Handpiece service", 2, "SCREENING", 2),
    ("Panoramic X-ray unit", 3, "PROPOSAL", 48),
    ("Weekly linen", 4, "CUSTOMER", 6),
    ("Second chair", 0, "NEW", 21),
)


@cache
def standard_objects(of: Release) -> list[Json]:
    """The standard objects of a version, as packed with the sandbox."""
    found: list[Json] = orjson.loads(gzip.decompress(of.asset("standard-{}.json.gz")))["objects"]
    return found


def read_members(path: Path | None) -> list[Json]:
    """Read members (`firstName`, `lastName`, `email`, optional `jobTitle`) from JSON or CSV; None: the sample staff.

    Raises UsageError when the file can't be read.
    """
    if path is None:
        found: list[Json] = orjson.loads(resources.files(__package__).joinpath("members.json").read_bytes())
        return found
    try:
        if path.suffix.lower() == ".json":
            rows: list[Json] = orjson.loads(path.read_bytes())
        else:
            with path.open(encoding="utf-8-sig", newline="") as lines:
                rows = [dict(row) for row in csv.DictReader(lines)]
    except (OSError, ValueError) as error:
        raise UsageError(
            f"the members file {path.name} can't be read: {type(error).__name__}", "give a CSV or JSON list of members"
        ) from error
    return [_member_of(row, path) for row in rows]


def _member_of(row: Json, path: Path) -> Json:
    plain = {str(key).strip().lower().replace("_", "").replace(" ", ""): value for key, value in row.items()}
    email = plain.get("email") or plain.get("useremail")
    if not email:
        raise UsageError(f"a row of {path.name} has no email", "each member needs an email")
    first, last = plain.get("firstname"), plain.get("lastname")
    if not first and not last:
        first, _, last = str(plain.get("name") or "").partition(" ")
    return {
        "firstName": first,
        "lastName": last,
        "email": email,
        "jobTitle": plain.get("jobtitle"),
        "id": plain.get("id"),
        "userId": plain.get("userid"),
    }


def create_workspace(
    state: State, clock: SteerableClock, limiter: Limiter, members: list[Json], *, token_hash: str | None = None
) -> Workspace:
    """Write a complete new workspace, in one transaction."""
    now = stamp(clock.now())
    with state.write():
        row = state.one("SELECT COALESCE(max(ws),0)+1 FROM workspace")
        assert row is not None
        ws = int(row[0])
        workspace_id = new_id()
        state.db.execute(
            "INSERT INTO workspace VALUES (?,?,?,?,?,?,?,?)",
            (ws, workspace_id, token_hash, secrets.token_hex(32), "Sandbox", 1, dumps(dict(state.release.flags)), now),
        )
        _roles(state, ws)
        space = Workspace(state, ws, clock, limiter)
        _metadata(space, now)
        space.forget_compiled()
        _records(space, members)
        state.db.execute("DELETE FROM job WHERE ws=?", (ws,))
        space.jobs_waiting = False
    return space


def _roles(state: State, ws: int) -> None:
    for label, may in (("Admin", True), ("Member", False)):
        doc = role_doc(label, settings=may)
        state.db.execute("INSERT INTO role VALUES (?,?,?)", (ws, doc["id"], dumps(doc)))


def _metadata(space: Workspace, now: str) -> None:
    catalog = space.catalog
    objects: dict[str, Object] = {}
    fields: dict[tuple[str, str], Field] = {}
    given_fields: dict[tuple[str, str], Json] = {}
    # Metadata is listed by id, descending; the highest ids keep the recorded order of a new workspace.
    standard = standard_objects(space.release)
    object_ids = sorted((f"ffff{one[4:]}" for one in new_ids(len(standard))), reverse=True)
    supply = itertools.chain.from_iterable(new_ids(256) for _ in itertools.count())
    slot = 0
    for number, given in enumerate(standard, start=1):
        objects[given["nameSingular"]] = Object(
            number, {**object_doc(given, space.id, now, custom=False), "id": object_ids[number - 1]}
        )
        morph_ids: dict[str, str] = {}
        for one in given["fields"]:
            slot += 1
            leads = (given["nameSingular"], one["name"]) == _FIRST_LISTED
            owner = objects[given["nameSingular"]]
            options = (
                [{"id": next(supply), **{key: option[key] for key in OPTION_KEYS}} for option in one["options"]]
                if one.get("options")
                else None
            )
            morph = one.get("morph")
            extra = {"options": options, "morphId": morph_ids.setdefault(morph, next(supply)) if morph else None}
            doc = field_doc(
                {**one, **extra}, owner.doc, now, f"ffff{next(supply)[4:]}" if leads else next(supply), custom=False
            )
            key = (given["nameSingular"], one["name"])
            fields[key], given_fields[key] = Field(slot, number, doc), one
    for (owner_name, _), made in fields.items():
        relation = given_fields[(owner_name, made.name)].get("relation")
        if relation:
            other = fields[(relation["target"], relation["inverse"])]
            made.doc["relation"] = {
                "type": relation["type"],
                "obj": objects[relation["target"]].slot,
                "field": other.slot,
            }
    for obj in objects.values():
        label = next(
            (fields[(obj.name, n)] for n in ("name", "title") if (obj.name, n) in fields), fields[(obj.name, "id")]
        )
        obj.doc["labelIdentifierFieldMetadataId"] = label.id
        catalog.add_object(obj)
    catalog.add_fields(list(fields.values()))
    for obj in objects.values():
        add_view(space, obj)
    for made in fields.values():
        if made.doc["isUnique"]:
            add_index(space, made, now)


class _SystemWriter(Writer):
    """Writes as the server itself does when it makes a workspace."""

    def __init__(self, space: Workspace) -> None:
        super().__init__(space, Caller(key_id="", name="System", role="admin"))
        self.actor = dict(_SYSTEM)


def _records(space: Workspace, members: list[Json]) -> None:
    writer = _SystemWriter(space)

    def add(name: str, records: list[Any]) -> list[Json]:
        model = space.model_named(name)
        return [
            doc
            for at in range(0, len(records), MAX_RECORDS)
            for doc in writer.create(model, records[at : at + MAX_RECORDS])
        ]

    known = space.model_named("workspaceMember").outputs
    staff = [{**_member(row), "colorScheme": space.release.color_scheme} for row in members]
    add("workspaceMember", [{key: value for key, value in row.items() if key in known} for row in staff])
    company_count, person_count, opportunity_count = space.release.samples
    companies = add(
        "company",
        [{"name": name, "domainName": {"primaryLinkUrl": url}} for name, url in _COMPANIES[:company_count]],
    )
    add(
        "person",
        [
            {
                "name": {"firstName": first, "lastName": last},
                "emails": {"primaryEmail": f"{first}.{last}@{_COMPANIES[at][1][8:]}"},
                "companyId": companies[at]["id"],
            }
            for first, last, at in _PEOPLE[:person_count]
        ],
    )
    add(
        "opportunity",
        [
            {
                "name": name,
                "companyId": companies[at]["id"],
                "stage": stage,
                "amount": {"amountMicros": thousands * 1_000_000_000, "currencyCode": "USD"},
            }
            for name, at, stage, thousands in _OPPORTUNITIES[:opportunity_count]
        ],
    )
    _workflows(space, add)


def _member(row: Json) -> Json:
    return {
        **({"id": row["id"]} if row.get("id") else {}),
        "userId": row.get("userId") or new_id(),
        "userEmail": str(row["email"]).lower(),
        "name": {"firstName": row.get("firstName"), "lastName": row.get("lastName")},
        "jobTitle": row.get("jobTitle"),
        "position": 0,
    }


def _workflows(space: Workspace, add: Any) -> None:
    """One workflow that somebody starts, and in newer versions one that starts by itself for every person."""
    by_itself = {"name": "Record is created or updated", "type": "DATABASE_EVENT", "settings": _trigger_settings(space)}
    settings: Json = {"icon": "IconUserPlus", "availability": {"type": "GLOBAL"}, "outputSchema": {}}
    manual = {"name": "Launch manually", "type": "MANUAL", "settings": settings, "nextStepIds": new_ids(1)}
    wanted = [("Create company when adding a new person", by_itself)] if space.release.automated_trigger else []
    wanted.append(("Quick Lead", manual))
    ids = sorted(new_ids(len(wanted)))
    workflows = add(
        "workflow",
        [
            {"id": one, "name": name, "statuses": ["ACTIVE"], "position": at}
            for at, (one, (name, _)) in enumerate(zip(ids, wanted, strict=True))
        ],
    )
    versions = add(
        "workflowVersion",
        [
            {"name": "v1", "status": "ACTIVE", "steps": [], "trigger": trigger, "workflowId": workflow["id"]}
            for workflow, (_, trigger) in zip(workflows, wanted, strict=True)
        ],
    )
    for workflow, made in zip(workflows, versions, strict=True):
        _SystemWriter(space).update_one(
            space.model_named("workflow"), workflow["id"], {"lastPublishedVersionId": made["id"]}
        )
    if space.release.automated_trigger:
        trigger = {"type": "DATABASE_EVENT", "settings": by_itself["settings"], "workflowId": workflows[0]["id"]}
        add("workflowAutomatedTrigger", [{**trigger, "position": 0}])


def _trigger_settings(space: Workspace) -> Json:
    created_by = space.model_named("person").obj.fields["createdBy"].id
    group = new_id()
    filters = [
        {
            "id": new_id(),
            "type": "ACTOR",
            "value": f'["{source}"]',
            "operand": "IS_NOT",
            "stepOutputKey": "{{trigger.properties.after.createdBy.source}}",
            "fieldMetadataId": created_by,
            "stepFilterGroupId": group,
            "positionInStepFilterGroup": at,
            "compositeFieldSubFieldName": "source",
        }
        for at, source in enumerate(("EMAIL", "CALENDAR"))
    ]
    return {
        "fields": ["emails"],
        "filter": {"stepFilters": filters, "stepFilterGroups": [{"id": group, "logicalOperator": "AND"}]},
        "eventName": "person.upserted",
    }
