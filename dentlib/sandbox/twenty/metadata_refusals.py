"""How the metadata API says what it refuses: lists of errors per kind of metadata, causes and follow-ups.

What differs between versions is in `Release.old_metadata`: 1.17 tells a thing's id beside its universal identifier,
knows one friendly sentence for all, leaves placeholders in its messages as they are, and names no view of a new field.
"""

from __future__ import annotations

from typing import Any

from dentlib.sandbox.twenty.catalog import Object
from dentlib.sandbox.twenty.ids import new_id
from dentlib.sandbox.twenty.refusals import Json, Refusal
from dentlib.sandbox.twenty.versions import Release

_COUNTED = {"view": "views", "viewField": "viewFields", "index": "indices"}


class MetadataRefused(Refusal):
    """A change of metadata that breaks rules; `errors` lists entries per kind of metadata, causes and follow-ups."""

    def __init__(self, of: Release, doing: str, errors: dict[str, list[Json]]) -> None:
        super().__init__(
            f"Multiple validation errors occurred while {doing}",
            error="METADATA_VALIDATION_ERROR",
            code="METADATA_VALIDATION_FAILED",
        )
        self.errors = errors
        self.terse = of.old_metadata
        counts = {kind: len(entries) for kind, entries in errors.items()}
        self.summary = {"totalErrors": sum(counts.values()), **counts}
        told = [f"{n} {_COUNTED.get(kind, kind) if n > 1 else kind}" for kind, n in counts.items()]
        self.counted = f"Validation failed for {', '.join(told)}"
        only = next(iter(errors.values()))[0]["errors"][0]
        single = self.summary["totalErrors"] == 1
        self.friendly = "Metadata validation failed"
        if not self.terse:
            self.friendly = only.get("userFriendlyMessage", self.friendly) if single else "Many validation errors"

    def graphql(self) -> Json:
        """Say it the GraphQL way."""
        extensions = {
            "code": self.code,
            "errors": self.errors,
            "summary": self.summary,
            "userFriendlyMessage": self.friendly,
            "message": self.counted,
        }
        return {"message": self.message, "extensions": extensions}

    def rest(self) -> Json:
        """Say it the REST way; the old one keeps the causes to itself [934]."""
        if self.terse:
            return {"statusCode": 400, "error": "Bad Request", "messages": [self.message]}
        return {
            "statusCode": 400,
            "error": self.error,
            "message": self.message,
            "errors": self.errors,
            "summary": self.summary,
            "userFriendlyMessage": self.friendly,
        }


def migration_failed(of: Release, kind: str) -> Refusal:
    """What the database refuses, though the rules allow it: a unique index over duplicates, not-null over records."""
    what = f"'{kind}'" if of.old_metadata else f"'{kind}' (universalIdentifier: {new_id()})"
    return Refusal(
        f"Migration action 'create' for {what} failed",
        status=500,
        error="InternalServerErrorException",
        code="INTERNAL_SERVER_ERROR",
        friendly="An error occurred." if of.old_metadata else "Migration execution failed.",
    )


def cause_of(code: str, message: str, value: Any = None) -> Json:
    """Make one error; what the user is shown is the message itself."""
    made: Json = {"code": code, "message": message, "userFriendlyMessage": message}
    return made if value is None else {**made, "value": value}


def entry_of(kind: str, entity: Json, causes: list[Json], verb: str = "create") -> Json:
    """Make the entry of one thing that could not be created, updated or deleted."""
    return {
        "status": "fail",
        "errors": causes,
        "flatEntityMinimalInformation": entity,
        "metadataName": kind,
        "type": verb,
    }


def follow_up_of(of: Release, kind: str, code: str, message: str) -> Json:
    """Make the entry of one thing that failed only because another did."""
    return entry_of(kind, thing(of), [cause_of(code, message)])


def thing(of: Release, **told: Any) -> Json:
    """Name something that was about to be made along with another, with what else is told about it."""
    made = new_id()
    return {**({"id": made} if of.old_metadata else {}), "universalIdentifier": made, **told}


def new_object(of: Release, singular: str, plural: str) -> Json:
    """Name an object that was about to be made."""
    return {**_new(of), "namePlural": plural, "nameSingular": singular}


def known_object(of: Release, obj: Object) -> Json:
    """Name an object that there is."""
    known = {"id": obj.id} if of.old_metadata else {}
    return {
        **known,
        "universalIdentifier": obj.doc["universalIdentifier"],
        "namePlural": obj.plural,
        "nameSingular": obj.name,
    }


def new_field(of: Release, name: str, owner: Object) -> Json:
    """Name a field that was about to be made."""
    return {**_new(of), "name": name, **_owner(of, owner.doc)}


def field_of(of: Release, name: str, owner: Json) -> Json:
    """Name a field of an object that was about to be made itself."""
    return thing(of, name=name, **_owner(of, owner))


def _new(of: Release) -> Json:
    return {**({"id": new_id()} if of.old_metadata else {}), "universalIdentifier": new_id()}


def _owner(of: Release, owner: Json) -> Json:
    if of.old_metadata:
        return {"objectMetadataId": owner["id"]}
    return {"objectMetadataUniversalIdentifier": owner["universalIdentifier"]}
