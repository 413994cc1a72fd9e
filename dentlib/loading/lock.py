"""One writer at a time: an advisory lock that the kernel lets go of when its holder dies, so none is ever stale."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import orjson

from dentlib.clock import Clock, stamp
from dentlib.errors import Locked

_POLL_S = 0.2


class WriterLock:
    """Hold `path` locked until `release` (or the end of the process, however it ends).

    Raises Locked with the holder's process id, purpose and start when it isn't free within `wait_s` seconds.
    Local to one machine: a network file system may not honour it.
    """

    def __init__(self, path: Path, *, clock: Clock, purpose: str = "", wait_s: float = 0.0) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = clock.monotonic() + wait_s
        while not self._taken():
            if clock.monotonic() >= deadline:
                os.close(self._file)
                self._file = None
                raise Locked(
                    f"another writer is at work on {path.stem}: {_holder(path)}",
                    "wait until it has ended, or end it; what it was doing can be resumed",
                )
            clock.sleep(_POLL_S)
        note = orjson.dumps({"pid": os.getpid(), "since": stamp(clock.now()), "purpose": purpose})
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, note, 0)

    def _taken(self) -> bool:
        assert self._file is not None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Let go. Idempotent. The file stays: removing it would let two writers lock two different files."""
        if self._file is not None:
            os.ftruncate(self._file, 0)
            os.close(self._file)
            self._file = None

    def __enter__(self) -> WriterLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _holder(path: Path) -> str:
    try:
        note = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return "it has just started"
    return f"process {note['pid']}, since {note['since']}" + (f" ({note['purpose']})" if note["purpose"] else "")
