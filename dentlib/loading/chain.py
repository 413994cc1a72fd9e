"""The hash chain of the ledger, and the copy of its head in a file beside it.

A chain shows any row that was changed, removed or put in, but not rows cut off at its end, nor an older copy of the
whole file: for that the head (sequence number and hash of the last row) is also kept in `<ledger>.head`. It is written
after the commit, so it may be behind the ledger after a crash, never ahead of it.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from dentlib.errors import LedgerDamaged

GENESIS = bytes(32)
_LINE = re.compile(rb"(\d{20}) ([0-9a-f]{64})\n")


@dataclass(frozen=True, slots=True)
class Head:
    """The last row of a chain: its number (0: none yet) and hash."""

    seq: int
    digest: bytes

    def __str__(self) -> str:
        return f"{self.seq}:{self.digest.hex()}"


EMPTY = Head(0, GENESIS)


def link(previous: bytes, seq: int, at: str, kind: str, run: str, body: str, block: bytes | None) -> bytes:
    """Return the hash of a row that follows `previous`. Lengths are part of it, so no two rows read the same."""
    text = body.encode()
    front = f"{seq}|{at}|{kind}|{run}|{len(text)}|{-1 if block is None else len(block)}|".encode()
    digest = hashlib.sha256(previous)
    digest.update(front)
    digest.update(text)
    if block is not None:
        digest.update(block)
    return digest.digest()


class SideFile:
    """The head's copy: one line of fixed length, overwritten in place by a single write."""

    def __init__(self, ledger: Path) -> None:
        self.path = ledger.with_name(ledger.name + ".head")
        self._file: int | None = None

    def read(self) -> Head | None:
        """Return the head that was noted; None where there is no file. Raises LedgerDamaged on anything else."""
        try:
            line = self.path.read_bytes()
        except FileNotFoundError:
            return None
        found = _LINE.fullmatch(line)
        if not found:
            raise LedgerDamaged(
                f"{self.path.name} does not hold the head of a ledger",
                "put back the ledger and its .head from one copy",
            )
        return Head(int(found[1]), bytes.fromhex(found[2].decode()))

    def write(self, head: Head) -> None:
        """Note the head. One system call, not flushed to disk: being behind is harmless, see above."""
        if self._file is None:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.pwrite(self._file, b"%020d %s\n" % (head.seq, head.digest.hex().encode()), 0)

    def close(self) -> None:
        """Flush to disk and close. Idempotent."""
        if self._file is not None:
            os.fsync(self._file)
            os.close(self._file)
            self._file = None
