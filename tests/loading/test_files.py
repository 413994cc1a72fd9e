"""Files of rows, sent to a sandbox of each version: once, looked at before, and listed where they can't be sent."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import orjson
import pytest

from dentlib.clock import SystemClock
from dentlib.destinations.twenty import TwentyDestination, open_twenty
from dentlib.loading import Ledger, Patience
from dentlib.loading.files import FileRefused, file_keys, refused_files, send_file
from dentlib.loading.rows import Row
from dentlib.loading.uploads import take_back_uploads
from dentlib.model import JSON, LoadStep
from dentlib.sandbox.twenty.server import TwentySandbox

STEP = LoadStep("document_files", "attachment", "document_files", "", file_field="file")
PDF = b"%PDF-1.7 an invented x-ray " * 40


class Stop(BaseException):
    """Where a test stops the work."""


@dataclass
class Place:
    """A workspace, a ledger, and a folder of files."""

    twenty: TwentyDestination
    ledger: Ledger
    folder: Path

    def row(self, name: str, content: bytes | None, key: str = "17") -> Row:
        """Return a row whose file has this name and content (None: isn't there)."""
        path = self.folder / name
        if content is not None:
            path.write_bytes(content)
        record = {"id": str(uuid.uuid5(uuid.NAMESPACE_OID, key)), "name": name}
        text = orjson.dumps(record).decode()
        return Row(1, key, record["id"], "h", text, len(text), str(path))

    def send(self, row: Row, hook: Callable[[str], None] = lambda name: None) -> JSON:
        """Send the row's file as the loader does."""
        patience = Patience(SystemClock())
        return send_file(self.ledger, self.twenty, STEP, row, run_id="run-1", patience=patience, hook=hook)

    def states(self) -> list[str]:
        """Return what the ledger knows of uploads, in order."""
        return [e.body["state"] for e in self.ledger.entries("kind = 'upload'")]


@pytest.fixture(scope="module", params=("2.21", "1.17"))
def server(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[TwentySandbox]:
    """A sandbox of each version."""
    state = tmp_path_factory.mktemp("sandbox") / "state.sqlite"
    with TwentySandbox(state, limits="off", version=request.param) as running:
        yield running


@pytest.fixture
def place(server: TwentySandbox, tmp_path: Path) -> Iterator[Place]:
    """A workspace with a fresh ledger."""
    twenty = open_twenty(server.url, server.api_key, clock=SystemClock(), calls_per_minute=None, timeout_s=10)
    where = tmp_path / "ledger.sqlite"
    with Ledger.open(where, workspace=twenty.workspace(), engagement="x", clock=SystemClock()) as ledger:
        yield Place(twenty, ledger, tmp_path)
    twenty.close()


def test_a_file_is_sent_once_and_its_record_names_it(place: Place) -> None:
    """The bytes come back identical; the ledger has their sha256, and a second time nothing is sent."""
    row = place.row("x-ray.pdf", PDF)
    fields = place.send(row)
    assert place.send(row) == fields
    assert place.states() == ["begun", "sent"]
    record = row.payload | fields
    place.twenty.create("attachment", [record], "c")
    digest = hashlib.sha256(PDF).hexdigest()
    assert list(place.twenty.digests("attachment", [record["id"]], "file")) == [(record["id"], digest, len(PDF))]
    assert place.ledger.entries("kind = 'upload'").__next__().body["sha256"] == digest
    stored = place.twenty.read("attachment", [record["id"]])[record["id"]]
    assert {k: stored[k] for k in fields} == fields
    assert file_keys(place.twenty, STEP, record) == sorted(fields)
    place.twenty.destroy("attachment", [record["id"]], "d")


BAD: list[tuple[str, bytes | None, str]] = [
    ("note.pdf", b"just a text", "file_not_what_it_says"),
    ("empty.png", b"", "file_not_what_it_says"),
    ("scan.heic", b"garbage" * 20, "file_not_what_it_says"),
    ("noextension", b"abc", "file_without_extension"),
    ("gone.pdf", None, "file_missing"),
]


@pytest.mark.parametrize(("name", "content", "code"), BAD, ids=[b[0] for b in BAD])
def test_what_can_not_be_sent_is_refused_before_any_call(
    place: Place, name: str, content: bytes | None, code: str
) -> None:
    """Alike in both versions, in our words; the file is on a list with its path until it is put right."""
    row = place.row(name, content)
    with pytest.raises(FileRefused) as caught:
        place.send(row)
    assert caught.value.code == code
    assert name not in caught.value.words
    assert place.twenty.stats.calls == 0
    if content is None:
        return
    assert [(f.path, f.code, f.sha256) for f in refused_files(place.ledger)] == [
        (row.file_path, code, hashlib.sha256(content).hexdigest())
    ]
    if "." in name:
        place.send(place.row("note.txt", b"right"))
        assert refused_files(place.ledger) == ()


def test_other_kinds_are_sent_as_they_are(place: Place) -> None:
    """No list of allowed kinds: what can't be recognised isn't judged, and an empty text is a text."""
    for name, content in (("scan.dcm", b"DICM"), ("empty.txt", b""), ("letter.docx", b"not a zip"), ("a.b.CSV", b"1")):
        assert place.send(place.row(name, content, key=name))


def test_a_file_over_the_limit_is_listed_with_its_size(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never dropped without a word."""
    small = replace(place.twenty.capabilities, max_upload_mb=0.001)
    monkeypatch.setattr(TwentyDestination, "capabilities", small)
    with pytest.raises(FileRefused) as caught:
        place.send(place.row("x-ray.pdf", PDF))
    assert caught.value.code == "file_too_large"
    assert "1,080 bytes" in caught.value.words
    assert len(refused_files(place.ledger)) == 1


@pytest.mark.parametrize("effect", ["upload begun", "upload recorded", "file sent", "file recorded"])
def test_an_upload_is_taken_up_after_a_stop_at_each_effect(place: Place, effect: str) -> None:
    """The record names one file, with the right bytes."""
    row = place.row("x-ray.pdf", PDF)

    def stop(name: str) -> None:
        if name == effect:
            raise Stop

    with pytest.raises(Stop):
        place.send(row, stop)
    record = row.payload | place.send(row)
    place.twenty.create("attachment", [record], "c")
    assert place.twenty.download("attachment", record["id"], "file") == PDF
    place.twenty.destroy("attachment", [record["id"]], "d")


def test_a_file_that_was_changed_since_is_sent_anew(place: Place) -> None:
    """A ticket counts for the bytes that it was made for, by their sha256."""
    first = place.send(place.row("x-ray.pdf", PDF))
    second = place.send(place.row("x-ray.pdf", PDF + b"more"))
    assert first != second


def test_a_file_that_changes_while_it_is_sent_is_refused(place: Place) -> None:
    """What was hashed must be what was sent."""
    row = place.row("x-ray.pdf", PDF)

    def change(name: str) -> None:
        if name == "file sent":
            Path(str(row.file_path)).write_bytes(PDF + b"more")

    with pytest.raises(FileRefused) as caught:
        place.send(row, change)
    assert caught.value.code == "file_changed"


def test_rolling_back_leaves_no_file_without_a_record(place: Place) -> None:
    """A file that never got its record is given one and destroyed; refused ones need nothing."""
    place.send(place.row("x-ray.pdf", PDF))
    with pytest.raises(FileRefused):
        place.send(place.row("note.pdf", b"text", key="18"))
    before = place.twenty.count("attachment")
    assert take_back_uploads(place.ledger, place.twenty, patience=Patience(SystemClock())) == ()
    assert place.twenty.count("attachment") == before
    assert place.states()[-1] == "void"
