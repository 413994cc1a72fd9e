"""The frame in which a sample practice is built: tables, dice, and rows that are built only when asked for."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from dentlib.samples.trouble import TroubleLog

Row = dict[str, str]
T = TypeVar("T")

REFERENCE_DATE = date(2026, 1, 5)
_OFFICE_OPENS, _QUARTERS_OPEN = 8, 35


@cache
def catalogue() -> dict[str, Any]:
    """Read the wordings and price ranges of the sample practice (catalogue.json of this package)."""
    content: dict[str, Any] = json.loads((Path(__file__).parent / "catalogue.json").read_text(encoding="utf-8"))
    return content


class Dice:
    """A seeded source of chance for one table, so that a table's bytes don't depend on which others are written."""

    def __init__(self, seed: str) -> None:
        self._random = Random(seed)
        self._next = self._random.random

    def below(self, limit: int) -> int:
        return int(self._next() * limit)

    def between(self, low: int, high: int) -> int:
        return low + int(self._next() * (high - low + 1))

    def one(self, choices: Sequence[T]) -> T:
        return choices[int(self._next() * len(choices))]

    def chance(self, share: float) -> bool:
        return self._next() < share

    def weighted(self, choices: Sequence[tuple[T, int]]) -> T:
        mark = self._next() * sum(weight for _, weight in choices)
        for choice, weight in choices:
            mark -= weight
            if mark < 0:
                return choice
        return choices[-1][0]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        order = list(items)
        self._random.shuffle(order)
        return order

    def day(self, first: date, last: date) -> date:
        return first + timedelta(days=self.below(max(1, (last - first).days + 1)))

    def workday(self, first: date, last: date) -> date:
        """Draw a day from Monday to Friday; it may lie up to two days before `first`."""
        drawn = self.day(first, last)
        return drawn - timedelta(days=max(0, drawn.weekday() - 4))

    def office_time(self) -> tuple[int, int]:
        quarter = self.below(_QUARTERS_OPEN)
        return _OFFICE_OPENS + quarter // 4, quarter % 4 * 15

    def moment(self, day: date) -> str:
        """Write some moment of that day's office hours as `2025-03-09 14:05:31`."""
        return f"{day.isoformat()} {self.between(8, 17):02d}:{self.below(60):02d}:{self.below(60):02d}"


class Pool:
    """Hands out rows at random, each once, so that two kinds of trouble don't undo each other."""

    def __init__(self, dice: Dice, rows: Sequence[Row]) -> None:
        self._left = dice.shuffled(rows)

    def __len__(self) -> int:
        return len(self._left)

    def take(self, count: int) -> list[Row]:
        taken, self._left = self._left[:count], self._left[count:]
        if len(taken) < count:
            raise LookupError(f"{count} rows wanted, {len(taken)} left")
        return taken


@dataclass(frozen=True, slots=True)
class Layout:
    """How one file is written."""

    columns: tuple[str, ...]
    encoding: str = "utf-8"
    delimiter: str = ","


def _layout(columns: str, **options: str) -> Layout:
    return Layout(tuple(columns.split()), **options)


LAYOUTS: dict[str, Layout] = {
    "Patients": _layout(
        "PatNum ChartNo LName FName MiddleI Preferred Salutation Birthdate Gender SSN Addr1 Addr2 City State Zip "
        "HmPhone WirelessPhone WkPhone EMail CarrierNum GroupNo MemberId Carrier2Num Group2No Member2Id ReferredBy "
        "RefSource GuarantorNum PrimProv PatStatus DoNotContact MarketingConsent ConsentDate PreferredChannel MedAlert "
        "DateCreated DateModified",
        encoding="utf-8-sig",
    ),
    "InsCarriers": _layout(
        "CarrierNum CarrierName PayerID Address City State Zip Phone EMail WebSite CarrierType Hidden",
        encoding="cp1252",
    ),
    "Labs": _layout("LabNum LabName Contact Street City State Zip Phone EMail"),
    "Referrals": _layout(
        "RefNum RefKind OrgName RefTitle LName FName Specialty NPI OrgRefNum Phone EMail Address City State Zip"
    ),
    "Staff": _layout("StaffID LName FName JobTitle Specialty NPI EMail Phone IsProvider Active"),
    "TreatPlans": _layout(
        "PlanID PatNum Heading PlanStatus PlanAmount ProvID DatePresented DateApproved DateCompleted PlanNote CreatedOn"
    ),
    "Procedures": _layout(
        "ProcNum PatNum PlanID ProcDate ProcCode Descript ToothNum Surf Fee ProvID ProcStatus Material ProcNote "
        "CreatedOn"
    ),
    "Appointments": _layout(
        "AptNum PatientID AptDate AptTime LengthMin Chair ProvID AptType AptStatus AptNote CreatedOn"
    ),
    "ClinicalNotes": _layout("NoteNum PatNum NoteDate NoteType Provider NoteText"),
    "ToothChart": _layout(
        "ChartNum PatientID ExamDate ToothNum Surf Condition PocketDepth Bleeding Mobility ProvID Remark"
    ),
    "Communications": _layout("CommNum PatNum CommType CommTime Direction DurationMin Subject Body StaffID"),
    "InsClaims": _layout(
        "ClaimNum ClaimNo PatientID CarrierNum ProvID PlanID ServiceDate DateSent BilledAmt PaidAmt AdjAmt AdjReason "
        "ClaimStatus CreatedOn",
        delimiter=";",
    ),
    "LabCases": _layout(
        "LabCaseNum PatNum LabNum ProvID RxDate DueDate CaseStatus ToothNum Shade Material Instructions"
    ),
    "Recalls": _layout("RecallNum PatientID RecallType IntervalMonths LastVisit RecallStatus RecallNote"),
    "DocIndex": _layout("DocNum PatNum DocType Descript FileName FileSize DocDate"),
    "Payments": _layout("PayNum PatNum PlanID ProcNum PayDate PayType Amount Balance Memo EnteredOn"),
    "Definitions": _layout("DefNum DefKind DefName AppliesTo TriggerEvent ConditionText ActionText Enabled"),
}


@dataclass
class Table:
    """The rows of one file, with what surrounds them in it."""

    name: str
    rows: list[Row] = field(default_factory=list)
    blank_after: list[tuple[int, int]] = field(default_factory=list)  # (row position, number of delimiters)
    trailing: dict[str, int] = field(default_factory=dict)  # key -> empty cells beyond the header
    footer: Callable[[Sequence[Row]], list[str]] | None = None

    @property
    def layout(self) -> Layout:
        return LAYOUTS[self.name]

    @property
    def key(self) -> str:
        return self.layout.columns[0]

    @property
    def file(self) -> str:
        return f"{self.name}.csv"

    def write(self, folder: Path) -> None:
        """Write the file; overwrites it."""
        columns = self.layout.columns
        blanks: dict[int, list[int]] = {}
        for position, delimiters in self.blank_after:
            blanks.setdefault(min(position, len(self.rows)), []).append(delimiters)
        with (folder / self.file).open("w", encoding=self.layout.encoding, newline="") as sink:
            writer = csv.writer(sink, delimiter=self.layout.delimiter, lineterminator="\r\n")
            writer.writerow(columns)
            for position, row in enumerate(self.rows, start=1):
                cells = [row[column] for column in columns]
                writer.writerow(cells + [""] * self.trailing.get(cells[0], 0) if self.trailing else cells)
                for delimiters in blanks.get(position, ()):
                    sink.write(self.layout.delimiter * delimiters + "\r\n")
            if self.footer:
                writer.writerow(self.footer(self.rows))


class Practice:
    """One invented practice: builds each table when first asked for, always the same for the same size and seed."""

    def __init__(self, patients: int, seed: int, builders: dict[str, Callable[[Practice], Table]]) -> None:
        self.patients = patients
        self.seed = seed
        self.log = TroubleLog()
        self.documents: dict[str, str] = {}  # file name -> how its bytes are made, see documents.py
        self.names_taken: set[tuple[str, str]] = set()  # (last name, birth date): so that twins are only ours
        self._phones = 0
        self._builders = builders
        self._tables: dict[str, Table] = {}

    def dice(self, purpose: str) -> Dice:
        return Dice(f"dent-o-soft {self.seed} {self.patients} {purpose}")

    def table(self, name: str) -> Table:
        if name not in self._tables:
            self.put(self._builders[name](self))
        return self._tables[name]

    def put(self, table: Table) -> None:
        """Keep a table that was built along with another one."""
        self._tables[table.name] = table

    def rows(self, name: str) -> list[Row]:
        return self.table(name).rows

    def next_phone(self) -> int:
        """Count on through the directory of patients' numbers; the first 1,000 are for firms and staff."""
        self._phones += 1
        return 1000 + self._phones

    def few(self, rows: int, per_mille: int) -> int:
        """Tell how many rows of so many get a kind of trouble: at least one."""
        return max(1, round(rows * per_mille / 1000))


def us(day: date) -> str:
    return f"{day.month:02d}/{day.day:02d}/{day.year}"


def from_us(text: str) -> date:
    return date(int(text[6:]), int(text[:2]), int(text[3:5]))


def money(cents: int) -> str:
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02d}"


def cents(text: str) -> int:
    """Read an amount in any spelling this package writes."""
    negative = text.startswith(("-", "("))
    digits = text.strip("()-$").replace(",", "").replace("$", "").replace(".", "")
    return -int(digits) if negative else int(digits)


def dressed(text: str) -> str:
    """Write an amount with currency sign and thousands separators."""
    return f"${int(text[:-3]):,}{text[-3:]}"


def moment_day(text: str) -> date:
    return datetime.fromisoformat(text).date()
