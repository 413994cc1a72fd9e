"""Compare a replayed answer with the recorded one, value by value, learning which id stands for which."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from replaying.correspondence import CURSOR, Correspondence
from replaying.exchanges import MORE_CHARACTERS, MORE_ITEMS, UUID, Exchange, Json

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
RECORDING_DAY = re.compile(r"2026-11-20T0[789]:\d\d:\d\d\.\d{3}Z")
CONSTRAINT = re.compile(r"\b(?:FK|PK|UQ|IDX(?:_UNIQUE)?)_[0-9a-f]{20,32}\b")
PLACEHOLDER = re.compile(r"<(?:jwt|secret|token)>")
TOKEN = re.compile("|".join(pattern.pattern for pattern in (UUID, RECORDING_DAY, CONSTRAINT, PLACEHOLDER)))


@dataclass(frozen=True)
class Rule:
    """One documented exception from literal comparison: where it holds, what must hold instead, and why."""

    path: str
    holds: str
    reason: str
    exchanges: frozenset[int] | None = None

    def covers(self, number: int, path: str) -> bool:
        """Tell whether the rule speaks about this place of this exchange."""
        if self.exchanges is not None and number not in self.exchanges:
            return False
        return fnmatch.fnmatchcase(path, self.path)


@dataclass(frozen=True)
class Difference:
    """One place where the replayed answer is not the recorded one."""

    path: str
    recorded: Json
    replayed: Json
    why: str

    def __str__(self) -> str:
        return f"{self.path}: {self.why}: recorded {_short(self.recorded)}, replayed {_short(self.replayed)}"


@dataclass(frozen=True)
class Reply:
    """What the sandbox answered."""

    status: int
    media_type: str
    body: Json


class Comparison:
    """Compares the answers of one replay; keeps what it learned about ids from answer to answer."""

    def __init__(self, correspondence: Correspondence, rules: list[Rule], base_url: str, recorded_at: str) -> None:
        self.correspondence = correspondence
        self._rules = rules
        self._base_url = base_url
        self._recorded_at = recorded_at
        self._number = 0

    def differences(self, exchange: Exchange, reply: Reply) -> list[Difference]:
        """Return where `reply` differs from the recording (an empty list: it matches)."""
        found: list[Difference] = []
        if reply.status != exchange.status:
            found.append(Difference("status", exchange.status, reply.status, "another status"))
        recorded_type = exchange.answer_headers.get("content-type", "").partition(";")[0]
        if recorded_type and reply.media_type != recorded_type:
            found.append(Difference("content-type", recorded_type, reply.media_type, "another media type"))
        self._number = exchange.number
        recorded, replayed = primary_causes(_read(exchange.answer), reply.body)
        found.extend(self.compared(recorded, replayed))
        return found

    def compared(self, recorded: Json, replayed: Json, path: str = "body", owner: str = "") -> Iterator[Difference]:
        """Yield the differences between two JSON values; `owner` is the id of the record that holds them."""
        rule = next((rule for rule in self._rules if rule.covers(self._number, path)), None)
        if rule is not None and rule.holds != "any order":
            if not _holds(rule.holds, recorded, replayed):
                yield Difference(path, recorded, replayed, f"not {rule.holds}")
        elif isinstance(recorded, dict) and isinstance(replayed, dict):
            yield from self._dicts(recorded, replayed, path, owner)
        elif isinstance(recorded, list) and isinstance(replayed, list):
            yield from self._lists(recorded, replayed, path, owner, ordered=rule is None)
        elif isinstance(recorded, str) and isinstance(replayed, str):
            yield from self._texts(recorded, replayed, path, owner)
        elif isinstance(recorded, bool) or isinstance(replayed, bool) or recorded is None or replayed is None:
            if recorded is not replayed:
                yield Difference(path, recorded, replayed, "another value")
        elif recorded != replayed:
            yield Difference(path, recorded, replayed, "another value")

    def _dicts(self, recorded: Json, replayed: Json, path: str, owner: str) -> Iterator[Difference]:
        optional = {
            key
            for key in recorded.keys() | replayed.keys()
            if any(rule.holds == "may be absent" and rule.covers(self._number, f"{path}.{key}") for rule in self._rules)
        }
        for key in sorted(recorded.keys() ^ replayed.keys()):
            if key not in optional:
                why = "missing" if key in recorded else "unexpected"
                yield Difference(f"{path}.{key}", recorded.get(key), replayed.get(key), why)
        for left, right in _same_moments(recorded):
            if left in replayed and right in replayed and replayed[left] != replayed[right]:
                yield Difference(path, f"{left} = {right}", [replayed[left], replayed[right]], "no longer one moment")
        inner_owner = recorded["id"] if isinstance(recorded.get("id"), str) else owner
        for key in recorded:
            if key in replayed and key not in optional:
                yield from self.compared(recorded[key], replayed[key], f"{path}.{key}", inner_owner)

    def _lists(
        self, recorded: list[Json], replayed: list[Json], path: str, owner: str, *, ordered: bool
    ) -> Iterator[Difference]:
        kept, length = recorded, len(recorded)
        if recorded and isinstance(recorded[-1], str) and (cut := MORE_ITEMS.match(recorded[-1])):
            kept = recorded[:-1]
            length = len(kept) + int(cut[1])
        if len(replayed) != length:
            yield Difference(path, f"{length} items", f"{len(replayed)} items", "another length")
        if ordered:
            for index, (left, right) in enumerate(zip(kept, replayed, strict=False)):
                yield from self.compared(left, right, f"{path}.{index}", owner)
            return
        left_over = list(range(len(replayed)))
        for index, item in enumerate(kept):
            partner = next((at for at in left_over if self._fits(item, replayed[at], f"{path}.{index}", owner)), None)
            if partner is None:
                yield Difference(f"{path}.{index}", item, "no item like it", "missing in any order")
            else:
                left_over.remove(partner)

    def _fits(self, recorded: Json, replayed: Json, path: str, owner: str) -> bool:
        mark = self.correspondence.mark()
        if next(self.compared(recorded, replayed, path, owner), None) is None:
            return True
        self.correspondence.rollback(mark)
        return False

    def _texts(self, recorded: str, replayed: str, path: str, owner: str) -> Iterator[Difference]:
        replayed = replayed.replace(self._base_url, self._recorded_at)
        if cut := MORE_CHARACTERS.search(recorded):
            kept = recorded[: cut.start()]
            if not replayed.startswith(kept) or len(replayed) != len(kept) + int(cut[1]):
                yield Difference(path, recorded, replayed, "another long text")
            return
        if CURSOR.fullmatch(recorded):
            if not self.correspondence.learn("cursor", recorded, replayed, one_to_one=False):
                yield Difference(path, recorded, replayed, "another cursor for the same place")
            return
        tokens = list(TOKEN.finditer(recorded))
        if not tokens:
            if recorded != replayed:
                yield Difference(path, recorded, replayed, "another text")
            return
        shape = _shape(recorded, tokens)
        match = re.fullmatch(shape, replayed, re.DOTALL)
        if match is None:
            yield Difference(path, recorded, replayed, "another text around its ids")
            return
        for token, found in zip(tokens, match.groups(), strict=True):
            if not self._stands_for(token[0], found, path, owner):
                yield Difference(path, token[0], found, "stands for something else")

    def _stands_for(self, recorded: str, replayed: str, path: str, owner: str) -> bool:
        if UUID.fullmatch(recorded):
            return self.correspondence.learn_uuid(recorded, replayed)
        if CONSTRAINT.fullmatch(recorded):
            return self.correspondence.learn("constraint", recorded, replayed)
        if RECORDING_DAY.fullmatch(recorded):
            place = f"{owner} {path.rpartition('.')[2]} {recorded}" if owner else ""
            return not place or self.correspondence.learn("moment", place, replayed, one_to_one=False)
        return True


def _same_moments(record: Json) -> Iterator[tuple[str, str]]:
    """Yield the pairs of a record's keys that hold one and the same moment of the recording (created = updated)."""
    first: dict[str, str] = {}
    for key, value in record.items():
        if isinstance(value, str) and RECORDING_DAY.fullmatch(value):
            if value in first:
                yield first[value], key
            else:
                first[value] = key


def _read(recorded: Json) -> Json:
    """Read an answer that was recorded as the text of its JSON."""
    if isinstance(recorded, str) and recorded.startswith("{"):
        return json.loads(recorded)
    return recorded


def _shape(recorded: str, tokens: list[re.Match[str]]) -> str:
    parts, at = [], 0
    for token in tokens:
        parts.append(re.escape(recorded[at : token.start()]))
        if UUID.fullmatch(token[0]):
            parts.append(f"({UUID.pattern})")
        elif CONSTRAINT.fullmatch(token[0]):
            parts.append(f"({token[0].rpartition('_')[0]}_[0-9a-f]{{20,32}})")
        elif RECORDING_DAY.fullmatch(token[0]):
            parts.append(f"({MOMENT.pattern})")
        else:
            parts.append(r"([A-Za-z0-9_\-.=]+)")
        at = token.end()
    return "".join(parts) + re.escape(recorded[at:])


def _holds(what: str, recorded: Json, replayed: Json) -> bool:
    if what == "text or null":
        return replayed is None or isinstance(replayed, str)
    if what == "moment":
        return isinstance(replayed, str) and MOMENT.fullmatch(replayed) is not None
    if what == "count":
        return isinstance(replayed, int) and not isinstance(replayed, bool) and replayed >= 0
    if what == "same text but for its numbers":
        return isinstance(replayed, str) and re.sub(r"\d+", "0", recorded) == re.sub(r"\d+", "0", replayed)
    if what == "same shape":
        return same_shape(recorded, replayed)
    if what == "same kind":
        return type(recorded) is type(replayed)
    if what == "may be absent":
        return True
    raise ValueError(f"unknown rule: {what}")


def same_shape(recorded: Json, replayed: Json) -> bool:
    """Tell whether two values have the same keys and kinds of values; null fits any kind of leaf."""
    if isinstance(recorded, dict) and isinstance(replayed, dict):
        return recorded.keys() == replayed.keys() and all(same_shape(recorded[key], replayed[key]) for key in recorded)
    if isinstance(recorded, list) and isinstance(replayed, list):
        if recorded and isinstance(recorded[-1], str) and (cut := MORE_ITEMS.match(recorded[-1])):
            length, kept = len(recorded) - 1 + int(cut[1]), recorded[:-1]
        else:
            length, kept = len(recorded), recorded
        return len(replayed) == length and all(map(same_shape, kept, replayed))
    if recorded is None or replayed is None:
        return not isinstance(recorded if replayed is None else replayed, dict | list)
    if isinstance(recorded, bool) or isinstance(replayed, bool):
        return isinstance(recorded, bool) and isinstance(replayed, bool)
    if isinstance(recorded, int | float):
        return isinstance(replayed, int | float)
    return isinstance(recorded, str) and isinstance(replayed, str)


FOLLOW_UP_KINDS = {"view", "viewField", "searchFieldMetadata"}
FOLLOW_UP_CODES = {
    "OBJECT_METADATA_NOT_FOUND",
    "FIELD_METADATA_NOT_FOUND",
    "INDEX_FIELD_NOT_FOUND",
    "INDEX_ALREADY_EXISTS",
    "INVALID_VIEW_DATA",
}


def primary_causes(recorded: Json, replayed: Json) -> tuple[Json, Json]:
    """Reduce the lists of a metadata refusal to the first cause per kind; other answers are returned as they are.

    The real server adds to the cause a list of errors of everything that could not be made because of it (views,
    columns of views, indexes, search fields) and counts them in its summary; no loader reads those.
    """
    if isinstance(recorded, dict) and isinstance(replayed, dict) and _follow_ups(recorded):
        return _reduced_body(recorded), _reduced_body(replayed)
    return recorded, replayed


def _holder(body: Json) -> Json:
    """Return the part of an answer that holds the lists of causes: the body (REST) or the first error's extensions."""
    if isinstance(body.get("errors"), list) and body["errors"] and isinstance(body["errors"][0], dict):
        body = body["errors"][0].get("extensions")
    return body if isinstance(body, dict) and isinstance(body.get("errors"), dict) else None


def _follow_ups(body: Json) -> bool:
    holder = _holder(body)
    return holder is not None and holder["summary"]["totalErrors"] > 1


def _reduced_body(body: Json) -> Json:
    holder = _holder(body)
    if holder is None:
        return body
    causes = {}
    for kind, entries in holder["errors"].items():
        for entry in entries if kind not in FOLLOW_UP_KINDS else []:
            errors = entry.get("errors") if isinstance(entry, dict) else None
            if not isinstance(errors, list) or not errors or not isinstance(errors[0], dict):
                continue
            if errors[0].get("code") not in FOLLOW_UP_CODES:
                causes[kind] = {**entry, "errors": errors[:1]}
                break
    reduced = {**holder, "errors": causes}
    for key in ("summary", "message", "userFriendlyMessage"):
        if key in holder and (key != "message" or str(holder[key]).startswith("Validation failed")):
            reduced[key] = "(counts the follow-up errors)"
    if holder is body:
        return reduced
    return {**body, "errors": [{**body["errors"][0], "extensions": reduced}, *body["errors"][1:]]}


def _short(value: Json) -> str:
    text = repr(value)
    return text if len(text) < 300 else f"{text[:280]}… ({len(text)} characters)"
