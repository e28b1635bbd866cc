"""A broker, or a coordinator, that is away for minutes costs time only: nobody is given up for it, or taken for lost."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from stackferry import __version__, messages
from stackferry.errors import BrokerUnavailable
from stackferry_coordinator.rules.places import HOSTLESS
from stackferry_coordinator.rules.transitions import MOVING_LEASE
from stackferry_coordinator.storage import database
from stackferry_coordinator.storage.store import Store
from stackferry_coordinator.transactions.shell import Shell
from stackferry_coordinator.trust.authority import Authority

from ..unit.coordinator.documents import volume


class Away:
    """A publisher whose broker isn't there."""

    def declare(self, queue: Any) -> None: ...

    def publish_all(self, _: Any) -> Any:
        raise BrokerUnavailable("it's away")


class Play:
    """A coordinator, a clock, and two volumes that want the only place."""

    def __init__(self, folder: Path) -> None:
        self.engine = database.connect(f"sqlite:///{folder}/s.db")
        database.upgrade(self.engine)
        self.now, self.id = 1000.0, str(uuid.uuid4())
        self.shell = Shell(self.engine, Away(), clock=lambda: self.now, authority=Authority(own_user=""))  # type: ignore[arg-type]
        self.hear("s1", "d1")
        self.tell(messages.RequestMigration, source={"cloud": "src"}, destination={"cloud": "dst"}, mode="run", parts=1)
        self.tell(messages.SubmitDocuments, part=1, documents=[volume("a"), volume("b")])
        for action, outcome in (("room", "done"), ("check", "created")):
            for step in [step for step in self.steps() if step.action == action]:
                self.tell(messages.StepEnded, step=step.key, attempt=step.attempt, outcome=outcome)
        self.shell.tick()

    def tell(self, message: Any, **data: Any) -> None:
        self.shell.take(message.make("tests", {"migration": self.id, **data}))

    def hear(self, *hosts: str) -> None:
        for host in hosts:
            cloud = {"s": "src", "d": "dst"}[host[0]]
            self.shell.agent_seen({"host": host, "name": host, "instance": "1", "cloud": cloud, "slots": 1,
                                   "version": __version__, "certificate": "PEM"})  # fmt: skip

    def worker(self) -> None:
        self.shell.worker_seen({"service": "importer", "instance": "1", "version": __version__, "certificate": "PEM"})

    def steps(self) -> list[Any]:
        with self.engine.begin() as connection:
            store = Store.open(connection, self.id)
            assert store is not None
            return list(store.all())

    def places(self) -> list[str]:
        return sorted(step.state for step in self.steps() if step.key.endswith("/assign"))

    def wait(self, seconds: float, *, workers: bool) -> None:
        for second in range(int(seconds)):
            self.now += 1
            if workers and second % 30 == 0:
                self.worker()
            self.shell.tick()


@pytest.fixture
def play(tmp_path: Path) -> Play:
    found = Play(tmp_path)
    assert found.places() == ["holding", "wanting"]
    return found


def test_while_nobody_is_heard_nobody_is_given_up(play: Play) -> None:
    play.wait(180, workers=False)
    play.hear("s1", "d1")
    play.shell.tick()
    assert play.places() == ["holding", "wanting"]
    assert play.shell.relay() == 0


def test_while_others_are_heard_and_no_agent_a_volume_is_given_up(play: Play) -> None:
    play.wait(3 * HOSTLESS, workers=True)
    assert play.places() == ["failed", "holding"]


def test_a_lease_is_judged_by_time_in_which_its_worker_could_be_heard(tmp_path: Path) -> None:
    play = Play(tmp_path)
    (attach,) = [step for step in play.steps() if step.state == "asked" and step.action == "expose"]
    claim = {"step": attach.key, "attempt": 1, "token": "t", "again": False, "reply_to": "r"}
    assert play.shell.claim(messages.StepClaimed.make("tests", {"migration": play.id, **claim}))

    def now() -> str:
        return str(next(step.state for step in play.steps() if step.key == attach.key))

    play.now += 3600  # its coordinator was down, or its database was
    play.wait(MOVING_LEASE, workers=True)
    assert now() == "asked"
    play.wait(5, workers=True)
    assert now() == "resting"


@pytest.mark.parametrize("jump", [3600.0, 86400.0 * 365, -3600.0, -86400.0])
def test_a_clock_that_jumps_loses_no_host_and_calls_no_running_try_lost(play: Play, jump: float) -> None:
    (expose,) = [step for step in play.steps() if step.state == "asked" and step.action == "expose"]
    claim = {"step": expose.key, "attempt": 1, "token": "t", "again": False, "reply_to": "r"}
    assert play.shell.claim(messages.StepClaimed.make("tests", {"migration": play.id, **claim}))
    play.now += jump
    for _ in range(80):  # everybody goes on saying that they're there
        play.now += 1
        play.shell.tick()
        play.hear("s1", "d1")
        play.worker()
    assert play.places() == ["holding", "wanting"]
    assert next(step for step in play.steps() if step.key == expose.key).attempt == 1


def test_after_a_clock_was_set_back_what_is_lost_is_still_found_out(play: Play) -> None:
    (expose,) = [step for step in play.steps() if step.state == "asked" and step.action == "expose"]
    claim = {"step": expose.key, "attempt": 1, "token": "t", "again": False, "reply_to": "r"}
    assert play.shell.claim(messages.StepClaimed.make("tests", {"migration": play.id, **claim}))
    play.now -= 86400.0

    for _ in range(420):  # its worker says nothing any more
        play.now += 1
        play.shell.tick()
        play.hear("s1", "d1")
    assert next(step for step in play.steps() if step.key == expose.key).attempt == 2
