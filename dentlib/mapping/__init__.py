"""From raw tables to records: proposals, the map as data, its checks, and its application. Opens no socket."""

from __future__ import annotations

from dentlib.mapping.access import access_rows
from dentlib.mapping.check import check
from dentlib.mapping.check_rows import check_rows
from dentlib.mapping.explain import ExplainRow, explain
from dentlib.mapping.facts import mapping_facts
from dentlib.mapping.map import Formats, Map, TableMap, load_map
from dentlib.mapping.owners import owner_rows, undecided_owners, write_assigned
from dentlib.mapping.prepare import PrepareContext, PreparedFacts, prepare
from dentlib.mapping.propose import ColumnProposal, Proposals, propose, write_proposals
from dentlib.mapping.remarks import SetAside, ValueRemark, remark_counts, rows_set_aside, value_remarks
from dentlib.mapping.sample import choose_sample
from dentlib.mapping.schema import wanted_schema
from dentlib.mapping.sharing import SHARED_COLUMNS, household_facts, household_rows

__all__ = [
    "SHARED_COLUMNS",
    "ColumnProposal",
    "ExplainRow",
    "Formats",
    "Map",
    "PrepareContext",
    "PreparedFacts",
    "Proposals",
    "SetAside",
    "TableMap",
    "ValueRemark",
    "access_rows",
    "check",
    "check_rows",
    "choose_sample",
    "explain",
    "household_facts",
    "household_rows",
    "load_map",
    "mapping_facts",
    "owner_rows",
    "prepare",
    "propose",
    "remark_counts",
    "rows_set_aside",
    "undecided_owners",
    "value_remarks",
    "wanted_schema",
    "write_assigned",
    "write_proposals",
]
