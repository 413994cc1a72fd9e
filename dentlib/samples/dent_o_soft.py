"""The Dent-O-Soft export: its tables, and how they are written into a folder with the list of their trouble."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dentlib.errors import UsageError
from dentlib.samples import clinic, office, people
from dentlib.samples.office import write_document
from dentlib.samples.practice import REFERENCE_DATE, Practice, Table
from dentlib.samples.rounds import Delta, LaterRound
from dentlib.samples.trouble import trouble_kinds

BUILDERS: dict[str, Callable[[Practice], Table]] = {
    "Staff": people.build_staff,
    "InsCarriers": office.build_carriers,
    "Labs": office.build_labs,
    "Referrals": people.build_referrals,
    "Patients": people.build_patients,
    "TreatPlans": clinic.build_plans,
    "Procedures": clinic.build_procedures,
    "Appointments": clinic.build_appointments,
    "ClinicalNotes": clinic.build_notes,
    "ToothChart": clinic.build_tooth_chart,
    "Communications": office.build_communications,
    "InsClaims": office.build_claims,
    "LabCases": office.build_lab_cases,
    "Recalls": office.build_recalls,
    "DocIndex": office.build_documents,
    "Payments": office.build_payments,
    "Definitions": office.build_definitions,
}
MIN_PATIENTS, MAX_PATIENTS = 25, 900_000
_LIST = "known-trouble.json"
_PAGE = "KNOWN-TROUBLE.md"


@dataclass(frozen=True, slots=True)
class SamplesWritten:
    """What was written: records per file (without blank lines and totals), cases per kind of trouble, and the delta."""

    product: str
    out: Path
    round: int
    rows: dict[str, int] = field(default_factory=dict)
    trouble: dict[str, int] = field(default_factory=dict)
    delta: dict[str, dict[str, int]] = field(default_factory=dict)
    documents: int = 0


def write_dent_o_soft(
    out: Path, patients: int, seed: int, round: int = 1, only: Sequence[str] | None = None
) -> SamplesWritten:
    """Write one export; see `dentlib.samples.write_samples`."""
    names = _wanted(only)
    if not MIN_PATIENTS <= patients <= MAX_PATIENTS:
        raise UsageError(
            f"{patients} patients can't be made", f"ask for {MIN_PATIENTS} to {MAX_PATIENTS}: each trouble needs rows"
        )
    if round < 1:
        raise UsageError(f"there is no round {round}", "rounds count from 1")
    _prepare_folder(out)
    practice = Practice(patients, seed, BUILDERS)
    tables = [practice.table(name) for name in names]
    delta: dict[str, Delta] = {}
    for number in range(2, round + 1):
        delta = LaterRound(practice, number).play()
    for table in tables:
        table.write(out)
    documents = practice.documents if "DocIndex" in names else {}
    if documents:
        (out / "Documents").mkdir(exist_ok=True)
    for name, recipe in documents.items():
        write_document(out / "Documents" / name, recipe)
    files = [table.file for table in tables]
    written = SamplesWritten(
        product="dent-o-soft",
        out=out,
        round=round,
        rows={table.file: len(table.rows) for table in tables},
        trouble=practice.log.counts(files),
        delta={name: _sizes(entry) for name, entry in delta.items() if name in names},
        documents=len(documents),
    )
    _write_lists(written, practice, {name: entry for name, entry in delta.items() if name in names})
    return written


def _wanted(only: Sequence[str] | None) -> list[str]:
    if only is None:
        return list(BUILDERS)
    unknown = sorted(set(only) - set(BUILDERS))
    if unknown or not only:
        raise UsageError(f"no such table: {', '.join(unknown) or 'none named'}", f"tables: {', '.join(BUILDERS)}")
    return [name for name in BUILDERS if name in only]


def _prepare_folder(out: Path) -> None:
    """Make the folder, or empty it of an earlier export of ours; anything else in it is not ours to touch."""
    if out.is_file():
        raise UsageError(f"{out} is a file", "name a folder")
    if out.is_dir() and any(out.iterdir()):
        if not (out / _LIST).is_file():
            raise UsageError(f"{out} holds other files", "name a new or empty folder")
        earlier = json.loads((out / _LIST).read_text(encoding="utf-8"))
        for name in (*earlier["files"], *(f"Documents/{document}" for document in earlier["documents"]), _PAGE):
            (out / name).unlink(missing_ok=True)
    out.mkdir(parents=True, exist_ok=True)


def _sizes(delta: Delta) -> dict[str, int]:
    return {"created": len(delta.created), "changed": len(delta.changed), "deleted": len(delta.deleted)}


def _write_lists(written: SamplesWritten, practice: Practice, delta: dict[str, Delta]) -> None:
    kinds = trouble_kinds()
    content = {
        "product": written.product,
        "patients": practice.patients,
        "seed": practice.seed,
        "round": written.round,
        "reference_date": REFERENCE_DATE.isoformat(),
        "files": written.rows,
        "documents": sorted(practice.documents) if written.documents else [],
        "trouble": {
            name: {
                "count": count,
                "file": kinds[name].file,
                "definition": kinds[name].definition,
                "keys": practice.log.keys.get(name, []),
            }
            for name, count in written.trouble.items()
        },
        "delta": {
            name: written.delta[name]
            | {"created_keys": entry.created, "changed_keys": entry.changed, "deleted_keys": entry.deleted}
            for name, entry in delta.items()
        },
    }
    text = json.dumps(content, ensure_ascii=False, indent=1)
    (written.out / _LIST).write_text(text + "\n", encoding="utf-8", newline="\n")
    (written.out / _PAGE).write_text(_page(written, practice), encoding="utf-8", newline="\n")


def _page(written: SamplesWritten, practice: Practice) -> str:
    kinds = trouble_kinds()
    lines = [
        "# Known trouble in this export",
        "",
        f"An invented Dent-O-Soft practice: {practice.patients} patients asked for, seed {practice.seed}, round "
        f"{written.round}, reference date {REFERENCE_DATE.isoformat()}. Nobody in it exists.",
        "Every count below can be taken again from the files by its definition; `known-trouble.json` has the same "
        "with the keys of the rows.",
        "",
        "| file | records |",
        "|---|---:|",
        *(f"| {name} | {count} |" for name, count in written.rows.items()),
    ]
    groups: dict[str, list[str]] = {}
    for name in written.trouble:
        groups.setdefault(kinds[name].group, []).append(name)
    for group, names in groups.items():
        lines += [
            "",
            f"## {group[0].upper()}{group[1:]}",
            "",
            "| kind | count | file | definition |",
            "|---|---:|---|---|",
        ]
        for name in names:
            definition = kinds[name].definition.replace("|", "\\|").replace("<", "&lt;")
            lines.append(f"| {name} | {written.trouble[name]} | {kinds[name].file} | {definition} |")
    if written.delta:
        lines += ["", f"## Since round {written.round - 1}", "", "| table | created | changed | deleted |"]
        lines += ["|---|---:|---:|---:|"]
        lines += [f"| {n} | {d['created']} | {d['changed']} | {d['deleted']} |" for n, d in written.delta.items()]
        lines += ["", "About a third of the changed patients keep their old DateModified."]
    return "\n".join(lines) + "\n"
