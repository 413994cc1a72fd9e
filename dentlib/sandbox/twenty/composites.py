"""The composite field types: their parts, what is stored, and what a null reads back as.

Stored sparsely: a part that is null is left out. `EMPTY` says what each part reads back as then.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dentlib.sandbox.twenty import links, phones, richtext
from dentlib.sandbox.twenty.refusals import Json, inspect, invalid_args
from dentlib.sandbox.twenty.scalars import Coerce, coordinate, micros, raw_json, select, text, uuid_value

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


_TEXT_PARTS: Mapping[str, Mapping[str, Coerce]] = {
    "FULL_NAME": {"firstName": text, "lastName": text},
    "EMAILS": {"primaryEmail": email, "additionalEmails": _email_list},
    "PHONES": {
        "primaryPhoneNumber": text,
        "primaryPhoneCountryCode": text,
        "primaryPhoneCallingCode": text,
        "additionalPhones": _anything,
    },
    "ADDRESS": {
        **dict.fromkeys(list(EMPTY["ADDRESS"])[:6], text),
        "addressLat": coordinate,
        "addressLng": coordinate,
    },
    "LINKS": {"primaryLinkLabel": text, "primaryLinkUrl": text, "secondaryLinks": _anything},
    "CURRENCY": {"amountMicros": micros, "currencyCode": text},
    "ACTOR": {
        "source": select(ACTOR_SOURCES),
        "workspaceMemberId": uuid_value,
        "name": text,
        "context": raw_json,
    },
    "RICH_TEXT": {"blocknote": text, "markdown": text},
}
_SECOND_LOOK = {"PHONES": phones.coerce_parts, "LINKS": links.coerce_parts, "RICH_TEXT": richtext.coerce_parts}


def composite(kind: str) -> Coerce:
    """Make the coercer of one composite type; it returns the parts that were given, null parts as None."""
    parts_of = _TEXT_PARTS[kind]
    word = _WORDS[kind]
    second_look = _SECOND_LOOK.get(kind)

    def coerce(value: Any, path: str) -> Any:
        if value is None:
            return None
        if not isinstance(value, dict):
            raise invalid_args(f'Invalid object value {inspect(value)} for field "{path}"', "Invalid value for JSON.")
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
