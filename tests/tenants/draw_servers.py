"""Servers of a random tenant, with ports, trunks, disks, floating IPs; key pairs and server groups."""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from .description import Body, Description, Thing, ref
from .draw import Draw
from .draw_networks import Net, Range
from .draw_storage import METADATA, SERVER_NAMES, has_payload, properties, volume

KEY_NAMES = ("laptop", "web", "db", "my key", "0", "a-b_c", "me@laptop.example")


def keypair(draw: Draw, made: Description) -> Thing | None:
    """A key pair; a name is there once."""
    name = draw.name("key pair", KEY_NAMES)
    if name in {thing.body["name"] for thing in made.of("keypair")}:
        return None
    key = Ed25519PrivateKey.from_private_bytes(draw.random.randbytes(32)).public_key()
    text = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    comment = draw.pick(("", " me@laptop", " two words"), "key comment")
    return made.add("keypair", {"name": name, "type": "ssh", "public_key": text + comment})


def server_group(draw: Draw, made: Description) -> Thing:
    """A server group that one host can hold."""
    policy = draw.pick(("affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity"), "server group")
    body: Body = {"name": draw.name("server group", (*SERVER_NAMES[:3], "Kühe & Äpfel", "0")), "policy": policy}
    if policy == "anti-affinity":
        body["rules"] = {"max_server_per_host": draw.pick((4, 9), "max_server_per_host")}
    return made.add("server_group", body)


class Servers:
    """What servers are made of, and the servers."""

    def __init__(self, draw: Draw, made: Description, nets: list[Net], guards: list[Thing]) -> None:
        self.draw, self.made, self.nets, self.guards = draw, made, nets, guards
        self.default = made.of("default_group")[0]

    def port(self, net: Net, what: str = "port", place: Body | None = None) -> tuple[Thing, list[tuple[Range, str]]]:
        """A port in a network; and the addresses that it was given by name."""
        draw = self.draw
        body: Body = {"network_id": ref(net.thing), "name": draw.name(what), **(place or {})}
        if draw.chance(0.3, f"{what} description"):
            body["description"] = draw.description(what)
        ips = self._fixed_ips(net, what, body)
        secure = net.thing.body.get("port_security_enabled", True)
        if draw.chance(0.15, f"{what} without port security"):
            secure = body["port_security_enabled"] = False
        groups = draw.pick(("default", "some", "some", "none"), f"{what} groups")
        if not secure:
            body["security_groups"] = []
        elif groups != "default":
            stateful = not draw.chance(0.3, f"{what} in stateless groups")  # Neutron mixes the two sorts on no port
            able = [group for group in self.guards if group.body.get("stateful", True) is stateful]
            able += [self.default] if stateful else []
            chosen = draw.some(able, 3, f"groups of a {what}") if groups == "some" else []
            body["security_groups"] = [ref(group) for group in chosen]
        if secure and draw.chance(0.2, f"{what} address pairs"):
            pairs = [{"ip_address": "10.9.9.9"}, {"ip_address": "10.8.0.0/16"}, {"ip_address": "2001:db8:9::/64"},
                     {"ip_address": "10.9.9.10", "mac_address": "fa:16:3e:00:00:99"}]  # fmt: skip
            body["allowed_address_pairs"] = draw.some(pairs, 3, f"{what} address pairs")
        if draw.chance(0.2, f"{what} DHCP options"):
            options = [{"opt_name": "mtu", "opt_value": "1400"}, {"opt_name": "domain-name", "opt_value": "a.example"},
                       {"opt_name": "dns-server", "opt_value": "2001:db8::1", "ip_version": 6}]  # fmt: skip
            body["extra_dhcp_opts"] = draw.some(options, 3, f"{what} DHCP options")
        if draw.chance(0.08, f"{what} down"):
            body["admin_state_up"] = False
        return self.made.add("port", body, tags=draw.tags(what)), ips

    def _fixed_ips(self, net: Net, what: str, body: Body) -> list[tuple[Range, str]]:
        draw, ips = self.draw, []
        plain = [range_ for range_ in net.usable() if not range_.automatic]
        how = draw.pick(("any", "named", "named", "several", "subnet only", "none"), f"{what} addresses")
        if how == "none":
            body["fixed_ips"] = []
        if how in ("named", "several") and plain:
            for range_ in draw.random.choices(plain, k=1 if how == "named" else 3):
                ips.append((range_, range_.address()))
            body["fixed_ips"] = [{"subnet_id": ref(r.thing), "ip_address": ip} for r, ip in ips]
            body["fixed_ips"] += [{"subnet_id": ref(r.thing)} for r in net.usable() if r.automatic]
        if how == "subnet only" and net.usable():
            body["fixed_ips"] = [{"subnet_id": ref(draw.random.choice(net.usable()).thing)}]
        reserved = [r for r in net.ranges if r.reserved and "compute:nova" in r.thing.body["service_types"]]
        if reserved and what == "port" and draw.chance(0.5, "port in a range for servers"):
            body["device_owner"] = "compute:nova"
            body["fixed_ips"] = [{"subnet_id": ref(reserved[0].thing), "ip_address": reserved[0].address()}]
            return []
        return ips

    def floating(self, port: Thing | None, ips: list[tuple[Range, str]]) -> Thing | None:
        """A floating IP of a port, of one of its addresses; or of nothing."""
        draw = self.draw
        body: Body = {"floating_network_id": {"$": "public"}, "description": draw.description("floating IP")}
        if port is not None:
            reached = [(range_, ip) for range_, ip in ips if range_.outside]
            if not reached:
                return None
            body |= {"port_id": ref(port), "fixed_ip_address": draw.random.choice(reached)[1]}
        return self.made.add("floating_ip", body, tags=draw.tags("floating IP"))

    def trunk(self, parent: Thing) -> None:
        """Make a trunk of a port, with some sub-ports."""
        draw, inside = self.draw, []
        most = next(net.mtu for net in self.nets if ref(net.thing) == parent.body["network_id"])
        able = [net for net in self.nets if net.mtu <= most]
        for number, net in enumerate(draw.some(able, 2, "sub-ports")):
            port, _ = self.port(net, "sub-port")
            inside.append({"port_id": ref(port), "segmentation_type": "vlan", "segmentation_id": 7 + number})
        body: Body = {"port_id": ref(parent), "sub_ports": inside, "name": draw.name("trunk"),
                      "description": draw.description("trunk")}  # fmt: skip
        if draw.chance(0.1, "trunk down"):
            self.made.add("trunk_down", {}, trunk=ref(self.made.add("trunk", body, tags=draw.tags("trunk"))))
        else:
            self.made.add("trunk", body, tags=draw.tags("trunk"))

    def server(self) -> None:
        """One server with all that belongs to it."""
        draw, made = self.draw, self.made
        # Neutron takes no host name with an umlaut, and no long one in a domain: such names come by renaming.
        names = [name for name in SERVER_NAMES if "ü" not in name and len(name) < 64]
        body: Body = {"name": draw.name("server", names), "networks": self._legs() or "none"}
        more: Body = {"flavor": "m1.tiny"}
        images = [thing for thing in made.of("image") if has_payload(thing)]
        how = draw.pick(("image", "volume", "volume", "image in a volume"), "server boots from")
        if images and how == "image":
            body["imageRef"] = ref(draw.random.choice(images))
            more["root"] = [1, 400] if draw.chance(0.4, "root disk written to") else None
            self._disks(body, None)
        elif images and how == "image in a volume":
            self._disks(body, volume(draw, made, of=draw.random.choice(images)))
        else:
            self._disks(body, volume(draw, made, bootable=True))
            more["flavor"] = draw.pick(("m1.tiny", "v1.small"), "flavor")
        if draw.chance(0.4, "server metadata"):
            body["metadata"] = properties(draw, METADATA, 4, "server metadata")
        if draw.chance(0.3, "server description"):
            body["description"] = draw.description("server").replace("\n", " ") or None
        if draw.chance(0.3, "server tags"):
            body["tags"] = draw.some(("blue", "Ümläut", "a b", "t" * 60), 3, "server tags")
        if draw.chance(0.25, "user data"):
            body["user_data"] = base64.b64encode(b"#!/bin/sh\necho hello\n").decode()
        if draw.chance(0.2, "config drive"):
            body["config_drive"] = True
        if draw.chance(0.15, "server in a zone"):
            body["availability_zone"] = "nova"
        if made.of("keypair") and draw.chance(0.5, "server with a key"):
            body["key_name"] = draw.random.choice(made.of("keypair")).body["name"]
        if made.of("server_group") and draw.chance(0.5, "server in a group"):
            more["group"] = ref(draw.random.choice(made.of("server_group")))
        more["state"] = draw.pick((None, None, None, None, "stop", "stop", "lock", "pause"), "server is made to")
        if draw.chance(0.2, "server renamed"):
            more["rename"] = draw.name("server", SERVER_NAMES)
        made.add("server", {n: v for n, v in body.items() if v is not None}, **more)

    def _legs(self) -> list[Body]:
        draw, places = self.draw, []
        able = [net for net in self.nets if net.usable()]
        if not able or draw.chance(0.08, "server without a port"):
            return []
        order = draw.random.sample(able, min(len(able), draw.number(1, 3, "networks of a server")))
        if draw.chance(0.3, "server twice in a network, with another between"):
            order.append(order[0])
        for net in order:
            port, ips = self.port(net)
            places.append({"port": ref(port)})
            if draw.chance(0.15, "trunk"):
                self.trunk(port)
            if draw.chance(0.6, "floating IP of a server"):
                self.floating(port, ips)
        self._tag(places, "nic")
        return places

    def _disks(self, body: Body, root: Thing | None) -> None:
        draw, entries = self.draw, []
        if root is not None:
            entries.append((root, 0))
        elif body.get("imageRef"):
            entries = []
        for _ in range(draw.number(0, 2, "data disks")):
            entries.append((volume(draw, self.made, bootable=draw.chance(0.2, "data disk bootable")), -1))
        disks = [
            {"uuid": ref(disk), "source_type": "volume", "destination_type": "volume", "boot_index": index,
             "delete_on_termination": draw.chance(0.3, "disk dies with its server")} for disk, index in entries
        ]  # fmt: skip
        if "imageRef" in body and disks:
            disks.insert(0, {"uuid": body["imageRef"], "source_type": "image", "destination_type": "local",
                             "boot_index": 0, "delete_on_termination": True})  # fmt: skip
        self._tag(disks, "disk")
        if disks:
            body["block_device_mapping_v2"] = disks

    def _tag(self, devices: list[Body], what: str) -> None:
        """What the guest calls some of its devices."""
        for number, device in enumerate(devices):
            if device.get("source_type") != "image" and self.draw.chance(0.15, f"device tag of a {what}"):
                device["tag"] = f"{what}: {number} {'ü' * self.draw.number(0, 3, 'letters of a device tag')}".strip()
