"""A sandbox of the real destination for each point: its state is a copy of one prepared file, its server a child.

A fresh copy and a fresh server cost a few milliseconds, so every point begins with the very same workspace: same ids,
same records of others, same metadata. Nothing here keeps a thread in the process that forks.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import signal
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dentlib.sandbox.twenty.faults import read_plan
from dentlib.sandbox.twenty.server import TwentySandbox

JSON = dict[str, Any]

MADE_BY_THE_SERVER = ("timelineActivity", "workflowRun")
"""Objects whose records the server's worker writes: compared by what they say, not by their ids."""

SERVER_TIMES = ("updatedAt", "happensAt", "startedAt", "endedAt", "enqueuedAt")
"""Times that no client sends. `createdAt` is one of them where it is of the day of the test."""

SERVER_CHOICES = ("position", "linkedObjectMetadataId", "searchVector")
"""Other values that no client sends: the place in a list counts the attempts, an id of metadata is random."""

_TODAY = re.compile(r"20(2[6-9]|[3-9]\d)-")
_PATH = re.compile(r"([a-z-]+/)([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.\w+")
_BY_PATH = 0
"""The field of a file that is named by its path: the older version stores it in one call, which nothing can take back,
so a crash between that call and its record leaves bytes behind that no record names. Told nowhere else."""

_WORKER_DELAY_S = 0.001
_SHOWN = 700


def shared_memory() -> Path:
    """Return a fresh folder in memory where there is such a place: thousands of flushes then cost nothing."""
    place = Path("/dev/shm")
    usable = place.is_dir() and os.access(place, os.W_OK)
    return Path(tempfile.mkdtemp(prefix="dentlib-laws-", dir=place if usable else None))


class Server:
    """A running sandbox in a child process."""

    def __init__(self, pid: int, url: str, stop: int) -> None:
        self.pid, self.url, self._stop = pid, url, stop

    def stop(self) -> None:
        """Let it finish what its worker has to do, and end."""
        os.close(self._stop)
        _, status = os.waitpid(self.pid, 0)
        assert status == 0, f"the sandbox ended with {status}"


def start(state: Path, *, version: str, faults: list[JSON] | None = None) -> Server:
    """Serve a state file from a forked child, with a plan of faults if wanted."""
    told_reader, told_writer = os.pipe()
    stop_reader, stop_writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(told_reader)
            os.close(stop_writer)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            sandbox = TwentySandbox(state, limits="off", version=version, effects_delay_s=_WORKER_DELAY_S)
            logging.getLogger("aiohttp").setLevel(logging.CRITICAL)  # killed clients are the point here
            sandbox._site.faults.plan = read_plan(faults or [])
            sandbox.start()
            os.write(told_writer, json.dumps(sandbox.url).encode())
            os.close(told_writer)
            while os.read(stop_reader, 1):
                pass
            sandbox.stop()
            status = 0
        finally:
            os._exit(status)
    os.close(told_writer)
    os.close(stop_reader)
    with os.fdopen(told_reader) as pipe:
        told = pipe.read()
    assert told, "the sandbox did not start"
    return Server(pid, json.loads(told), stop_writer)


@contextmanager
def served(state: Path, *, version: str, **more: Any) -> Iterator[Server]:
    """Serve a state file for the length of the block."""
    server = start(state, version=version, **more)
    try:
        yield server
    except BaseException:
        with suppress(ProcessLookupError):
            os.kill(server.pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(server.pid, 0)
        raise
    server.stop()


def new_state(state: Path, *, version: str) -> tuple[str, str]:
    """Make a workspace in a file; return two admin keys of it."""
    sandbox = TwentySandbox(state, limits="off", version=version)
    first, second = sandbox.api_key, sandbox.make_key(name="loader")
    sandbox._state.close()
    return first, second


def copy_state(state: Path, target: Path) -> Path:
    """Copy a state file that nobody serves."""
    for suffix in ("", "-wal"):
        part = state.with_name(state.name + suffix)
        if part.exists():
            shutil.copy(part, target.with_name(target.name + suffix))
    return target


def warm(state: Path, *, version: str) -> None:
    """Build the schema of a state here, once: the servers forked later find it built."""
    sandbox = TwentySandbox(state, limits="off", version=version)
    assert sandbox._site.main.schema
    sandbox._state.close()


# ---- what is compared ----------------------------------------------------------------------------------------------


def told(state: Path) -> dict[str, Any]:
    """Return what a workspace holds, record for record, without what the server chooses by itself.

    Left out: `SERVER_TIMES`, `SERVER_CHOICES`, ids of metadata, of files (their bytes are compared instead) and of
    the records that the worker writes. Everything else is there: live and soft-deleted records, unique values, links
    of every relation, objects, fields, options, views, triggers, files that belong to nothing, waiting jobs.
    """
    db = sqlite3.connect(f"file:{state}?mode=ro", uri=True)
    try:
        return _Telling(db).everything()
    finally:
        db.close()


class _Telling:
    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        self.objects = {slot: json.loads(doc) for slot, doc in db.execute("SELECT slot, doc FROM object_metadata")}
        self.fields = {
            slot: (self.objects[obj]["nameSingular"], json.loads(doc))
            for slot, obj, doc in db.execute("SELECT slot, obj, doc FROM field_metadata")
        }
        self.files = {
            fid: (hashlib.sha256(content or b"").hexdigest(), bool(content) and field != _BY_PATH)
            for fid, field, content in db.execute("SELECT id, field, content FROM file")
        }
        self.used: Counter[str] = Counter()
        self.workers: set[str] = set()

    def everything(self) -> dict[str, Any]:
        records = sorted(self._records(), key=repr)
        links = sorted(
            (self._field(slot), target, rid)
            for target, slot, rid in self.db.execute("SELECT target, field, id FROM link")
            if rid not in self.workers
        )
        unique = sorted(
            (self._field(slot), str(value), rid)
            for slot, value, rid in self.db.execute("SELECT field, value, id FROM unique_value")
        )
        views: Counter[str] = Counter()
        for (obj,) in self.db.execute("SELECT obj FROM view"):
            views[self.objects[obj]["nameSingular"]] += 1
        unused = sorted(digest for fid, (digest, there) in self.files.items() if there and not self.used[fid])
        return {
            "records": records,
            "links": [list(one) for one in links],
            "unique": [list(one) for one in unique],
            "objects": sorted([_lasting_metadata(o) for o in self.objects.values()], key=repr),
            "fields": sorted([[name, _lasting_metadata(f)] for name, f in self.fields.values()], key=repr),
            "views": sorted(views.items()),
            "files of nothing": unused,
            "files used twice": sorted(fid for fid, times in self.used.items() if times > 1),
            "jobs": self.db.execute("SELECT count(*) FROM job").fetchone()[0],
        }

    def _field(self, slot: int) -> str:
        name, doc = self.fields[slot]
        return f"{name}.{doc['name']}"

    def _records(self) -> Iterator[list[Any]]:
        rows = self.db.execute("SELECT obj, id, deleted_at IS NOT NULL, doc FROM record")
        for slot, rid, deleted, text in rows:
            name, doc = self.objects[slot]["nameSingular"], json.loads(text)
            by_worker = name in MADE_BY_THE_SERVER
            if by_worker:
                self.workers.add(rid)
                doc.pop("name", None) if name == "workflowRun" else None  # "#12 - …" counts all runs ever
            yield [name, None if by_worker else rid, bool(deleted), self._lasting(doc, drop_id=by_worker)]

    def _lasting(self, doc: JSON, *, drop_id: bool) -> JSON:
        kept: JSON = {}
        for name, value in sorted(doc.items()):
            if name in SERVER_TIMES or name in SERVER_CHOICES or (name == "id" and drop_id):
                continue
            if name in ("createdAt", "deletedAt") and _TODAY.match(str(value or "")):
                continue
            kept[name] = self._file_by_bytes(value)
        return kept

    def _file_by_bytes(self, value: Any) -> Any:
        if isinstance(value, str) and (path := _PATH.fullmatch(value)):
            self.used[path[2]] += 1
            return path[1] + self.files.get(path[2], ("gone",))[0]
        if isinstance(value, list):
            return [self._file_by_bytes(v) for v in value]
        if isinstance(value, dict) and "fileId" in value:
            self.used[value["fileId"]] += 1
            return {**value, "fileId": self.files.get(value["fileId"], ("gone",))[0]}
        return value


def _lasting_metadata(doc: JSON) -> JSON:
    """Drop ids and times of an object's or field's description; options keep everything but their ids."""
    kept: JSON = {}
    for name, value in sorted(doc.items()):
        if name in ("createdAt", "updatedAt", "settings", "universalIdentifier") or name.lower().endswith("id"):
            continue
        if name in ("relation", "morphRelations") or "elation" in name:
            continue  # ids throughout; what is related is compared by its links
        if name == "options" and isinstance(value, list):
            value = [{k: v for k, v in option.items() if k != "id"} for option in value]
        kept[name] = value
    return kept


def first_difference(expected: dict[str, Any], got: dict[str, Any]) -> str:
    """Say where two tellings differ first, or nothing. Values are invented, so they may be shown."""
    for name, value in expected.items():
        other = got.get(name)
        if other != value:
            if isinstance(value, list) and isinstance(other, list):
                missing = str([v for v in value if v not in other][:1])[:_SHOWN]
                extra = str([v for v in other if v not in value][:1])[:_SHOWN]
                return f"{name}: {len(value)} expected, {len(other)} there; missing {missing}, extra {extra}"
            return f"{name}: {str(value)[:_SHOWN]} expected, {str(other)[:_SHOWN]} there"
    return ""
