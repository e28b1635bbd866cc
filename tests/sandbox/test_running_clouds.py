"""The sandbox's own promises, tried on two running clouds."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import yaml
from keystoneauth1.exceptions import ConnectFailure
from openstack.connection import Connection
from openstack.exceptions import ConflictException, ForbiddenException, SDKException
from stackferry_sandbox import Action, Rule, Sandbox, SandboxError
from stackferry_sandbox.connections import connect
from stackferry_sandbox.seed import seed_stacks, seed_tenant
from stackferry_sandbox.services import NAMES

pytestmark = pytest.mark.clouds

EXTENSIONS = {
    "address-group",
    "allowed-address-pairs",
    "auto-allocated-topology",
    "dns-domain-ports",
    "dns-integration",
    "ext-gw-mode",
    "extraroute",
    "extraroute-atomic",
    "floating-ip-port-forwarding",
    "net-mtu-writable",
    "network-ip-availability",
    "port-security",
    "qos",
    "rbac-policies",
    "router",
    "security-group",
    "security-groups-normalized-cidr",
    "security-groups-remote-address-group",
    "segment",
    "standard-attr-tag",
    "stateful-security-group",
    "subnet-service-types",
    "trunk",
}


def test_both_clouds_run_and_say_so(sandbox: Sandbox) -> None:
    assert {"src", "dst"} <= {cloud.name for cloud in sandbox.status() if cloud.running}


@pytest.mark.parametrize("cloud", ["src", "dst"])
def test_the_tenant_is_no_administrator(sandbox: Sandbox, cloud: str) -> None:
    with sandbox.connect(cloud) as member, sandbox.connect(f"{cloud}-admin") as admin:
        assert any(project.name == "tenant" for project in admin.identity.projects())
        with pytest.raises(ForbiddenException):
            list(member.identity.projects())
        assert member.network.find_network("public").is_router_external


def test_the_clouds_have_nothing_in_common(sandbox: Sandbox) -> None:
    with sandbox.connect("src") as src, sandbox.connect("dst") as dst:
        assert src.current_project_id != dst.current_project_id
        addresses = [next(each.network.subnets(name="public-subnet")).cidr for each in (src, dst)]
    assert addresses[0] != addresses[1]
    entries = yaml.safe_load(sandbox.clouds_yaml())["clouds"]
    passwords = [entry["auth"]["password"] for entry in entries.values()]
    assert len(set(passwords)) == len(passwords)


@pytest.mark.parametrize("cloud", ["src", "dst"])
def test_neutron_offers_what_a_real_cloud_offers(sandbox: Sandbox, cloud: str) -> None:
    with sandbox.connect(cloud) as member:
        assert {extension.alias for extension in member.network.extensions()} >= EXTENSIONS


def test_up_starts_nothing_that_runs(sandbox: Sandbox) -> None:
    before = [sandbox.pid_of("src", service) for service in NAMES]
    sandbox.up("src")
    assert [sandbox.pid_of("src", service) for service in NAMES] == before


def test_a_killed_service_comes_back_alone(sandbox: Sandbox) -> None:
    before = {service: sandbox.pid_of("dst", service) for service in NAMES}
    sandbox.kill("dst", "placement")
    assert sandbox.pid_of("dst", "placement") is None
    sandbox.up("dst")
    after = {service: sandbox.pid_of("dst", service) for service in NAMES}
    assert {service for service in NAMES if before[service] != after[service]} == {"placement"}
    assert after["placement"]


def test_tenants_can_be_made_at_once_and_see_nothing_of_each_other(sandbox: Sandbox) -> None:
    stem = f"many-{uuid.uuid4().hex[:8]}"

    def one(number: int) -> list[str]:
        with connect(sandbox.create_tenant("dst", f"{stem}-{number}")) as member:
            member.network.create_network(name=f"net-{number}")
            return [network.name for network in member.network.networks() if network.name != "public"]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, range(4))) == [[f"net-{number}"] for number in range(4)]
        list(pool.map(lambda number: sandbox.delete_tenant("dst", f"{stem}-{number}"), range(4)))
    with sandbox.connect("dst-admin") as admin:
        assert not any(project.name.startswith(stem) for project in admin.identity.projects())
        assert not list(admin.network.networks(name="net-0"))


def test_a_tenant_is_made_once(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxError, match="already"):
        sandbox.create_tenant("src", "tenant")


def test_an_administrator_can_be_made(sandbox: Sandbox) -> None:
    name = f"boss-{uuid.uuid4().hex[:8]}"
    with connect(sandbox.create_tenant("src", name, admin=True)) as admin:
        assert list(admin.identity.projects())
    sandbox.delete_tenant("src", name)


def test_requests_are_logged(sandbox: Sandbox, tenant: Connection) -> None:
    began = time.time()
    agent = f"agent-{uuid.uuid4().hex}"
    tenant.network.get("/networks?name=x", headers={"User-Agent": agent})
    (request,) = (each for each in sandbox.access_log("src", "neutron", began) if each.agent == agent)
    assert (request.method, request.path, request.query) == ("GET", "/v2.0/networks", "name=x")
    assert request.status == 200
    assert request.project_id == tenant.current_project_id
    assert request.request_id.startswith("req-")
    assert not request.internal


def test_requests_of_the_services_among_themselves_are_logged_as_such(sandbox: Sandbox, tenant: Connection) -> None:
    began = time.time()
    list(tenant.network.networks())  # neutron asks keystone about the token
    internal = [each for each in sandbox.access_log("src", "keystone", began) if each.internal]
    assert any(each.user == "service" for each in internal)


def create(tenant: Connection, name: str) -> int:
    """Ask for a network once, without the client's own retries."""
    body = {"network": {"name": name}}
    return tenant.network.post("/networks", json=body, raise_exc=False, connect_retries=0).status_code


def count(tenant: Connection, name: str) -> int:
    return len(list(tenant.network.networks(name=name)))


def rule(tenant: Connection, **action: Any) -> Rule:
    """A rule that only befalls this test's tenant, once."""
    user = tenant.config.get_auth_args()["username"]
    return Rule("/v2.0/networks$", Action(**action), method="POST", user=user, times=1)


def test_a_fault_answers_once_and_is_gone(sandbox: Sandbox, tenant: Connection) -> None:
    assert count(tenant, "a") == 0
    with sandbox.faults("src", "neutron", [rule(tenant, status=503, retry_after=1)]):
        assert [create(tenant, "a"), create(tenant, "a")] == [503, 201]
    with sandbox.faults("src", "neutron", [rule(tenant, status=500)]):
        pass
    assert create(tenant, "a") == 201
    assert count(tenant, "a") == 2


@pytest.mark.parametrize(("when", "made"), [("before", 0), ("after", 1)])
def test_an_answer_is_lost_before_or_after_the_work(sandbox: Sandbox, tenant: Connection, when: str, made: int) -> None:
    began = time.time()
    lost = rule(tenant, drop=when)
    with sandbox.faults("src", "neutron", [lost]), pytest.raises((ConnectFailure, SDKException)):
        create(tenant, "b")
    assert count(tenant, "b") == made
    (request,) = (each for each in sandbox.access_log("src", "neutron", began) if each.fault == lost.id)
    assert request.status is None


def test_a_fault_can_take_time(sandbox: Sandbox, tenant: Connection) -> None:
    with sandbox.faults("src", "neutron", [rule(tenant, delay=1.0)]):
        began = time.monotonic()
        assert create(tenant, "c") == 201
        assert time.monotonic() - began >= 1.0


def test_the_realistic_tenant(sandbox: Sandbox, tenant: Connection) -> None:
    disks = sandbox.disks("src")
    with sandbox.connect("src-admin") as admin:
        assert seed_tenant(tenant, admin, size_mib=1, disks=disks)
        assert not seed_tenant(tenant, admin, size_mib=1, disks=disks)
        assert not seed_tenant(tenant, admin, size_mib=1)
    project = tenant.current_project_id
    routers = {router.name: router for router in tenant.network.routers()}
    assert routers["edge"].external_gateway_info["enable_snat"] is True
    assert routers["no-nat"].external_gateway_info["enable_snat"] is False
    assert routers["second-way"].external_gateway_info is None
    subnet = tenant.network.find_subnet("frontend-v4")
    assert subnet.dns_nameservers == ["9.9.9.9", "1.1.1.1", "8.8.8.8"]
    assert len(subnet.allocation_pools) == 2
    assert not tenant.network.find_network("storage").is_port_security_enabled
    (default,) = tenant.network.security_groups(name="default", project_id=project)
    kinds = [(each["direction"], each["ethertype"], each["protocol"]) for each in default.security_group_rules]
    assert ("ingress", "IPv4", "icmp") in kinds
    assert ("ingress", "IPv6", None) not in kinds
    assert {image.name for image in tenant.image.images(owner=project)} >= {"base-raw", "do-not-delete"}
    assert {keypair.name for keypair in tenant.compute.keypairs()} == {"deploy", "anna@office laptop"}

    servers = {server.name: server for server in tenant.compute.servers()}
    states = {name: server.status for name, server in servers.items()}
    assert states == {"web-1": "ACTIVE", "db-1": "ACTIVE", "сервер-бухгалтерии": "SHUTOFF"}
    addresses = {
        name: {ip["addr"] for ips in server.addresses.values() for ip in ips} for name, server in servers.items()
    }
    chosen = {"10.10.0.20", "fd00:10::f816:3eff:fe0a:1014", "10.20.0.20", "fd00:20::1020", "172.16.8.20"}
    assert addresses["web-1"] >= chosen
    assert next(tenant.network.ips()).port_id == tenant.network.find_port("web-1-front").id
    assert not tenant.network.find_port("db-1").is_port_security_enabled
    assert len(tenant.network.find_port("web-1-back").allowed_address_pairs) == 2
    assert servers["db-1"].id in next(tenant.compute.server_groups(name="database")).member_ids

    volumes = {volume.name: volume for volume in tenant.block_storage.volumes()}
    assert {name for name, volume in volumes.items() if volume.status == "in-use"} == {"db-boot", "db-data", "db-log"}
    boot = tenant.block_storage.get_volume(volumes["db-boot"].id)
    assert boot.is_bootable
    assert boot.volume_image_metadata["hw_scsi_model"] == "virtio-scsi"
    assert volumes["архив-2019"].metadata["retention"] == "2029-12-31"
    data = disks.volume(volumes["db-data"].id)
    assert (sandbox.server_folder("src", servers["db-1"].id) / "dev/vdb").readlink() == data
    assert 40 << 20 < data.stat().st_blocks * 512 < 60 << 20
    assert disks.root(servers["web-1"].id).stat().st_blocks * 512 > 20 << 20


def test_stacks(sandbox: Sandbox, tenant: Connection) -> None:
    seed_stacks(tenant, 2, "kit")
    network = tenant.network
    assert {each.name for each in network.routers()} == {"kit-000", "kit-001"}
    assert all(router.external_gateway_info for router in network.routers())
    rules = {each.name: len(each.security_group_rules) for each in network.security_groups()}
    assert rules["kit-000"] == rules["kit-001"] == 6  # two of them are automatic
    with pytest.raises(SandboxError, match="another prefix"):
        seed_stacks(tenant, 2, "kit")


def test_a_rule_that_is_there_already_is_a_conflict(sandbox: Sandbox, tenant: Connection) -> None:
    group = tenant.network.create_security_group(name="g")
    same = {"security_group_id": group.id, "direction": "ingress", "protocol": "tcp"}
    tenant.network.create_security_group_rule(**same)
    with pytest.raises(ConflictException):
        tenant.network.create_security_group_rule(**same, description="another one")
