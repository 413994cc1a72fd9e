"""Play the scenes of a plan: send the recorded requests in their order and judge the answers."""

from __future__ import annotations

import base64
import copy
import http.client
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from replaying.comparison import Comparison, Difference, Reply, same_shape
from replaying.correspondence import on_every_string
from replaying.exchanges import Exchange, Json, completed
from replaying.openapi import outline_differences
from replaying.plan import Plan, Scene, numbers
from replaying.transport import FILE, RAW_BYTES, Connection, file_bytes, multipart
from replaying.workspace import SetupError, Workspace

SHARED_KEY = re.compile(r"<same key in all[^>]*>")
Judge = Callable[[Reply], list[Difference]]
Control = Callable[[Exchange, Reply, Judge], "Corruption | None"]
InTransit = Callable[[Exchange, Reply], Reply]


@dataclass(frozen=True)
class Corruption:
    """One field of one answer, changed on its way, and whether the comparison noticed."""

    what: str
    noticed: bool


@dataclass(frozen=True)
class Verdict:
    """What became of one exchange."""

    exchange: Exchange
    differences: list[Difference]
    corruption: Corruption | None = None


@dataclass
class Session:
    """One scene being played against one sandbox of its own."""

    plan: Plan
    scene: Scene
    exchanges: dict[int, Exchange]
    in_transit: InTransit | None = None
    control: Control | None = None

    def play(self) -> Iterator[Verdict]:
        """Start a sandbox, take every step and yield a verdict per recorded exchange; stops the sandbox at the end."""
        with (
            tempfile.TemporaryDirectory() as folder,
            Workspace(self.scene, self.exchanges, Path(folder), self.plan.version) as self.workspace,
        ):
            self.comparison = Comparison(
                self.workspace.known, self.plan.rules, self.workspace.sandbox.url, self.plan.recorded_at
            )
            for step in self.scene.steps:
                if "replay" not in step:
                    self.workspace.take(step)
                    continue
                for number in numbers(step["replay"]):
                    if number not in self.plan.out_of_scope:
                        yield self._replayed(self.exchanges[number])

    def _replayed(self, exchange: Exchange) -> Verdict:
        options = self.plan.options.get(exchange.number, {})
        if "race" in options:
            return self._raced(exchange, options["race"])
        try:
            reply = self.workspace.connection.send(*self._request(exchange, options))
        except (OSError, http.client.HTTPException) as error:
            self.workspace.connection.close()
            return Verdict(exchange, [Difference("connection", "an answer", repr(error), "no answer")])
        if self.in_transit is not None:
            reply = self.in_transit(exchange, reply)
        self.workspace.signatures.note(reply.body)
        corruption = None
        if self.control is not None:
            mark = self.workspace.known.mark()
            corruption = self.control(exchange, reply, lambda other: self._judged(exchange, options, other))
            self.workspace.known.rollback(mark)
        return Verdict(exchange, self._judged(exchange, options, reply), corruption)

    def _request(self, exchange: Exchange, options: Json) -> tuple[str, str, dict[str, str], bytes | None]:
        recorded = completed(exchange.body, str(exchange.number))
        path = exchange.path
        if "ids_in_path" in options:
            start = ["11111111-1111-4111-8111-000000000001"] * 2
            ids = completed([*start, f"<{options['ids_in_path'] - 2} more items not kept>"], exchange.name)
            path = "/rest/people?filter=id[in]:[" + ",".join(f'"{one}"' for one in ids) + "]"
        known = self.workspace.known
        known.own(path + json.dumps(recorded))
        signed = self.workspace.signatures.signed
        path = signed(known.translated(path.replace("<token>", self.workspace.keys["loader"])))
        headers = {**exchange.headers, **self._authorization(options.get("key", "loader"))}
        if recorded is None:
            return exchange.method, path, headers, None
        if isinstance(recorded, str):
            raw = RAW_BYTES.match(recorded)
            body = file_bytes("pdf", 125)[: int(raw[1])] if raw else recorded.encode()
            return exchange.method, path, headers, body
        sent: Json = on_every_string(recorded, lambda text: signed(known.translated(text)))
        if isinstance(sent, dict) and "multipart parts" in sent:
            parts = sent["multipart parts"]
            content = {part: _file(part, options) for part in parts.values() if isinstance(part, str)}
            body, headers["Content-Type"] = multipart(parts, content)
            return exchange.method, path, headers, body
        return exchange.method, path, headers, json.dumps(sent, ensure_ascii=False).encode()

    def _authorization(self, key: str) -> dict[str, str]:
        if key == "none":
            return {}
        if key == "not a JWT":
            return {"Authorization": "Bearer this-is-not-a-token"}
        if key == "wrong signature":
            head, _, signature = self.workspace.keys["loader"].rpartition(".")
            return {"Authorization": f"Bearer {head}.{signature[::-1]}"}
        return {"Authorization": f"Bearer {self.workspace.keys[key]}"}

    def _judged(self, exchange: Exchange, options: Json, reply: Reply) -> list[Difference]:
        if "download" in options:
            wanted = file_bytes(*options["download"])
            if reply.status == exchange.status and reply.body == wanted:
                return []
            return [Difference("body", f"{len(wanted)} bytes", f"status {reply.status}", "another file")]
        if "openapi" in options:
            outlines = self.plan.contracts / f"openapi-{self.plan.version}.json.gz"
            found = outline_differences(outlines, options["openapi"], reply.body)
            if reply.status != exchange.status:
                found.append(Difference("status", exchange.status, reply.status, "another status"))
            if not found and isinstance(exchange.answer, dict):
                found += self.comparison.compared(exchange.answer["servers"], reply.body.get("servers"), "body.servers")
            return found
        if "picks" in options:
            return self._judged_pick(exchange, options["picks"], reply)
        return self.comparison.differences(exchange, reply)

    def _judged_pick(self, exchange: Exchange, picks: Json, reply: Reply) -> list[Difference]:
        """Judge a page whose records are drawn by their random ids.

        The list has the recorded shape and is in the order of ids, and each drawn record is what reading it by its id
        gives (`by_id`); the rest of the answer is compared as ever; the recorded record's values are compared with the
        same record read by what identifies it (`read`).
        """
        recorded, replayed = copy.deepcopy(exchange.answer), copy.deepcopy(reply.body)
        page, drawn = _taken(recorded, picks["list"]), _taken(replayed, picks["list"])
        found = []
        if drawn is None or not (same_shape(page, drawn) if picks.get("shape", True) else len(page) == len(drawn)):
            found.append(Difference("body", page, drawn, "another shape"))
        else:
            ids = [item.get("node", item).get("id", "") for item in drawn]
            order = picks.get("order", "ascending")
            if order != "none" and ids != sorted(ids, reverse=order == "descending"):
                found.append(Difference("body", "items in the order of their ids", ids[:4], "another order"))
            found += _wrong_cursors(replayed, [str(one) for one in ids])
        for body in (recorded, replayed):
            _blind_cursors(body)
        blinded = Exchange(**{**vars(exchange), "answer": recorded})
        found += self.comparison.differences(blinded, Reply(reply.status, reply.media_type, replayed))
        if found:
            return found
        for item in drawn if "by_id" in picks else []:
            item = item.get("node", item)
            found += self._judged_by_id(item, picks["by_id"])
        if "names_of_objects" in picks:
            names = self.workspace.object_ids().keys()
            unknown = [item for item in drawn if item["node"]["nameSingular"] not in names]
            found += [Difference("body", "the name of an object", unknown, "no such object")] if unknown else []
        if "read" in picks and not found:
            try:
                same = self._read(picks["read"], picks.get("read_at", [*picks["list"], 0]))
            except (SetupError, LookupError) as error:
                return [Difference("body", page[0], str(error), "the same record can't be read")]
            found += self.comparison.compared(page[0], same, "body.the same record")
        return found

    def _read(self, path: str, at: list[Json]) -> Json:
        value = self.workspace.call("GET", path)
        for key in at:
            value = value[key]
        return value

    def _judged_by_id(self, item: Json, by_id: Json) -> list[Difference]:
        try:
            record = self._read(by_id["path"].replace("ID", str(item["id"])), by_id.get("at", []))
        except (SetupError, LookupError) as error:
            return [Difference("body", item, str(error), "a drawn record can't be read by its id")]
        same = {key: record.get(key) for key in item}
        return [] if same == item else [Difference("body", same, item, "not what reading it by its id gives")]

    def _raced(self, exchange: Exchange, callers: int) -> Verdict:
        """Send the recorded call `callers` times at once: one record, and each answer one of the recorded kinds."""
        url, key = self.workspace.sandbox.url, self.workspace.keys["loader"]

        def one(title: str) -> Reply:
            body = json.loads(SHARED_KEY.sub(f"race-{exchange.number}", json.dumps(exchange.body)))
            body["variables"]["d"][0]["jobTitle"] = title
            headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
            connection = Connection(url)
            try:
                return connection.send("POST", exchange.path, headers, json.dumps(body).encode())
            finally:
                connection.close()

        with ThreadPoolExecutor(callers) as pool:
            replies = list(pool.map(one, map(str, range(callers))))
        refused = next(answer for answer in exchange.answer if "errors" in answer)
        written = [reply.body for reply in replies if "errors" not in reply.body]
        differences = []
        if len({answer["data"]["createPeople"][0]["id"] for answer in written}) != 1:
            differences.append(Difference("body", "one record", written, "another number of records"))
        for reply in replies:
            if "errors" in reply.body:
                differences += self.comparison.compared(refused, reply.body)
            elif not same_shape({"createPeople": [{"id": "", "jobTitle": ""}]}, reply.body["data"]):
                differences.append(Difference("body", "an id and a title", reply.body, "another shape"))
        return Verdict(exchange, differences)


def _file(part: str, options: Json) -> bytes:
    described = FILE.match(part)
    if described is None:
        raise ValueError(f"not a recorded file: {part}")
    return file_bytes(options.get("file", described[1].rpartition(".")[2]), int(described[2]))


def _taken(body: Json, keys: list[str]) -> Json:
    """Take the value at `keys` out of a body, leaving an empty list in its place; None when it isn't there."""
    for key in keys[:-1]:
        if not isinstance(body, dict) or key not in body:
            return None
        body = body[key]
    if not isinstance(body, dict) or keys[-1] not in body:
        return None
    value, body[keys[-1]] = body[keys[-1]], []
    return value


def _wrong_cursors(body: Json, ids: list[str]) -> list[Difference]:
    """Compare the cursors of a page with the ids that it begins and ends with."""
    page: Json = {}
    for holder in [body, *body.get("data", {}).values()] if isinstance(body.get("data"), dict) else [body]:
        page = (holder.get("pageInfo") if isinstance(holder, dict) else None) or page
    ends = [("startCursor", ids[:1]), ("endCursor", ids[-1:])]
    return [
        Difference(f"body.pageInfo.{key}", wanted, page[key], "not the cursor of that item")
        for key, wanted in ends
        if isinstance(page.get(key), str) and wanted and not _points_at(page[key], wanted[0])
    ]


def _points_at(cursor: str, item_id: str) -> bool:
    if cursor == item_id:
        return True
    try:
        text = base64.b64decode(cursor, validate=True).decode()
    except ValueError:
        return False
    return item_id in text or text.startswith("arrayconnection:")


def _blind_cursors(body: Json) -> None:
    for key, value in list(body.items()) if isinstance(body, dict) else []:
        if key in ("startCursor", "endCursor") and isinstance(value, str):
            body[key] = "(a cursor)"
        else:
            _blind_cursors(value)
