"""From raw tables to records: proposals, the map as data, its checks, and its application. Opens no socket."""

from __future__ import annotations

from dentlib.mapping.map import Formats, Map, TableMap, load_map
from dentlib.mapping.prepare import PrepareContext, PreparedFacts, prepare
from dentlib.mapping.propose import ColumnProposal, Proposals, propose, write_proposals

__all__ = [
    "ColumnProposal",
    "Formats",
    "Map",
    "PrepareContext",
    "PreparedFacts",
    "Proposals",
    "TableMap",
    "load_map",
    "prepare",
    "propose",
    "write_proposals",
]
