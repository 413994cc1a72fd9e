"""Keep the destination's own automation quiet while a load writes, and put it back as it was, also after a crash."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from dentlib.errors import DestinationError
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
    load and rollback calls) puts it on. An error while putting on never hides the error that ended the load.
    """
    found = patience.idempotent(destination.switches)
    try:
        for switch in found:
            ledger.append("switch", {"switch": asdict(switch), "state": "off"}, run=run_id)
            hook("switch recorded")
            patience.idempotent(lambda switch=switch: destination.switch_off(switch))  # type: ignore[misc]
            hook("switched off")
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


def restore_switches(
    ledger: Ledger, destination: Destination, *, patience: Patience, hook: Hook = no_hook, run_id: str = ""
) -> tuple[str, ...]:
    """Put on whatever is off by our hand, exactly as it was; return the labels. Idempotent, resumable."""
    labels = []
    for kept in switches_off(ledger):
        switch = Switch(**kept)
        patience.idempotent(lambda switch=switch: destination.switch_on(switch))  # type: ignore[misc]
        hook("switched on")
        ledger.append("switch", {"switch": kept, "state": "on"}, run=run_id)
        hook("switch recorded")
        labels.append(switch.label)
    return tuple(labels)
