"""Lookups and owners of a step as SQL: the id they give, what is to be told, and whose fate the row shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dentlib.mapping.payload import ROWS
from dentlib.mapping.references import References
from dentlib.mapping.rules import Fate
from dentlib.model import PREPARED_OUTCOMES, Member
from dentlib.pairs import LookupRule, OwnerRule, Step
from dentlib.workdb import literal, quoted


@dataclass(frozen=True, slots=True)
class Link:
    """`select` and `joins` go over the second pass's rows `r`; `column` then holds the id, `code` what is to be told.

    `written`: key in the payload, empty where the link only decides the row's fate. `raw`: the source's own text, for
    `keep_in`.
    """

    name: str
    column: str
    code: str
    fates: tuple[Fate, ...]
    written: str
    select: str
    joins: str = ""
    raw: str = "NULL::VARCHAR"
    keep_in: str = ""
    label: str = ""


def compile_lookup(
    references: References, name: str, rule: LookupRule, steps: Mapping[str, Step], written: str
) -> Link:
    """Return a lookup as SQL. A record is found by its source key in the prepared rows of the step named.

    `written`: the name under which the destination takes the link.

    What points to nothing is `orphan`; what points to a row that was rejected or left out is `parent_not_migrated`.
    """
    text = references.text(rule.source)
    key = f"r.{text.column}"
    title = text.words.label if text.words else name
    label = literal(title)
    column, fate = f"lookup_{name}", f"fate_{name}"
    joins, found, outcome, code, reason = [], "NULL::UUID", *["NULL::VARCHAR"] * 3
    if rule.step in steps:
        p, o = quoted(f"p_{name}"), quoted(f"o_{name}")
        joins.append(f"LEFT JOIN {ROWS}.{quoted(rule.step)} AS {p} ON {p}.source_key = {key}")
        theirs = (
            f"SELECT source_key, min(outcome) AS outcome, min(code) AS code, min(reason) AS reason FROM "
            f"{PREPARED_OUTCOMES} WHERE step = {literal(rule.step)} AND outcome <> 'merged' GROUP BY source_key"
        )
        joins.append(f"LEFT JOIN ({theirs}) AS {o} ON {o}.source_key = {key}")
        found, outcome, code, reason = f"{p}.record_id", f"{o}.outcome", f"{o}.code", f"{o}.reason"
    nowhere = []
    for other in rule.or_in:
        if other in steps:
            alias = quoted(f"e_{name}_{other}")
            joins.append(f"LEFT JOIN {ROWS}.{quoted(other)} AS {alias} ON {alias}.source_key = {key}")
            nowhere.append(f"{alias}.record_id IS NULL")
    select = (
        f"{found} AS {column}, {outcome} AS {fate}, {code} AS {fate}_code, {reason} AS {fate}_reason, "
        f"({' AND '.join(nowhere) or 'true'}) AS nowhere_{name}"
    )
    absent = f"{text.column} IS NULL"
    lost = f"{text.column} IS NOT NULL AND {column} IS NULL AND nowhere_{name}"
    lost_code = f"CASE WHEN {fate} IS NULL THEN 'orphan' ELSE 'parent_not_migrated' END"
    fates = []
    if rule.missing.do in ("reject", "exclude"):
        fates.append(Fate(absent, _outcome(rule.missing.do), "'missing_value'", label))
    if rule.orphan.do in ("reject", "exclude"):
        fates.append(Fate(lost, _outcome(rule.orphan.do), lost_code, label))
    elif rule.orphan.do == "follow":
        shared = f"CASE WHEN {fate} = 'excluded' THEN {fate}_code ELSE {lost_code} END"
        told = f"CASE WHEN {fate} = 'excluded' THEN {fate}_reason ELSE {label} END"
        fates.append(Fate(lost, f"coalesce({fate}, 'rejected')", shared, told))
    problem = f"CASE WHEN {lost} THEN {lost_code} END"
    return Link(
        name,
        column,
        problem,
        tuple(fates),
        written if rule.write else "",
        select,
        " ".join(joins),
        text.column,
        rule.orphan.keep_as_text,
        title,
    )


def compile_owner(references: References, rule: OwnerRule, fallback: Member | None) -> Link:
    """Return the owner as SQL: the member matched to the source's staff, or the fallback as the map says."""
    to_fallback = literal(fallback.id) if fallback else "NULL::VARCHAR"
    missing = to_fallback if rule.missing.do == "fallback" else "NULL::VARCHAR"
    unmatched = to_fallback if rule.unmatched.do == "fallback" else "NULL::VARCHAR"
    if not rule.source:
        select = f"{missing} AS owner_id, NULL::VARCHAR AS owner_name, NULL::VARCHAR AS owner_key"
        return Link(rule.field, "owner_id", "NULL::VARCHAR", (), rule.field, select)
    key = f"r.{references.text(rule.source).column}"
    select = (
        f"CASE WHEN {key} IS NULL THEN {missing} WHEN own.how IN ('matched', 'placeholder') THEN own.member_id "
        f"WHEN own.how = 'unassigned' THEN NULL ELSE {unmatched} END "
        f"AS owner_id, coalesce(nullif(own.name, ''), {key}) AS owner_name, own.source_key AS owner_row, "
        f"own.how AS owner_how, {key} AS owner_key"
    )
    joins = f"LEFT JOIN prepared.owners AS own ON own.source_key = {key}"
    stranger = "owner_key IS NOT NULL AND coalesce(owner_how, '') <> 'matched'"
    fates = [
        Fate(when, _outcome(decision.do), "'owner_unmatched'", literal("owner"))
        for decision, when in ((rule.missing, "owner_key IS NULL"), (rule.unmatched, stranger))
        if decision.do in ("reject", "exclude")
    ]
    if rule.field:
        code = (
            "CASE WHEN owner_key IS NULL THEN 'owner_missing' WHEN owner_row IS NULL THEN 'owner_unknown' "
            "WHEN owner_how <> 'matched' THEN 'owner_unmatched' END"
        )
    else:
        code = "CASE WHEN owner_key IS NOT NULL AND owner_row IS NULL THEN 'owner_unknown' END"
    return Link(rule.field or rule.name_field, "owner_id", code, tuple(fates), rule.field, select, joins)


def _outcome(decision: str) -> str:
    return "'excluded'" if decision == "exclude" else "'rejected'"
