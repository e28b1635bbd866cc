"""cleanup-source: a volume that was used since it was moved is not deleted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from stackferry.errors import EndedInError
from stackferry_clouds.actions.cleanup import arrived, at_rest, clean_up

MOVED = 1_700_000_000.0  # 2023-11-14 22:13:20 UTC
BEFORE, AFTER = "2023-11-14T22:13:19.000000", "2023-11-14T22:13:21.000000"


class View:
    """One volume."""

    def __init__(self, **volume: Any) -> None:
        self.volume = {
            "id": "v",
            "name": "v",
            "status": "available",
            "created_at": BEFORE,
            "updated_at": None,
            **volume,
        }

    def refresh(self, kind: str, id_: str) -> Any:
        return self.volume

    def waiting(self, kind: str, id_: str) -> Any:
        return lambda: self.refresh(kind, id_)

    def proxy(self, service: str) -> Any:
        return self

    def snapshots(self, details: bool, volume_id: str) -> list[Any]:
        return []


def known(moved_at: float | None = MOVED) -> dict[str, Any]:
    return {"kind": "volume", "moved_at": moved_at}


@pytest.mark.parametrize("action", [at_rest, clean_up])
def test_a_volume_that_was_used_since_is_kept(action: Any) -> None:
    with pytest.raises(
        EndedInError, match=r"'v' was used at the source after it was moved \(2023-11-14 22:13:21 UTC\)"
    ):
        action(View(updated_at=AFTER), "v", known())


@pytest.mark.parametrize("volume", [{}, {"updated_at": BEFORE}, {"updated_at": AFTER, "status": "deleting"}])
def test_any_other_may_be_deleted(volume: dict[str, Any]) -> None:
    assert at_rest(View(**volume), "v", known()).results == {}
    assert at_rest(View(updated_at=AFTER), "v", known(None)).results == {}  # of a migration that noted no time


@pytest.mark.parametrize(("status", "off", "fine"), [("ACTIVE", False, True), ("SHUTOFF", True, True),
                                                    ("SHUTOFF", False, False), ("ERROR", True, False)])  # fmt: skip
def test_a_server_has_arrived_when_it_runs_or_was_stopped_there_as_it_was(status: str, off: bool, fine: bool) -> None:
    known = {"kind": "server", **({"off": True} if off else {})}
    if fine:
        arrived(View(status=status), "v", known)
    else:
        with pytest.raises(EndedInError, match=f"is {status} at the destination: nothing was deleted"):
            arrived(View(status=status), "v", known)


@pytest.mark.parametrize("size", ["ephemeral", "swap"])
def test_a_server_with_a_disk_that_no_api_can_read_is_not_deleted(size: str) -> None:
    sizes = {"vcpus": 1, "ram": 1, "disk": 1, "ephemeral": 0, "swap": 0, size: 7}
    server = {"status": "SHUTOFF", "task_state": None, "is_locked": False, "attached_volumes": {}, "image": None,
              "flavor_sizes": sizes, "flavor": {"id": None}}  # fmt: skip
    asked = {"kind": "server", "volumes": []}
    for action in (at_rest, clean_up):
        with pytest.raises(EndedInError, match=rf"server 'v' has 7 .*{size}.* which no API can read or move"):
            action(View(**server), "v", asked)
    assert at_rest(View(**{**server, "flavor_sizes": {**sizes, size: 0}}), "v", asked).results == {"kept": {}}


class Hung(View):
    """A stopped server with a port, on which something hangs."""

    def __init__(self, trunk: str | None = None, snapshots: tuple[str, ...] = ()) -> None:
        super().__init__(
            status="SHUTOFF", task_state=None, is_locked=False, attached_volumes={"disk": False}, image=None,
            flavor_sizes={"vcpus": 1}, flavor={"id": None}, trunk_details={"trunk_id": trunk} if trunk else None,
        )  # fmt: skip
        self.names = snapshots

    def snapshots(self, details: bool, volume_id: str) -> list[Any]:
        return [SimpleNamespace(id=name, name=name) for name in self.names]

    def forget(self, kind: str) -> None:
        """Nothing is kept."""

    def records(self, kind: str) -> list[Any]:
        return []


@pytest.mark.parametrize("action", [at_rest, clean_up])
def test_a_server_stays_while_a_trunk_that_was_not_moved_needs_its_port(action: Any) -> None:
    asked = {"kind": "server", "volumes": ["disk"], "ports": ["p"]}
    with pytest.raises(EndedInError, match="trunk bundle of port p: not moved, and server 'v' is needed for it"):
        action(Hung(trunk="bundle"), "v", asked)
    assert at_rest(Hung(trunk="bundle"), "v", {**asked, "trunks": ["bundle"]}).results == {"kept": {}}


def test_many_things_that_hang_on_a_server_are_counted() -> None:
    asked = {"kind": "server", "volumes": ["disk"]}
    with pytest.raises(EndedInError, match="snapshot 's4' of volume disk and 2 more: not moved"):
        at_rest(Hung(snapshots=tuple(f"s{n}" for n in range(7))), "v", asked)


def test_a_detached_volume_with_snapshots_stays() -> None:
    with pytest.raises(EndedInError, match="snapshot 'monday' of volume v: not moved, and volume v is needed for it"):
        at_rest(Hung(snapshots=("monday",)), "v", {"kind": "volume", "moved_at": None})
