"""Which conversion hosts a volume is copied by. Pure.

A volume takes a slot of one host in each cloud until it's detached. The emptiest host that has room gets it, so
that the load is even, and a host that was added takes work at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Host:
    """A conversion host with agents that answer; ``slots``: volumes at once, ``used``: volumes now."""

    id: str
    cloud: str
    project: str
    slots: int
    used: int


@dataclass(frozen=True, slots=True)
class Fleet:
    """Every host that can be given work."""

    hosts: tuple[Host, ...]

    def emptiest(self, place: dict[str, Any], rather: str | None = None) -> Host | None:
        """The host of a project with the largest share of free slots, or *rather* this one; None when none has room."""
        mine = [h for h in self.hosts if (h.cloud, h.project) == (place["cloud"], place.get("project") or "")]
        free = [h for h in mine if h.used < h.slots]
        return min(free, key=lambda h: (h.id != rather, h.used / h.slots, h.id)) if free else None

    def missing(self, *places: dict[str, Any]) -> str | None:
        """Say in which of these projects no host answers; None when there's one in each."""
        there = {(host.cloud, host.project) for host in self.hosts}
        gone = [place for place in places if (place["cloud"], place.get("project") or "") not in there]
        where = " and ".join(
            f"cloud {p['cloud']!r}" + (f", project {p['project']!r}" if p.get("project") else "") for p in gone
        )
        return f"no conversion host answers in {where}" if gone else None

    def taking(self, *hosts: Host) -> Fleet:
        """The fleet after one more volume on each of these."""
        ids = {host.id for host in hosts}
        return Fleet(tuple(replace(h, used=h.used + 1) if h.id in ids else h for h in self.hosts))


def assign(
    wanting: list[tuple[str, str | None]], source: dict[str, Any], destination: dict[str, Any], fleet: Fleet
) -> list[dict[str, str]]:
    """Return {step, source_host, destination_host} of the steps that get a place now, in order.

    *wanting*: each with the destination's host that it had before, whose journal knows what is there.
    """
    given = []
    for step, before in wanting:
        pair = fleet.emptiest(source), fleet.emptiest(destination, before)
        if pair[0] is None or pair[1] is None:
            break
        fleet = fleet.taking(pair[0], pair[1])
        given.append({"step": step, "source_host": pair[0].id, "destination_host": pair[1].id})
    return given
