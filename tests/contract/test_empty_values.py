"""What is empty at the source is empty at the destination: the empty value of each field of each kind, at creation.

A cloud fills in what a request leaves out. So a kind must say an empty value wherever the cloud would choose another
one (``empty=True``, ``nullable=True``); where it can't, the table says why.
"""

from __future__ import annotations

import time
from typing import Any

import pytest
from stackferry.resources import KINDS
from stackferry.resources.fields import Address, Bag, Cidr, Many, Portable, Ref, Struct, Text
from stackferry.resources.image_fields import Property

from .projects import NAMES, exported, view
from .test_kinds import import_one, plain, resource_of
from .test_workloads import CLASSES, ground, move, servers, with_servers

pytestmark = pytest.mark.thorough

#: why a field can't be empty, or needs no saying → the fields
EXEMPT = {
    "no resource of any cloud is without it": {
        "image.container_format", "image.disk_format", "image.hash_algo", "image.hash_value", "image.visibility",
        "floating_ip.floating_ip_address", "free_floating_ip.floating_ip_address", "free_port.binding_vnic_type",
        "free_port.mac_address", "keypair.type", "port.binding_vnic_type", "port.mac_address", "router_interface.device_owner",
        "router_interface.fixed_ips_refs", "router_interface.mac_address", "security_group_rule.direction", "security_group_rule.ether_type",
        "server.availability_zone", "server.disk_config", "server.hostname", "server_group.name",
        "sub_port.binding_vnic_type", "sub_port.mac_address", "subnet.cidr", "volume.availability_zone",
        "volume.volume_type",
    },
    "APIs know it as null, never as an empty text or list, and null is what a cloud makes of nothing": {
        "free_port.binding_profile", "network.provider_network_type", "network.provider_physical_network", "network.segments", "port.binding_profile",
        "security_group_rule.protocol", "server.key_name", "server.user_data", "server_group.rules",
        "sub_port.binding_profile", "subnet.ipv6_address_mode", "subnet.ipv6_ra_mode", "volume.volume_image_metadata",
    },
    "null says nothing of it: the default policy of the project there holds, if it has one": {"network.qos_policy_ref"},
    "Nova makes it of the server's host name": {"port.dns_name"},
    "our own mark is in it until the server has arrived": {"volume.metadata"},
    "it's put together of the server's parts, which are in this test by themselves": {
        "free_trunk.sub_ports", "server.floating_ips", "server.ports", "server.scheduler_hints", "server.security_group_refs",
        "server.sub_ports", "server.trunks", "server.volumes",
    },
}  # fmt: skip
LISTED = set().union(*EXEMPT.values())


def empty(field: Portable) -> Any:
    match field:
        case Address() | Cidr() | Ref() | Struct() | Property():
            return None
        case Many():
            return []
        case Bag():
            return {}
    return ""


def fields_that_may_be_empty() -> list[str]:
    return [
        f"{kind}.{name}"
        for kind in sorted(KINDS)
        for name, field in KINDS[kind].declared().items()
        if isinstance(field, Text | Address | Cidr | Ref | Struct | Property | Many | Bag) and not field.required
    ]


@pytest.fixture(autouse=True)
def _no_time_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)


def arrived(kind: str, name: str, value: Any) -> dict[str, Any]:
    """What a cloud has made of a document in which one field has this value."""
    source = with_servers()
    if kind == "router_interface":
        for router in source.all(resource_of("router")):
            router["routes"] = []  # they'd need the interface
    if kind in NAMES:
        document = plain(exported(source, admin=True), kind)
        besides = {n: v for n, v in document["params"].items() if n not in ("kernel_ref", "ramdisk_ref")}
        document["params"] = {**besides, name: value}
        cloud, ended = import_one(source, kind, document, admin=True)
        assert ended.outcome == "created", ended
        return dict(cloud.rows[resource_of(kind)][str(ended.destination_id)])
    cloud, pet = ground(source), servers(source)["pet"]
    document, path = (pet, "server") if kind == "server" else (pet["params"][f"{kind}s"][0], f"{kind}s.0")
    document["params"][name] = value
    made = move(pet, view(cloud, admin=True))[path]
    assert made.outcome == "created", made
    return dict(cloud.rows[CLASSES[kind]][str(made.destination_id)])


@pytest.mark.parametrize("what", [what for what in fields_that_may_be_empty() if what not in LISTED])
def test_what_is_empty_arrives_empty(what: str) -> None:
    kind, _, name = what.partition(".")
    value = empty(KINDS[kind].declared()[name])
    assert arrived(kind, name, value).get(KINDS[kind].attribute(name)) == value


def test_only_fields_that_exist_are_exempt() -> None:
    assert sorted(LISTED - set(fields_that_may_be_empty())) == []
