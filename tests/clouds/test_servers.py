"""Servers with all that they have, between two real clouds: exported, made again piece by piece, compared, undone."""

from __future__ import annotations

import base64
import copy
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from stackferry import documents
from stackferry.errors import Unfinished
from stackferry.resources import KINDS
from stackferry.resources.server_parts import port_of
from stackferry_clouds import apply
from stackferry_clouds.actions.settling import unmark
from stackferry_clouds.export import documents as documents_of
from stackferry_clouds.failures import failure
from stackferry_clouds.view import ProjectView

from ..parts import parts

pytestmark = pytest.mark.clouds
GROUND = ("keypair", "address_group", "network", "subnet", "security_group", "security_group_rule", "router",
          "router_interface", "image", "server_group")  # fmt: skip
SCRIPT = base64.b64encode(b"#!/bin/sh\necho hello\n").decode()
UEFI = {"hw_firmware_type": "uefi", "hw_machine_type": "q35", "hw_disk_bus": "scsi", "os_secure_boot": "optional"}
#: what a destination chooses by itself
CHOSEN = {"floating_ip": {"floating_ip_address"}}


def look(tenant: Any, admin: bool) -> ProjectView:
    connection = tenant.connect()
    return ProjectView(connection, connection.current_project_id, admin, tenant.cloud)


@dataclass
class World:
    """A source project, and what its documents have become at the destination."""

    source: Any
    destination: Any
    admin: bool
    ids: dict[str, str] = field(default_factory=dict)  # id at the source → id here

    def here(self) -> ProjectView:
        return look(self.source, self.admin)

    def there(self) -> ProjectView:
        return look(self.destination, self.admin)

    def documents(self) -> dict[str, dict[str, Any]]:
        return {d["params"]["name"]: d for d in documents_of("server", self.here())}

    def writes(self, box: Any, since: float) -> list[str]:
        project = self.destination.connect().current_project_id
        return [
            f"{r.method} {r.path}"
            for service in ("nova", "neutron", "cinder")
            for r in box.access_log("dst", service, since=since)
            if r.project_id == project and r.method != "GET" and not r.internal
        ]


def build_source(tenant: Any, admin: bool) -> None:
    """A project with a server from an image, and one from volumes; everything that OS Migrate loses included."""
    c = tenant.connect()
    net = c.network.create_network(name="net")
    v4 = c.network.create_subnet(network_id=net.id, name="v4", ip_version=4, cidr="10.5.0.0/24")
    v6 = c.network.create_subnet(network_id=net.id, name="v6", ip_version=6, cidr="2001:db8:5::/64")
    auto = c.network.create_subnet(network_id=net.id, name="auto", ip_version=6, cidr="2001:db8:6::/64",
                                   ipv6_address_mode="slaac", ipv6_ra_mode="slaac")  # fmt: skip
    back = c.network.create_network(name="back")
    back4 = c.network.create_subnet(network_id=back.id, name="back4", ip_version=4, cidr="10.6.0.0/24")
    public = c.network.find_network("public", ignore_missing=False)
    router = c.network.create_router(name="edge", external_gateway_info={"network_id": public.id})
    c.network.add_interface_to_router(router, subnet=v4.id)
    web, db = (c.network.create_security_group(name=n) for n in ("web", "db"))
    c.compute.create_keypair(name="laptop", public_key=KEY)
    apart = c.compute.create_server_group(name="apart", policy="anti-affinity", rules={"max_server_per_host": 3})
    image = c.image.create_image(name="base", disk_format="raw", container_format="bare", data=b"x" * 1024)

    def port(network: Any, *ips: Any, **more: Any) -> Any:
        return c.network.create_port(network_id=network.id, fixed_ips=[_ip(*ip) for ip in ips], **more)

    first = port(
        net, (v4, "10.5.0.50"), (v4, "10.5.0.51"), (v6, "2001:db8:5::50"), (auto,), name="front", description="first leg",
        security_groups=[web.id, db.id], allowed_address_pairs=[{"ip_address": "10.5.0.99"}, {"ip_address": "10.7.0.0/16"}],
        extra_dhcp_opts=[{"opt_name": "mtu", "opt_value": "1400"}],
    )  # fmt: skip
    c.network.set_tags(first, ["b", "a"])
    inside = port(back, (back4, "10.6.0.70"), name="vlan 7", description="in a trunk", mac_address=first.mac_address)
    trunk = c.network.create_trunk(
        name="bundle", description="of one", port_id=first.id,
        sub_ports=[{"port_id": inside.id, "segmentation_type": "vlan", "segmentation_id": 7}],
    )  # fmt: skip
    c.network.set_tags(trunk, ["t"])
    second = port(back, (back4, "10.6.0.50"), port_security_enabled=False, security_groups=[])
    bare = port(net, (v4, "10.5.0.60"), (auto,), security_groups=[])

    def volume(name: str, bootable: bool = False, **more: Any) -> Any:
        made = c.block_storage.wait_for_status(
            c.block_storage.create_volume(name=name, size=1, **more), "available", interval=0.2
        )
        c.block_storage.set_volume_bootable_status(made, bootable)
        return made

    root, data, logs = volume("root", True), volume("data", metadata={"tier": "gold"}), volume("", description="logs")
    c.block_storage.set_volume_image_metadata(root, **UEFI)
    volume("spare", description="attached to nothing", metadata={"a": "b"})
    tiny = c.compute.find_flavor("m1.tiny", ignore_missing=False).id
    disks = [_disk(root, 0, True), _disk(data, -1, False), _disk(logs, -1, True)]
    servers = [
        c.compute.create_server(
            name="pet", flavor_id=tiny, networks=[{"port": second.id}, {"port": first.id}], key_name="laptop",
            block_device_mapping=disks, description="from volumes", metadata={"role": "db"}, tags=["z", "y"],
            scheduler_hints={"group": apart.id}, user_data=SCRIPT, config_drive=True,
        ),
        c.compute.create_server(name="cow", flavor_id=tiny, networks=[{"port": bare.id}], image_id=image.id),
    ]  # fmt: skip
    for server in servers:
        c.compute.wait_for_server(server, interval=0.5)
    c.compute.update_server(servers[1], name="Kühe")  # its host name stays
    external = c.network.create_ip(floating_network_id=public.id, port_id=first.id, fixed_ip_address="10.5.0.51",
                                   description="the door")  # fmt: skip
    c.network.set_tags(external, ["x"])


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKz1Yl1vdZ8nD1q3O3sF0p2cQe1dWq6m7yG0sL0dYc3N me@laptop"


def _ip(subnet: Any, address: str | None = None) -> dict[str, str]:
    return {"subnet_id": subnet.id} | ({"ip_address": address} if address else {})


def _disk(volume: Any, boot_index: int, dies: bool) -> dict[str, Any]:
    return {"source_type": "volume", "destination_type": "volume", "uuid": volume.id, "boot_index": boot_index,
            "delete_on_termination": dies}  # fmt: skip


def lay_ground(world: World) -> None:
    """What servers stand upon, made as any import makes it."""
    here, there = world.here(), world.there()
    for kind in GROUND:
        for document in documents_of(kind, here):
            world.ids[document["_info"]["id"]] = str(done(apply.ensure(kind, document, there, {})).destination_id)
    glance = there.proxy("image")
    for image in there.records("image"):
        glance.put(
            f"/images/{image['id']}/file", data=b"x" * 1024, headers={"Content-Type": "application/octet-stream"}
        )


def done(outcome: Any) -> Any:
    assert outcome.outcome in ("created", "updated", "unchanged"), (outcome.outcome, outcome.reason)
    return outcome


def move(world: World, document: dict[str, Any], view: ProjectView, **hints: Any) -> dict[str, Any]:
    """Do what an itinerary does with one server, without the bytes: path → what came of it."""
    found: dict[str, Any] = {}
    ids: dict[str, list[Any]] = {"ports": [], "sub_ports": [], "trunks": [], "volumes": []}
    for path, kind, part in parts(document):
        if kind != "floating_ip":
            own = {
                "port": {"device_id": world.ids.get(document["_info"]["id"])},
                "sub_port": {"device_id": world.ids.get(part["_info"]["device_id"])} if kind == "sub_port" else {},
                "trunk": _in_trunk(document, ids) if kind == "trunk" else {},
                "volume": {"marker": f"m1/{part['_info']['id']}"},
            }[kind]
            found[path] = done(apply.ensure(kind, part, view, {**own, **hints}))
            ids[path.partition(".")[0]].append(found[path].destination_id)
            world.ids[part["_info"]["id"]] = found[path].destination_id
    found["server"] = done(
        apply.ensure("server", document, view, {"port_ids": ids["ports"], "volume_ids": ids["volumes"], **hints})
    )
    for path, kind, part in parts(document):
        if kind == "floating_ip":
            leg, number = port_of(document, part)
            port = ids[f"{leg}s"][number]
            found[path] = done(apply.ensure(kind, part, view, {"mode": "auto", "port_id": port, **hints}))
            world.ids[part["_info"]["id"]] = found[path].destination_id
    world.ids[document["_info"]["id"]] = found["server"].destination_id
    return found


def _in_trunk(document: dict[str, Any], ids: dict[str, list[Any]]) -> dict[str, Any]:
    """The hints of the only trunk."""
    (trunk,), (inside,) = document["params"]["trunks"], document["params"]["sub_ports"]
    macs = [port["params"]["mac_address"] for port in document["params"]["ports"]]
    place = {name: inside["params"][name] for name in ("segmentation_id", "segmentation_type")}
    return {
        "port_id": ids["ports"][macs.index(trunk["params"]["mac_address"])],
        "sub_ports": [{"port_id": ids["sub_ports"][0], **place}],
    }


def told(document: dict[str, Any]) -> Any:
    """A document's params without what a destination chooses, its parts likewise."""
    kind = documents.kind_of(document)
    params = {n: v for n, v in document["params"].items() if n not in CHOSEN.get(str(kind), ())}
    for name in ("ports", "sub_ports", "trunks", "floating_ips", "volumes"):
        if name in params:
            params[name] = [told(part) for part in params[name]]
    return {**params, "_migration_params": document["_migration_params"]}


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Path → value: what a failing assertion should show."""
    if not value or not isinstance(value, dict | list):
        return {path: None if value == "" else value}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return {p: v for key, inner in items for p, v in flat(inner, f"{path}.{key}").items()}


@pytest.fixture(params=[False, True], ids=["tenant", "admin"])
def world(request: Any, new_tenant: Any) -> World:
    made = World(new_tenant("src", admin=request.param), new_tenant("dst", admin=request.param), request.param)
    build_source(made.source, made.admin)
    return made


def test_servers_cross_with_all_that_they_have(world: World, sandbox: Any, tmp_path: Path) -> None:
    exported = world.documents()
    assert exported.keys() == {"pet", "Kühe"}
    pet, cow = exported["pet"], exported["Kühe"]
    check_documents(pet, cow, world.admin)
    check_files(world, list(exported.values()), tmp_path)
    lay_ground(world)

    since = _now()
    view = world.there()
    for document in (pet, cow):
        plan = apply.compare("server", document, view, {})
        assert (plan.outcome, plan.reason) == ("created", None)
    assert world.writes(sandbox, since) == []

    made = {name: move(world, document, view) for name, document in exported.items()}
    assert {outcome.outcome for parts in made.values() for outcome in parts.values()} == {"created"}
    copied = {d["params"]["name"]: d for d in documents_of("server", world.there())}
    assert copied.keys() == exported.keys()
    for name, document in exported.items():
        assert flat(told(copied[name])) == flat(told(document))
    assert [a["delete_on_termination"] for v in copied["pet"]["params"]["volumes"] for a in v["_info"]["attachments"]] == [
        True, False, True,
    ]  # fmt: skip

    since = _now()
    again = {name: move(world, document, world.there()) for name, document in exported.items()}
    assert world.writes(sandbox, since) == []
    assert {o.outcome for parts in again.values() for p, o in parts.items() if not p.startswith("volumes")} == {
        "unchanged"
    }

    volumes = [o.destination_id for path, o in made["pet"].items() if path.startswith("volumes")]
    for id_ in volumes:
        unmark(view, KINDS["volume"], id_)
    assert [v.metadata for v in world.destination.connect().block_storage.volumes() if "stackferry" in v.metadata] == []
    check_updates(world, pet)
    undo(world, made)


def check_documents(pet: dict[str, Any], cow: dict[str, Any], admin: bool) -> None:
    params = pet["params"]
    assert [p["params"]["network_ref"]["name"] for p in params["ports"]] == ["back", "net"]
    front = params["ports"][1]["params"]
    families = sorted(ip["subnet_ref"]["name"] for ip in front["fixed_ips_refs"])
    assert families == ["auto", "v4", "v4", "v6"]
    assert [v["params"]["name"] for v in params["volumes"]] == ["root", "data", ""]
    assert params["volumes"][0]["params"]["volume_image_metadata"] == UEFI
    assert [f["params"]["fixed_ip_address"] for f in params["floating_ips"]] == ["10.5.0.51"]
    assert params["server_group_ref"]["name"] == "apart"
    assert params["user_data"] == (SCRIPT if admin else None)
    assert (params["image_ref"], pet["_migration_params"]["boot_disk_copy"]) == (None, True)
    assert (cow["params"]["image_ref"]["name"], cow["_migration_params"]["boot_disk_copy"]) == ("base", False)
    assert cow["params"]["hostname"] == "cow"
    assert cow["params"]["ports"][0]["params"]["security_group_refs"] == []


def check_files(world: World, exported: list[dict[str, Any]], folder: Path) -> None:
    """What's written is read as it was, and is what OS Migrate knows when that's wanted."""
    detached = documents_of("volume", world.here())
    assert [(v["params"]["name"], v["params"]["size"]) for v in detached] == [("spare", 1)]
    files = documents.write_directory(folder / "ours", [*exported, *detached])
    assert sorted(f.name for f in files) == ["detached_volumes.yml", "workloads.yml"]
    read = documents.read_directory(folder / "ours").documents
    assert sorted(map(as_text, read)) == sorted(map(as_text, [*exported, *detached]))
    documents.write_directory(folder / "theirs", [*exported, *detached], compatible=True)
    for document in documents.read_directory(folder / "theirs").documents:
        assert_only_known(document)


def as_text(document: dict[str, Any]) -> str:
    return json.dumps(document, sort_keys=True)


def assert_only_known(document: dict[str, Any]) -> None:
    """Exactly the keys that OS Migrate 1.0.5 writes, in every part."""
    expected = KEYS[document["type"]]
    assert sorted(document["params"]) == sorted(expected[0])
    assert sorted(document["_info"]) == sorted(expected[1])
    for name in ("ports", "floating_ips", "volumes"):
        for part in document["params"].get(name) or ():
            assert_only_known(part)


KEYS: dict[str, tuple[list[str], list[str]]] = {
    "openstack.compute.Server": (
        ["availability_zone", "config_drive", "description", "disk_config", "flavor_ref", "floating_ips", "image_ref",
         "key_name", "metadata", "name", "ports", "scheduler_hints", "security_group_refs", "tags", "user_data", "volumes"],
        ["created_at", "flavor_id", "hypervisor_hostname", "id", "launched_at", "project_id", "security_group_ids",
         "status", "updated_at", "user_id"],
    ),
    "openstack.network.ServerPort": (
        ["binding_profile", "binding_vnic_type", "fixed_ips_refs", "mac_address", "network_ref"],
        ["device_id", "device_owner", "id"],
    ),
    "openstack.network.ServerFloatingIP": (
        ["description", "dns_domain", "dns_name", "fixed_ip_address", "floating_ip_address", "floating_network_ref",
         "qos_policy_ref"],
        ["created_at", "floating_network_id", "id", "port_id", "qos_policy_id", "router_id", "tags", "updated_at"],
    ),
    "openstack.network.ServerVolume": (
        ["availability_zone", "description", "name", "volume_image_metadata", "volume_type"],
        ["attachments", "id", "is_bootable", "size"],
    ),
}  # fmt: skip


def check_updates(world: World, pet: dict[str, Any]) -> None:
    """What any user would change follows; a second time nothing is left to do."""
    known = {"destination_id": world.ids[pet["_info"]["id"]]}
    changed = copy.deepcopy(pet)
    changed["params"] |= {"name": "cat", "description": None, "metadata": {"role": "web"}, "tags": ["y"]}
    ended = apply.ensure("server", changed, world.there(), known)
    assert sorted(c["field"] for c in ended.changes) == ["metadata", "name", "tags"]
    assert apply.ensure("server", changed, world.there(), known).outcome == "unchanged"
    server = world.destination.connect().compute.get_server(known["destination_id"])
    assert (server.name, server.metadata, server.tags) == ("cat", {"role": "web"}, ["y"])


def undo(world: World, made: dict[str, Any]) -> None:
    """Everything is taken back, last first; nothing of it is left."""
    view = world.there()
    for found in made.values():
        attached = next((o.destination_id for p, o in found.items() if p == "volumes.1"), None)
        if attached:
            with pytest.raises(Unfinished, match="still attached") as caught:
                remove("volume", attached, view)
            assert failure(caught.value)[2]
        order = ["floating_ips", "server", "trunks", "sub_ports", "ports", "volumes"]
        for path, outcome in sorted(found.items(), key=lambda item: order.index(item[0].partition(".")[0])):
            kind = "server" if path == "server" else next(k for p, k, _ in parts(_any(world, path)) if p == path)
            remove(kind, outcome.destination_id, view)
    fresh = world.there()
    for kind in ("server", "volume", "floating_ip"):
        assert fresh.records(kind) == []
    assert [p for p in fresh.records("port") if not p["device_owner"].startswith("network:")] == []


def _any(world: World, path: str) -> dict[str, Any]:
    return next(d for d in world.documents().values() if any(p == path for p, _, _ in parts(d)))


def remove(kind: str, id_: str, view: ProjectView) -> None:
    document = {"type": KINDS[kind].type, "params": {"name": ""}}
    assert apply.remove(kind, document, view, {"destination_id": id_}).outcome == "removed"


def _now() -> float:
    import time

    return time.time()
