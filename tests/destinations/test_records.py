"""Records against a scripted server: what is asked, and what of the answer is believed."""

from __future__ import annotations

from typing import Any

import httpx
import orjson
import pytest
from twenty_answers import OBJECTS, destination, failed, good, page

from dentlib.clock import ManualClock
from dentlib.destinations import open_destination
from dentlib.destinations.twenty.describe import Catalog
from dentlib.errors import InDoubt, Refused, Transient, UsageError

A, B = "11111111-1111-4111-8111-000000000001", "11111111-1111-4111-8111-000000000002"


class Server:
    """Answers the data model, and `answer` for everything else; keeps what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = orjson.loads(request.content)
        if "objects(" in body["query"]:
            return good(request, page(OBJECTS))
        self.asked.append(body)
        return good(request, self.answers.pop(0))


def test_a_create_names_its_types_and_asks_for_ids_only() -> None:
    """One root field with the tag, the plural's verb and the singular's input type."""
    server = Server([{"id": A}, {"id": B}])
    destination(server).create("person", [{"id": A}, {"id": B}], "run1_7")
    assert server.asked[0]["query"] == "mutation($d:[PersonCreateInput!]!){r_run1_7:createPeople(data:$d){id}}"
    assert server.asked[0]["variables"] == {"d": [{"id": A}, {"id": B}]}


@pytest.mark.parametrize("answer", [[{"id": A}], [{"id": A}, {"id": A}], [], None, [{"id": A}, {"id": B}, {"id": "c"}]])
def test_a_create_counts_only_if_all_ids_came_back(answer: Any) -> None:
    """Fewer, other or more ids leave the batch in doubt."""
    with pytest.raises(InDoubt):
        destination(Server(answer)).create("person", [{"id": A}, {"id": B}], "t")


def test_an_update_counts_only_for_its_own_record() -> None:
    """An answer about another record leaves the update in doubt."""
    with pytest.raises(InDoubt):
        destination(Server({"id": B})).update("person", A, {"jobTitle": "x"}, "t")


def test_a_record_is_read_in_the_form_in_which_it_is_written() -> None:
    """Relations as their id, composites in parts, derived and inactive fields left out."""
    server = Server(page([]), page([]), page([]))
    twenty = destination(server)
    twenty.read("person", [A])
    query = server.asked[0]["query"]
    assert "companyId" in query
    assert "emails{primaryEmail additionalEmails}" in query
    for left_out in ("searchVector", "updatedBy", "taskTargets"):
        assert left_out not in query
    twenty.read("taskTarget", [A])
    assert "taskId targetCompanyId targetPersonId" in server.asked[1]["query"]
    twenty.read("opportunity", [A])
    assert "oldField" not in server.asked[2]["query"]


def test_money_that_comes_as_text_is_a_number() -> None:
    """Micros are whole numbers, however the server spells them."""
    row = {"id": A, "amount": {"amountMicros": "1234560000", "currencyCode": "USD"}}
    read = destination(Server(page([row]))).read("opportunity", [A])
    assert read[A]["amount"]["amountMicros"] == 1_234_560_000


def test_soft_deleted_records_are_read_only_when_asked_for() -> None:
    """Asking for both states spells them out."""
    server = Server(page([]), page([]))
    twenty = destination(server)
    twenty.read("person", [A])
    twenty.read("person", [A], deleted=True)
    assert server.asked[0]["variables"]["f"] == {"id": {"in": [A]}}
    assert server.asked[1]["variables"]["f"]["and"][1]["or"][1] == {"deletedAt": {"is": "NOT_NULL"}}


def test_a_scan_follows_the_cursor_in_id_order() -> None:
    """Each page asks after the last; records that only look like the prefix are left out."""
    first = page([{"id": A, "sourceSystemId": "a_b:1"}, {"id": B, "sourceSystemId": "axb:1"}], cursor="c1")
    server = Server(first, page([{"id": "c", "sourceSystemId": "a_b:2"}]))
    rows = list(destination(server).scan("person", source_prefix="a_b:"))
    assert [r["id"] for r in rows] == [A, "c"]
    assert [q["variables"].get("a") for q in server.asked] == [None, "c1"]
    assert server.asked[0]["variables"]["o"] == [{"id": "AscNullsFirst"}]


def test_a_server_that_repeats_a_page_does_not_hang_us() -> None:
    """The same cursor twice ends the reading with an error."""
    again = page([{"id": A}], cursor="c1")
    with pytest.raises(Transient):
        list(destination(Server(again, again)).scan("person"))


def test_counting_costs_one_call_and_takes_no_wildcards() -> None:
    """`_` would stand for any letter; `like` is what all versions understand alike."""
    server = Server(page([{"id": A}]) | {"totalCount": 7}, page([]) | {"totalCount": 0})
    twenty = destination(server)
    assert twenty.count("person", source_prefix="patient:") == 7
    assert twenty.count("person", source_prefix="a_b%:") == 0
    assert [q["variables"]["f"]["sourceSystemId"]["like"] for q in server.asked] == ["patient:%", r"a\_b\%:%"]


def test_destroying_goes_in_parts_and_what_is_gone_is_fine() -> None:
    """At most 200 ids a call, and fewer ids in the answer are no error."""
    ids = [f"11111111-1111-4111-8111-{n:012d}" for n in range(450)]
    server = Server([], [{"id": ids[200]}], [])
    destination(server).destroy("person", ids, "t")
    assert [len(q["variables"]["f"]["and"][0]["id"]["in"]) for q in server.asked] == [200, 200, 50]


def test_destroying_something_else_is_in_doubt() -> None:
    """An answer with an id that was not sent is not believed."""
    with pytest.raises(InDoubt):
        destination(Server([{"id": B}])).destroy("person", [A], "t")


def test_an_object_that_is_not_there_is_refused_with_the_way_out() -> None:
    """The message says to apply the schema plan."""
    with pytest.raises(Refused) as caught:
        destination(Server()).count("insuranceClaim")
    assert caught.value.code == "UNKNOWN_OBJECT"
    assert "schema plan" in str(caught.value)


def test_links_are_probed_not_known_from_a_version() -> None:
    """Where a task is linked by targetPersonId, the prefix is `target`."""
    assert destination(Server()).capabilities.link_prefix == "target"


def test_the_description_names_columns_options_and_targets() -> None:
    """Relations tell the names they are written under, lists on the other side have none."""
    person = destination(Server()).describe().objects["person"]
    assert person.fields["company"].columns == ("companyId",)
    assert person.fields["company"].target == "company"
    assert person.fields["taskTargets"].columns == ()
    assert person.fields["emails"].unique


def test_a_field_just_made_is_known_without_reading_again() -> None:
    """The catalog takes in what the server answered."""
    catalog = Catalog(destination(Server())._client)
    catalog.shape("task")
    made = {**OBJECTS[3]["fieldsList"][-1], "name": "startsAt", "type": "DATE_TIME"}
    catalog.add_field("task", made)
    assert "startsAt" in catalog.shape("task").selection


def test_only_known_destinations_open() -> None:
    """An unknown name lists the known ones."""
    with pytest.raises(UsageError) as caught:
        open_destination("zebra", "http://x.example", "k", clock=ManualClock(), calls_per_minute=None)
    assert "twenty" in str(caught.value)
    assert open_destination("twenty", "http://x.example", "k", clock=ManualClock(), calls_per_minute=1).name == "twenty"


def test_a_server_that_takes_fewer_records_a_call_is_believed() -> None:
    """The number in its refusal is the batch from then on; nothing of the refused batch was written."""

    def refuse(request: httpx.Request) -> httpx.Response:
        if b"objects" in request.content:
            return Server()(request)
        return failed(request, {"message": "Maximum number of records to upsert is 60.", "extensions": {"code": "X"}})

    twenty = destination(refuse)
    assert twenty.capabilities.batch_rows == 200
    with pytest.raises(Refused):
        twenty.create("person", [{"id": A}], "t")
    assert twenty.capabilities.batch_rows == 60
