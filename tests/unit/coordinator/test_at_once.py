"""Servers without disks to copy are down a few at a time; one that is given up holds up nobody."""

from __future__ import annotations

from typing import Any

import pytest
from stackferry_coordinator.plan.at_once import USUAL
from stackferry_coordinator.rules.transitions import known

from ...graphs import build
from .documents import awaited, server
from .workload_world import MIGRATION, Unkind, WorkloadWorld

KIND = Unkind(0, 0, 0, 0)


def stops(documents: list[dict[str, Any]], limit: int | None) -> dict[str, set[str]]:
    """What of other servers each stop waits for, by the names of the servers."""
    nodes = build(documents, workloads=True, servers_at_once=limit)
    found = {node.group: node.after for node in nodes if node.key.endswith("/stop")}
    return {
        group.removeprefix("server/"): {key.removeprefix("server/") for key, hard in after.items() if not hard}
        for group, after in found.items()
    }


def test_each_waits_for_the_one_so_many_places_before_it() -> None:
    documents = [server("a", 0), server("disk", 1), server("b", 0), awaited(server("by-hand", 0)), server("c", 0)]
    assert stops(documents, 1) == {"a": set(), "disk": set(), "b": {"a"}, "by-hand": set(), "c": {"b"}}
    assert stops(documents, 2) == {"a": set(), "disk": set(), "b": set(), "by-hand": set(), "c": {"a"}}


def test_without_a_word_of_it_there_are_eight() -> None:
    many = [server(f"s{n}", 0) for n in range(USUAL + 2)]
    assert {name for name, after in stops(many, None).items() if after} == {f"s{USUAL}", f"s{USUAL + 1}"}


@pytest.mark.parametrize("seed", range(20))
def test_no_more_are_down_at_once(seed: int) -> None:
    world, most = WorkloadWorld([server(f"s{n}", 0) for n in range(7)], seed, KIND), 0
    step = world._step

    def counting() -> None:
        nonlocal most
        step()
        down = [id_ for id_ in world.servers if world.clouds.power[id_] == "SHUTOFF"]
        most = max(most, sum(f"server/{id_}" not in world.clouds.made.values() for id_ in down))

    world._step = counting  # type: ignore[method-assign]
    assert world.run() == "done"
    assert most == world.request["servers_at_once"] == 2


def test_one_that_is_given_up_lets_the_next_one_go() -> None:
    world = WorkloadWorld([server(f"s{n}", 0) for n in range(3)], 1, KIND)
    world._tell("request-migration", world.request)
    world._tell("submit-documents", {"migration": MIGRATION, "part": 1, "documents": world.documents})
    while known(world.ledger, "server/s0/stop").state != "asked":
        world._step()
    about = {"migration": MIGRATION, "step": "server/s0/stop", "attempt": 1, "outcome": "failed", "reason": "no"}
    world.commands = [one for one in world.commands if one.do.key != "server/s0/stop"]
    world._tell("step-ended", about)
    while not world._over():
        world._step()
    assert [known(world.ledger, f"server/s{n}").state for n in range(3)] == ["failed", "done", "done"]
