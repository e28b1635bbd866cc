"""Makes the conversion hosts of one project, and what they need; what is there already stays as it is."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from secrets import token_urlsafe
from typing import Any

from stackferry.definitions import password_hash
from stackferry.errors import Error
from stackferry.resources.conversion import MARK, METADATA

from . import broker, ours, wires
from .connections import explained
from .user_data import user_data
from .wanted import AUTOMATIC, NONE, Network, Wanted

PASSWORD_HASH = "stackferry_password_hash"  # noqa: S105 - in the server's metadata: of its user of the broker
SHOWN = 12  # names in an error


@dataclass(frozen=True, slots=True)
class Host:
    """A conversion host. ``address``: where it's reached; ``seen_as``: ranges that its connections come from.

    ``password_hash``: of its own user of the broker; None where it has none.
    """

    id: str
    name: str
    address: str
    seen_as: tuple[str, ...]
    made: bool
    password_hash: str | None = None


def deploy(wanted: Wanted, connection: Any, say: Callable[[str], None] = lambda _: None) -> list[Host]:
    """Make the hosts that aren't there yet, and return all that are wanted; raise Error with what to do.

    It returns when Nova has accepted them: :func:`stackferry_cli.hosts.waiting.active` waits until they're on.
    """
    with explained(wanted.cloud):
        flavor, image = _flavor(wanted, connection), _image(wanted, connection)
        network, group = wires.network_of(wanted, connection), wires.group_of(wanted, connection)
        known = {server.name: server for server in ours.servers(connection)}
        _check_users(wanted, known)
        hosts = []
        for number, name in enumerate(wanted.names()):
            server = known.get(name)
            port = _port(server, name, network, group, connection)
            floating = _floating_ip_of(port, connection)
            if server is None:  # one that is there tells others the address that it was made with
                floating = floating or _new_floating_ip(wanted, number, port, connection)
                server = _server(wanted, name, flavor, image, port, floating, connection)
                say(f"{wanted.cloud}: making {name}")
            hosts.append(_host(server, name, port, floating, connection, made=name not in known))
    return hosts


def _check_users(wanted: Wanted, known: dict[str, Any]) -> None:
    """Raise Error, before anything is made, for hosts that are there without a user of their own."""
    mine = [known[name] for name in wanted.names() if name in known]
    without = [s.name for s in mine if PASSWORD_HASH not in (s.metadata or {})]
    if without and not broker.names_user(wanted.guest.amqp_uri):
        raise Error(
            f"{', '.join(without)}: made when hosts had no users of their own; `hosts delete`, and deploy again"
        )


def _host(server: Any, name: str, port: Any, floating: str | None, connection: Any, made: bool) -> Host:
    own = [ip["ip_address"] for ip in port.fixed_ips]
    seen = [floating] if floating else [*own, *_gateways(port.network_id, connection)]
    ranges = tuple(f"{address}/{128 if ':' in address else 32}" for address in seen)
    return Host(server.id, name, floating or own[0], ranges, made, (server.metadata or {}).get(PASSWORD_HASH))


def _gateways(network_id: str, connection: Any) -> Iterator[str]:
    """The addresses outside of the routers that lead out of a network: they stand for hosts without floating IPs."""
    for router in connection.network.routers(project_id=connection.current_project_id):
        if next(connection.network.ports(device_id=router.id, network_id=network_id), None):
            for outside in (router.external_gateway_info or {}).get("external_fixed_ips") or []:
                yield outside["ip_address"]


def _flavor(wanted: Wanted, connection: Any) -> Any:
    flavor = connection.compute.find_flavor(wanted.flavor, ignore_missing=True)
    if flavor is None:
        known = _names(connection.compute.flavors())
        raise Error(f"--flavor {wanted.flavor}: cloud {wanted.cloud!r} has none of that name; it has {known}")
    return flavor


def _image(wanted: Wanted, connection: Any) -> Any:
    found = [*connection.image.images(name=wanted.image, status="active")]
    found = found or [i for i in [connection.image.find_image(wanted.image, ignore_missing=True)] if i]
    if len(found) > 1:
        ids = ", ".join(image.id for image in found)
        raise Error(f"--image {wanted.image}: {len(found)} images have that name; use an id: {ids}")
    if not found:
        known = _names(connection.image.images(status="active"))
        raise Error(
            f"--image {wanted.image}: cloud {wanted.cloud!r} has none of that name; it has {known}."
            " A cloud image of Debian 12, Ubuntu 24.04 or EL 9 will do"
        )
    return found[0]


def _names(resources: Any) -> str:
    names = sorted(r.name or r.id for r in resources)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more or "none at all"


def _port(server: Any | None, name: str, network: Any, group: Any, connection: Any) -> Any:
    """The port of a host that is there; else the one that waits for it, or a new one."""
    for port in ours.found(connection, "ports"):
        if port.device_id == server.id if server else (port.name, port.network_id) == (name, network.id):
            return port
    if server is not None:
        raise Error(f"{name} ({server.id}) has lost its port; `hosts delete` it, and deploy again")
    return connection.network.create_port(
        name=name, network_id=network.id, security_groups=[group.id], description=MARK
    )


def _floating_ip_of(port: Any, connection: Any) -> str | None:
    there = next(iter(connection.network.ips(port_id=port.id)), None)
    return str(there.floating_ip_address) if there else None


def _new_floating_ip(wanted: Wanted, number: int, port: Any, connection: Any) -> str | None:
    """Give a port the floating IP that the command says, or a new one."""
    asked, proxy = wanted.floating_ip(number), connection.network
    if asked == NONE:
        return None
    if asked == AUTOMATIC:
        name = wanted.network.external if isinstance(wanted.network, Network) else wanted.external
        outside = wires.external(connection, name)
        free = next((ip for ip in ours.found(connection, "ips") if not ip.port_id), None)
        made = free or proxy.create_ip(floating_network_id=outside.id, description=MARK)
    else:
        made = next(iter(proxy.ips(floating_ip_address=asked, project_id=connection.current_project_id)), None)
        if made is None:
            raise Error(f"--floating-ip {asked}: the project has no such floating IP; make it first, or say `auto`")
        if made.port_id:
            raise Error(f"--floating-ip {asked}: it belongs to another port")
    return str(proxy.update_ip(made, port_id=port.id).floating_ip_address)


def _server(
    wanted: Wanted, name: str, flavor: Any, image: Any, port: Any, floating: str | None, connection: Any
) -> Any:
    more: dict[str, Any] = {"image_id": image.id}
    if wanted.volume_size:
        more["block_device_mapping"] = [
            {
                "boot_index": 0, "uuid": image.id, "source_type": "image", "destination_type": "volume",
                "volume_size": wanted.volume_size, "delete_on_termination": True,
            }
        ]  # fmt: skip
        more["image_id"] = ""
    if wanted.availability_zone:
        more["availability_zone"] = wanted.availability_zone
    if wanted.config_drive:
        more["config_drive"] = True
    if wanted.key_name:
        more["key_name"] = wanted.key_name
    uri, metadata = wanted.guest.amqp_uri, METADATA
    if not broker.names_user(uri):
        password = token_urlsafe(24)
        uri = broker.with_own_user(uri, password, wanted.cloud, wanted.project)
        metadata = {**METADATA, PASSWORD_HASH: password_hash(password)}
    text = user_data(replace(wanted, guest=replace(wanted.guest, amqp_uri=uri)), name, floating)
    return connection.compute.create_server(
        name=name, flavor_id=flavor.id, networks=[{"port": port.id}], metadata=metadata,
        user_data=base64.b64encode(text.encode()).decode(), **more,
    )  # fmt: skip
