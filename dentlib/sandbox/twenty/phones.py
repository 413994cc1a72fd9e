"""PHONES: parsed by libphonenumber the way the server's JavaScript port does it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import orjson
import phonenumbers

from dentlib.sandbox.twenty.refusals import Json, coded

_EXTENSION = re.compile(
    r"(?:;ext=|[ \u00a0\t,]*(?:e?xt(?:ensi(?:o\u0301?|ó))?n?|доб|anexo)[:.．]?[ \u00a0\t,-]*"
    r"|[ \u00a0\t]*[,;x#~]+[ \u00a0\t]*)(\d{1,20})#?$",
    re.IGNORECASE,
)
_START = re.compile(r"[+＋0-9]")
_END = re.compile(r"[^0-9.#]+$")
_PUNCTUATION = "-x\u2010-\u2015\u2212\u30fc\uff0d-\uff0f \u00a0\u00ad\u200b\u2060\u3000()（）［］.\\[\\]/~⁓∼"
_VIABLE = re.compile(f"[+＋]{{0,1}}(?:[{_PUNCTUATION}]*[0-9]){{2,}}[{_PUNCTUATION}0-9]*")
_MAX_NATIONAL_DIGITS = 17


@lru_cache(maxsize=65536)
def parse(number: str, country: str | None, calling_code: str | None) -> tuple[str, str | None, str | None]:
    """Return national number, country and calling code (with `+`).

    Raises Refusal with INVALID_PHONE_COUNTRY_CODE, INVALID_PHONE_CALLING_CODE, INVALID_PHONE_NUMBER or one of the
    CONFLICTING_ codes. Extensions are dropped and letters end the number: "1-800-DENTIST" is 1800.
    """
    digits_of_code = (calling_code or "").lstrip("+")
    _check_codes(country, calling_code, digits_of_code)
    parsed = _parse(number, country, digits_of_code)
    if parsed is None:
        raise coded(f"Provided phone number is invalid {number}", "INVALID_PHONE_NUMBER")
    inferred = phonenumbers.region_code_for_number(parsed)
    if inferred == "001":
        inferred = None
    if inferred and country and inferred != country:
        raise coded("Provided and inferred country code are conflicting", "CONFLICTING_PHONE_COUNTRY_CODE")
    if digits_of_code and digits_of_code != str(parsed.country_code):
        raise coded("Provided and inferred calling code are conflicting", "CONFLICTING_PHONE_CALLING_CODE")
    national = "0" * (parsed.number_of_leading_zeros or 1) if parsed.italian_leading_zero else ""
    return f"{national}{parsed.national_number}", country or inferred, calling_code or f"+{parsed.country_code}"


def _check_codes(country: str | None, calling_code: str | None, digits_of_code: str) -> None:
    if country and country not in phonenumbers.SUPPORTED_REGIONS:
        raise coded(f"Invalid country code {country}", "INVALID_PHONE_COUNTRY_CODE")
    if not calling_code:
        return
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(int(digits_of_code)) if digits_of_code.isdigit() else None
    if not regions:
        raise coded(f"Invalid calling code {calling_code}", "INVALID_PHONE_CALLING_CODE")
    if country and country not in regions:
        raise coded(
            "Provided country code and calling code are conflicting", "CONFLICTING_PHONE_CALLING_CODE_AND_COUNTRY_CODE"
        )


def _parse(number: str, country: str | None, digits_of_code: str) -> phonenumbers.PhoneNumber | None:
    found = _EXTENSION.search(number)
    body = number[: found.start()] if found and _START.search(number[: found.start()]) else number
    start = _START.search(body)
    body = _END.sub("", body[start.start() :]) if start else ""
    if not _VIABLE.fullmatch(body):
        return None
    if len(re.sub(r"\D", "", body)) > _MAX_NATIONAL_DIGITS + 3:
        return None
    region = country
    if region is None and digits_of_code:
        region = phonenumbers.region_code_for_country_code(int(digits_of_code))
    try:
        parsed = phonenumbers.parse(body, region)
    except phonenumbers.NumberParseException:
        return None
    return None if len(str(parsed.national_number)) > _MAX_NATIONAL_DIGITS else parsed


def coerce_parts(parts: Json, path: str) -> Json:
    """Check the text parts of a PHONES value and put the parsed number in their place."""
    number, country = parts.get("primaryPhoneNumber"), parts.get("primaryPhoneCountryCode")
    calling_code = parts.get("primaryPhoneCallingCode")
    out = dict(parts)
    if number:
        national, country, calling_code = parse(number, country or None, calling_code or None)
        out.update(primaryPhoneNumber=national, primaryPhoneCountryCode=country, primaryPhoneCallingCode=calling_code)
    else:
        _check_codes(country, calling_code, (calling_code or "").lstrip("+"))
    if out.get("additionalPhones") is not None:
        out["additionalPhones"] = [_additional(item) for item in _listed(out["additionalPhones"])]
    return out


def _listed(value: Any) -> list[Json]:
    items = orjson.loads(value) if isinstance(value, str) else value
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _additional(item: Json) -> Json:
    number, country = item.get("number"), item.get("countryCode") or None
    calling_code = item.get("callingCode") or None
    if number:
        number, country, calling_code = parse(number, country, calling_code)
    return {"number": number, "callingCode": calling_code, "countryCode": country}
