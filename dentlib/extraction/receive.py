"""Receive a client's files: copy them out of a folder, a zip or a single file, hashed on the way, unread."""

from __future__ import annotations

import hashlib
import shutil
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from dentlib.errors import ExportError
from dentlib.model import Progress

BLOCK_BYTES = 1 << 20
MANIFEST = "manifest.json"
MADE_BY = b"dentlib manifest"
MAX_UNPACKED_BYTES = 200 << 30
MAX_RATIO = 1100  # deflate can't do better than 1032:1, so an honest declaration stays below
_CLUTTER = ("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini")


@dataclass(frozen=True, slots=True)
class Received:
    """One file as it was received. `path` is relative, with `/`."""

    path: str
    sha256: str
    size_bytes: int


def receive(source: Path, incoming: Path, progress: Progress) -> list[Received]:
    """Copy every file of a folder, a zip archive or a single file into the new folder `incoming`, in path order.

    Streams; the copies become read-only (0400). Links, devices and names that lead out of the folder are refused.
    Raises ExportError with the way out when there is nothing to take in.
    """
    if not source.exists():
        raise ExportError(f"there is no export at {source}", "check the path given with --export")
    incoming.mkdir(parents=True, mode=0o700)
    if source.is_dir():
        received = _from_folder(source, incoming, progress)
    elif zipfile.is_zipfile(source) and source.suffix.lower() not in (".xlsx", ".xlsm"):
        received = _from_zip(source, incoming, progress)
    elif source.suffix.lower() == ".zip":
        raise ExportError(
            f"{source.name} is not a readable zip archive",
            "ask for the archive again, or unpack it and give the folder",
        )
    elif source.is_file():
        received = [_keep_file(source, incoming, source.name, progress)]
    else:
        raise ExportError(f"{source} is neither a file nor a folder", "give a folder, a zip archive or one file")
    if not received:
        raise ExportError(f"{source.name} holds no files", "ask the practice for the export again: this one is empty")
    return received


def sha256_of(path: Path) -> str:
    """Return the sha256 (hex) of a file; streams."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _from_folder(source: Path, incoming: Path, progress: Progress) -> list[Received]:
    paths = list(_walk(source))
    progress.start("copy", len(paths), "files")
    received = [_keep_file(p, incoming, p.relative_to(source).as_posix(), progress) for p in paths]
    progress.finish("copy")
    return received


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise ExportError(
                f"{path.relative_to(folder)} is a link, not a file", "replace it by the file itself, or take it out"
            )
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode) or path.name in _CLUTTER or "__MACOSX" in path.parts:
            continue
        if not stat.S_ISREG(mode):
            raise ExportError(
                f"{path.relative_to(folder)} is a device or pipe, not a file", "take it out of the export"
            )
        if path.parent == folder and path.name == MANIFEST and MADE_BY in path.read_bytes()[:200]:
            continue  # our own, of an export taken in before
        yield path


def _keep_file(path: Path, incoming: Path, name: str, progress: Progress) -> Received:
    with path.open("rb") as file:
        kept = _keep(file, incoming, name)
    progress.advance("copy")
    return kept


def _keep(file: IO[bytes], incoming: Path, name: str, limit_bytes: int = MAX_UNPACKED_BYTES) -> Received:
    if name == MANIFEST:  # the practice's own; ours will take that name
        name = "manifest as received.json"
    target = incoming / name
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    digest, size = hashlib.sha256(), 0
    with target.open("xb") as out:
        while block := file.read(BLOCK_BYTES):
            size += len(block)
            if size > limit_bytes:
                raise ExportError(f"{name} unpacks to more than it declares", "this archive is damaged or hostile")
            digest.update(block)
            out.write(block)
    target.chmod(0o400)
    return Received(name, digest.hexdigest(), size)


def _from_zip(source: Path, incoming: Path, progress: Progress) -> list[Received]:
    try:
        with zipfile.ZipFile(source) as archive:
            members = [m for m in archive.infolist() if not m.is_dir() and not _is_clutter(m.filename)]
            _refuse_bomb(members)
            progress.start("copy", len(members), "files")
            received = [_unpack(archive, m, incoming, progress) for m in sorted(members, key=lambda m: m.filename)]
            progress.finish("copy")
            return received
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise ExportError(
            f"{source.name} can't be unpacked ({type(error).__name__})",
            "ask for the archive again without a password, or unpack it and give the folder",
        ) from error


def _is_clutter(name: str) -> bool:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return bool(parts) and (parts[-1] in _CLUTTER or "__MACOSX" in parts)


def _refuse_bomb(members: list[zipfile.ZipInfo]) -> None:
    total = sum(m.file_size for m in members)
    ratio_too_high = any(m.file_size > MAX_RATIO * max(1, m.compress_size) for m in members)
    if total > MAX_UNPACKED_BYTES or ratio_too_high:
        raise ExportError(
            f"the archive declares {total:,} bytes unpacked, which is not believable",
            "unpack it on a machine of your own, look at it, and give the folder",
        )


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo, incoming: Path, progress: Progress) -> Received:
    name = _safe_name(member)
    if (incoming / name).exists():
        raise ExportError(f"the archive holds {name} twice", "unpack it, decide which one is meant, give the folder")
    with archive.open(member) as file:
        kept = _keep(file, incoming, name, member.file_size)
    progress.advance("copy")
    return kept


def _safe_name(member: zipfile.ZipInfo) -> str:
    """Return a member's relative path, or refuse one that leads out of the folder (zip slip) or is a link."""
    path = PurePosixPath(member.filename.replace("\\", "/"))
    mode = member.external_attr >> 16
    leads_out = path.is_absolute() or ".." in path.parts or any(":" in p for p in path.parts)
    if leads_out or not path.parts or (mode and stat.S_ISLNK(mode)):
        raise ExportError(
            f"the archive holds a name that leads out of its folder or a link: {member.filename[:80]!r}",
            "this is not how an export is made; ask where the archive comes from",
        )
    return path.as_posix()


def discard(folder: Path) -> None:
    """Remove a folder of received files, read-only ones included. Idempotent."""
    if folder.is_dir():
        shutil.rmtree(folder)
