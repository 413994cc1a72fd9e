"""Encodings: each decided for a stated reason, and read without losing a character."""

from __future__ import annotations

from pathlib import Path

import pytest

from dentlib.extraction.texts import as_utf8, detect_encoding

FRENCH = "Nom;Ville\r\nLefèvre;Besançon\r\nGarçon;Orléans\r\nÉtienne;Nîmes\r\nMüller;Zürich\r\n"
TURKISH = "Ad;Şehir\r\nIşık Öztürk;İstanbul\r\nÇağla Yıldız;Muğla\r\nGüneş;Diyarbakır\r\n"
GREEK = "Όνομα;Πόλη\r\nΓιώργος;Αθήνα\r\nΕλένη;Θεσσαλονίκη\r\n"
RUSSIAN = "Имя;Город\r\nАнастасия;Москва\r\nЯна;Тверь\r\n"
DOS = "Name;Ort\r\nMüller;Köln\r\nSchäfer;Lübeck\r\nGroßmann;Gräfelfing\r\n"


@pytest.mark.parametrize(
    ("text", "codec", "decided"),
    [
        ("a,b\n1,2\n", "ascii", "utf-8"),
        (FRENCH, "utf-8", "utf-8"),
        (FRENCH, "utf-8-sig", "utf-8-sig"),
        (FRENCH, "utf-16", "utf-16"),
        (FRENCH, "utf-16-le", "utf-16-le"),
        (FRENCH, "utf-16-be", "utf-16-be"),
        (FRENCH, "cp1252", "cp1252"),
        (FRENCH, "iso-8859-1", "cp1252"),
        (TURKISH, "cp1254", "cp1254"),
        (TURKISH, "iso-8859-9", "cp1254"),
        (GREEK, "cp1253", "cp1253"),
        (RUSSIAN, "cp1251", "cp1251"),
        (DOS, "cp850", "cp850"),
    ],
)
def test_an_encoding_is_recognised_and_read(text: str, codec: str, decided: str, tmp_path: Path) -> None:
    """What was written under one encoding is read under the right one, character for character."""
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode(codec))
    encoding = detect_encoding(path)
    assert encoding is not None
    assert encoding.name == decided
    assert encoding.reason
    copy = as_utf8(path, encoding, tmp_path)
    with copy.open(encoding="utf-8-sig", newline="") as file:
        assert file.read() == text


@pytest.mark.parametrize(
    "content",
    [b"%PDF-1.7 ...", b"\x89PNG\r\n", b"PK\x03\x04zip", bytes(range(256)) * 20, b"\0" * 1000, b"\x1f\x8b\x08gz"],
)
def test_what_is_not_text_is_told_apart(content: bytes, tmp_path: Path) -> None:
    """Binary content has no encoding, whatever its name."""
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    assert detect_encoding(path) is None


def test_single_zero_bytes_are_dropped_and_counted(tmp_path: Path) -> None:
    """A few NUL bytes in a text don't stop it; their number is told."""
    path = tmp_path / "t.csv"
    path.write_bytes(b"a,b\n1,x\0y\n" + b"2,plain text that goes on\n" * 10)
    encoding = detect_encoding(path)
    assert encoding is not None
    assert encoding.nul_bytes == 1
    assert as_utf8(path, encoding, tmp_path).read_bytes().startswith(b"a,b\n1,xy\n")


def test_bytes_without_a_meaning_survive(tmp_path: Path) -> None:
    """A byte that cp1252 doesn't define becomes the character of its number, not a question mark."""
    path = tmp_path / "t.csv"
    path.write_bytes(b"a;b\nM\xfcller;\x81\n")
    encoding = detect_encoding(path)
    assert encoding is not None
    assert as_utf8(path, encoding, tmp_path).read_text("utf-8") == "a;b\nMüller;\x81\n"
