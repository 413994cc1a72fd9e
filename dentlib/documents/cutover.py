"""The cutover checklist: its lines are data (`cutover.yaml` beside the templates), its page is made to be printed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML

from dentlib import assets
from dentlib.documents import numbers
from dentlib.documents.view import Column, Figure, Section, Status, Table, Tone
from dentlib.errors import UsageError
from dentlib.facts import CutoverFacts, CutoverLine


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    phase: str
    what: str
    who: str
    proof: str
    pairs: tuple[str, ...] = ()


def checklist(
    engagement: str, client: str, pair: str, switched_off: Sequence[str] = (), *, source: Path | None = None
) -> CutoverFacts:
    """Read the checklist of a pair (`source--destination`): the common lines and those that name the pair.

    Reads only. `source`: another YAML file than the one that is shipped. Raises UsageError where it is not well formed.
    """
    path = source or assets.folder("reports") / "cutover.yaml"
    try:
        lines = [_Line.model_validate(x) for x in YAML(typ="safe").load(path.read_text(encoding="utf-8"))]
    except ValidationError as error:
        raise UsageError(f"{path.name}: {error.error_count()} lines are not well formed", str(error)) from error
    chosen = [x for x in lines if not x.pairs or pair in x.pairs]
    phases = list(dict.fromkeys(x.phase for x in lines))
    chosen.sort(key=lambda x: phases.index(x.phase))
    return CutoverFacts(
        engagement,
        client,
        pair,
        tuple(CutoverLine(x.phase, x.what, x.who, x.proof) for x in chosen),
        tuple(switched_off),
    )


def sections(facts: CutoverFacts) -> tuple[Section, ...]:
    """Return the checklist as one section, a table per phase. Pure."""
    columns = (
        Column("Done", "tick"),
        Column("What"),
        Column("Who"),
        Column("Shown by"),
        Column("Time, initials", "line"),
    )
    return (
        Section(
            name="cutover",
            heading="Checklist",
            finding=f"{numbers.things(len(facts.lines), 'step').capitalize()}, in this order. A step is done when the "
            "person named has put the time and their initials beside it.",
            note="To be on again afterwards: " + numbers.listing(list(facts.switched_off), most=20) + "."
            if facts.switched_off
            else "",
            tables=tuple(
                Table(
                    name=f"cutover-{number}",
                    caption=phase,
                    columns=columns,
                    rows=tuple(("", x.what, x.who, x.proof, "") for x in facts.lines if x.phase == phase),
                )
                for number, phase in enumerate(dict.fromkeys(x.phase for x in facts.lines), start=1)
            ),
            sign="The change is complete; the CRM is the practice's system of record from now on.",
        ),
    )


def summary(facts: CutoverFacts) -> Section:
    """Return what the checklist is, with its key figures."""
    who = dict.fromkeys(x.who for x in facts.lines)
    return Section(
        name="summary",
        heading="In short",
        finding=f"{numbers.things(len(facts.lines), 'step').capitalize()} bring {facts.client} from the old system "
        f"into the CRM on the day of the change; {numbers.listing(list(who))} sign for them.",
        status=Status("to sign", Tone.CHECK),
        figures=tuple(
            Figure(f"steps for the {name}", numbers.count(sum(x.who == name for x in facts.lines))) for name in who
        ),
    )


def decisions(facts: CutoverFacts) -> tuple[str, ...]:
    """Return nothing: the checklist itself is what people sign."""
    return ()
