"""How many conversion hosts there should be, by what waits for them. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]
SLOTS = 4  # of a host of which nothing was heard yet


@dataclass(frozen=True, slots=True)
class Fleet:
    """The hosts of one cloud that have our name, in the order in which they're made: ``name``, ``name-2`` ..."""

    cloud: str
    project: str | None
    hosts: tuple[Row, ...]

    @property
    def active(self) -> tuple[Row, ...]:
        """Those that get work, or will."""
        return tuple(host for host in self.hosts if not host["draining"])

    @property
    def draining(self) -> tuple[Row, ...]:
        """Those that were told to take nothing new."""
        return tuple(host for host in self.hosts if host["draining"])

    @property
    def slots(self) -> int:
        """Copies that one of them does at once."""
        return max((host["slots"] for host in self.hosts), default=0) or SLOTS


def fleet(cloud: str, project: str | None, name: str, hosts: Iterable[Row]) -> Fleet:
    """The hosts of one project, of those that the coordinator knows."""
    mine = [(number, host) for host in hosts
            if host["cloud"] == cloud and (host["project"] or None) == project
            and (number := numbered(name, host["name"] or "")) is not None]  # fmt: skip
    return Fleet(cloud, project, tuple(host for _, host in sorted(mine, key=lambda pair: pair[0])))


def numbered(name: str, called: str) -> int | None:
    """Which one of the hosts of this name it is, from 1; None for any other."""
    found = re.fullmatch(re.escape(name) + r"(?:-(\d+))?", called)
    return int(found[1] or 1) if found else None


def needed(migrations: Iterable[Row], source: Row, destination: Row) -> int:
    """How many volumes of migrations between two places are on the hosts, or wait for a place there."""
    pair = [one for one in migrations if (one["source"], one["destination"]) == (source, destination)]
    unpaused = [one for one in pair if not one["paused"]]
    return sum((one["totals"] or {}).get(state, 0) for one in unpaused for state in ("wanting", "holding"))


def wanted(volumes: int, slots: int, least: int, most: int) -> int:
    """How many hosts so many volumes keep busy."""
    return max(least, min(most, math.ceil(volumes / max(1, slots))))


def surplus(of: Fleet, want: int) -> tuple[Row, ...]:
    """The hosts that aren't needed: those that were made last go first, so that names have no holes."""
    return of.active[want:]


def gone(of: Fleet) -> tuple[Row, ...]:
    """Hosts that have done what they had, and may be deleted."""
    return tuple(host for host in of.draining if not host["used"])
