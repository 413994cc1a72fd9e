"""Judge one value as a Twenty field would take it: nothing to say, or in words what is wrong with it.

Words name the field and the kind of fault, never the value. Where versions differ the stricter one counts, as does what
a server takes and then spoils (an e-mail address with blanks, half a cent, letters in a phone number).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from datetime import date, datetime
from functools import lru_cache
from typing import Any

import orjson
import phonenumbers

from dentlib.model import JSON

Judge = Callable[[Any], str]
"""Says what is wrong with a value; empty where nothing is. None is judged elsewhere."""

UUID = (
    r"(?:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-8][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}"
    r"|0{8}-0{4}-0{4}-0{4}-0{12}|[fF]{8}-[fF]{4}-[fF]{4}-[fF]{4}-[fF]{12})"
)
_UUID = re.compile(UUID)
_EMAIL = re.compile(r"[^\s@\"(),:;<>\[\]\\]+@(?:[^\W_](?:[\w-]*[^\W_])?\.)+[^\W\d_]{2,}")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})?)?", re.ASCII)
_ABSOLUTE = re.compile(r"(?i)https?://[^/?#\s.:@]+(?:\.[^/?#\s.:@]+)*(?::\d{1,5})?(?:[/?#]\S*)?")
_DOMAIN = re.compile(r"[^\s/?#:@.]+(?:\.[^\s/?#:@.]+)+(?::\d{1,5})?(?:[/?#]\S*)?")
_PHONE = re.compile(r"\+?[\d() ./-]*\d[\d() ./-]*", re.ASCII)
_FEWEST_DIGITS, _MOST_DIGITS = 3, 15
_EXACT = 1 << 53
_DANGEROUS = ("javascript:", "vbscript:", "data:")
ACTOR_SOURCES = frozenset(
    ("EMAIL", "CALENDAR", "WORKFLOW", "AGENT", "API", "IMPORT", "MANUAL", "SYSTEM", "WEBHOOK", "APPLICATION")
)


def text(value: Any) -> str:
    """TEXT: a string that can be written as UTF-8."""
    if not isinstance(value, str):
        return "is not a text"
    return "" if value.isascii() or _encodes(value) else "holds half a character (a lone surrogate)"


def _encodes(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def number(value: Any) -> str:
    """NUMBER: a JSON number that a 64-bit float holds exactly."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "is not a number"
    if not math.isfinite(value) or (isinstance(value, int) and abs(value) > _EXACT):
        return "is too large to be kept exactly"
    return ""


def micros(value: Any) -> str:
    """Return what is wrong with an amount in micros: it is kept as an integer."""
    fault = number(value)
    return fault or ("" if value == int(value) else "is an amount finer than a millionth")


def position(value: Any) -> str:
    """POSITION: a number, `first` or `last`."""
    return "" if value in ("first", "last") else number(value)


def boolean(value: Any) -> str:
    """BOOLEAN: true or false."""
    return "" if value is True or value is False else "is neither true nor false"


def day(value: Any) -> str:
    """DATE: `YYYY-MM-DD`, a day that exists."""
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        return "is not a date written YYYY-MM-DD"
    try:
        date.fromisoformat(value)
    except ValueError:
        return "is a date that doesn't exist"
    return ""


def moment(value: Any) -> str:
    """DATE_TIME: ISO 8601 with or without zone, a moment that exists."""
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        return "is not a time written YYYY-MM-DDTHH:MM:SSZ"
    try:
        at = datetime.fromisoformat(value)
        if at.tzinfo is not None:
            at.timestamp()
    except (ValueError, OverflowError):
        return "is a time that doesn't exist"
    return "" if 1 < at.year < 9999 else "is outside the years that are kept"


def uuid(value: Any) -> str:
    """UUID: dashed, with valid version and variant."""
    return "" if isinstance(value, str) and _UUID.fullmatch(value) else "is not a valid UUID"


def raw_json(value: Any) -> str:
    """RAW_JSON: an object or a list, or its JSON text."""
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except (orjson.JSONDecodeError, UnicodeEncodeError):
            return "is not JSON"
    return "" if isinstance(value, (dict, list)) else "is not a JSON object or list"


def string_list(value: Any) -> str:
    """ARRAY: a list of texts."""
    if isinstance(value, str):
        return text(value)
    if not isinstance(value, list):
        return "is not a list of texts"
    return next((fault for item in value if (fault := text(item))), "")


def select(values: Collection[str]) -> Judge:
    """SELECT and RATING: one of the options' values."""
    allowed = frozenset(values)
    return lambda value: "" if isinstance(value, str) and value in allowed else "is none of the field's options"


def multi_select(values: Collection[str]) -> Judge:
    """MULTI_SELECT: a list of the options' values."""
    allowed = frozenset(values)

    def judge(value: Any) -> str:
        items = [value] if isinstance(value, str) else value
        fits = isinstance(items, list) and all(isinstance(item, str) and item in allowed for item in items)
        return "" if fits else "is not a list of the field's options"

    return judge


def email(value: Any) -> str:
    """Return what is wrong with one e-mail address; empty is fine."""
    return "" if value == "" or (isinstance(value, str) and _EMAIL.fullmatch(value)) else "is not an e-mail address"


def _emails(value: Any) -> str:
    if not isinstance(value, list):
        return "is not a list of e-mail addresses"
    return next((fault for item in value if (fault := email(item))), "")


def url(value: Any) -> str:
    """Return what is wrong with a link: an absolute http(s) URL or a bare domain; empty is fine."""
    if value == "":
        return ""
    if isinstance(value, str) and (_ABSOLUTE.fullmatch(value) or _DOMAIN.fullmatch(value)):
        return text(value)
    return "is not a web address"


def _urls(value: Any) -> str:
    if not isinstance(value, list):
        return "is not a list of links"
    for item in value:
        if not isinstance(item, dict) or item.keys() - {"url", "label"}:
            return "is not a list of links with url and label"
        fault = url(item.get("url") or "") or text(item.get("label") or "")
        if fault:
            return fault
    return ""


def blocknote(value: Any) -> str:
    """Return what is wrong with a rich text: it is the JSON text of a list of blocks without script links."""
    if not isinstance(value, str):
        return "is not a text"
    if value == "":
        return ""
    try:
        blocks = orjson.loads(value)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        blocks = None
    if not isinstance(blocks, list):
        return "is not the JSON text of a list of blocks"
    return "holds a link that runs a script" if ":" in value and _runs_script(blocks) else ""


def _runs_script(node: Any) -> bool:
    if isinstance(node, list):
        return any(_runs_script(item) for item in node)
    if not isinstance(node, dict):
        return False
    links = (node.get(key) for key in ("href", "url"))
    if any(isinstance(link, str) and link.strip().lower().startswith(_DANGEROUS) for link in links):
        return True
    return any(_runs_script(value) for value in node.values() if isinstance(value, (list, dict)))


def phone(number: Any, country: Any, calling_code: Any) -> str:
    """Return what is wrong with a number, its country and its calling code together; empty parts are fine."""
    if not all(isinstance(part, str) for part in (number, country, calling_code)):
        return "holds a part that is not a text"
    fault = _codes(country, calling_code)
    if fault or not number:
        return fault
    digits = sum(map(str.isdigit, number))
    if not _PHONE.fullmatch(number) or not _FEWEST_DIGITS <= digits <= _MOST_DIGITS:
        return "is not a telephone number of digits"
    if not country and not calling_code and not number.startswith("+"):
        return "is a telephone number without country"
    return _region(number, country, calling_code)


@lru_cache(maxsize=4096)
def _codes(country: str, calling_code: str) -> str:
    if country and country not in phonenumbers.SUPPORTED_REGIONS:
        return "has a country that telephone numbers don't know"
    if not calling_code:
        return ""
    digits = calling_code.removeprefix("+")
    known = phonenumbers.COUNTRY_CODE_TO_REGION_CODE
    regions = known.get(int(digits)) if re.fullmatch(r"[1-9]\d{0,2}", digits, re.ASCII) else None
    if not regions:
        return "has an unknown calling code"
    return "" if not country or country in regions else "has a calling code of another country"


def _region(number: str, country: str, calling_code: str) -> str:
    """Compare with the country that the number itself belongs to; where only one has that calling code, it is that."""
    if number.isascii() and number.isdigit() and country and calling_code:
        if len(phonenumbers.COUNTRY_CODE_TO_REGION_CODE[int(calling_code.removeprefix("+"))]) == 1:
            return ""
        if calling_code == "+1" and len(number) == _NATIONAL_DIGITS:
            return _parsed(number[:6] + "0100", country, calling_code)  # the rest of the number decides nothing
    return _parsed(number, country, calling_code)


_NATIONAL_DIGITS = 10


@lru_cache(maxsize=65536)
def _parsed(number: str, country: str, calling_code: str) -> str:
    region = country or (phonenumbers.region_code_for_country_code(int(calling_code.removeprefix("+") or 0)))
    try:
        parsed = phonenumbers.parse(number, region or None)
    except phonenumbers.NumberParseException:
        return "is not a telephone number of its country"
    found = phonenumbers.region_code_for_number(parsed)
    if found and found != "001" and country and found != country:
        return "is a telephone number of another country"
    if calling_code and calling_code.removeprefix("+") != str(parsed.country_code):
        return "is a telephone number with another calling code"
    return ""


def phones(value: Any) -> str:
    """PHONES: the first number with country and calling code, and a list of others."""
    fault = _parts_of(value, _PHONE_PARTS)
    if fault:
        return fault
    numbers = [value.get(part) or "" for part in _PHONE_PARTS[:3]]
    fault = phone(*numbers)
    others = value.get("additionalPhones")
    if fault or not others:
        return fault
    if not isinstance(others, list):
        return "has additional numbers that are not a list"
    for other in others:
        if not isinstance(other, dict) or other.keys() - {"number", "countryCode", "callingCode"}:
            return "has an additional number that is not number, countryCode and callingCode"
        fault = phone(other.get("number") or "", other.get("countryCode") or "", other.get("callingCode") or "")
        if fault:
            return f"has an additional number that {fault}"
    return ""


_PHONE_PARTS = ("primaryPhoneNumber", "primaryPhoneCountryCode", "primaryPhoneCallingCode", "additionalPhones")


def _parts_of(value: Any, known: Collection[str]) -> str:
    if not isinstance(value, dict):
        return "is not an object"
    unknown = sorted(str(part) for part in value if part not in known)
    return f"has an unknown part {unknown[0]}" if unknown else ""


def composite(parts: Mapping[str, Judge]) -> Judge:
    """Judge an object by its parts; a part that is null or left out is fine."""

    def judge(value: Any) -> str:
        fault = _parts_of(value, parts)
        if fault:
            return fault
        for part, item in value.items():
            if item is not None and (fault := parts[part](item)):
                return f"{part} {fault}"
        return ""

    return judge


def files(value: Any) -> str:
    """FILES: a list of uploaded files, each by its id."""
    fits = isinstance(value, list) and all(isinstance(f, dict) and not uuid(f.get("fileId")) for f in value)
    return "" if fits else "is not a list of uploaded files"


def coordinate(value: Any) -> str:
    """Return what is wrong with a latitude or longitude: a number, or its text."""
    if isinstance(value, str):
        try:
            return "" if value == "" else number(float(value))
        except ValueError:
            return "is not a number"
    return number(value)


_ADDRESS_TEXTS = ("Street1", "Street2", "City", "State", "Postcode", "Country")
COMPOSITES: Mapping[str, Mapping[str, Judge]] = {
    "FULL_NAME": {"firstName": text, "lastName": text},
    "EMAILS": {"primaryEmail": email, "additionalEmails": _emails},
    "ADDRESS": {f"address{p}": text for p in _ADDRESS_TEXTS} | {"addressLat": coordinate, "addressLng": coordinate},
    "LINKS": {"primaryLinkUrl": url, "primaryLinkLabel": text, "secondaryLinks": _urls},
    "CURRENCY": {"amountMicros": micros, "currencyCode": text},
    "ACTOR": {"source": select(ACTOR_SOURCES), "name": text, "workspaceMemberId": uuid, "context": raw_json},
    "RICH_TEXT": {"blocknote": blocknote, "markdown": text},
    "RICH_TEXT_V2": {"blocknote": blocknote, "markdown": text},
}
"""How the parts of composite types are judged; PHONES are judged whole."""

SIMPLE: Mapping[str, Judge] = {
    "TEXT": text,
    "NUMBER": number,
    "NUMERIC": number,
    "BOOLEAN": boolean,
    "DATE": day,
    "DATE_TIME": moment,
    "UUID": uuid,
    "RAW_JSON": raw_json,
    "ARRAY": string_list,
    "POSITION": position,
    "PHONES": phones,
    "FILES": files,
} | {kind: composite(parts) for kind, parts in COMPOSITES.items()}


def judge_of(field: JSON) -> Judge | None:
    """Return how this field's values are judged; None for a type that can't be written."""
    options = [str(o["value"]) for o in field.get("options") or ()]
    if field["type"] in ("SELECT", "RATING"):
        return select(options)
    if field["type"] == "MULTI_SELECT":
        return multi_select(options)
    return SIMPLE.get(field["type"])
