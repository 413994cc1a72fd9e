"""What a run will need, told before its first call, and held against what it needed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from dentlib.facts.matching import MatchFacts
from dentlib.model import ProbedFact, Reaction


@dataclass(frozen=True, slots=True)
class StepForecast:
    """One step: records to create and to change, records that stay, and the writing calls for them."""

    step: str
    label: str
    object: str
    create: int
    change: int
    stay: int
    calls: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a run will need. `calls` write, `reading` calls read back; both count against the rate.

    `calls_per_minute` None: nothing limits; then `minutes` rests on the time per call of the last run or sample
    (`measured`), and is None where there was none. `rate_from`: where the rate comes from, in words.
    """

    records: int
    calls: int
    minutes: float | None
    calls_per_minute: int | None
    reading: int = 0
    steps: tuple[StepForecast, ...] = ()
    rate_from: str = ""
    measured: bool = False
    begins_at: datetime | None = None
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PreviewFacts:
    """Everything a person should know before a run: how much, how long, what reacts to it, who gets what.

    `owners`: how they are matched, people, records. `undecided`: what closes the gate. `invited`: addresses invited as
    members that have not accepted (None: the key can't see them).
    """

    engagement: str
    client: str
    workspace: str
    forecast: Forecast
    switches: tuple[str, ...]
    reactions: tuple[Reaction, ...]
    owners: tuple[tuple[str, int, int], ...]
    invited: int | None
    undecided: tuple[str, ...] = ()
    matches: MatchFacts = field(default_factory=lambda: MatchFacts(()))
    probed: tuple[ProbedFact, ...] = ()
