"""Replay with other literals: rename words, ids and numbers, in requests and recorded answers alike."""

from __future__ import annotations

import base64
import binascii
import json
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from replaying.comparison import CONSTRAINT, PLACEHOLDER
from replaying.correspondence import CURSOR, on_every_string
from replaying.exchanges import UUID, Exchange, Json
from replaying.plan import Plan, Scene
from ruamel.yaml import YAML

WORD = re.compile(r"[A-ZÀ-Þ]?[a-zß-ÿ]+|[A-ZÀ-Þ]+(?![a-zß-ÿ])")
NUMBER = re.compile(r"-?\d+(\.\d+)?")
LETTERS = "bcdfghjklmnpqrtvwxz"
LARGEST_EXACT = 2**53


class Renamer:
    """A seeded, one-to-one change of literals that keeps their shape: length, case, first letter, kind of number.

    The first letter of a word stays, so that what was sorted by name stays sorted; version and variant digits and
    the first twelve digits of a UUID stay, so that a valid id stays valid and ids keep their order.
    """

    def __init__(self, words: list[str], phrases: list[str], number_keys: list[str], seed: int) -> None:
        self._random = random.Random(seed)
        self._phrases: dict[str, str] = {}
        for phrase in phrases:
            self._phrases[phrase] = self._other_phrase(phrase)
        longest_first = "|".join(map(re.escape, sorted(phrases, key=len, reverse=True)))
        self._phrase = re.compile(rf"(?<![A-Za-z])(?:{longest_first})(?![a-z])")
        self._words: dict[str, str] = {}
        taken = {word.lower() for word in words}
        for word in sorted(taken):
            self._words[word] = self._other_word(word, taken | set(self._words.values()))
        self._number_keys = frozenset(number_keys)
        self._digits = self._other_digits()
        self._hex = dict(zip("0123456789abcdef", self._random.sample("0123456789abcdef", 16), strict=True))

    def text(self, text: str) -> str:
        """Rename within a text: UUIDs, cursors and words; hashes and marks of the recording stay."""
        pieces = re.compile(f"({UUID.pattern})|({CURSOR.pattern})|({CONSTRAINT.pattern}|{PLACEHOLDER.pattern})")
        out, at = [], 0
        for found in pieces.finditer(text):
            out.append(self._plain(text[at : found.start()]))
            if found[1]:
                out.append(self._uuid(found[1]))
            else:
                out.append(self._cursor(found[2]) if found[2] else found[0])
            at = found.end()
        return "".join(out) + self._plain(text[at:])

    def value(self, value: Json, key: str = "") -> Json:
        """Rename within a JSON value; numbers only below the keys that hold data."""
        if isinstance(value, dict):
            return {self.text(name): self.value(inner, name) for name, inner in value.items()}
        if isinstance(value, list):
            return [self.value(inner, key) for inner in value]
        if isinstance(value, str):
            if key in self._number_keys and NUMBER.fullmatch(value):
                return self._number_text(value)
            return self.text(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and key in self._number_keys:
            return self._number(value)
        return value

    def numbers_of(self, value: Json, key: str = "") -> dict[str, str]:
        """List the numbers below the data keys of a request, as they would appear in a message, with their new form."""
        if isinstance(value, dict):
            return {k: v for name, inner in value.items() for k, v in self.numbers_of(inner, name).items()}
        if isinstance(value, list):
            return {k: v for inner in value for k, v in self.numbers_of(inner, key).items()}
        if key not in self._number_keys or isinstance(value, bool):
            return {}
        if isinstance(value, str) and NUMBER.fullmatch(value):
            return {value: self._number_text(value)}
        return {str(value): str(self._number(value))} if isinstance(value, int | float) else {}

    def _plain(self, text: str) -> str:
        out, at = [], 0
        for found in self._phrase.finditer(text):
            out += [WORD.sub(self._word, text[at : found.start()]), self._phrases[found[0]]]
            at = found.end()
        return "".join(out) + WORD.sub(self._word, text[at:])

    def _other_phrase(self, phrase: str) -> str:
        while True:
            other = phrase[0]
            for old in phrase[1:]:
                new = self._random.choice("3456789" if phrase.isdigit() else LETTERS) if old.isalnum() else old
                other += new.upper() if old.isupper() else new
            if other not in self._phrases.values() and other != phrase:
                return other

    def _word(self, found: re.Match[str]) -> str:
        word = found[0]
        if len(set(word.lower())) == 1 and len(word) > 20:
            return word
        other = self._words.get(word.lower())
        if other is None:
            return word
        return "".join(new.upper() if old.isupper() else new for old, new in zip(word, other, strict=True))

    def _other_word(self, word: str, taken: set[str]) -> str:
        for _ in range(1000):
            letters = [letter if not letter.isascii() else self._random.choice(LETTERS) for letter in word]
            other = "".join([word[0], *letters[1:]])
            if other not in taken and other != word:
                return other
        raise ValueError(f"no other word like {word!r}")

    def _other_digits(self) -> dict[str, str]:
        while True:
            digits = dict(zip("123456789", self._random.sample("123456789", 9), strict=True)) | {"0": "0"}
            if digits["3"] >= "3" and digits["1"] != "1":
                return digits

    def _number_text(self, text: str) -> str:
        return text if abs(float(text)) >= LARGEST_EXACT else "".join(self._digits.get(digit, digit) for digit in text)

    def _number(self, value: float) -> float:
        text = self._number_text(json.dumps(value))
        return int(text) if isinstance(value, int) else float(text)

    def _uuid(self, text: str) -> str:
        digits = [
            digit if at < 13 or at in (14, 19) or digit == "-" else self._hex[digit.lower()]
            for at, digit in enumerate(text)
        ]
        other = "".join(digits)
        return other.upper() if text != text.lower() else other

    def _cursor(self, text: str) -> str:
        try:
            inner = json.loads(base64.b64decode(text))
        except (binascii.Error, ValueError):
            return text
        other = json.dumps(self.value(inner), separators=(",", ":"), ensure_ascii=False)
        return base64.b64encode(other.encode()).decode()


def renamed(
    exchanges: dict[int, Exchange], plan: Plan, vocabulary: Path, seed: int
) -> tuple[dict[int, Exchange], Plan]:
    """Return the same contract with other literals, the same everywhere: exchanges, set-up and options."""
    listed = _vocabulary(vocabulary)
    renamer = Renamer(listed["words"], listed["phrases"], listed["numbers"], seed)
    changed = {number: _renamed_exchange(exchange, renamer) for number, exchange in exchanges.items()}
    scenes = [
        Scene(scene.name, renamer.value(scene.workspace), [_renamed_step(step, renamer) for step in scene.steps])
        for scene in plan.scenes
    ]
    options = {number: _renamed_options(given, renamer) for number, given in plan.options.items()}
    return changed, replace(plan, scenes=scenes, options=options)


def _vocabulary(file: Path) -> dict[str, list[str]]:
    """Read what may be renamed: the lists of the version that it is `like` but for what is `fixed`, and its own."""
    own = YAML(typ="safe").load(file.read_text("utf-8"))
    if "like" not in own:
        return {kind: own[kind] for kind in ("words", "phrases", "numbers")}
    like = _vocabulary(file.with_name(f"renaming-{own['like']}.yaml"))
    return {kind: [word for word in listed if word not in own["fixed"]] + own[kind] for kind, listed in like.items()}


def _renamed_exchange(exchange: Exchange, renamer: Renamer) -> Exchange:
    answer = renamer.value(exchange.answer)
    numbers = renamer.numbers_of(exchange.body)
    if numbers:
        pattern = re.compile(
            r"(?<![\w.])(" + "|".join(map(re.escape, sorted(numbers, key=len, reverse=True))) + r")(?![\w.])"
        )
        answer = _messages(answer, lambda text: pattern.sub(lambda found: numbers[found[0]], text))
    return replace(exchange, path=renamer.text(exchange.path), body=renamer.value(exchange.body), answer=answer)


def _messages(value: Json, change: Any) -> Json:
    """Apply `change` to the messages of an answer's errors."""
    if isinstance(value, dict):
        return {
            key: on_every_string(inner, change)
            if key in ("message", "messages", "userFriendlyMessage")
            else _messages(inner, change)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_messages(inner, change) for inner in value]
    return value


def _renamed_step(step: dict[str, Any], renamer: Renamer) -> dict[str, Any]:
    (kind, what), *more = step.items()
    if kind in ("create", "fill"):
        return {kind: renamer.text(what), **{key: renamer.value(inner) for key, inner in more}}
    if kind in ("call", "learn", "upload"):
        return {kind: renamer.value(what)}
    return step


def _renamed_options(given: dict[str, Any], renamer: Renamer) -> dict[str, Any]:
    return renamer.value(given) if "picks" in given else given  # type: ignore[no-any-return]
