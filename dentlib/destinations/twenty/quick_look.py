"""Tell in microseconds that records are plainly fine. Says no where it isn't sure; never yes to what is not fine.

Compiled from the fields with pydantic's own engine, which checks thousands of values a millisecond.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic_core import SchemaValidator, core_schema

from dentlib.destinations.twenty import judging
from dentlib.destinations.twenty.describe import Shape, columns_of
from dentlib.model import JSON

_EXACT = 1 << 53
_UNIQUE_CHARACTERS = 600
Schema = core_schema.CoreSchema


def _of(judge: judging.Judge) -> Schema:
    """Hand a value to the judge itself, where the engine has no check of its own."""

    def check(value: Any) -> Any:
        if judge(value):
            raise ValueError
        return value

    return core_schema.no_info_plain_validator_function(check)


_TEXT = core_schema.str_schema(strict=True)
_UUID = core_schema.str_schema(strict=True, pattern=rf"^(?:{judging.UUID})\z")
_INTEGER = core_schema.int_schema(strict=True, gt=-_EXACT, lt=_EXACT)
_NUMBER = core_schema.union_schema([_INTEGER, core_schema.float_schema(strict=True, gt=-_EXACT, lt=_EXACT)])
_MAIL = core_schema.str_schema(
    strict=True, pattern=r"^(?:[A-Za-z0-9._%+-]+@(?:[A-Za-z0-9]+(?:-+[A-Za-z0-9]+)*\.)+[A-Za-z]{2,})?\z"
)
_DAY_PATTERN = (
    r"(?:19|20)\d\d-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)"
    r"|02-(?:0[1-9]|1\d|2[0-8]))"
)
_TIME_PATTERN = r"T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,3})?Z"


def _pattern_or(pattern: str, judge: judging.Judge) -> Schema:
    """Look at the pattern first; ask the judge about what doesn't fit, such as the 29th of February."""
    plain = core_schema.str_schema(strict=True, pattern=rf"^(?-u:{pattern})\z")
    return core_schema.union_schema([plain, _of(judge)], mode="left_to_right")


class _SeenPhones:
    """Pass numbers like one that was judged before: same country and code, same first digits and length."""

    def __init__(self) -> None:
        self._fine: set[tuple[str, str, str, int]] = set()

    def __call__(self, value: Any) -> Any:
        try:
            number, others = value["primaryPhoneNumber"], value["additionalPhones"]
            keys = [(value["primaryPhoneCountryCode"], value["primaryPhoneCallingCode"], number[:6], len(number))]
            plain = number.isascii() and number.isdigit() and len(value) == _PHONE_PARTS
            for other in others:
                number = other["number"]
                keys.append((other["countryCode"], other["callingCode"], number[:6], len(number)))
                plain = plain and number.isascii() and number.isdigit() and len(other) == _OTHER_PARTS
        except (TypeError, KeyError, AttributeError):
            plain, keys = False, []
        if plain and self._fine.issuperset(keys):
            return value
        if judging.phones(value):
            raise ValueError
        if plain:
            self._fine.update(keys)
        return value


_PHONE_PARTS, _OTHER_PARTS = 4, 3


_SIMPLE: Mapping[str, Schema] = {
    "TEXT": _TEXT,
    "NUMBER": _NUMBER,
    "NUMERIC": _NUMBER,
    "BOOLEAN": core_schema.bool_schema(strict=True),
    "UUID": _UUID,
    "DATE": _pattern_or(_DAY_PATTERN, judging.day),
    "DATE_TIME": _pattern_or(_DAY_PATTERN + _TIME_PATTERN, judging.moment),
    "PHONES": core_schema.no_info_plain_validator_function(_SeenPhones()),
    "ARRAY": core_schema.list_schema(_TEXT, strict=True),
}


def _parts(parts: Mapping[str, Schema]) -> Schema:
    fields = {
        name: core_schema.typed_dict_field(core_schema.nullable_schema(schema), required=False)
        for name, schema in parts.items()
    }
    return core_schema.typed_dict_schema(fields, extra_behavior="forbid", strict=True)


_COMPOSITE: Mapping[str, Schema] = {
    "FULL_NAME": _parts({"firstName": _TEXT, "lastName": _TEXT}),
    "EMAILS": _parts({"primaryEmail": _MAIL, "additionalEmails": core_schema.list_schema(_MAIL, strict=True)}),
    "CURRENCY": _parts({"amountMicros": _INTEGER, "currencyCode": _TEXT}),
    "ADDRESS": _parts(
        dict.fromkeys((p for p in judging.COMPOSITES["ADDRESS"] if p[7:10] not in ("Lat", "Lng")), _TEXT)
    ),
}


class QuickLook:
    """The quick look at one object's records."""

    def __init__(self, shape: Shape, judges: Mapping[str, judging.Judge], not_null: Collection[str]) -> None:
        fields = {}
        for field in shape.fields:
            for name in columns_of(field) or (field["name"],):
                if name in judges:
                    schema = _UUID if columns_of(field) else _schema_of(field, judges[name])
                    nullable = schema if name in not_null else core_schema.nullable_schema(schema)
                    fields[name] = core_schema.typed_dict_field(nullable, required=False)
        record = core_schema.typed_dict_schema(fields, extra_behavior="forbid", strict=True)
        self._validator = SchemaValidator(core_schema.list_schema(record))

    def passes(self, records: Sequence[JSON]) -> bool:
        """Tell that all of these are plainly fine."""
        return bool(self._validator.isinstance_python(records))


def _schema_of(field: JSON, judge: judging.Judge) -> Schema:
    kind = field["type"]
    if field["isUnique"] and kind == "TEXT":
        return core_schema.str_schema(strict=True, max_length=_UNIQUE_CHARACTERS)
    if kind in ("SELECT", "RATING"):
        values = [o["value"] for o in field.get("options") or ()]
        return core_schema.literal_schema(values) if values else _of(judge)
    return _SIMPLE.get(kind) or _COMPOSITE.get(kind) or _of(judge)
