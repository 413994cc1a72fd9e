"""Check and convert the simple field types, with the exact refusals.

Every coercer takes the JSON value and the field's path for messages, and returns what is stored; None means null.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson

from dentlib.sandbox.twenty.ids import is_uuid
from dentlib.sandbox.twenty.refusals import Refusal, database_error, inspect, invalid_args

Coerce = Callable[[Any, str], Any]

_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})|(\d{4})(\d{2})(\d{2})|(\d{1,2})/(\d{1,2})/(\d{4})")
_MOMENT = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?\s*(Z|[+-]\d{2}(?::?\d{2})?)?)?",
    re.IGNORECASE,
)


def text(value: Any, path: str) -> Any:
    """TEXT: strings only; the empty string is stored as null."""
    if isinstance(value, str):
        return value or None
    if value is None:
        return None
    raise invalid_args(f'Invalid string value {inspect(value)} for text field "{path}"', f'Invalid value: "{value}"')


def number(value: Any, path: str) -> Any:
    """NUMBER: JSON numbers only."""
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    raise invalid_args(f'Invalid number value {inspect(value)} for field "{path}"', f'Invalid value: "{value}"')


def numeric(value: Any, path: str) -> Any:
    """Amounts and coordinates: JSON numbers, or strings that JavaScript's Number() understands."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        try:
            value = float(value.strip() or "0") if "_" not in value else math.nan
        except ValueError:
            value = math.nan
    if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value):
        shown = value if isinstance(value, (int, float)) else math.nan
        raise invalid_args(f'Invalid number value {inspect(shown)} for field "{path}"', "Invalid number value")
    return value


def micros(value: Any, path: str) -> Any:
    """Amount in micros: a 64-bit float as in JavaScript, its fraction cut off."""
    amount = numeric(value, path)
    return None if amount is None else int(float(amount))


def coordinate(value: Any, path: str) -> Any:
    """Latitude and longitude."""
    amount = numeric(value, path)
    return int(amount) if isinstance(amount, float) and amount.is_integer() else amount


def coordinate_text(value: Any, path: str) -> Any:
    """Latitude and longitude as older versions read them back: text, as the database's driver gives it."""
    amount = coordinate(value, path)
    return None if amount is None else str(amount)


def boolean(value: Any, path: str) -> Any:
    """BOOLEAN: true, false or null."""
    if value is None or value is True or value is False:
        return value
    raise invalid_args(f'Invalid boolean value {inspect(value)} for field "{path}"', f'Invalid value: "{value}"')


def day(value: Any, path: str) -> Any:
    """DATE: `YYYY-MM-DD`, `YYYYMMDD` or month-first with slashes; stored as `YYYY-MM-DD`."""
    if value is None or value == "":
        return None
    found = _DATE.fullmatch(value) if isinstance(value, str) else None
    if found:
        g = found.groups()
        year, month, of_month = g[0:3] if g[0] else g[3:6] if g[3] else (g[8], g[6], g[7])
        try:
            return date(int(year), int(month), int(of_month)).isoformat()
        except ValueError:
            found = None
    raise invalid_args(
        f"Invalid value {inspect(value)} for date field \"{path}\". Expected format: 'YYYY-MM-DD'",
        f'Invalid value: "{value}"',
    )


def moment(value: Any, path: str) -> Any:
    """DATE_TIME: ISO 8601, no zone means UTC; stored in UTC with milliseconds, further digits cut."""
    if value is None or value == "":
        return None
    if isinstance(value, str) and len(value) == 24 and value[23] == "Z" and value[19] == "." and value[10] == "T":
        try:
            datetime.fromisoformat(value)
        except ValueError:
            pass  # not in the stored form after all: read it the slow way
        else:
            return value
    found = _MOMENT.fullmatch(value) if isinstance(value, str) else None
    if found:
        year, month, of_month, hour, minute, second, fraction, zone = found.groups()
        millis = int((fraction or "0").ljust(3, "0")[:3])
        try:
            at = datetime(
                int(year), int(month), int(of_month), int(hour or 0), int(minute or 0), int(second or 0), millis * 1000
            )
            if zone and zone not in "Zz":
                digits = zone[1:].replace(":", "").ljust(4, "0")
                offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
                at = at - offset if zone[0] == "+" else at + offset
        except (ValueError, OverflowError):
            found = None
        else:
            return f"{at.replace(tzinfo=UTC).strftime('%Y-%m-%dT%H:%M:%S').zfill(19)}.{millis:03d}Z"
    raise invalid_args(
        f"Invalid value {inspect(value)} for date-time field \"{path}\". Expected format: 'YYYY-MM-DDTHH:mm:ssZ'",
        f'Invalid value: "{value}"',
    )


def parsed_day(value: Any, path: str) -> Any:
    """DATE as older versions take it: whatever JavaScript reads as a date; the database judges the calendar."""
    if isinstance(value, str) and _MOMENT.fullmatch(value):
        return _of_database(day, value[:10], value, path)
    if isinstance(value, str) and value.isdigit():
        raise _no_date(value, path)
    return _of_database(day, value, value, path)


def parsed_moment(value: Any, path: str) -> Any:
    """DATE_TIME as older versions take it; see `parsed_day`."""
    return _of_database(moment, value, value, path)


def _of_database(check: Coerce, value: Any, given: Any, path: str) -> Any:
    try:
        return check(value, path)
    except Refusal as refusal:
        if isinstance(given, (int, float)) and not isinstance(given, bool):
            raise database_error(f'date/time field value out of range: "{given}"') from refusal
        if isinstance(given, str) and _could_be_a_date(given):
            raise database_error(f'date/time field value out of range: "{given}"') from refusal
        raise _no_date(given, path) from refusal


def _could_be_a_date(text: str) -> bool:
    """Tell whether JavaScript takes this for a date, though the calendar has none: the 30th of February."""
    found = _MOMENT.fullmatch(text) or _DATE.fullmatch(text)
    if found is None:
        return False
    g = found.groups()
    month, of_month = (g[1], g[2]) if found.re is _MOMENT or g[0] else (g[6], g[7])
    return month is not None and 1 <= int(month) <= 12 and 1 <= int(of_month) <= 31


def _no_date(value: Any, path: str) -> Refusal:
    return invalid_args(
        f'Invalid value {inspect(value)} for date or date-time field "{path}"', f'Invalid value: "{value}"'
    )


def uuid_value(value: Any, path: str) -> Any:
    """UUID: dashed, lower-cased."""
    if value is None:
        return None
    if isinstance(value, str) and is_uuid(value):
        return value.lower()
    raise invalid_args(f'Invalid UUID value {inspect(value)} for field "{path}"', f'Invalid UUID value: "{value}"')


def raw_json(value: Any, path: str) -> Any:
    """RAW_JSON: an object, a list, or JSON text of one."""
    if value is None or isinstance(value, (dict, list)):
        return value
    if isinstance(value, str):
        try:
            parsed = orjson.loads(value)
        except orjson.JSONDecodeError:
            parsed = value
        if isinstance(parsed, (dict, list)):
            return parsed
    raise invalid_args(f'Invalid object value {inspect(value)} for field "{path}"', "Invalid value for JSON.")


def string_list(value: Any, path: str) -> Any:
    """ARRAY: a list of strings; one string becomes a list of one."""
    if value is None:
        return None
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    raise invalid_args(
        f'Invalid value {inspect(value)} for field "{path} - Array values need to be string"',
        f'Invalid value: "{value}"',
    )


def select(values: Sequence[str], lists: bool = True) -> Coerce:
    """SELECT: one of the options' values; `lists`: a refusal names them."""
    allowed = frozenset(values)
    listed = ", ".join(values)

    def coerce(value: Any, path: str) -> Any:
        if value is None or (isinstance(value, str) and value in allowed):
            return value
        shown = value if isinstance(value, str) else inspect(value)
        told = (
            f'"{shown}" for field "{path}". Valid values are: {listed}'
            if lists
            else f'{inspect(value)} for field "{path}"'
        )
        raise invalid_args(f"Invalid value {told}", f'Invalid value for field "{path}"')

    return coerce


def rating(values: Sequence[str], lists: bool = True) -> Coerce:
    """RATING: a SELECT that first wants a string."""
    choose = select(values, lists)

    def coerce(value: Any, path: str) -> Any:
        return choose(value if value is None else text(value, path), path)

    return coerce


def multi_select(values: Sequence[str]) -> Coerce:
    """MULTI_SELECT: a list of options' values, repeats kept; one value becomes a list of one."""
    allowed = frozenset(values)

    def coerce(value: Any, path: str) -> Any:
        if value is None:
            return None
        items = [value] if isinstance(value, str) else value
        if isinstance(items, list) and all(isinstance(item, str) and item in allowed for item in items):
            return items
        raise invalid_args(
            f'Invalid value {inspect(value)} for multi select field "{path}"', f'Invalid value for field "{path}"'
        )

    return coerce
