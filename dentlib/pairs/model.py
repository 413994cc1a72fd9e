"""The rules of a pair, as people write them in YAML. Unknown keys are refused.

A *reference* in a rule is `field` (a logical field of the step's source object), `field.other` (a field of the row
that `field` points to) or `$name` (a value named under the step's `related:`).

What happens to a missing, invalid or unmapped value has no default: pydantic asks for it. A decision reads `reject`,
`leave_empty`, `exclude`, `follow` (share the fate of the parent's row), `fallback` (owners), `{value: X}` or
`{keep_as_text: field}` (also together).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


class _Rule(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class _Decision(_Rule):
    do: Literal["reject", "leave_empty", "exclude", "follow", "fallback", "value"]
    value: str | int | bool | None = None
    keep_as_text: str = ""


def _read_decision(written: Any) -> Any:
    if isinstance(written, str):
        return {"do": written}
    if isinstance(written, dict) and "do" not in written:
        return {"do": "value" if "value" in written else "leave_empty", **written}
    return written


def _read_texts(written: Any) -> Any:
    return [written] if isinstance(written, str) else written


def _read_value_map(written: Any) -> Any:
    return {str(k): v for k, v in written.items()} if isinstance(written, dict) else written


def _read_keys(written: Any) -> Any:
    return [str(w) for w in written] if isinstance(written, list | tuple) else _read_texts(written)


EVERYBODY = "*"
"""Stands for all staff in `owners: unassigned:`."""

Decision = Annotated[_Decision, BeforeValidator(_read_decision)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_read_texts)]
ValueMap = Annotated[Mapping[str, str | int | bool], BeforeValidator(_read_value_map)]


class Test(_Rule):
    """A test of one reference. All that is given must hold. Dates: `run`, `run-10y` or YYYY-MM-DD."""

    in_: Texts = Field(default=(), alias="in")
    not_in: Texts = ()
    blank: bool | None = None
    like: str = ""  # regular expression, capitals don't matter, anywhere in the text
    before: str = ""
    not_before: str = ""


Condition = Mapping[str, Test]
"""Reference → test; all must hold."""


class ScopeRule(_Rule):
    """Rows that are left out on purpose, each counted with the reason."""

    when: Condition
    code: str
    reason: str
    when_choice: Mapping[str, str] = Field(default_factory=dict)


class Override(_Rule):
    """A value that goes before the rule's own where the condition holds. `note`: code under which it is counted."""

    when: Condition
    value: str | int | bool | None
    note: str = ""


class DatePlus(_Rule):
    """A computed date: the first of `start` that is there, plus months or minutes (a number or a reference)."""

    start: Texts
    months: str | int = 0
    minutes: str | int = 0


class FieldRule(_Rule):
    """How one destination field is made. Exactly one of source, constant, template, date_plus.

    `combine`, where there are several sources: `first` that is filled, `join`ed by the separator, `collect` (phones).
    `apply`: value functions (see `dentlib.mapping.values`); without it the one of the source field's own type.
    `at`: local time of day for a date that becomes a point in time. `values`: canonical source value → option.
    `values_matching`: values that match this regular expression stand for themselves.
    `shared`: what several people have in common, an address or a number of the household. `first_keeps_it`: the first
    row keeps it, the others have it as a further one (an address that must be unique always is so); `keep_all`: all do.
    """

    source: Texts = ()
    combine: Literal["first", "join", "collect", ""] = ""
    separator: str = " "
    constant: str | int | bool | None = None
    template: str = ""
    date_plus: DatePlus | None = None
    apply: tuple[str, ...] = ()
    at: str = ""
    values: ValueMap = Field(default_factory=dict)
    values_matching: str = ""
    missing: Decision | None = None
    invalid: Decision | None = None
    unmapped: Decision | None = None
    shared: Literal["first_keeps_it", "keep_all", ""] = ""
    overrides: tuple[Override, ...] = ()
    when_choice: Mapping[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _complete(self) -> FieldRule:
        kinds = [bool(self.source), self.constant is not None, bool(self.template), self.date_plus is not None]
        if sum(kinds) != 1:
            raise ValueError("give exactly one of source, constant, template, date_plus")
        if len(self.source) > 1 and not self.combine:
            raise ValueError("several sources need combine: first, join or collect")
        if self.constant is None and self.missing is None:
            raise ValueError("say what happens to a missing value (missing:)")
        if (self.values or self.values_matching) and self.unmapped is None:
            raise ValueError("a value map says what happens to an unmapped value (unmapped:)")
        return self


class LookupRule(_Rule):
    """A link to a record made by another step. `missing`: the cell is empty. `orphan`: it points to nothing that is
    migrated. `or_in`: steps in which it may be found instead, without being a problem here."""

    source: str
    step: str
    or_in: Texts = ()
    missing: Decision
    orphan: Decision
    write: bool = True  # false: only to share the parent's fate, where another step makes the link


class OwnerRule(_Rule):
    """Who owns the record: a reference to a member of staff, or nothing for the fallback owner.

    `name_field`: text field that keeps the name as the source had it.
    """

    field: str
    source: str = ""
    missing: Decision
    unmatched: Decision
    name_field: str = ""


class Mark(_Rule):
    """The field, and its value, by which a record tells that its row is gone from the source."""

    field: str
    value: str | bool


class DeletionRule(_Rule):
    """What may be done, besides keeping and deleting, about records whose source row is gone."""

    mark: Mark


class FileRule(_Rule):
    """A file to upload: which field names it, which FILES field takes it, and what happens where it can't go."""

    source: str
    field: str
    missing: Decision
    over_limit: Decision


class Related(_Rule):
    """A value taken from rows of another object that belong to this row, e.g. the sum of a plan's procedures.

    `match`: their field → our reference. `take`: `sum`, `max`, `min`, `distinct` (a list in order), `count`.
    """

    object: str
    match: Mapping[str, str]
    where: Condition = Field(default_factory=dict)
    field: str
    take: Literal["sum", "max", "min", "distinct", "count"]
    apply: tuple[str, ...] = ()


def _read_rules(written: Any) -> Any:
    return [[rule] if isinstance(rule, str) else rule for rule in written] if isinstance(written, list) else written


class MatchRule(_Rule):
    """How records that are in the workspace already are recognised, and what becomes of them.

    `by`: rules tried in order; each is a combination of destination fields (`emails.primaryEmail`, `name.firstName`)
    that must all be filled and equal (capitals, blanks around, and of a link all but its host don't count).
    `found`: `match_only` (write nothing, link to it), `update_empty` (fill what is empty there), `update` (overwrite,
    the old value kept for a rollback), `create` (make a new one all the same). `ambiguous`: several records for one
    row, or several rows for one record: `create` new ones, or `reject` the rows.
    Families share addresses and numbers: an e-mail alone is no person.
    """

    by: Annotated[tuple[Annotated[tuple[str, ...], Field(min_length=1)], ...], BeforeValidator(_read_rules)] = Field(
        min_length=1
    )
    found: Literal["match_only", "update_empty", "update", "create"]
    ambiguous: Literal["create", "reject"]


class Step(_Rule):
    """One step of the load: rows of one source object become records of one destination object.

    `key`: the logical field that identifies a row, or `content` (hash of the row and its ordinal among equals).
    `only`: routing between steps (not an outcome). `where`: scope. `prefix`: kind in `sourceSystemId`; empty for
    links and attachments, which are known by their id alone. `created`: the original time of creation, kept in
    `createdAt` and in `originalCreatedAt`. `error_budget`: share of rejects above which a run stops. `history`: the
    reference that tells how old a row is; with it, a map may cut the history off (`history:` in map.yaml). `match`: how
    records that are in the workspace already are recognised; without it, none is looked for.
    `deletions`: how a record is marked whose source row is gone, where a person decides so.
    """

    step: str
    label: str
    from_: str = Field(alias="from")
    to: str
    key: str
    prefix: str
    error_budget: float = Field(ge=0, le=1)
    only: Condition = Field(default_factory=dict)
    where: tuple[ScopeRule, ...] = ()
    related: Mapping[str, Related] = Field(default_factory=dict)
    fields: Mapping[str, FieldRule] = Field(default_factory=dict)
    lookups: Mapping[str, LookupRule] = Field(default_factory=dict)
    owner: OwnerRule | None = None
    file: FileRule | None = None
    created: FieldRule | None = None
    when_choice: Mapping[str, str] = Field(default_factory=dict)
    history: str = ""
    match: MatchRule | None = None
    deletions: DeletionRule | None = None


class OptionsFrom(_Rule):
    """Options made from the data: distinct values of a logical field, labelled with the client's own wording."""

    object: str
    field: str
    label: str = ""
    matching: str = ""


class SchemaField(_Rule):
    """A field that the destination must have. `options`: value → label. `extend`: a standard SELECT gets them added."""

    type: str
    label: str
    description: str = ""
    options: Mapping[str, str] = Field(default_factory=dict)
    options_from: OptionsFrom | None = None
    extend: bool = False
    target: str = ""
    inverse_label: str = ""
    offer_name: str = ""
    icon: str = ""


class SchemaObject(_Rule):
    """A custom object that the destination must have."""

    plural: str
    label: str
    label_plural: str
    description: str = ""
    icon: str = "IconBox"
    offer_name: str = ""


class SchemaWords(_Rule):
    """Custom objects, and fields by object."""

    objects: Mapping[str, SchemaObject] = Field(default_factory=dict)
    fields: Mapping[str, Mapping[str, SchemaField]] = Field(default_factory=dict)


class OwnersTable(_Rule):
    """Where members of staff stand, and how they are matched to workspace members: `email`, then `name` if listed.

    `assigned`: key of a member of staff → e-mail of the member who gets their records; goes before any match.
    `placeholder`: e-mail of the member who stands in for staff without a match, in place of the fallback owner.
    `unassigned`: keys of staff whose records may stay without an owner; `*` for all of them, also for records that
    name nobody.
    """

    from_: str = Field(alias="from")
    key: str
    email: str = ""
    name: Texts
    role: str = ""
    match: Texts
    assigned: Annotated[Mapping[str, str], BeforeValidator(_read_value_map)] = Field(default_factory=dict)
    placeholder: str = ""
    unassigned: Annotated[tuple[str, ...], BeforeValidator(_read_keys)] = ()


class Choice(_Rule):
    """A question that a map answers. `chosen` is one of the options."""

    question: str
    options: Mapping[str, str]
    chosen: str

    @model_validator(mode="after")
    def _is_an_option(self) -> Choice:
        if self.chosen not in self.options:
            raise ValueError(f"`{self.chosen}` is none of: {', '.join(self.options)}")
        return self


class NotMigrated(_Rule):
    """A logical field that stays behind on purpose. `elsewhere`: how it still has a part in what arrives."""

    reason: str
    elsewhere: bool = False


class Rebuild(_Rule):
    """How a kind of definition is rebuilt in the destination by hand."""

    means: str


class Pair(_Rule):
    """A source × destination: what becomes what.

    `sensitive`: what a person must agree to be readable in the CRM → source object → its logical fields.
    """

    source: str
    destination: str
    label: str
    choices: Mapping[str, Choice] = Field(default_factory=dict)
    owners: OwnersTable | None = None
    steps: tuple[Step, ...]
    schema_: SchemaWords = Field(alias="schema", default_factory=SchemaWords)
    not_migrated: Mapping[str, Mapping[str, NotMigrated]] = Field(default_factory=dict)
    rebuild: Mapping[str, Rebuild] = Field(default_factory=dict)
    rebuild_note: str = ""
    sensitive: Mapping[str, Mapping[str, Texts]] = Field(default_factory=dict)
    consent: Mapping[str, Condition] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Pair:
        names = [s.step for s in self.steps]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"step `{name}` stands twice")
        prefixes = [s.prefix for s in self.steps if s.prefix]
        for prefix in prefixes:
            if prefixes.count(prefix) > 1:
                raise ValueError(f"prefix `{prefix}` stands twice")
        return self

    def step(self, name: str) -> Step:
        """Return a step by name; KeyError when there is none."""
        for step in self.steps:
            if step.step == name:
                return step
        raise KeyError(name)
