"""What goes wrong with servers, at a real cloud: what's missing, taken, broken, slow or in the way, and is told so."""

from __future__ import annotations

import time
from typing import Any

import pytest
from stackferry.errors import EndedInError, Unfinished
from stackferry.resources import KINDS
from stackferry_clouds import actions, apply
from stackferry_clouds.export import documents as documents_of
from stackferry_clouds.failures import failure
from stackferry_clouds.view import ProjectView

pytestmark = pytest.mark.clouds
Document = dict[str, Any]


def look(tenant: Any) -> ProjectView:
    return ProjectView(tenant.connect(), tenant.connect().current_project_id)


def ref(name: str) -> dict[str, Any]:
    return {"name": name, "project_name": None, "domain_name": None}


def document(
    kind: str, info: dict[str, Any] | None = None, how: dict[str, Any] | None = None, **params: Any
) -> Document:
    return {"type": KINDS[kind].type, "params": params, "_info": info or {}, "_migration_params": how or {}}


def server(**params: Any) -> Document:
    return document("server", how=params.pop("how", None), name="pet", flavor_ref=ref("m1.tiny"), **params)


def port(address: str = "10.5.0.50", **params: Any) -> Document:
    ips = [{"ip_address": address, "subnet_ref": ref("v4")}]
    return document("port", network_ref=ref("net"), fixed_ips_refs=ips, **params)


def door(address: str | None = None) -> Document:
    return document("floating_ip", floating_network_ref=ref("public"), floating_ip_address=address,
                    fixed_ip_address="10.5.0.50", description="door")  # fmt: skip


@pytest.fixture
def ground(destination: Any) -> Any:
    """A network with a router to the outside, and an image."""
    c = destination.connect()
    net = c.network.create_network(name="net")
    v4 = c.network.create_subnet(network_id=net.id, name="v4", ip_version=4, cidr="10.5.0.0/24")
    public = c.network.find_network("public", ignore_missing=False)
    router = c.network.create_router(name="edge", external_gateway_info={"network_id": public.id})
    c.network.add_interface_to_router(router, subnet=v4.id)
    c.image.create_image(name="base", disk_format="raw", container_format="bare", data=b"x" * 1024)
    return destination


def ensure(kind: str, wanted: Document, view: ProjectView, **hints: Any) -> str:
    outcome = apply.ensure(kind, wanted, view, hints)
    assert outcome.outcome in ("created", "updated", "unchanged"), (outcome.outcome, outcome.reason)
    return str(outcome.destination_id)


def running(view: ProjectView, wanted: Document, **hints: Any) -> tuple[str, str]:
    """A server on one port; the ids of both."""
    leg = ensure("port", port(), view)
    return leg, ensure("server", wanted, view, port_ids=[leg], **hints)


def test_everything_that_is_missing_is_told_at_once(ground: Any, sandbox: Any) -> None:
    admin, project = sandbox.connect("dst-admin"), ground.connect().current_project_id
    admin.compute.update_quota_set(project, instances=0, cores=0, ram=100)
    admin.network.update_quota(project, ports=1, floating_ips=0)
    admin.block_storage.update_quota_set(project, volumes=1, gigabytes=10)
    volumes = [
        document("volume", {"size": 7}, volume_type=t, availability_zone=z) for t, z in (("gold", "z1"), (None, None))
    ]
    wanted = server(
        image_ref=ref("nowhere"), key_name="laptop", availability_zone="mars", server_group_ref=ref("apart"),
        ports=[port(security_group_refs=[ref("web")]), {**port(), "params": {"network_ref": ref("other")}}],
        floating_ips=[door("10.101.0.77")], volumes=volumes,
    )  # fmt: skip
    for verb in (apply.compare, apply.ensure):
        ended = verb("server", wanted, look(ground), {})
        assert ended.outcome == "missing"
        assert sorted(str(ended.reason).split("; ")) == sorted(
            [
                "there is no image named 'nowhere' here",
                "there is no security group named 'web' here",
                "there is no network named 'other' here",
                "there is no server group named 'apart' here",
                "the user who migrates has no key pair named 'laptop' here",
                "there is no availability zone named 'mars' here",
                "there is no volume type named 'gold' here",
                "there is no availability zone of volumes named 'z1' here",
                "the quota has 0 instances left, and 1 are needed",
                "the quota has 0 cores left, and 1 are needed",
                "the quota has 100 ram left, and 512 are needed",
                "the quota has 0 ports left, and 2 are needed",
                "the quota has 0 floating ips left, and 1 are needed",
                "the quota has 1 volumes left, and 2 are needed",
                "the quota has 10 gigabytes left, and 14 are needed",
            ]
        )
    assert list(ground.connect().compute.servers()) == []


def test_an_image_that_does_not_fit_the_flavor_is_told_before(ground: Any) -> None:
    ground.connect().image.create_image(name="big", disk_format="raw", container_format="bare", min_disk=9, data=b"x")
    wanted = server(image_ref=ref("big"), ports=[])
    assert apply.compare("server", wanted, look(ground), {}).reason == (
        "image 'big' needs 9 GB of disk, and flavor 'm1.tiny' has 1"
    )
    wanted["_migration_params"] = {"boot_disk_copy": True}
    assert apply.compare("server", wanted, look(ground), {}).outcome == "created"


def test_an_address_in_use_is_a_conflict_that_names_who_has_it(ground: Any) -> None:
    view = look(ground)
    leg, first = running(view, server(image_ref=ref("base")))
    mac = ground.connect().network.get_port(leg).mac_address
    for wanted, what in ((port(), "10.5.0.50"), (port("10.5.0.51", mac_address=mac.upper()), mac)):
        for fresh in (view, look(ground)):
            ended = apply.ensure("port", wanted, fresh, {})
            assert (ended.outcome, ended.reason) == ("conflict", f"{what} is in use here, by server 'pet' ({first})")
        other = {**server(image_ref=ref("base"), ports=[wanted])}
        other["params"]["name"] = "other"
        assert apply.compare("server", other, view, {}).reason == f"{what} is in use here, by server 'pet' ({first})"
    gateway = apply.ensure("port", port("10.5.0.1"), view, {})
    assert (gateway.outcome, "network:router_interface" in str(gateway.reason)) == ("conflict", True)
    mine = apply.ensure("port", port(), view, {"device_id": first})
    assert (mine.outcome, mine.destination_id) == ("unchanged", leg)


def test_a_free_port_with_the_address_is_used_as_it_is_or_left_alone(ground: Any) -> None:
    c = ground.connect()
    net = c.network.find_network("net", ignore_missing=False)
    subnet = c.network.find_subnet("v4", ignore_missing=False)
    made = c.network.create_port(network_id=net.id, fixed_ips=[{"subnet_id": subnet.id, "ip_address": "10.5.0.50"}])
    before = c.network.get_port(made.id).to_dict()
    other = server(image_ref=ref("base"), ports=[port(name="leg")])
    plan = apply.compare("server", other, look(ground), {})
    for ended in (plan, apply.ensure("port", port(name="leg"), look(ground), {})):
        assert f"10.5.0.50 is taken here, by port {made.id}, which has another name" in str(ended.reason)
    ended = apply.ensure("port", port(), look(ground), {})
    assert (ended.outcome, ended.destination_id) == ("unchanged", made.id)
    assert c.network.get_port(made.id).to_dict() == before


def test_a_server_that_the_cloud_fails_to_make_is_removed_and_its_reason_told(ground: Any, sandbox: Any) -> None:
    admin = sandbox.connect("dst-admin")
    huge = admin.compute.create_flavor(name=f"huge-{ground.name}", ram=1 << 24, vcpus=1, disk=1)
    try:
        wanted, view = server(image_ref=ref("base")), look(ground)
        wanted["params"]["flavor_ref"] = ref(huge.name)
        leg = ensure("port", port(), view)
        with pytest.raises(EndedInError, match="server 'pet' ended in ERROR: No valid host") as caught:
            apply.ensure("server", wanted, view, {"port_ids": [leg]})
        assert failure(caught.value)[::2] == ("failed", False)
        assert list(ground.connect().compute.servers()) == []
        wanted["params"]["flavor_ref"] = ref("m1.tiny")
        ensure("server", wanted, view, port_ids=[leg])
    finally:
        admin.compute.delete_flavor(huge)


def test_a_strangers_broken_server_of_that_name_is_left_alone(ground: Any, sandbox: Any) -> None:
    view = look(ground)
    _, first = running(view, server(image_ref=ref("base")))
    sandbox.connect("dst-admin").compute.reset_server_state(first, "error")
    ended = apply.ensure("server", server(image_ref=ref("base")), look(ground), {})
    assert (ended.outcome, ended.destination_id) == ("conflict", first)
    assert "ended in ERROR" in str(ended.reason)


def test_a_try_that_ran_out_of_patience_is_gone_on_with_by_the_next(ground: Any) -> None:
    began, c = time.time(), ground.connect()
    wanted, leg = server(image_ref=ref("base")), ensure("port", port(), look(ground))
    for kind, one, hints in (
        ("server", wanted, {"port_ids": [leg]}),
        ("volume", document("volume", size=1, name="data", is_bootable=True, metadata={"a": "b"}), {"marker": "m1/v1"}),
        ("volume", document("volume", size=1, name="spare", is_bootable=True), {}),
    ):
        with pytest.raises(Unfinished, match="still being made") as caught:
            apply.ensure(kind, one, look(ground), {**hints, "patience": 0})
        assert failure(caught.value)[::2] == ("pending", True)
        again = apply.ensure(kind, one, look(ground), {**hints, "look": True, "first_asked": int(began)})
        assert (again.outcome, again.also_made) == ("created", [])
        only = apply.ensure(kind, one, look(ground), {**hints, "only_look": True, "first_asked": int(began)})
        assert (only.outcome, only.destination_id) == ("created", again.destination_id)
    assert [s.status for s in c.compute.servers()] == ["ACTIVE"]
    assert sorted((v.name, v.is_bootable) for v in c.block_storage.volumes()) == [("data", True), ("spare", True)]


def test_a_marked_volume_is_never_mistaken_for_another(ground: Any) -> None:
    view, wanted = look(ground), document("volume", size=1, name="data", metadata={"a": "b"})
    plain = ensure("volume", wanted, view)
    first = ensure("volume", wanted, view, marker="m1/v1")
    second = ensure("volume", wanted, view, marker="m1/v2")
    assert len({plain, first, second}) == 3
    assert ensure("volume", wanted, look(ground), marker="m1/v1") == first
    again = apply.ensure("volume", wanted, look(ground), {})
    assert (again.outcome, again.destination_id) == ("unchanged", plain)
    changed = document("volume", size=1, name="data", metadata={"c": "d"})
    ended = apply.ensure("volume", changed, look(ground), {"destination_id": first})
    assert [c["field"] for c in ended.changes] == ["metadata"]
    stored = ground.connect().block_storage.get_volume(first).metadata
    assert stored == {"c": "d", "stackferry": "m1/v1"}


def test_a_detached_volume_of_another_size_is_a_conflict(ground: Any) -> None:
    view = look(ground)
    ensure("volume", document("volume", size=1, name="data"), view)
    ended = apply.compare("volume", document("volume", {"size": 2}, name="data"), view, {})
    assert (ended.outcome, "size" in str(ended.reason)) == ("conflict", True)


def test_disks_beside_an_image_and_a_copied_boot_disk(ground: Any) -> None:
    view, c = look(ground), ground.connect()
    dies = {"attachments": [{"delete_on_termination": True}]}
    disks = [document("volume", info, size=1, name=n) for n, info in (("a", dies), ("b", {}), ("c", {}))]
    ids = [ensure("volume", d, view, marker=f"m/{n}") for n, d in enumerate(disks)]
    copy = ensure("volume", document("volume", size=1, name="boot", is_bootable=True), view, marker="m/boot")
    leg, first = running(view, server(image_ref=ref("base"), volumes=disks[:2]), volume_ids=[ids[0], None])
    made = c.compute.get_server(first)
    assert made.image.id
    assert [(v.id, v.delete_on_termination) for v in made.attached_volumes] == [(ids[0], True)]

    leg = ensure("port", port("10.5.0.51"), view)
    wanted = server(image_ref=ref("gone"), volumes=disks[1:], how={"boot_disk_copy": True})
    wanted["params"]["name"] = "copied"
    second = ensure("server", wanted, view, port_ids=[leg], volume_ids=ids[1:], boot_volume_id=copy)
    made = c.compute.get_server(second)
    assert not made.image
    found = {(v.id, v.delete_on_termination) for v in made.attached_volumes}  # Nova lists them in no order
    assert found == {(copy, True), (ids[1], False), (ids[2], False)}
    assert c.block_storage.get_volume(copy).attachments[0]["device"] == "/dev/vda"


def test_floating_ips_are_found_made_left_out_and_given_back(ground: Any) -> None:
    view, network = look(ground), ground.connect().network
    leg, first = running(view, server(image_ref=ref("base")))
    public = network.find_network("public", ignore_missing=False)
    kept = network.create_ip(floating_network_id=public.id)
    address, hints = kept.floating_ip_address, {"port_id": leg}

    missing = apply.ensure("floating_ip", door("10.101.9.9"), view, {**hints, "mode": "existing"})
    assert (missing.outcome, missing.reason) == ("missing", "there is no floating IP 10.101.9.9 in this project")
    skipped = apply.ensure("floating_ip", door(address), view, {**hints, "mode": "skip"})
    assert (skipped.outcome, skipped.destination_id, len(skipped.notes)) == ("unchanged", None, 1)
    plan = apply.compare("floating_ip", door(address), look(ground), {**hints, "mode": "auto"})
    assert (plan.outcome, [c["field"] for c in plan.changes][-1]) == ("updated", "port")

    for mode in ("existing", "auto"):
        told = {**hints, "mode": mode, "replaced": {}}
        before = apply.ensure("floating_ip", door(address), look(ground), told)
        assert (before.outcome, before.replaces["port_id"]) == ("differs", [None, leg])
        recorded = {kept.id: before.replaces}
        taken = apply.ensure("floating_ip", door(address), look(ground), {**told, "replaced": recorded})
        assert (taken.outcome, taken.destination_id) == ("updated", kept.id)
        assert network.get_ip(kept.id).port_id == leg
        assert apply.ensure("floating_ip", door(address), look(ground), {**hints, "mode": mode}).outcome == "unchanged"
        apply.remove("floating_ip", door(), look(ground), {"destination_id": kept.id, "replaced": recorded})
        assert network.get_ip(kept.id).port_id is None

    fresh = ensure("floating_ip", door(address), look(ground), mode="new", **hints)
    assert fresh != kept.id
    assert ensure("floating_ip", door(address), look(ground), mode="new", **hints) == fresh
    other = apply.ensure(
        "floating_ip", door(network.get_ip(fresh).floating_ip_address), look(ground), {"mode": "existing"}
    )
    assert other.outcome == "conflict"
    assert f"server 'pet' ({first})" in str(other.reason)
    apply.remove("floating_ip", door(), look(ground), {"destination_id": fresh, "mode": "new"})
    assert [ip.id for ip in network.ips()] == [kept.id]


def test_an_existing_server_of_the_name_is_the_server_whatever_it_was_made_of(ground: Any) -> None:
    view = look(ground)
    _, first = running(view, server(image_ref=ref("base"), description="old"))
    wanted = server(image_ref=ref("gone"), key_name="gone", description="new", availability_zone="mars")
    plan = apply.compare("server", wanted, look(ground), {})
    assert (plan.outcome, [c["field"] for c in plan.changes]) == ("updated", ["description"])
    assert apply.ensure("server", wanted, look(ground), {}).destination_id == first
    assert ground.connect().compute.get_server(first).description == "new"


def test_servers_and_volumes_that_cannot_cross_say_what_to_do(ground: Any, sandbox: Any) -> None:
    view, c, admin = look(ground), ground.connect(), sandbox.connect("dst-admin")
    spare = ensure("volume", document("volume", size=1, name="spare"), view)
    disk = ensure("volume", document("volume", size=1, name="disk"), view)
    _, first = running(view, server(image_ref=ref("base")), volume_ids=[disk])
    admin.block_storage.reset_volume_status(spare, status="error")

    def told(kind: str = "server") -> str:
        fresh = look(ground)
        assert documents_of(kind, fresh) == []
        (staying,) = fresh.staying
        assert staying.id == {"volume": spare, "server": first}[kind]
        return staying.reason

    assert told("volume") == "it's error"
    c.compute.lock_server(first)
    assert told() == f"it's locked: openstack server unlock {first}"
    c.compute.unlock_server(first)
    c.compute.pause_server(first)
    c.compute.wait_for_server(c.compute.get_server(first), "PAUSED", interval=0.5)
    assert "it's PAUSED: unpause it, or stop it" in told()
    c.compute.unpause_server(first)
    c.compute.wait_for_server(c.compute.get_server(first), interval=0.5)
    admin.block_storage.reset_volume_status(disk, status="error")
    assert told().endswith("volume 'disk': it's error")
    admin.block_storage.reset_volume_status(disk, status="in-use")
    assert len(documents_of("server", look(ground))) == 1


def test_what_a_cloud_refuses_to_show_is_not_taken_for_gone(source: Any, sandbox: Any) -> None:
    made = source.connect().block_storage.create_volume(size=1, name="shy")
    user = source.auth["auth"]["username"]
    refusal = {"method": "GET", "path": f"/volumes/{made.id}$", "user": user, "times": 1, "action": {"status": 403}}
    asked = {"migration": "m", "step": "s", "attempt": 1, "kind": "volume", "resource": made.id, "action": "detach",
             "known": {"server": "host"}}  # fmt: skip
    view = look(source)
    with sandbox.faults("src", "cinder", [refusal]):
        ended = actions.attempt(lambda: view, asked)
    assert (ended["outcome"], ended.get("retryable")) == ("failed", False)
    assert actions.attempt(lambda: view, asked)["outcome"] == "done"
