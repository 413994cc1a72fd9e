"""Where a pair uses each logical field of the source: for proposals, the mapping document, and what stays behind."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from dentlib.mapping.map import Map
from dentlib.pairs import Condition, FieldRule, Pair, Step

ROLES = ("key", "value", "lookup", "owner", "created", "file", "part", "related", "condition")
"""The telling ones first: a field of its own, then a part of a text or a computed date, then a parent's summary."""

_PLACEHOLDER = re.compile(r"\{([^}|]+)[^}]*\}")


_IN_WORDS = {
    "blocknote": "text, line by line as it is",
    "birth_date": "date of birth, checked",
    "date": "date",
    "datetime": "date and time",
    "email": "e-mail address, checked",
    "link": "web address",
    "phone": "phone number in international form",
    "surfaces": "surfaces",
    "teeth": "teeth in order",
}
"""What value functions are called on a client's page; others under their own name."""

_TAKEN = {"sum": "their sum", "max": "the latest", "min": "the first", "distinct": "each once", "count": "how many"}


@dataclass(frozen=True, slots=True)
class Use:
    """One use of a source field. `role`: how it is used, one of `ROLES`; all but `condition` are places to find it."""

    step: str
    destination_object: str
    path: str
    role: str
    transform: str


def uses_of(pair: Pair, steps: Iterable[Step] | None = None) -> dict[tuple[str, str], tuple[Use, ...]]:
    """Return every use of (object, logical field), the telling ones first."""
    found: dict[tuple[str, str], list[Use]] = {}

    def add(step: Step, reference: str, path: str, role: str, transform: str = "") -> None:
        if reference.startswith("$"):
            related = step.related[reference[1:]]
            use = Use(step.step, step.to, path, "related", _TAKEN[related.take])
            found.setdefault((related.object, related.field), []).append(use)
            for theirs in related.match:
                found.setdefault((related.object, theirs), []).append(
                    Use(step.step, step.to, path, "condition", "matches")
                )
            return
        field = reference.split(".")[0]
        if "." in reference:
            role = "condition" if role == "condition" else "related"
        found.setdefault((step.from_, field), []).append(Use(step.step, step.to, path, role, transform))

    labels = {s.step: s.label for s in pair.steps}
    for step in pair.steps if steps is None else steps:
        for path, rule in step.fields.items():
            role = "part" if rule.template or rule.date_plus is not None else "value"
            for reference in references_of(rule):
                add(step, reference, path, role, describe(rule))
            for override in rule.overrides:
                _conditions(step, override.when, path, add)
        for name, lookup in step.lookups.items():
            if lookup.write:
                add(step, lookup.source, f"{name}Id", "lookup", f"link to {labels[lookup.step].lower()}")
            else:
                add(step, lookup.source, name, "condition", f"shares the fate of its {name}")
        if step.owner is not None and step.owner.source:
            add(
                step,
                step.owner.source,
                step.owner.field or step.owner.name_field,
                "owner",
                "member by e-mail, else fallback",
            )
        if step.created is not None:
            for reference in step.created.source:
                for path in ("createdAt", "originalCreatedAt") if step.prefix else ("createdAt",):
                    add(step, reference, path, "created", "original time of creation")
        if step.file is not None:
            add(step, step.file.source, step.file.field, "file", "file uploaded")
        if step.key != "content" and step.prefix:
            add(step, step.key, "sourceSystemId", "key", f"number in the old system, as {step.prefix}:17")
        for rule_of_scope in step.where:
            _conditions(step, rule_of_scope.when, "", add)
        _conditions(step, step.only, "", add)
    return {k: tuple(sorted(v, key=lambda u: ROLES.index(u.role))) for k, v in found.items()}


def active_uses(map: Map) -> dict[tuple[str, str], tuple[Use, ...]]:
    """Return the uses by this map: steps and fields whose choices hold; parts stand for the field made of them."""
    uses = uses_of(map.pair, [s.model_copy(update={"fields": map.fields_of(s)}) for s in map.active_steps])
    for (object_name, field), found in list(uses.items()):
        whole = map.vocabulary.field(object_name, field)
        for part in whole.made_of if whole and field not in map.columns.get(object_name, {}) else ():
            both = (*uses.get((object_name, part), ()), *found)
            uses[object_name, part] = tuple(sorted(both, key=lambda u: ROLES.index(u.role)))
    return uses


def _conditions(step: Step, condition: Condition, path: str, add: object) -> None:
    assert callable(add)
    for reference in condition:
        add(step, reference, path, "condition", "decides what happens")


def references_of(rule: FieldRule) -> tuple[str, ...]:
    """Return every reference that a rule's value is made of."""
    found = list(rule.source)
    found += _PLACEHOLDER.findall(rule.template)
    if rule.date_plus is not None:
        found += list(rule.date_plus.start)
        found += [a for a in (rule.date_plus.months, rule.date_plus.minutes) if isinstance(a, str)]
    return tuple(dict.fromkeys(found))


def describe(rule: FieldRule) -> str:
    """Say in a few words what a rule does to its value."""
    words = []
    if rule.values:
        words.append("value map")
    if rule.values_matching:
        words.append(f"values like {rule.values_matching}")
    if rule.combine:
        words.append(
            {"first": "first that is filled", "join": "joined", "collect": "all that can be read"}[rule.combine]
        )
    words += [_IN_WORDS.get(name, name) for name in rule.apply]
    if rule.date_plus is not None:
        words.append("computed date")
    if rule.template:
        words.append("part of a text")
    if rule.shared:
        words.append(
            {"first_keeps_it": "the first keeps what several share", "keep_all": "kept by all who share it"}[
                rule.shared
            ]
        )
    if rule.overrides:
        words.append("with exceptions")
    return ", ".join(words)
