"""Build a record's JSON in SQL: typed values into the destination's own shapes.

The table behind a step holds the typed values, one column per destination field; the payload is worked out when it is
read, because preparing needs no text of it and the store stays small.

Empty fields are sent as explicit nulls (a composite that is empty as a whole is null too), so that a payload is the
record's complete state and an update clears what became empty. Shapes are those of the recorded exchanges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dentlib.mapping.functions import blocknote_sql
from dentlib.model import ID_NAMESPACE
from dentlib.workdb import literal

ROWS = "prepared_rows"
"""The schema of the tables behind the views of `prepared`."""


@dataclass(frozen=True, slots=True)
class Part:
    """One value of a payload: destination path, kind, and the column that holds it. `overflow`: shared e-mails."""

    path: str
    kind: str
    column: str
    overflow: str = ""


def json_of(parts: Sequence[Part], currency: str) -> str:
    """Return SQL for the JSON object of these parts, without braces' optional extras."""
    groups: dict[str, list[Part]] = {}
    for part in parts:
        groups.setdefault(part.path.split(".")[0], []).append(part)
    members = [f"{literal(name)}: {_member(group, currency)}" for name, group in groups.items()]
    return "to_json({" + ", ".join(members) + "})::VARCHAR"


def _member(group: Sequence[Part], currency: str) -> str:
    first = group[0]
    if "." not in first.path:
        return _single(first, currency)
    if first.kind == "email" or first.path.endswith(".primaryEmail"):
        extra = "[]::VARCHAR[]"
        some = f"{first.column} IS NOT NULL"
        if first.overflow:
            some += f" OR {first.overflow} IS NOT NULL"
            extra = f"CASE WHEN {first.overflow} IS NULL THEN []::VARCHAR[] ELSE [{first.overflow}] END"
        emails = f"{{'primaryEmail': coalesce({first.column}, ''), 'additionalEmails': {extra}}}"
        return f"CASE WHEN {some} THEN {emails} END"
    inside = ", ".join(f"{literal(p.path.split('.')[1])}: coalesce({p.column}::VARCHAR, '')" for p in group)
    some = " OR ".join(f"{p.column} IS NOT NULL" for p in group)
    return f"CASE WHEN {some} THEN {{{inside}}} END"


def _single(part: Part, currency: str) -> str:
    column = part.column
    match part.kind:
        case "date":
            return f"strftime({column}, '%Y-%m-%d')"
        case "datetime":
            return moment(column)
        case "money":
            micros = f"CAST({column} * 1000000 AS BIGINT)"
            both = f"{{'amountMicros': {micros}, 'currencyCode': {literal(currency)}}}"
            return f"CASE WHEN {column} IS NOT NULL THEN {both} END"
        case "link":
            whole = f"{{'primaryLinkUrl': {column}, 'primaryLinkLabel': '', 'secondaryLinks': []::VARCHAR[]}}"
            return f"CASE WHEN {column} IS NOT NULL THEN {whole} END"
        case "blocknote":
            return f"CASE WHEN {column} IS NOT NULL THEN {{'blocknote': {blocknote_sql(column)}}} END"
        case "list":
            return f"coalesce({column}, []::VARCHAR[])"
        case _:
            return column


def stored(part: Part) -> str:
    """Return SQL for what the prepared table keeps of a part: the typed value, phones in the destination's shape."""
    if part.kind != "phones":
        return part.column
    first = f"{part.column}[1]"
    rest = (
        f"list_transform({part.column}[2:], lambda x: "
        "{'number': x.number, 'countryCode': x.country, 'callingCode': x.calling})"
    )
    whole = (
        f"{{'primaryPhoneNumber': coalesce({first}.number, ''), "
        f"'primaryPhoneCountryCode': coalesce({first}.country, ''), "
        f"'primaryPhoneCallingCode': coalesce({first}.calling, ''), 'additionalPhones': {rest}}}"
    )
    return f"CASE WHEN len({part.column}) > 0 THEN {whole} END"


def moment(column: str) -> str:
    """Return SQL that writes a UTC timestamp as the destination answers it: milliseconds and Z."""
    return f"strftime({column}, '%Y-%m-%dT%H:%M:%S.%gZ')"


def record_digest_sql(engagement: str, step: str, key: str) -> str:
    """Return SQL for the digest that a record's id is cut from; `key` is a column. Work it out once per row."""
    name = f"{literal(f'{engagement}|{step}|')} || {key}"
    return f"sha1(from_hex('{ID_NAMESPACE.hex}') || encode({name}))"


def record_id_sql(digest: str) -> str:
    """Return SQL (UUID) for `dentlib.model.record_id(engagement, step, key)` over a column with its digest.

    As a UUID it takes 16 bytes: a store full of ids is written and joined in a third of the time of texts.
    """
    variant = f"substr('89ab', (('0x' || substr({digest},17,1))::INTEGER & 3) + 1, 1)"
    return f"(substr({digest},1,12) || '5' || substr({digest},14,3) || {variant} || substr({digest},18,15))::UUID"
