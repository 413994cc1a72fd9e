"""Bytes of small, valid PDF and PNG files, written by hand so that they are the same on every machine."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path


def pdf(text: str, padding_bytes: int = 0) -> bytes:
    """Make a one-page PDF that shows `text` (ASCII), with an unused stream of `padding_bytes` zeros."""
    head, tail = _pdf_around_padding(text, padding_bytes)
    return head + b"\0" * padding_bytes + tail


def write_large_pdf(path: Path, text: str, padding_bytes: int) -> int:
    """Write the same file as `pdf` would, leaving a hole for the padding where the file system can; return its size."""
    head, tail = _pdf_around_padding(text, padding_bytes)
    with path.open("wb") as sink:
        sink.write(head)
        sink.seek(padding_bytes, 1)
        sink.write(tail)
    return len(head) + padding_bytes + len(tail)


def large_pdf_bytes(text: str, padding_bytes: int) -> int:
    """Tell the size of that file without writing it."""
    head, tail = _pdf_around_padding(text, padding_bytes)
    return len(head) + padding_bytes + len(tail)


def _pdf_around_padding(text: str, padding_bytes: int) -> tuple[bytes, bytes]:
    safe = text.encode("ascii", "replace").replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")
    content = b"BT /F1 14 Tf 72 720 Td (" + safe + b") Tj ET"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    head = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(head))
        head += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    tail, shift = b"", 0
    if padding_bytes:
        offsets.append(len(head))
        head += b"%d 0 obj\n<< /Length %d >>\nstream\n" % (len(offsets), padding_bytes)
        tail, shift = b"\nendstream\nendobj\n", padding_bytes
    table_at = len(head) + shift + len(tail)
    tail += b"xref\n0 %d\n0000000000 65535 f \n" % (len(offsets) + 1)
    tail += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    tail += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(offsets) + 1, table_at)
    return head, tail


def png(shade: int, side_px: int = 24) -> bytes:
    """Make a square greyscale picture with a gradient that begins at `shade` (0 to 255)."""
    rows = b"".join(
        b"\0" + bytes((shade + across * 3 + down * 5) % 256 for across in range(side_px)) for down in range(side_px)
    )
    header = struct.pack(">IIBBBBB", side_px, side_px, 8, 0, 0, 0, 0)
    # Level 0 stores without compressing, so that no zlib version makes other bytes.
    return (
        b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows, 0)) + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
