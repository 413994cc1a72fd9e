"""Files: both ways of uploading, attaching to a FILES field, signed download."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import orjson

from dentlib.clock import stamp
from dentlib.sandbox.twenty import tokens
from dentlib.sandbox.twenty.catalog import Field
from dentlib.sandbox.twenty.ids import new_id
from dentlib.sandbox.twenty.model import Model
from dentlib.sandbox.twenty.refusals import Json, Refusal, invalid_args
from dentlib.sandbox.twenty.state import dumps
from dentlib.sandbox.twenty.workspace import Workspace

UPLOAD_MINUTES = 15
LINK_SECONDS = 86_400
_MAGIC: tuple[tuple[str, str, re.Pattern[bytes]], ...] = tuple(
    (extension, mime, re.compile(pattern, re.DOTALL))
    for extension, mime, pattern in (
        ("pdf", "application/pdf", rb"%PDF"),
        ("png", "image/png", rb"\x89PNG\r\n\x1a\n"),
        ("jpg", "image/jpeg", rb"\xff\xd8\xff"),
        ("gif", "image/gif", rb"GIF8"),
        ("webp", "image/webp", rb"RIFF....WEBP"),
        ("heic", "image/heic", rb"....ftyp(?:heic|heix|mif1|msf1)"),
        ("mp4", "video/mp4", rb"....ftyp(?:isom|mp4|avc1|iso)"),
        ("bmp", "image/bmp", rb"BM....\x00\x00\x00\x00"),
        ("tif", "image/tiff", rb"(?:II\*\x00|MM\x00\*)"),
        ("mp3", "audio/mpeg", rb"(?:ID3|\xff[\xfb\xf3\xf2])"),
        ("wav", "audio/wav", rb"RIFF....WAVE"),
        ("gz", "application/gzip", rb"\x1f\x8b\x08"),
        ("rtf", "application/rtf", rb"\{\\rtf"),
    )
)
_MIME = {extension: mime for extension, mime, _ in _MAGIC} | {"jpeg": "image/jpeg", "tiff": "image/tiff"}
_ALIASES = {"jpeg": "jpg", "tiff": "tif"}


class FileRefusal(Refusal):
    """A refusal of the upload mutations: INTERNAL_SERVER_ERROR with its own friendly words."""

    def __init__(self, message: str, friendly: str) -> None:
        super().__init__(message, status=500, error="Error", code="INTERNAL_SERVER_ERROR", friendly=friendly)


def true_extension(name: str, content: bytes) -> str:
    """Tell the extension to store: the content's own where it is recognised, else the name's.

    Raises Refusal for a name without extension, and for a recognisable extension whose bytes don't fit it.
    """
    if "." not in name.strip("."):
        raise FileRefusal("Filename must have an extension", "Access denied.")
    extension = name.rsplit(".", 1)[1].lower()
    detected = next((known for known, _, magic in _MAGIC if magic.match(content)), None)
    if detected:
        return extension if _ALIASES.get(extension, extension) == detected else detected
    if extension in _MIME and extension != "rtf":
        raise FileRefusal(
            f"File content does not match its extension. The file has extension '{extension}' (expected mime type: "
            f"{_MIME[extension]}), but the file content could not be detected as this type. The file may be corrupted, "
            "have the wrong extension, or be a security risk.",
            "The file extension doesn't match the file content. Please check that your file is not corrupted and has "
            "the correct extension.",
        )
    return extension


def _sanitised(extension: str, content: bytes) -> bytes:
    if extension != "svg":
        return content
    return re.sub(rb"<script\b.*?</script\s*>|\son\w+=(\"[^\"]*\"|'[^']*')", b"", content, flags=re.DOTALL | re.I)


def _field(space: Workspace, field_id: str | None) -> Field:
    found = space.catalog.field_by_id(field_id or "")
    if found is None or found.type != "FILES":
        raise FileRefusal(f"Field metadata not found for id {field_id}", "Field not found.")
    return found


def upload(space: Workspace, field_id: str, name: str, content: bytes) -> Json:
    """Store a multipart upload for a FILES field; return what the mutation answers. Raises Refusal."""
    field = _field(space, field_id)
    extension = true_extension(name, content)
    content = _sanitised(extension, content)
    doc: Json = {
        "id": new_id(),
        "name": name,
        "extension": extension,
        "size": len(content),
        "status": "temporary",
        "createdAt": space.now,
    }
    _insert(space, field, doc, content)
    return answer(space, field, doc)


def begin(space: Workspace, field_id: str | None, name: str, size: float) -> Json:
    """Step 1 of a direct upload. Raises Refusal."""
    field = _field(space, field_id)
    if "." not in name.strip("."):
        raise FileRefusal("Filename must have an extension", "Access denied.")
    doc: Json = {
        "id": new_id(),
        "name": name,
        "extension": name.rsplit(".", 1)[1].lower(),
        "size": int(size),
        "status": "pending",
        "createdAt": space.now,
        "expiresAt": stamp(space.clock.now() + timedelta(minutes=UPLOAD_MINUTES)),
    }
    _insert(space, field, doc, None)
    return {
        "fileId": doc["id"],
        "uploadUrl": f"{space.base_url}/file-upload/{doc['id']}?token={_token(space, doc['id'], 'UPLOAD')}",
        "contentType": "application/octet-stream",
        "expiresAt": doc["expiresAt"],
    }


def receive(space: Workspace, file_id: str, token: str, content: bytes) -> None:
    """Step 2: take the raw bytes; may be repeated. Raises Refusal (403, or 400 when the size is not the declared)."""
    found = _load(space, file_id)
    if found is None or not _token_fits(space, file_id, token, "UPLOAD"):
        raise Refusal("Forbidden resource", status=403, error="Forbidden")
    doc, _ = found
    if doc["status"] == "pending" and space.now > doc["expiresAt"]:
        raise Refusal("Forbidden resource", status=403, error="Forbidden")
    if len(content) != doc["size"]:
        raise Refusal(
            f"Uploaded {len(content)} bytes but {doc['size']} were declared",
            error="Error",
            sub_code="FILE_SIZE_MISMATCH",
        )
    with space.state.write():
        space.state.db.execute("UPDATE file SET content=? WHERE ws=? AND id=?", (content, space.ws, file_id))


def complete(space: Workspace, file_id: str) -> Json:
    """Step 3: make the uploaded bytes a file that can be attached. Raises Refusal."""
    found = _load(space, file_id)
    if found is None:
        raise FileRefusal(f"File not found: {file_id}", "File not found.")
    doc, field = found
    row = space.state.one("SELECT content FROM file WHERE ws=? AND id=?", (space.ws, file_id))
    if row is None or row[0] is None:
        raise FileRefusal(
            f"File {file_id} has not been uploaded to storage yet",
            "The file has not been uploaded yet. Please upload it before confirming.",
        )
    content = bytes(row[0])
    extension = true_extension(doc["name"], content)
    content = _sanitised(extension, content)
    doc = {**doc, "extension": extension, "size": len(content)}
    if doc["status"] == "pending":
        doc["status"] = "temporary"
        doc.pop("expiresAt")
    with space.state.write():
        space.state.db.execute(
            "UPDATE file SET doc=?, content=? WHERE ws=? AND id=?", (dumps(doc), content, space.ws, file_id)
        )
    return answer(space, field, doc)


def _insert(space: Workspace, field: Field, doc: Json, content: bytes | None) -> None:
    with space.state.write():
        row = (space.ws, doc["id"], field.slot, dumps(doc), content)
        space.state.db.execute("INSERT INTO file (ws,id,field,doc,content) VALUES (?,?,?,?,?)", row)


def _load(space: Workspace, file_id: str) -> tuple[Json, Field] | None:
    row = space.state.one("SELECT doc, field FROM file WHERE ws=? AND id=?", (space.ws, file_id))
    if row is None or row[1] not in space.catalog.fields:
        return None
    return orjson.loads(row[0]), space.catalog.fields[row[1]]


def answer(space: Workspace, field: Field, doc: Json) -> Json:
    """What an upload mutation answers."""
    return {
        "id": doc["id"],
        "path": f"files-field/{field.doc['universalIdentifier']}/{doc['id']}.{doc['extension']}",
        "size": doc["size"],
        "createdAt": doc["createdAt"],
        "url": link(space, doc["id"]),
    }


# -- attaching ------------------------------------------------------------------------------------------------------


def attach(space: Workspace, model: Model, doc: Json, before: Json) -> None:
    """Check the files of a document's FILES fields, make them permanent, and drop those no longer held.

    Fills in each file's extension. Raises Refusal: unknown, already used, uploaded for another field, too many.
    """
    for name, field in model.files.items():
        old = {item["fileId"]: item for item in before.get(name) or ()}
        wanted = doc.get(name)
        if wanted is not None:
            doc[name] = [
                old.get(_file_id(name, item)) or _attach_one(space, field, name, item) for item in _list(name, wanted)
            ]
            if len(doc[name]) > (field.doc.get("settings") or {}).get("maxNumberOfValues", 60):
                raise invalid_args(f'Max number of files exceeded for field "{name}"')
            if not doc[name]:
                doc.pop(name)
        kept = {item["fileId"] for item in doc.get(name) or ()}
        gone = [(space.ws, file_id) for file_id in old if file_id not in kept]
        space.state.db.executemany("DELETE FROM file WHERE ws=? AND id=?", gone)


def _list(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise invalid_args(f'Invalid value for files field "{name}". Expected an array')
    return value


def _file_id(name: str, item: Any) -> str:
    if not isinstance(item, dict) or not isinstance(item.get("fileId"), str):
        raise invalid_args(f'Invalid value for files field "{name}". Expected objects with fileId and label')
    return str(item["fileId"])


def _attach_one(space: Workspace, field: Field, name: str, item: Any) -> Json:
    file_id = _file_id(name, item)
    found = _load(space, file_id)
    if found is None or found[0]["status"] == "pending":
        raise invalid_args(f"File not found: {file_id}")
    doc, uploaded_for = found
    if uploaded_for.slot != field.slot:
        raise invalid_args(f"File {file_id} was not uploaded for this field")
    if doc["status"] == "permanent":
        raise invalid_args(f"File {file_id} is already associated with a permanent files field")
    space.state.db.execute(
        "UPDATE file SET doc=? WHERE ws=? AND id=?", (dumps({**doc, "status": "permanent"}), space.ws, file_id)
    )
    return {"label": item.get("label") or doc["name"], "fileId": file_id, "extension": f".{doc['extension']}"}


# -- download -------------------------------------------------------------------------------------------------------


def _token(space: Workspace, file_id: str, kind: str) -> str:
    expires = int(space.clock.now().timestamp()) + LINK_SECONDS
    return tokens.sign({"type": kind, "fileId": file_id, "workspaceId": space.id, "exp": expires}, space.secret)


def _token_fits(space: Workspace, file_id: str, token: str, kind: str) -> bool:
    claims = tokens.verify(token, space.secret)
    if claims is None or claims.get("fileId") != file_id or claims.get("type") != kind:
        return False
    return bool(claims.get("exp", 0) > space.clock.now().timestamp())


def link(space: Workspace, file_id: str) -> str:
    """A signed download link, valid for a day."""
    return f"{space.base_url}/file/files-field/{file_id}?token={_token(space, file_id, 'FILE')}"


def with_links(space: Workspace, items: list[Json] | None) -> list[Json] | None:
    """The value of a FILES field as it is read: each file with a fresh link."""
    return None if items is None else [{**item, "url": link(space, item["fileId"])} for item in items]


def download(space: Workspace, file_id: str, token: str) -> tuple[bytes, str]:
    """Return a file's bytes and name. Raises Refusal: 403 without a fitting token, 404 when it is gone."""
    if not _token_fits(space, file_id, token, "FILE"):
        raise Refusal("Forbidden resource", status=403, error="Forbidden")
    row = space.state.one("SELECT content, doc FROM file WHERE ws=? AND id=?", (space.ws, file_id))
    if row is None or row[0] is None:
        raise Refusal("File not found", status=404, error="Error", sub_code="FILE_NOT_FOUND")
    return bytes(row[0]), str(orjson.loads(row[1])["name"])
