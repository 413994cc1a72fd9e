"""A later export of the same practice: what the front desk entered, changed and deleted in between.

Only rows without trouble are changed or deleted, and no value appears in a code column that the base doesn't have:
so the counts of trouble stay true, and the structure of the export stays the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta

from dentlib.samples.clinic import appointment, note, procedure
from dentlib.samples.names import LAST_NAMES, MAIL_DOMAINS, mail_name, phone
from dentlib.samples.office import claim, communication, document, payment, recall
from dentlib.samples.people import address, new_patient
from dentlib.samples.practice import REFERENCE_DATE, Pool, Practice, Row, cents, from_us, money, us

_PARENTS: dict[str, tuple[tuple[str, str], ...]] = {
    "Patients": (("GuarantorNum", "Patients"),),
    "TreatPlans": (("PatNum", "Patients"),),
    "Procedures": (("PatNum", "Patients"), ("PlanID", "TreatPlans")),
    "Appointments": (("PatientID", "Patients"),),
    "ClinicalNotes": (("PatNum", "Patients"),),
    "ToothChart": (("PatientID", "Patients"),),
    "Communications": (("PatNum", "Patients"),),
    "InsClaims": (("PatientID", "Patients"), ("PlanID", "TreatPlans")),
    "LabCases": (("PatNum", "Patients"),),
    "Recalls": (("PatientID", "Patients"),),
    "DocIndex": (("PatNum", "Patients"),),
    "Payments": (("PatNum", "Patients"), ("PlanID", "TreatPlans"), ("ProcNum", "Procedures")),
}

# Columns of codes: a new row may only hold what the base already holds there.
_CODES: dict[str, tuple[str, ...]] = {
    "Patients": ("Gender", "Salutation", "PreferredChannel", "RefSource", "State", "City"),
    "TreatPlans": ("PlanStatus", "Heading"),
    "Procedures": ("ProcCode", "ProcStatus", "Surf", "Material", "ToothNum"),
    "Appointments": ("AptType", "AptStatus", "LengthMin", "Chair"),
    "ClinicalNotes": ("NoteType",),
    "Communications": ("CommType", "Direction"),
    "InsClaims": ("ClaimStatus", "AdjReason"),
    "Recalls": ("RecallType", "RecallStatus", "IntervalMonths"),
    "DocIndex": ("DocType",),
    "Payments": ("PayType",),
}

_PER_MILLE_DELETED = (("Patients", 4), ("TreatPlans", 6), ("Appointments", 8), ("Communications", 6), ("Recalls", 6))


@dataclass
class Delta:
    """What one round did to one table, by key."""

    created: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)


class LaterRound:
    """Moves a practice on by one round, in place, and remembers what it did."""

    def __init__(self, practice: Practice, number: int) -> None:
        self.practice = practice
        self.dice = practice.dice(f"round {number}")
        self.day = REFERENCE_DATE + timedelta(days=number - 1)
        self.delta: dict[str, Delta] = {name: Delta() for name in _PARENTS}
        self._index = {name: {row[self._key(name)]: row for row in practice.rows(name)} for name in _PARENTS}
        self._last_key = {name: max(int(key) for key in rows) for name, rows in self._index.items()}
        self._seen = {
            name: {column: {row[column] for row in practice.rows(name)} for column in columns}
            for name, columns in _CODES.items()
        }
        self._used: set[tuple[str, str]] = set()

    def play(self) -> dict[str, Delta]:
        """Delete, change, then create; return the tables with any difference."""
        self._delete()
        self._change()
        self._create()
        return {name: delta for name, delta in self.delta.items() if delta.created or delta.changed or delta.deleted}

    def _key(self, table: str) -> str:
        return self.practice.table(table).key

    def _free(self, table: str) -> list[Row]:
        """List the rows without trouble that this round hasn't used yet."""
        closed = self.practice.log.touched | self._used
        return [row for key, row in self._index[table].items() if (table, key) not in closed]

    def _few(self, table: str, per_mille: int) -> int:
        return self.practice.few(len(self._index[table]), per_mille)

    # -- deleting ------------------------------------------------------------------------------------------------

    def _delete(self) -> None:
        children: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for name, parents in _PARENTS.items():
            for key, row in self._index[name].items():
                for column, parent in parents:
                    if row[column] and (name, key) != (parent, row[column]):
                        children.setdefault((parent, row[column]), []).append((name, key))
        gone: set[tuple[str, str]] = set()
        for name, per_mille in _PER_MILLE_DELETED:
            wanted = self._few(name, per_mille)
            for row in self.dice.shuffled(self._free(name)):
                if wanted == 0:
                    break
                family = _with_children((name, row[self._key(name)]), children)
                if self._may_go(name, row, family, gone):
                    wanted -= 1
                    gone |= family
        self._drop(gone)

    def _may_go(self, name: str, row: Row, family: set[tuple[str, str]], gone: set[tuple[str, str]]) -> bool:
        if name == "Appointments" and not (row["PatientID"] and from_us(row["AptDate"]) > REFERENCE_DATE):
            return False  # what happened is not deleted: recalls refer to it
        others = sum(1 for table, _ in family if table == "Patients") > (name == "Patients")
        return not others and family.isdisjoint(gone) and family.isdisjoint(self.practice.log.touched)

    def _drop(self, gone: set[tuple[str, str]]) -> None:
        for name, key in sorted(gone, key=lambda entry: (entry[0], int(entry[1]))):
            row = self._index[name].pop(key)
            self.delta[name].deleted.append(key)
            if name == "DocIndex":
                del self.practice.documents[row["FileName"]]
        self.practice.log.forget(gone)
        for name in {name for name, _ in gone}:
            table = self.practice.table(name)
            table.rows = [row for row in table.rows if (name, row[table.key]) not in gone]

    # -- changing ------------------------------------------------------------------------------------------------

    def _change(self) -> None:
        on = us(self.day)
        self._alter("Patients", 20, self._change_patient)
        self._alter(
            "TreatPlans",
            25,
            lambda row: {"PlanStatus": "Approved", "DateApproved": on},
            lambda row: row["PlanStatus"] == "Proposed",
        )
        self._alter(
            "Procedures",
            10,
            lambda row: {"ProcStatus": "Complete", "ProcDate": on},
            lambda row: row["ProcStatus"] == "Planned",
        )
        self._alter(
            "Appointments",
            10,
            lambda row: {"AptStatus": "Confirmed"},
            lambda row: row["AptStatus"] == "Scheduled" and from_us(row["AptDate"]) > REFERENCE_DATE,
        )
        self._alter("ClinicalNotes", 8, lambda row: {"NoteText": f"{row['NoteText']} Addendum {on}: called, all well."})
        self._alter(
            "InsClaims",
            20,
            lambda row: {"ClaimStatus": "Paid", "PaidAmt": row["BilledAmt"]},
            lambda row: row["ClaimStatus"] == "Submitted",
        )
        self._alter("Recalls", 10, lambda row: {"LastVisit": on})
        self._alter("Payments", 6, lambda row: {"Memo": "Corrected entry"})

    def _alter(
        self, table: str, per_mille: int, edit: Callable[[Row], Row], fits: Callable[[Row], bool] = lambda row: True
    ) -> None:
        rows = [row for row in self._free(table) if fits(row)]
        for row in self.dice.shuffled(rows)[: self._few(table, per_mille)]:
            row |= edit(row)
            self._used.add((table, row[self._key(table)]))
            self.delta[table].changed.append(row[self._key(table)])

    def _change_patient(self, row: Row) -> Row:
        edits: tuple[Row, ...] = (
            {"WirelessPhone": phone(self.practice.next_phone())},
            address(self.dice, "Addr1") | {"Addr2": ""},
            {"EMail": f"{mail_name(row['LName'])}.new{row['PatNum']}@{self.dice.one(MAIL_DOMAINS)}"},
        )
        edit = self.dice.one(edits)
        if "Addr1" in edit and not self._familiar("Patients", row | edit):
            edit = edits[0]
        # Every third time the product forgets to move its modified date: a delta must not trust it.
        return edit if self.dice.chance(0.33) else edit | {"DateModified": self.dice.moment(self.day)}

    # -- creating ------------------------------------------------------------------------------------------------

    def _create(self) -> None:
        active = Pool(self.dice, [row for row in self._free("Patients") if row["PatStatus"] == "Active"])
        known = active.take(min(self._few("Patients", 60), len(active)))
        new = [self._new_patient() for _ in range(self._few("Patients", 12))]
        for patient in new + known:
            self._new_visit(patient)
        for patient in new + known[: len(known) // 2]:
            self._new_contact(patient)
        for patient in new:
            self._new_plan(patient)
            self._new_recall(patient)
        balances = {row["PatNum"]: row["Balance"] for row in self.practice.rows("Payments")}
        for patient in known:
            self._new_payment(patient, balances.get(patient["PatNum"], "0.00"))
        for patient in [row for row in known if row["CarrierNum"]][: len(known) // 3 + 1]:
            self._new_claim(patient)
        for patient in known[:2]:
            self._new_document(patient)

    def _new_visit(self, patient: Row) -> None:
        future = self.dice.workday(date(2026, 2, 2), date(2026, 10, 30))
        row = self._add("Appointments", lambda _: appointment(self.dice, patient, future))
        row["CreatedOn"] = self.dice.moment(self.day)

    def _new_contact(self, patient: Row) -> None:
        dice, moment = self.dice, self.dice.moment(self.day)
        self._add("ClinicalNotes", lambda number: note(dice, number, patient, moment, "Progress", plain=True))
        self._add("Communications", lambda number: communication(dice, number, patient["PatNum"], self.day))

    def _new_recall(self, patient: Row) -> None:
        self._add("Recalls", lambda number: recall(self.dice, number, patient, self.day))

    def _new_payment(self, patient: Row, balance: str) -> None:
        row = self._add("Payments", lambda number: payment(self.dice, number, patient["PatNum"], self.day, ()))
        row["Balance"] = money(cents(balance) - cents(row["Amount"]))

    def _new_claim(self, patient: Row) -> None:
        row = self._add("InsClaims", lambda number: claim(self.dice, number, patient, ()))
        row["CreatedOn"] = self.dice.moment(self.day)

    def _new_document(self, patient: Row) -> None:
        self._add("DocIndex", lambda number: document(self.practice, self.dice, number, patient, self.day))

    def _new_patient(self) -> Row:
        def make(number: int) -> Row:
            home = address(self.dice, "Addr1")
            return new_patient(self.practice, self.dice, number, self.dice.one(LAST_NAMES), home, child=False)

        row = self._add("Patients", make)
        moment = self.dice.moment(self.day)
        row |= {"DateCreated": moment, "DateModified": moment}
        return row

    def _new_plan(self, patient: Row) -> None:
        proposed = [row for row in self.practice.rows("TreatPlans") if row["PlanStatus"] == "Proposed"]
        if not proposed:
            return  # a tiny practice may have none left to take after
        template = self.dice.one(proposed)
        blank = dict.fromkeys(("DateApproved", "DateCompleted", "PlanNote"), "")
        mine = {"PatNum": patient["PatNum"], "ProvID": patient["PrimProv"], "DatePresented": us(self.day)}
        plan = self._add("TreatPlans", lambda _: template | blank | mine | {"CreatedOn": self.dice.moment(self.day)})
        total = 0
        for _ in range(2):
            row = self._add("Procedures", lambda n: procedure(self.dice, n, patient["PatNum"], None))
            row |= {"PlanID": plan["PlanID"], "ProvID": plan["ProvID"], "CreatedOn": self.dice.moment(self.day)}
            total += cents(row["Fee"])
        plan["PlanAmount"] = money(total)

    def _familiar(self, table: str, row: Row) -> bool:
        return all(row[column] in values for column, values in self._seen[table].items())

    def _add(self, table: str, make: Callable[[int], Row]) -> Row:
        """Append a new row under the next key, drawn until all its codes are known to the base."""
        self._last_key[table] += 1
        number = self._last_key[table]
        for _ in range(1000):
            row = make(number) | {self._key(table): str(number)}
            if self._familiar(table, row):
                break
            self.practice.documents.pop(row.get("FileName", ""), None)
        else:
            raise LookupError(f"no familiar row for {table}")
        self.practice.rows(table).append(row)
        self._index[table][str(number)] = row
        self._used.add((table, str(number)))
        self.delta[table].created.append(str(number))
        return row


def _with_children(
    start: tuple[str, str], children: dict[tuple[str, str], list[tuple[str, str]]]
) -> set[tuple[str, str]]:
    found, waiting = {start}, [start]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found
