"""Send files to a Twenty workspace and fetch them back.

Twenty 2.19 and later take a file in three steps (announce, PUT the bytes, complete); before that, inside a multipart
call. Bytes are streamed from disk. Signed urls carry a token of their own: the API key never goes to them.
"""

from __future__ import annotations

import mimetypes
from pathlib import Path
from typing import Any

import httpx
import orjson

from dentlib.destinations.twenty.answers import own_words
from dentlib.destinations.twenty.client import Client, Operation
from dentlib.destinations.twenty.describe import FILE_FIELD, PATH_FIELD, Catalog, Shape
from dentlib.destinations.twenty.probe import uploads_directly
from dentlib.destinations.twenty.records import Records
from dentlib.errors import InDoubt, Refused, Transient
from dentlib.model import JSON, FileTicket

_MULTIPART = "multipart:"
"""What a ticket's url says where the bytes go inside a multipart call; the id of the field follows."""

_TO_A_PATH = "path:"
"""What a ticket's url says where a file has no record of its own, only a path that an attachment names."""


class Files:
    """The files of one workspace."""

    def __init__(self, client: Client, catalog: Catalog, records: Records) -> None:
        self._client = client
        self._catalog = catalog
        self._records = records
        self._direct: bool | None = None

    def begin(self, path: Path, object_name: str, field_name: str) -> FileTicket:
        """Announce a file for a FILES field and return the ticket for `finish`.

        An announced file that never gets its bytes is swept by the server. Raises Refused for a name without extension.
        """
        shape = self._catalog.shape(object_name)
        if not shape.has_files(field_name):
            shape.field(PATH_FIELD)
            return FileTicket("", _TO_A_PATH)
        field_id = shape.field(field_name)["id"]
        if not self._is_direct():
            return FileTicket("", _MULTIPART + field_id)
        operation = Operation(
            "createFileUpload",
            "(filename:$n,size:$s,fileFolder:$fo,fieldMetadataId:$f)",
            "{fileId uploadUrl}",
            {
                "n": ("String!", path.name),
                "s": ("Float!", path.stat().st_size),
                "fo": ("FileFolder!", "FilesField"),
                "f": ("String", field_id),
            },
            writes=True,
        )
        target = self._client.metadata(operation, "announce a file")
        # A ticket outlives this process, and the workspace may have moved to another port or name when it is taken up.
        own = self._client.url
        url = target["uploadUrl"]
        return FileTicket(target["fileId"], url.removeprefix(own) if url.startswith(own + "/") else url)

    def way(self) -> str:
        """Say in words how this workspace takes files. Costs no rate."""
        if not self._catalog.shape("attachment").has_files(FILE_FIELD):
            return f"inside a multipart call, by path ({PATH_FIELD})"
        return "announced, sent, completed" if self._is_direct() else "inside a multipart call"

    def _is_direct(self) -> bool:
        if self._direct is None:
            self._direct = uploads_directly(self._client)
        return self._direct

    def finish(self, ticket: FileTicket, path: Path) -> FileTicket:
        """Send the bytes and complete; return the ticket, done. Idempotent for a ticket already done.

        A direct upload may be repeated after a crash, also when the bytes or the completion had arrived. Raises Refused
        where bytes and extension don't fit or the announcement is too old (begin again then), InDoubt after a break.
        """
        if ticket.done:
            return ticket
        if ticket.upload_url.startswith(_MULTIPART):
            field_id = ticket.upload_url.removeprefix(_MULTIPART)
            wanted = {"f": ("String!", field_id)}
            sent = self._multipart("uploadFilesFieldFile", "(file:$file,fieldMetadataId:$f)", "{id}", wanted, path)
            return FileTicket(str(sent["id"]), "", done=True)
        if ticket.upload_url == _TO_A_PATH:
            sent = self._multipart("uploadFile", "(file:$file,fileFolder:Attachment)", "{path}", {}, path)
            return FileTicket(str(sent["path"]), "", done=True)
        refused = self._put(ticket, path)
        operation = Operation(
            "completeFileUpload", "(fileId:$i)", "{id}", {"i": ("String!", ticket.file_id)}, writes=True
        )
        try:
            self._client.metadata(operation, "complete a file")
        except Refused as error:
            raise (refused or error) from None
        return FileTicket(ticket.file_id, "", done=True)

    def download(self, object_name: str, record_id: str, field_name: str) -> bytes:
        """Fetch the bytes of a record's first file, by a url signed anew for this call.

        Raises Refused (`NO_FILE`) where the record or its file isn't there.
        """
        shape = self._catalog.shape(object_name)
        url = self._signed_url(shape, record_id, field_name)
        response = self._client.bytes_of(httpx.Request("GET", url), "fetch a file", writes=False)
        if response.status_code >= 500:
            raise Transient(f"fetch a file: HTTP {response.status_code}")
        if response.status_code != 200:
            raise Refused(f"fetch a file: HTTP {response.status_code}", code="NO_FILE")
        return response.content

    def _signed_url(self, shape: Shape, record_id: str, field_name: str) -> str:
        files = shape.has_files(field_name)
        selection = f"{{id {field_name}{{fileId url}}}}" if files else f"{{id {PATH_FIELD}}}"
        found = list(self._records.pages(shape, {"id": {"eq": record_id}}, selection, as_written=False))
        held = found[0][field_name if files else PATH_FIELD] if found else None
        if not held:
            raise Refused(f"fetch a file: {shape.singular} holds none in {field_name}", code="NO_FILE")
        return str(held[0]["url"] if files else held)

    def _put(self, ticket: FileTicket, path: Path) -> Refused | None:
        """Send the bytes; return the refusal, if any, because a file that was complete already refuses them too."""
        with path.open("rb") as stream:
            headers = {"Content-Type": "application/octet-stream", "Content-Length": str(path.stat().st_size)}
            own = self._client.url if ticket.upload_url.startswith("/") else ""
            request = httpx.Request("PUT", own + ticket.upload_url, headers=headers, content=stream)
            response = self._client.bytes_of(request, "send a file", writes=True)
        if response.status_code >= 500:
            raise InDoubt(f"send a file: HTTP {response.status_code}", "send the same file again with the same ticket")
        if response.status_code >= 400:
            return Refused(
                f"send a file: {_words(response)}", "begin the upload again", code=_code(response) or "UPLOAD"
            )
        return None

    def _multipart(
        self, root: str, arguments: str, selection: str, variables: dict[str, tuple[str, Any]], path: Path
    ) -> JSON:
        everything = {"file": ("Upload!", None), **variables}
        operation = Operation(root, arguments, selection, everything, writes=True)
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"

        def send(http: httpx.Client, operations: bytes, url: str) -> httpx.Response:
            with path.open("rb") as stream:
                parts: dict[str, Any] = {
                    "operations": (None, operations),
                    "map": (None, orjson.dumps({"0": ["variables.file"]})),
                    "0": (path.name, stream, kind),
                }
                request = http.build_request("POST", url, files=parts)
                return http.send(request)

        sent: JSON = self._client.upload(operation, "send a file", send)
        return sent


def file_fields(field_name: str, ticket: FileTicket, label: str) -> JSON:
    """Return the fields by which a record refers to an uploaded file: an entry of a FILES field, or the path."""
    if "/" in ticket.file_id:
        return {PATH_FIELD: ticket.file_id}
    return {field_name: [{"fileId": ticket.file_id, "label": label}]}


def _words(response: httpx.Response) -> str:
    try:
        body = orjson.loads(response.content)
        return own_words("; ".join(str(m) for m in body.get("messages") or [body.get("message", "")]))
    except (orjson.JSONDecodeError, AttributeError):
        return f"HTTP {response.status_code}"


def _code(response: httpx.Response) -> str:
    try:
        return str(orjson.loads(response.content).get("code") or "")
    except (orjson.JSONDecodeError, AttributeError):
        return ""
