"""A Twenty in a few lines for unit tests: answers as recorded from 2.21, and a scripted transport."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import orjson

from dentlib.clock import ManualClock
from dentlib.destinations.twenty import TwentyDestination, open_twenty
from dentlib.destinations.twenty.client import Client

KEY = "eyJhbGciOiJIUzI1NiJ9.secret-part.signature"
URL = "http://crm.example.test"
Answer = Callable[[str, dict[str, Any]], httpx.Response]

DUPLICATE = {
    "message": "A duplicate entry was detected",
    "extensions": {
        "userFriendlyMessage": "This Emails value is already in use. Please check your data and try again.",
        "conflictingRecordId": "08f056a0-8106-48d4-9cbe-f3a78a8e14a0",
        "conflictingObjectNameSingular": "person",
        "code": "BAD_USER_INPUT",
    },
}
LIMIT = {
    "message": "Limit reached (100 tokens per 60000 ms)",
    "extensions": {"subCode": "LIMIT_REACHED", "code": "BAD_USER_INPUT"},
}
BAD_EMAIL = {
    "message": "Invalid string value 'not an email' for email field \"emails.primaryEmail\"",
    "extensions": {"subCode": "INVALID_ARGS_DATA", "code": "BAD_USER_INPUT"},
}
BAD_TOKEN = {
    "message": "Token invalid.",
    "extensions": {"subCode": "UNAUTHENTICATED", "code": "UNAUTHENTICATED"},
}
NO_RIGHT = {
    "message": "Entity performing the request does not have permission",
    "extensions": {"subCode": "PERMISSION_DENIED", "code": "FORBIDDEN"},
}
STANDARD_FIELD = {
    "message": 'Cannot delete standard field "stage"',
    "extensions": {"subCode": "FIELD_MUTATION_NOT_ALLOWED", "code": "FORBIDDEN"},
}
RESERVED = {
    "message": "Multiple validation errors occurred while creating fields",
    "extensions": {
        "code": "METADATA_VALIDATION_FAILED",
        "errors": {
            "fieldMetadata": [{"errors": [{"code": "INVALID_FIELD_INPUT", "message": "This name is reserved."}]}],
            "viewField": [{"errors": [{"code": "INVALID_VIEW_DATA", "message": "Field metadata not found"}]}],
        },
    },
}


def alias_of(request: httpx.Request) -> str:
    """Return the alias of the one root field of a request."""
    query = orjson.loads(request.content)["query"]
    found = re.search(r"\{(\w+):", query)
    assert found, query
    return found.group(1)


def good(request: httpx.Request, value: Any) -> httpx.Response:
    """Answer with a value under the alias."""
    return httpx.Response(200, json={"data": {alias_of(request): value}})


def failed(request: httpx.Request, error: Any, *, with_data: bool = True, status: int = 200) -> httpx.Response:
    """Answer with an error, with the alias or without it."""
    data = {alias_of(request): None} if with_data else None
    return httpx.Response(status, json={"errors": [error], "data": data})


def client(answer: Callable[[httpx.Request], httpx.Response], clock: ManualClock | None = None) -> Client:
    """Return a client whose server is a function."""
    return Client(
        URL,
        KEY,
        clock=clock or ManualClock(),
        calls_per_minute=None,
        timeout_s=5.0,
        transport=httpx.MockTransport(answer),
    )


def destination(answer: Callable[[httpx.Request], httpx.Response]) -> TwentyDestination:
    """Return a destination whose server is a function."""
    return open_twenty(URL, KEY, clock=ManualClock(), calls_per_minute=None, transport=httpx.MockTransport(answer))


def field(name: str, kind: str, **more: Any) -> dict[str, Any]:
    """Return a field's metadata as the server gives it."""
    known: dict[str, Any] = {
        "id": f"00000000-0000-4000-8000-{abs(hash(name)) % 10**12:012d}",
        "name": name,
        "label": name,
        "type": kind,
        "isNullable": True,
        "isUnique": False,
        "isSystem": False,
        "isActive": True,
        "options": None,
        "settings": None,
        "relation": None,
        "morphRelations": None,
    }
    return known | more


def to_one(name: str, target: str) -> dict[str, Any]:
    """Return the metadata of a relation to one record."""
    return field(
        name,
        "RELATION",
        settings={"onDelete": "SET_NULL", "relationType": "MANY_TO_ONE", "joinColumnName": f"{name}Id"},
        relation={"type": "MANY_TO_ONE", "targetObjectMetadata": {"nameSingular": target}},
    )


def to_many(name: str, target: str) -> dict[str, Any]:
    """Return the metadata of the list on the other side of a relation."""
    return field(
        name,
        "RELATION",
        settings={"relationType": "ONE_TO_MANY"},
        relation={"type": "ONE_TO_MANY", "targetObjectMetadata": {"nameSingular": target}},
    )


def morph(name: str, *targets: str) -> dict[str, Any]:
    """Return the metadata of a relation to one of several objects."""
    return field(
        name,
        "MORPH_RELATION",
        settings={"relationType": "MANY_TO_ONE", "joinColumnName": f"{name}{targets[-1].capitalize()}Id"},
        morphRelations=[{"type": "MANY_TO_ONE", "targetObjectMetadata": {"nameSingular": t}} for t in targets],
    )


def thing(singular: str, plural: str, *fields: dict[str, Any], active: bool = True) -> dict[str, Any]:
    """Return an object's metadata as the server gives it."""
    common = (field("id", "UUID", isSystem=True), field("createdAt", "DATE_TIME", isSystem=True))
    return {
        "id": f"10000000-0000-4000-8000-{abs(hash(singular)) % 10**12:012d}",
        "nameSingular": singular,
        "namePlural": plural,
        "labelSingular": singular.capitalize(),
        "labelPlural": f"{singular.capitalize()}s",
        "isActive": active,
        "isSystem": False,
        "fieldsList": [*common, *fields],
    }


STAGES = [
    {"id": f"o{n}", "value": v, "label": v.capitalize(), "color": "gray", "position": n}
    for n, v in enumerate(("NEW", "SCREENING", "CUSTOMER"))
]
OBJECTS = [
    thing(
        "person",
        "people",
        field("name", "FULL_NAME"),
        field("emails", "EMAILS", isUnique=True),
        field("phones", "PHONES"),
        field("sourceSystemId", "TEXT", isUnique=True),
        field("searchVector", "TS_VECTOR"),
        field("updatedBy", "ACTOR"),
        to_one("company", "company"),
        to_many("taskTargets", "taskTarget"),
    ),
    thing("company", "companies", field("name", "TEXT"), to_many("people", "person")),
    thing(
        "opportunity",
        "opportunities",
        field("amount", "CURRENCY"),
        field("stage", "SELECT", options=STAGES),
        field("oldField", "TEXT", isActive=False),
    ),
    thing("task", "tasks", field("title", "TEXT")),
    thing("taskTarget", "taskTargets", to_one("task", "task"), morph("target", "company", "person")),
    thing("oldThing", "oldThings", active=False),
]


def page(nodes: list[Any], cursor: str | None = None) -> dict[str, Any]:
    """Return a connection with one page."""
    return {
        "pageInfo": {"hasNextPage": cursor is not None, "endCursor": cursor},
        "edges": [{"node": n} for n in nodes],
        "totalCount": len(nodes),
    }
