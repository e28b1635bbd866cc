"""Data files: OS Migrate's, of every version since 0.13, read, checked together, and written again."""

from __future__ import annotations

import copy
import os
import re
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from stackferry import documents
from stackferry.documents import dump, for_os_migrate, load, problems, read_directory, upgrade, write_directory
from stackferry.documents.values import parse
from stackferry.errors import InvalidDocument
from stackferry.resources import BY_TYPE, KINDS

OURS = {"domain_name": "%auth%", "project_name": "%auth%"}
THEIRS = {"domain_name": "Default", "project_name": "test-project"}
#: one resource of each file, with every key that OS Migrate writes
EXAMPLES: dict[str, dict[str, Any]] = {
    "networks": {
        "type": "openstack.network.Network",
        "_info": {"availability_zones": ["nova"], "created_at": "2020-01-06T15:50:55Z", "id": "uuid-test-net",
                  "project_id": "uuid-test-project", "qos_policy_id": "uuid-test-qos-policy", "revision_number": 3,
                  "status": "ACTIVE", "subnet_ids": ["uuid-test-subnet1"], "updated_at": "2020-01-06T15:51:00Z"},
        "_migration_params": {},
        "params": {"availability_zone_hints": ["nova", "zone2"], "description": "test network",
                   "dns_domain": "example.org", "is_admin_state_up": True, "is_default": False,
                   "is_port_security_enabled": True, "is_router_external": False, "is_shared": False,
                   "is_vlan_transparent": False, "mtu": 1400, "name": "test-net", "provider_network_type": "vxlan",
                   "provider_physical_network": "physnet", "provider_segmentation_id": "456",
                   "qos_policy_ref": {"name": "test-qos-policy", **THEIRS}, "segments": [], "tags": []},
    },
    "subnets": {
        "type": "openstack.subnet.Subnet",
        "_info": {"created_at": "2020-02-21T17:34:54Z", "id": "uuid-test-subnet1", "network_id": "uuid-test-net",
                  "prefix_length": None, "project_id": "uuid-tenant", "revision_number": 0,
                  "segment_id": "uuid-test-segment", "subnet_pool_id": "uuid-test-subnet-pool", "updated_at": None},
        "_migration_params": {},
        "params": {"allocation_pools": [{"end": "10.10.10.50", "start": "10.10.10.10"}], "cidr": "10.10.10.0/24",
                   "description": "test-subnet", "dns_nameservers": [], "gateway_ip": "10.10.10.1",
                   "host_routes": [{"destination": "0.0.0.0/0", "nexthop": "12.34.56.78"}], "ip_version": 4,
                   "ipv6_address_mode": None, "ipv6_ra_mode": None, "is_dhcp_enabled": True, "name": "test-subnet1",
                   "network_ref": {"name": "test-net", **THEIRS}, "segment_ref": {"name": "test-segment", **THEIRS},
                   "service_types": None, "subnet_pool_ref": {"name": "test-subnet-pool", **THEIRS}, "tags": [],
                   "use_default_subnet_pool": None},
    },
    "routers": {
        "type": "openstack.network.Router",
        "_info": {"availability_zones": ["nova"], "created_at": "2020-02-26T15:50:55Z",
                  "external_gateway_info": {"enable_snat": True, "network_id": "uuid-test-external-net"},
                  "flavor_id": "uuid-test-network-flavor", "id": "uuid-test-router", "project_id": "uuid-test-project",
                  "revision_number": 3, "routes": [], "status": "ACTIVE", "updated_at": "2020-02-26T15:51:00Z"},
        "_migration_params": {},
        "params": {"availability_zone_hints": ["nova", "zone2"], "description": "test router",
                   "external_gateway_refinfo": {"network_ref": {"domain_name": None, "name": "test-external-net",
                                                                "project_name": None}},
                   "flavor_ref": {"name": "test-network-flavor", **THEIRS}, "is_admin_state_up": True,
                   "is_distributed": True, "is_ha": True, "name": "test-router", "tags": []},
    },
    "router_interfaces": {
        "type": "openstack.network.RouterInterface",
        "_info": {"id": "uuid-test-router-interface"},
        "_migration_params": {},
        "params": {"device_owner": "network:router_interface", "device_ref": {"name": "test-router", **THEIRS},
                   "fixed_ips_refs": [{"ip_address": "192.168.0.10", "subnet_ref": {"name": "test-subnet", **THEIRS}}],
                   "network_ref": {"name": "test-net", **THEIRS}},
    },
    "security_groups": {
        "type": "openstack.network.SecurityGroup",
        "_info": {"created_at": "2020-01-30T14:49:06Z", "id": "uuid", "project_id": "uuid-project",
                  "revision_number": 1, "updated_at": "2020-01-30T14:49:06Z"},
        "_migration_params": {},
        "params": {"description": "Default security group", "name": "default"},
    },
    "security_group_rules": {
        "type": "openstack.network.SecurityGroupRule",
        "_info": {"created_at": "2020-01-30T14:49:06Z", "id": "uuid", "project_id": "uuid-project",
                  "remote_group_id": "uuid-group", "revision_number": 0, "security_group_id": "uuid-sec-group",
                  "updated_at": "2020-01-30T14:49:06Z"},
        "_migration_params": {},
        "params": {"description": "", "direction": "ingress", "ether_type": "IPv4", "port_range_max": 100,
                   "port_range_min": 10, "protocol": "tcp", "remote_group_ref": {"name": "remote", **THEIRS},
                   "remote_ip_prefix": None, "security_group_ref": {"name": "default", **OURS}},
    },
    "keypairs": {
        "type": "openstack.compute.Keypair",
        "_info": {"created_at": "2020-01-06T15:50:55Z", "fingerprint": "TqiTXPRs4cBksWa5pnMTmbEXjgd7bfvuSX7y4sHeMo4",
                  "id": "test-keypair", "is_deleted": False, "user_id": "uuid-test-user"},
        "_migration_params": {},
        "params": {"name": "test-keypair", "public_key": "AAAAB3NzaC1yc2E==", "type": "ssh",
                   "user_ref": {"domain_name": "%auth%", "name": "%auth%", "project_name": None}},
    },
    "flavors": {
        "type": "openstack.compute.Flavor",
        "_info": {"id": "uuid-test-flavor", "is_disabled": False},
        "_migration_params": {},
        "params": {"description": "", "disk": 256, "name": "test-flavor", "ram": 128, "vcpus": 2},
    },
    "projects": {
        "type": "openstack.identity.Project",
        "_info": {"domain_id": "uuid-test-domain", "id": "uuid-test-project-2", "parent_id": "p"},
        "_migration_params": {},
        "params": {"description": "", "is_domain": False, "is_enabled": True, "name": "test-project"},
    },
    "users": {
        "type": "openstack.user.User",
        "_info": {"default_project_id": "p", "domain_id": "d", "id": "uuid-test-user"},
        "_migration_params": {},
        "params": {"description": "d", "email": "test-user@domain.com", "is_enabled": True, "name": "test-user"},
    },
    "user_project_role_assignments": {
        "type": "openstack.identity.UserProjectRoleAssignment",
        "_info": {"project_id": "p", "role_id": "r", "user_id": "u"},
        "_migration_params": {},
        "params": {"role_ref": {"domain_name": "d", "name": "test-role", "project_name": None}},
    },
    "detached_volumes": {
        "type": "openstack.network.ServerVolume",
        "_info": {"attachments": None, "id": "uuid-test-volume", "is_bootable": False, "size": 1},
        "_migration_params": {},
        "params": {"availability_zone": "nova", "description": "test volume", "name": "test-volume",
                   "volume_image_metadata": None, "volume_type": "tripleo"},
    },
    "workloads": {
        "type": "openstack.compute.Server",
        "_info": {"created_at": "2020-11-12T17:55:40Z", "flavor_id": "uuid-flavor", "hypervisor_hostname": None,
                  "id": "uuid-test-server", "launched_at": "2020-11-12T17:56:00.000000", "project_id": "p",
                  "security_group_ids": ["uuid-secgroup-default"], "status": "SHUTOFF",
                  "updated_at": "2020-11-12T17:56:30Z", "user_id": "uuid-test-user"},
        "_migration_params": {
            "additional_volumes": [{"uuid": None}], "boot_disk_copy": False, "boot_volume": {"uuid": None},
            "boot_volume_params": {"availability_zone": None, "description": None, "name": None, "volume_type": None},
            "data_copy": True, "floating_ip_mode": "auto", "nbdkit_export_name": None, "nbdkit_socket_uri": None,
            "port_creation_mode": "nova", "use_nbdkit_direct": False,
        },
        "params": {
            "availability_zone": "nova", "config_drive": None, "description": "test server", "disk_config": "MANUAL",
            "flavor_ref": {"name": "m1.small", "project_name": None, "domain_name": None},
            "floating_ips": [{
                "type": "openstack.network.ServerFloatingIP",
                "_info": {"created_at": "2020-11-25T15:26:15Z", "floating_network_id": "uuid-net", "id": "uuid-fip",
                          "port_id": "uuid-test-server-port", "qos_policy_id": None, "router_id": "uuid-router",
                          "tags": [], "updated_at": "2020-11-25T15:26:18Z"},
                "_migration_params": {},
                "params": {"description": "my FIP", "dns_domain": "example.org", "dns_name": "testname",
                           "fixed_ip_address": "192.168.20.7", "floating_ip_address": "172.20.9.135",
                           "floating_network_ref": {"name": "public", "project_name": None, "domain_name": None},
                           "qos_policy_ref": None},
            }],
            "image_ref": {"name": "test-image", **THEIRS}, "key_name": "test-key", "metadata": {},
            "name": "test-server",
            "ports": [{
                "type": "openstack.network.ServerPort",
                "_info": {"device_id": "uuid-test-server", "device_owner": "compute:zone", "id": "uuid-port"},
                "_migration_params": {},
                "params": {"binding_profile": None, "binding_vnic_type": "normal", "mac_address": "fa:16:3e:ab:cd:ef",
                           "fixed_ips_refs": [{"ip_address": "192.168.0.11", "subnet_ref": {"name": "s", **OURS}}],
                           "network_ref": {"name": "osm_net", **OURS}},
            }],
            "scheduler_hints": None, "security_group_refs": [{"name": "default", **OURS}], "tags": [],
            "user_data": None,
            "volumes": [{
                "type": "openstack.network.ServerVolume",
                "_info": {"attachments": [{"attached_at": "2021-07-22T12:14:23.000000", "attachment_id": "uuid-att",
                                           "device": "/dev/vdb", "host_name": None, "id": "uuid-test-volume",
                                           "server_id": "uuid-test-server", "volume_id": "uuid-test-volume"}],
                          "id": "uuid-test-volume", "is_bootable": False, "size": 1},
                "_migration_params": {},
                "params": {"availability_zone": "nova", "description": "test volume", "name": "test-volume",
                           "volume_image_metadata": None, "volume_type": "tripleo"},
            }],
        },
    },
}  # fmt: skip
VERSIONS = ("0.13.0", "0.17.0", "1.0.0", "1.0.5", "1.1", "2.0.0")
IMPORTED = [name for name, example in EXAMPLES.items() if example["type"] in BY_TYPE]


def text(*resources: Any, version: Any = "1.0.5") -> str:
    return yaml.safe_dump({"os_migrate_version": version, "resources": list(resources)})


def wrong(content: str) -> str:
    with pytest.raises(InvalidDocument) as caught:
        load(content, "networks.yml")
    return str(caught.value)


def network(**params: Any) -> dict[str, Any]:
    return {"type": "openstack.network.Network", "_info": {"id": "n1"}, "params": {"name": "net", **params}}


def told(*found: Any) -> list[str]:
    """What is wrong with documents of networks.yml."""
    return problems([("networks.yml", document) for document in load(text(*found))])


# -- reading -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", EXAMPLES)
def test_every_type_is_read_in_every_version_and_nothing_is_wrong_with_it(name: str, version: str) -> None:
    found = load(text(EXAMPLES[name], version=version), f"{name}.yml")
    assert found == [EXAMPLES[name]]
    assert problems((f"{name}.yml", document) for document in found) == []


def test_the_example_directory_is_read_as_a_whole(tmp_path: Path) -> None:
    for name, example in EXAMPLES.items():
        (tmp_path / f"{name}.yml").write_text(text(example))
    (tmp_path / "clouds.yaml").write_text("clouds: {}")
    types = [example["type"] for example in EXAMPLES.values()]
    assert sorted(d["type"] for d in read_directory(tmp_path).documents) == sorted(types)


@pytest.mark.parametrize(("old", "new"), documents.OLD_REFERENCES.items())
def test_a_name_of_an_old_file_becomes_a_reference(old: str, new: str) -> None:
    (found,) = load(text({**network(), "params": {old: "it", "other": 1}}, version="0.13.0"))
    assert found["params"] == {new: {"name": "it", "project_name": None, "domain_name": None}, "other": 1}
    (found,) = load(text({**network(), "params": {old: None}}))
    assert found["params"] == {new: None}
    both = {old: "old", new: {"name": "new"}}
    assert upgrade({**network(), "params": both})["params"] == both


@pytest.mark.parametrize("name", sorted(set(documents.OLD_REFERENCES.values())))
def test_old_names_stand_for_references_that_exist(name: str) -> None:
    assert name in {field for kind in KINDS.values() for field in kind.declared()} | {"kernel_ref", "ramdisk_ref"}


def test_parts_that_are_not_there_become_empty_ones() -> None:
    (found,) = load(text({"type": "openstack.network.Network", "params": {"name": "net"}, "_info": None}))
    assert (found["_info"], found["_migration_params"]) == ({}, {})


def test_a_file_without_resources_is_fine() -> None:
    assert load(text()) == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "os_migrate_version"),
        ("null", "os_migrate_version"),
        ("[]", "resources (a list)"),
        ("text", "resources (a list)"),
        ("os_migrate_version: 1.0.5", "resources (a list)"),
        ("os_migrate_version: 1.0.5\nresources: {}", "resources (a list)"),
        ("resources: []", "os_migrate_version is None"),
        ("os_migrate_version: 1.0\nresources: []", "os_migrate_version is 1.0"),
        ("os_migrate_version: [1]\nresources: []", "os_migrate_version is [1]"),
        ("os_migrate_version: 0.12.9\nresources: []", "'0.12.9'; versions from 0.13"),
        ("os_migrate_version: latest\nresources: []", "'latest'"),
        ("os_migrate_version: '1'\nresources: []", "'1'"),
        ("os_migrate_version: 1.0.5\nresources: [\n", "line 3"),
        ("os_migrate_version: 1.0.5\n\tresources: []", "line 2, column 1: not valid YAML"),
        (
            "os_migrate_version: 1.0.5\nresources:\n- type: a\n  type: b",
            "line 4, column 3: not valid YAML: the key 'type'",
        ),
        ("a: !!python/object/apply:os.system [ls]", "not valid YAML"),
        ("a: *nowhere", "not valid YAML"),
        ("{[a]: b}", "not valid YAML"),
        ("\x00", "not valid YAML"),
        ("a: 1\n---\nb: 2", "not valid YAML"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_place(content: str, expected: str) -> None:
    message = wrong(content)
    assert message.startswith("networks.yml")
    assert expected in message


def test_a_version_of_odd_digits_is_refused() -> None:
    assert "os_migrate_version" in wrong(text(version="1.²"))


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(exclude_characters="²³¹"), max_size=60))
def test_no_text_raises_anything_but_invalid_document(content: str) -> None:
    for body in (content, f"os_migrate_version: 1.0.5\nresources: [{content}]"):
        with suppress(InvalidDocument):
            load(body)


def with_value(value: str) -> str:
    return f"os_migrate_version: 1.0.5\nresources:\n- type: t\n  params: {{}}\n  _info:\n    created_at: {value}"


@pytest.mark.parametrize("value", ["2020-01-06T15:50:55Z", "2020-01-06", "2020-13-45", "!!timestamp 2020-01-06"])
def test_a_time_stays_the_text_that_it_is(value: str) -> None:
    (found,) = load(with_value(value))
    assert found["_info"] == {"created_at": value.split()[-1]}


@pytest.mark.parametrize(
    "value",
    ["!!binary aGk=", "!!set {a}", "!!omap [a: 1]", ".nan", ".inf", "1.0e+999", '"\\ud800"', "!!int x", "!!bool x",
     "{1: a}", "{null: a}", "&self [*self]", "&self {a: *self}"],
)  # fmt: skip
def test_what_cannot_be_sent_is_refused_with_its_place(value: str) -> None:
    assert wrong(with_value(value)).startswith("networks.yml, line 6, column ")


def test_what_is_nested_too_deeply_is_refused() -> None:
    found = wrong(with_value("[" * 10_000))  # PyYAML has a limit of its own, from 6.0.4 on
    assert re.match(
        r"networks\.yml, line 6, column \d+: not valid YAML: (lists and mappings|exceeded maximum nesting)", found
    )


# -- checking ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (network(mtu="big"), "params.mtu: Not a valid integer"),
        (network(is_shared="yes"), "params.is_shared: Not a valid boolean"),
        (network(name=["a"]), "params.name: Not a valid string"),
        (network(tags="a"), "params.tags: expected a list"),
        (network(tags=["a", 1]), "params.tags.1: Not a valid string"),
        (network(segments=["a"]), "params.segments.0: Not a valid mapping"),
        (network(qos_policy_ref="gold"), "params.qos_policy_ref: expected {name"),
        (network(qos_policy_ref={"name": 5}), "params.qos_policy_ref: expected {name"),
        ({"type": "openstack.network.Network"}, "params is missing"),
        ({"type": "openstack.network.Network", "params": []}, "params is missing"),
        ({"type": "openstack.network.Netwrok", "params": {}}, "type is 'openstack.network.Netwrok'; known are"),
        ({"params": {}}, "type is None"),
        ({"type": "openstack.subnet.Subnet", "params": {"name": "s"}}, "params.network_ref: Missing"),
        ("text", "expected an object"),
        (None, "expected an object"),
    ],
)
def test_what_is_wrong_is_told_with_file_resource_and_field(document: Any, expected: str) -> None:
    (problem,) = told(document)
    assert problem.startswith("networks.yml: ")
    assert expected in problem


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"cidr": "10.0.0.0/33"}, "params.cidr"),
        ({"gateway_ip": "10.0.0.300"}, "params.gateway_ip"),
        ({"dns_nameservers": ["1.1.1.1", "x"]}, "params.dns_nameservers.1"),
        ({"allocation_pools": [{"start": "x", "end": "10.0.0.9"}]}, "params.allocation_pools.0.start"),
        ({"host_routes": [{"destination": "10.0.0.0/8", "nexthop": 5}]}, "params.host_routes.0.nexthop"),
    ],
)
def test_a_wrong_address_is_told_with_its_path(params: dict[str, Any], field: str) -> None:
    subnet = copy.deepcopy(EXAMPLES["subnets"])
    subnet["params"].update(params)
    (problem,) = problems([("subnets.yml", subnet)])
    assert problem.startswith("subnets.yml: subnet 'test-subnet1': ")
    assert f"{field}: " in problem


def test_a_missing_part_of_a_gateway_is_told_with_its_path() -> None:
    router = copy.deepcopy(EXAMPLES["routers"])
    router["params"]["external_gateway_refinfo"] = {"enable_snat": "no"}
    found = problems([("routers.yml", router)])
    assert {problem.split(": ")[2] for problem in found} == {
        "params.external_gateway_refinfo.network_ref", "params.external_gateway_refinfo.enable_snat",
    }  # fmt: skip


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "networks.yml").write_text(text(network(mtu="x"), {**network(name=1), "_info": {"id": "n2"}}))
    (tmp_path / "subnets.yml").write_text("nonsense")
    (tmp_path / "routers.yml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(InvalidDocument) as caught:
        read_directory(tmp_path)
    assert sorted(problem.split(":")[0] for problem in caught.value.problems) == [
        "networks.yml", "networks.yml", "routers.yml", "subnets.yml",
    ]  # fmt: skip


def test_a_resource_that_stands_twice_is_told_once() -> None:
    (problem,) = told(network(), network(), network())
    assert "network 'net': stands twice (_info.id n1)" in problem


def test_the_same_id_in_two_types_is_no_duplicate() -> None:
    group = {"type": "openstack.network.SecurityGroup", "_info": {"id": "n1"}, "params": {"name": "net"}}
    assert told(network(), group) == []


def test_documents_without_ids_are_never_duplicates() -> None:
    assert told({**network(), "_info": {}}, {**network(), "_info": {}}) == []


def test_a_duplicate_is_told_even_when_something_else_is_wrong() -> None:
    found = told(network(), network(), network(mtu="x"))
    assert any("stands twice" in problem for problem in found)


def test_a_duplicate_is_told_even_after_something_else_was_wrong() -> None:
    found = told(network(mtu="x"), network(), network())
    assert any("stands twice" in problem for problem in found)


CRASHING = [
    pytest.param({**network(), "_info": "text"}, id="_info is a text"),
    pytest.param({**network(), "_info": [1]}, id="_info is a list"),
    pytest.param({**network(), "_info": {"id": ["a"]}}, id="_info.id is a list"),
    pytest.param({"type": ["a"], "params": {}}, id="type is a list"),
    pytest.param({"type": "openstack.compute.Flavor"}, id="a flavor without params"),
    pytest.param({"type": "openstack.compute.Flavor", "params": [1]}, id="a flavor with a list of params"),
    pytest.param(
        {"type": "openstack.network.SecurityGroupRule", "params": {"security_group_ref": "default"}},
        id="a rule whose reference is a text",
    ),
    pytest.param(
        {"type": "openstack.network.RouterInterface", "params": {"device_ref": "router", "network_ref": {"name": "n"}}},
        id="an interface whose reference is a text",
    ),
    pytest.param(
        {
            "type": "openstack.network.RouterInterface",
            "params": {"device_ref": {"name": "r"}, "network_ref": {"name": "n"}, "fixed_ips_refs": ["10.0.0.1"]},
        },
        id="an interface whose address is a text",
    ),
]


@pytest.mark.parametrize("document", CRASHING)
def test_a_wrong_type_anywhere_is_told_and_no_crash(document: Any) -> None:
    assert told(document)


def test_duplicates_are_told_though_their_fields_are_wrong_too() -> None:
    assert [problem.split(": ")[2] for problem in told(network(mtu="x"), network(mtu="x"))] == [
        "params.mtu", "params.mtu", "stands twice (_info.id n1); remove one",
    ]  # fmt: skip


def test_params_that_we_do_not_know_are_no_problem() -> None:
    assert told(network(from_the_future={"a": 1})) == []


def test_a_null_is_not_said() -> None:
    assert told(network(mtu=None, tags=None, is_shared=None, qos_policy_ref=None)) == []


def test_a_directory_without_data_files_is_told(tmp_path: Path) -> None:
    (tmp_path / "other.yml").write_text("a: b")
    for directory in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InvalidDocument, match="no data files"):
            read_directory(directory)


# -- writing -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_is_written_is_read_as_it_was(name: str) -> None:
    assert load(dump([EXAMPLES[name]])) == [EXAMPLES[name]]


def test_files_look_like_those_of_os_migrate() -> None:
    assert dump([EXAMPLES["networks"]]) == yaml.safe_dump(
        {"os_migrate_version": "1.0.5", "resources": [EXAMPLES["networks"]]}, default_flow_style=False
    )


def test_the_same_object_twice_makes_no_anchors() -> None:
    shared = {"name": "x"}
    assert "&" not in dump([{"params": {"a": shared, "b": shared}}])


def test_names_of_every_kind_survive_a_file(tmp_path: Path) -> None:
    names = ["a/b", "../up", "ünï", "", "null", "1.0", "yes", "2020-01-01", "a: b", "- a", "#", "  ", "'\"", "\t"]
    found = [{**network(name=name), "_info": {"id": str(number)}} for number, name in enumerate(names)]
    write_directory(tmp_path, found)
    assert [p.name for p in tmp_path.iterdir()] == ["networks.yml"]
    assert [document["params"]["name"] for document in read_directory(tmp_path).documents] == names


def test_each_kind_has_its_own_file(tmp_path: Path) -> None:
    written = write_directory(tmp_path / "new" / "folder", [EXAMPLES[name] for name in IMPORTED])
    assert sorted(path.stem for path in written) == sorted(IMPORTED)
    assert len(read_directory(tmp_path / "new" / "folder").documents) == len(IMPORTED)


def test_exporting_again_replaces_in_place_adds_at_the_end_and_removes_nothing(tmp_path: Path) -> None:
    def net(id_: str, name: str) -> dict[str, Any]:
        return {**network(name=name), "_info": {"id": id_}}

    def written() -> list[str]:
        return [document["params"]["name"] for document in read_directory(tmp_path).documents]

    write_directory(tmp_path, [net("1", "a"), net("2", "b"), net("3", "c")])
    write_directory(tmp_path, [net("4", "d"), net("2", "B")])
    assert written() == ["a", "B", "c", "d"]
    before = (tmp_path / "networks.yml").read_bytes()
    write_directory(tmp_path, [net("4", "d"), net("2", "B")])
    assert (tmp_path / "networks.yml").read_bytes() == before
    assert not list(tmp_path.glob("*.new"))


def test_what_we_do_not_know_survives_exporting_again(tmp_path: Path) -> None:
    by_hand = {**network(from_the_future=1), "_comment": "by hand", "_info": {"id": "1", "x": 1}}
    unknown = {"type": "somebody.else", "params": {"name": "x"}}
    (tmp_path / "networks.yml").write_text(text(by_hand, unknown))
    write_directory(tmp_path, [{**network(), "_info": {"id": "2"}}])
    found = load((tmp_path / "networks.yml").read_text())
    assert (found[0]["_comment"], found[0]["params"]["from_the_future"], found[0]["_info"]["x"]) == ("by hand", 1, 1)
    assert (found[1]["type"], len(found)) == ("somebody.else", 3)


def test_a_broken_file_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "networks.yml").write_text("nonsense")
    with pytest.raises(InvalidDocument):
        write_directory(tmp_path, [network()])
    assert (tmp_path / "networks.yml").read_text() == "nonsense"


def test_a_file_that_holds_nonsense_is_told_when_exporting_again(tmp_path: Path) -> None:
    (tmp_path / "networks.yml").write_text(text(None, "text"))
    with pytest.raises(InvalidDocument):
        write_directory(tmp_path, [network()])


# -- for OS Migrate ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", IMPORTED)
def test_what_os_migrate_wrote_is_written_for_it_unchanged(name: str) -> None:
    assert for_os_migrate(EXAMPLES[name]) == EXAMPLES[name]


@pytest.mark.parametrize("name", IMPORTED)
def test_os_migrate_gets_the_keys_that_it_knows_and_no_others(name: str) -> None:
    kind = BY_TYPE[EXAMPLES[name]["type"]]
    full = {**EXAMPLES[name], "params": {n: EXAMPLES[name]["params"].get(n) for n in kind.declared()}}
    assert for_os_migrate(full)["params"].keys() == EXAMPLES[name]["params"].keys()


def test_a_compatible_document_has_none_of_our_fields() -> None:
    router = copy.deepcopy(EXAMPLES["routers"])
    router["params"]["routes"] = [{"destination": "10.0.0.0/8", "nexthop": "10.0.0.1"}]
    router["params"]["external_gateway_refinfo"] |= {"enable_snat": False, "external_fixed_ips_refs": []}
    router["_info"] |= {"source_ids": {"a": "b"}, "tells_apart": ["c"]}
    before = copy.deepcopy(router)
    assert for_os_migrate(router) == EXAMPLES["routers"]
    assert router == before


def test_kinds_that_os_migrate_lacks_are_not_written_for_it(tmp_path: Path) -> None:
    group = {"type": "openstack.network.AddressGroup", "_info": {"id": "1"}, "params": {"name": "a", "addresses": []}}
    assert write_directory(tmp_path, [group], compatible=True) == []
    assert list(tmp_path.iterdir()) == []


def test_a_rule_does_not_get_wider_for_os_migrate(tmp_path: Path) -> None:
    rule = copy.deepcopy(EXAMPLES["security_group_rules"])
    rule["params"] |= {"remote_group_ref": None, "remote_address_group_ref": {"name": "offices", **OURS}}
    write_directory(tmp_path, [rule], compatible=True)
    assert not (tmp_path / "security_group_rules.yml").exists()
    found = documents.obstacles_for_os_migrate([EXAMPLES["security_group_rules"], rule])
    assert list(found) == [1]
    assert "remote_address_group_ref" in found[1]


def test_nothing_is_written_when_one_file_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "routers.yml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(InvalidDocument, match=r"routers\.yml: can't be read"):
        write_directory(tmp_path, [network(), EXAMPLES["routers"]])
    assert not (tmp_path / "networks.yml").exists()


@pytest.mark.parametrize(("user_data", "mode"), [("IyEvYmluL3No", 0o600), (None, 0o644)])
def test_a_file_with_user_data_is_for_its_owner_only(tmp_path: Path, user_data: str | None, mode: int) -> None:
    (tmp_path / "workloads.yml").write_text(dump([]))
    server = copy.deepcopy(EXAMPLES["workloads"])
    server["params"]["user_data"] = user_data
    before = os.umask(0o022)
    try:
        write_directory(tmp_path, [server])
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "workloads.yml").stat().st_mode) == mode


def test_every_yaml_file_is_read_whatever_it_is_called(tmp_path: Path) -> None:
    for number, name in enumerate(("networks.yml", "more.yml", "networks-2.yaml")):
        document = network(name=name) | {"_info": {"id": str(number)}}
        (tmp_path / name).write_text(dump([document]))
    (tmp_path / "image_blobs").mkdir()
    (tmp_path / "logs.yml").mkdir()
    (tmp_path / "clouds.yaml").write_text("clouds: {src: {auth: {password: p}}}")
    (tmp_path / "vars.yml").write_text("os_migrate_data_dir: here")
    (tmp_path / "vault.yml").write_text("password: !vault |\n  66")
    (tmp_path / "notes.txt").write_text("resources: [")
    found = read_directory(tmp_path)
    assert sorted(d["params"]["name"] for d in found.documents) == ["more.yml", "networks-2.yaml", "networks.yml"]
    assert found.unread == ["vars.yml", "vault.yml"]


def test_a_broken_file_of_resources_is_told_whatever_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "networks.yml").write_text(dump([]))
    (tmp_path / "more.yml").write_text("os_migrate_version: 1.0.5\nresources: [")
    with pytest.raises(InvalidDocument, match=r"more\.yml, line 3"):
        read_directory(tmp_path)


# -- what isn't meant well -----------------------------------------------------------------------------------


def fifo(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def gone(path: Path) -> None:
    path.symlink_to("/nowhere")


def large(path: Path) -> None:
    with path.open("w") as file:
        file.write("os_migrate_version: 1.0.5\nresources:\n- type: openstack.network.Network\n  params: {name: ")
        file.write("x" * 100_000_000 + "}\n")


def bomb(path: Path) -> None:
    lines = ["os_migrate_version: 1.0.5", "a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    path.write_text("\n".join([*lines, "resources: *a11"]))


def deep(path: Path) -> None:
    path.write_text("os_migrate_version: 1.0.5\nresources: " + "[" * 200 + "]" * 200)


def bottomless(path: Path) -> None:
    path.write_text("os_migrate_version: 1.0.5\nresources: " + "[" * 200_000)


def version_99(path: Path) -> None:
    path.write_text("os_migrate_version: 99\nresources: []")


def version_99_as_text(path: Path) -> None:
    path.write_text("os_migrate_version: '99.0.1'\nresources: []")


def bytes_(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00")


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (fifo, "is no regular file"),
        (endless, "is no regular file"),
        (gone, "can't be read: No such file"),
        (large, "has 95 MiB; 64 MiB can be read at most"),
        (bomb, "aliases repeat more than"),
        (deep, "lists and mappings in one another, more than 100 deep"),
        (bottomless, "not valid YAML"),
        (version_99, "os_migrate_version is 99; versions from 0.13 to 2.x can be read"),
        (version_99_as_text, "os_migrate_version is '99.0.1'; versions from 0.13 to 2.x"),
        (bytes_, "it is no text in UTF-8"),
    ],
)
@pytest.mark.parametrize("name", ["networks.yml", "resources.yaml"])
def test_what_cannot_be_read_in_seconds_is_refused_by_name(tmp_path: Path, name: str, make: Any, why: str) -> None:
    make(tmp_path / name)
    began = time.process_time()
    with pytest.raises(InvalidDocument) as caught:
        read_directory(tmp_path)
    assert time.process_time() - began < 5
    assert str(caught.value).startswith(name)
    assert why in str(caught.value)


def test_twenty_thousand_resources_are_read_in_seconds(tmp_path: Path) -> None:
    one = dump([network(name="n0") | {"_info": {"id": "0"}}])
    head, _, body = one.partition("resources:\n")
    text = "".join(body.replace("'0'", f"'{number}'") for number in range(20_000))
    (tmp_path / "networks.yml").write_text(f"{head}resources:\n{text}")
    began = time.process_time()
    assert len(read_directory(tmp_path).documents) == 20_000
    assert time.process_time() - began < 40


def test_more_resources_than_a_directory_may_hold_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stackferry.documents.directory.MAX_RESOURCES", 2)
    for number in range(3):
        document = network(name="n") | {"_info": {"id": str(number)}}
        (tmp_path / f"n{number}.yml").write_text(dump([document]))
    with pytest.raises(InvalidDocument, match="more than 2 resources"):
        read_directory(tmp_path)


def test_a_resource_that_no_message_can_carry_is_told() -> None:
    (line,) = told(network(name="n", description="x" * 1_000_000))
    assert line == "networks.yml: network 'n': has 976 KiB; a message carries 900 at most"


@pytest.mark.parametrize(
    ("value", "expected"),
    [("&a [1], b: *a", {"a": [1], "b": [1]}), ("&a {x: 1, y: 2}, b: {<<: *a, y: 3}", {"a": {"x": 1, "y": 2},
                                                                                    "b": {"x": 1, "y": 3}})],
)  # fmt: skip
def test_aliases_and_merges_mean_what_they_mean_in_yaml(value: str, expected: Any) -> None:
    assert parse(f"{{a: {value}}}") == expected


# -- older forms ---------------------------------------------------------------------------------------------


def by_name(name: str) -> dict[str, Any]:
    return {"name": name, "project_name": None, "domain_name": None}


def test_names_of_security_groups_become_references() -> None:
    server = {"type": "openstack.compute.Server", "params": {"security_group_names": ["testing123", "default"]}}
    assert upgrade(server)["params"] == {"security_group_refs": [by_name("testing123"), by_name("default")]}
    assert upgrade(upgrade(server)) == upgrade(server)


def test_what_is_inside_of_a_server_is_upgraded_too() -> None:
    port = {"type": "openstack.network.ServerPort", "params": {"network_name": "osm_net"}}
    server = upgrade({"type": "openstack.compute.Server", "params": {"ports": [port]}})
    assert server["params"]["ports"][0]["params"] == {"network_ref": by_name("osm_net")}


def test_a_null_that_is_written_as_text_means_nothing_in_a_rule() -> None:
    params = {"remote_ip_prefix": "null", "protocol": "null", "description": "null"}
    rule = upgrade({"type": "openstack.network.SecurityGroupRule", "params": params})
    assert rule["params"] == {"remote_ip_prefix": None, "protocol": None, "description": "null"}
    assert upgrade(network(description="null"))["params"]["description"] == "null"


def test_the_network_of_a_floating_ip_is_found_by_its_id(tmp_path: Path) -> None:
    server = copy.deepcopy(EXAMPLES["workloads"])
    floating_ip = server["params"]["floating_ips"][0]
    del floating_ip["params"]["floating_network_ref"]
    (tmp_path / "workloads.yml").write_text(dump([server]))
    with pytest.raises(InvalidDocument, match="floating_network_ref"):
        read_directory(tmp_path)
    public = network(name="public") | {"_info": {"id": floating_ip["_info"]["floating_network_id"]}}
    (tmp_path / "networks.yml").write_text(dump([public]))
    found = {d["type"]: d for d in read_directory(tmp_path).documents}["openstack.compute.Server"]
    assert found["params"]["floating_ips"][0]["params"]["floating_network_ref"] == by_name("public")
