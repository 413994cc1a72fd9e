"""Which replayed value stands for which recorded one: ids, hashes, cursors, tokens and moments."""

from __future__ import annotations

import re
from collections.abc import Callable

from replaying.exchanges import UUID

CURSOR = re.compile(r"eyJ[A-Za-z0-9+/]+={0,2}(?![A-Za-z0-9+/=.])")
SIGNED = re.compile(r"\?token=<jwt>")


class Correspondence:
    """One-to-one map from recorded to replayed values, learned while answers are compared.

    Everything learned since a `mark()` can be taken back with `rollback(mark)`, so that a comparison may be tried.
    """

    def __init__(self) -> None:
        self._replayed: dict[tuple[str, str], str] = {}
        self._recorded: dict[tuple[str, str], str] = {}
        self._journal: list[tuple[tuple[str, str], tuple[str, str] | None]] = []

    def mark(self) -> int:
        """Return the place to which `rollback` can return."""
        return len(self._journal)

    def rollback(self, mark: int) -> None:
        """Forget what was learned since `mark`."""
        while len(self._journal) > mark:
            forward, backward = self._journal.pop()
            del self._replayed[forward]
            if backward is not None:
                del self._recorded[backward]

    def learn(self, kind: str, recorded: str, replayed: str, *, one_to_one: bool = True) -> bool:
        """Note that `replayed` stands for `recorded`; return False when that contradicts what is known."""
        forward, backward = (kind, recorded), (kind, replayed)
        if forward in self._replayed:
            return self._replayed[forward] == replayed
        if one_to_one and backward in self._recorded:
            return False
        self._replayed[forward] = replayed
        if one_to_one:
            self._recorded[backward] = recorded
        self._journal.append((forward, backward if one_to_one else None))
        return True

    def known(self, kind: str, recorded: str) -> str | None:
        """Return what stands for `recorded`, or None."""
        return self._replayed.get((kind, recorded))

    def learn_uuid(self, recorded: str, replayed: str) -> bool:
        """Learn a pair of UUIDs without regard to case; a recorded lower case must be replayed in lower case."""
        if recorded == recorded.lower() and replayed != replayed.lower():
            return False
        return self.learn("uuid", recorded.lower(), replayed.lower())

    def own(self, text: str) -> None:
        """Take the UUIDs of a request that no answer has brought before as chosen by the client: they stay."""
        for found in UUID.findall(text):
            if self.known("uuid", found.lower()) is None:
                self.learn("uuid", found.lower(), found.lower())

    def translated(self, text: str) -> str:
        """Return `text` with each recorded UUID, cursor and signed address replaced by the replayed one."""
        text = CURSOR.sub(lambda found: self.known("cursor", found[0]) or found[0], text)
        return UUID.sub(self._translated_uuid, text)

    def _translated_uuid(self, found: re.Match[str]) -> str:
        replayed = self.known("uuid", found[0].lower())
        return found[0] if replayed is None or replayed == found[0].lower() else replayed


def on_every_string(value: object, change: Callable[[str], str]) -> object:
    """Return a copy of a JSON value with `change` applied to each string in it (keys included)."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [on_every_string(inner, change) for inner in value]
    if isinstance(value, dict):
        return {change(key): on_every_string(inner, change) for key, inner in value.items()}
    return value
