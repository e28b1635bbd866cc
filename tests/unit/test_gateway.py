"""The gateway's own mechanisms, without a broker: what is at hand, how fast and how many, who takes nothing."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from stackferry.errors import BrokerUnavailable
from stackferry.messages import StepEnded
from stackferry_gateway import events, people
from stackferry_gateway.history import BATCH, History, Told
from stackferry_gateway.people import Crowd, Rate
from stackferry_gateway.problems import Problem


def told(number: int, size: int = 10) -> Told:
    return Told(number, "a.b.m.step-ended", "step-ended", "m", "s", {}, b"x" * size)


EVENT = StepEnded.make("tests", {"migration": str(uuid.uuid4()), "step": "s", "attempt": 1, "outcome": "done"})


def history(*numbers: int, kept: int = 1 << 20) -> History:
    found = History("amqp://nobody@127.0.0.1:9//", kept)
    for number in numbers:
        found._keep(told(number), EVENT)
    return found


def numbers(batch: Any) -> list[int]:
    return [one.number for one in batch.events]


def test_what_is_at_hand_is_told_from_there_on() -> None:
    found = history(5, 6, 7)
    assert numbers(found.since(4)) == [5, 6, 7]
    assert numbers(found.since(6)) == [7]
    assert (found.since(7).events, found.since(7).gap, found.position) == ([], False, 7)  # type: ignore[union-attr]


def test_what_is_older_is_not_at_hand_and_what_never_was_is_of_another_stream() -> None:
    found = history(5, 6, 7)
    assert found.since(3) is None
    ahead = found.since(9)
    assert ahead is not None
    assert (ahead.gap, ahead.position) == (True, 7)


def test_a_hole_is_never_told_as_if_there_were_none() -> None:
    found = history(1, 2, 10)
    assert found.since(2) is None
    assert numbers(found.since(9)) == [10]


def test_nothing_is_kept_twice_and_of_too_much_the_oldest_go() -> None:
    found = history(1, 2, 2, 1, 3)
    assert numbers(found.since(0)) == [1, 2, 3]
    few = history(*range(1, 100), kept=1500)
    assert few.since(90) is None
    assert numbers(few.since(97)) == [98, 99]


def test_so_much_is_told_at_once() -> None:
    found = history()
    for number in range(1, 8):
        found._keep(told(number, BATCH // 2), EVENT)
    assert numbers(found.since(0)) == [1, 2]
    assert numbers(found.since(2)) == [3, 4]


def test_older_events_are_read_up_to_what_is_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    found = history(7, 8)
    chunk = iter([told(number) for number in range(2, 9)])  # the broker begins with a chunk that holds it
    monkeypatch.setattr(found, "_read", lambda offset: (one for one in chunk))
    batch = found.replay(3)
    assert (numbers(batch), batch.position, batch.gap) == ([4, 5, 6], 6, False)
    assert next(chunk).number == 7, "and no further"


def test_what_is_kept_no_longer_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    found = history(7)
    monkeypatch.setattr(found, "_read", lambda offset: (told(number) for number in (5, 6)))
    assert found.replay(3).gap


def test_older_events_that_cannot_be_read_are_no_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    found = history(7)

    def broken(offset: int) -> Iterator[Told]:
        yield told(4)
        raise BrokerUnavailable("gone")

    monkeypatch.setattr(found, "_read", broken)
    with pytest.raises(BrokerUnavailable):
        found.replay(3)


def test_a_share_is_used_up_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(people.time, "monotonic", lambda: now)
    rate = Rate(5)
    for _ in range(10):  # two seconds' worth at once
        rate.take("ann")
    with pytest.raises(Problem) as slowed:
        rate.take("ann")
    assert (slowed.value.status, slowed.value.headers["Retry-After"]) == (429, "1")
    rate.take("bob")
    now += 0.2
    rate.take("ann")


def test_so_many_are_there_at_once_for_each_name() -> None:
    crowd = Crowd(2, "streams")
    for name in ("ann", "ann", "bob"):
        crowd.enter(name)
    with pytest.raises(Problem, match="2 streams at once"):
        crowd.enter("ann")
    assert len(crowd) == 3
    crowd.leave("ann")
    crowd.enter("ann")


def test_a_listener_that_takes_nothing_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "TAKES", 0.05)
    over: list[bool] = []

    async def frames() -> AsyncIterator[bytes]:
        while True:
            yield b"data: {}\n\n"

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()  # its buffers are full, for ever

    async def receive() -> Any:
        await asyncio.Event().wait()

    stream = events.Stream(frames(), {}, lambda: over.append(True))
    asyncio.run(asyncio.wait_for(stream({"type": "http", "asgi": {"spec_version": "2.4"}}, receive, send), 5))
    assert over == [True]
