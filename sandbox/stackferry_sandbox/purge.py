"""Remove everything that a project has, in an order in which the services allow it."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from openstack.connection import Connection
from openstack.exceptions import SDKException

from stackferry_sandbox.errors import SandboxError
from stackferry_sandbox.rest import call

WAIT_SECONDS = 120

Deletion = Callable[[], object]


def purge(admin: Connection, inside: Connection, project: str, user: str) -> None:
    """Remove a project's resources.

    Args:
        admin: a connection as the administrator, in a project of his own.
        inside: a connection as the administrator, in this project: some services only list one's own.
        project: the id of the project.
        user: the id of the user whose keypairs go as well.
    """
    for stage in (
        servers(inside, user),
        storage(inside, project),
        network_edges(admin, project),
        network_bases(admin, project),
    ):
        failed = [error for deletion in stage if (error := attempt(deletion))]
        if failed:
            raise SandboxError(f"project {project} could not be emptied: " + "; ".join(map(str, failed)))


def attempt(deletion: Deletion) -> SDKException | None:
    """Do one deletion; the error if it failed."""
    try:
        deletion()
    except SDKException as error:
        return error
    return None


def each(delete: Callable[[Any], object], items: Iterable[Any]) -> Iterator[Deletion]:
    """One deletion for each item."""
    for item in items:
        yield partial(delete, item)


def servers(inside: Connection, user: str) -> Iterator[Deletion]:
    """Servers, until they are gone; keypairs and server groups."""
    compute = inside.compute
    doomed = list(compute.servers(details=False))
    yield from each(compute.delete_server, doomed)
    yield from each(lambda server: compute.wait_for_delete(server, interval=0.2, wait=WAIT_SECONDS), doomed)
    yield from each(lambda keypair: compute.delete_keypair(keypair.name, user_id=user), compute.keypairs(user_id=user))
    yield from each(compute.delete_server_group, compute.server_groups())


def storage(inside: Connection, project: str) -> Iterator[Deletion]:
    """Snapshots, volumes and images, even protected ones."""
    volumes = inside.block_storage

    def wait(item: Any) -> None:
        volumes.wait_for_delete(item, interval=0.2, wait=WAIT_SECONDS)

    for listing, delete in (
        (volumes.snapshots, volumes.delete_snapshot),
        (volumes.volumes, volumes.delete_volume),
    ):
        doomed = list(listing())
        yield from each(delete, doomed)
        yield from each(wait, doomed)

    def delete_image(image: Any) -> None:
        if image.is_protected:
            inside.image.update_image(image.id, is_protected=False)
        inside.image.delete_image(image.id)

    yield from each(delete_image, inside.image.images(owner=project))


def network_edges(admin: Connection, project: str) -> Iterator[Deletion]:
    """Forwarded ports, floating IPs, trunks, the legs and routes of routers, routers, ports."""
    network = admin.network
    ips = list(network.ips(project_id=project))
    for ip in ips:  # one that leads to a port forwards none
        forwarded = () if ip.port_id else network.port_forwardings(ip.id)
        yield from each(partial(network.delete_port_forwarding, floating_ip=ip.id), forwarded)
    yield from each(network.delete_ip, ips)
    trunks = list(network.trunks(project_id=project))
    # Neutron deletes no trunk that is down.
    yield from each(lambda trunk: network.update_trunk(trunk, is_admin_state_up=True), trunks)
    yield from each(network.delete_trunk, trunks)
    routers = list(network.routers(project_id=project))
    # A leg can't go while a static route leads through it.
    yield from each(lambda router: network.update_router(router, routes=[]), routers)
    for router in routers:
        legs = network.ports(device_id=router.id, device_owner="network:router_interface")
        yield from each(partial(remove_leg, network, router), legs)
    yield from each(network.delete_router, routers)
    ports = (p for p in network.ports(project_id=project) if not p.device_owner.startswith("network:"))
    yield from each(network.delete_port, ports)


def remove_leg(network: Any, router: Any, port: Any) -> None:
    """Disconnect a router from the network of a port."""
    call(network, "PUT", f"/routers/{router.id}/remove_router_interface", {"port_id": port.id})


def network_bases(admin: Connection, project: str) -> Iterator[Deletion]:
    """Networks with their subnets, security groups, address groups, pools, sharing."""
    network = admin.network
    yield from each(network.delete_rbac_policy, network.rbac_policies(project_id=project))
    yield from each(network.delete_network, network.networks(project_id=project))
    groups = list(network.security_groups(project_id=project))

    # Groups that refer to each other can only go once the rules that do so are gone.
    def referring_rules() -> Iterator[Any]:
        for group in groups:
            for rule in group.security_group_rules:
                if rule["remote_group_id"] not in (None, group.id):
                    yield rule["id"]

    yield from each(network.delete_security_group_rule, referring_rules())
    yield from each(network.delete_security_group, groups)
    yield from each(network.delete_address_group, network.address_groups(project_id=project))
    yield from each(network.delete_subnet_pool, network.subnet_pools(project_id=project))
    yield from each(network.delete_qos_policy, network.qos_policies(project_id=project))
