"""How a source volume is made readable: by a snapshot where the quota has room, else by detaching it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from openstack import exceptions
from stackferry.errors import NotDone
from stackferry_clouds.actions import access, attachments
from stackferry_clouds.actions.done import Done

KNOWN = {"marker": "m/v", "server": "s"}
FULL = exceptions.HttpException("VolumeSizeExceedsAvailableQuota: quota exceeded", http_status=413)


class View:
    """A volume that is attached to a server, in a project that has room by its quota."""

    def __init__(self, server: str | None = "s", device: str = "/dev/vdb") -> None:
        attached = [{"server_id": server, "device": device}] if server else []
        self.volume = {"id": "v", "size": 1, "status": "in-use", "attachments": attached, "metadata": {}}

    def refresh(self, kind: str, id_: str) -> Any:
        return self.volume

    def waiting(self, kind: str, id_: str) -> Any:
        return lambda: self.refresh(kind, id_)

    def forget(self, kind: str) -> None: ...

    def records(self, kind: str) -> list[Any]:
        return [self.volume]


class Compute:
    """Nova, which notes what it's asked, and attaches the volume at once if it knows one."""

    def __init__(self, asked: list[Any], volume: dict[str, Any] | None = None) -> None:
        self.asked, self.volume = asked, volume

    def create_volume_attachment(self, server: str, **how: Any) -> None:
        self.asked.append((server, how))
        if self.volume is not None:
            self.volume |= {"status": "in-use", "attachments": [{"server_id": server}]}


@pytest.fixture
def did(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done; a snapshot finds that others have used up the quota meanwhile."""
    done: list[str] = []

    def full(*_: Any) -> Done:
        done.append("snapshot")
        raise FULL

    monkeypatch.setattr(access.quotas, "beyond", lambda *_: [])
    monkeypatch.setattr(access, "_snapshot_copy", full)
    monkeypatch.setattr(access, "_delete_made", lambda *_: done.append("delete what was made"))
    monkeypatch.setattr(attachments, "detach", lambda *_: done.append("detach"))
    return done


def test_a_quota_that_others_use_up_meanwhile_leads_to_a_detach(did: list[str]) -> None:
    assert access.expose(View(), "v", KNOWN).results == {"volume": "v", "access": "detach", "size": 1}
    assert did == ["snapshot", "delete what was made", "detach"]


@pytest.mark.parametrize(
    ("view", "known"),
    [(View(), {**KNOWN, "access": "snapshot"}), (View(), {**KNOWN, "boot": True})],
    ids=["asked", "root"],
)
def test_a_snapshot_that_must_be_fails(view: View, known: dict[str, Any], did: list[str]) -> None:
    with pytest.raises(exceptions.HttpException):
        access.expose(view, "v", known)
    assert did == ["snapshot"]


def test_a_data_disk_is_detached_wherever_it_is(did: list[str]) -> None:
    asked = {**KNOWN, "access": "detach"}
    assert access.expose(View(device="/dev/sda"), "v", asked).results["access"] == "detach"
    assert did == ["detach"]


def test_what_an_earlier_try_has_detached_is_not_snapshotted(did: list[str]) -> None:
    assert access.expose(View(server=None), "v", KNOWN).results["access"] == "detach"
    assert did == ["detach"]


def test_a_disk_is_put_back_as_it_was() -> None:
    view, asked = View(server=None), []
    view.volume["status"] = "available"
    view.proxy = lambda service: Compute(asked, view.volume)  # type: ignore[attr-defined]
    known = {**KNOWN, "access": "detach", "device": "/dev/vdb", "delete_on_termination": True}
    access._put_back(view, "v", known)  # type: ignore[arg-type]
    assert asked == [("s", {"volume_id": "v", "device": "/dev/vdb", "delete_on_termination": True})]


@pytest.mark.parametrize(("before", "after"), [("available", "available"), ("attaching", "available")])
def test_an_attachment_that_nova_gives_back_may_succeed_another_time(before: str, after: str) -> None:
    """What was under way before is only waited for: another try asks again."""
    statuses = iter([before, *([before] if before == "attaching" else []), after, *["in-use"] * 9])

    class Changing(View):
        def refresh(self, kind: str, id_: str) -> Any:
            status = next(statuses)
            attached = [{"server_id": "host"}] if status == "in-use" else []
            return {**self.volume, "status": status, "attachments": attached}

    view = Changing(server=None)
    view.proxy = lambda service: Compute([])  # type: ignore[attr-defined]
    if before == "available":
        with pytest.raises(NotDone, match="nova has given it back"):
            attachments.attach(view, "v", {"server": "host"})  # type: ignore[arg-type]
    else:
        attachments.attach(view, "v", {"server": "host"})  # type: ignore[arg-type]


def test_a_host_that_is_gone_may_be_replaced() -> None:
    class Refusing(Compute):
        def create_volume_attachment(self, server: str, **how: Any) -> None:
            raise exceptions.NotFoundException("no such server")

    view = View(server=None)
    view.volume["status"] = "available"
    view.proxy = lambda service: Refusing([])  # type: ignore[attr-defined]
    with pytest.raises(NotDone, match="there is no server host to attach volume v to"):
        attachments.attach(view, "v", {"server": "host"})  # type: ignore[arg-type]


def test_a_volume_that_is_still_being_attached_is_detached_afterwards() -> None:
    detached: list[str] = []

    class Slow(View):
        looks = 0

        def refresh(self, kind: str, id_: str) -> Any:
            self.looks += 1
            status, where = ("attaching", []) if self.looks < 3 else ("in-use", [] if detached else ["host"])
            return {**self.volume, "status": status, "attachments": [{"server_id": each} for each in where]}

        def proxy(self, service: str) -> Any:
            return SimpleNamespace(delete_volume_attachment=lambda server, *_, **how: detached.append(server))

    attachments.detach(Slow(), "v", {"server": "host"})  # type: ignore[arg-type]
    assert detached == ["host"]


def test_the_copy_of_a_boot_disk_tells_what_its_guest_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Cinder shows it of a volume that was made from Nova's snapshot of a server."""
    shown = {
        "hw_firmware_type": "uefi", "hw_machine_type": "q35", "os_distro": "debian", "com.example/team": "web",
        "image_id": "i", "image_name": "stackferry-s", "image_type": "snapshot", "image_location": "snapshot",
        "image_state": "available", "instance_uuid": "s", "owner_user_name": "me", "user_id": "u", "checksum": "c",
        "base_image_ref": "b", "boot_roles": "member", "size": "1", "disk_format": "qcow2", "stackferry": "m/s-boot",
    }  # fmt: skip
    monkeypatch.setattr(access, "_images", lambda *_: [SimpleNamespace(id="i")])
    monkeypatch.setattr(access, "_image", lambda *_: {"status": "active", "bytes": 1, "min_disk": 2})
    monkeypatch.setattr(access, "_marked_volume", lambda *_: {"id": "copy", "volume_image_metadata": shown})
    view: Any = SimpleNamespace(proxy=lambda service: None)
    assert access.expose(view, "s-boot", {"marker": "m/s-boot"}).results == {
        "volume": "copy", "access": "image", "size": 2,
        "image_metadata": {"com.example/team": "web", "hw_firmware_type": "uefi", "hw_machine_type": "q35",
                           "os_distro": "debian"},
    }  # fmt: skip
