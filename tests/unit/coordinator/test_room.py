"""Whether all servers of a migration fit into the destination is asked before anything is touched."""

from __future__ import annotations

from typing import Any

from stackferry import messages
from stackferry_coordinator.commands.resources import command
from stackferry_coordinator.rules.reactions import Do, opened, react

from .documents import network, router, server, subnet, volume, warm

MIGRATION = "6b6f4f0c-5d3c-4c59-9d0b-0b6f1c1f0001"
SERVERS = [network("n"), subnet("s", "n"), server("a", 2, net="n"), server("b", 1, "SHUTOFF"), volume("loose", 7)]


class Play:
    """A migration, told what happens."""

    def __init__(self, documents: list[Any], mode: str = "run") -> None:
        self.request = {"migration": MIGRATION, "source": {"cloud": "src"}, "destination": {"cloud": "dst"},
                        "mode": mode, "parts": 1}  # fmt: skip
        self.ledger = opened(self.request)
        self.due = self.tell("request-migration", self.request)
        self.due = self.tell("submit-documents", {"part": 1, "documents": documents})

    def tell(self, name: str, data: dict[str, Any]) -> list[Do]:
        return react(self.ledger, name, {"migration": MIGRATION, **data}, 1.0)

    def ended(self, step: str, outcome: str, attempt: int = 1, **more: Any) -> list[Do]:
        return self.tell("step-ended", {"step": step, "attempt": attempt, "outcome": outcome, **more})

    def states(self) -> dict[str, str]:
        return {step.key: step.state for step in self.ledger.all()}


def test_a_run_asks_for_room_and_for_nothing_else() -> None:
    play = Play(SERVERS)
    assert play.due == [Do("room", 1)]
    known = {("server", "b"): "b-there"}.get
    message, data, queue = command(play.ledger, play.due[0], lambda *what: known(what), [])
    assert message is messages.PerformAction
    assert queue == "stackferry.importer.workloads"
    message.load_data(data)
    assert (data["action"], data["place"], data["kind"]) == ("room", {"cloud": "dst"}, "project")
    a, b, loose, net, range_ = data["known"]["demands"]
    assert a == {"kind": "server", "name": "a", "flavor": "small", "ports": 1, "volumes": 2, "gigabytes": 2,
                 "largest": 1, "boot": False, "addresses": [None]}  # fmt: skip
    assert (b["id"], b["name"]) == ("b-there", "b")
    assert loose == {"kind": "volume", "name": "loose", "volumes": 1, "gigabytes": 7, "largest": 7}
    assert net == {"kind": "network", "name": "n"}
    assert range_ == {"kind": "subnet", "name": "s", "owner": "n"}
    assert play.ledger.step("room").name == "for 2 servers, 1 volume and 2 other resources together"
    assert {do.key for do in play.ended("room", "done")} == {"network/n-n", "server/b/check", "volume/loose/check"}


def test_where_there_is_no_room_nothing_is_touched_and_a_retry_asks_again() -> None:
    play = Play([*SERVERS, router("alone"), warm(server("w"))])
    assert play.ended("room", "failed", reason="together they don't fit: 2 instances ...") == []
    states = play.states()
    assert states.pop("room") == "failed"
    assert set(states.values()) == {"skipped"}
    assert play.ledger.head.phase == "done"
    why = "needs quota 'for 3 servers, 1 volume and 3 other resources together', which failed"
    assert play.ledger.step("network/n-n").reason == play.ledger.step("server/b/check").reason == why
    assert play.tell("control-migration", {"action": "retry"}) == [Do("room", 2)]
    assert len(play.ended("room", "done", attempt=2)) == 5


def test_a_plan_says_it_and_compares_all_the_same() -> None:
    play = Play(SERVERS, "plan")
    assert {do.key for do in play.due} >= {"room", "server/a", "network/n-n"} - {"server/a"}
    play.ended("room", "failed", reason="together they don't fit")
    for _ in range(5):
        for step in play.ledger.all():
            if step.state == "asked":
                play.ended(step.key, "created", step.attempt)
    assert play.ledger.head.phase == "planned"
    assert {s.state for s in play.ledger.all() if s.action == "compare"} == {"done"}
    assert play.tell("control-migration", {"action": "start"}) == [Do("room", 2)]
    assert play.ended("room", "failed", attempt=2, reason="still not") == []
    assert play.ledger.head.phase == "done"
    assert {s.state for s in play.ledger.all() if s.action != "room"} == {"skipped"}


def test_a_plan_asks_the_source_too_and_says_which_servers_it_can_not_read() -> None:
    play = Play([network("n"), server("a", 2), server("b", 1), warm(server("w", 2))], "plan")
    step = play.ledger.step("room-at-source")
    message, data, queue = command(play.ledger, Do(step.key, 1), lambda *what: None, [])
    assert (message, queue) == (messages.PerformAction, "stackferry.exporter.workloads")
    message.load_data(data)
    assert data["place"] == {"cloud": "src"}
    a, _, w = data["known"]["servers"]
    assert a == {"key": "server/a", "name": "a", "needed": {"snapshots": 1, "volumes": 1, "gigabytes": 2}}
    assert w["needed"] == {"snapshots": 2, "volumes": 2, "gigabytes": 4}
    assert "server/a" not in {do.key for do in play.due}, "it's asked first"

    def compare_all() -> None:
        for _ in range(5):
            for step in play.ledger.all():
                if step.state == "asked":
                    play.ended(step.key, "created" if step.action == "compare" else "done", step.attempt)

    play.ended("room-at-source", "done", results={"refused": {"server/w": "too many snapshots"}})
    compare_all()
    assert play.ledger.head.phase == "planned"
    w = play.ledger.step("server/w")
    assert (w.state, w.outcome, w.reason) == ("failed", "conflict", "too many snapshots")
    assert play.states()["server/a"] == play.states()["server/b"] == "done"

    play.tell("control-migration", {"action": "retry"})
    play.ended("room-at-source", "done", attempt=2, results={"refused": {}})
    compare_all()
    assert (play.ledger.head.phase, play.states()["server/w"]) == ("planned", "done")
    assert play.tell("control-migration", {"action": "start"}) == [Do("room", 2)], "each server's own look asks then"


def test_a_plan_that_fits_is_carried_out_after_another_look() -> None:
    play = Play(SERVERS, "plan")
    play.ended("room", "done")
    for _ in range(5):
        for step in play.ledger.all():
            if step.state == "asked":
                play.ended(step.key, "created", step.attempt)
    assert play.tell("control-migration", {"action": "start"}) == [Do("room", 2)]
    assert {do.key for do in play.ended("room", "done", attempt=2)} == {
        "network/n-n", "server/b/check", "volume/loose/check",
    }  # fmt: skip


def test_a_single_thing_has_its_own_check_and_any_two_are_asked_about_together() -> None:
    for documents in ([server("a")], [volume("v")], [router("r")]):
        assert Play(documents).ledger.step("room") is None
    assert Play([server("a"), volume("v")]).ledger.step("room") is not None
    play = Play([network("n"), router("r")])
    assert (play.due, play.ledger.step("room").name) == ([Do("room", 1)], "for 2 resources together")
    assert {do.key for do in play.ended("room", "done")} == {"network/n-n", "router/r-r"}


def test_what_no_message_could_hold_is_left_to_each_servers_own_check() -> None:
    many = [server(f"s{n:04}-{'x' * 200}", 0) for n in range(3000)]
    assert Play(many).ledger.step("room") is None
