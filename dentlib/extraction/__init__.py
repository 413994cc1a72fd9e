"""From a client's files to raw text tables with file, row and line; nothing is interpreted yet, and nothing is lost."""

from dentlib.extraction.intake import take_in
from dentlib.extraction.manifest import read as read_manifest
from dentlib.extraction.manifest import verify_custody

__all__ = ["read_manifest", "take_in", "verify_custody"]
