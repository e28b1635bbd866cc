"""What is called otherwise at the destination."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from stackferry.errors import Error, InvalidMessage
from stackferry.mapping import KINDS, invalid, mapped
from stackferry.messages import RequestMigration
from stackferry_cli.options import mapping as parsed
from stackferry_coordinator.commands.resources import command
from stackferry_coordinator.rules.reactions import Do

from ..graphs import build
from .coordinator.documents import document, image, network, ref, router, server
from .coordinator.workload_world import MIGRATION, Unkind, WorkloadWorld
from .test_documents import EXAMPLES

MAPPING = {
    "flavor": {"small": "s.1"},
    "volume_type": {"ssd": "nvme"},
    "availability_zone": {"z1": "east"},
    "network": {"ext": "internet", "net": "never"},
    "image": {"base": "debian"},
    "keypair": {"laptop": "work"},
}


def whole_server() -> dict[str, Any]:
    found = server("a", 1, net="net")
    found["params"] |= {"image_ref": ref("base"), "availability_zone": "z1", "key_name": "laptop"}
    found["params"]["volumes"][0]["params"] |= {"volume_type": "ssd", "availability_zone": "z1"}
    found["params"]["floating_ips"][0]["_info"] |= {"floating_network_id": "n-ext"}
    found["_info"]["source_ids"] = {"image_ref": "i-base", "flavor_ref": "f-small"}
    found["_migration_params"]["boot_volume_params"] = {"volume_type": "ssd", "name": "small"}
    return found


def test_a_server_is_called_as_the_destination_calls_things_and_so_are_its_parts() -> None:
    before = whole_server()
    untouched = copy.deepcopy(before)
    found = mapped(before, MAPPING)
    assert before == untouched
    params = found["params"]
    assert (params["flavor_ref"]["name"], params["image_ref"]["name"]) == ("s.1", "debian")
    assert (params["availability_zone"], params["key_name"], params["name"]) == ("east", "work", "a")
    volume = params["volumes"][0]["params"]
    assert (volume["volume_type"], volume["availability_zone"]) == ("nvme", "east")
    assert params["floating_ips"][0]["params"]["floating_network_ref"]["name"] == "internet"
    assert params["ports"][0]["params"]["network_ref"]["name"] == "net", "only external networks are meant"
    assert found["_migration_params"]["boot_volume_params"] == {"volume_type": "nvme", "name": "small"}
    assert found["_info"]["source_ids"] == {}
    assert "floating_network_id" not in params["floating_ips"][0]["_info"]
    assert params["floating_ips"][0]["_info"]["port_id"] == "port-a"


def test_a_gateway_leads_to_the_other_network_without_addresses_of_the_first() -> None:
    before = router("r")
    fixed = [{"ip_address": "203.0.0.9", "subnet_ref": ref("ext-v4")}]
    before["params"]["external_gateway_refinfo"] = {"network_ref": ref("ext"), "external_fixed_ips_refs": fixed}
    before["params"]["availability_zone_hints"] = ["z1", "z2"]
    before["_info"]["source_ids"] = {"external_gateway_refinfo.network_ref": "n-ext", "flavor_ref": "f",
                                     "external_gateway_refinfo.external_fixed_ips_refs.0.subnet_ref": "s"}  # fmt: skip
    found = mapped(before, MAPPING)
    gateway = {"network_ref": {"name": "internet", "project_name": None, "domain_name": None}}
    assert found["params"]["external_gateway_refinfo"] == gateway
    assert found["params"]["availability_zone_hints"] == ["east", "z2"]
    assert found["_info"]["source_ids"] == {"flavor_ref": "f"}
    other = {"network": {"other": "internet"}}
    assert mapped(before, other) == before


@pytest.mark.parametrize("file", sorted(EXAMPLES))
def test_what_is_not_mapped_stays_as_it_is(file: str) -> None:
    for mapping in (None, {}, {"flavor": {"nobody": "x"}}, {kind: {"nobody's": "x"} for kind in KINDS}):
        assert mapped(EXAMPLES[file], mapping) == EXAMPLES[file]


def test_what_a_resource_is_called_itself_is_not_changed() -> None:
    for found in (image("base"), network("ext")):
        assert mapped(found, MAPPING)["params"]["name"] == found["params"]["name"]
    key = document("openstack.compute.Keypair", "k", {"name": "laptop"})
    assert mapped(key, MAPPING) == key


def test_a_mapped_image_is_the_destinations_although_the_old_one_crosses_too() -> None:
    documents = [mapped(d, MAPPING) for d in (image("base"), whole_server())]
    nodes = {node.key: node for node in build(documents, workloads=True)}
    assert "image_ref" not in nodes["server/a/check"].links


def test_names_that_change_places_are_mapped_once() -> None:
    swap = {"flavor": {"small": "big", "big": "small"}}
    played = WorkloadWorld([server("a")], 1, Unkind(0, 0, 0, 0))
    played.request["mapping"] = swap
    played._tell("request-migration", played.request)
    played._tell("submit-documents", {"migration": MIGRATION, "part": 1, "documents": played.documents})
    _, data, _ = command(played.ledger, Do("server/a/check", 1), lambda *_: None, [])
    assert data["document"]["params"]["flavor_ref"]["name"] == "big"


@pytest.mark.parametrize(
    ("mapping", "field"),
    [
        ({"server": {"a": "b"}}, "mapping.server"),
        ({"flavor": ["a"]}, "mapping.flavor"),
        ({"flavor": {"a": ""}}, "mapping.flavor"),
        ({"flavor": {"a": None}}, "mapping.flavor"),
        ({"image": {"": "b"}}, "mapping.image"),
    ],
)
def test_a_request_with_a_senseless_mapping_is_refused_with_its_field(mapping: Any, field: str) -> None:
    assert list(invalid(mapping)) == [field]
    request = {"migration": MIGRATION, "source": {"cloud": "s"}, "destination": {"cloud": "d"}}
    with pytest.raises(InvalidMessage) as caught:
        RequestMigration.load_data({**request, "mapping": mapping})
    assert field in caught.value.errors
    assert RequestMigration.load_data({**request, "mapping": MAPPING})["mapping"] == MAPPING


def test_an_export_maps_nothing() -> None:
    with pytest.raises(InvalidMessage) as caught:
        RequestMigration.load_data(
            {"migration": MIGRATION, "source": {"cloud": "s"}, "mode": "export", "mapping": MAPPING}
        )
    assert list(caught.value.errors) == ["mapping"]


def test_the_option_is_understood() -> None:
    assert parsed(["flavor:m1.small=s.1", "flavor:a=b=c", "image:Debian 12: bookworm=debian"]) == {
        "flavor": {"m1.small": "s.1", "a": "b=c"}, "image": {"Debian 12: bookworm": "debian"},
    }  # fmt: skip
    assert parsed(None) == {}


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (["flavor"], "expected KIND:OLD=NEW"),
        (["flavor:a"], "expected KIND:OLD=NEW"),
        (["flavor:=b"], "expected KIND:OLD=NEW"),
        (["flavor:a="], "expected KIND:OLD=NEW"),
        (["a=b"], "expected KIND:OLD=NEW"),
        (["flavour:a=b"], "'flavour' can't be mapped; known are availability_zone, flavor, image, keypair"),
        (["flavor:a=b", "flavor:a=c"], "flavor 'a' was mapped to 'b' already"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_by_name(texts: list[str], why: str) -> None:
    with pytest.raises(Error) as caught:
        parsed(texts)
    assert why in str(caught.value)
    assert f"--map {texts[-1]!r}" in str(caught.value)
