"""Files go out piece by piece, in each of the ways in which versions take them."""

from __future__ import annotations

import tracemalloc
import uuid
from pathlib import Path

import httpx
import orjson
import pytest
from sandbox_workspace import Workspace
from twenty_answers import KEY, OBJECTS, URL, field, page, thing

from dentlib.clock import ManualClock
from dentlib.destinations.twenty import TwentyDestination, open_twenty
from dentlib.destinations.twenty.files import Files
from dentlib.model import FileTicket

MEGABYTES = 40


class Swallow(httpx.BaseTransport):
    """A server that takes bodies piece by piece and keeps nothing but the largest body and piece."""

    def __init__(self, *, by_path: bool, direct: bool) -> None:
        self.by_path, self.direct = by_path, direct
        self.size = self.largest = self.most = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        head = b""
        self.size = 0
        assert isinstance(request.stream, httpx.SyncByteStream)
        for piece in request.stream:
            head = head or piece[:4_000]
            if len(head) < 1_000:
                head += piece[:1_000]
            self.size += len(piece)
            self.largest = max(self.largest, len(piece))
        self.most = max(self.most, self.size)
        if request.method == "PUT":
            return httpx.Response(204)
        start = head.index(b'{"query"')
        query = head[start:].split(b'"variables"')[0].decode()
        alias = query.split("{", 2)[2].split(":")[0].split("{")[-1]
        return httpx.Response(200, content=orjson.dumps({"data": {alias: self._answer(query)}}))

    def _answer(self, query: str) -> object:
        if ":objects" in query:
            held = field("fullPath", "TEXT") if self.by_path else field("file", "FILES")
            return {**page([*OBJECTS, thing("attachment", "attachments", held)])}
        if "__type" in query:
            return {"fields": [{"name": "createFileUpload"}] if self.direct else []}
        return {"id": "f1", "fileId": "f1", "uploadUrl": f"{URL}/up", "path": "attachment/f1.bin"}


@pytest.mark.parametrize(("by_path", "direct"), [(False, True), (False, False), (True, False)])
def test_no_file_is_held_in_memory(tmp_path: Path, by_path: bool, direct: bool) -> None:
    """40 MB go out in small pieces; the whole is never in memory."""
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        file.truncate(MEGABYTES << 20)
    server = Swallow(by_path=by_path, direct=direct)
    twenty = open_twenty(URL, KEY, clock=ManualClock(), calls_per_minute=None, transport=server)
    twenty.describe()
    tracemalloc.start()
    ticket = twenty.begin_upload(path, "attachment", "file")
    done = twenty.finish_upload(ticket, path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert server.most >= MEGABYTES << 20
    assert server.largest <= 1 << 20
    assert peak < 8 << 20
    assert twenty.file_fields("file", done, "x") == (
        {"fullPath": "attachment/f1.bin"} if by_path else {"file": [{"fileId": "f1", "label": "x"}]}
    )


def test_a_multipart_upload_belongs_to_its_field(
    workspace: Workspace, twenty: TwentyDestination, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the three steps don't exist the file goes inside a call, and the attachment takes it."""
    monkeypatch.setattr(Files, "_is_direct", lambda self: False)
    path = tmp_path / "consent.txt"
    path.write_bytes(b"I agree. " * 5_000)
    ticket = twenty.begin_upload(path, "attachment", "file")
    assert ticket.upload_url.startswith(("multipart:", "path:"))
    done = twenty.finish_upload(FileTicket(ticket.file_id, ticket.upload_url), path)
    one = {"id": str(uuid.uuid4()), "name": "consent.txt", **twenty.file_fields("file", done, "consent.txt")}
    twenty.create("attachment", [one], "a")
    assert twenty.download("attachment", one["id"], "file") == path.read_bytes()
    twenty.destroy("attachment", [one["id"]], "d")
