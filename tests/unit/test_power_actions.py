"""A server at the destination is stopped where it was stopped at the source."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from stackferry.errors import EndedInError, Unfinished
from stackferry.resources import quotas
from stackferry.resources.server import Server
from stackferry_clouds.actions.power import look, power


class View:
    """A server that stops at once, and what it was told."""

    def __init__(self, status: str) -> None:
        self.server = {"id": "s", "name": "s", "status": status, "task_state": None}
        self.told: list[str] = []

    def refresh(self, kind: str, id_: str) -> Any:
        return self.server

    def waiting(self, kind: str, id_: str) -> Any:
        return lambda: self.refresh(kind, id_)

    def proxy(self, service: str) -> Any:
        return SimpleNamespace(stop_server=self._stop)

    def _stop(self, id_: str) -> None:
        self.told.append(id_)
        self.server["status"] = "SHUTOFF"


@pytest.mark.parametrize(
    ("status", "off", "told"), [("ACTIVE", True, ["s"]), ("SHUTOFF", True, []), ("ACTIVE", False, [])]
)
def test_it_is_stopped_once_and_only_where_it_shall_be(status: str, off: bool, told: list[str]) -> None:
    view: Any = View(status)
    done = power(view, "s", {"off": off})
    assert (view.told, done.results) == (told, {"off": True} if off else {})


class Source:
    """A project with a server and its disk, in which so much of the quotas is left."""

    def __init__(self, left: int, others: bool) -> None:
        self.left = left
        self.server = {"id": "s", "name": "s", "status": "ACTIVE", "attached_volumes": {"v": True}}
        self.volumes = [{"id": "copy", "metadata": {"stackferry": "m/other"}}] if others else []

    def refresh(self, kind: str, id_: str) -> Any:
        return self.server

    def forget(self, kind: str) -> None: ...

    def records(self, kind: str) -> list[Any]:
        return self.volumes

    def proxy(self, service: str) -> Any:
        leg, disk = SimpleNamespace(port_id="p", tag="nic: 1"), SimpleNamespace(volume_id="v", tag=None)
        return SimpleNamespace(server_interfaces=lambda _: [leg], volume_attachments=lambda _: [disk])


@pytest.fixture(autouse=True)
def room(monkeypatch: pytest.MonkeyPatch) -> None:
    def beyond(view: Any, needed: dict[str, int]) -> list[str]:
        return [name for name, many in needed.items() if many > view.left]

    monkeypatch.setattr(Server, "obstacle", lambda *_: None)
    monkeypatch.setattr(quotas, "beyond", beyond)


NEEDED = {"volumes": ["v"], "needed": {"snapshots": 1, "volumes": 1, "gigabytes": 2}}


def test_a_server_is_looked_at_with_the_tags_of_its_devices() -> None:
    source: Any = Source(2, False)
    assert look(source, "s", NEEDED).results == {"status": "ACTIVE", "device_tags": {"p": "nic: 1"}}


@pytest.mark.parametrize(("others", "error"), [(False, EndedInError), (True, Unfinished)])
def test_a_server_whose_disks_the_source_has_no_room_to_read_is_not_stopped(others: bool, error: type) -> None:
    source: Any = Source(1, others)
    with pytest.raises(error, match="read from snapshots: gigabytes"):
        look(source, "s", NEEDED)
    assert look(source, "s", {"volumes": ["v"]}).results["status"] == "ACTIVE"
