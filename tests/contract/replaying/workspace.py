"""One sandbox for one scene: start it, and make the set-up that a recording lacks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from replaying.correspondence import Correspondence, on_every_string
from replaying.exchanges import Exchange, Json, completed
from replaying.plan import Scene
from replaying.signatures import Signatures
from replaying.transport import Connection, file_bytes, multipart

from dentlib.clock import ManualClock
from dentlib.sandbox.twenty.server import TwentySandbox


class SetupError(Exception):
    """A step of the plan's set-up was refused, so nothing after it would mean anything."""


@dataclass
class Workspace:
    """A running sandbox with the keys, and what is known of its ids. Use as a context manager."""

    scene: Scene
    exchanges: dict[int, Exchange]
    folder: Path
    version: str
    clock: ManualClock = field(default_factory=lambda: ManualClock(datetime.now(UTC)))
    known: Correspondence = field(default_factory=Correspondence)
    signatures: Signatures = field(default_factory=Signatures)
    keys: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> Workspace:
        settings = dict(self.scene.workspace)
        members = self.folder / "members.json"
        listed = [*settings.pop("members", []), *_more_members(settings.pop("more_members", 0))]
        members.write_text(json.dumps(listed), "utf-8")
        clock = self.clock if settings.pop("manual_clock", False) else None
        state = self.folder / "state.sqlite"
        self.sandbox = TwentySandbox(state, version=self.version, members=members, clock=clock, **settings)
        self.sandbox.start()
        self.connection = Connection(self.sandbox.url)
        self.keys["loader"] = self.sandbox.api_key
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()
        self.sandbox.stop()

    def call(self, method: str, path: str, body: Json = None) -> Json:
        """Make one call of the set-up with the loader's key and return its answer.

        Recorded ids in it are replaced by replayed ones. Raises SetupError unless the sandbox does as it is told.
        """
        if body is not None:
            self.known.own(json.dumps(body) + path)
            body = on_every_string(body, self.known.translated)
        sent = None if body is None else json.dumps(body).encode()
        return self._sent(method, path, sent, "application/json")

    def _sent(self, method: str, path: str, body: bytes | None, content_type: str) -> Json:
        headers = {"Authorization": f"Bearer {self.keys['loader']}", "Content-Type": content_type}
        reply = self.connection.send(method, self.known.translated(path), headers, body)
        self.signatures.note(reply.body)
        if reply.status >= 300 or (isinstance(reply.body, dict) and "errors" in reply.body):
            raise SetupError(f"{self.scene.name}: {method} {path[:90]}: {reply.status} {str(reply.body)[:400]}")
        return reply.body

    def take(self, step: dict[str, Any]) -> None:
        """Take one step of set-up. Raises SetupError for a step of an unknown kind, or one that fails."""
        (kind, what), *more = step.items()
        given = dict(more)
        if kind == "call":
            self.call(what["method"], what["path"], what.get("body"))
        elif kind == "create":
            self._create(what, given["records"])
        elif kind == "fill":
            self._fill(what, given["until"], given["record"])
        elif kind == "destroy_all":
            for mutation in what:
                self._graphql("/graphql", f"mutation{{{mutation}(filter:{{id:{{is:NOT_NULL}}}}){{id}}}}")
        elif kind == "learn":
            self._learn(what)
        elif kind == "key":
            self._make_key(what, given)
        elif kind == "advance_s":
            self.clock.sleep(what)
        elif kind == "upload":
            self._upload(what)
        elif kind == "admin":
            self.call("POST", f"/sandbox/{what}", given.get("body", {}))
        elif kind == "exhaust":
            for _ in range(what):  # 50 calls a second: the window of 60 seconds is spent, that of one second is not
                self.call("GET", "/rest/people?limit=0")
                self.clock.sleep(0.02)
        else:
            raise SetupError(f"unknown step {kind!r} in the plan")

    def _graphql(self, path: str, query: str) -> Json:
        return self.call("POST", path, {"query": query})["data"]

    def _create(self, plural: str, records: Json) -> None:
        listed = list(self._series(records)) if isinstance(records, dict) else records
        for at in range(0, len(listed), 200):
            self.call("POST", f"/rest/batch/{plural}", listed[at : at + 200])

    def _series(self, described: Json) -> Iterator[Json]:
        """Make `count` records of one pattern; `ids_of` gives them the ids that a recorded request names."""
        ids: list[str] = []
        if "ids_of" in described:
            number, *keys = described["ids_of"]
            found = completed(self.exchanges[number].body, str(number))
            for key in keys:
                found = found[key]
            ids = found
        pattern = json.dumps(described["record"])
        for index in range(described.get("count", len(ids))):
            record = json.loads(pattern.replace("{n}", f"{index:04d}"))
            yield {**record, "id": ids[index]} if ids else record

    def _fill(self, plural: str, until: int, record: Json) -> None:
        have = self.call("GET", f"/rest/{plural}?limit=0")["totalCount"]
        if have > until:
            raise SetupError(f"{have} {plural} already, {until} wanted")
        self._create(plural, {"count": until - have, "record": record})

    def object_ids(self) -> dict[str, Json]:
        """Read the workspace's objects by name: each with its id and its fields' ids."""
        query = "{objects(paging:{first:200}){edges{node{id nameSingular fieldsList{id name}}}}}"
        edges = self._graphql("/metadata", query)["objects"]["edges"]
        return {edge["node"]["nameSingular"]: edge["node"] for edge in edges}

    def _learn(self, what: Json) -> None:
        objects = self.object_ids()
        for recorded, name in (what.get("objects") or {}).items():
            self._must_learn(recorded, objects[name]["id"])
        for recorded, name in (what.get("fields") or {}).items():
            owner, _, field_name = name.partition(".")
            ids = {entry["name"]: entry["id"] for entry in objects[owner]["fieldsList"]}
            self._must_learn(recorded, ids[field_name])
        for recorded, path in (what.get("records") or {}).items():
            (records,) = self.call("GET", path)["data"].values()
            self._must_learn(recorded, records[0]["id"])

    def _upload(self, recorded: str) -> None:
        """Upload a small file and learn that its new name stands for the recorded one."""
        query = "mutation($file:Upload!){uploadFile(file:$file,fileFolder:Attachment){path}}"
        part = f"<file {recorded}, 70 bytes, image/png>"
        operations = {"query": query, "variables": {"file": None}}
        parts = {"operations": operations, "map": {"0": ["variables.file"]}, "0": part}
        answer = self._sent("POST", "/graphql", *multipart(parts, {part: file_bytes("png", 70)}))
        stored = answer["data"]["uploadFile"]["path"].rpartition("/")[2]
        self._must_learn(recorded.partition(".")[0], stored.partition(".")[0])

    def _must_learn(self, recorded: str, replayed: str) -> None:
        if not self.known.learn_uuid(recorded, replayed):
            raise SetupError(f"{recorded} stands for something else than {replayed}")

    def _make_key(self, label: str, given: Json) -> None:
        options: dict[str, Any] = {"role": given.get("role", "admin"), "name": given.get("name", label)}
        if given.get("expired"):
            options["expires_at"] = self.clock.now() - timedelta(days=1)
        if given.get("revoked"):
            options["revoked"] = True
        self.keys[label] = self.sandbox.make_key(**options)


def _more_members(count: int) -> list[dict[str, str]]:
    return [
        {
            "id": f"ffffffff-0000-4000-8000-{n:012d}",  # ids above those of the recorded members, who come first
            "firstName": "Extra",
            "lastName": f"Member {n}",
            "email": f"extra.member.{n}@example.com",
        }
        for n in range(count)
    ]
