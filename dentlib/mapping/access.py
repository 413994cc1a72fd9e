"""What arrives where that a person must agree to be readable: clinical notes, identity numbers, and the like.

Which source fields are sensitive is data of the pair (`sensitive:`). Where they arrive follows from the map: a field
that an engagement doesn't migrate makes no row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dentlib.facts import AccessRow
from dentlib.mapping.map import Map
from dentlib.mapping.uses import active_uses


def access_rows(map: Map, roles_that_read: Callable[[str], Sequence[str]]) -> tuple[AccessRow, ...]:
    """Return one row per kind of sensitive value and destination object, with the roles that can read that object.

    `roles_that_read(object)`: labels of the destination's roles. It is asked once per object. Reads nothing else.
    """
    uses = active_uses(map)
    found: dict[tuple[str, str], list[str]] = {}
    for what, by_object in map.pair.sensitive.items():
        for object_name, fields in by_object.items():
            for field in fields:
                for use in uses.get((object_name, field), ()):
                    if use.role != "condition":
                        found.setdefault((what, use.destination_object), []).append(use.path)
    roles = {name: tuple(roles_that_read(name)) for name in dict.fromkeys(o for _, o in found)}
    return tuple(
        AccessRow(what, object_name, tuple(dict.fromkeys(paths)), roles[object_name])
        for (what, object_name), paths in found.items()
    )
