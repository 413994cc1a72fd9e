"""One workspace at work: its metadata compiled, its clock, its limiter; what every request handler is given."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson
from graphql import GraphQLSchema

from dentlib.clock import Clock, stamp
from dentlib.sandbox.twenty.catalog import Catalog, Object
from dentlib.sandbox.twenty.introspect import built, gone_names, schema_texts
from dentlib.sandbox.twenty.limiter import Limiter
from dentlib.sandbox.twenty.model import Model
from dentlib.sandbox.twenty.refusals import Json
from dentlib.sandbox.twenty.state import State, dumps
from dentlib.sandbox.twenty.versions import Release


class SteerableClock:
    """The server's clock: another clock, moved by an offset that the admin endpoint sets."""

    def __init__(self, base: Clock) -> None:
        self.base = base
        self.offset = timedelta()

    def now(self) -> datetime:
        return self.base.now() + self.offset

    def advance(self, seconds: float) -> None:
        """Move the time; negative seconds move it back."""
        self.offset += timedelta(seconds=seconds)

    def set(self, at: datetime) -> None:
        """Make it this time now."""
        self.offset = at - self.base.now()

    def now_ms(self) -> int:
        """The time as JavaScript's Date.now() tells it."""
        return int(self.now().timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: an API key, its role and its name."""

    key_id: str
    name: str
    role: str

    @property
    def is_limited(self) -> bool:
        return self.role == "limited"

    @property
    def actor(self) -> Json:
        """How this caller is written into createdBy and updatedBy."""
        return {"source": "API", "workspaceMemberId": None, "name": self.name, "context": {}}


class Workspace:
    """One workspace. `models` and `lowest` are caches; everything else is in the state file."""

    def __init__(self, state: State, ws: int, clock: SteerableClock, limiter: Limiter) -> None:
        row = state.one("SELECT id, secret, display_name, flags, created_at FROM workspace WHERE ws=?", (ws,))
        assert row is not None
        self.state = state
        self.ws = ws
        self.clock = clock
        self.limiter = limiter
        self.id: str = row[0]
        self.secret: str = row[1]
        self.display_name: str = row[2]
        self.flags: Json = orjson.loads(row[3])
        self.created_at: str = row[4]
        self.catalog = Catalog(state, ws).load()
        self.base_url = ""
        self.jobs_waiting = False
        self.lowest: dict[int, float] = {}
        self._models: dict[int, Model] = {}
        self._roots: dict[str, tuple[str, Object]] | None = None
        self._schema: GraphQLSchema | None = None
        self._written: tuple[str, ...] = ()
        self._gone: frozenset[str] | None = None
        self._is_fresh = False

    @property
    def release(self) -> Release:
        """The version of Twenty that this is."""
        return self.state.release

    @property
    def now(self) -> str:
        """This moment, as the API writes it."""
        return stamp(self.clock.now())

    def model(self, obj: Object) -> Model:
        """The compiled model of an object."""
        found = self._models.get(obj.slot)
        if found is None:
            found = self._models[obj.slot] = Model(self.catalog, obj)
        return found

    def model_named(self, singular: str) -> Model:
        """The compiled model of a standard object."""
        obj = self.catalog.by_name(singular)
        assert obj is not None
        return self.model(obj)

    def metadata_changed(self) -> None:
        """Count the change and drop what was compiled."""
        self.catalog.bump()
        self.forget_compiled()

    def forget_compiled(self) -> None:
        """Drop what was compiled from metadata."""
        self._models.clear()
        self._roots = None
        self._gone = None
        self._is_fresh = False

    def reload(self) -> None:
        """Read the metadata again, after a change that was undone."""
        self.catalog.load()
        self.forget_compiled()
        self.lowest.clear()

    def set_flag(self, key: str, value: bool) -> None:
        """Switch a feature flag of the workspace."""
        self.flags[key] = value
        self.state.db.execute("UPDATE workspace SET flags=? WHERE ws=?", (dumps(self.flags), self.ws))

    @property
    def schema(self) -> GraphQLSchema:
        """The schema of `/graphql` for this workspace's objects."""
        if self._schema is None or not self._is_fresh:
            written = schema_texts(self.catalog)
            if self._schema is None or written != self._written:
                self._schema, self._written = built(written), written
            self._is_fresh, self._gone = True, frozenset()
        return self._schema

    def earlier_schema(self) -> tuple[GraphQLSchema, frozenset[str]] | None:
        """The schema of before the last changes, with the names that are gone since; None where there is none."""
        if self._schema is None:
            return None
        if self._gone is None:
            self._gone = gone_names(self._written, schema_texts(self.catalog))
        return self._schema, self._gone

    @property
    def roots(self) -> dict[str, tuple[str, Object]]:
        """Every root field of `/graphql` for this workspace's objects, with its operation."""
        if self._roots is None:
            self._roots = {}
            for obj in self.catalog.objects.values():
                one, many = obj.name[0].upper() + obj.name[1:], obj.plural[0].upper() + obj.plural[1:]
                names = {
                    f"query {obj.plural}": "findMany",
                    f"query {obj.name}": "findOne",
                    f"query {obj.plural}GroupBy": "groupBy",
                    f"query {obj.name}Duplicates": "findDuplicates",
                }
                for verb in ("create", "update", "delete", "destroy", "restore"):
                    names[f"mutation {verb}{one}"] = f"{verb}One"
                    names[f"mutation {verb}{many}"] = f"{verb}Many"
                names[f"mutation merge{many}"] = "mergeMany"
                self._roots.update({name: (operation, obj) for name, operation in names.items()})
        return self._roots
