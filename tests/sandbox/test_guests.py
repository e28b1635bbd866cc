"""Real guests, as far as they are data; that they boot is shown in tests/guest."""

import importlib
import json
import socket
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from stackferry_sandbox.guests import debian, image, network
from stackferry_sandbox.layout import INSIDE

ROOT, DATA = "0ef0a845-7286-4de5-b111-222233334444", "91a7c3d2-0000-4de5-b111-222233334444"


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(INSIDE)
    return importlib.import_module


@pytest.fixture
def guest(inside: Any, tmp_path: Path) -> Any:
    """A guest that boots from a volume and has another one."""
    guest = inside("stackferry_inside.guest_machine").Guest(tmp_path / "src/hosts/one")
    nic = inside("stackferry_inside.guest_network").Nic("p" * 36, "n" * 36, "fa:16:3e:00:00:01", 1450, ["10.5.0.1/24"])
    guest.make(b"#cloud-config\nwrite_files: [{path: /etc/stackferry/transfer.env, content: ''}]\n")
    guest.connect([nic])
    guest.folder.update({"nova_name": "instance-1", "uuid": "the-id", "vcpus": 1, "ram": 512, "power_state": 1})
    guest.plug(Path("/volumes/data"), DATA, "/dev/vdb")
    guest.plug(Path("/volumes/root"), ROOT, "/dev/vda")
    return guest


def test_a_folder_is_a_guest_once_its_ports_are_known(inside: Any, guest: Any) -> None:
    machine_at = inside("stackferry_inside.machines").machine_at
    found = machine_at(guest.folder.path)
    assert found.nics == guest.nics
    assert not found.has_agents  # its user data is its own business
    assert not hasattr(machine_at(guest.folder.path.parent / "two"), "nics")


def test_disks_are_in_the_order_of_their_names_and_bear_their_volumes_ids(inside: Any, guest: Any) -> None:
    listing = inside("stackferry_inside.guest_disks").listing
    assert [(disk.file, disk.serial) for disk in listing(guest.folder)] == [
        ("/volumes/root", ROOT[:20]),
        ("/volumes/data", DATA[:20]),
    ]
    guest.unplug(Path("/volumes/root"))
    guest.folder.link_device(guest.folder.root_disk, "vda")
    assert [disk.serial for disk in listing(guest.folder)] == ["root", DATA[:20]]


def test_qemu_gets_the_disks_the_ports_and_the_servers_id(inside: Any, guest: Any) -> None:
    qemu, disks = inside("stackferry_inside.guest_qemu"), inside("stackferry_inside.guest_disks")
    boot = qemu.Boot("/k", "/i", "ns", "tcg")
    words = qemu.command(boot, Path("/run/netns/ns"), guest.folder.read(), disks.listing(guest.folder), guest.nics)
    assert words[:3] == ["nsenter", "--net=/run/netns/ns", "qemu-system-x86_64"]
    options = list(pairwise(words))
    assert ("-uuid", "the-id") in options
    serials = [json.loads(value)["serial"] for key, value in options if key == "-device" and value[0] == "{"]
    assert serials == [ROOT[:20], DATA[:20]]
    (port,) = [value for key, value in options if key == "-device" and value.startswith("virtio-net")]
    assert "mac=fa:16:3e:00:00:01,host_mtu=1450" in port
    assert all(len(name) < 16 for nic in guest.nics for name in (nic.tap, nic.bridge))


def test_guests_of_all_clouds_of_a_sandbox_share_a_network(inside: Any, tmp_path: Path) -> None:
    network_of = inside("stackferry_inside.guest_machine").network_of
    boot = {"kernel": "/k", "initrd": "/i", "namespace": "ns", "accelerator": "tcg"}
    for cloud in ("src", "dst"):
        (tmp_path / "clouds" / cloud / "etc").mkdir(parents=True)
        (tmp_path / "clouds" / cloud / "etc/guests.json").write_text(json.dumps(boot))
    one, two = (network_of(tmp_path / "clouds" / cloud) for cloud in ("src", "dst"))
    assert one == two
    assert one.lock == tmp_path / "guests.lock"


def test_a_cloud_that_was_not_prepared_says_what_to_do(inside: Any, guest: Any) -> None:
    error = inside("stackferry_inside.guest_monitor").GuestError
    with pytest.raises(error, match="stackferry-sandbox guests src"):
        guest.power_on()


def test_the_image_changes_with_its_recipe_and_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, made = image.recipe(), image.Image(tmp_path / "made")
    (tmp_path / "a.whl").write_text("1")
    files = {"/opt/wheels/a.whl": tmp_path / "a.whl"}
    first = image.digest_of(made, files)
    (tmp_path / "a.whl").write_text("2")
    assert first != image.digest_of(made, files)
    monkeypatch.setattr(image, "SIZE", "1M")
    assert before != image.recipe()
    assert image.cache_folder({"HOME": "/home/me"}) == Path("/home/me/.cache/stackferry/guest")


def test_units_that_are_enabled_are_not_masked() -> None:
    masked = set((debian.HERE / "masked-units.txt").read_text().split())
    assert not masked & {Path(name).name for name in debian.ENABLED}


def test_a_relay_carries_both_ways_until_both_have_said_all() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        threading.Thread(target=network.serve, args=(listener, server.getsockname()), daemon=True).start()
        with socket.create_connection(listener.getsockname()) as caller:
            called, _ = server.accept()
            with called:
                caller.sendall(b"question")
                caller.shutdown(socket.SHUT_WR)
                assert called.makefile("rb").read() == b"question"
                called.sendall(b"answer")
                called.shutdown(socket.SHUT_WR)
                assert caller.makefile("rb").read() == b"answer"
        listener.shutdown(socket.SHUT_RDWR)
