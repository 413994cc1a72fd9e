"""Tell how a text file is encoded, and give it to the readers as UTF-8. Streams; memory doesn't grow with the file."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dentlib.errors import ExportError

BLOCK_BYTES = 1 << 20
LONGEST_LINE_BYTES = 64 << 20
_MAGIC = {
    b"%PDF": "pdf",
    b"\x89PNG": "png",
    b"\xff\xd8\xff": "jpg",
    b"GIF8": "gif",
    b"II*\0": "tif",
    b"MM\0*": "tif",
    b"PK\x03\x04": "zip",
    b"\xd0\xcf\x11\xe0": "office",
    b"SQLite format 3\0": "sqlite",
    b"\x1f\x8b": "gz",
}
_ASCII = bytes(range(128))
_CONTROL = bytes(set(range(32)) - {9, 10, 12, 13, 0, 26})
_NOT_CONTROL = bytes(set(range(256)) - set(_CONTROL))
_TURKISH = b"\xd0\xdd\xde\xf0\xfd\xfe"  # Ğ İ Ş ğ ı ş; under cp1252 Ð Ý Þ ð ý þ, which West European text hardly has
_DOS_LETTER = re.compile(rb"[A-Za-z][\x80-\x90\x93\x94\x97-\x9a\xa0-\xa5][a-z]")
_HIGH_RUN = re.compile(rb"[\x80-\xff]{2,}")
_TURKISH_SHARE = 0.08
_GREEK_RUN_SHARE = 0.5
_DOS_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Encoding:
    """An encoding (a Python codec name) and how it was decided. `nul_bytes` are dropped when the text is read."""

    name: str
    reason: str
    nul_bytes: int = 0

    @property
    def is_plain(self) -> bool:
        """Tell whether the file can be read as it lies there."""
        return self.name in ("utf-8", "utf-8-sig") and not self.nul_bytes


def detect_encoding(path: Path) -> Encoding | None:
    """Decide a file's encoding from its bytes, all of them; None when it isn't text. Reads only.

    Byte order marks decide first, then valid UTF-8, then UTF-16 by its zero bytes; the rest is decided between
    cp1254 (by its Turkish letters), cp1253 (Greek comes in runs), cp850 (DOS letters inside words) and cp1252.
    Raises ExportError for a line longer than 64 MB.
    """
    with path.open("rb") as file:
        head = file.read(4096)
    if head.startswith(tuple(_MAGIC)):
        return None
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return Encoding("utf-32", "byte order mark")
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return Encoding("utf-16", "byte order mark")
    tally = _tally(path)
    if tally.controls * 200 > tally.size:
        return None
    if tally.nul_bytes * 10 > tally.size:
        side = _zero_side(head)
        return Encoding(side, "every other byte is zero") if side else None
    if tally.utf8:
        marked = head.startswith(codecs.BOM_UTF8)
        reason = "byte order mark" if marked else "valid throughout" if tally.high else "only ASCII characters"
        return Encoding("utf-8-sig" if marked else "utf-8", reason, tally.nul_bytes)
    name, reason = _single_byte(tally)
    return Encoding(name, f"not valid UTF-8; {reason}", tally.nul_bytes)


def looks_like(path: Path) -> str:
    """Return what a file's first bytes say it is (pdf, png, jpg, gif, tif, zip, office …), or nothing. Reads only."""
    with path.open("rb") as file:
        head = file.read(16)
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), "")


@dataclass(slots=True)
class _Tally:
    size: int = 0
    nul_bytes: int = 0
    controls: int = 0
    utf8: bool = True
    high: int = 0
    in_runs: int = 0
    dos_letters: int = 0
    high_bytes: Counter[int] | None = None


def _tally(path: Path) -> _Tally:
    tally = _Tally(high_bytes=Counter())
    decoder = codecs.getincrementaldecoder("utf-8")()
    since_newline = 0
    for block in _blocks(path):
        tally.size += len(block)
        tally.nul_bytes += block.count(0)
        tally.controls += len(block.translate(None, _NOT_CONTROL))
        last_newline = max(block.rfind(b"\n"), block.rfind(b"\r"))
        since_newline = since_newline + len(block) if last_newline < 0 else len(block) - last_newline
        if since_newline > LONGEST_LINE_BYTES:
            raise ExportError(
                f"{path.name} has a line longer than 64 MB", "this is not a table; take it out of the export"
            )
        if tally.utf8:
            try:
                decoder.decode(block)
            except UnicodeDecodeError:
                tally.utf8 = False
        if not block.isascii():
            _count_high(tally, block)
    if tally.utf8:
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            tally.utf8 = False
    return tally


def _count_high(tally: _Tally, block: bytes) -> None:
    high = block.translate(None, _ASCII)
    tally.high += len(high)
    if tally.utf8:
        return  # the tables below are only needed for single-byte encodings; a late failure still sees later blocks
    assert tally.high_bytes is not None
    tally.high_bytes.update(high)
    tally.in_runs += sum(len(r) for r in _HIGH_RUN.findall(block))
    tally.dos_letters += len(_DOS_LETTER.findall(block))


def _single_byte(tally: _Tally) -> tuple[str, str]:
    assert tally.high_bytes is not None
    seen = max(1, sum(tally.high_bytes.values()))
    turkish = sum(tally.high_bytes[b] for b in _TURKISH)
    if tally.dos_letters > _DOS_SHARE * seen:
        return "cp850", f"{tally.dos_letters} of {seen} high bytes are DOS letters inside words"
    if tally.in_runs > _GREEK_RUN_SHARE * seen:
        cyrillic = tally.high_bytes[0xFF] + tally.high_bytes[0xD2]  # я and Т; Greek has nothing there
        name = "cp1251" if cyrillic else "cp1253"
        return name, f"{tally.in_runs} of {seen} high bytes come in runs, as in an alphabet of its own"
    if turkish > _TURKISH_SHARE * seen:
        return "cp1254", f"{turkish} of {seen} high bytes are Turkish letters"
    return "cp1252", f"{turkish} of {seen} high bytes would be Turkish letters, none in runs: West European"


def _zero_side(head: bytes) -> str:
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if odd > 4 * even and odd * 3 > len(head) // 2:
        return "utf-16-le"
    if even > 4 * odd and even * 3 > len(head) // 2:
        return "utf-16-be"
    return ""


def as_utf8(path: Path, encoding: Encoding, folder: Path) -> Path:
    """Return the file itself where it is UTF-8 already, else a UTF-8 copy of it in `folder`.

    Bytes without a meaning in cp1252 and its kin become the control character of the same number, so that none is
    lost; zero bytes are dropped (their number is in `encoding`). Line ends stay as they are.
    """
    if encoding.is_plain:
        return path
    copy = folder / f"{path.name}.utf8"
    decoder = codecs.getincrementaldecoder(encoding.name)(errors="dentlib-same-number")
    with copy.open("w", encoding="utf-8", newline="") as out:
        for block in _blocks(path):
            out.write(decoder.decode(block).replace("\0", ""))
        out.write(decoder.decode(b"", final=True).replace("\0", ""))
    return copy


def _same_number(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(b) for b in error.object[error.start : error.end]), error.end


codecs.register_error("dentlib-same-number", _same_number)


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield block
