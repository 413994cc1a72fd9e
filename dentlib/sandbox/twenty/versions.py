"""The versions of Twenty that the sandbox runs as, and every way in which they differ, as data.

A number in brackets is the recorded exchange of that version (`tests/contracts`). What a version says nothing about is
the same in all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

from dentlib.errors import UsageError


@dataclass(frozen=True, slots=True)
class Linked:
    """An object whose records link to those of others, so that a new object gets a relation there by itself.

    `prefix` is "target" for one morph relation (`targetAppointmentId`), "" for a relation of its own (`appointmentId`).
    """

    owner: str
    inverse: str
    on_delete: str
    prefix: str = "target"


@dataclass(frozen=True, slots=True, eq=False)
class Release:
    """One version of Twenty, told by its differences."""

    name: str
    state_number: int
    """Kept in the state file (`PRAGMA user_version`), so that no state is opened as another version."""

    # -- what there is ------------------------------------------------------------------------------------------
    linked: tuple[Linked, ...]
    """[803] [697]: which links a new object gets."""
    flags: Mapping[str, bool] = field(default_factory=dict)
    """[114]: the feature flags of a new workspace."""
    rich_text: str = "RICH_TEXT"
    """[887]: the type of a text kept as blocknote and markdown."""
    unwritable: frozenset[str] = frozenset()
    """[828] [786]: types of fields that can be made but not written; they read back null."""
    rich_text_type: str = "RichText"
    """[761]: its name in the GraphQL schema."""
    samples: tuple[int, int, int] = (2, 3, 2)
    """[010]: sample companies, people, opportunities of a new workspace."""
    color_scheme: str = "Light"
    """[653]: the colours a new member starts with."""
    automated_trigger: bool = True
    """[010] [991]: a new workspace's workflow starts by itself for every person."""
    file_paths: bool = False
    """[671] [682]: files go by a path in `attachment.fullPath`; no FILES fields, no checks, no direct upload."""

    # -- /graphql -----------------------------------------------------------------------------------------------
    strict_documents: bool = False
    """[355] [301] [740]: a document is checked against the schema first: refused whole, bad variables with HTTP 400."""
    lone_root_errors: bool = False
    """[737] [758]: a document with too many or repeated roots is refused without `data`, repeats before the number."""
    core_roots: bool = False
    """[484] [671]: `/graphql` serves some of the fields of `/metadata` as well, `uploadFile` among them."""

    # -- values -------------------------------------------------------------------------------------------------
    checks_emails: bool = True
    """[310] [312] [503]: an e-mail must look like one; lists of them are lists."""
    lists_options: bool = True
    """[330] [579]: a refused option names the valid ones."""
    dates: str = "checked"
    """[534] [537] [539] [546]: "checked" against the calendar, or "parsed" loosely and left to the database."""
    text_coordinates: bool = False
    """[522]: latitude and longitude read back as text."""
    ignores_nested: bool = False
    """[328] [766]: REST drops a relation given as an object that is neither `connect` nor `disconnect`."""
    upsert_moves: bool = False
    """[221] [222]: an upsert gives the record that it finds a new place at the top."""
    ids_change: bool = False
    """[609] [486]: the id of a record that nothing points at can be changed."""
    older_blocks: bool = False
    """[554] [558] [643] [644]: texts as an older BlockNote reads them: a line break is a blank, HTML an empty block,
    no `isToggleable`, and a `javascript:` link is taken (and lost in the markdown). [788]: the markdown of blocks tells
    no empty ones and no double blanks; the blocks are kept without blanks between them."""

    # -- refusals -----------------------------------------------------------------------------------------------
    database_words: bool = False
    """[326] [352] [615] [645]: what the database refuses comes as 500 in the database's own words."""
    terse_conflicts: bool = False
    """[216] [460]: an upsert that matches two records names the values without their fields."""
    too_large: str = "request entity too large"
    """[344] [345]: what is said of a body over 10 MB."""
    token_refusal: str = "Token invalid."
    """[101]: about a token that is none."""
    forbidden_code: str = "FORBIDDEN"
    """[106] [134]: the code of "Forbidden resource"."""

    # -- REST ---------------------------------------------------------------------------------------------------
    hides_morphs: bool = False
    """[682] [773] [778]: the columns of morph relations are not shown, but stored, filtered and read by GraphQL."""
    token_in_query: bool = False
    """[108]: `?token=` is as good as the header."""
    filter_operators: tuple[str, ...] = (
        "eq", "neq", "in", "containsAny", "is", "gt", "gte", "lt", "lte", "startsWith", "endsWith", "like", "ilike",
    )  # fmt: skip
    """[709]: the operators of a filter."""
    exact_prefix: bool = False
    """[745] [746]: `startsWith` is `like` without a `%` of its own."""
    related_filters: bool = True
    """[712]: a filter may look at a related record's fields."""

    # -- metadata -----------------------------------------------------------------------------------------------
    metadata_query: bool = True
    """[802] [935]: metadata REST takes a query string."""
    old_metadata: bool = False
    """[889] [803] [929]: older listings (`isCustom`, nulls told) and rules (labels that differ, terser refusals)."""
    webhook_secret: bool = False
    """[993]: a webhook needs a secret."""

    # -- the worker ---------------------------------------------------------------------------------------------
    timeline_of_updates: bool = False
    """[771]: the timeline tells updates too."""

    def asset(self, name: str) -> bytes:
        """Read a packed document of this version; `name` holds `{}` where the version's name stands."""
        return resources.files(__package__).joinpath(name.format(self.name)).read_bytes()


_ALL_TARGET = tuple(
    Linked(owner, inverse, on_delete)
    for owner, inverse, on_delete in (
        ("timelineActivity", "timelineActivities", "SET_NULL"),
        ("attachment", "attachments", "CASCADE"),
        ("noteTarget", "noteTargets", "CASCADE"),
        ("taskTarget", "taskTargets", "CASCADE"),
    )
)

RELEASES: Mapping[str, Release] = {
    one.name: one
    for one in (
        Release(
            "2.21",
            2021,
            linked=_ALL_TARGET,
            flags={
                "IS_UNIQUE_INDEXES_ENABLED": False,
                "IS_EMAIL_GROUP_ENABLED": True,
                "IS_JUNCTION_RELATIONS_ENABLED": True,
                "IS_SETTINGS_DISCOVERY_HERO_ENABLED": False,
                "IS_REST_METADATA_API_NEW_FORMAT_DIRECT": True,
            },
        ),
        Release(
            "1.17",
            1017,
            linked=(
                Linked("timelineActivity", "timelineActivities", "SET_NULL"),
                Linked("favorite", "favorites", "CASCADE", prefix=""),
                Linked("attachment", "attachments", "CASCADE"),
                Linked("noteTarget", "noteTargets", "CASCADE", prefix=""),
                Linked("taskTarget", "taskTargets", "CASCADE", prefix=""),
            ),
            flags={"IS_TIMELINE_ACTIVITY_MIGRATED": True, "IS_ATTACHMENT_MIGRATED": True},
            rich_text="RICH_TEXT_V2",
            unwritable=frozenset({"RICH_TEXT"}),
            rich_text_type="RichTextV2",
            samples=(5, 5, 6),
            color_scheme="System",
            automated_trigger=False,
            file_paths=True,
            strict_documents=True,
            lone_root_errors=True,
            core_roots=True,
            checks_emails=False,
            lists_options=False,
            dates="parsed",
            text_coordinates=True,
            ignores_nested=True,
            upsert_moves=True,
            ids_change=True,
            older_blocks=True,
            database_words=True,
            terse_conflicts=True,
            too_large="",
            token_refusal="No payload",
            forbidden_code="INTERNAL_SERVER_ERROR",
            hides_morphs=True,
            token_in_query=True,
            filter_operators=(
                "eq", "neq", "in", "containsAny", "is", "gt", "gte", "lt", "lte", "startsWith", "like", "ilike",
            ),
            exact_prefix=True,
            related_filters=False,
            metadata_query=False,
            old_metadata=True,
            webhook_secret=True,
            timeline_of_updates=True,
        ),
    )
}  # fmt: skip
NEWEST = "2.21"


@cache
def release(name: str) -> Release:
    """The version of this name. Raises UsageError for one that the sandbox can't run as."""
    found = RELEASES.get(name)
    if found is None:
        raise UsageError(f"there is no sandbox of Twenty {name}", f"known: {', '.join(RELEASES)}")
    return found
