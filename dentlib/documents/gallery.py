"""Write one of every client page from invented facts: `python -m dentlib.documents.gallery OUT`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from dentlib.documents import gallery_facts as invented
from dentlib.documents import gallery_loads as loads
from dentlib.documents.cutover import checklist
from dentlib.documents.pages import Facts, kinds, write_index, write_page


def write_gallery(out_dir: Path) -> list[Path]:
    """Write every page, masked, the sample's practice copy, and the index; return their paths. Deterministic."""
    mapping = invented.mapping_facts()
    facts: dict[str, Facts] = {
        "audit": invented.audit_facts(),
        "mapping": mapping,
        "schema": mapping,
        "owners": mapping,
        "rebuild": mapping,
        "sample": loads.sample_facts(),
        "preview": loads.preview_facts(),
        "package": loads.package_facts(),
        "run": loads.run_facts(),
        "delta": loads.run_facts("delta"),
        "cutover": checklist(
            invented.ENGAGEMENT, invented.CLIENT, "dent-o-soft--twenty", ("workflow “Welcome e-mail”",)
        ),
        "rollback": loads.rollback_facts(),
    }
    written = [write_page(kind, facts[kind], out_dir, generated_at=invented.MADE_AT) for kind in kinds()]
    written.append(write_page("sample", facts["sample"], out_dir, reveal=True, generated_at=invented.MADE_AT))
    return [*written, write_index(out_dir, invented.ENGAGEMENT, invented.CLIENT)]


def main(arguments: Sequence[str]) -> int:
    """Write the gallery into the folder named by the only argument; return the exit code."""
    if len(arguments) != 1:
        print("usage: python -m dentlib.documents.gallery OUT", file=sys.stderr)
        return 2
    for path in write_gallery(Path(arguments[0])):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
