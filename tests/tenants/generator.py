"""From a seed to the description of a small tenant, over the whole space of kinds, fields and shapes."""

from __future__ import annotations

from .description import Description, Thing, ref
from .draw import Draw
from .draw_networks import Net, networks, routers
from .draw_security import groups
from .draw_servers import Servers, keypair, server_group
from .draw_storage import detached, image

#: another project, which need not exist
STRANGER = "5" * 32


def generate(seed: int, servers: int = 2) -> Description:
    """Return the tenant of a seed, with so many servers at most."""
    draw, made = Draw(seed), Description(seed)
    many = draw.number(0, servers, "servers")
    nets = networks(draw, made, draw.number(1, 3, "networks"))
    routers(draw, made, nets, draw.number(0, 2, "routers"))
    guards = groups(draw, made, draw.number(0, 3, "security groups"))
    for _ in range(draw.number(0, 2, "key pairs")):
        keypair(draw, made)
    for _ in range(draw.number(0, 2, "server groups")):
        server_group(draw, made)
    for _ in range(draw.number(0, 2, "images")):
        image(draw, made)
    parts = Servers(draw, made, nets, guards)
    for _ in range(many):
        parts.server()
    if draw.chance(0.5, "detached volumes"):
        for _ in range(draw.number(1, 2, "detached volumes")):
            detached(draw, made)
    _others(draw, made, parts, nets, guards)
    if made.of("server") and draw.chance(0.3, "boot disk copy"):
        made.params = {"boot_disk_copy": True}
    if draw.chance(0.3, "something is at the destination already"):
        _beforehand(draw, made)
    made.features = sorted(draw.features)
    return made


def _others(draw: Draw, made: Description, parts: Servers, nets: list[Net], guards: list[Thing]) -> None:
    """What belongs to no server: ports, floating IPs, port forwardings, shares."""
    if draw.chance(0.3, "free port"):
        port, ips = parts.port(draw.random.choice(nets), "free port")
        if draw.chance(0.5, "floating IP of a free port"):
            parts.floating(port, ips)
    if draw.chance(0.25, "floating IP of nothing"):
        parts.floating(None, [])
    inside = [(thing, ip, range_) for net in nets for range_ in net.usable(4) if range_.outside
              for thing in made.of("port") for ip in thing.body.get("fixed_ips", ())
              if ip.get("subnet_id") == ref(range_.thing) and ip.get("ip_address") and not _is_leg(made, thing)]  # fmt: skip
    taken = {str(thing.body.get("port_id")) for thing in made.of("floating_ip")}
    inside = [one for one in inside if str(ref(one[0])) not in taken]
    if inside and draw.chance(0.6, "port forwarding"):
        thing, ip, _ = draw.random.choice(inside)
        door = parts.floating(None, [])
        if door is not None:
            body = {"internal_port_id": ref(thing), "internal_ip_address": ip["ip_address"], "internal_port": 22,
                    "external_port": 2222, "protocol": draw.pick(("tcp", "udp"), "port forwarding")}  # fmt: skip
            made.add("port_forwarding", body, floating_ip=ref(door))
    if draw.chance(0.2, "RBAC policy"):
        shared = draw.random.choice([*(net.thing for net in nets), *guards, *made.of("address_group")])
        body = {"object_type": shared.kind, "object_id": ref(shared), "action": "access_as_shared",
                "target_tenant": STRANGER}  # fmt: skip
        made.add("rbac_policy", body)
    if draw.chance(0.08, "trunk without a server"):
        port, _ = parts.port(draw.random.choice(nets), "free port")
        parts.trunk(port)


def _is_leg(made: Description, port: Thing) -> bool:
    return any(leg.body.get("port_id") == ref(port) for leg in made.of("leg"))


def _beforehand(draw: Draw, made: Description) -> None:
    """Some things of one's own that are at the destination before anything is moved."""
    number = 0

    def put(kind: str, body: dict[str, object], **more: object) -> Thing:
        nonlocal number
        number += 1
        thing = Thing(f"{kind}.before{number}", kind, body, dict(more))
        made.destination.append(thing)
        return thing

    own = put("network", {"name": "own", "description": "was here before"})
    subnet = put("subnet", {"name": "own", "network_id": ref(own), "ip_version": 4, "cidr": "10.20.200.0/24"})
    put("port", {"network_id": ref(own), "name": "own",
                 "fixed_ips": [{"subnet_id": ref(subnet), "ip_address": "10.20.200.77"}]})  # fmt: skip
    if draw.chance(0.5, "default group with own rules at the destination"):
        default = put("default_group", {})
        put("rule", {"security_group_id": ref(default), "direction": "ingress", "protocol": "tcp", "ethertype": "IPv4",
                     "port_range_min": 7777, "port_range_max": 7777, "description": "own"})  # fmt: skip
    if draw.chance(0.5, "namesake of a network at the destination"):
        like = draw.random.choice(made.of("network"))
        put("network", {"name": like.body["name"], "description": "own namesake"}, tags=["own"])
    if made.of("security_group") and draw.chance(0.5, "namesake of a security group at the destination"):
        like = draw.random.choice(made.of("security_group"))
        put("security_group", {"name": like.body["name"], "description": "own namesake"})
    if made.of("router") and draw.chance(0.3, "namesake of a router at the destination"):
        put("router", {"name": draw.random.choice(made.of("router")).body["name"]})
    if made.of("image") and draw.chance(0.3, "namesake of an image at the destination"):
        body = {"name": made.of("image")[0].body["name"], "disk_format": "raw", "container_format": "bare"}
        put("image", body, payload=[5, 5])
