"""The composite field types: their parts, what is stored, and what a null reads back as.

Stored sparsely: a part that is null is left out. `EMPTY` says what each part reads back as then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import orjson

from dentlib.sandbox.twenty import links, phones, richtext
from dentlib.sandbox.twenty.refusals import Json, inspect, invalid_args
from dentlib.sandbox.twenty.scalars import (
    Coerce,
    coordinate,
    coordinate_text,
    micros,
    raw_json,
    select,
    text,
    uuid_value,
)
from dentlib.sandbox.twenty.versions import NEWEST, RELEASES, Release

ACTOR_SOURCES = (
    "EMAIL",
    "CALENDAR",
    "WORKFLOW",
    "AGENT",
    "API",
    "IMPORT",
    "MANUAL",
    "SYSTEM",
    "WEBHOOK",
    "APPLICATION",
)
_EMAIL = re.compile(r"[^\s@\"(),:;<>\[\]\\]+@(?:[^\W_](?:[\w-]*[^\W_])?\.)+[^\W\d_]{2,}")

EMPTY: Mapping[str, Json] = {
    "FULL_NAME": {"firstName": "", "lastName": ""},
    "EMAILS": {"primaryEmail": "", "additionalEmails": []},
    "PHONES": {
        "primaryPhoneNumber": "",
        "primaryPhoneCountryCode": "",
        "primaryPhoneCallingCode": "",
        "additionalPhones": [],
    },
    "ADDRESS": {
        "addressStreet1": "",
        "addressStreet2": "",
        "addressCity": "",
        "addressPostcode": "",
        "addressState": "",
        "addressCountry": "",
        "addressLat": None,
        "addressLng": None,
    },
    "LINKS": {"primaryLinkLabel": "", "primaryLinkUrl": "", "secondaryLinks": []},
    "CURRENCY": {"amountMicros": None, "currencyCode": None},
    "ACTOR": {"source": "MANUAL", "workspaceMemberId": None, "name": "", "context": None},
    "RICH_TEXT": {"blocknote": None, "markdown": ""},
    "RICH_TEXT_V2": {"blocknote": None, "markdown": ""},
}
UNIQUE_PART = {"EMAILS": "primaryEmail", "LINKS": "primaryLinkUrl", "PHONES": "primaryPhoneNumber"}
_WORDS = {
    "FULL_NAME": "full name",
    "EMAILS": "emails",
    "PHONES": "phones",
    "ADDRESS": "address",
    "LINKS": "links",
    "CURRENCY": "currency",
    "ACTOR": "actor",
    "RICH_TEXT": "rich text",
    "RICH_TEXT_V2": "rich text",
}


def email(value: Any, path: str) -> Any:
    """One e-mail address, lower-cased."""
    if value is None or value == "":
        return None
    if isinstance(value, str) and _EMAIL.fullmatch(value):
        return value.lower()
    raise invalid_args(
        f'Invalid string value {inspect(value)} for email field "{path}"', f'Invalid value: "{inspect(value)}"'
    )


def _email_list(value: Any, path: str) -> Any:
    if value is None:
        return None
    items = value if isinstance(value, list) else [value]
    return [address for address in (email(item, path) for item in items) if address is not None]


def _anything(value: Any, path: str) -> Any:
    return value


def _any_email(value: Any, path: str) -> Any:
    """One e-mail address, unchecked, lower-cased."""
    found = text(value, path)
    return found.lower() if found else None


def _any_email_list(value: Any, path: str) -> Any:
    items = orjson.loads(value) if isinstance(value, str) and value.startswith("[") else value
    if items is None:
        return None
    found = (_any_email(item, path) for item in (items if isinstance(items, list) else [items]))
    return [address for address in found if address is not None]


def _parts_of(kind: str, of: Release) -> Mapping[str, Coerce]:
    position = coordinate_text if of.text_coordinates else coordinate
    one, many = (email, _email_list) if of.checks_emails else (_any_email, _any_email_list)
    by_kind: Mapping[str, Mapping[str, Coerce]] = {
        "FULL_NAME": {"firstName": text, "lastName": text},
        "EMAILS": {"primaryEmail": one, "additionalEmails": many},
        "PHONES": {
            "primaryPhoneNumber": text,
            "primaryPhoneCountryCode": text,
            "primaryPhoneCallingCode": text,
            "additionalPhones": _anything,
        },
        "ADDRESS": {
            **dict.fromkeys(list(EMPTY["ADDRESS"])[:6], text),
            "addressLat": position,
            "addressLng": position,
        },
        "LINKS": {"primaryLinkLabel": text, "primaryLinkUrl": text, "secondaryLinks": _anything},
        "CURRENCY": {"amountMicros": micros, "currencyCode": text},
        "ACTOR": {
            "source": select(ACTOR_SOURCES, of.lists_options),
            "workspaceMemberId": uuid_value,
            "name": text,
            "context": raw_json,
        },
        "RICH_TEXT": {"blocknote": text, "markdown": text},
        "RICH_TEXT_V2": {"blocknote": text, "markdown": text},
    }
    return by_kind[kind]


def composite(kind: str, of: Release = RELEASES[NEWEST]) -> Coerce:
    """Make the coercer of one composite type; it returns the parts that were given, null parts as None."""
    parts_of = _parts_of(kind, of)
    word = _WORDS[kind]
    second_look: Callable[[Json, str], Json] | None = None
    if kind == of.rich_text:
        second_look = partial(richtext.coerce_parts, of=of)
    elif kind in ("PHONES", "LINKS"):
        second_look = {"PHONES": phones.coerce_parts, "LINKS": links.coerce_parts}[kind]

    def coerce(value: Any, path: str) -> Any:
        if value is None:
            return None
        if not isinstance(value, dict):
            told = f'{inspect(value)} for field "{path}"'
            if kind == "RICH_TEXT_V2":
                raise invalid_args(f"Invalid rich text v2 value {told} - Should be an object", "Invalid rich text.")
            raise invalid_args(f"Invalid object value {told}", "Invalid value for JSON.")
        out: Json = {}
        for part, item in value.items():
            check = parts_of.get(part)
            if check is None:
                raise invalid_args(f'Invalid subfield {part} for {word} field "{path}"', f"Invalid value for {word}.")
            out[part] = check(item, f"{path}.{part}")
        return second_look(out, path) if second_look else out

    return coerce


def is_composite(kind: str) -> bool:
    """Tell whether a field type has parts."""
    return kind in EMPTY
