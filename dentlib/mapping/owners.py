"""Who gets whose records: the source's staff matched to workspace members, every default written down."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import pyarrow as pa

from dentlib.mapping.map import Map
from dentlib.mapping.values import email
from dentlib.model import Member
from dentlib.workdb import quoted

OWNERS = "prepared.owners"
_COLUMNS = (
    "source_key", "name", "email", "role", "how", "member_id", "member_name", "member_email", "records", "reason"
)  # fmt: skip


def fallback_member(members: Sequence[Member], fallback_owner_email: str) -> Member | None:
    """Return the member whom everything without an owner goes to; None when nobody has that e-mail."""
    wanted = fallback_owner_email.strip().lower()
    return next((m for m in members if m.email.lower() == wanted), None)


def match_owners(con: duckdb.DuckDBPyConnection, map: Map, members: Sequence[Member], fallback: Member | None) -> None:
    """Make `prepared.owners`: each member of staff with the workspace member their records go to. Nobody is created.

    Matches by e-mail (capitals and blanks don't matter); by exact full name only where the pair lists `name`.
    """
    rows: list[tuple[str, ...]] = []
    words = map.pair.owners
    if words is not None and map.tables_of(words.from_):
        present = map.columns[words.from_]
        columns = [words.key, words.email, words.role, *words.name]
        chosen = ", ".join(quoted(c) if c and c in present else "NULL::VARCHAR" for c in columns)
        sql = f"SELECT {chosen} FROM staged.{quoted(words.from_)} WHERE _fate = 'first' ORDER BY _id"
        for key, address, role, *names in con.execute(sql).fetchall():
            name = " ".join(n.strip() for n in names if n)
            rows.append(_match(key, name, address or "", role or "", members, words.match, fallback))
    texts = {c: pa.array([r[i] for r in rows], pa.string()) for i, c in enumerate(_COLUMNS)}
    con.register("owner_rows", pa.table(texts))
    con.execute(f"CREATE TABLE {OWNERS} AS SELECT * REPLACE (records::BIGINT AS records) FROM owner_rows")
    con.unregister("owner_rows")


def _match(
    key: str,
    name: str,
    address: str,
    role: str,
    members: Sequence[Member],
    ways: Sequence[str],
    fallback: Member | None,
) -> tuple[str, ...]:
    clean, _ = email(address) if address.strip() else (None, "")
    member = next((m for m in members if "email" in ways and clean and m.email.lower() == clean), None)
    reason = "matched by e-mail" if member else ""
    if member is None and "name" in ways:
        same = [m for m in members if name and m.name.casefold() == name.casefold()]
        if len(same) == 1:
            member, reason = same[0], "matched by full name"
    if member is not None:
        return (key, name, address.strip(), role, "matched", member.id, member.name, member.email, "0", reason)
    reason = "has no e-mail in the source" if not address.strip() else "no member has this e-mail"
    if address.strip() and not clean:
        reason = "the e-mail in the source is not an address"
    if fallback is None:
        return (key, name, address.strip(), role, "unassigned", "", "", "", "0", f"{reason}; no fallback owner found")
    return (key, name, address.strip(), role, "fallback", fallback.id, fallback.name, fallback.email, "0", reason)
