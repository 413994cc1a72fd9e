"""Pack a folder of recorded exchanges (one JSON file each) into one reproducible `.json.gz`.

python tests/contract/pack.py FOLDER tests/contracts/twenty-2.21.json.gz
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path


def pack(folder: Path, target: Path) -> int:
    """Write every `NNN-name.json` of `folder` to `target`, in the order of their numbers; return how many.

    Idempotent: the same folder gives the same bytes. Raises ValueError when a file has no number in its name.
    """
    exchanges = []
    for file in sorted(folder.glob("*.json")):
        number, _, _ = file.stem.partition("-")
        if not number.isdigit():
            raise ValueError(f"{file.name} does not begin with the number of its exchange")
        recorded = json.loads(file.read_text("utf-8"))
        recorded.pop("elapsed_ms", None)
        exchanges.append({"number": int(number), **recorded})
    text = json.dumps({"exchanges": exchanges}, ensure_ascii=False, separators=(",", ":"))
    target.write_bytes(gzip.compress(text.encode("utf-8"), compresslevel=9, mtime=0))
    return len(exchanges)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: pack.py FOLDER TARGET.json.gz")
    print(pack(Path(sys.argv[1]), Path(sys.argv[2])), "exchanges packed")
