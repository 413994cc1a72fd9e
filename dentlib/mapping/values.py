"""Value functions: one dirty text in, a clean value or the code of what is wrong with it out. Pure, no state.

Each returns `(value, code)`. `(value, "")` is a clean value; `(None, code)` could not be read; `(value, code)` was
read, but something about it is worth telling (an extension was dropped). A text that is blank never comes here: what
is missing is the map's business. The SQL in `dentlib.mapping.functions` does the regular shapes in bulk and must
agree with these functions, which see the odd ones, once per distinct text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from functools import cache
from zoneinfo import ZoneInfo

import orjson
import phonenumbers

LONGEST_SAFE_INTEGER = 2**53
"""Above this a JSON number is no longer exact in the destination."""

LONGEST_TEXT_BYTES = 500_000
"""Texts above this may fail in Twenty: its search index takes about 1 MB a record (a recorded 500)."""

_BLANKS = " \t\r\n\f\v\u00a0\u2007\u202f\ufeff"


@dataclass(frozen=True, slots=True)
class ValueContext:
    """What value functions must be told. `date_order`: mdy, dmy, or empty where the export doesn't tell."""

    time_zone: str
    currency: str
    phone_country: str
    run_date: date
    date_order: str = ""
    decimal: str = "."

    @property
    def zone(self) -> ZoneInfo:
        """The practice's time zone."""
        return ZoneInfo(self.time_zone)


@dataclass(frozen=True, slots=True)
class Phone:
    """A phone number as a CRM stores it: national digits, ISO country, calling code with plus."""

    number: str
    country: str
    calling: str


def trim(text: str) -> tuple[str | None, str]:
    """Cut blanks around (no-break ones too) and take NUL characters out."""
    clean = text.replace("\x00", "").strip(_BLANKS)
    return (clean or None), ""


def exact(text: str) -> tuple[str | None, str]:
    """Keep the text character for character; only NUL, which no database stores, is taken out and told."""
    clean = text.replace("\x00", "")
    if len(clean.encode()) > LONGEST_TEXT_BYTES:
        return None, "text_too_long"
    return clean, "nul_removed" if clean != text else ""


EMAIL = re.compile(r"[a-z0-9_'+\-]+(?:\.[a-z0-9_'+\-]+)*@(?:[a-z0-9](?:[a-z0-9\-]*[a-z0-9])?\.)+[a-z]{2,63}")


def email(text: str) -> tuple[str | None, str]:
    """Return the address in small letters. Strict as the destination is: one bad address fails a whole batch."""
    clean = text.strip(_BLANKS + "<>;,").lower().removeprefix("mailto:")
    if not EMAIL.fullmatch(clean) or len(clean) > 254:
        return None, "email_invalid"
    return clean, ""


_TWO_NUMBERS = re.compile(r"\s*(?:[/;|,]|\bor\b|\band\b|&)\s*", re.IGNORECASE)


def phones(text: str, country: str) -> tuple[tuple[Phone, ...], str]:
    """Return the number or numbers that stand in a cell, checked by libphonenumber; never a guess.

    Extensions are dropped by destinations: told as `phone_extension_dropped`. 2147483647 is a number that a program
    once cut off.
    """
    whole = _one_phone(text, country)
    if whole is not None:
        return (whole[0],), whole[1]
    parts = [p for p in _TWO_NUMBERS.split(text.strip(_BLANKS)) if p]
    if len(parts) > 1:
        read = [_one_phone(p, country) for p in parts]
        if all(r is not None for r in read):
            return tuple(dict.fromkeys(r[0] for r in read if r is not None)), "phone_several_in_one"
    return (), "phone_overflowed" if text.strip() == "2147483647" else "phone_invalid"


def _one_phone(text: str, country: str) -> tuple[Phone, str] | None:
    if text.strip() == "2147483647" or sum(c.isalpha() for c in text) > 12:
        return None
    text = re.sub(r"^00(?=[1-9])", "+", text.strip(_BLANKS))
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        return None
    region = phonenumbers.region_code_for_number(number)
    if not region or not phonenumbers.is_valid_number(number):
        return None
    national = phonenumbers.national_significant_number(number)
    letters = re.search(r"[A-Za-z]{3}", re.sub(r"(?i)\b(?:ext\w*|tel|phone|mobile|cell|home|work)\b", "", text))
    note = "phone_extension_dropped" if number.extension else "phone_letters_read" if letters else ""
    return Phone(national, region, f"+{number.country_code}"), note


_MONTHS = {
    m: i for i, m in enumerate(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1)
}
_ISO = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})")
_PARTS = re.compile(r"(\d{1,2})[/.\- ](\d{1,2})[/.\- ](\d{4})")
_YEAR_FIRST = re.compile(r"(\d{4})[/.](\d{1,2})[/.](\d{1,2})")
_DAY_MONTH_NAME = re.compile(r"(\d{1,2})[ \-/.]*([A-Za-z]{3,9})\.?[ \-/.,]*(\d{4})")
_MONTH_NAME_DAY = re.compile(r"([A-Za-z]{3,9})\.?[ \-]*(\d{1,2})(?:st|nd|rd|th)?,?[ \-]*(\d{4})")
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})")
_SHORT_YEAR = re.compile(r"\d{1,2}[/.\-]\d{1,2}[/.\-]\d{2}")
_TIME = re.compile(
    r"(?P<h>\d{1,2}):(?P<m>\d{2})(?::(?P<s>\d{2})(?:[.,](?P<f>\d{1,6})\d*)?)?\s*(?P<half>[AaPp]\.?[Mm]\.?)?"
    r"\s*(?P<zone>Z|[+-]\d{2}:?\d{2})?"
)


def local_date(text: str, context: ValueContext) -> tuple[date | None, str]:
    """Return a calendar date. A point in time with a zone gives the practice's local date.

    Two-digit years and a day-month order that nobody decided are refused, not guessed.
    """
    clean = text.strip(_BLANKS)
    if ":" in clean:
        moment, code = point_in_time(clean, context)
        return (moment.astimezone(context.zone).date() if moment else None), code
    return _calendar(clean, context.date_order)


def _calendar(text: str, order: str) -> tuple[date | None, str]:
    if m := _ISO.fullmatch(text) or _YEAR_FIRST.fullmatch(text) or _COMPACT.fullmatch(text):
        return _make_date(int(m[1]), int(m[2]), int(m[3]))
    if m := _PARTS.fullmatch(text):
        first, second, year = int(m[1]), int(m[2]), int(m[3])
        if order == "mdy":
            return _make_date(year, first, second)
        if order == "dmy":
            return _make_date(year, second, first)
        if first == second or first > 12 or second > 12:
            return _make_date(year, min(first, second) if first > 12 or second > 12 else second, max(first, second))
        return None, "date_order_unknown"
    if m := _DAY_MONTH_NAME.fullmatch(text):
        return _named_month(m[2], int(m[1]), int(m[3]))
    if m := _MONTH_NAME_DAY.fullmatch(text):
        return _named_month(m[1], int(m[2]), int(m[3]))
    return None, "date_two_digit_year" if _SHORT_YEAR.fullmatch(text) else "date_unreadable"


def _named_month(name: str, day: int, year: int) -> tuple[date | None, str]:
    month = _MONTHS.get(name[:3].lower())
    return _make_date(year, month, day) if month else (None, "date_unreadable")


def _make_date(year: int, month: int, day: int) -> tuple[date | None, str]:
    if not 1800 <= year <= 2200:
        return None, "date_out_of_range"
    try:
        return date(year, month, day), ""
    except ValueError:
        return None, "date_impossible"


def birth_date(text: str, context: ValueContext) -> tuple[date | None, str]:
    """Return a date of birth; 1900-01-01 stands for `not known`, and nobody is born after the run's date."""
    value, code = local_date(text, context)
    if value is None:
        return None, code
    if value == date(1900, 1, 1):
        return None, "date_placeholder"
    if value > context.run_date:
        return None, "date_in_future"
    return (None, "date_out_of_range") if value.year < 1890 else (value, "")


def point_in_time(text: str, context: ValueContext, at: time = time()) -> tuple[datetime | None, str]:
    """Return a moment in UTC. Without an offset it is the practice's local time; a date alone is taken at `at`.

    A local time that the clock skipped in spring, or that came twice in autumn, is read in winter time (02:30 on the
    day of the change is 03:30 summer time). DuckDB does the same.
    """
    clean = text.strip(_BLANKS)
    found = _TIME.search(clean) if ":" in clean else None
    if found is None:
        day, code = _calendar(clean, context.date_order)
        return (_utc(datetime.combine(day, at), context) if day else None), code
    day, code = _calendar(clean[: found.start()].rstrip(" T,"), context.date_order)
    rest = clean[found.end() :].strip()
    if day is None or rest:
        return None, code or "date_unreadable"
    hour = int(found["h"])
    if found["half"]:
        if not 1 <= hour <= 12:
            return None, "time_impossible"
        hour = hour % 12 + (12 if found["half"][0] in "Pp" else 0)
    try:
        fraction = int((found["f"] or "0").ljust(6, "0")) // 1000 * 1000
        moment = datetime.combine(day, time(hour, int(found["m"]), int(found["s"] or 0), fraction))
    except ValueError:
        return None, "time_impossible"
    if found["zone"]:
        return _with_offset(moment, found["zone"]), ""
    return _utc(moment, context), ""


def _utc(local: datetime, context: ValueContext) -> datetime:
    readings = [local.replace(tzinfo=context.zone, fold=fold) for fold in (0, 1)]
    return min(readings, key=lambda r: r.utcoffset() or timedelta()).astimezone(UTC)


def _with_offset(moment: datetime, offset: str) -> datetime:
    written = "+00:00" if offset == "Z" else offset if ":" in offset else f"{offset[:3]}:{offset[3:]}"
    return datetime.fromisoformat(moment.isoformat() + written).astimezone(UTC)


_CURRENCY_SIGNS = re.compile(r"(?i)\b(?:USD|EUR|GBP|TRY|TL|CHF|CAD|AUD)\b|[$€£₺¥]")


def money(text: str, decimal: str = ".") -> tuple[Decimal | None, str]:
    """Return an exact amount: signs of currency, thousands separators, (parentheses) and trailing minus are read."""
    clean = _CURRENCY_SIGNS.sub("", text).translate({ord(c): None for c in _BLANKS + "'’"})
    negative = clean.startswith("(") and clean.endswith(")")
    clean = clean.strip("()")
    if clean.endswith("-"):
        negative, clean = True, clean[:-1]
    thousands = "," if decimal == "." else "."
    shape = rf"[+-]?(?:\d{{1,3}}(?:\{thousands}\d{{3}})+|\d+)(?:\{decimal}\d{{1,6}})?|[+-]?\{decimal}\d{{1,6}}"
    if not re.fullmatch(shape, clean):
        return None, "money_unreadable"
    try:
        value = Decimal(clean.replace(thousands, "").replace(decimal, "."))
    except InvalidOperation:
        return None, "money_unreadable"
    value = -value if negative else value
    return (value, "") if abs(micros(value)) < LONGEST_SAFE_INTEGER else (None, "money_too_large")


def micros(amount: Decimal) -> int:
    """Return an amount in millionths, exactly."""
    return int((amount * 1_000_000).to_integral_exact())


def integer(text: str) -> tuple[int | None, str]:
    """Return a whole number; `30.0` is one, `30.5` is not."""
    clean = text.strip(_BLANKS)
    if not re.fullmatch(r"[+-]?\d{1,15}(?:\.0+)?", clean):
        return None, "integer_unreadable"
    return int(clean.split(".")[0]), ""


_TRUE = frozenset(["y", "yes", "true", "t", "1", "x", "on", "j", "ja", "o", "oui", "evet", "e", "var", "vrai", "waar"])
_FALSE = frozenset(["n", "no", "false", "f", "0", "off", "nee", "non", "hayir", "hayır", "yok", "faux", "onwaar"])


def boolean(text: str) -> tuple[bool | None, str]:
    """Return yes or no, in the languages of the vocabulary."""
    clean = text.strip(_BLANKS).lower()
    if clean in _TRUE:
        return True, ""
    return (False, "") if clean in _FALSE else (None, "boolean_unreadable")


_SURFACE_ORDER = "MODBLFIVP"


def surfaces(text: str) -> tuple[str | None, str]:
    """Return tooth surfaces in the order M O D B L F I V P, each once: `dom` → `MOD`."""
    letters = re.sub(r"[\s,;/+\-]", "", text.strip(_BLANKS)).upper()
    if not letters or any(c not in _SURFACE_ORDER for c in letters):
        return None, "surface_unknown"
    return "".join(c for c in _SURFACE_ORDER if c in letters), ""


def teeth(text: str) -> tuple[tuple[str, ...], str]:
    """Return the teeth of a list in order, in the notation they came in; ranges of numbers are spelt out."""
    found: list[str] = []
    for token in re.split(r"[\s,;&+]+", text.strip(_BLANKS).upper()):
        if m := re.fullmatch(r"(\d{1,2})-(\d{1,2})", token):
            first, last = int(m[1]), int(m[2])
            if not first < last <= first + 16:
                return (), "tooth_unknown"
            found += [str(n) for n in range(first, last + 1)]
        elif re.fullmatch(r"#?(\d{1,2}|[A-T]S?)", token):
            found.append(token.lstrip("#"))
        elif token:
            return (), "tooth_unknown"
    return tuple(dict.fromkeys(found)), "" if found else "tooth_unknown"


def blocknote(text: str) -> tuple[str | None, str]:
    """Return the text as BlockNote JSON, one paragraph per line, so that it is kept character for character.

    (The same text sent as Markdown is re-read: `* x` becomes a list item. Recorded.)
    """
    clean, code = exact(text)
    if clean is None:
        return None, code
    return "[" + ",".join(_paragraph(line) for line in re.split(r"\r\n|\r|\n", clean)) + "]", code


def _paragraph(line: str) -> str:
    if not line:
        return '{"type":"paragraph","content":[]}'
    return f'{{"type":"paragraph","content":[{{"type":"text","text":{orjson.dumps(line).decode()},"styles":{{}}}}]}}'


def blocknote_text(blocks: str) -> str:
    """Return the text that `blocknote` was made of, its line breaks as `\\n`: the way back."""
    lines = ["".join(part["text"] for part in block["content"]) for block in orjson.loads(blocks)]
    return "\n".join(lines)


_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9\-]*[a-z0-9])?\.)+[a-z]{2,63}(?::\d{1,5})?", re.IGNORECASE)


def link(text: str) -> tuple[str | None, str]:
    """Return a web address with its scheme; anything but http and https is refused."""
    clean = text.strip(_BLANKS)
    scheme, separator, rest = clean.partition("://")
    if not separator:
        scheme, rest = "https", clean
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if scheme.lower() not in ("http", "https") or not _HOST.fullmatch(host) or re.search(r"[\s\"<>]", rest):
        return None, "link_invalid"
    return f"{scheme.lower()}://{rest}", ""


_CATEGORIES = {
    "ARCHIVE": "zip rar 7z tar gz",
    "AUDIO": "mp3 wav ogg m4a flac",
    "IMAGE": "png jpg jpeg gif bmp tif tiff webp heic svg dcm dicom",
    "PRESENTATION": "ppt pptx odp key",
    "SPREADSHEET": "xls xlsx ods csv",
    "TEXT_DOCUMENT": "pdf doc docx odt rtf txt md html htm",
    "VIDEO": "mp4 mov avi mkv webm",
}


@cache
def _category_of() -> dict[str, str]:
    return {extension: kind for kind, extensions in _CATEGORIES.items() for extension in extensions.split()}


def file_label(text: str) -> tuple[str | None, str]:
    """Return the bare name of a file; a path out of the folder or a name without extension is refused."""
    name = re.split(r"[\\/]", text.strip(_BLANKS))[-1]
    if not name or name in (".", "..") or "\x00" in name:
        return None, "file_name_unsafe"
    return (name, "") if re.fullmatch(r".+\.[A-Za-z0-9]{1,8}", name) else (None, "file_without_extension")


def file_category(text: str) -> tuple[str | None, str]:
    """Return the destination's category of a file by its extension (as recorded, it is not derived there)."""
    name, code = file_label(text)
    return (None, code) if name is None else (_category_of().get(name.rsplit(".", 1)[1].lower(), "OTHER"), "")
