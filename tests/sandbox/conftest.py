"""A Twenty sandbox per test, and a small client that speaks to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from dentlib.sandbox.twenty.server import TwentySandbox


class Crm:
    """Talk to a sandbox as a loader does."""

    def __init__(self, url: str, key: str) -> None:
        self.http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=20)

    def rest(self, method: str, path: str, body: Any = None, status: int | None = None) -> Any:
        """One REST call; checks the status where one is given."""
        answer = self.http.request(method, f"/rest/{path}", json=body)
        if status is not None:
            assert answer.status_code == status, answer.text[:500]
        return answer.json()

    def graphql(self, query: str, path: str = "/graphql", **variables: Any) -> Any:
        """One GraphQL call; the whole answer."""
        return self.http.post(path, json={"query": query, "variables": variables}).json()

    def metadata(self, query: str, **variables: Any) -> Any:
        """One metadata call; its data, and no errors."""
        answer = self.graphql(query, "/metadata", **variables)
        assert "errors" not in answer, answer
        return answer["data"]

    def admin(self, what: str, **body: Any) -> Any:
        """One call of the sandbox's own admin endpoints."""
        return self.http.post(f"/sandbox/{what}", json=body).json()

    def settle(self) -> None:
        """Let the waiting side effects be written."""
        self.admin("settle")

    def object_id(self, name: str) -> str:
        """The metadata id of an object."""
        data = self.metadata("{objects(paging:{first:200}){edges{node{id nameSingular}}}}")
        return next(e["node"]["id"] for e in data["objects"]["edges"] if e["node"]["nameSingular"] == name)

    def new_object(self, singular: str, plural: str) -> str:
        """Create a custom object; its id."""
        given = {
            "nameSingular": singular,
            "namePlural": plural,
            "labelSingular": singular.title(),
            "labelPlural": plural.title(),
        }
        data = self.metadata("mutation($o:CreateOneObjectInput!){createOneObject(input:$o){id}}", o={"object": given})
        return str(data["createOneObject"]["id"])

    def new_field(self, object_id: str, kind: str, name: str, **extra: Any) -> str:
        """Create a field; its id."""
        given = {"objectMetadataId": object_id, "type": kind, "name": name, "label": name, **extra}
        data = self.metadata(
            "mutation($f:CreateOneFieldMetadataInput!){createOneField(input:$f){id}}", f={"field": given}
        )
        return str(data["createOneField"]["id"])


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[TwentySandbox]:
    """A fresh sandbox with its state in a file and limits off."""
    with TwentySandbox(tmp_path / "state.sqlite", limits="off", effects_delay_s=3600) as running:
        yield running


@pytest.fixture
def crm(sandbox: TwentySandbox) -> Iterator[Crm]:
    """A client with an admin key."""
    client = Crm(sandbox.url, sandbox.api_key)
    yield client
    client.http.close()


@pytest.fixture
def state_path(tmp_path: Path) -> Path:
    """Where the sandbox of this test keeps its state."""
    return tmp_path / "state.sqlite"


@pytest.fixture
def connect() -> Callable[..., Crm]:
    """Make a client of a sandbox: with its admin key, or another one."""
    return lambda sandbox, key=None: Crm(sandbox.url, key or sandbox.api_key)
