"""Keep the destination's own automation quiet while a load writes, put it back as it was, also after a crash, and see
both: each switch is read back when it is off and when it is on again, and the ledger records what was seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from dentlib.errors import DestinationError, Refused
from dentlib.loading.history import switches_off
from dentlib.loading.ledger import Ledger
from dentlib.loading.patience import Hook, Patience, no_hook
from dentlib.model import Destination, Switch


@contextmanager
def quiet(
    ledger: Ledger, destination: Destination, *, patience: Patience, hook: Hook = no_hook, run_id: str = ""
) -> Iterator[tuple[str, ...]]:
    """Switch off what would react to writes; on again at the end. Yields the labels of what is off.

    Each switch, as it was, is in the ledger before it is touched: after a crash `restore_switches` (which every later
    load and rollback calls) puts it on. An error while putting on never hides the error that ended the load. Raises
    DestinationError, before anything is loaded, where a switch that was switched off is seen to be on.
    """
    found = patience.idempotent(destination.switches)
    try:
        for switch in found:
            ledger.append("switch", {"switch": asdict(switch), "state": "off"}, run=run_id)
            hook("switch recorded")
            patience.idempotent(lambda switch=switch: destination.switch_off(switch))  # type: ignore[misc]
            hook("switched off")
        _see_off(ledger, destination, found, patience, run_id)
        yield tuple(s["label"] for s in switches_off(ledger))
    except BaseException as error:
        try:
            restore_switches(ledger, destination, patience=patience, hook=hook, run_id=run_id)
        except DestinationError as other:
            error.add_note(
                f"{len(switches_off(ledger))} automations are still switched off ({type(other).__name__}); "
                "the next load or rollback puts them on again"
            )
        raise
    restore_switches(ledger, destination, patience=patience, hook=hook, run_id=run_id)


def _see_off(ledger: Ledger, destination: Destination, switched: list[Switch], patience: Patience, run_id: str) -> None:
    if not switched:
        return
    on = {s.id for s in patience.idempotent(destination.switches)}
    still = [s.label for s in switched if s.id in on]
    if still:
        raise DestinationError(
            f"{', '.join(still)}: switched off, and still on when looked at",
            "switch it off in the CRM by hand, then run the same command again",
        )
    with ledger.transaction():
        for switch in switched:
            ledger.append("switch", {"switch": asdict(switch), "state": "seen_off"}, run=run_id)


def restore_switches(
    ledger: Ledger, destination: Destination, *, patience: Patience, hook: Hook = no_hook, run_id: str = ""
) -> tuple[str, ...]:
    """Put on whatever is off by our hand, exactly as it was, look, and record what was seen; return the labels.

    Idempotent, resumable. A switch that somebody took out of the destination meanwhile is recorded as not seen.
    """
    off = [Switch(**kept) for kept in switches_off(ledger)]
    for switch in off:
        try:
            patience.idempotent(lambda switch=switch: destination.switch_on(switch))  # type: ignore[misc]
        except Refused as refusal:
            if refusal.code not in ("RECORD_NOT_FOUND", "NOT_FOUND"):
                raise
        hook("switched on")
    seen = {s.id: s for s in patience.idempotent(destination.switches)} if off else {}
    with ledger.transaction():
        for switch in off:
            body = {"switch": asdict(switch), "state": "on", "seen": seen.get(switch.id) == switch}
            ledger.append("switch", body, run=run_id)
    if off:
        hook("switch recorded")
    return tuple(s.label for s in off)
