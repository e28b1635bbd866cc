"""``stackferry export --os-migrate``: what OS Migrate can't be given is left out, and named."""

from __future__ import annotations

import copy
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from stackferry.documents import read_directory
from stackferry_cli.commands import data

from .test_documents import EXAMPLES

GROUP = {"name": "web", "project_name": "%auth%", "domain_name": "%auth%"}


def rule(id_: str, **params: Any) -> dict[str, Any]:
    return {
        "type": "openstack.network.SecurityGroupRule", "_info": {"id": id_}, "_migration_params": {},
        "params": {"security_group_ref": GROUP, "direction": "ingress", "ether_type": "IPv4", **params},
    }  # fmt: skip


class Ferry:
    """A client whose one export has ended."""

    def __init__(self, *documents: dict[str, Any]) -> None:
        self.documents = documents

    def migrate(self, *_: Any, **__: Any) -> str:
        return "m1"

    def show(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {
            "phase": "done",
            "steps": [
                {"action": "keep", "document": document, "state": "done", "kind": "network", "name": "n"}
                for document in self.documents
            ],
        }


@pytest.fixture
def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def export(*documents: dict[str, Any], **options: Any) -> Any:
        monkeypatch.setattr(data, "client", lambda: nullcontext(Ferry(*documents)))
        monkeypatch.setattr(data.live, "follow", lambda *_, **__: None)
        data.export(tmp_path, **options)
        return capsys.readouterr()

    return export


def test_a_rule_that_would_get_wider_is_named(tmp_path: Path, exported: Any) -> None:
    offices = {"name": "[prod] offices", "project_name": "%auth%", "domain_name": "%auth%"}
    documents = rule("1", remote_ip_prefix="10.0.0.0/8"), rule("2", remote_address_group_ref=offices)
    shown = exported(*documents, for_os_migrate=True)
    assert "left out: security_group_rule 'web: ingress IPv4 [prod] offices': OS Migrate doesn't know" in shown.err
    assert "1 resources exported" in shown.out
    assert [document["_info"]["id"] for document in read_directory(tmp_path).documents] == ["1"]


def network(id_: str, name: str | None, **params: Any) -> dict[str, Any]:
    params = {**EXAMPLES["networks"]["params"], "name": name, **params}
    return {**EXAMPLES["networks"], "_info": {"id": id_}, "params": params}


def written(folder: Path) -> list[Any]:
    return [document["_info"]["id"] for document in read_directory(folder).documents]


def test_what_has_no_name_or_shares_it_is_named_and_not_written(tmp_path: Path, exported: Any) -> None:
    blue = network("1", "blue"), network("2", "blue")
    shown = exported(*blue, network("3", None), network("4", ""), network("5", "red"), for_os_migrate=True)
    assert written(tmp_path) == ["5"]
    assert shown.err.count("left out: network 'blue': 2 are called so, and OS Migrate can't tell them apart") == 2
    assert shown.err.count("it has no name, and OS Migrate knows resources by their names") == 2


def test_the_same_name_of_two_kinds_or_users_is_fine(tmp_path: Path, exported: Any) -> None:
    router = {**EXAMPLES["routers"], "params": {**EXAMPLES["routers"]["params"], "name": "blue"}}
    keys = [copy.deepcopy(EXAMPLES["keypairs"]) for _ in range(2)]
    keys[1]["_info"]["id"], keys[1]["params"]["user_ref"]["name"] = "other", "somebody"
    exported(network("1", "blue"), router, *keys, for_os_migrate=True)
    assert len(written(tmp_path)) == 4


def test_fields_that_are_left_out_are_named_where_they_say_something(tmp_path: Path, exported: Any) -> None:
    server = copy.deepcopy(EXAMPLES["workloads"])
    server["_migration_params"] |= {"mode": "warm", "engine": "pump"}
    server["params"] |= {"hostname": None, "server_group_ref": {"name": "apart", **GROUP}}
    server["params"]["ports"][0]["params"] |= {"name": "eth0", "is_admin_state_up": True, "tags": []}
    router = copy.deepcopy(EXAMPLES["routers"])
    router["params"]["routes"] = [{"destination": "10.0.0.0/8", "nexthop": "10.1.1.1"}]
    router["params"]["external_gateway_refinfo"] |= {"enable_snat": False, "external_fixed_ips_refs": []}
    shown = exported(server, router, for_os_migrate=True).err.splitlines()
    assert sorted(line for line in shown if line.startswith("left out: ")) == [
        "left out: _migration_params.mode of server 'test-server': OS Migrate doesn't know it",
        "left out: params.external_gateway_refinfo.enable_snat of router 'test-router': OS Migrate doesn't know it",
        "left out: params.routes of router 'test-router': OS Migrate doesn't know it",
        "left out: params.server_group_ref of server 'test-server': OS Migrate doesn't know it",
        "left out: ports.params.name of server 'test-server': OS Migrate doesn't know it",
    ]


def test_what_was_in_the_directory_before_and_is_not_accepted_is_named(tmp_path: Path, exported: Any) -> None:
    group = {"type": "openstack.network.AddressGroup", "_info": {"id": "g"}, "_migration_params": {},
             "params": {"name": "offices", "addresses": []}}  # fmt: skip
    exported(group, network("1", "blue"))
    shown = exported(network("2", "blue"), for_os_migrate=True).err
    assert "won't accept address_group 'offices', which was here before: OS Migrate doesn't know this kind" in shown
    assert shown.count("won't accept network 'blue', which was here before: 2 are called so") == 2


@pytest.mark.parametrize(
    ("kinds", "said", "asked", "written"),
    [(None, {}, None, False), (["image"], {}, None, True), (["image"], {}, False, False), (None, {}, True, True),
     (["image"], {"os_migrate_export_images_blobs": False}, None, False)],
)  # fmt: skip
def test_an_export_of_images_writes_their_payloads(
    tmp_path: Path, exported: Any, monkeypatch: pytest.MonkeyPatch, kinds: Any, said: Any, asked: Any, written: bool
) -> None:
    folders = []
    monkeypatch.setattr(Ferry, "migrate", lambda *_, **asked_for: folders.append(asked_for["image_blobs"]))
    file = tmp_path / "vars"
    file.write_text(json.dumps(said or {"a": 1}))
    exported(network("1", "blue"), kinds=kinds, vars_file=file, image_blobs=asked)
    assert folders == [str(tmp_path / "image_blobs") if written else None]


@pytest.mark.parametrize("copied", [True, False])
def test_os_migrates_variable_is_written_into_the_servers_documents(
    tmp_path: Path, exported: Any, copied: bool
) -> None:
    file = tmp_path / "vars"
    file.write_text(json.dumps({"os_migrate_workloads_boot_disk_copy": copied}))
    exported(EXAMPLES["workloads"], network("1", "blue"), vars_file=file)
    found = {d["type"]: d["_migration_params"] for d in read_directory(tmp_path).documents}
    assert found["openstack.compute.Server"]["boot_disk_copy"] is copied
    assert found["openstack.network.Network"] == {}
