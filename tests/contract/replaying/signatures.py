"""The signatures of file addresses: noted from every answer, put where a recorded request has `<jwt>`."""

from __future__ import annotations

import json
import re

from replaying.exchanges import UUID, Json

AFTER_THE_NAME = re.compile(
    rf"/(file|file-upload)/(?:[\w-]+/)?(?P<name>{UUID.pattern})\?token=(?P<token><jwt>|[\w.\-]+)"
)
BEFORE_THE_NAME = re.compile(r"/(files)/[\w-]+/(?P<token><jwt>|eyJ[\w.\-]+)/(?P<name>[\w.\-]+)")


class Signatures:
    """The last signature that an answer brought for each file."""

    def __init__(self) -> None:
        self._tokens: dict[tuple[str, str], str] = {}

    def note(self, answer: Json) -> None:
        """Note the signed addresses in an answer."""
        text = json.dumps(answer, default=repr)
        for way in (AFTER_THE_NAME, BEFORE_THE_NAME):
            for found in way.finditer(text):
                self._tokens[found[1], found["name"]] = found["token"]

    def signed(self, text: str) -> str:
        """Put the replayed signature where the recording of an address has none."""
        for way in (AFTER_THE_NAME, BEFORE_THE_NAME):
            text = way.sub(self._with_token, text)
        return text

    def _with_token(self, found: re.Match[str]) -> str:
        if found["token"] != "<jwt>":
            return found[0]
        return found[0].replace("<jwt>", self._tokens.get((found[1], found["name"]), "no-answer-brought-one"))
