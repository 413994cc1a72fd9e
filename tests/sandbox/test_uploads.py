"""Files: both ways of uploading, one record per file, bytes that must fit the name, signed links."""

from __future__ import annotations

import json
from typing import Any

import pytest

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40
UPLOAD = "mutation($file:Upload!,$f:String!){uploadFilesFieldFile(file:$file,fieldMetadataId:$f){id path size url}}"


def _field(crm: Any) -> str:
    data = crm.metadata("query($i:UUID!){object(id:$i){fieldsList{id name}}}", i=crm.object_id("attachment"))
    return next(one["id"] for one in data["object"]["fieldsList"] if one["name"] == "file")


def _upload(crm: Any, name: str, content: bytes) -> Any:
    operations = {"query": UPLOAD, "variables": {"file": None, "f": _field(crm)}}
    return crm.http.post(
        "/metadata",
        data={"operations": json.dumps(operations), "map": json.dumps({"0": ["variables.file"]})},
        files={"0": (name, content, "application/octet-stream")},
    ).json()


def test_an_uploaded_file_is_attached_once_and_read_back(crm: Any) -> None:
    """The same bytes come back over the signed link; a second use of the file is refused."""
    made = _upload(crm, "Röntgen 1.png", PNG)["data"]["uploadFilesFieldFile"]
    body = {"name": "x", "file": [{"fileId": made["id"], "label": "Röntgen 1.png"}]}
    attached = crm.rest("POST", "attachments", body, status=201)["data"]["createAttachment"]
    url = attached["file"][0]["url"]
    assert crm.http.get(url, headers={"Authorization": ""}).content == PNG
    assert crm.http.get(url.partition("?")[0]).status_code == 403
    assert "already associated" in crm.rest("POST", "attachments", body, status=400)["messages"][0]


def test_a_direct_upload_takes_three_steps(crm: Any) -> None:
    """Ask, put, complete: too early and too short are refused, and a put may be repeated."""
    begun = crm.metadata(
        'mutation($f:String!){createFileUpload(filename:"c.pdf",size:8,fileFolder:FilesField,fieldMetadataId:$f)'
        "{fileId uploadUrl expiresAt}}",
        f=_field(crm),
    )["createFileUpload"]
    complete = "mutation($i:String!){completeFileUpload(fileId:$i){id url}}"
    early = crm.graphql(complete, "/metadata", i=begun["fileId"])
    assert "has not been uploaded" in early["errors"][0]["message"]
    assert crm.http.put(begun["uploadUrl"], content=b"%PDF-1").json()["code"] == "FILE_SIZE_MISMATCH"
    assert crm.http.put(begun["uploadUrl"], content=b"%PDF-1.4").status_code == 204
    assert crm.metadata(complete, i=begun["fileId"])["completeFileUpload"]["id"] == begun["fileId"]


@pytest.mark.parametrize(
    ("name", "content", "path_ends"),
    [
        ("tool.exe", b"anything", ".exe"),
        ("fake.pdf", PNG, ".png"),
        ("letter.docx", b"not a zip", ".docx"),
        ("empty.txt", b"", ".txt"),
        ("scan.pdf", b"text, not pdf", None),
        ("photo.heic", b"x" * 64, None),
        ("README", b"hello", None),
    ],
)
def test_bytes_must_fit_a_recognisable_extension(crm: Any, name: str, content: bytes, path_ends: str | None) -> None:
    """No list of allowed types, but a .pdf must be one; recognised bytes rename the file."""
    answer = _upload(crm, name, content)
    if path_ends is None:
        assert answer["errors"][0]["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
    else:
        assert answer["data"]["uploadFilesFieldFile"]["path"].endswith(path_ends)


def test_a_script_is_taken_out_of_an_svg(crm: Any) -> None:
    """The stored bytes are fewer than those sent."""
    made = _upload(crm, "x.svg", b"<svg><script>alert(1)</script></svg>")["data"]["uploadFilesFieldFile"]
    assert made["size"] == len(b"<svg></svg>")


def test_destroying_the_attachment_removes_its_file(crm: Any) -> None:
    """The link answers 404 from then on."""
    made = _upload(crm, "a.txt", b"abc")["data"]["uploadFilesFieldFile"]
    there = crm.rest("POST", "attachments", {"file": [{"fileId": made["id"]}]})["data"]["createAttachment"]["id"]
    crm.rest("DELETE", f"attachments/{there}", status=200)
    assert crm.http.get(made["url"]).json()["code"] == "FILE_NOT_FOUND"


def test_a_file_is_for_the_field_it_was_uploaded_for(crm: Any) -> None:
    """Another FILES field refuses it."""
    album = crm.new_object("album", "albums")
    crm.new_field(album, "FILES", "pages", settings={"maxNumberOfValues": 2})
    made = _upload(crm, "a.txt", b"abc")["data"]["uploadFilesFieldFile"]
    answer = crm.rest("POST", "albums", {"pages": [{"fileId": made["id"], "label": "a"}]}, status=400)
    assert answer["messages"][0].endswith("was not uploaded for this field")
