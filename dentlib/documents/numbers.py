"""How figures and words are written on client pages: one way, defined once, for template filters and sentences."""

from __future__ import annotations

from datetime import datetime

_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


_FORMAT_WORDS = {
    "%Y": "YYYY",
    "%y": "YY",
    "%m": "MM",
    "%d": "DD",
    "%b": "Mon",
    "%B": "Month",
    "%H": "hh",
    "%I": "hh",
    "%M": "mm",
    "%S": "ss",
    "%f": "ffffff",
    "%p": "AM/PM",
}


def count(n: int) -> str:
    """Write a count with thousands separated: `4,871`."""
    return f"{n:,}"


def percent(n: int, of: int) -> str:
    """Write a share as `6.4 %`; empty where there is nothing to share.

    Something is never written as `0.0 %`, and not quite everything never as `100 %`.
    """
    if of <= 0:
        return ""
    if n in (0, of):
        return "100 %" if n else "0 %"
    value = 100 * n / of
    if 0 < value < 0.1:
        return "< 0.1 %"
    if 99.9 < value < 100:
        return "> 99.9 %"
    return f"{value:.1f} %"


def share(n: int, of: int) -> str:
    """Write a count with what it is a share of: `312 of 4,871 (6.4 %)`; no percentage of nothing."""
    part = percent(n, of)
    return f"{count(n)} of {count(of)} ({part})" if part else f"{count(n)} of {count(of)}"


def share_of(n: int, of: int, one: str, many: str = "") -> str:
    """Write a share with its noun: `4 of 5 tables (80.0 %)`; `no tables` where there are none."""
    if of == 0:
        return things(0, one, many)
    return f"{count(n)} of {things(of, one, many)} ({percent(n, of)})"


def are(n: int) -> str:
    """Write a count with its verb: `1 is`, `3 are`, `none is`."""
    return "none is" if n == 0 else "1 is" if n == 1 else f"{count(n)} are"


def sentence(*parts: str) -> str:
    """Join parts into sentences: each begins with a capital letter and ends with a mark; empty parts are left out."""
    written = [p.strip() for p in parts if p.strip()]
    return " ".join(p[0].upper() + p[1:] + ("" if p[-1] in ".!?" else ".") for p in written)


def size(n_bytes: int) -> str:
    """Write a file size in decimal units: `812 bytes`, `14.2 kB`, `3.1 MB`."""
    if n_bytes < 1000:
        return f"{n_bytes} bytes"
    value = float(n_bytes)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.95:
            return f"{value:.1f} {unit}"
    return f"{value / 1000:,.1f} TB"


def duration(seconds: float) -> str:
    """Write a length of time: `40 s`, `12 min`, `1 h 05 min`."""
    if seconds < 59.5:
        return f"{seconds:.0f} s" if seconds >= 0.95 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def moment(at: datetime) -> str:
    """Write a moment in its own time zone: `20 November 2026, 09:59 UTC`; the same under every locale."""
    zone = at.tzname() or ""
    return f"{at.day} {_MONTHS[at.month - 1]} {at.year}, {at:%H:%M} {zone}".strip()


def things(n: int, one: str, many: str = "") -> str:
    """Write a count with its noun: `1 table`, `3 tables`, `no tables`."""
    plural = many or f"{one}s"
    return f"no {plural}" if n == 0 else f"1 {one}" if n == 1 else f"{count(n)} {plural}"


def listing(names: list[str], most: int = 6) -> str:
    """Write names as a sentence would: `a, b and c`; beyond `most` the rest is counted."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {count(len(names) - most)} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def readable(text: str) -> str:
    """Write the date formats in a text as people do: `%m/%d/%Y` becomes `MM/DD/YYYY`."""
    for code, word in _FORMAT_WORDS.items():
        text = text.replace(code, word)
    return text


def first_upper(text: str) -> str:
    """Begin a cell with a capital letter, as the other cells of its column do."""
    return text[:1].upper() + text[1:]
