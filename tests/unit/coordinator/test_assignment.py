"""Which conversion hosts a volume is copied by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from stackferry_coordinator.hosts.assignment import Fleet, Host, assign
from stackferry_coordinator.rules.places import HOSTLESS, LOOKED
from stackferry_coordinator.rules.transitions import known

from .documents import server
from .workload_world import MIGRATION, Unkind, WorkloadWorld

SRC, DST = {"cloud": "src"}, {"cloud": "dst", "project": "p"}


def fleet(**slots: int) -> Fleet:
    """Hosts by name: ``s1`` is in the source's project, ``d1`` in the destination's."""
    return Fleet(
        tuple(Host(n, "src" if n[0] == "s" else "dst", "" if n[0] == "s" else "p", k, 0) for n, k in slots.items())
    )


def asking(many: int) -> list[tuple[str, str | None]]:
    return [(f"v{n}", None) for n in range(many)]


def test_a_volume_goes_back_to_the_host_that_has_its_journal() -> None:
    hosts = fleet(s1=1, s2=1, d1=4, d2=2)
    given = assign([("a", "d2"), ("b", "gone")], SRC, DST, hosts)
    assert [place["destination_host"] for place in given] == ["d2", "d1"]


def test_a_cloud_has_no_more_volumes_on_its_hosts_than_it_may() -> None:
    hosts = replace(fleet(s1=4, s2=4, d1=8), per_cloud=3)
    assert hosts.room(SRC, DST) == 3
    given = assign(asking(8), SRC, DST, hosts)
    assert Counter(place["source_host"] for place in given) == {"s1": 2, "s2": 1}
    full = replace(hosts, hosts=tuple(replace(h, used=2) for h in hosts.hosts))
    assert (full.room(SRC, DST), assign(asking(1), SRC, DST, full)) == (0, [])


def test_every_slot_is_used_and_none_twice() -> None:
    given = assign(asking(20), SRC, DST, fleet(s1=4, s2=2, d1=3, d2=3))
    assert [place["step"] for place in given] == [f"v{n}" for n in range(6)]
    assert Counter(place["source_host"] for place in given) == {"s1": 4, "s2": 2}
    assert Counter(place["destination_host"] for place in given) == {"d1": 3, "d2": 3}


def test_a_thousand_volumes_leave_no_slot_idle() -> None:
    hosts = fleet(**{f"{side}{n}": 4 for side in "sd" for n in range(8)})
    assert len(assign(asking(1000), SRC, DST, hosts)) == 32


def test_a_host_that_was_added_is_the_emptiest() -> None:
    old = Fleet((Host("s1", "src", "", 4, 3), Host("s2", "src", "", 4, 0), Host("d1", "dst", "p", 9, 0)))
    assert {place["source_host"] for place in assign(asking(2), SRC, DST, old)} == {"s2"}


def test_hosts_of_other_projects_and_drained_ones_get_nothing() -> None:
    others = Fleet((Host("s1", "src", "q", 4, 0), Host("s2", "src", "", 0, 0), Host("d1", "dst", "p", 4, 0)))
    assert assign(asking(1), SRC, DST, others) == []
    assert others.missing(SRC, DST) is None
    assert Fleet(others.hosts[::2]).missing(SRC, DST) == "no conversion host answers in cloud 'src'"
    assert fleet(s1=1).missing(SRC, DST) == "no conversion host answers in cloud 'dst', project 'p'"


def without_hosts() -> tuple[WorkloadWorld, Callable[[float], str]]:
    """A server whose disk wants a place, and what tells it after so many seconds that there's none."""
    world = WorkloadWorld([server("a")], 1, Unkind(0, 0, 0, 0), slots=0)
    world._tell("request-migration", world.request)
    world._tell("submit-documents", {"migration": MIGRATION, "part": 1, "documents": world.documents})
    while not world.ledger.head.counts.get("wanting"):
        world._step()
    (step,) = world.ledger.wanting(10)
    said = {"migration": MIGRATION, "step": step.key, "reason": "no conversion host answers in cloud 'src'"}

    def look(later: float) -> str:
        world.now += later
        world._tell("unassignable", said)
        return known(world.ledger, step.key).state

    return world, look


def test_without_a_host_a_server_is_given_up_untouched() -> None:
    world, look = without_hosts()
    assert {look(0.5) for _ in range(int(HOSTLESS * 2))} == {"wanting"}
    assert look(2.0) == "failed"
    head = known(world.ledger, "server/a")
    assert (head.state, world.clouds.power["a"], world.clouds.made) == ("failed", "ACTIVE", {})
    assert "no conversion host answers in cloud 'src'" in str(head.reason)


@pytest.mark.parametrize("away", [LOOKED + 1, HOSTLESS + 1, 86400.0])
def test_time_in_which_hosts_answered_or_nobody_looked_does_not_count(away: float) -> None:
    """Such as after the coordinator was down: the first look finds agents silent that it hasn't heard yet."""
    _, look = without_hosts()
    assert {look(0.5) for _ in range(20)} == {"wanting"}
    assert {look(away)} | {look(0.5) for _ in range(int(HOSTLESS * 2) - 1)} == {"wanting"}
    assert look(1.0) == "failed"
