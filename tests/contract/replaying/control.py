"""Corrupt one field of an answer, the way a wrong server would: to prove that the comparison would notice."""

from __future__ import annotations

import copy
import random
from typing import Any

from replaying.comparison import Difference, Reply
from replaying.exchanges import Exchange, Json
from replaying.plan import Plan
from replaying.session import Corruption, Judge


class OneFieldCorrupted:
    """Corrupts one field of each answer that it is shown, on a copy, and asks the judge about it.

    Left out are the places where a rule of the plan demands less than the recorded value, and the items of a list
    that is judged by its shape alone.
    """

    def __init__(self, seed: int, plan: Plan) -> None:
        self._random = random.Random(seed)
        self._rules = plan.rules
        self._shapes = {
            number: tuple(given["picks"]["list"])
            for number, given in plan.options.items()
            if "picks" in given and not {"by_id", "read"} & given["picks"].keys()
        }

    def __call__(self, exchange: Exchange, reply: Reply, judge: Judge) -> Corruption | None:
        """Return what was corrupted and whether the judge found a difference; None for an answer without fields."""
        corrupted = self.corrupted(exchange, reply)
        if corrupted is None:
            return None
        changed, what = corrupted
        found: list[Difference] = judge(changed)
        return Corruption(what, noticed=bool(found))

    def corrupted(self, exchange: Exchange, reply: Reply) -> tuple[Reply, str] | None:
        """Return a copy of `reply` with one compared field changed, and the field's path."""
        places = [place for place in _leaves(reply.body, ()) if self._compared(exchange, place)]
        if not places:
            return Reply(reply.status + 1, reply.media_type, reply.body), "status"
        place = self._random.choice(places)
        body = copy.deepcopy(reply.body)
        if place == ():
            return Reply(reply.status, reply.media_type, _changed(body)), "body"
        holder = body
        for key in place[:-1]:
            holder = holder[key]
        holder[place[-1]] = _changed(holder[place[-1]])
        return Reply(reply.status, reply.media_type, body), ".".join(map(str, ("body", *place)))

    def _compared(self, exchange: Exchange, place: tuple[Any, ...]) -> bool:
        """Tell whether the recording kept this place and no rule exempts it."""
        shape = self._shapes.get(exchange.number)
        if shape is not None and place[: len(shape)] == shape:
            return False
        path = "body"
        recorded: Json = exchange.answer
        for key in place:
            path = f"{path}.{key}"
            if any(rule.covers(exchange.number, path) and rule.holds != "any order" for rule in self._rules):
                return False
            if isinstance(recorded, list):
                if any(isinstance(item, str) and item.startswith("<") for item in recorded):
                    return False
                recorded = recorded[key] if isinstance(key, int) and key < len(recorded) else None
            elif isinstance(recorded, dict):
                follow_ups = isinstance(summary := recorded.get("summary"), dict) and summary.get("totalErrors", 0) > 1
                if follow_ups and key in ("errors", "summary", "message", "userFriendlyMessage"):
                    return False
                recorded = recorded.get(key)
            if recorded is None:
                return False
        return not (
            isinstance(recorded, str) and ("<jwt>" in recorded or recorded.startswith(("eyJ", "<", "2026-11-20T")))
        )


def _leaves(value: Json, at: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [leaf for key, inner in value.items() for leaf in _leaves(inner, (*at, key))]
    if isinstance(value, list):
        return [leaf for index, inner in enumerate(value) for leaf in _leaves(inner, (*at, index))]
    return [at]


def _changed(value: Json) -> Json:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if value is None:
        return "not null"
    return value + "~" if isinstance(value, str) else value
