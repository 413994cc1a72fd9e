"""What each kind of answer becomes: a value or one exception of the tree, and what is tried again."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable

import httpx
import pytest
from twenty_answers import (
    BAD_EMAIL,
    BAD_TOKEN,
    DUPLICATE,
    KEY,
    LIMIT,
    NO_RIGHT,
    RESERVED,
    STANDARD_FIELD,
    alias_of,
    client,
    failed,
    good,
)

from dentlib.clock import ManualClock
from dentlib.destinations.twenty import open_twenty
from dentlib.destinations.twenty.answers import own_words
from dentlib.destinations.twenty.client import Client, Operation
from dentlib.errors import (
    AccessDenied,
    DentlibError,
    InDoubt,
    RateLimited,
    Refused,
    Terminal,
    Transient,
    Unreachable,
    UsageError,
)

WRITE = Operation("createPeople", "(data:$d)", "{id}", {"d": ("[PersonCreateInput!]!", [])}, writes=True)
READ = Operation("people", "(first:1)", "{totalCount}")
Respond = Callable[[httpx.Request], httpx.Response]


def raising(error: type[Exception]) -> Respond:
    """Return a server that breaks in this way."""

    def respond(request: httpx.Request) -> httpx.Response:
        raise error("broken")

    return respond


def plain(status: int, text: str = "") -> Respond:
    """Return a server that answers in plain text."""
    return lambda request: httpx.Response(status, text=text)


def rest(status: int, message: str, **more: str) -> Respond:
    """Return a server that answers an error in the form of its REST side."""
    return lambda request: httpx.Response(status, json={"statusCode": status, "messages": [message], **more})


CASES: list[tuple[str, Respond, type[DentlibError], type[DentlibError]]] = [
    ("connection refused", raising(httpx.ConnectError), Unreachable, Unreachable),
    ("no connection in time", raising(httpx.ConnectTimeout), Unreachable, Unreachable),
    ("no answer in time", raising(httpx.ReadTimeout), InDoubt, Transient),
    ("reset", raising(httpx.ReadError), InDoubt, Transient),
    ("cut", raising(httpx.RemoteProtocolError), InDoubt, Transient),
    ("502 of a proxy", plain(502, "<html>Bad gateway</html>"), InDoubt, Transient),
    ("500 without words", rest(500, "Internal server error"), InDoubt, Transient),
    ("not JSON", plain(200, "<html>Welcome</html>" * 200), InDoubt, Transient),
    ("empty", plain(200), InDoubt, Transient),
    ("another's answer", lambda r: httpx.Response(200, json={"data": {"r_9": []}}), InDoubt, Transient),
    ("rate, GraphQL", lambda r: failed(r, LIMIT), RateLimited, RateLimited),
    ("rate, HTTP", rest(429, "Limit reached (100 tokens per 60000 ms)"), RateLimited, RateLimited),
    ("bad token", lambda r: failed(r, BAD_TOKEN, with_data=False), AccessDenied, AccessDenied),
    ("revoked", rest(403, "This API Key is revoked"), AccessDenied, AccessDenied),
    ("expired", rest(401, "Token has expired."), AccessDenied, AccessDenied),
    ("no right", lambda r: failed(r, NO_RIGHT), AccessDenied, AccessDenied),
    ("no right, REST", rest(400, "no permission", code="PERMISSION_DENIED"), AccessDenied, AccessDenied),
    ("duplicate", lambda r: failed(r, DUPLICATE), Refused, Refused),
    ("invalid", lambda r: failed(r, BAD_EMAIL), Refused, Refused),
    ("NUL or too long", rest(500, "Data validation error."), Refused, Refused),
    ("too large", plain(500, "request entity too large"), Refused, Refused),
    ("url too long", plain(431), Refused, Refused),
    ("redirect", lambda r: httpx.Response(301, headers={"location": "https://other.example/x"}), Terminal, Terminal),
]


@pytest.mark.parametrize(("name", "respond", "written", "read"), CASES, ids=[c[0] for c in CASES])
def test_every_answer_becomes_the_exception_that_decides_what_to_do(
    name: str, respond: Respond, written: type[DentlibError], read: type[DentlibError]
) -> None:
    """A write without a trustworthy answer is in doubt, a read is transient; the rest is the same for both."""
    for operation, expected in ((WRITE, written), (READ, read)):
        with pytest.raises(expected) as caught:
            client(respond).records(operation, "a call", "tag_1")
        assert type(caught.value) is expected


def test_a_refusal_carries_code_and_the_record_in_the_way() -> None:
    """The id of the record in the way is handed on."""
    with pytest.raises(Refused) as caught:
        client(lambda r: failed(r, DUPLICATE)).records(WRITE, "create", "t1")
    assert caught.value.conflicting_id == "08f056a0-8106-48d4-9cbe-f3a78a8e14a0"
    assert caught.value.code == "BAD_USER_INPUT"
    assert "A duplicate entry was detected" in caught.value.message


def test_a_failed_metadata_validation_says_the_cause_without_the_noise() -> None:
    """Of the server's lists only the messages on objects and fields are told, and the first code."""
    with pytest.raises(Refused) as caught:
        client(lambda r: failed(r, RESERVED)).metadata(WRITE, "make a field")
    assert caught.value.code == "INVALID_FIELD_INPUT"
    assert "This name is reserved." in caught.value.message
    assert "Field metadata not found" not in caught.value.message


def test_forbidden_with_a_reason_of_its_own_is_a_refusal() -> None:
    """A standard field can't be deleted with any key, so that is no lack of rights."""
    with pytest.raises(Refused) as caught:
        client(lambda r: failed(r, STANDARD_FIELD)).metadata(WRITE, "delete")
    assert caught.value.code == "FIELD_MUTATION_NOT_ALLOWED"


def test_a_server_error_on_metadata_is_final() -> None:
    """INTERNAL_SERVER_ERROR in a metadata answer is how the server refuses; it doesn't leave doubt."""
    error = {"message": "Could not find flat entity in maps", "extensions": {"code": "INTERNAL_SERVER_ERROR"}}
    with pytest.raises(Refused):
        client(lambda r: failed(r, error, with_data=False)).metadata(WRITE, "delete")
    with pytest.raises(InDoubt):
        client(lambda r: failed(r, error)).records(WRITE, "create", "t1")


def test_the_rate_is_waited_for_inside() -> None:
    """Three refusals and then a yes are one call that succeeds after back-offs; nothing was written in between."""
    answers = iter([LIMIT, LIMIT, LIMIT])
    clock = ManualClock()

    def respond(request: httpx.Request) -> httpx.Response:
        error = next(answers, None)
        return failed(request, error) if error else good(request, [])

    speaking = client(respond, clock)
    assert speaking.records(WRITE, "create", "t1") == []
    assert (speaking.stats.calls, speaking.stats.refused_for_rate, speaking.stats.retries) == (4, 3, 3)
    assert 1.8 < clock.elapsed_s < 3 * (0.6 + 0.06)


def test_a_limit_that_the_server_names_is_kept_from_then_on() -> None:
    """Configured without a limit, or with a wrong one, the pace follows the server after its first refusal."""
    refusal = LIMIT | {"message": "Limit reached (50 tokens per 60000 ms)"}
    answers = iter([refusal])
    clock = ManualClock()

    def respond(request: httpx.Request) -> httpx.Response:
        error = next(answers, None)
        return failed(request, error) if error else good(request, {"totalCount": 1})

    speaking = client(respond, clock)
    for _ in range(11):
        speaking.records(READ, "count")
    assert speaking.pace.calls_per_minute == 50
    assert clock.elapsed_s >= 11 * 1.2


def test_a_write_in_doubt_is_sent_once() -> None:
    """What may have been written is never sent again by the client."""
    seen: list[str] = []

    def respond(request: httpx.Request) -> httpx.Response:
        seen.append(alias_of(request))
        raise httpx.ReadTimeout("slow")

    with pytest.raises(InDoubt):
        client(respond).records(WRITE, "create", "t1")
    assert seen == ["r_t1"]


def test_a_read_is_tried_again() -> None:
    """Two failures in between don't stop a read."""
    tries = iter([httpx.ReadError("reset"), httpx.ReadTimeout("slow")])

    def respond(request: httpx.Request) -> httpx.Response:
        error = next(tries, None)
        if error:
            raise error
        return good(request, {"totalCount": 3})

    assert client(respond).records(READ, "count")["totalCount"] == 3


def test_a_url_where_nobody_answers_is_told_soon() -> None:
    """Before anything answered, three tries and under two seconds; the message names the host, not the key."""
    clock = ManualClock()
    with pytest.raises(Unreachable) as caught:
        client(raising(httpx.ConnectError), clock).metadata(READ, "open the workspace")
    assert clock.elapsed_s < 2
    assert "crm.example.test" in str(caught.value)


def test_an_error_without_our_tag_is_believed_only_on_a_new_connection() -> None:
    """It may answer an earlier request: the write is sent again on a new connection, and then it is believed."""
    seen: list[str] = []

    def respond(request: httpx.Request) -> httpx.Response:
        seen.append(alias_of(request))
        return failed(request, BAD_EMAIL, with_data=False) if len(seen) == 1 else good(request, [])

    assert client(respond).records(WRITE, "create", "t1") == []
    assert seen == ["r_t1", "r_t1"]


def test_every_read_has_a_tag_of_its_own() -> None:
    """No two requests share an alias, so an answer delivered twice is recognised."""
    seen: list[str] = []

    def respond(request: httpx.Request) -> httpx.Response:
        seen.append(alias_of(request))
        return good(request, 1)

    speaking = client(respond)
    for _ in range(5):
        speaking.records(READ, "count")
    assert len(set(seen)) == 5


def test_the_key_is_nowhere_to_be_seen(caplog: pytest.LogCaptureFixture) -> None:
    """Neither repr, message, traceback nor log holds the key or the token of a signed url."""
    speaking = client(raising(httpx.ReadError))
    with caplog.at_level(logging.DEBUG), pytest.raises(Transient) as caught:
        speaking.records(READ, "count")
    told = "".join(traceback.format_exception(caught.value)) + repr(speaking) + caplog.text
    opened = open_twenty("http://crm.example.test", KEY, clock=ManualClock(), calls_per_minute=None)
    assert KEY not in told + repr(opened) + repr(vars(speaking))
    quiet = client(lambda r: httpx.Response(200, content=b"x"))
    with caplog.at_level(logging.INFO):
        quiet.bytes_of(httpx.Request("GET", "http://files.example.test/a.pdf?token=abc.def"), "fetch", writes=False)
    assert "files.example.test" in caplog.text
    assert "abc.def" not in caplog.text


def test_the_key_does_not_go_to_signed_urls() -> None:
    """A file's url has a token of its own, and may be on another host."""
    seen: list[httpx.Request] = []

    def respond(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, content=b"x")

    client(respond).bytes_of(httpx.Request("GET", "http://files.example.test/a?token=t"), "fetch", writes=False)
    assert "authorization" not in seen[0].headers


@pytest.mark.parametrize("url", ["", "crm.example.com", "ftp://x", "https://me:pw@crm.example.com", "https://x/?key=1"])
def test_a_url_that_cannot_be_right_is_refused_at_once(url: str) -> None:
    """Before any connection, without repeating what may be a secret."""
    with pytest.raises(UsageError) as caught:
        open_twenty(url, KEY, clock=ManualClock(), calls_per_minute=100)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("key", ["", "  ", "a\nb", "schlüssel"])
def test_a_key_that_cannot_be_right_is_refused_at_once(key: str) -> None:
    """Empty, broken over lines or with letters that no header takes."""
    with pytest.raises(UsageError):
        open_twenty("https://x.example", key, clock=ManualClock(), calls_per_minute=100)


SAID = [
    ("Invalid string value 'ana.o'neil@x' for email field \"emails.primaryEmail\"", "neil", "emails.primaryEmail"),
    ("Provided phone number is invalid call me 415-555-2671", "2671", "Provided phone number is invalid"),
    ("Invalid value '31/12/1980' for date-time field \"closeDate\". Expected format: 'YYYY'", "1980", "closeDate"),
    ('Value "abc123" is not a valid UUID', "abc123", "is not a valid UUID"),
    ("Expected 1 record to connect to company, but found 0 for name = Doe Dental", "Doe", "found 0 for"),
    ("Multiple records found with the same unique values for emails (emails.primaryEmail: a@b.c).", "a@b.c", "emails"),
    ("Invalid string value 'ask for field Smith for field x' for email field \"e\"", "Smith", 'for email field "e"'),
    ("Invalid country code USA", "USA", "Invalid country code"),
    ("Token eyJ bearer abc.def.ghi", "abc.def", "Token"),
]


@pytest.mark.parametrize(("message", "hidden", "kept"), SAID)
def test_the_servers_words_are_kept_without_the_values(message: str, hidden: str, kept: str) -> None:
    """Where the server repeats what was sent, only its shape is told."""
    words = own_words(message)
    assert hidden not in words
    assert kept in words


def test_options_are_still_named() -> None:
    """The list of valid options is no patient's value."""
    words = own_words('Invalid value "NOT_A_STAGE" for field "stage". Valid values are: NEW, SCREENING')
    assert "Valid values are: NEW, SCREENING" in words


def test_closing_twice_is_fine() -> None:
    """Close is idempotent."""
    speaking: Client = client(lambda r: good(r, 1))
    speaking.close()
    speaking.close()
