"""The contract of servers and their parts, held against a cloud in memory."""

from __future__ import annotations

import copy
import json
import time
from functools import cache
from typing import Any

import pytest
from openstack.block_storage.v3.volume import Volume
from openstack.compute.v2.flavor import Flavor as ComputeFlavor
from openstack.compute.v2.keypair import Keypair
from openstack.compute.v2.server import Server
from openstack.compute.v2.server_group import ServerGroup
from openstack.image.v2.image import Image
from openstack.network.v2.floating_ip import FloatingIP
from openstack.network.v2.network import Network
from openstack.network.v2.port import Port
from openstack.network.v2.qos_policy import QoSPolicy
from openstack.network.v2.router import Router
from openstack.network.v2.security_group import SecurityGroup
from openstack.network.v2.subnet import Subnet
from openstack.network.v2.trunk import Trunk
from stackferry.errors import EndedInError, Unfinished
from stackferry.resources import KINDS
from stackferry.resources.fields import Many
from stackferry.resources.nested import source_ids
from stackferry.resources.server import ADVICE
from stackferry.resources.server_parts import port_of
from stackferry.resources.view import PENDING
from stackferry_clouds import apply
from stackferry_clouds.export import documents as documents_of

from ..parts import parts
from .fake_cloud import Cloud, is_attribute
from .projects import NAMES, Document, by_name, exported, flat, infrastructure, migrate, populated, view
from .test_kinds import changed

#: what the cloud keeps elsewhere
KEPT_IN = {"is_read_only": "metadata"}
WORKLOADS = sorted(name for name, kind in KINDS.items() if kind.by_workload)
CLASSES: dict[str, Any] = {"floating_ip": FloatingIP, "port": Port, "server": Server, "sub_port": Port,
                           "trunk": Trunk, "volume": Volume}  # fmt: skip
#: what a cloud sets by itself, or finds by itself, or what only says how a document is found again
ITS_OWN = {"floating_ip": {"floating_ip_address"}, "port": {"dns_name"}, "server": {"name"},
           "sub_port": {"dns_name"}, "trunk": set(), "volume": {"name"}}  # fmt: skip
#: what Nova or our own reading puts together
COMPOSED = {
    "server": {"flavor_sizes", "ports", "floating_ips", "volumes", "security_group_ids", "sub_ports", "trunks"},
    "sub_port": {"segmentation_id", "segmentation_type", "trunk_mac_address"},
    "volume": {"is_read_only", "volume_type_specs"},
    "trunk": {"created_at", "mac_address", "updated_at"},  # openstacksdk passes on what it doesn't know
}


@pytest.fixture(autouse=True)
def _no_time_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)


def with_servers(admin: bool = True) -> Cloud:
    """A project with a server from volumes, which says every field, and one from an image."""
    cloud = populated(admin)
    cloud.soon.clear()
    net, other = by_name(cloud, Network, "net"), cloud.seed(Network, name="back")["id"]
    inside = by_name(cloud, Subnet, "subnet")
    back = cloud.seed(Subnet, name="back4", network_id=other, cidr="10.8.0.0/24", ip_version=4, gateway_ip="10.8.0.1",
                      allocation_pools=[{"start": "10.8.0.2", "end": "10.8.0.254"}])["id"]  # fmt: skip
    groups = [by_name(cloud, SecurityGroup, n) for n in ("group", "other")]
    legs = [
        cloud.seed(Port, network_id=other, mac_address="fa:16:3e:00:01:01", security_group_ids=[],
                   is_port_security_enabled=False, fixed_ips=[{"subnet_id": back, "ip_address": "10.8.0.9"}]),
        cloud.seed(
            Port, name="leg", description="first leg", network_id=net, mac_address="fa:16:3e:00:01:02", tags=["q", "p"],
            allowed_address_pairs=[{"ip_address": "10.0.0.99", "mac_address": "fa:16:3e:00:01:02"}],
            binding_profile={"capabilities": ["switchdev"], "pci_slot": "0000:01:00.1"} if admin else None,
            dns_domain="example.org.", extra_dhcp_opts=[{"opt_name": "mtu", "opt_value": "1400", "ip_version": 4}],
            fixed_ips=[{"subnet_id": inside, "ip_address": "10.0.0.55"}, {"subnet_id": inside, "ip_address": "10.0.0.56"}],
            is_admin_state_up=False, propagate_uplink_status=True, qos_policy_id=by_name(cloud, QoSPolicy, "gold"),
            security_group_ids=groups,
        ),
        cloud.seed(Port, network_id=net, mac_address="fa:16:3e:00:01:03", security_group_ids=groups[:1],
                   fixed_ips=[{"subnet_id": inside, "ip_address": "10.0.0.57"}]),
    ]  # fmt: skip
    subs = [
        cloud.seed(Port, network_id=other, mac_address="fa:16:3e:00:01:02", name="vlan 7", description="in a trunk",
                   tags=["v"], dns_domain="example.org.", dns_name="vlan7", propagate_uplink_status=True,
                   allowed_address_pairs=[{"ip_address": "10.8.0.99", "mac_address": "fa:16:3e:00:01:02"}],
                   binding_profile={"capabilities": ["switchdev"]} if admin else None,
                   extra_dhcp_opts=[{"opt_name": "mtu", "opt_value": "1400", "ip_version": 4}],
                   qos_policy_id=by_name(cloud, QoSPolicy, "gold"), security_group_ids=groups,
                   fixed_ips=[{"subnet_id": back, "ip_address": "10.8.0.17"},
                              {"subnet_id": back, "ip_address": "10.8.0.19"}]),
        cloud.seed(Port, network_id=other, mac_address="fa:16:3e:00:01:04", is_port_security_enabled=False,
                   fixed_ips=[{"subnet_id": back, "ip_address": "10.8.0.18"}]),
    ]  # fmt: skip
    places = [
        {"port_id": sub["id"], "segmentation_type": "vlan", "segmentation_id": n} for n, sub in enumerate(subs, 7)
    ]
    trunk = cloud.seed(Trunk, name="bundle", description="of two", port_id=legs[1]["id"], sub_ports=places[::-1],
                       tags=["t"], is_admin_state_up=False)  # fmt: skip
    for sub in subs:
        sub.update(device_id=trunk["id"], device_owner="trunk:subport")
    root = cloud.seed(Volume, name="root", description="boots", size=8, is_bootable=True, metadata={"a": "b", "readonly": "no"},
                      volume_type="gold", volume_image_metadata={"hw_firmware_type": "uefi", "image_id": "i", "checksum": "c"})  # fmt: skip
    data = cloud.seed(Volume, name="data", size=3)
    cloud.seed(Volume, name="spare", size=2)
    public = by_name(cloud, Network, "public")
    make = cloud.connect(admin=True).compute.create_server
    flavor = by_name(cloud, ComputeFlavor, "m1")
    make(
        name="pet", description="the pet", flavor_id=flavor, networks=[{"port": leg["id"]} for leg in legs[:2]],
        block_device_mapping=[
            {"source_type": "volume", "uuid": root["id"], "boot_index": 0, "delete_on_termination": False},
            {"source_type": "volume", "uuid": data["id"], "boot_index": -1, "delete_on_termination": True},
        ],
        config_drive=True, disk_config="AUTO", key_name="key", metadata={"role": "db"}, tags=["z", "y"],
        availability_zone="z2", user_data="IyEvYmluL3No" if admin else None,
        scheduler_hints={"group": by_name(cloud, ServerGroup, "apart"), "rack": ["7"]},
    )  # fmt: skip
    make(name="cow", flavor_id=flavor, networks=[{"port": legs[2]["id"]}], image_id=by_name(cloud, Image, "base"))
    for row in cloud.all(Server):
        row["status"] = "ACTIVE"
    cloud.seed(FloatingIP, floating_network_id=public, floating_ip_address="203.0.0.77", port_id=legs[1]["id"],
               fixed_ip_address="10.0.0.56", description="the door", dns_domain="example.org.", dns_name="door",
               qos_policy_id=by_name(cloud, QoSPolicy, "gold"), tags=["f"])  # fmt: skip
    cloud.soon.clear()
    cloud.writes.clear()
    return cloud


def in_trunk(document: Document, trunk: Document, found: dict[str, apply.Outcome]) -> dict[str, Any]:
    """The hints of a trunk."""
    mac, params = trunk["params"]["mac_address"], document["params"]
    port = [p["params"]["mac_address"] for p in params["ports"]].index(mac)
    return {
        "port_id": found[f"ports.{port}"].destination_id,
        "sub_ports": [
            {"port_id": found[f"sub_ports.{n}"].destination_id}
            | {name: sub["params"][name] for name in ("segmentation_id", "segmentation_type")}
            for n, sub in enumerate(params["sub_ports"]) if sub["params"]["trunk_mac_address"] == mac
        ],
    }  # fmt: skip


def servers(cloud: Cloud, admin: bool = True) -> dict[str, Document]:
    return {d["params"]["name"]: d for d in documents_of("server", view(cloud, admin))}


def move(
    document: Document, look: Any, marked: bool = True, used_by: Any = (), **hints: Any
) -> dict[str, apply.Outcome]:
    """What an itinerary does with one server, without the bytes: path → what came of it.

    *used_by*: kind → what its ports belong to at the destination.
    """
    found: dict[str, apply.Outcome] = {}
    for path, kind, part in parts(document):
        if kind not in ("floating_ip", "trunk"):
            own = {"marker": f"m/{part['_info']['id']}"} if kind == "volume" and marked else {}
            own |= {"device_id": used_by[kind]} if kind in used_by else {}
            found[path] = apply.ensure(kind, part, look, {**own, **hints})
    for path, kind, part in parts(document):
        if kind == "trunk":
            found[path] = apply.ensure(kind, part, look, {**in_trunk(document, part, found), **hints})
    ids = {f"{n}_ids": [o.destination_id for p, o in found.items() if p.startswith(n)] for n in ("port", "volume")}
    found["server"] = apply.ensure("server", document, look, {**ids, **hints})
    for path, kind, part in parts(document):
        if kind == "floating_ip":
            leg, number = port_of(document, part) or ("port", 0)
            port = found[f"{leg}s.{number}"].destination_id
            found[path] = apply.ensure(kind, part, look, {"port_id": port, **hints})
    return found


@cache
def _moved() -> tuple[Document, Cloud, dict[str, apply.Outcome]]:
    source, destination = with_servers(), infrastructure()
    look = view(destination, admin=True)
    migrate(flat(exported(source, admin=True)), look)
    pet = servers(source)["pet"]
    made = move(pet, look)
    destination.writes.clear()
    return pet, destination, made


@pytest.fixture
def moved() -> Any:
    """A server's document, a cloud to which an administrator has moved it, and what its parts have become."""
    return copy.deepcopy(_moved())


def part_of(moved: Any, kind: str) -> tuple[Document, str, dict[str, Any]]:
    """The document of one kind that says most, its id at the destination, and the hints of its steps."""
    pet, _, made = moved
    if kind == "server":
        return pet, made["server"].destination_id, {}
    path = "ports.1" if kind == "port" else f"{kind}s.0"
    document = next(d for p, _, d in parts(pet) if p == path)
    return document, made[path].destination_id, {"destination_id": made[path].destination_id}


def ground(source: Cloud, admin: bool = True) -> Cloud:
    """A destination that has everything but the servers."""
    destination = infrastructure()
    migrate(flat(exported(source, admin)), view(destination, admin))
    destination.writes.clear()
    return destination


def fields_where(wanted: Any) -> list[Any]:
    found = [(k, n) for k in WORKLOADS for n, f in KINDS[k].declared().items() if wanted(k, n, f)]
    return [pytest.param(*pair, id=".".join(pair)) for pair in found]


# -- the declaration -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", WORKLOADS)
def test_everything_that_a_kind_reads_exists_in_openstacksdk(kind: str) -> None:
    cls = KINDS[kind]
    read = {cls.attribute(n) for n in cls.declared()} | set(cls.reads) | set(cls.info) - {"project_id"}
    assert [n for n in read if not is_attribute(CLASSES[kind], n) and n not in COMPOSED.get(kind, ())] == []


@pytest.mark.parametrize("kind", WORKLOADS)
def test_fixed_initial_and_admin_name_declared_fields(kind: str) -> None:
    cls = KINDS[kind]
    assert cls.fixed | cls.initial | cls.admin.keys() <= cls.declared().keys()
    assert all(field.metadata["description"] for field in cls.declared().values())


def test_the_example_project_says_every_field() -> None:
    """Else the tests below would prove nothing about it."""
    cloud = with_servers()
    pet, cow = servers(cloud)["pet"], servers(cloud)["cow"]
    said = {"image_ref": cow["params"]["image_ref"], **{n: v for n, v in pet["params"].items() if n != "image_ref"}}
    unsaid = [f"server.{n}" for n, v in said.items() if v in (None, [], "")]
    for kind in ("port", "sub_port", "trunk", "volume", "floating_ip"):
        found = [d["params"] for _, k, d in parts(pet) if k == kind]
        unsaid += [f"{kind}.{n}" for n in KINDS[kind].declared() if all(p[n] in (None, [], "", {}) for p in found)]
    assert unsaid == []


# -- there and back ------------------------------------------------------------------------------------------


def told(kind: str, params: Document) -> Document:
    """Params without what the destination sets by itself."""
    own = {"floating_ip": {"floating_ip_address"}}.get(kind, set())
    nested = {f"{kind}s": kind for kind in ("port", "sub_port", "trunk", "volume", "floating_ip")}
    return {
        n: [told(nested[n], p["params"]) for p in v] if n in nested else v for n, v in params.items() if n not in own
    }


@pytest.mark.parametrize("admin", [False, True], ids=["tenant", "admin"])
def test_a_server_that_was_moved_exports_as_it_was_and_a_second_time_writes_nothing(admin: bool) -> None:
    source = with_servers(admin)
    destination, documents = ground(source, admin), servers(source, admin)
    for document in documents.values():
        ended = move(document, view(destination, admin))
        assert {o.outcome for o in ended.values()} == {"created"}, {p: o.reason for p, o in ended.items()}
    copies = servers(destination, admin)
    for name, document in documents.items():
        assert told("server", copies[name]["params"]) == told("server", document["params"])
        assert copies[name]["_migration_params"] == document["_migration_params"]
    destination.writes.clear()
    for document in documents.values():
        copied = servers(destination, admin)[document["params"]["name"]]
        used_by = {"port": copied["_info"]["id"]}
        if copied["params"]["trunks"]:
            used_by["sub_port"] = copied["params"]["trunks"][0]["_info"]["id"]
        assert {o.outcome for p, o in move(document, view(destination, admin), used_by=used_by).items()
                if not p.startswith("volumes")} == {"unchanged"}  # fmt: skip
    assert destination.writes == []


@pytest.mark.parametrize("admin", [False, True], ids=["tenant", "admin"])
def test_no_id_of_the_source_is_in_params(admin: bool) -> None:
    source = with_servers(admin)

    def params(document: Document) -> Any:
        lists = ("ports", "sub_ports", "trunks", "volumes", "floating_ips")
        return [{n: v for n, v in document["params"].items() if n not in lists}] + [
            params(part) for n in lists for part in document["params"].get(n) or ()
        ]

    found = json.dumps(
        [params(d) for d in [*servers(source, admin).values(), *documents_of("volume", view(source, admin))]]
    )
    assert [id_ for id_ in source.ids() if id_ in found] == []


def test_ids_of_links_stay_with_the_part_that_they_belong_to() -> None:
    source = with_servers()
    pet = servers(source)["pet"]
    ids, net = source_ids(KINDS["server"], pet), by_name(source, Network, "net")
    paths = [path for path, _, _ in KINDS["server"].links(pet["params"])]
    assert set(paths) - {"key_name"} == set(ids)  # a key pair has no other id than its name
    assert ids["ports.1.params.network_ref"] == net
    pet["params"]["ports"].reverse()
    assert source_ids(KINDS["server"], pet)["ports.0.params.network_ref"] == net


def test_comparing_writes_nothing_and_asks_for_everything() -> None:
    source = with_servers()
    destination = ground(source)
    ended = [apply.compare("server", d, view(destination, admin=True), {}) for d in servers(source).values()]
    assert ([(o.outcome, o.reason) for o in ended], destination.writes) == ([("created", None)] * 2, [])


def test_ports_are_in_the_order_of_the_server_and_volumes_in_that_of_its_devices() -> None:
    params = servers(with_servers())["pet"]["params"]
    assert [p["params"]["name"] for p in params["ports"]] == ["", "leg"]
    assert [v["params"]["name"] for v in params["volumes"]] == ["root", "data"]
    assert params["volumes"][0]["params"]["volume_image_metadata"] == {"checksum": "c", "hw_firmware_type": "uefi"}
    dies = [a["delete_on_termination"] for v in params["volumes"] for a in v["_info"]["attachments"]]
    assert dies == [False, True]


@pytest.mark.parametrize(("root", "first"), [("/dev/vda", "root"), ("/dev/sda", "data")])
def test_the_volume_that_a_server_starts_from_is_first(root: str, first: str) -> None:
    source = with_servers()
    (data,) = (volume for volume in source.all(Volume) if volume["name"] == "data")
    data.update(is_bootable=True)
    data["attachments"][0]["device"] = "/dev/sda"
    for row in source.all(Server):
        row["root_device_name"] = root
    assert servers(source)["pet"]["params"]["volumes"][0]["params"]["name"] == first


def test_volumes_of_servers_have_no_document_of_their_own_and_the_others_have() -> None:
    assert [d["params"]["name"] for d in documents_of("volume", view(with_servers()))] == ["spare"]
    assert documents_of("port", view(with_servers())) == []


def test_an_image_that_is_gone_makes_the_boot_disk_cross() -> None:
    source = with_servers()
    assert servers(source)["cow"]["_migration_params"]["boot_disk_copy"] is False
    source.rows[Image].clear()
    assert servers(source)["cow"]["_migration_params"]["boot_disk_copy"] is True


def test_a_flavor_that_is_gone_still_has_its_name() -> None:
    source = with_servers()
    source.rows[ComputeFlavor].clear()
    assert servers(source)["pet"]["params"]["flavor_ref"]["name"] == "m1"


@pytest.mark.parametrize(("has_hostnames", "expected"), [(True, "kept"), (False, "pet")])
def test_a_host_name_is_kept_where_nova_lets_us(has_hostnames: bool, expected: str) -> None:
    source = with_servers()
    destination = ground(source)
    destination.compute_version = (2, 90) if has_hostnames else (2, 89)
    pet = servers(source)["pet"]
    pet["params"]["hostname"] = "kept"
    move(pet, view(destination, admin=True))
    assert [s["hostname"] for s in destination.all(Server)] == [expected]


def test_user_data_that_cannot_be_read_is_noted_once() -> None:
    look = view(with_servers())
    documents_of("server", look)
    assert len([note for note in look.notes if "user data" in note]) == 1


# -- changes -------------------------------------------------------------------------------------------------


def updatable(kind: str, name: str, _: Any) -> bool:
    return name not in KINDS[kind].fixed | KINDS[kind].initial | ITS_OWN[kind]


@pytest.mark.parametrize(("kind", "name"), fields_where(updatable))
def test_a_changed_field_is_updated_and_no_other(moved: Any, kind: str, name: str) -> None:
    destination = moved[1]
    document, id_, hints = part_of(moved, kind)
    had = copy.deepcopy(destination.rows[CLASSES[kind]][id_])
    field = KINDS[kind].declared()[name]
    document["params"][name] = other_value(field, name, document["params"][name])

    planned = apply.compare(kind, document, view(destination, admin=True), hints)
    assert destination.writes == []
    ended = apply.ensure(kind, document, view(destination, admin=True), hints)
    assert (ended.outcome, [change["field"] for change in ended.changes]) == ("updated", [name])
    assert (planned.outcome, planned.changes) == ("updated", ended.changes)
    has = destination.rows[CLASSES[kind]][id_]
    kept_in = KEPT_IN.get(name, KINDS[kind].attribute(name))
    assert {n for n in has if has[n] != had.get(n)} - {"updated_at"} == {kept_in}
    destination.writes.clear()
    again = apply.ensure(kind, document, view(destination, admin=True), hints)
    assert (again.outcome, destination.writes) == ("unchanged", [])


@pytest.mark.parametrize(("kind", "name"), fields_where(updatable))
def test_a_changed_field_is_brought_back(moved: Any, kind: str, name: str) -> None:
    destination = moved[1]
    document, id_, hints = part_of(moved, kind)
    hints |= {"made": [], "replaced": {}}
    had = copy.deepcopy(destination.rows[CLASSES[kind]][id_])
    document["params"][name] = other_value(KINDS[kind].declared()[name], name, document["params"][name])
    told = apply.ensure(kind, document, view(destination, admin=True), hints)
    assert (told.outcome, told.destination_id, destination.writes) == ("differs", id_, [])
    recorded = json.loads(json.dumps({id_: told.replaces}))
    look = view(destination, admin=True)
    assert apply.ensure(kind, document, look, {**hints, "replaced": recorded}).outcome == "updated"
    for _ in range(2):  # its answer may be lost
        undo = {"destination_id": id_, "replaced": recorded}
        ended = apply.remove(kind, document, view(destination, admin=True), undo)
        assert (ended.outcome, ended.notes) == ("restored", [])
        now = copy.deepcopy(destination.rows[CLASSES[kind]][id_])
        if kind == "volume" and now["metadata"].get("readonly") == "False":
            del now["metadata"]["readonly"]  # that is what no word of it means
        assert {n: now[n] for n in now if n != "updated_at"} == {n: had.get(n) for n in now if n != "updated_at"}


def other_value(field: Any, name: str, value: Any) -> Any:
    """Another value that still makes sense."""
    if name == "security_group_refs":
        return value[:1]
    if name == "fixed_ips_refs":
        return value[:1]
    if name in ("metadata", "volume_image_metadata", "binding_profile"):
        return {"new": "value"} if name == "metadata" else {**value, "new": "value"}
    if name == "allowed_address_pairs":
        return [{"ip_address": "10.0.0.98"}]
    if name == "extra_dhcp_opts":
        return [{"opt_name": "ntp", "opt_value": "10.0.0.1", "ip_version": 4}]
    return changed(field, value)


@pytest.mark.parametrize(("kind", "name"), fields_where(lambda k, n, _: n in KINDS[k].fixed))
@pytest.mark.parametrize("verb", [apply.ensure, apply.compare])
def test_a_changed_fixed_field_is_a_conflict_and_nothing_is_written(
    moved: Any, kind: str, name: str, verb: Any
) -> None:
    destination = moved[1]
    document, _, hints = part_of(moved, kind)
    document["params"][name] = changed(KINDS[kind].declared()[name], document["params"][name])
    if name == "network_ref":
        document["params"]["fixed_ips_refs"] = None  # its subnets are of the other network
    ended = verb(kind, document, view(destination, admin=True), hints)
    assert (ended.outcome, [change["field"] for change in ended.changes]) == ("conflict", [name])
    assert destination.writes == []


@pytest.mark.parametrize(("kind", "name"), fields_where(lambda k, n, _: n in KINDS[k].initial))
def test_what_is_said_at_creation_only_is_not_compared(moved: Any, kind: str, name: str) -> None:
    destination = moved[1]
    document, _, hints = part_of(moved, kind)
    field = KINDS[kind].declared()[name]
    document["params"][name] = [] if isinstance(field, Many) else None if field.nullable else {"name": "nowhere"}
    if not name.endswith("_ref") and not isinstance(field, Many):
        document["params"][name] = {} if name == "scheduler_hints" else None
    ended = apply.ensure(kind, document, view(destination, admin=True), hints)
    expected = ("conflict", []) if field.required and not document["params"][name] else ("unchanged", [])
    assert ((ended.outcome, ended.changes), destination.writes) == (expected, [])


@pytest.mark.parametrize(("kind", "name"), fields_where(lambda k, n, f: updatable(k, n, f) and not f.required))
def test_null_leaves_the_destination_alone(moved: Any, kind: str, name: str) -> None:
    destination = moved[1]
    document, _, hints = part_of(moved, kind)
    document["params"][name] = None
    ended = apply.ensure(kind, document, view(destination, admin=True), hints)
    assert (ended.outcome, ended.reason, destination.writes) == ("unchanged", None, [])


def test_groups_of_ports_are_emptied_when_a_document_says_so_even_at_birth() -> None:
    source = with_servers()
    destination, pet = ground(source), servers(source)["pet"]
    for port in pet["params"]["ports"]:
        port["params"]["security_group_refs"] = []
    legs = [o.destination_id for p, o in move(pet, view(destination, admin=True)).items() if p.startswith("ports")]
    assert [destination.rows[Port][id_]["security_group_ids"] for id_ in legs] == [[], []]


def test_ports_of_os_migrate_get_the_groups_of_their_server() -> None:
    pet = servers(with_servers())["pet"]
    for port in pet["params"]["ports"]:
        del port["params"]["security_group_refs"]
    groups = {d["params"]["name"]: d["params"].get("security_group_refs") for _, k, d in parts(pet) if k == "port"}
    assert [g["name"] for g in groups["leg"] or ()] == ["group", "other"]
    assert groups[""] is None  # port security is off


# -- slow and failing clouds -----------------------------------------------------------------------------------


def fate(cloud: Cloud, cls: type, *states: str) -> None:
    cloud.fates[cls] = list(states)


def one(kind: str, source: Cloud) -> tuple[Document, dict[str, Any]]:
    if kind == "volume":
        return documents_of("volume", view(source, admin=True))[0], {"marker": "m/1"}
    document = servers(source)["cow"]
    document["params"]["ports"] = []
    return document, {}


@pytest.mark.parametrize(("kind", "making"), [("server", "BUILD"), ("volume", "creating")])
def test_a_later_try_goes_on_waiting_for_what_an_earlier_one_began(kind: str, making: str) -> None:
    source = with_servers()
    destination, began = ground(source), 0
    document, hints = one(kind, source)
    fate(destination, CLASSES[kind], *[making] * 50)
    with pytest.raises(Unfinished, match="still being made"):
        apply.ensure(kind, document, view(destination, admin=True), {**hints, "patience": 0})
    (row,) = destination.all(CLASSES[kind])
    assert row["status"] in (making, None) or kind == "server"
    destination.soon[row["id"]] = ["ACTIVE" if kind == "server" else "available"]
    destination.writes.clear()
    ended = apply.ensure(kind, document, view(destination, admin=True), {**hints, "look": True, "first_asked": began})
    assert (ended.outcome, ended.destination_id) == ("created", row["id"])
    assert [w for w in destination.writes if w[0] == "create"] == []


@pytest.mark.parametrize(("kind", "state"), [("server", "ERROR"), ("volume", "error")])
def test_what_the_cloud_failed_to_make_is_removed_and_the_reason_told(kind: str, state: str) -> None:
    source = with_servers()
    destination = ground(source)
    document, hints = one(kind, source)
    fate(destination, CLASSES[kind], state)
    with pytest.raises(EndedInError, match=rf"ended (in|as) {state}"):
        apply.ensure(kind, document, view(destination, admin=True), hints)
    assert destination.all(CLASSES[kind]) == []


def test_volumes_that_lost_tries_made_besides_are_named_as_surplus() -> None:
    source = with_servers()
    destination = ground(source)
    document, hints = one("volume", source)
    ids = [destination.seed(Volume, name="spare", size=2, metadata={"stackferry": "m/1"})["id"] for _ in "ab"]
    ended = apply.ensure("volume", document, view(destination, admin=True), {**hints, "look": True, "first_asked": 0})
    assert (ended.outcome, ended.destination_id, ended.also_made) == ("created", ids[0], ids[1:])


# -- what is lacking -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["instances", "cores", "ram", "ports", "floating_ips", "volumes", "gigabytes"])
@pytest.mark.parametrize("enough", [False, True])
def test_a_quota_that_would_not_suffice_is_told_before(name: str, enough: bool) -> None:
    source = with_servers()
    destination, pet = ground(source), servers(source)["pet"]
    need = {"cores": 2, "ram": 1024, "ports": 4, "volumes": 2, "gigabytes": 11}.get(name, 1)
    destination.quotas[name] = need + 1 - (not enough)  # one is in use
    ended = apply.compare("server", pet, view(destination, admin=True), {})
    said = f"the quota has {need - 1} {name.replace('_', ' ')} left, and {need} are needed"
    assert (ended.outcome, ended.reason) == (("created", None) if enough else ("missing", said))


def test_what_was_made_already_is_not_asked_of_the_quota_again() -> None:
    source = with_servers()
    destination, pet = ground(source), servers(source)["pet"]
    destination.quotas |= {"ports": 1, "volumes": 1, "gigabytes": 1}
    assert (
        apply.compare("server", pet, view(destination, admin=True), {"port_ids": ["p"], "volume_ids": ["v"]}).reason
        is None
    )


NO_WAY = "no router here leads from network 'net' to 'public'"


def without(what: str, cloud: Cloud) -> None:
    """Take away what a floating IP leads through."""
    legs = [row for row in cloud.all(Port) if row["device_owner"] == "network:router_interface"]
    if what == "leg":
        for leg in legs:
            del cloud.rows[Port][leg["id"]]
    elif what == "gateway":
        cloud.rows[Router][legs[0]["device_id"]]["external_gateway_info"] = None
    elif what == "other gateway":
        cloud.rows[Router][legs[0]["device_id"]]["external_gateway_info"]["network_id"] = "another"
    elif what == "subnet":
        legs[0]["fixed_ips"] = [{"subnet_id": by_name(cloud, Subnet, "back4"), "ip_address": "10.8.0.1"}]


@pytest.mark.parametrize("what", ["nothing", "leg", "gateway", "other gateway", "subnet"])
def test_a_floating_ip_that_no_router_could_lead_is_told_before(what: str) -> None:
    source = with_servers()
    destination, pet = ground(source), servers(source)["pet"]
    without(what, destination)
    ended = apply.compare("server", pet, view(destination, admin=True), {})
    assert (ended.outcome, ended.reason) == (("created", None) if what == "nothing" else ("missing", NO_WAY))
    (address,) = pet["params"]["floating_ips"]
    led = {"led": [address["_info"]["id"]]}
    assert apply.compare("server", pet, view(destination, admin=True), led).outcome == "created"
    pet["_migration_params"]["floating_ip_mode"] = "skip"
    assert apply.compare("server", pet, view(destination, admin=True), {}).outcome == "created"


def test_a_way_out_that_was_made_since_it_was_looked_for_is_seen() -> None:
    source = with_servers()
    destination, pet = ground(source), servers(source)["pet"]
    legs, look = dict(destination.rows[Port]), view(destination, admin=True)
    without("leg", destination)
    assert apply.compare("server", pet, look, {}).reason == NO_WAY
    destination.rows[Port].update(legs)
    assert apply.compare("server", pet, look, {}).outcome == "created"


@pytest.mark.parametrize(("disk", "fits"), [(4, False), (5, True), (0, True)])
def test_a_flavor_must_hold_the_image_unless_it_sets_no_limit(disk: int, fits: bool) -> None:
    source = with_servers()
    destination, cow = ground(source), servers(source)["cow"]
    for flavor in destination.all(ComputeFlavor):
        flavor["disk"] = disk
    ended = apply.compare("server", cow, view(destination, admin=True), {})
    assert (ended.outcome == "created") is fits, ended.reason


# -- undo ------------------------------------------------------------------------------------------------------


def test_everything_is_removed_in_order_and_twice_is_fine(moved: Any) -> None:
    _, destination, made = moved
    kinds = {path: kind for path, kind, _ in parts(moved[0])} | {"server": "server"}
    volume = made["volumes.0"].destination_id
    document = {"params": {"name": "x"}, "type": ""}
    with pytest.raises(Unfinished, match="still attached"):
        apply.remove("volume", document, view(destination, admin=True), {"destination_id": volume})
    look = view(destination, admin=True)
    for path in sorted(
        made,
        key=lambda p: ["floating_ips", "server", "trunks", "sub_ports", "ports", "volumes"].index(p.partition(".")[0]),
    ):
        apply.remove(kinds[path], document, look, {"destination_id": made[path].destination_id})
    gone = {outcome.destination_id for outcome in made.values()}
    assert [id_ for kind in WORKLOADS for id_ in destination.rows[CLASSES[kind]] if id_ in gone] == []
    destination.writes.clear()
    for path, outcome in made.items():
        ended = apply.remove(
            kinds[path], document, view(destination, admin=True), {"destination_id": outcome.destination_id}
        )
        assert ended.outcome == "removed"
    assert destination.writes == []


def test_names_of_this_contract_and_of_the_other_are_all_kinds() -> None:
    assert sorted([*NAMES, *WORKLOADS]) == sorted(KINDS)


UUID = "7f1c2a3b-0000-4000-8000-00000000000a"


def test_no_id_of_the_source_in_a_file_reaches_the_destination() -> None:
    """OS Migrate writes several of them; what is left out is noted."""
    look = view(Cloud(), True)
    wishes = {"group": UUID, "same_host": [UUID], "query": "[]", "custom": UUID}
    profile = {"capabilities": ["switchdev"], "pci_slot": "0000:01:00.1", "allocation": UUID}
    sent = [
        KINDS[kind].declared()[name].resolve(value, look)
        for kind, name, value in (("server", "scheduler_hints", wishes), ("port", "binding_profile", profile))
    ]
    assert sent == [{"query": "[]"}, {"capabilities": ["switchdev"]}]
    flavor = {"flavor_ref": {"name": "nowhere"}}
    document = {"params": {"scheduler_hints": wishes, **flavor}, "_migration_params": {}}
    assert KINDS["server"].provisos(look, document) == [
        "scheduler_hints.custom was left out: its ids are the source's",
        "scheduler_hints.same_host was left out: its ids are the source's",
    ]


def test_a_key_pair_that_the_same_migration_makes_is_not_missing() -> None:
    source = with_servers()
    destination, pet = ground(source), servers(source)["pet"]
    assert (pet["params"]["key_name"], KINDS["server"]().validate({"key_name": {"name": "key"}}, partial=True)) == (
        "key",
        {"key_name": ["expected the name of a key pair"]},
    )
    destination.rows[Keypair].clear()
    look = view(destination, admin=True)
    said = "the user who migrates has no key pair named 'key' here"
    assert apply.compare("server", pet, look, {}).reason == said
    planned = KINDS["server"].map_links(
        pet["params"], lambda _, ref: {**ref, "id": PENDING} if _ == "key_name" else ref
    )
    assert apply.compare("server", {**pet, "params": planned}, look, {}).outcome == "created"


def test_a_server_whose_key_pair_is_made_first_gets_it_by_name() -> None:
    source = with_servers()
    destination, pet = ground(source), servers(source)["pet"]
    pet["params"] = KINDS["server"].map_links(
        pet["params"], lambda _, ref: {**ref, "id": "key"} if _ == "key_name" else ref
    )
    move(pet, view(destination, admin=True))
    assert [s["key_name"] for s in destination.all(Server)] == ["key"]


def sized(cloud: Cloud, how: str, **sizes: int | str) -> None:
    """Let a cloud's flavor, and what Nova shows of it in servers, have these sizes; an old Nova shows only its id."""
    (flavor,) = cloud.all(ComputeFlavor)
    flavor.update(sizes)
    for row in cloud.all(Server):
        row["flavor"] = {**row["flavor"], **sizes} if how == "shown" else {"id": flavor["id"]}


@pytest.mark.parametrize("how", ["shown", "an old Nova"])
@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"ephemeral": 5, "swap": 512}, "5 GB of ephemeral disk and 512 MB of swap"),
        ({"ephemeral": 0, "swap": 512}, "512 MB of swap"),
        ({"ephemeral": 0, "swap": ""}, None),
    ],
)
def test_disks_that_no_api_can_read_are_noted(sizes: dict[str, Any], said: str | None, how: str) -> None:
    source = with_servers()
    sized(source, how, **sizes)
    look = view(source)
    documents_of("server", look)
    notes = [note for note in look.notes if "stays behind" in note]
    what = f"what is on its {said} can't be read, and stays behind"
    assert notes == ([f"server '{name}': {what}" for name in ("pet", "cow")] if said else [])


def test_a_flavor_that_is_not_there_is_told_in_the_plan() -> None:
    source = with_servers()
    destination, pet = ground(source), servers(source)["pet"]
    destination.rows[ComputeFlavor].clear()
    outcome = apply.compare("server", pet, view(destination, admin=True), {})
    assert outcome.outcome == "missing"
    assert "flavor named 'm1'" in str(outcome.reason)


@pytest.mark.parametrize("status", [*ADVICE, "PASSWORD"])
def test_a_server_in_a_state_in_which_it_cannot_cross_says_what_to_do(status: str) -> None:
    source = with_servers()
    record = next(row for row in view(source, admin=True).records("server") if row["name"] == "pet")
    look = view(source, admin=True)
    assert KINDS["server"].obstacle(look, record) is None
    said = KINDS["server"].obstacle(look, {**record, "status": status})
    assert said == f"it's {status}: {ADVICE.get(status, 'start or stop it')}"


def test_a_flavor_of_the_same_name_that_is_smaller_is_noted() -> None:
    source = with_servers()
    destination, pet = ground(source), servers(source)["pet"]
    before = apply.compare("server", pet, view(destination, admin=True), {}).notes
    sized(destination, "shown", vcpus=1, ram=4096, disk=9)
    notes = apply.compare("server", pet, view(destination, admin=True), {}).notes
    assert set(notes) - set(before) == {"flavor 'm1' here has 1 vCPUs instead of 2, 9 GB of disk instead of 10"}


@pytest.mark.parametrize(
    ("mode", "reserved", "noted"),
    [
        ("auto", False, True),
        ("auto", True, False),
        ("new", True, True),
        ("existing", False, False),
        ("skip", False, False),
    ],
)
def test_a_floating_ip_that_will_have_another_address_is_noted(mode: str, reserved: bool, noted: bool) -> None:
    source = with_servers()
    destination, pet = ground(source), servers(source)["pet"]
    pet["_migration_params"] = {**pet["_migration_params"], "floating_ip_mode": mode}
    if reserved:
        destination.seed(
            FloatingIP, floating_ip_address="203.0.0.77", port_id=None, project_id=destination.project["id"]
        )
    notes = apply.compare("server", pet, view(destination, admin=True), {}).notes
    what = "floating IP 203.0.0.77: another address takes its place, since no floating IP here has it"
    assert (what in notes) == noted


def test_an_update_of_image_metadata_leaves_alone_what_else_a_volume_has(moved: Any) -> None:
    destination = moved[1]
    document, id_, hints = part_of(moved, "volume")
    row = destination.rows[Volume][id_]
    row["volume_image_metadata"] |= {"disk_format": "raw", "image_name": "base"}
    document["params"]["volume_image_metadata"] = {"hw_firmware_type": "bios"}
    assert apply.ensure("volume", document, view(destination, admin=True), hints).outcome == "updated"
    assert row["volume_image_metadata"] == {
        "checksum": "c", "disk_format": "raw", "hw_firmware_type": "bios", "image_name": "base"
    }  # fmt: skip


def test_the_plan_of_a_server_tells_what_will_be_left_out_of_its_parts() -> None:
    source = with_servers(admin=True)
    pet = servers(source)["pet"]
    destination = ground(source, admin=True)
    next(row for row in destination.all(Network) if row["name"] == "net").update(
        project_id=destination.operators["id"], is_shared=True
    )
    (leg,) = [port for port in pet["params"]["ports"] if port["params"]["name"] == "leg"]
    leg["params"]["network_ref"] = {"name": "net", "project_name": None, "domain_name": None}
    pet["params"] |= {"key_name": None}
    planned = apply.compare("server", pet, view(destination), {})
    assert (planned.outcome, planned.reason) == ("created", None)
    assert [note for note in planned.notes if note.startswith("port leg: binding_profile = ")]
    assert (
        "port leg: fixed_ips_refs was left out: network 'net' belongs to another project, which alone chooses it"
        in (planned.notes)
    )
