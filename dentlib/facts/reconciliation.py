"""What reading everything back found: coverage, counts, sums, links, and every difference with its explanation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class StepCounts:
    """One step, both sides. `looked_at` of the `confirmed` were read by id, `read_back` of these were found.

    `matched`: records that were there before us. `listed`: removed by somebody, as the ledger lists, so not looked
    for. `at_destination`: counted by source id, to be `expected_there`. `unknown`, `twins`: records that nobody should
    have made (twins None: not looked for). `seen_one_percent`: the chance that a fault in 1 % of the records would have
    been seen.
    """

    step: str
    label: str
    object: str
    prepared: int
    refused: int
    confirmed: int
    stale: int
    matched: int
    listed: int
    looked_at: int
    read_back: int
    in_bin: int
    gone: int
    at_destination: int
    expected_there: int
    unknown: int
    twins: int | None
    seen_one_percent: float


@dataclass(frozen=True, slots=True)
class SumFacts:
    """A field's values added up on both sides, in `unit`: micros of a currency, millionths, days, milliseconds.

    `left_out`: values that somebody changed since, on neither side. Of dates (kinds date and moment) nothing is told
    that could be a patient's: sums are differences, smallest and greatest are years, the years of the very old cut off;
    `ends_same` says whether smallest and greatest agree exactly.
    """

    step: str
    field: str
    kind: str  # money, number, date, moment
    unit: str
    sent_n: int
    stored_n: int
    sent_sum: int
    stored_sum: int
    sent_min: int | None
    stored_min: int | None
    sent_max: int | None
    stored_max: int | None
    left_out: int
    ends_same: bool = True

    @property
    def same(self) -> bool:
        """Tell whether both sides agree in number, sum, smallest and greatest."""
        return self.ends_same and (self.sent_n, self.sent_sum, self.sent_min, self.sent_max) == (
            *(self.stored_n, self.stored_sum, self.stored_min, self.stored_max),
        )


@dataclass(frozen=True, slots=True)
class LinkFacts:
    """A link of a step: `children` of the `expected` were looked at; `kind`: link, owner, or family."""

    step: str
    field: str
    kind: str
    expected: int
    children: int
    orphans: int
    moved: int
    parents: int
    parents_different: int

    @property
    def same(self) -> bool:
        """Tell whether every parent has its children."""
        return not (self.orphans or self.moved or self.parents_different or self.children != self.expected)


@dataclass(frozen=True, slots=True)
class GroupFacts:
    """The records of one group (a status, a kind, a year), both sides."""

    step: str
    field: str
    value: str
    sent: int
    stored: int


@dataclass(frozen=True, slots=True)
class ExplainedFacts:
    """How many values of a field came to be what they are in one way. `kind` as in `loading.differences`."""

    step: str
    field: str
    kind: str
    how: str
    count: int


@dataclass(frozen=True, slots=True)
class NamedDifference:
    """One record, or one field of it, that is not as it was meant. Never a value."""

    step: str
    object: str
    record_id: str
    field: str
    kind: str
    how: str


@dataclass(frozen=True, slots=True)
class FileFactsBack:
    """A step's files: `compared` of the `expected` were fetched, `same` of these hold the bytes that were sent."""

    step: str
    expected: int
    compared: int
    same: int
    other_bytes: int
    missing: int
    size_bytes: int
    seen_one_percent: float


@dataclass(frozen=True, slots=True)
class ReconciliationFacts:
    """A reading back. `calls_allowed` None: everything was to be read. `differences`: the gravest first, not all."""

    run_id: str
    started_at: datetime
    ended_at: datetime
    calls: int
    calls_allowed: int | None
    page_rows: int
    seed: int
    steps: tuple[StepCounts, ...]
    sums: tuple[SumFacts, ...]
    links: tuple[LinkFacts, ...]
    groups: int
    groups_different: tuple[GroupFacts, ...]
    explained: tuple[ExplainedFacts, ...]
    differences: tuple[NamedDifference, ...]
    differences_found: int
    files: tuple[FileFactsBack, ...]

    @property
    def whole(self) -> bool:
        """Tell whether every confirmed record and every file was read."""
        records = all(s.looked_at == s.confirmed - s.listed for s in self.steps)
        return records and all(f.compared == f.expected for f in self.files)
