"""Pack a folder of recorded exchanges (one JSON file each) into one reproducible `.json.gz`.

python tests/contract/pack.py FOLDER tests/contracts/twenty-2.21.json.gz
python tests/contract/pack.py CORE.json METADATA.json tests/contracts/openapi-2.21.json.gz
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from replaying.openapi import outline

_BULK = ("components", "paths", "tags", "security", "externalDocs")


def pack(folder: Path, target: Path) -> int:
    """Write every `NNN-name.json` of `folder` to `target`, in the order of their numbers; return how many.

    Of an OpenAPI document only the heads are kept: its outline is packed by itself, and compared instead.

    Idempotent: the same folder gives the same bytes. Raises ValueError when a file has no number in its name.
    """
    exchanges = []
    for file in sorted(folder.glob("*.json")):
        number, _, _ = file.stem.partition("-")
        if not number.isdigit():
            raise ValueError(f"{file.name} does not begin with the number of its exchange")
        recorded = json.loads(file.read_text("utf-8"))
        recorded.pop("elapsed_ms", None)
        answer = recorded["response"].get("body")
        if isinstance(answer, dict) and "openapi" in answer:
            recorded["response"]["body"] = _head(answer)
        exchanges.append({"number": int(number), **recorded})
    _write(target, {"exchanges": exchanges})
    return len(exchanges)


def _head(document: dict[str, Any]) -> dict[str, Any]:
    """Keep what tells an OpenAPI document from another; its outline is packed by itself."""
    kept = {key: value for key, value in document.items() if key not in _BULK}
    return {**kept, "info": {key: document["info"][key] for key in ("title", "version")}}


def pack_outlines(core: Path, metadata: Path, target: Path) -> None:
    """Write the outlines of two recorded OpenAPI documents to `target`; the documents themselves are not needed.

    Each file is the document itself, or the exchange that brought it.
    """
    documents = {"core": core, "metadata": metadata}
    read = {kind: json.loads(file.read_text("utf-8")) for kind, file in documents.items()}
    _write(
        target,
        {
            kind: outline(value["response"]["body"] if "response" in value else value, properties=kind == "core")
            for kind, value in read.items()
        },
    )


def _write(target: Path, value: object) -> None:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    target.write_bytes(gzip.compress(text.encode("utf-8"), compresslevel=9, mtime=0))


if __name__ == "__main__":
    files = [Path(argument) for argument in sys.argv[1:]]
    if len(files) == 2:
        print(pack(*files), "exchanges packed")
    elif len(files) == 3:
        pack_outlines(*files)
    else:
        sys.exit("usage: pack.py FOLDER TARGET.json.gz | pack.py CORE.json METADATA.json TARGET.json.gz")
