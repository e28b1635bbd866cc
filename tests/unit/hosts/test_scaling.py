"""How many conversion hosts there should be."""

from __future__ import annotations

from typing import Any

import pytest
from stackferry_cli.commands import scale
from stackferry_cli.hosts import scaling

OLD, NEW = {"cloud": "old"}, {"cloud": "new", "project": "web"}


def host(name: str, cloud: str = "old", **about: Any) -> dict[str, Any]:
    return {
        "name": name,
        "id": f"id-{name}",
        "cloud": cloud,
        "project": None,
        "slots": 4,
        "used": 0,
        "draining": False,
        **about,
    }


def test_the_fleet_is_of_this_project_and_name_in_the_order_of_its_numbers() -> None:
    known = [host("conv-10"), host("conv-2", draining=True), host("conv"), host("conv-x"), host("other"), host("conv-3", "new"),
             host("conv-4", project="web"), host("convex"), host("conv-2-2"), {**host("c"), "name": None}]  # fmt: skip
    found = scaling.fleet("old", None, "conv", known)
    assert [one["name"] for one in found.hosts] == ["conv", "conv-2", "conv-10"]
    assert [one["name"] for one in found.active] == ["conv", "conv-10"]
    assert [one["name"] for one in scaling.surplus(found, 1)] == ["conv-10"]
    assert scaling.surplus(found, 5) == ()
    assert [one["name"] for one in scaling.gone(found)] == ["conv-2"]
    busy = scaling.fleet("old", None, "conv", [host("conv", draining=True, used=1)])
    assert scaling.gone(busy) == ()
    assert scaling.fleet("new", "web", "conv", known).slots == scaling.SLOTS


def test_only_volumes_between_these_places_that_wait_or_are_copied_count() -> None:
    def migration(source: Any = OLD, destination: Any = NEW, paused: bool = False, **totals: int) -> dict[str, Any]:
        return {"source": source, "destination": destination, "paused": paused, "totals": totals}

    known = [migration(wanting=3, holding=2, done=9), migration(NEW, OLD, wanting=7), migration(paused=True, wanting=5),
             migration(source={"cloud": "old", "project": "x"}, wanting=4), migration(waiting=8), migration(None, NEW, wanting=1)]  # fmt: skip
    assert scaling.needed(known, OLD, NEW) == 5
    assert scaling.needed([{**migration(), "totals": None}], OLD, NEW) == 0


@pytest.mark.parametrize(("volumes", "slots", "least", "most", "want"), [
    (0, 4, 1, 8, 1), (0, 4, 0, 8, 0), (1, 4, 0, 8, 1), (4, 4, 0, 8, 1), (5, 4, 0, 8, 2), (100, 4, 0, 8, 8), (3, 0, 0, 8, 3),
])  # fmt: skip
def test_as_many_as_are_kept_busy(volumes: int, slots: int, least: int, most: int, want: int) -> None:
    assert scaling.wanted(volumes, slots, least, most) == want


class Coordinator:
    """What the fleet looks like, and what was told to whom."""

    def __init__(self, *hosts: dict[str, Any], wanting: int = 0) -> None:
        self.known, self.wanting = list(hosts), wanting
        self.told: list[tuple[str, str]] = []

    def hosts(self) -> list[dict[str, Any]]:
        return self.known

    def migrations(self, _: Any) -> list[dict[str, Any]]:
        return [{"source": OLD, "destination": {"cloud": "new"}, "paused": False, "totals": {"wanting": self.wanting}}]

    def control_host(self, host: str, action: str) -> None:
        self.told.append((host, action))


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    monkeypatch.setattr(scale, "_run", lambda *words: found.append(words))
    return found


def scaler(**about: Any) -> scale.Scaler:
    said = {
        "sides": (("old", None), ("new", None)),
        "name": "conv",
        "least": 1,
        "most": 2,
        "idle": 60.0,
        "more": ("--flavor", "f"),
    }
    return scale.Scaler(**{**said, **about})


def test_a_host_that_goes_on_is_not_deleted_by_the_same_look(ran: list[tuple[str, ...]]) -> None:
    several = [host(name, cloud) for cloud in ("old", "new") for name in ("conv",)]
    stopped = [host("conv-2", cloud, draining=True, id=f"{cloud}-2") for cloud in ("old", "new")]
    ferry: Any = Coordinator(*several, *stopped, wanting=8)
    assert scaler().look(ferry, 0.0) == ["8 volumes: 2 hosts in each cloud"]
    assert ferry.told == [("old-2", "resume"), ("new-2", "resume")]
    assert ran == [("deploy", "-s", "old", "-d", "new", "--count", "2", "--name", "conv", "--flavor", "f")]


def test_hosts_go_when_they_were_not_needed_for_a_while_and_empty(ran: list[tuple[str, ...]]) -> None:
    hosts = [host(name, cloud, id=f"{cloud}-{name}") for cloud in ("old", "new") for name in ("conv", "conv-2")]
    ferry: Any = Coordinator(*hosts)
    looking = scaler()
    assert looking.look(ferry, 100.0) == looking.look(ferry, 159.0) == []
    ferry.wanting = 8
    assert looking.look(ferry, 160.0) == []  # needed again: the time begins anew
    ferry.wanting = 0
    assert looking.look(ferry, 161.0) == []
    assert looking.look(ferry, 221.0) == ["old: conv-2 takes nothing new", "new: conv-2 takes nothing new"]
    assert ferry.told == [("old-conv-2", "drain"), ("new-conv-2", "drain")]
    for each in hosts:
        each["draining"] = each["name"] == "conv-2"
    hosts[1]["used"] = 1
    assert looking.look(ferry, 222.0) == ["new: conv-2 is deleted"]
    assert ran == [("delete", "new-conv-2", "-s", "new", "--yes")]
