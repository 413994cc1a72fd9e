"""Automations of the CRM that were off for a load: when, and that each is on again."""

from __future__ import annotations

from collections.abc import Sequence

from dentlib.documents import numbers
from dentlib.documents.view import Column, Section, Status, Table, Tone
from dentlib.facts import SwitchFacts


def switches_section(switches: Sequence[SwitchFacts]) -> Section:
    """Return the times at which automations were off, with the proof that they are on again."""
    off = [s for s in switches if s.on_at is None]
    unseen = [s for s in switches if s.on_at is not None and not s.verified]
    if not switches:
        finding, status = "No automation of the CRM had to be switched off.", Status("none", Tone.PLAIN)
    elif off or unseen:
        finding = (
            f"{numbers.things(len(off), 'automation').capitalize()} still off, {numbers.count(len(unseen))} put on "
            "again but not found as before: look at them in the CRM."
        )
        status = Status("look at it", Tone.STOP)
    else:
        times = numbers.things(len(switches), "time")
        finding = f"Automations were switched off {times}, and each is on again as it was: looked at afterwards."
        status = Status("on again", Tone.GOOD)
    return Section(
        name="switches",
        heading="Automations of the CRM",
        finding=finding,
        status=status,
        tables=(
            Table(
                name="switches",
                caption="Off and on again",
                columns=(Column("Automation"), Column("Off at"), Column("On again at"), Column("Seen", "status")),
                rows=tuple(
                    (s.label, numbers.moment(s.off_at), numbers.moment(s.on_at) if s.on_at else None, _seen(s))
                    for s in switches
                ),
            ),
        )
        if switches
        else (),
    )


def _seen(switch: SwitchFacts) -> Status:
    if switch.on_at is None:
        return Status("still off", Tone.STOP)
    if not switch.verified:
        return Status("not found as before", Tone.STOP)
    return Status("off and on" if switch.off_seen else "on", Tone.GOOD)
