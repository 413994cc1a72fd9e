"""Read REST's query texts: `filter=name[eq]:"x",or(…)`, `order_by=name[DescNullsLast]`, `limit`, `depth`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import orjson

from dentlib.sandbox.twenty.refusals import Json, Refusal

MAX_LIMIT = 200
_CONDITION = re.compile(r"([\w.]+)\[(\w+)\]:(.*)", re.DOTALL)
_GROUP = re.compile(r"(and|or|not)\((.*)\)", re.DOTALL)
_ORDER = re.compile(r"([\w.]+)(?:\[(\w+)\])?")
_DIRECTIONS = ("AscNullsFirst", "AscNullsLast", "DescNullsFirst", "DescNullsLast")


def _split(text: str) -> list[str]:
    """Split at the commas that are outside quotes, brackets and parentheses."""
    parts: list[str] = []
    depth, quoted, start = 0, "", 0
    for at, letter in enumerate(text):
        if quoted:
            quoted = "" if letter == quoted and text[at - 1] != "\\" else quoted
        elif letter == '"':
            quoted = letter
        elif letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
        elif letter == "," and depth == 0:
            parts.append(text[start:at])
            start = at + 1
    return [part for part in [*parts, text[start:]] if part]


def parse_filter(text: str, operators: Sequence[str]) -> Json:
    """Turn a filter text into GraphQL's shape. Raises Refusal for what can't be read, or an unknown operator."""
    parts = [_condition(part.strip(), operators) for part in _split(text)]
    return parts[0] if len(parts) == 1 else {"and": parts}


def _condition(text: str, operators: Sequence[str]) -> Json:
    group = _GROUP.fullmatch(text)
    if group:
        inner = [_condition(part.strip(), operators) for part in _split(group[2])]
        return {"not": inner[0] if len(inner) == 1 else {"and": inner}} if group[1] == "not" else {group[1]: inner}
    found = _CONDITION.fullmatch(text)
    if not found:
        raise Refusal(f"'filter' invalid for '{text}'. eg: price[gte]:10")
    path, operator, value = found.groups()
    if operator not in operators:
        raise Refusal(f"'filter' invalid for '{text}', comparator {operator} not in {', '.join(operators)}")
    node: Any = {operator: _value(value, operator)}
    for name in reversed(path.split(".")):
        node = {name: node}
    return dict(node)


def _value(text: str, operator: str) -> Any:
    if operator in ("in", "containsAny"):
        inner = text.strip()
        inner = inner[1:-1] if inner.startswith("[") and inner.endswith("]") else inner
        return [_scalar(part.strip()) for part in _split(inner)]
    if operator == "is":
        return text.strip().strip('"')
    return _scalar(text)


def _scalar(text: str) -> Any:
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return text[1:-1].replace('\\"', '"')
    if len(text) >= 2 and text[0] == text[-1] == "'":
        return text[1:-1]
    return text


def parse_order(text: str) -> list[Json]:
    """Turn an order text into GraphQL's shape. Raises Refusal."""
    out: list[Json] = []
    for part in _split(text):
        found = _ORDER.fullmatch(part.strip())
        if not found:
            raise Refusal(f"'order_by' invalid for '{part}'. eg: createdAt[AscNullsFirst]")
        direction = found[2] or "AscNullsFirst"
        if direction not in _DIRECTIONS:
            allowed = ", ".join(_DIRECTIONS)
            raise Refusal(f"'order_by' direction '{direction}' invalid. Allowed values are {allowed}")
        node: Any = direction
        for name in reversed(found[1].split(".")):
            node = {name: node}
        out.append(dict(node))
    return out


def parse_limit(text: str | None, default: int) -> int:
    """Read `limit`; more than 200 is cut without a word. Raises Refusal."""
    if text is None or text == "":
        return default
    if not re.fullmatch(r"-?\d+", text):
        raise Refusal(f"limit '{text}' is invalid. Should be an integer")
    return max(0, min(int(text), MAX_LIMIT))


def parse_depth(text: str | None) -> int:
    """Read `depth`: 0 or 1. Raises Refusal."""
    if text in (None, "", "0"):
        return 0
    if text != "1":
        raise Refusal(f"'depth={text}' parameter invalid. Allowed values are 0, 1")
    return 1


def parse_json(text: str | None, name: str) -> Any:
    """Read a parameter that is JSON (`group_by`, `aggregate`). Raises Refusal."""
    try:
        return orjson.loads(text or "null")
    except orjson.JSONDecodeError:
        raise Refusal(f"Invalid JSON for parameter {name}") from None
