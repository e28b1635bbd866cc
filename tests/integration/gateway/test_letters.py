"""Messages that nobody could act on, seen and settled over HTTP and on the page."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import httpx
import pytest
from stackferry import deadletters
from stackferry.bus import Outgoing, Publisher
from stackferry_cli.local.processes import until
from stackferry_cli.local.stack import Stack

from .asking import caller, problem
from .test_page import Read, read, send, visitor

pytestmark = pytest.mark.integration
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def parked(stack: Stack) -> Iterator[list[str]]:
    """Two messages that an importer could not act on, said by the coordinator; the second can't go back."""
    publisher, ids = Publisher(stack.uri("importer"), "tests"), [f"letter-{uuid.uuid4()}" for _ in range(2)]
    for id_, said_by in zip(ids, ("coordinator", "client"), strict=True):
        body = json.dumps({"id": id_, "type": HOSTILE, "data": {"migration": "0-1"}, "secret": "canary"}).encode()
        headers = {"x-sender": said_by, "x-reason": "failed", "x-error": f"{HOSTILE} no such flavor"}
        publisher.publish(Outgoing("stackferry.parked", "stackferry.importer.checks", body, id_, headers))
    publisher.close()
    known = {letter["id"]: letter["digest"] for letter in deadletters.browse(stack.uri("operator"))}
    yield [known[id_] for id_ in ids]
    deadletters.drop(stack.uri("operator"), lambda _: True)


def ids_of(http: httpx.Client) -> list[str]:
    return [one["id"] for one in http.get("/v1/dead-letters").json()["items"]]


def test_they_are_listed_put_back_and_dropped(http: httpx.Client, parked: list[str], stack: Stack) -> None:
    listed = http.get("/v1/dead-letters").json()
    assert "canary" not in json.dumps(listed), "what a message says may be anybody's"
    (first, _), number = [one for one in listed["items"] if one["id"] in parked], listed["number"]
    assert number >= 2
    assert (first["queue"], first["reason"], first["migration"]) == ("stackferry.importer.checks", "failed", "0-1")
    assert first["error"].endswith("no such flavor")
    settled = http.post("/v1/dead-letters/actions", json={"action": "retry", "ids": [*parked, "unknown"]}).json()
    assert settled["done"] == parked[:1]
    assert set(settled["stay"]) == set(parked[1:])
    assert settled["missing"] == ["unknown"]
    # the importer has it again, finds no message in it, and parks it anew
    assert until(lambda: set(ids_of(http)) >= set(parked), 30)
    dropped = http.post("/v1/dead-letters/actions", json={"action": "drop", "ids": parked}).json()
    assert dropped == {"done": sorted(parked), "stay": {}, "missing": []}
    assert not set(ids_of(http)) & set(parked)


def test_the_page_shows_them_to_nobody_who_is_limited(stack: Stack, parked: list[str]) -> None:
    shown = {}
    for person in ("root", "mover", "guest", "team", "other"):
        with visitor(stack, person) as client:
            shown[person] = "no such flavor" in client.get("/trouble").text
    assert shown == {"root": True, "mover": True, "guest": False, "team": False, "other": False}


def test_who_may_settle_them(stack: Stack, parked: list[str]) -> None:
    may = {"guest": (403, 403, 403), "mover": (200, 200, 403), "team": (403, 403, 403), "other": (403, 403, 403)}
    for person, statuses in may.items():
        with caller(stack, person) as http:
            asked = [http.get("/v1/dead-letters")]
            asked += [http.post("/v1/dead-letters/actions", json={"action": action, "ids": ["none"]})
                      for action in ("retry", "drop")]  # fmt: skip
            assert tuple(one.status_code for one in asked) == statuses, person
    with caller(stack, None) as http:
        assert http.get("/v1/dead-letters").status_code == 401


def test_the_page_tells_how_many_there_are_now(stack: Stack, http: httpx.Client, parked: list[str]) -> None:
    assert until(lambda: http.get("/v1/workers").json()["parked"], 60), "the coordinator looks twice a minute"
    deadletters.drop(stack.uri("operator"), lambda _: True)
    with visitor(stack, "root") as client:
        assert "that no service could act on" not in client.get("/trouble").text


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"action": "retry"}, "/ids"),
        ({"action": "retry", "ids": []}, "/ids"),
        ({"action": "retry", "ids": [""]}, "/ids/0"),
        ({"action": "burn", "ids": ["a"]}, "/action"),
        ({"action": "drop", "ids": ["a"], "all": True}, "/all"),
    ],
)
def test_what_makes_no_sense_is_named(http: httpx.Client, body: dict[str, object], pointer: str) -> None:
    found = problem(http.post("/v1/dead-letters/actions", json=body), 422)
    assert [one["pointer"] for one in found["errors"]] == [pointer]


def test_the_page_shows_why_and_asks_before_it_drops(stack: Stack, http: httpx.Client, parked: list[str]) -> None:
    with visitor(stack, "root") as client:
        page = read(client, "/trouble")
        assert "no such flavor" in page.text
        assert HOSTILE in page.text, "as text, and not as a tag"
        asked = send(client, {**page.form(id=parked[1]), "action": "drop"})
        assert asked.url.path == "/trouble/sure"
        assert parked[1] in ids_of(http), "it was only asked for"
        send(client, Read(asked.text).form(action="drop"))
        assert parked[1] not in ids_of(http)
        back = send(client, {**page.form(id=parked[0]), "action": "retry"})
        assert back.url.path == "/trouble"
        gone = send(client, {**page.form(id=parked[1]), "action": "retry"})
        assert "it isn't there any more" in Read(gone.text).text
        assert client.get("/trouble/sure", params={"id": parked[1]}).status_code == 404
        assert client.post("/trouble", data={"action": "drop", "id": parked[0], "sure": "yes"}).status_code == 403
    with visitor(stack, "mover") as client:
        assert until(lambda: parked[0] in ids_of(http), 30)
        page = read(client, "/trouble")
        assert "Put back" in page.text
        assert "Drop" not in page.text
