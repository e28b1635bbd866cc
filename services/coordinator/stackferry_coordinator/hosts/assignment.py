"""Which conversion hosts a volume is copied by. Pure.

A volume takes a slot of one host in each cloud until it's detached. The emptiest host that has room gets it, so
that the load is even, and a host that was added takes work at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Host:
    """A conversion host with agents that answer; ``slots``: volumes at once, ``used``: volumes now.

    ``draining``: it's to get nothing new. ``unfit``: why its agents can't be used at all.
    """

    id: str
    cloud: str
    project: str
    slots: int
    used: int
    draining: bool = False
    unfit: str | None = None

    @property
    def has_room(self) -> bool:
        """Whether it can be given another volume."""
        return not self.draining and self.unfit is None and self.used < self.slots


@dataclass(frozen=True, slots=True)
class Fleet:
    """Every host that answers. ``per_cloud``: volumes on all hosts of a cloud at once, at most; 0: no limit."""

    hosts: tuple[Host, ...]
    per_cloud: int = 0

    @property
    def slots(self) -> int:
        """Volumes at once, on all hosts that get work."""
        return sum(host.slots for host in self.hosts if not host.draining and host.unfit is None)

    @property
    def full(self) -> bool:
        """Whether there are hosts, and none of them has room: nobody need be looked at."""
        fit = [host for host in self.hosts if host.unfit is None]
        return bool(fit) and not any(host.has_room for host in fit)

    def emptiest(self, place: dict[str, Any], rather: str | None = None) -> Host | None:
        """The host of a project with the largest share of free slots, or *rather* this one; None when none has room."""
        free = [host for host in self._of(place) if host.has_room] if self._left(place) else []
        return min(free, key=lambda h: (h.id != rather, h.used / h.slots, h.id)) if free else None

    def missing(self, *places: dict[str, Any]) -> str | None:
        """Say in which of these projects no host can be used; None when there's one in each. A drained one counts."""
        return "; ".join(lack for place in places if (lack := self._lack(place))) or None

    def _lack(self, place: dict[str, Any]) -> str | None:
        mine = self._of(place)
        if any(host.unfit is None for host in mine):
            return None
        where = f"cloud {place['cloud']!r}" + (f", project {place['project']!r}" if place.get("project") else "")
        return f"no conversion host answers in {where}" + (f" but {mine[0].id}: {mine[0].unfit}" if mine else "")

    def _of(self, place: dict[str, Any]) -> list[Host]:
        return [h for h in self.hosts if (h.cloud, h.project) == (place["cloud"], place.get("project") or "")]

    def room(self, *places: dict[str, Any]) -> int:
        """How many more volumes can be given places in each of these projects."""
        free = [sum(h.slots - h.used for h in self._of(place) if h.has_room) for place in places]
        left = [self._left(place) for place in places] if self.per_cloud else []
        return min(free + left)

    def _left(self, place: dict[str, Any]) -> int:
        """How many more volumes a cloud may have on its hosts."""
        used = sum(host.used for host in self.hosts if host.cloud == place["cloud"])
        return max(0, self.per_cloud - used) if self.per_cloud else 1

    def taking(self, *hosts: Host) -> Fleet:
        """The fleet after one more volume on each of these."""
        ids = {host.id for host in hosts}
        return replace(self, hosts=tuple(replace(h, used=h.used + 1) if h.id in ids else h for h in self.hosts))


def unfit(versions: Iterable[str | None], ours: str) -> str | None:
    """Why agents of these versions get no work from us; None when they can.

    All agents of a host read one queue, so one that can't be used spoils the host.
    """
    others = sorted({str(version) for version in versions if _minor(version) != _minor(ours)})
    if not others:
        return None
    return f"its agents are of version {', '.join(others)}, the coordinator is of {ours}; deploy it anew"


def _minor(version: str | None) -> list[str]:
    return str(version).split(".")[:2]


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
