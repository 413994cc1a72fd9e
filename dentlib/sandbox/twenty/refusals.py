"""What the server refuses, in the words and shapes of the recorded answers.

One exception carries both dialects: REST answers `{statusCode, error, messages[, code]}`, GraphQL answers
`errors[0].message` with `extensions {subCode, userFriendlyMessage, code, …}`.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


class Refusal(Exception):
    """One refused request.

    `status` and `error` are REST's; `code` is GraphQL's class; `sub_code` GraphQL's precise code, which REST repeats
    as `code` when `error` is the bare "Error".
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        error: str = "BadRequestException",
        code: str = "BAD_USER_INPUT",
        sub_code: str | None = None,
        friendly: str | None = "An error occurred.",
        extra: Json | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.error = error
        self.code = code
        self.sub_code = sub_code
        self.friendly = friendly
        self.extra = extra or {}

    def rest(self) -> Json:
        """Say it the REST way."""
        body: Json = {"statusCode": self.status, "error": self.error, "messages": [self.message]}
        if self.error == "Error" and self.sub_code:
            body["code"] = self.sub_code
        return body

    def graphql(self) -> Json:
        """Say it the GraphQL way."""
        extensions: Json = {}
        if self.sub_code:
            extensions["subCode"] = self.sub_code
        if self.friendly is not None:
            extensions["userFriendlyMessage"] = self.friendly
        extensions.update(self.extra)
        extensions["code"] = self.code
        return {"message": self.message, "extensions": extensions}


def invalid_args(message: str, friendly: str = "An error occurred.") -> Refusal:
    """A value in `data` or `filter` that does not fit the field."""
    return Refusal(message, sub_code="INVALID_ARGS_DATA", friendly=friendly)


def coded(message: str, sub_code: str, friendly: str | None = None) -> Refusal:
    """An error that REST calls "Error" and gives a code of its own (phones, links, ids)."""
    return Refusal(message, error="Error", sub_code=sub_code, friendly=message if friendly is None else friendly)


def not_found() -> Refusal:
    """The record is not there (or soft-deleted)."""
    return Refusal(
        "Record not found",
        status=404,
        error="NotFoundException",
        code="NOT_FOUND",
        sub_code="RECORD_NOT_FOUND",
        friendly="This record does not exist or has been deleted.",
    )


def permission_denied(status: int = 400) -> Refusal:
    """The key's role lacks the right."""
    return Refusal(
        "Entity performing the request does not have permission",
        status=status,
        error="Error",
        code="FORBIDDEN",
        sub_code="PERMISSION_DENIED",
        friendly="User does not have permission.",
    )


def duplicate(label: str | None, record_id: str | None, object_name: str) -> Refusal:
    """A unique value is taken; `label` and `record_id` are told only for a live record met before the batch."""
    if record_id is None:
        return Refusal(
            "A duplicate entry was detected",
            friendly="This record already exists. Please check your data and try again.",
        )
    return Refusal(
        "A duplicate entry was detected",
        friendly=f"This {label} value is already in use. Please check your data and try again.",
        extra={"conflictingRecordId": record_id, "conflictingObjectNameSingular": object_name},
    )


def foreign_key(message: str) -> Refusal:
    """A relation points to nothing, or something still points here."""
    return Refusal(
        message,
        friendly="This operation references a record that does not exist or cannot be modified "
        "due to existing relationships.",
    )


def not_null(column: str, table: str) -> Refusal:
    """A null for a column that has none."""
    return Refusal(f'null value in column "{column}" of relation "{table}" violates not-null constraint')


def in_database_words(refusal: Refusal) -> Refusal:
    """Say what the database refused as an older version does: HTTP 500, the database's own words, nothing else."""
    return database_error(refusal.message)


def database_error(message: str) -> Refusal:
    """What the database itself can't store: a NUL character, a search vector over 1 MB, a day that never was."""
    return Refusal(
        message,
        status=500,
        error="InternalServerErrorException",
        code="INTERNAL_SERVER_ERROR",
        sub_code=None,
    )


def type_error(message: str) -> Refusal:
    """The raw JavaScript TypeError that some malformed bodies provoke."""
    return Refusal(message, error="TypeError", code="INTERNAL_SERVER_ERROR")


def limit_reached(limit: int, window_ms: int) -> Refusal:
    """Too many record calls: HTTP 429 in REST, HTTP 200 in GraphQL."""
    return Refusal(
        f"Limit reached ({limit} tokens per {window_ms} ms)",
        status=429,
        error="HttpException",
        sub_code="LIMIT_REACHED",
        friendly="Rate limit reached. Please try again later.",
    )


def inspect(value: object) -> str:
    """Write a value as Node's `util.inspect` does, for the messages that quote it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        if "'" not in value:
            return f"'{value}'"
        return f'"{value}"' if '"' not in value else f"`{value}`"
    if isinstance(value, float):
        return "NaN" if value != value else (str(int(value)) if value.is_integer() else repr(value))
    if isinstance(value, list):
        return f"[ {', '.join(map(inspect, value))} ]" if value else "[]"
    if isinstance(value, dict):
        inner = ", ".join(f"{key}: {inspect(item)}" for key, item in value.items())
        return f"{{ {inner} }}" if value else "{}"
    return str(value)
