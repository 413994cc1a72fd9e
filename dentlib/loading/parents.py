"""Find the records that a refused one points to and that somebody took away in the destination.

A destroyed parent whose own row did not change is noticed only here: what is new and belongs to it is refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from dentlib.errors import Refused
from dentlib.loading.ledger import Ledger
from dentlib.loading.patience import Patience
from dentlib.loading.words import Reason, parent_gone
from dentlib.model import JSON, Destination


def points_nowhere(refusal: Refused) -> bool:
    """Tell whether a refusal says that a record points to one that isn't there."""
    return "foreign key" in refusal.message.lower()


def gone_parents(
    ledger: Ledger, destination: Destination, records: Mapping[str, JSON], *, run_id: str, patience: Patience
) -> dict[str, Reason]:
    """Say of each record (id → fields) whether one that it points to, and that we made, is gone from the destination.

    Notes these (`lost` in the ledger), so that they are listed for a decision.
    """
    links = {
        rid: {str(v) for name, v in fields.items() if name.endswith("Id") and isinstance(v, str) and v}
        for rid, fields in records.items()
    }
    wanted = sorted({v for some in links.values() for v in some})
    if not wanted:
        return {}
    marks = ",".join("?" * len(wanted))
    sql = f"SELECT record_id, step, source_key, object, state FROM current WHERE record_id IN ({marks})"
    ours = {rid: (step, key, name, state) for rid, step, key, name, state in ledger.rows(sql, *wanted)}
    by_object: dict[str, list[str]] = defaultdict(list)
    for rid, (_, _, name, _) in ours.items():
        by_object[name].append(rid)
    gone: dict[str, str] = {}
    for name, ids in by_object.items():
        there = patience.transient(
            lambda name=name, ids=ids: destination.read(name, ids, deleted=True)  # type: ignore[misc]
        )
        gone |= {rid: ours[rid][0] for rid in ids if rid not in there}
    if rows := [[*ours[rid][:2], rid, ours[rid][2]] for rid in sorted(gone) if ours[rid][3] == "live"]:
        ledger.append("lost", {"rows": rows}, run=run_id)
    found = {rid: next((gone[v] for v in sorted(some) if v in gone), "") for rid, some in links.items()}
    return {rid: parent_gone(step) for rid, step in found.items() if step}
