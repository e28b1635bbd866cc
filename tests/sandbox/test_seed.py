"""The description of the realistic tenant, and the bytes of its images."""

import ipaddress
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from stackferry_sandbox.errors import SandboxError
from stackferry_sandbox.furnish import FLAVORS
from stackferry_sandbox.seed import contents, image_builder, images, keys, stacks
from stackferry_sandbox.seed.build import load, missing, possible

TENANT = load()


def names(section: str) -> list[str]:
    return [attributes.get("name", key) for key, attributes in TENANT[section].items()]


def subnets() -> dict[str, dict[str, Any]]:
    return {
        key: subnet for network in TENANT["networks"].values() for key, subnet in network.get("subnets", {}).items()
    }


def test_every_reference_leads_somewhere() -> None:
    for group in TENANT["security_groups"].values():
        for rule in group.get("rules", ()):
            assert rule.get("remote_group", "web") in TENANT["security_groups"]
            assert rule.get("remote_address_group", "offices") in TENANT["address_groups"]
    for router in TENANT["routers"].values():
        for leg in router.get("interfaces", ()):
            assert leg["subnet"] in subnets()


def test_every_reference_of_a_server_leads_somewhere() -> None:
    for server in TENANT["servers"].values():
        assert ("image" in server) != any(disk.get("boot_index") == 0 for disk in server.get("disks", ()))
        assert server.get("image", "base-raw") in TENANT["images"]
        assert server.get("key_name", "deploy") in names("keypairs")
        assert server.get("group", "database") in TENANT["server_groups"]
        assert server["flavor"] in {flavor["name"] for flavor in FLAVORS}
        assert {disk["volume"] for disk in server.get("disks", ())} <= set(TENANT["volumes"])
        for port in server["ports"]:
            assert set(port.get("security_groups", ())) <= set(TENANT["security_groups"])
            own = TENANT["networks"][port["network"]]["subnets"]
            for ip in port["fixed_ips"]:
                cidr = ipaddress.ip_network(own[ip["subnet"]]["cidr"])
                assert ipaddress.ip_address(ip.get("ip_address", cidr[1])) in cidr


def test_names_stay_within_the_characters_that_the_services_take() -> None:
    assert max(str(TENANT)) <= "\uffff"


def test_what_must_not_be_lost_is_in_it() -> None:
    assert names("networks").count("twin") == 2
    assert names("security_groups").count("twin") == 2
    assert "" in names("networks")
    assert any(subnet.get("name") == "" for subnet in subnets().values())
    assert {subnet.get("ipv6_address_mode") for subnet in subnets().values()} == {None, "slaac", "dhcpv6-stateful"}
    assert any(not network.get("port_security_enabled", True) for network in TENANT["networks"].values())
    legs = [leg["subnet"] for router in TENANT["routers"].values() for leg in router.get("interfaces", ())]
    assert len(legs) > len(set(legs))  # two routers on one subnet


def test_servers_have_what_must_not_be_lost() -> None:
    servers = list(TENANT["servers"].values())
    ports = [port for server in servers for port in server["ports"]]
    for word in ("image", "disks", "group", "config_drive", "user_data", "metadata", "tags", "key_name", "stopped"):
        assert any(word in server for server in servers), word
    for word in ("floating_ip", "allowed_address_pairs", "mac_address"):
        assert any(word in port for port in ports), word
    assert any(port.get("port_security_enabled") is False for port in ports)
    assert any(len(server.get("disks", ())) == 3 for server in servers)
    assert any(len({port["network"] for port in server["ports"]}) == 3 for server in servers)
    used = {disk["volume"] for server in servers for disk in server.get("disks", ())}
    assert any(TENANT["volumes"][key].get("metadata") for key in set(TENANT["volumes"]) - used)


def test_noise_is_the_same_every_time_and_leaves_holes(tmp_path: Path) -> None:
    disks = [tmp_path / name for name in ("one", "two", "three")]
    for disk, name in zip(disks, ("db", "db", "other"), strict=True):
        disk.touch()
        os.truncate(disk, 64 << 20)
        contents.fill(disk, name, {"noise": 3})
    first, second, third = (disk.read_bytes() for disk in disks)
    assert first == second != third
    assert len(first) == 64 << 20
    assert disks[0].stat().st_blocks * 512 < 4 << 20


def test_files_are_in_a_real_file_system(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.touch()
    os.truncate(disk, 1 << 30)
    contents.fill(disk, "db", {"noise": 2, "files": {"etc/hostname": "db-1\n", "srv/заметка": "привет"}})
    assert disk.stat().st_size == 1 << 30
    assert disk.stat().st_blocks * 512 < 16 << 20
    for path, text in (("/etc/hostname", "db-1\n"), ("/srv/заметка", "привет")):
        shown = subprocess.run(["/sbin/debugfs", "-R", f"cat {path}", disk], capture_output=True, check=True)
        assert shown.stdout.decode() == text


def test_a_missing_program_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "PROGRAM", "no-such-program")
    with pytest.raises(SandboxError, match="e2fsprogs"):
        contents.fill(tmp_path / "disk", "db", {"files": {"a": "b"}})


def test_without_disks_there_are_no_servers() -> None:
    wanted = possible(TENANT, None, lambda _line: None)
    assert wanted["servers"] == wanted["volumes"] == wanted["server_groups"] == {}
    assert wanted["networks"] == TENANT["networks"]


def test_next_hops_lie_on_connected_subnets() -> None:
    for router in TENANT["routers"].values():
        connected = [ipaddress.ip_network(subnets()[leg["subnet"]]["cidr"]) for leg in router.get("interfaces", ())]
        for route in router.get("routes", ()):
            assert any(ipaddress.ip_address(route["nexthop"]) in network for network in connected)


def test_what_is_missing_is_named() -> None:
    description = {"networks": {"a": {}, "b": {"name": "B"}, "c": {"admin": True}}, "routers": {"r": {}}}
    assert missing(description, {"networks": ["a"], "routers": ["r"]}) == {"networks": ["B"]}
    assert missing(description, {"networks": ["a", "B"], "routers": ["r"]}) == {}


def test_images_are_told_their_properties_and_not_our_words() -> None:
    asked = image_builder.request("base", {"disk_format": "raw", "os_distro": "debian", "members": ["x"]})
    assert asked == {"name": "base", "container_format": "bare", "disk_format": "raw", "os_distro": "debian"}


def test_payloads_are_the_same_every_time_and_have_holes() -> None:
    first = images.raw("base", 1)
    assert len(first) == images.MIB
    assert first == images.raw("base", 1)
    assert first != images.raw("other", 1)
    assert bytes(images.BLOCK) in first


@pytest.mark.skipif(not shutil.which("qemu-img"), reason="needs qemu-img")
def test_a_qcow2_payload_is_one() -> None:
    assert images.payload("base", "qcow2", 1)[:4] == b"QFI\xfb"  # type: ignore[index]


@pytest.mark.parametrize(("algorithm", "start"), [("ed25519", "ssh-ed25519 "), ("rsa", "ssh-rsa ")])
def test_public_keys_look_like_ssh_keys(algorithm: str, start: str) -> None:
    line = keys.public_key(algorithm, "me@here")
    assert line.startswith(start)
    assert line.endswith(" me@here")


def test_stacks_have_addresses_of_their_own() -> None:
    networks = [ipaddress.ip_network(stacks.cidr_of(number)) for number in range(1000)]
    assert len(set(networks)) == 1000
    # The external networks of the clouds lie below 10.128.
    assert min(networks) >= ipaddress.ip_network("10.128.0.0/24")
