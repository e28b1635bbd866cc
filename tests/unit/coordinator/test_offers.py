"""Tries that nobody could make now: they rest until whoever offers and whoever fetches answer."""

from __future__ import annotations

from typing import Any

import pytest
from stackferry_coordinator.hosts.offers import possible
from stackferry_coordinator.rules.reactions import Do
from stackferry_coordinator.rules.transitions import known

from .documents import server
from .test_workload_commands import until_asked

COPY = "volume/a-disk0/copy/0"


def asked() -> tuple[Any, Do, dict[str, str]]:
    """A world in which a segment was just asked for, that try, and the hosts of its volume."""
    world, _ = until_asked(COPY, [server("a")])
    return world, Do(COPY, 1), known(world.ledger, "volume/a-disk0/assign").results


@pytest.mark.parametrize("side", ["source_host", "destination_host"])
def test_a_segment_waits_for_the_hosts_of_both_sides(side: str) -> None:
    world, do, hosts = asked()
    facts: list[dict[str, Any]] = []
    can = possible(world.ledger, [do], lambda who: [] if who == hosts[side] else ["pem"], facts, world.now)
    assert can == []
    step = known(world.ledger, COPY)
    assert (step.state, step.tries, step.reason) == ("resting", 0, f"no agent answers on host {hosts[side]}")
    assert [fact["name"] for fact in facts] == ["postponed"]


def test_a_segment_is_asked_for_when_both_hosts_answer() -> None:
    world, do, hosts = asked()
    facts: list[dict[str, Any]] = []
    can = possible(world.ledger, [do], lambda who: ["pem"] if who in hosts.values() else [], facts, world.now)
    assert (can, facts) == ([do], [])
