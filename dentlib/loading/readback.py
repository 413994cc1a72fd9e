"""Compare what was sent with what a destination has stored, field by field, by the rules of the field's type.

Pure. `same` with an empty reason: identical. `same` with a reason: the destination writes it in another form and means
the same. Not `same`: the reason says what kind of difference it is, never the value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import orjson

from dentlib.model import JSON, DestinationObject

Verdict = tuple[bool, str]

NOT_KEPT = "sent but not kept"
DIFFERENT = "another value is stored"
_SAME: Verdict = (True, "")


@dataclass(frozen=True, slots=True)
class FieldComparison:
    """One field of one record: is the stored value what was meant, and if written differently, how."""

    field: str
    same: bool
    reason: str


def field_types(described: DestinationObject) -> dict[str, str]:
    """Return the type of every name that a record may carry, foreign keys (`companyId`) included."""
    types = {f.name: f.type for f in described.fields.values()}
    for f in described.fields.values():
        if "RELATION" in f.type:
            types |= dict.fromkeys(f.columns or (f"{f.name}Id",), "UUID")
    return types


def compare_record(intended: JSON, stored: JSON, types: Mapping[str, str]) -> list[FieldComparison]:
    """Compare every field that was sent; fields that were not sent are the destination's own."""
    return [
        FieldComparison(name, *normalise_equal(value, stored.get(name), types.get(name, "")))
        for name, value in intended.items()
    ]


def differing(intended: JSON, stored: JSON, types: Mapping[str, str]) -> list[str]:
    """Return the names of the fields whose stored value is not what was sent."""
    return [c.field for c in compare_record(intended, stored, types) if not c.same]


def normalise_equal(intended: Any, stored: Any, field_type: str) -> Verdict:
    """Tell whether the stored value means what was sent, and in words how its form differs.

    `field_type` is a Twenty type (TEXT, EMAILS, …); empty: judged by the form of the value.
    """
    if intended == stored:
        return _SAME
    if is_empty(intended):
        return (True, "empty") if is_empty(stored) else (False, "sent empty, something is stored")
    if is_empty(stored):
        return False, NOT_KEPT
    compare = _BY_TYPE.get(field_type)
    if compare is None:
        compare = _parts if isinstance(intended, dict) else _plain
    return compare(intended, stored)


def is_empty(value: Any) -> bool:
    """Tell whether a value holds nothing: null, an empty text or list, a composite of nothing else."""
    if isinstance(value, dict):
        return all(is_empty(v) for v in value.values())
    return value is None or value == "" or value == []


def _plain(intended: Any, stored: Any) -> Verdict:
    return _SAME if intended == stored else (False, DIFFERENT)


def _caseless(intended: Any, stored: Any) -> Verdict:
    same = str(intended).lower() == str(stored).lower()
    return (True, "lower-cased") if same else (False, DIFFERENT)


def _number(intended: Any, stored: Any) -> Verdict:
    try:
        same = Decimal(str(intended)) == Decimal(str(stored))
    except InvalidOperation:
        return False, "not a number"
    return (True, "the same number, written differently") if same else (False, "another number is stored")


def _date(intended: Any, stored: Any) -> Verdict:
    return (True, "as a date") if str(intended)[:10] == str(stored)[:10] else (False, "another date is stored")


def _moment(intended: Any, stored: Any) -> Verdict:
    try:
        sent, kept = _milliseconds(str(intended)), _milliseconds(str(stored))
    except ValueError:
        return False, "not a point in time"
    return (True, "in UTC, to the millisecond") if sent == kept else (False, "another point in time is stored")


def _milliseconds(text: str) -> int:
    moment = datetime.fromisoformat(text)
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000 // 1)


def _url(intended: Any, stored: Any) -> Verdict:
    def settled(text: str) -> str:
        parts = urlsplit(text)
        return urlunsplit((parts.scheme.lower(), parts.netloc.lower(), parts.path, parts.query, parts.fragment)).rstrip(
            "/"
        )

    same = settled(str(intended)) == settled(str(stored))
    return (True, "host lower-cased, trailing slash cut") if same else (False, DIFFERENT)


def _digits(intended: Any, stored: Any, calling_code: str = "") -> Verdict:
    """Compare a telephone number with its stored form: national digits, without the calling code and trunk zero.

    Digits are only dropped from the front where the calling code or a zero accounts for them.
    """
    sent, kept = _only_digits(intended), _only_digits(stored)
    if sent.lstrip("0") == kept.lstrip("0"):
        return True, "digits only"
    code = _only_digits(calling_code)
    national = sent.removeprefix(code).lstrip("0") if str(intended).startswith("+") and sent.startswith(code) else ""
    if code and national == kept.lstrip("0"):
        return True, "as national digits"
    return False, "another number is stored"


def _only_digits(text: Any) -> str:
    return "".join(c for c in str(text) if c.isdigit())


def _phones(intended: Any, stored: Any) -> Verdict:
    if not isinstance(intended, dict) or not isinstance(stored, dict):
        return _plain(intended, stored)
    code = intended.get("primaryPhoneCallingCode") or stored.get("primaryPhoneCallingCode") or ""
    return _composite(
        primaryPhoneNumber=lambda sent, kept: _digits(sent, kept, code), additionalPhones=_list_of(_further_phone)
    )(intended, stored)


def _further_phone(intended: Any, stored: Any) -> Verdict:
    if not isinstance(intended, dict) or not isinstance(stored, dict):
        return _plain(intended, stored)
    code = intended.get("callingCode") or stored.get("callingCode") or ""
    return _composite(number=lambda sent, kept: _digits(sent, kept, code))(intended, stored)


def _list_of(compare: Callable[[Any, Any], Verdict]) -> Callable[[Any, Any], Verdict]:
    def lists(intended: Any, stored: Any) -> Verdict:
        sent = intended if isinstance(intended, list) else [intended]
        kept = stored if isinstance(stored, list) else [stored]
        if len(sent) != len(kept):
            return False, f"{len(kept)} of {len(sent)} values are stored"
        return _all(_SAME if a == b else compare(a, b) for a, b in zip(sent, kept, strict=True))

    return lists


def _all(verdicts: Any) -> Verdict:
    reasons = []
    for same, reason in verdicts:
        if not same:
            return False, reason
        if reason and reason not in reasons:
            reasons.append(reason)
    return True, ", ".join(reasons)


def _composite(**by_part: Callable[[Any, Any], Verdict]) -> Callable[[Any, Any], Verdict]:
    """Compare the parts that were sent, each by its own rule; a part's name is put before its reason."""

    def parts(intended: Any, stored: Any) -> Verdict:
        if not isinstance(intended, dict) or not isinstance(stored, dict):
            return _plain(intended, stored)

        def one(name: str) -> Verdict:
            sent, kept = intended[name], stored.get(name)
            if sent == kept or (is_empty(sent) and is_empty(kept)):
                return _SAME
            if is_empty(kept):
                return False, f"{name}: {NOT_KEPT}"
            same, reason = by_part.get(name, _generic)(sent, kept)
            return same, f"{name}: {reason}" if reason else ""

        return _all(one(name) for name in intended)

    return parts


def _generic(intended: Any, stored: Any) -> Verdict:
    return normalise_equal(intended, stored, "")


_parts = _composite()
_link_list = _list_of(_composite(url=_url))


def _rich_text(intended: Any, stored: Any) -> Verdict:
    if not isinstance(intended, dict) or not isinstance(stored, dict):
        return _plain(intended, stored)
    if intended.get("blocknote"):
        sent, kept = blocks_of(intended["blocknote"]), blocks_of(stored.get("blocknote"))
        if len(sent) != len(kept):
            return False, f"{len(kept)} of {len(sent)} blocks are stored"
        for number, (one, other) in enumerate(zip(sent, kept, strict=True), 1):
            if one != other:
                return False, f"block {number} of {len(sent)} differs"
        return True, "block by block the same text"
    same = str(intended.get("markdown", "")).strip() == str(stored.get("markdown") or "").strip()
    return (True, "blank lines around it") if same else (False, "another text is stored")


def blocks_of(blocknote: Any) -> list[tuple[str, str]]:
    """Return (type, text) of every block: ids and default properties are the destination's own business."""
    if not blocknote:
        return []
    blocks = orjson.loads(blocknote) if isinstance(blocknote, str) else blocknote
    return [(str(b.get("type")), _text_of(b.get("content"))) for b in blocks]


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(str(piece.get("text", "")) for piece in content or [])


def _raw_json(intended: Any, stored: Any) -> Verdict:
    def parsed(value: Any) -> Any:
        return orjson.loads(value) if isinstance(value, str) else value

    same = parsed(intended) == parsed(stored)
    return (True, "as JSON") if same else (False, DIFFERENT)


def _choices(intended: Any, stored: Any) -> Verdict:
    sent = intended if isinstance(intended, list) else [intended]
    kept = stored if isinstance(stored, list) else [stored]
    if sorted(map(str, sent)) == sorted(map(str, kept)):
        return True, "in another order"
    return False, "other choices are stored"


def _files(intended: Any, stored: Any) -> Verdict:
    sent = {f["fileId"] for f in intended}
    kept = {f.get("fileId") for f in stored}
    return (True, "with the destination's address of the file") if sent == kept else (False, "another file is stored")


_BY_TYPE: dict[str, Callable[[Any, Any], Verdict]] = {
    "TEXT": _plain,
    "UUID": _caseless,
    "SELECT": _plain,
    "RATING": _plain,
    "BOOLEAN": _plain,
    "NUMBER": _number,
    "NUMERIC": _number,
    "POSITION": _plain,
    "DATE": _date,
    "DATE_TIME": _moment,
    "MULTI_SELECT": _choices,
    "ARRAY": _list_of(_plain),
    "RAW_JSON": _raw_json,
    "RICH_TEXT": _rich_text,
    "RICH_TEXT_V2": _rich_text,
    "FILES": _files,
    "EMAILS": _composite(primaryEmail=_caseless, additionalEmails=_list_of(_caseless)),
    "PHONES": _phones,
    "LINKS": _composite(primaryLinkUrl=_url, secondaryLinks=_link_list),
    "CURRENCY": _composite(amountMicros=_number),
    "ADDRESS": _composite(addressLat=_number, addressLng=_number),
    "FULL_NAME": _parts,
    "ACTOR": _parts,
}
