"""Files by path, as Twenty kept them before it had FILES fields: `attachment.fullPath` names the stored file.

An upload is checked for nothing and tied to nothing; any text may be written as a path; reading signs it anew each time
(`/files/<folder>/<token>/<name>`, good for a day). Recorded from 1.17 [671]-[696].
"""

from __future__ import annotations

import re

import orjson

from dentlib.sandbox.twenty import tokens
from dentlib.sandbox.twenty.ids import new_id
from dentlib.sandbox.twenty.model import Model
from dentlib.sandbox.twenty.refusals import Json, Refusal
from dentlib.sandbox.twenty.state import dumps
from dentlib.sandbox.twenty.workspace import Workspace

KEY = "fullPath"
LINK_SECONDS = 86_400
_NO_FIELD = 0
_FOLDERS = {
    name: re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()
    for name in (
        "ProfilePicture", "WorkspaceLogo", "Attachment", "PersonPicture", "ServerlessFunction",
        "ServerlessFunctionToDelete", "File", "AgentChat", "BuiltFunction", "Asset", "Source", "FilesField",
        "Dependencies",
    )
}  # fmt: skip


class BadPath(Refusal):
    """A download address that can't be one: 400 in the words of the framework."""

    def rest(self) -> Json:
        """The body of a refused download."""
        return {"message": self.message, "error": "Bad Request", "statusCode": 400}


class Unsigned(Refusal):
    """A download address whose signature is not ours, not of this file, or too old."""

    def rest(self) -> Json:
        """The body of a forbidden download."""
        return {"message": "Forbidden resource", "error": "Forbidden", "statusCode": 403}


def are_in(model: Model) -> bool:
    """Tell whether records of this object name their file by a path."""
    return model.obj.name == "attachment" and model.catalog.release.file_paths


def store(space: Workspace, folder: str | None, name: str, content: bytes) -> Json:
    """Store an upload under a new name; return its path and token, as `uploadFile` answers.

    Without a folder the path begins with the word "undefined" [673]: such a file can't be downloaded.
    """
    stored = _insert(space, _FOLDERS.get(folder or "", "undefined"), name, content)
    return {"path": stored["path"], "token": _token(space, stored["path"].rpartition("/")[2])}


def store_plain(space: Workspace, folder: str, name: str, content: bytes) -> Json:
    """Store an upload that no field knows of; return id, path, size and time, as `uploadFilesFieldFile` answers."""
    return _insert(space, _FOLDERS[folder], name, content)


def _insert(space: Workspace, folder: str, name: str, content: bytes) -> Json:
    file_id, extension = new_id(), name.rpartition(".")[2] if "." in name.strip(".") else ""
    doc: Json = {
        "id": file_id,
        "path": f"{folder}/{file_id}{'.' if extension else ''}{extension}",
        "size": len(content),
        "createdAt": space.now,
    }
    with space.state.write():
        row = (space.ws, file_id, _NO_FIELD, dumps(doc), content)
        space.state.db.execute("INSERT INTO file (ws,id,field,doc,content) VALUES (?,?,?,?,?)", row)
    return doc


def shown(space: Workspace, path: str | None) -> str | None:
    """How a written path reads back: signed; a path that already is an address gets ours in front of it [696]."""
    if not path:
        return path
    if path.startswith(("http:", "https:")):
        return f"{space.base_url}/files/{path}"
    folder, _, name = path.rpartition("/")
    return f"{space.base_url}/files/{folder}/{_token(space, name)}/{name}"


def forget(space: Workspace, docs: list[Json]) -> None:
    """Remove the files of attachments that are destroyed, whether or not another record names them too [693]."""
    ids = [_id_in(doc[KEY]) for doc in docs if doc.get(KEY)]
    space.state.db.executemany("DELETE FROM file WHERE ws=? AND id=?", [(space.ws, file_id) for file_id in ids])


def workspace_of(address: str) -> str | None:
    """Tell the id of the workspace whose token stands in an address below `/files/`, unchecked."""
    parts = address.split("/")
    claims = tokens.claims_of(parts[-2]) if len(parts) > 1 else None
    return None if claims is None else str(claims.get("workspaceId"))


def split(address: str) -> tuple[str, str, str]:
    """Split an address below `/files/` into folder, token and name. Raises BadPath for a folder there is not."""
    folder, _, name = address.rpartition("/")
    folder, _, token = folder.rpartition("/")
    if folder.partition("/")[0] not in _FOLDERS.values():
        raise BadPath(f"Folder {folder.partition('/')[0]} is not allowed")
    if "." not in name:
        raise BadPath("Filename is not allowed")
    return folder, token, name


def download(space: Workspace | None, address: str) -> tuple[bytes, str]:
    """Return the bytes and the name of a signed address below `/files/`. Raises Refusal (400, 403, 404)."""
    folder, token, name = split(address)
    claims = None if space is None else tokens.verify(token, space.secret)
    if space is None or claims is None or claims.get("filename") != name or claims.get("type") != "FILE":
        raise Unsigned("Forbidden resource", status=403, error="Forbidden")
    if claims.get("exp", 0) <= space.clock.now().timestamp():
        raise Unsigned("Forbidden resource", status=403, error="Forbidden")
    row = space.state.one("SELECT content, doc FROM file WHERE ws=? AND id=?", (space.ws, _id_in(name)))
    if row is None or orjson.loads(row[1]).get("path") != f"{folder}/{name}":
        raise Refusal("File not found", status=404, error="Error", sub_code="FILE_NOT_FOUND")
    return bytes(row[0]), name


def _id_in(path: str) -> str:
    return path.rpartition("/")[2].partition(".")[0]


def _token(space: Workspace, name: str) -> str:
    expires = int(space.clock.now().timestamp()) + LINK_SECONDS
    return tokens.sign({"type": "FILE", "filename": name, "workspaceId": space.id, "exp": expires}, space.secret)
