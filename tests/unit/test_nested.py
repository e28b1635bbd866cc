"""Documents inside of documents, and what _migration_params may say."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from stackferry.documents import load, problems
from stackferry.resources import KINDS
from stackferry.resources.migration_params import SERVER, chosen, defaults, wrong_choices
from stackferry.resources.nested import nested_in
from stackferry.resources.server_parts import port_of

from .test_documents import EXAMPLES, text

Document = dict[str, Any]


@pytest.fixture
def server() -> Document:
    return copy.deepcopy(EXAMPLES["workloads"])


def wrong(document: Document) -> list[str]:
    found = problems([("workloads.yml", d) for d in load(text(document))])
    return [line.partition("': ")[2] for line in found]


# -- nested documents --------------------------------------------------------------------------------------


def test_a_server_holds_ports_floating_ips_and_volumes() -> None:
    held = {name: kind.kind for name, kind in nested_in(KINDS["server"]).items()}
    assert held == {f"{kind}s": kind for kind in ("port", "sub_port", "trunk", "floating_ip", "volume")}
    assert nested_in(KINDS["port"]) == {}


def test_what_os_migrate_wrote_is_right(server: Document) -> None:
    assert wrong(server) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda p: p["ports"][0]["params"].update(mac_address=7), "params.ports.0.params.mac_address: Not a valid string."),
        (lambda p: p["ports"][0]["params"].pop("network_ref"),
         "params.ports.0.params.network_ref: Missing data for required field."),
        (lambda p: p["ports"][0]["params"]["fixed_ips_refs"][0].update(ip_address="10.0.0.300"),
         "params.ports.0.params.fixed_ips_refs.0.ip_address: '10.0.0.300' is not an IP address"),
        (lambda p: p["volumes"][0].pop("params"), "params.volumes.0: expected a document: an object with type and params"),
        (lambda p: p["volumes"].append("x"), "params.volumes.1: expected a document: an object with type and params"),
        (lambda p: p.update(volumes={}), "params.volumes: expected a list"),
        (lambda p: p["floating_ips"][0].update(type="openstack.network.ServerPort"),
         "params.floating_ips.0.type: is 'openstack.network.ServerPort', not 'openstack.network.ServerFloatingIP'"),
        (lambda p: p["floating_ips"][0].update(_info=[]), "params.floating_ips.0._info: is not an object"),
        (lambda p: p.update(flavor_ref="m1"), "params.flavor_ref: expected {name, project_name, domain_name}"),
        (lambda p: p.update(user_data="#!/bin/sh"), "params.user_data: is not base64"),
        (lambda p: p.update(config_drive="yes"), "params.config_drive: expected true or false"),
    ],
)  # fmt: skip
def test_what_is_wrong_inside_is_told_with_its_path(server: Document, change: Any, expected: str) -> None:
    change(server["params"])
    assert wrong(server) == [expected]


def test_unknown_params_and_absent_parts_inside_are_no_problem(server: Document) -> None:
    port = server["params"]["ports"][0]
    del port["_info"], port["_migration_params"]
    port["params"] |= {"color": "blue", "mac_address": None}
    assert wrong(server) == []


def test_a_part_does_not_stand_alone(server: Document) -> None:
    told = problems([("workloads.yml", server["params"]["ports"][0])])
    assert [line for line in told if "belongs inside of a server's document" in line] == told != []


def test_links_are_found_and_replaced_at_their_paths(server: Document) -> None:
    params = server["params"]
    found = {path: (field.kind, ref["name"]) for path, field, ref in KINDS["server"].links(params)}
    assert found["ports.0.params.network_ref"] == ("network", "osm_net")
    assert found["ports.0.params.fixed_ips_refs.0.subnet_ref"] == ("subnet", "s")
    assert found["floating_ips.0.params.floating_network_ref"] == ("network", "public")
    assert {"flavor_ref", "image_ref", "security_group_refs.0"} <= found.keys()
    before = copy.deepcopy(params)
    changed = KINDS["server"].map_links(params, lambda path, ref: {**ref, "id": path})
    assert params == before
    again = {path: ref["id"] for path, _, ref in KINDS["server"].links(changed)}
    assert again == {path: path for path in found}
    assert changed["ports"][0]["_info"] == params["ports"][0]["_info"]


def test_a_server_needs_what_its_parts_need() -> None:
    needs = KINDS["server"].needs()
    assert KINDS["port"].needs() | KINDS["floating_ip"].needs() | {"flavor", "image", "server_group"} <= needs


# -- which port a floating IP leads to -------------------------------------------------------------------------


def fip(port_id: str | None, address: str | None) -> Document:
    return {"type": "", "params": {"fixed_ip_address": address}, "_info": {"port_id": port_id}}


def ports(*pairs: tuple[str | None, str | None]) -> Document:
    return {
        "params": {"ports": [{"params": {"fixed_ips_refs": [{"ip_address": a}]}, "_info": {"id": i}} for i, a in pairs]}
    }


TWO = ports(("a", "10.0.0.1"), ("b", "10.0.0.2"))


@pytest.mark.parametrize(
    ("document", "floating_ip", "expected"),
    [
        (TWO, fip("b", "10.0.0.1"), ("port", 1)),  # the id, whatever was done to the address
        (TWO, fip("gone", "10.0.0.2"), ("port", 1)),
        (TWO, fip(None, None), None),
        (ports((None, "10.0.0.1")), fip(None, "10.9.9.9"), ("port", 0)),
        (
            {"params": {**TWO["params"], "sub_ports": ports(("c", "10.1.0.1"))["params"]["ports"]}},
            fip("c", None),
            ("sub_port", 0),
        ),
        (ports(("a", None), ("b", None)), fip(None, None), None),  # no address is none to go by
        (ports(), fip("a", "10.0.0.1"), None),
    ],
)
def test_a_floating_ip_leads_to_a_port(
    document: Document, floating_ip: Document, expected: tuple[str, int] | None
) -> None:
    assert port_of(document, floating_ip) == expected


# -- _migration_params -----------------------------------------------------------------------------------------


def test_the_defaults_are_os_migrates_and_ours() -> None:
    theirs = {**EXAMPLES["workloads"]["_migration_params"]}
    ours = {"source_access": "auto", "mode": "cold", "cutover": "auto", "cutover_below": 64 << 20, "pass_interval": 300,
            "shutdown": "stop", "power": "source", "engine": "pump"}  # fmt: skip
    assert defaults(SERVER) == {**theirs, **ours}


def test_defaults_are_nobodys_own() -> None:
    defaults(SERVER)["boot_volume"]["uuid"] = "x"
    assert defaults(SERVER)["boot_volume"] == {"uuid": None}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            {"floating_ip_mode": "some"},
            "_migration_params.floating_ip_mode: 'some' is none of auto, existing, new, skip",
        ),
        ({"mode": "hot"}, "_migration_params.mode: 'hot' is none of cold, warm"),
        (
            {"cutover": "tonight"},
            "_migration_params.cutover: 'tonight' is none of auto, manual, or a time such as 2026-01-31T02:00:00+01:00",
        ),
        (
            {"mode": "warm", "source_access": "detach"},
            "_migration_params.source_access: a disk that is detached from its server can't be copied while that runs: "
            "say snapshot",
        ),
        ({"data_copy": "yes"}, "_migration_params.data_copy: Not a valid boolean."),
        ({"additional_volumes": [{"uuid": 7}]}, "_migration_params.additional_volumes.0.uuid: Not a valid string."),
        ({"boot_volume_params": []}, "_migration_params.boot_volume_params: expected an object"),
    ],
)
def test_a_wrong_choice_is_told(server: Document, said: Document, expected: str) -> None:
    server["_migration_params"] |= said
    assert wrong(server) == [expected]


def test_unknown_choices_are_kept_and_null_means_the_default(server: Document) -> None:
    server["_migration_params"] |= {"nbdkit_disks": [{"device": "/dev/vda"}], "engine": None, "data_copy": False}
    assert wrong(server) == []
    means = chosen(SERVER, server)
    assert (means["engine"], means["data_copy"], means["nbdkit_disks"]) == ("pump", False, [{"device": "/dev/vda"}])


@pytest.mark.parametrize("param", SERVER, ids=lambda param: param.name)
def test_every_choice_is_described_and_its_default_is_right(param: Any) -> None:
    assert param.meaning
    assert list(wrong_choices(SERVER, {param.name: param.default})) == []


def test_other_kinds_have_nothing_to_choose() -> None:
    assert {name for name, kind in KINDS.items() if kind.choices} == {"server"}
