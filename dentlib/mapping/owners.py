"""Who gets whose records: the source's staff matched to workspace members, every default written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from dentlib.facts import OwnerRow
from dentlib.mapping.map import Map
from dentlib.mapping.values import email
from dentlib.model import Member
from dentlib.pairs import EVERYBODY, OwnersTable
from dentlib.workdb import quoted

OWNERS = "prepared.owners"
_COLUMNS = (
    "source_key", "name", "email", "role", "how", "member_id", "member_name", "member_email", "records", "reason"
)  # fmt: skip


def fallback_member(map: Map, members: Sequence[Member], fallback_owner_email: str) -> Member | None:
    """Return the member whom everything without an owner goes to; None when nobody has that e-mail.

    None, too, where the map lets everything without a match stay without an owner.
    """
    if map.pair.owners is not None and EVERYBODY in map.pair.owners.unassigned:
        return None
    return _member(members, fallback_owner_email)


def _member(members: Sequence[Member], address: str) -> Member | None:
    wanted = address.strip().lower()
    return next((m for m in members if m.email.lower() == wanted), None)


def match_owners(con: duckdb.DuckDBPyConnection, map: Map, members: Sequence[Member], fallback: Member | None) -> None:
    """Make `prepared.owners`: each member of staff with the workspace member their records go to. Nobody is created.

    What the map assigns goes first. Then by e-mail (capitals and blanks don't matter); by exact full name only where
    the pair lists `name`; else to the placeholder, or to the fallback owner. `how`: matched, placeholder, fallback or
    unassigned.
    """
    rows: list[tuple[str, ...]] = []
    words = map.pair.owners
    if words is not None:
        matching = _Matching(words, members, fallback)
        known = set()
        if map.tables_of(words.from_):
            present = map.columns[words.from_]
            columns = [words.key, words.email, words.role, *words.name]
            chosen = ", ".join(quoted(c) if c and c in present else "NULL::VARCHAR" for c in columns)
            sql = f"SELECT {chosen} FROM staged.{quoted(words.from_)} WHERE _fate = 'first' ORDER BY _id"
            for key, address, role, *names in con.execute(sql).fetchall():
                known.add(key)
                rows.append(matching.row(key, " ".join(n.strip() for n in names if n), address or "", role or ""))
        strangers = [k for k in (*words.assigned, *words.unassigned) if k not in known and k != EVERYBODY]
        rows += [matching.row(key, "", "", "") for key in dict.fromkeys(strangers)]
    texts = {c: pa.array([r[i] for r in rows], pa.string()) for i, c in enumerate(_COLUMNS)}
    con.register("owner_rows", pa.table(texts))
    con.execute(f"CREATE TABLE {OWNERS} AS SELECT * REPLACE (records::BIGINT AS records) FROM owner_rows")
    con.unregister("owner_rows")


class _Matching:
    """Finds the member for one of the staff."""

    def __init__(self, words: OwnersTable, members: Sequence[Member], fallback: Member | None) -> None:
        self._words, self._members, self._fallback = words, members, fallback
        self._placeholder = _member(members, words.placeholder) if words.placeholder else None

    def row(self, key: str, name: str, address: str, role: str) -> tuple[str, ...]:
        """Return the row of `prepared.owners`."""
        how, member, reason = self._found(key, name, address)
        person = (member.id, member.name, member.email) if member else ("", "", "")
        return (key, name, address.strip(), role, how, *person, "0", reason)

    def _found(self, key: str, name: str, address: str) -> tuple[str, Member | None, str]:
        words = self._words
        if key in words.assigned:
            member = _member(self._members, words.assigned[key])
            if member:
                return "matched", member, "assigned in the map"
            return "unassigned", None, f"assigned in the map to {words.assigned[key]}, who is no member"
        clean, _ = email(address) if address.strip() else (None, "")
        member = next((m for m in self._members if "email" in words.match and clean and m.email.lower() == clean), None)
        if member:
            return "matched", member, "matched by e-mail"
        if "name" in words.match:
            same = [m for m in self._members if name and m.name.casefold() == name.casefold()]
            if len(same) == 1:
                return "matched", same[0], "matched by full name"
        reason = "has no e-mail in the source" if not address.strip() else "no member has this e-mail"
        if address.strip() and not clean:
            reason = "the e-mail in the source is not an address"
        if key in words.unassigned or EVERYBODY in words.unassigned:
            return "unassigned", None, f"{reason}; the map leaves the records without an owner"
        if words.placeholder and self._placeholder is None:
            return "unassigned", None, f"{reason}; the placeholder {words.placeholder} is no member"
        if self._placeholder:
            return "placeholder", self._placeholder, reason
        if self._fallback is None:
            return "unassigned", None, f"{reason}; no fallback owner found"
        return "fallback", self._fallback, reason


def owner_rows(con: duckdb.DuckDBPyConnection, map: Map) -> tuple[OwnerRow, ...]:
    """Return everybody of the staff, and records that name nobody (empty key), as last prepared. Reads only."""
    leave = set(map.pair.owners.unassigned) if map.pair.owners is not None else set()
    columns = "source_key, name, email, role, how, member_name, member_email, records, reason"
    rows = con.execute(f"SELECT {columns} FROM {OWNERS}").fetchall()
    return tuple(replace(OwnerRow(*r), allowed=bool({EVERYBODY, r[0]} & leave)) for r in rows)


def undecided_owners(con: duckdb.DuckDBPyConnection, map: Map) -> tuple[OwnerRow, ...]:
    """Return those whose records would have no owner though the map doesn't say so. Reads only."""
    return tuple(o for o in owner_rows(con, map) if o.how == "unassigned" and o.records and not o.allowed)


def write_assigned(path: Path, assigned: Mapping[str, str], *, into: Path | None = None) -> Path:
    """Put key → member's e-mail under `owners: assigned:` of a map.yaml; comments and everything else stay.

    `into`: write there instead. Whole and at once; private to the user.
    """
    yaml = YAML()
    yaml.width = 160
    document: Any = yaml.load(path.read_text(encoding="utf-8")) if path.is_file() else None
    document = CommentedMap() if document is None else document
    owners = document.setdefault("owners", CommentedMap())
    if not isinstance(owners, dict):
        owners = document["owners"] = CommentedMap()
    there = owners.setdefault("assigned", CommentedMap())
    for key, address in assigned.items():
        for old in [k for k in there if str(k) == key]:
            del there[old]
        there[DoubleQuotedScalarString(key)] = address
    target = into or path
    part = target.with_suffix(".part")
    part.touch(mode=0o600)
    with part.open("w", encoding="utf-8") as file:
        yaml.dump(document, file)
    part.replace(target)
    return target
