"""Conversion hosts that are added while a migration runs get some of what is left to do."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest
from stackferry_cli.local.processes import until

from .hosts import conversion_hosts
from .servers import MIB, content, disk
from .test_workloads import bad, left_over

pytestmark = pytest.mark.clouds


def test_a_second_host_takes_some_of_the_remaining_volumes(
    source: Any, destination: Any, stack: Any, ferry: Any
) -> None:
    disks = {f"disk-{n}": disk(source, f"disk-{n}", [1, 2, 3, 500 + n]) for n in range(4)}
    both = source, destination
    with ExitStack() as opened:

        def add() -> list[str]:
            made = opened.enter_context(conversion_hosts(stack, both, slots=1, bandwidth=MIB))
            return [host.id for host in made]

        first = add()
        migration = ferry.migrate(source.entry, destination.entry, selection={"kinds": ["volume"]})

        def steps(action: str, state: str) -> list[Any]:
            return [s for s in ferry.show(migration)["steps"] if (s["action"], s["state"]) == (action, state)]

        assert until(lambda: bool(steps("copy", "asked")), 60)
        assert len(steps("assign", "holding")) == 1  # there's one slot
        second = add()
        state = ferry.wait(migration, timeout=200)
        assert (state["phase"], bad(state)) == ("done", [])
        places = [s["results"] for s in state["steps"] if s["action"] == "assign"]
        for side, hosts in (("source", (first[0], second[0])), ("destination", (first[1], second[1]))):
            assert {p[f"{side}_host"] for p in places} == set(hosts), side
        assert left_over(source) == left_over(destination) == []
    arrived = {v.name: content(destination, v.id) for v in destination.connect().block_storage.volumes()}
    assert arrived == {name: content(source, v.id) for name, v in disks.items()}
