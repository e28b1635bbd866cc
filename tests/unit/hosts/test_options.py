"""From the command line and OS Migrate's variables to the hosts that are wanted."""

from __future__ import annotations

from typing import Any

import pytest
from stackferry.errors import Error
from stackferry_cli.hosts.options import Place, all_wanted
from stackferry_cli.hosts.wanted import Network, Wanted

NOTHING: dict[str, Any] = {
    "agents": 1, "slots": 4, "bandwidth": 0.0, "listen_port": 10900, "package": None, "pip_arguments": "",
    "config_drive": False, "pre_hook": None, "post_hook": None, "ca_file": None, "ssh_public_key": None,
}  # fmt: skip
BOTH = [Place("src", "east"), Place("dst", "west", "acme")]
FLAVORS = {"os_migrate_src_conversion_flavor_name": "small", "os_migrate_dst_conversion_flavor_name": "large"}


def both(said: dict[str, Any] | None = None, **typed: Any) -> tuple[Wanted, Wanted]:
    one, other = all_wanted(BOTH, {**NOTHING, **typed}, said or {}, "amqp://b//")
    return one, other


def test_a_flavor_is_enough() -> None:
    source, destination = both(flavor=["m1"])
    assert (source.cloud, source.project, source.name, source.names()) == (
        "east",
        None,
        "os_migrate_conv_src",
        ["os_migrate_conv_src"],
    )
    assert (destination.cloud, destination.project, destination.name) == ("west", "acme", "os_migrate_conv_dst")
    for one in (source, destination):
        assert (one.flavor, one.image, one.network, one.floating_ips) == ("m1", "os_migrate_conv", Network(), ("auto",))
        assert (one.peers, one.ssh_from, one.volume_size) == ((), (), None)


def test_a_word_may_be_for_one_cloud() -> None:
    source, destination = both(flavor=["m1", "west=v1"], count=["east=3"], network=["west=net=1"], image=["a=b"])
    assert (source.flavor, destination.flavor) == ("m1", "v1")
    assert source.names() == ["os_migrate_conv_src", "os_migrate_conv_src-2", "os_migrate_conv_src-3"]
    assert destination.count == 1
    assert destination.network == "net=1"
    assert source.network == Network()
    assert source.image == destination.image == "a=b"
    assert (source.floating_ips, destination.floating_ips) == (("auto",), ("none",))


def test_floating_ips_are_given_in_order() -> None:
    source, _ = both(flavor=["m1"], floating_ip=["east=192.0.2.7", "east=192.0.2.8"])
    assert [source.floating_ip(n) for n in range(3)] == ["192.0.2.7", "192.0.2.8", "auto"]
    _, destination = both(flavor=["m1"], floating_ip=["none"])
    assert [destination.floating_ip(n) for n in range(2)] == ["none", "none"]


def test_only_the_sources_hosts_are_reached() -> None:
    source, destination = both(flavor=["m1"], peer=["192.0.2.0/24", "2001:db8::1"], ssh_from=["198.51.100.9"])
    assert source.peers == ("192.0.2.0/24", "2001:db8::1/128")
    assert destination.peers == ()
    assert source.ssh_from == destination.ssh_from == ("198.51.100.9/32",)


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({}, "--flavor is missing"),
        ({"flavor": ["a", "b"]}, "--flavor: a and b"),
        ({"flavor": ["m"], "count": ["0"]}, "--count 0"),
        ({"flavor": ["m"], "count": ["x"]}, "--count x"),
        ({"flavor": ["m"], "mtu": ["-1"]}, "--mtu -1"),
        ({"flavor": ["m"], "cidr": ["10.0.0.1/8"]}, "--cidr.*host bits"),
        ({"flavor": ["m"], "peer": ["everyone"]}, "--peer.*everyone"),
        ({"flavor": ["m"], "floating_ip": ["some"]}, "--floating-ip: 'some'"),
        ({"flavor": ["m"], "pip_arguments": "'"}, "--pip-arguments"),
    ],
)
def test_what_makes_no_sense_is_named(typed: dict[str, Any], words: str) -> None:
    with pytest.raises(Error, match=words):
        both(**typed)


def test_os_migrates_variables_count() -> None:
    said = FLAVORS | {
        "os_migrate_src_conversion_host_name": "conv1",
        "os_migrate_src_conversion_image_name": "centos",
        "os_migrate_src_conversion_net_name": "n",
        "os_migrate_src_conversion_subnet_name": "s",
        "os_migrate_src_conversion_router_name": "r",
        "os_migrate_src_conversion_secgroup_name": "g",
        "os_migrate_src_conversion_external_network_name": "public",
        "os_migrate_src_conversion_net_mtu": 1400,
        "os_migrate_src_conversion_subnet_dns_nameservers": ["8.8.8.8", "9.9.9.9"],
        "os_migrate_src_conversion_floating_ip_address": "192.0.2.7",
        "os_migrate_src_conversion_availability_zone": "az1",
        "os_migrate_src_conversion_host_boot_from_volume": True,
        "os_migrate_src_conversion_host_volume_size": 30,
        "os_migrate_src_conversion_host_pre_content_hook": "echo hi\n",
        "os_migrate_conversion_subnet_cidr": "10.9.0.0/24",
        "os_migrate_conversion_subnet_alloc_start": "10.9.0.10",
        "os_migrate_conversion_subnet_alloc_end": "10.9.0.99",
        "os_migrate_conversion_router_ip": "10.9.0.1",
        "os_migrate_conversion_host_content_install": False,
        "os_migrate_dst_conversion_manage_network": False,
        "os_migrate_dst_conversion_net_name": "theirs",
        "os_migrate_dst_conversion_manage_fip": False,
        "os_migrate_dst_conversion_floating_ip_address": False,
        "os_migrate_dst_conversion_external_network_name": "",
    }  # fmt: skip
    source, destination = both(said)
    assert source.network == Network(
        "n", "s", "r", "public", "10.9.0.0/24", "10.9.0.10", "10.9.0.99", "10.9.0.1", ("8.8.8.8", "9.9.9.9"), 1400
    )
    assert (source.name, source.image, source.group, source.flavor) == ("conv1", "centos", "g", "small")
    assert (source.floating_ips, source.availability_zone, source.volume_size) == (("192.0.2.7",), "az1", 30)
    assert (source.guest.pre_hook, source.guest.install) == ("echo hi\n", False)
    assert (destination.network, destination.floating_ips, destination.flavor) == ("theirs", ("none",), "large")
    assert destination.guest.pre_hook is None
    assert both(said, flavor=["typed"])[0].flavor == "typed"


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("os_migrate_src_conversion_net_mtu", "big", "os_migrate_src_conversion_net_mtu"),
        ("os_migrate_dst_conversion_manage_fip", "perhaps", "os_migrate_dst_conversion_manage_fip"),
        ("os_migrate_conversion_router_ip", "one", "os_migrate_conversion_router_ip"),
        ("os_migrate_conversion_subnet_alloc_start", "10.9.0.10", "_alloc_end"),
        ("os_migrate_src_conversion_image_name", "{{ image }}", "os_migrate_src_conversion_image_name.*Ansible"),
        ("os_migrate_src_conversion_manage_network", False, "--network"),
    ],
)
def test_a_variable_that_makes_no_sense_is_named(variable: str, value: Any, words: str) -> None:
    with pytest.raises(Error, match=words):
        both(FLAVORS | {variable: value})


WALKTHROUGH = {
    "os_migrate_conversion_flavor_name": "m1.large",
    "os_migrate_conversion_external_network_name": "public",
    "os_migrate_conversion_image_name": "centos",
}


def test_what_is_said_without_a_side_is_said_for_both() -> None:
    for one in both(WALKTHROUGH):
        assert (one.flavor, one.image, one.external) == ("m1.large", "centos", "public")


def test_what_is_said_for_one_side_and_otherwise_for_both_is_refused() -> None:
    same = {"os_migrate_dst_conversion_flavor_name": "m1.large"}
    assert both(WALKTHROUGH | same)[1].flavor == "m1.large"
    with pytest.raises(Error, match="os_migrate_conversion_flavor_name is 'm1.large' and os_migrate_dst_.* is 'v1'"):
        both(WALKTHROUGH | {"os_migrate_dst_conversion_flavor_name": "v1"})


def test_public_keys_are_beside_the_private_one_that_the_variable_names(tmp_path: Any) -> None:
    (tmp_path / "ssh.key.pub").write_text("ssh-ed25519 AAAA me\n")
    said = FLAVORS | {"os_migrate_conversion_keypair_private_path": str(tmp_path / "ssh.key")}
    assert both(said)[0].guest.ssh_keys == ("ssh-ed25519 AAAA me",)
    assert both(FLAVORS | {"os_migrate_conversion_keypair_private_path": "/nowhere/key"})[0].guest.ssh_keys == ()
