"""Events as they are told: in order, none twice, none missing, to those who may hear them."""

from __future__ import annotations

import hashlib

import httpx
import pytest
import yaml
from stackferry.bus import connect
from stackferry_cli.local.processes import until
from stackferry_cli.local.stack import Stack

from .asking import RATE, answers, caller, imported, made, phase, problem, token
from .listening import Listener, phases

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("whose", ["/v1/events", "/v1/migrations/{migration}/events"])
def test_events_come_as_they_are_told_numbered_and_in_order(stack: Stack, http: httpx.Client, whose: str) -> None:
    migration = imported(http, 3, mode="plan", labels={"told": "yes"})
    with Listener(stack, whose.format(migration=migration)) as listener:
        assert until(lambda: phase(http, migration) == "planned", 120)
        http.post(f"/v1/migrations/{migration}/actions", json={"action": "retry"})
        assert until(
            lambda: phases(listener, migration)[-1:] == ["planned"] and len(phases(listener, migration)) > 1, 60
        )
    assert listener.numbers == sorted(set(listener.numbers))
    for event in listener.of(migration):
        assert event["data"]["specversion"] == "1.0"
        assert event["data"]["type"] == f"stackferry.{event['event']}.v1"
        assert event["data"]["data"]["labels"] == {"told": "yes"}
    assert {"step-ended", "migration-changed"} <= {event["event"] for event in listener.of(migration)}


def test_who_was_away_goes_on_where_it_was(stack: Stack, http: httpx.Client) -> None:
    first = imported(http, 2, mode="plan")
    assert until(lambda: phase(http, first) == "planned", 120)
    with Listener(stack, "/v1/events?after=-1") as everything:
        assert until(lambda: phases(everything, first)[-1:] == ["planned"], 30)
    middle = everything.numbers[len(everything.numbers) // 2]
    second = imported(http, 2, mode="plan")
    assert until(lambda: phase(http, second) == "planned", 120)
    with Listener(stack, Last_Event_ID=middle) as later:
        assert until(lambda: phases(later, second)[-1:] == ["planned"], 30)
    after = [number for number in everything.numbers if number > middle]
    assert later.numbers[: len(after)] == after
    assert later.numbers == list(range(middle + 1, later.numbers[-1] + 1)), "none is missing"
    with Listener(stack, Last_Event_ID=10**9) as ahead:  # of a stream that was deleted since
        assert until(lambda: bool(ahead.events), 30)
    assert ahead.events[0]["event"] == "reset"


def test_who_may_see_little_hears_little(stack: Stack, http: httpx.Client) -> None:
    with caller(stack, "team") as team, Listener(stack, person="team") as few, Listener(stack, person="other") as none:
        mine, plain = made(team), made(http)
        with Listener(stack, "/v1/events?after=-1") as everything:
            for migration in (mine, plain):
                assert until(lambda m=migration: len(phases(everything, m)) >= 2, 60)
        assert until(lambda: len(phases(few, mine)) >= 2, 60)
        assert {event["data"]["subject"] for event in few.events} == {mine}
        assert none.events == []


@pytest.mark.parametrize("query", ["after=x", "after=-2", "colour=red", "progress=perhaps"])
def test_a_stream_that_makes_no_sense(http: httpx.Client, query: str) -> None:
    problem(http.get(f"/v1/events?{query}"), 422)


def test_a_stream_ends_with_its_token(stack: Stack, http: httpx.Client) -> None:
    before = stack.gateway.tokens_file.read_text()
    known = yaml.safe_load(before)
    about = {"name": "brief", "role": "viewer", "sha256": hashlib.sha256(token("brief").encode()).hexdigest()}
    try:
        stack.gateway.tokens_file.write_text(yaml.safe_dump({"tokens": [*known["tokens"], about]}))
        with Listener(stack, person="brief") as listener:
            migration = made(http)
            assert until(lambda: bool(listener.of(migration)), 30)
            stack.gateway.tokens_file.write_text(before)
            assert until(lambda: listener.is_lost, 30)
    finally:
        stack.gateway.tokens_file.write_text(before)


def test_the_gateway_is_killed_and_nobody_misses_anything(stack: Stack, http: httpx.Client) -> None:
    """A listener that comes back with the last number it heard has every event, once and in order."""
    heard: list[int] = []
    with Listener(stack) as listener:
        migration = imported(http, 3, mode="plan")
        assert until(lambda: bool(listener.numbers), 60)
        stack.process("gateway").stop(timeout=0)
        assert until(lambda: listener.is_lost, 20)
        heard += listener.numbers
    stack.up({"gateway": 1}, RATE)
    with caller(stack, "root") as back:
        assert until(lambda: answers(back), 30)
        assert until(lambda: phase(back, migration) == "planned", 120)
        later = imported(back, 2, mode="plan")
        with Listener(stack, Last_Event_ID=heard[-1]) as again:
            assert until(lambda: phases(again, later)[-1:] == ["planned"], 30)
            heard += again.numbers
    assert heard == list(range(heard[0], heard[-1] + 1))


def test_a_history_that_was_deleted_begins_anew(stack: Stack, http: httpx.Client) -> None:
    first = imported(http, 2, mode="plan")
    with Listener(stack, "/v1/events?after=-1") as listener:
        assert until(lambda: phases(listener, first)[-1:] == ["planned"], 60)
        with connect(stack.node.uri("admin"), "tests") as admin, admin.channel() as channel:
            channel.queue_delete("stackferry.history")
        assert until(lambda: not answers(http), 30)
        assert until(lambda: answers(http), 90), "the coordinator makes it anew, and the gateway finds it"
        second = imported(http, 1, mode="plan")
        assert until(lambda: phases(listener, second)[-1:] == ["planned"], 60)
    assert [event["event"] for event in listener.events].count("reset") == 1
    with Listener(stack, "/v1/events?after=-1") as later:
        assert until(lambda: phases(later, second)[-1:] == ["planned"], 30)
    assert not later.of(first)
