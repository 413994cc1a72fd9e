"""How the metadata API says what it refuses: lists of errors per kind of metadata, causes and follow-ups."""

from __future__ import annotations

from typing import Any

from dentlib.sandbox.twenty.ids import new_id
from dentlib.sandbox.twenty.refusals import Json, Refusal

_COUNTED = {"view": "views", "viewField": "viewFields", "index": "indices"}


class MetadataRefused(Refusal):
    """A change of metadata that breaks rules; `errors` lists entries per kind of metadata, causes and follow-ups."""

    def __init__(self, doing: str, errors: dict[str, list[Json]]) -> None:
        super().__init__(
            f"Multiple validation errors occurred while {doing}",
            error="METADATA_VALIDATION_ERROR",
            code="METADATA_VALIDATION_FAILED",
        )
        self.errors = errors
        counts = {kind: len(entries) for kind, entries in errors.items()}
        self.summary = {"totalErrors": sum(counts.values()), **counts}
        told = [f"{n} {_COUNTED.get(kind, kind) if n > 1 else kind}" for kind, n in counts.items()]
        self.counted = f"Validation failed for {', '.join(told)}"
        only = next(iter(errors.values()))[0]["errors"][0]
        single = self.summary["totalErrors"] == 1
        self.friendly = (
            only.get("userFriendlyMessage", "Metadata validation failed") if single else "Many validation errors"
        )

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
        """Say it the REST way."""
        return {
            "statusCode": 400,
            "error": self.error,
            "message": self.message,
            "errors": self.errors,
            "summary": self.summary,
            "userFriendlyMessage": self.friendly,
        }


def migration_failed(kind: str) -> Refusal:
    """What the database refuses, though the rules allow it: a unique index over duplicates, not-null over records."""
    return Refusal(
        f"Migration action 'create' for '{kind}' (universalIdentifier: {new_id()}) failed",
        status=500,
        error="InternalServerErrorException",
        code="INTERNAL_SERVER_ERROR",
        friendly="Migration execution failed.",
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


def follow_up_of(kind: str, code: str, message: str) -> Json:
    """Make the entry of one thing that failed only because another did."""
    return entry_of(kind, {"universalIdentifier": new_id()}, [cause_of(code, message)])
