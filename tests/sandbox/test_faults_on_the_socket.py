"""Faults are played on the socket: lost and halved answers, doubled ones, refusals, in either order with the work."""

from __future__ import annotations

import socket
import time
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

CREATE = 'mutation{createPeople(data:[{jobTitle:"faulty"}]){id}}'
COUNT = '{people(filter:{jobTitle:{eq:"faulty"}},first:1){totalCount}}'


def _count(crm: Any) -> int:
    return int(crm.graphql(COUNT)["data"]["people"]["totalCount"])


@pytest.mark.parametrize(("kind", "written"), [("reset", 0), ("lost", 1), ("half", 1)])
def test_a_cut_connection_tells_nothing_about_the_write(crm: Any, kind: str, written: int) -> None:
    """The caller sees a broken connection each time; only the state tells whether the work was done."""
    crm.admin("faults", plan=[{"kind": kind, "match": "createPeople"}])
    with pytest.raises(httpx.TransportError):
        crm.graphql(CREATE)
    assert _count(crm) == written


@pytest.mark.parametrize(("kind", "status"), [("status", 502), ("limit", 200)])
def test_refusals_write_nothing(crm: Any, kind: str, status: int) -> None:
    """A gateway error and a rate refusal come before the work; GraphQL's refusal is an HTTP 200."""
    crm.admin("faults", plan=[{"kind": kind, "match": "createPeople"}])
    answer = crm.http.post("/graphql", json={"query": CREATE})
    assert answer.status_code == status
    assert _count(crm) == 0


def test_an_answer_delivered_twice_waits_on_the_connection(crm: Any) -> None:
    """The second copy lies in the socket, where a careless client takes it for its next answer."""
    crm.admin("faults", plan=[{"kind": "twice", "match": "createPeople"}])
    at = urlsplit(str(crm.http.base_url))
    body = ('{"query":"' + CREATE.replace('"', '\\"') + '"}').encode()
    head = f"POST /graphql HTTP/1.1\r\nHost: x\r\nAuthorization: {crm.http.headers['Authorization']}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection((at.hostname, at.port), timeout=5) as raw:
        raw.sendall(head.encode() + body)
        received = b""
        while received.count(b"HTTP/1.1 200") < 2 or received.count(b'"createPeople"') < 2:
            received += raw.recv(65536)
    assert received.count(b"HTTP/1.1 200") == 2
    assert received.count(b'"createPeople"') == 2
    assert _count(crm) == 1


def test_a_plan_counts_and_skips(crm: Any) -> None:
    """`skip` lets calls through first; `times` says how often; then all is well again."""
    crm.admin("faults", plan=[{"kind": "status", "match": "createPeople", "skip": 1, "times": 2, "status": 503}])
    statuses = [crm.http.post("/graphql", json={"query": CREATE}).status_code for _ in range(4)]
    assert statuses == [200, 503, 503, 200]
    assert _count(crm) == 2


def test_a_stalled_request_is_written_in_the_end(crm: Any) -> None:
    """The client gives up; the server does the work all the same."""
    crm.admin("faults", plan=[{"kind": "stall", "match": "createPeople", "seconds": 0.2}])
    with pytest.raises(httpx.ReadTimeout):
        crm.http.post("/graphql", json={"query": CREATE}, timeout=0.05)
    give_up = time.monotonic() + 10
    while _count(crm) == 0 and time.monotonic() < give_up:
        pass
    assert _count(crm) == 1


def test_an_unknown_fault_is_refused(crm: Any) -> None:
    """A plan with a typo must not pass for a plan without faults."""
    assert "unknown fault" in crm.admin("faults", plan=[{"kind": "rest"}])["messages"][0]
