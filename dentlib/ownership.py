"""Who gets whose records: the gate before a run, the file in which owners are assigned, the map that keeps it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dentlib import approvals, mapping
from dentlib import assembly as make
from dentlib.approvals import Approval
from dentlib.assembly import Mapped
from dentlib.desk import Desk
from dentlib.errors import GateClosed, UsageError
from dentlib.facts import OwnerRow
from dentlib.pairs import load_pair
from dentlib.sheets import rows_of

_MOST_NAMED = 10
_EMAIL_COLUMN = "member_email"


def ownerless(desk: Desk, now: Mapped) -> tuple[str, ...]:
    """Say whose records would have no owner though the map doesn't allow it, as last prepared. Empty: all decided."""
    return tuple(
        f"{f'staff {o.source_key}' if o.source_key else 'records that name nobody'}: {o.records:,} records would have "
        f"no owner ({o.reason})"
        for o in mapping.undecided_owners(desk.con, now.map)
    )


def require_decided(desk: Desk, now: Mapped) -> None:
    """Raise GateClosed where somebody's records would have no owner though the map doesn't allow it."""
    if found := ownerless(desk, now):
        raise GateClosed(
            f"the owners of {len(found)} of the staff are undecided: {'; '.join(found[:3])}",
            f"dentlib owners {desk.name} writes owners.csv to fill in; or say in the map: owners: {{placeholder: "
            "member's e-mail}, or owners: {unassigned: [key]}; or dentlib configure "
            f"{desk.name} --fallback-owner …",
        )


def assigned_owners(desk: Desk, now: Mapped, file: Path) -> dict[str, str]:
    """Read `owners.csv` as filled in: key of the staff → member's e-mail, for whom it says another than before.

    Those that the map assigns so already are named as well, so that a stopped re-assignment goes on. Wants prepared
    owners. Raises UsageError naming row and column of what can't be.
    """
    known = {o.source_key: o for o in mapping.owner_rows(desk.con, now.map)}
    members = {m.email.lower(): m.email for m in desk.destination.members()}
    invited = {address.lower() for address in desk.destination.invitations() or ()}
    before = now.map.pair.owners.assigned if now.map.pair.owners else {}
    wanted: dict[str, str] = {}
    wrong: list[str] = []
    way_out = f"fill in the file that dentlib owners {desk.name} wrote"
    for number, row in rows_of(file, ("source_key", _EMAIL_COLUMN), way_out):
        where, cell = f"{file.name}, row {number}", row[_EMAIL_COLUMN].strip().lower()
        person = _person(known, row["source_key"])
        if person is None:
            wrong.append(f"{where}, column source_key: nobody of the staff has this key")
        elif not cell or (cell == person.member_email.lower() and person.source_key not in before):
            continue
        elif not person.source_key:
            wrong.append(f"{where}, column {_EMAIL_COLUMN}: what names nobody goes to the fallback owner (configure)")
        elif cell not in members:
            why = "was invited and has not accepted yet" if cell in invited else "is no member of the workspace"
            wrong.append(f"{where}, column {_EMAIL_COLUMN}: this e-mail {why}")
        else:
            wanted[person.source_key] = members[cell]
    if wrong:
        more = f" (and {len(wrong) - _MOST_NAMED} more)" if len(wrong) > _MOST_NAMED else ""
        raise UsageError(
            f"{len(wrong)} cell(s) can't be assigned: {'; '.join(wrong[:_MOST_NAMED])}{more}",
            "mend these cells; nothing was done",
        )
    return wanted


def _person(known: dict[str, OwnerRow], key: str) -> OwnerRow | None:
    """Find somebody by key; a spreadsheet program may have taken away leading zeros."""
    plain = key.strip().removeprefix("'")
    for exact in (key, key.strip(), plain):
        if exact in known:
            return known[exact]
    alike = [o for k, o in known.items() if plain and k.lstrip("0") == plain.lstrip("0")]
    return alike[0] if len(alike) == 1 else None


def with_owners(desk: Desk, now: Mapped, assigned: dict[str, str], by: str, rehearsal: Path | None) -> Mapped:
    """Return the map with these owners. Without `rehearsal` (a file to write it to instead) the engagement's map keeps
    them, and approvals that held are given again in the name of `by`."""
    before = now.map.pair.owners.assigned if now.map.pair.owners else {}
    if all(before.get(key, "").lower() == address.lower() for key, address in assigned.items()):
        return now
    if rehearsal is not None:
        mapping.write_assigned(desk.engagement.map_file, assigned, into=rehearsal)
        pair = load_pair(desk.settings.source, desk.settings.destination.product)
        return replace(now, map=mapping.load_map(pair, rehearsal))
    file, of_sample = desk.engagement.approvals_file, make.sample_hashes(desk)
    held = [
        (what, given, more)
        for what, more in (("map", {}), ("sample", of_sample))
        if (given := approvals.latest(file, what)) is not None and not given.changed({**now.hashes, **more})
    ]
    mapping.write_assigned(desk.engagement.map_file, assigned)
    after = make.mapped(desk)
    staff = f"the owners of {len(assigned)} of the staff,"
    for what, given, more in held:
        again = Approval(
            what=what,
            by=by,
            at=desk.clock.now(),
            hashes={**after.hashes, **more},
            confirms=[*given.confirms, f"{staff} assigned anew to what {given.by} approved on {given.at:%Y-%m-%d}"],
        )
        approvals.add(file, again)
    return after
