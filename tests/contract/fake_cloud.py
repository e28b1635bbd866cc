"""A cloud in memory behind openstacksdk's own resource classes: the rules of Neutron that kinds must live with;
Glance's are in ``fake_glance``.

Those of Nova and Cinder are in ``fake_compute.py``.

It refuses what a real cloud refuses (unknown, read-only and reserved attributes, duplicates, unreachable next
hops), fills in the same defaults, shows a tenant only what a tenant sees, and writes down every write.
"""

from __future__ import annotations

import ipaddress
import json
import re
import uuid
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from functools import partial
from inspect import getattr_static, signature
from types import SimpleNamespace
from typing import Any

import requests
from openstack import exceptions
from openstack.block_storage.v3 import _proxy as block_storage
from openstack.block_storage.v3 import availability_zone as volume_zone
from openstack.block_storage.v3 import type as volume_type
from openstack.block_storage.v3 import volume
from openstack.compute.v2 import _proxy as compute
from openstack.compute.v2 import availability_zone, keypair, server, server_group
from openstack.compute.v2 import flavor as compute_flavor
from openstack.fields import URI, Body
from openstack.identity.v3 import _proxy as identity
from openstack.identity.v3 import domain, project
from openstack.image.v2 import _proxy as image_proxy
from openstack.image.v2 import image
from openstack.network.v2 import (
    _proxy as network,
)
from openstack.network.v2 import (
    address_group,
    extension,
    flavor,
    floating_ip,
    port,
    port_forwarding,
    qos_policy,
    router,
    security_group,
    security_group_rule,
    segment,
    subnet,
    subnet_pool,
    trunk,
)
from openstack.network.v2 import availability_zone as network_zone
from openstack.network.v2 import network as net
from openstack.resource import Resource

from .fake_compute import Compute

#: service → openstacksdk's proxy, and (singular, plural) → resource
SERVICES: dict[str, tuple[type, dict[tuple[str, str], type[Resource]]]] = {
    "network": (
        network.Proxy,
        {
            ("address_group", "address_groups"): address_group.AddressGroup,
            ("extension", "extensions"): extension.Extension,
            ("flavor", "flavors"): flavor.Flavor,
            ("ip", "ips"): floating_ip.FloatingIP,
            ("network", "networks"): net.Network,
            ("port", "ports"): port.Port,
            ("port_forwarding", "port_forwardings"): port_forwarding.PortForwarding,
            ("availability_zone", "availability_zones"): network_zone.AvailabilityZone,
            ("qos_policy", "qos_policies"): qos_policy.QoSPolicy,
            ("router", "routers"): router.Router,
            ("security_group", "security_groups"): security_group.SecurityGroup,
            ("security_group_rule", "security_group_rules"): security_group_rule.SecurityGroupRule,
            ("segment", "segments"): segment.Segment,
            ("subnet", "subnets"): subnet.Subnet,
            ("subnet_pool", "subnet_pools"): subnet_pool.SubnetPool,
            ("trunk", "trunks"): trunk.Trunk,
        },
    ),
    "compute": (
        compute.Proxy,
        {
            ("availability_zone", "availability_zones"): availability_zone.AvailabilityZone,
            ("flavor", "flavors"): compute_flavor.Flavor,
            ("keypair", "keypairs"): keypair.Keypair,
            ("server", "servers"): server.Server,
            ("server_group", "server_groups"): server_group.ServerGroup,
        },
    ),
    "block_storage": (
        block_storage.Proxy,
        {
            ("availability_zone", "availability_zones"): volume_zone.AvailabilityZone,
            ("type", "types"): volume_type.Type,
            ("volume", "volumes"): volume.Volume,
        },
    ),
    "image": (image_proxy.Proxy, {("image", "images"): image.Image}),
    "identity": (
        identity.Proxy,
        {("project", "projects"): project.Project, ("domain", "domains"): domain.Domain},
    ),
}
ROUTER, SUBNET, PORT, TRUNK = router.Router, subnet.Subnet, port.Port, trunk.Trunk
FORWARDING = port_forwarding.PortForwarding
FLOATING, SERVER, VOLUME = floating_ip.FloatingIP, server.Server, volume.Volume
TAGGED = (net.Network, subnet.Subnet, router.Router, security_group.SecurityGroup, port.Port, FLOATING, TRUNK)
#: what Neutron's attribute maps don't take in a PUT
READ_ONLY: dict[type, set[str]] = {
    net.Network: {"availability_zone_hints", "is_vlan_transparent", "tags"},
    subnet.Subnet: {"cidr", "ip_version", "ipv6_address_mode", "ipv6_ra_mode", "network_id", "subnet_pool_id", "tags"},
    router.Router: {"availability_zone_hints", "flavor_id", "tags"},
    port.Port: {"network_id", "device_owner", "tags"},
    TRUNK: {"port_id", "sub_ports", "tags"},
    FLOATING: {"dns_domain", "dns_name", "floating_network_id", "floating_ip_address", "tags"},
    SERVER: {"availability_zone", "flavor", "image", "key_name", "metadata", "tags", "user_data"},
    VOLUME: {"is_bootable", "size", "volume_image_metadata", "volume_type", "availability_zone"},
    security_group.SecurityGroup: {"is_shared", "tags"},
    address_group.AddressGroup: {"addresses"},
}
#: nor in a POST
NOT_AT_BIRTH: dict[type, set[str]] = {
    net.Network: {"tags"},
    subnet.Subnet: {"tags"},
    router.Router: {"tags", "routes"},
    security_group.SecurityGroup: {"tags", "is_shared"},
    port.Port: {"tags"},
    FLOATING: {"tags"},
    TRUNK: {"tags"},
    VOLUME: {"is_bootable", "volume_image_metadata"},
}
#: what policies keep for administrators: nobody else may set it
RESERVED: dict[type, set[str]] = {
    net.Network: {"is_default", "is_router_external", "is_shared", "segments", "provider_network_type",
                  "provider_physical_network", "provider_segmentation_id"},
    subnet.Subnet: {"segment_id"},  # not service_types: Neutron has a policy for it that it never asks
    router.Router: {"is_distributed", "is_ha"},
    port.Port: {"binding_profile"},
    FLOATING: {"floating_ip_address"},
}  # fmt: skip
#: and what nobody else is shown
HIDDEN: dict[type, set[str]] = {
    net.Network: {"segments", "provider_network_type", "provider_physical_network", "provider_segmentation_id"},
    router.Router: {"is_distributed", "is_ha"},
    port.Port: {"binding_profile"},
    SERVER: {"user_data", "root_device_name", "hypervisor_hostname"},
}
DEFAULTS: dict[type, dict[str, Any]] = {
    net.Network: {"name": "", "description": "", "availability_zone_hints": [], "dns_domain": "", "mtu": 1450,
                  "is_admin_state_up": True, "is_port_security_enabled": True, "is_router_external": False,
                  "is_shared": False, "is_default": False, "tags": [], "status": "ACTIVE"},
    subnet.Subnet: {"name": "", "description": "", "dns_nameservers": [], "host_routes": [], "service_types": [],
                    "is_dhcp_enabled": True, "dns_publish_fixed_ip": False, "tags": []},
    router.Router: {"name": "", "description": "", "availability_zone_hints": [], "is_admin_state_up": True,
                    "is_distributed": False, "is_ha": False, "routes": [], "tags": [], "status": "ACTIVE"},
    port.Port: {"name": "", "description": "", "device_id": "", "device_owner": "", "fixed_ips": [], "tags": [],
                "binding_vnic_type": "normal", "is_admin_state_up": True, "is_port_security_enabled": True,
                "allowed_address_pairs": [], "extra_dhcp_opts": [], "dns_name": "", "dns_domain": ""},
    TRUNK: {"name": "", "description": "", "is_admin_state_up": True, "sub_ports": [], "status": "DOWN", "tags": []},
    FORWARDING: {"description": ""},
    FLOATING: {"description": "", "dns_name": "", "dns_domain": "", "port_id": None, "fixed_ip_address": None, "tags": []},
    VOLUME: {"attachments": [], "availability_zone": "nova", "description": None, "is_bootable": False, "metadata": {},
             "is_encrypted": False, "is_multiattach": False, "status": "available", "volume_image_metadata": None,
             "volume_type": "__DEFAULT__", "name": None},
    security_group.SecurityGroup: {"name": "", "description": "", "stateful": True, "is_shared": False, "tags": []},
    security_group_rule.SecurityGroupRule: {"description": "", "ether_type": "IPv4"},
    address_group.AddressGroup: {"name": "", "description": "", "addresses": []},
    keypair.Keypair: {"type": "ssh"},
    image.Image: {"min_disk": 0, "min_ram": 0, "is_hidden": False, "is_protected": False, "tags": [],
                  "visibility": "shared", "status": "queued", "properties": {}, "members": []},
}  # fmt: skip
#: what belongs to a resource, and has calls of its own
BESIDES: dict[type, set[str]] = {image.Image: {"members"}}
#: service → who plays its proxy, where it has rules of its own
PROXIES: dict[str, type[Proxy]] = {}


def refuse(status: int, text: str) -> None:
    """Raise what openstacksdk raises for such an answer."""
    response = requests.Response()
    response.status_code = status
    response.reason = text
    response.headers["content-type"] = "application/json"
    response._content = json.dumps({"NeutronError": {"type": "", "message": text}}).encode()
    exceptions.raise_from_response(response)


def answered(status: int, call: Callable[[], dict[str, Any]]) -> requests.Response:
    """The answer to a plain request: what *call* returns, or what it refuses."""
    response = requests.Response()
    try:
        response.status_code, response._content = status, json.dumps(call()).encode()
    except exceptions.HttpException as error:
        response.status_code, response._content = error.status_code or 500, json.dumps(error.details).encode()
    return response


def is_attribute(cls: type[Resource], name: str) -> bool:
    return isinstance(getattr_static(cls, name, None), Body | URI)


class Cloud:
    """Everything in one cloud; *writes* lists what was asked to be changed, by whom it doesn't matter."""

    def __init__(self) -> None:
        self.rows: dict[type, dict[str, dict[str, Any]]] = {}
        self.writes: list[tuple[str, str]] = []
        self.seconds = 0
        self.nics: dict[str, list[str]] = {}  # server → its ports in order
        self.soon: dict[str, list[str]] = {}  # the states that a resource will have at the next looks
        self.fates = {SERVER: ["BUILD", "ACTIVE"], VOLUME: ["creating", "available"]}  # of new ones
        self.quotas = dict.fromkeys(("instances", "cores", "ram", "ports", "floating_ips", "volumes", "gigabytes"), -1)
        self.compute_version = (2, 96)
        self.project = self.seed(project.Project, name="ours", domain_id=self.seed(domain.Domain, name="Default")["id"])
        for alias in ("trunk", "floating-ip-port-forwarding"):
            self.seed(extension.Extension, id=alias, alias=alias, name=alias)
        self.operators = self.seed(project.Project, name="operators", domain_id=self.project["domain_id"])

    def now(self) -> str:
        """A second later each time."""
        self.seconds += 1
        return f"{datetime.fromtimestamp(1_700_000_000 + self.seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"

    def connect(self, admin: bool = False) -> SimpleNamespace:
        """A connection of the tenant, or of an administrator, to its project."""
        current = SimpleNamespace(id=self.project["id"], name=self.project["name"])
        return SimpleNamespace(current_project=current, **{s: PROXIES.get(s, Proxy)(self, s, admin) for s in SERVICES})

    def seed(self, cls: type[Resource], **attributes: Any) -> dict[str, Any]:
        """Put a resource there by hand."""
        besides = BESIDES.get(cls, set()) | {"id"}
        wrong = [name for name in attributes if not is_attribute(cls, name) and name not in besides]
        assert not wrong, f"{cls.__name__} has no {wrong}"
        row = {
            "id": uuid.uuid4().hex,
            "created_at": self.now(),
            **dict.fromkeys(("project_id", "owner_id"), getattr(self, "project", {}).get("id")),
            **deepcopy(DEFAULTS.get(cls, {})),
            **attributes,
        }
        besides |= {"created_at"} if cls is TRUNK else set()  # openstacksdk passes on what it doesn't know
        row = {name: value for name, value in row.items() if is_attribute(cls, name) or name in besides}
        if cls is keypair.Keypair:
            row["id"] = row["name"]
        self.rows.setdefault(cls, {})[row["id"]] = row
        return row

    def all(self, cls: type[Resource]) -> list[dict[str, Any]]:
        return list(self.rows.get(cls, {}).values())

    def ids(self) -> set[str]:
        return {
            id_ for cls, rows in self.rows.items() if cls not in (keypair.Keypair, extension.Extension) for id_ in rows
        }


class Proxy(Compute):
    """openstacksdk's calls of one service; a call that the real proxy lacks is an AttributeError here as well."""

    def __init__(self, cloud: Cloud, service: str, admin: bool) -> None:
        self.cloud, self.admin = cloud, admin
        self.real, self.resources = SERVICES[service]

    def __getattr__(self, name: str) -> Any:
        if hasattr(self.real, name):
            for (singular, plural), cls in self.resources.items():
                if name == plural:
                    return self._as_real(name, partial(self._list, cls))
                verb, _, rest = name.partition("_")
                if rest == singular:
                    return self._as_real(name, partial(getattr(self, f"_{verb}"), cls))
        raise AttributeError(f"{self.real.__module__} has no {name}, or this fake doesn't")

    def _as_real(self, name: str, fake: Callable[..., Any]) -> Callable[..., Any]:
        """Take the parameters of the real call only."""
        real = signature(getattr(self.real, name))

        def call(*args: Any, **kwargs: Any) -> Any:
            real.bind(None, *args, **kwargs)
            return fake(*args, **kwargs)

        return call

    # -- reading -----------------------------------------------------------------------------------------

    def _sees(self, cls: type[Resource], row: dict[str, Any]) -> bool:
        if self.admin or row.get("project_id") in (None, self.cloud.project["id"]):
            return cls is not segment.Segment or self.admin
        if cls is subnet.Subnet:
            return self._sees(net.Network, self.cloud.rows[net.Network][row["network_id"]])
        return bool(row.get("is_shared") or row.get("is_router_external"))

    def _show(self, cls: type[Resource], row: dict[str, Any]) -> Any:
        row = {name: value for name, value in deepcopy(row).items() if name not in BESIDES.get(cls, ())}
        if cls is net.Network:
            row["subnet_ids"] = [s["id"] for s in self.cloud.all(subnet.Subnet) if s["network_id"] == row["id"]]
        if cls is security_group.SecurityGroup:
            rules = self.cloud.all(security_group_rule.SecurityGroupRule)
            row["security_group_rules"] = [
                {**{n: v for n, v in rule.items() if n != "ether_type"}, "ethertype": rule["ether_type"]}
                for rule in rules
                if rule["security_group_id"] == row["id"]
            ]
        if cls is PORT and (mine := [t for t in self.cloud.all(TRUNK) if t["port_id"] == row["id"]]):
            row["trunk_details"] = {"trunk_id": mine[0]["id"], "sub_ports": mine[0]["sub_ports"]}
        if cls is SERVER:
            row["addresses"] = self.shown_addresses(row["id"])
        if not self.admin:
            for name in HIDDEN.get(cls, ()):
                row.pop(name, None)
        return cls.existing(**row)

    def _rows(self, cls: type[Resource]) -> list[dict[str, Any]]:
        return [row for row in self.cloud.all(cls) if self._sees(cls, row)]

    def _list(self, cls: type[Resource], **query: Any) -> Any:
        wrong = [name for name in query if name not in cls._query_mapping._mapping and not is_attribute(cls, name)]
        if wrong:
            raise exceptions.InvalidResourceQuery(f"{cls.__name__}: {wrong}")
        wanted = query.pop("fixed_ips", None)
        for row in self._rows(cls):
            if wanted and wanted not in [f"ip_address={ip['ip_address']}" for ip in row["fixed_ips"]]:
                continue
            if all(row.get(n) in v if isinstance(v, list) else row.get(n) == v for n, v in query.items()):
                yield self._show(cls, row)

    def _find(self, cls: type[Resource], name_or_id: str, ignore_missing: bool = True) -> Any:
        self._advance(cls, name_or_id)
        found = [row for row in self._rows(cls) if row["id"] == name_or_id]
        found = found or [row for row in self._rows(cls) if row.get("name") == name_or_id]
        if len(found) > 1:
            raise exceptions.DuplicateResource(f"More than one {cls.__name__} exists with the name {name_or_id!r}.")
        if not found and not ignore_missing:
            refuse(404, f"No {cls.__name__} found for {name_or_id}")
        return self._show(cls, found[0]) if found else None

    def _get(self, cls: type[Resource], id_: str, *owner: str) -> Any:
        self._advance(cls, id_)
        return self._show(cls, self._row(cls, id_))

    def _row(self, cls: type[Resource], id_: Any) -> dict[str, Any]:
        row = self.cloud.rows.get(cls, {}).get(id_)
        if row is None or not self._sees(cls, row):
            refuse(404, f"{cls.__name__} {id_} could not be found")
        return row  # type: ignore[return-value]

    # -- writing -----------------------------------------------------------------------------------------

    def _write(self, verb: str, cls: type[Resource]) -> None:
        self.cloud.writes.append((verb, cls.__name__))

    def _check(self, cls: type[Resource], attributes: dict[str, Any], forbidden: set[str]) -> None:
        json.dumps(attributes)
        for name in attributes:
            if not is_attribute(cls, name):
                raise AssertionError(f"openstacksdk's {cls.__name__} has no {name}: it would drop it in silence")
            if name in forbidden:
                refuse(400, f"Cannot update read-only attribute {name}, or attribute not allowed in POST")
            if name in RESERVED.get(cls, ()) and not self.admin:
                refuse(403, f"rule:{cls.__name__}:{name} is disallowed by policy")

    def _create(self, cls: type[Resource], **attributes: Any) -> Any:
        self._write("create", cls)
        self._check(cls, attributes, NOT_AT_BIRTH.get(cls, set()))
        if make := getattr(self, f"_new_{cls.__name__.lower()}", None):
            attributes = make(deepcopy(attributes))
        plugs = [attributes.pop(name, None) for name in ("_legs", "_disks", "_hints")]
        row = self.cloud.seed(cls, **attributes)
        if cls in self.cloud.fates:
            self.cloud.soon[row["id"]] = list(self.cloud.fates[cls])
        if cls is SERVER:
            self._plug(row, *plugs)
        if cls is security_group.SecurityGroup:
            for ether_type in ("IPv4", "IPv6"):
                self.cloud.seed(
                    security_group_rule.SecurityGroupRule,
                    security_group_id=row["id"], direction="egress", ether_type=ether_type,
                )  # fmt: skip
        return self._show(cls, row)

    def _update(self, cls: type[Resource], id_: str, **attributes: Any) -> Any:
        self._write("update", cls)
        row = self._row(cls, id_)
        self._check(cls, attributes, READ_ONLY.get(cls, set()))
        if cls is router.Router:
            attributes = self._checked_router(attributes, row)
        if "extra_dhcp_opts" in attributes:
            told = {o["opt_name"]: o for o in [*row["extra_dhcp_opts"], *attributes["extra_dhcp_opts"]]}
            attributes["extra_dhcp_opts"] = [o for o in told.values() if o["opt_value"] is not None]
        row.update(deepcopy(attributes), updated_at=self.cloud.now())
        return self._show(cls, row)

    def _delete(self, cls: type[Resource], id_: str, ignore_missing: bool = True) -> None:
        self._write("delete", cls)
        if cls in self.cloud.fates and id_ in self.cloud.rows.get(cls, {}):
            return self._end(cls, id_)
        if cls is TRUNK or cls is PORT:
            self._leave_trunk(cls, id_)
        if self.cloud.rows.get(cls, {}).pop(id_, None) is None and not ignore_missing:
            refuse(404, f"{cls.__name__} {id_} could not be found")

    def set_tags(self, resource: Resource, tags: list[str]) -> Any:
        assert isinstance(resource, TAGGED)
        self._write("tags", type(resource))
        self._row(type(resource), resource.id)["tags"] = list(tags)
        resource.tags = list(tags)
        return resource

    # -- Neutron's own rules -----------------------------------------------------------------------------

    def _new_subnet(self, new: dict[str, Any]) -> dict[str, Any]:
        self._row(net.Network, new.get("network_id"))
        if "ip_version" not in new or not new.get("cidr"):
            refuse(400, "Failed to parse request. Required attribute not specified")
        range_ = ipaddress.ip_network(new["cidr"])
        for other in self.cloud.all(subnet.Subnet):
            if other["network_id"] == new["network_id"] and range_.overlaps(ipaddress.ip_network(other["cidr"])):
                refuse(400, f"Requested subnet with cidr: {range_} overlaps with another subnet")
        new.setdefault("gateway_ip", str(range_[1]))
        first, last = (2 if new["gateway_ip"] == str(range_[1]) else 1), (-2 if range_.version == 4 else -1)
        new.setdefault("allocation_pools", [{"start": str(range_[first]), "end": str(range_[last])}])
        return new

    def _new_router(self, new: dict[str, Any]) -> dict[str, Any]:
        return self._checked_router(new, {})

    def _checked_router(self, new: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
        if gateway := new.get("external_gateway_info"):
            if not self.admin and {"enable_snat", "external_fixed_ips"} & gateway.keys():
                refuse(403, "rule:external_gateway_info is disallowed by policy")
            if not self._row(net.Network, gateway["network_id"])["is_router_external"]:
                refuse(400, "network is not external")
            subnets = [s for s in self.cloud.all(subnet.Subnet) if s["network_id"] == gateway["network_id"]]
            anywhere = [{"subnet_id": s["id"], "ip_address": s["allocation_pools"][0]["start"]} for s in subnets[:1]]
            new["external_gateway_info"] = {"enable_snat": True, "external_fixed_ips": anywhere, **gateway}
        legs = [ip for p in self.cloud.all(port.Port) if p["device_id"] == row.get("id") for ip in p["fixed_ips"]]
        ranges = [ipaddress.ip_network(self.cloud.rows[subnet.Subnet][ip["subnet_id"]]["cidr"]) for ip in legs]
        for route in new.get("routes") or []:
            if not any(ipaddress.ip_address(route["nexthop"]) in range_ for range_ in ranges):
                refuse(400, f"the nexthop {route['nexthop']} is not connected with router")
        return new

    def _new_securitygrouprule(self, new: dict[str, Any]) -> dict[str, Any]:
        self._row(security_group.SecurityGroup, new.get("security_group_id"))
        identity_ = ("security_group_id", "direction", "ether_type", "protocol", "port_range_min", "port_range_max",
                     "remote_ip_prefix", "remote_group_id", "remote_address_group_id")  # fmt: skip
        for other in self.cloud.all(security_group_rule.SecurityGroupRule):
            if all(other.get(n) == new.get(n) for n in identity_):
                refuse(409, "Security group rule already exists")
        return new

    def _new_addressgroup(self, new: dict[str, Any]) -> dict[str, Any]:
        return {**new, "addresses": _ranges(new.get("addresses") or [])}

    def _new_keypair(self, new: dict[str, Any], old: bool = True) -> dict[str, Any]:
        if not re.fullmatch(r"[\w -]+" if old else r"[\w .@-]+", new["name"], re.ASCII):
            refuse(400, "Keypair data is invalid: Keypair name contains unsafe characters")
        if any(other["name"] == new["name"] for other in self.cloud.all(keypair.Keypair)):
            refuse(409, f"Key pair '{new['name']}' already exists.")
        return {"fingerprint": "aa:bb", "user_id": "user", **new}

    def _new_port(self, new: dict[str, Any]) -> dict[str, Any]:
        new.setdefault("mac_address", f"fa:16:3e:00:00:{len(self.cloud.all(PORT)):02x}")
        if new.get("security_group_ids") is None and new.get("is_port_security_enabled", True):
            new["security_group_ids"] = ["default"]
        if new.get("fixed_ips") is None:
            new["fixed_ips"] = self._anywhere(new["network_id"])
        new["fixed_ips"] = [self._fixed(fixed, new) for fixed in new["fixed_ips"]]
        taken = {ip.get("ip_address") for p in self.cloud.all(port.Port) for ip in p["fixed_ips"]}
        if any(fixed.get("ip_address") in taken for fixed in new["fixed_ips"] if fixed.get("ip_address")):
            refuse(409, "IP address already allocated in subnet")
        for fixed in new["fixed_ips"]:
            hosts = ipaddress.ip_network(self._row(SUBNET, fixed["subnet_id"])["cidr"]).hosts()
            fixed.setdefault("ip_address", next(a for host in hosts if (a := str(host)) not in taken))
            taken.add(fixed["ip_address"])
        return new

    def _anywhere(self, network_id: str) -> list[dict[str, Any]]:
        """What a port gets that doesn't say where in its network."""
        within = [s for s in self.cloud.all(SUBNET) if s["network_id"] == network_id]
        return [{"subnet_id": s["id"], "ip_address": s["allocation_pools"][0]["end"]} for s in within[:1]]

    def _fixed(self, fixed: dict[str, Any], port: dict[str, Any]) -> dict[str, Any]:
        """A fixed IP with its address; that of a subnet with an automatic mode follows from the MAC address."""
        within = self._row(subnet.Subnet, fixed["subnet_id"])
        if within["network_id"] != port["network_id"]:
            refuse(400, "subnet is not in the network")
        is_automatic = {within.get("ipv6_address_mode"), within.get("ipv6_ra_mode")} & {"slaac", "dhcpv6-stateless"}
        if not is_automatic or port.get("device_owner") == "network:router_interface":
            return fixed
        automatic = eui64(within["cidr"], port["mac_address"])
        if fixed.get("ip_address", automatic) != automatic:
            refuse(400, f"IPv6 address {fixed['ip_address']} can not be directly assigned to a port on subnet")
        return {**fixed, "ip_address": automatic}

    def _new_trunk(self, new: dict[str, Any]) -> dict[str, Any]:
        subs = [self._row(PORT, sub["port_id"]) for sub in new["sub_ports"]]
        for row in [self._row(PORT, new["port_id"]), *subs]:
            if row["device_id"] or any(row["id"] == other["port_id"] for other in self.cloud.all(TRUNK)):
                refuse(409, f"Port {row['id']} is currently in use")
        new["id"] = uuid.uuid4().hex
        for row in subs:
            row.update(device_id=new["id"], device_owner="trunk:subport")
        return new

    def add_trunk_subports(self, trunk: str, subports: list[dict[str, Any]]) -> Any:
        self._write("sub-ports", TRUNK)
        row = self._row(TRUNK, trunk)
        for sub in subports:
            if self._row(PORT, sub["port_id"])["device_id"]:
                refuse(409, f"Port {sub['port_id']} is currently in use")
            self._row(PORT, sub["port_id"]).update(device_id=trunk, device_owner="trunk:subport")
        row["sub_ports"] = [*row["sub_ports"], *deepcopy(subports)]
        return self._show(TRUNK, row)

    def delete_trunk_subports(self, trunk: str, subports: list[dict[str, Any]]) -> Any:
        self._write("sub-ports", TRUNK)
        row, gone = self._row(TRUNK, trunk), [sub["port_id"] for sub in subports]
        for id_ in gone:
            self._row(PORT, id_).update(device_id="", device_owner="")
        row["sub_ports"] = [sub for sub in row["sub_ports"] if sub["port_id"] not in gone]
        return self._show(TRUNK, row)

    def _new_floatingip(self, new: dict[str, Any]) -> dict[str, Any]:
        outside = self._row(net.Network, new["floating_network_id"])
        if not outside["is_router_external"]:
            refuse(400, "network is not external")
        if new.get("fixed_ip_address") and not new.get("port_id"):
            refuse(400, "Invalid input for operation: fixed_ip_address cannot be specified without a port_id")
        taken = {ip["floating_ip_address"] for ip in self.cloud.all(FLOATING)}
        anywhere = next(a for n in range(100, 250) if (a := f"203.0.0.{n}") not in taken)
        if new.setdefault("floating_ip_address", anywhere) in taken:
            refuse(409, f"IP address {new['floating_ip_address']} already allocated")
        return new

    def _new_portforwarding(self, new: dict[str, Any]) -> dict[str, Any]:
        if self._row(FLOATING, new["floatingip_id"])["port_id"]:
            refuse(409, "Floating IP is associated to a port")
        self._row(PORT, new["internal_port_id"])
        place = ("floatingip_id", "protocol", "external_port")
        if any(all(row[n] == new[n] for n in place) for row in self.cloud.all(FORWARDING)):
            refuse(400, "A duplicate port forwarding entry")
        return new

    def port_forwardings(self, floating_ip: str, **query: Any) -> Any:
        self._row(FLOATING, floating_ip)
        yield from self._list(FORWARDING, floatingip_id=floating_ip, **query)

    def update_port_forwarding(self, port_forwarding: str, floating_ip: str, **attrs: Any) -> Any:
        assert self._row(FORWARDING, port_forwarding)["floatingip_id"] == floating_ip
        return self._update(FORWARDING, port_forwarding, **attrs)

    def delete_port_forwarding(self, port_forwarding: str, floating_ip: str, ignore_missing: bool = True) -> None:
        assert self.cloud.rows[FORWARDING].get(port_forwarding, {}).get("floatingip_id") in (floating_ip, None)
        self._delete(FORWARDING, port_forwarding, ignore_missing)

    def _leave_trunk(self, cls: type[Resource], id_: str) -> None:
        """A trunk that goes away sets its ports free; till then none of them can go."""
        for one in self.cloud.all(TRUNK):
            if id_ == one["id"] and not one["is_admin_state_up"]:
                refuse(409, f"Trunk {id_} is currently disabled")
            inside = [sub["port_id"] for sub in one["sub_ports"]]
            if id_ in (one["port_id"], *inside):
                refuse(409, f"Port {id_} is currently in a trunk")
            for port_id in inside if id_ == one["id"] else ():
                self._row(PORT, port_id).update(device_id="", device_owner="")

    def add_interface_to_router(self, router: str, subnet: str | None = None, port: str | None = None) -> Any:
        self._write("plug", ROUTER)
        self._row(ROUTER, router)
        if subnet:
            on = self._row(SUBNET, subnet)
            fixed_ips = [{"subnet_id": subnet, "ip_address": on["gateway_ip"]}]
            new = self._new_port({"network_id": on["network_id"], "fixed_ips": []})
            row = self.cloud.seed(PORT, **{**new, "fixed_ips": fixed_ips})
        else:
            row = self._row(PORT, port)
            if not row["fixed_ips"]:
                refuse(400, "Router port must have at least one fixed IP")
        row.update(device_id=router, device_owner="network:router_interface")
        return {"id": router, "port_id": row["id"], "subnet_id": row["fixed_ips"][0]["subnet_id"]}

    def remove_interface_from_router(self, router: str, subnet: str | None = None, port: str | None = None) -> Any:
        assert port, "by subnet is not done here"
        self._write("unplug", ROUTER)
        del self.cloud.rows[PORT][port]

    def add_addresses_to_address_group(self, id_: str, addresses: list[str]) -> Any:
        return self._addresses(id_, lambda had: had | set(_ranges(addresses)))

    def remove_addresses_from_address_group(self, id_: str, addresses: list[str]) -> Any:
        return self._addresses(id_, lambda had: had - set(_ranges(addresses)))

    def _addresses(self, id_: str, change: Any) -> Any:
        self._write("addresses", address_group.AddressGroup)
        row = self._row(address_group.AddressGroup, id_)
        row["addresses"] = sorted(change(set(row["addresses"])))
        return self._show(address_group.AddressGroup, row)

    def post(self, url: str, json: dict[str, Any], microversion: str | None = None) -> requests.Response:
        """Nova's POST /os-keypairs at a microversion that openstacksdk doesn't speak; Cinder's actions."""
        if url.startswith("/volumes/"):
            return self.act(url, json)
        assert (url, microversion) == ("/os-keypairs", "2.92")
        self._write("create", keypair.Keypair)
        new = json["keypair"]
        return answered(201, lambda: {"keypair": self.cloud.seed(keypair.Keypair, **self._new_keypair(new, old=False))})


def _ranges(addresses: list[str]) -> list[str]:
    return [str(ipaddress.ip_network(a)) for a in addresses]


def eui64(cidr: str, mac_address: str) -> str:
    """The address that a port gives itself in a range."""
    octets = bytes.fromhex(mac_address.replace(":", ""))
    interface = bytes([octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]])
    return str(ipaddress.ip_network(cidr)[int.from_bytes(interface)])
