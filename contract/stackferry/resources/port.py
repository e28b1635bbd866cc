"""Ports of servers. Source: Networking API v2.0, "Ports"; Nova makes the connection (binding) itself.

``hints.device_id`` is the server, or the trunk, that may already use it here.
"""

from __future__ import annotations

from typing import Any, ClassVar

from .fields import Address, Cidr, Flag, Many, Number, Partial, Pattern, Ref, Struct, Text
from .hints import Hints
from .kind import Kind
from .marks import made_by_an_earlier_try
from .subnet import choosable
from .view import Record, Taken, View

#: what only the owner of the network may choose
NETWORK_OWNERS = ("mac_address", "allowed_address_pairs", "is_port_security_enabled")
#: what Nova and drivers write into a profile: the place of one port on one host
OF_ONE_HOST = ("allocation", "arq_uuid", "card_serial_number", "migrating_to", "os_vif_delegation", "pci_", "pf_",
               "physical_network", "vf_num")  # fmt: skip


class Mac(Text):
    """A MAC address; the case of its letters means nothing."""

    def canonical(self, value: Any) -> Any:
        return (value or "").lower()


class Profile(Partial):
    """A binding profile, without what is true of one host only."""

    def export(self, value: Any, view: View) -> Any:
        return {n: v for n, v in (value or {}).items() if not n.startswith(OF_ONE_HOST)} or None

    def resolve(self, value: Any, view: View) -> Any:
        return self.export(value, view) or {}


class Port(Kind):
    """A server's leg in a network. It's made before its server, and found by its addresses, never by its name.

    Nova gives it the server's host name (`dns_name`).
    """

    type = "openstack.network.ServerPort"
    nested = True
    by_workload = True
    certain = True
    fixed = frozenset({"binding_vnic_type", "mac_address", "network_ref"})
    admin = {"binding_profile": {}}
    info = ("created_at", "device_id", "device_owner", "id", "project_id", "status", "updated_at")
    reads = ("trunk_details",)
    #: what Nova sets, so that nobody else may
    of_nova: ClassVar[tuple[str, ...]] = ("dns_name",)

    name = Text("name; mostly empty")
    description = Text("free text")
    allowed_address_pairs = Pattern(
        Struct(ip_address=Cidr(required=True), mac_address=Mac()), "further addresses that it may use", empty=True
    )
    binding_profile = Profile("what drivers want to know (switchdev ...)")
    binding_vnic_type = Text("normal, direct, macvtap, baremetal ...")
    dns_domain = Text("domain of its name")
    dns_name = Text("the server's host name; Nova sets it")
    extra_dhcp_opts = Many(
        Struct(opt_name=Text(required=True), opt_value=Text(), ip_version=Number()), "options that DHCP tells it"
    )
    fixed_ips_refs = Pattern(
        Struct(ip_address=Address(), subnet_ref=Ref("subnet", required=True)), "its addresses; empty: none",
        attribute="fixed_ips", empty=True,
    )  # fmt: skip
    is_admin_state_up = Flag("whether it forwards packets")
    is_port_security_enabled = Flag("whether groups and anti-spoofing apply")
    mac_address = Mac("its MAC address")
    network_ref = Ref("network", "the network it's in", required=True)
    propagate_uplink_status = Flag("whether a virtual function follows its uplink")
    qos_policy_ref = Ref("qos_policy", "quality of service")
    security_group_refs = Many(
        Ref("security_group"), "its groups; empty: nothing gets through; null: the server's, else default",
        attribute="security_group_ids", empty=True,
    )  # fmt: skip
    tags = Many(Text(), "labels")

    @classmethod
    def title(cls, params: dict[str, Any]) -> str:
        """Its name, else an address."""
        ips = [ip.get("ip_address") for ip in params.get("fixed_ips_refs") or [] if isinstance(ip, dict)]
        return next((str(t) for t in (params.get("name"), *ips, params.get("mac_address")) if t), "(no name)")

    @classmethod
    def prepare(cls, params: dict[str, Any], view: View) -> tuple[dict[str, Any], list[str]]:
        """Addresses are chosen where this user may choose them, and where the subnet doesn't give them itself."""
        params, notes = super().prepare(params, view)
        params = {name: value for name, value in params.items() if name not in cls.of_nova}
        network = view.get("network", view.resolve("network", params["network_ref"]))
        foreign = not view.is_admin and network is not None and network["project_id"] != view.project_id
        if foreign:
            whose = f"network {params['network_ref'].get('name')!r} belongs to another project, which alone chooses it"
            left = [n for n in NETWORK_OWNERS if params.pop(n, None) not in (None, [], True)]
            left += ["fixed_ips_refs"] if params.get("fixed_ips_refs") else []
            notes += [f"{n} was left out: {whose}" for n in left]
        if ips := params.get("fixed_ips_refs"):
            params["fixed_ips_refs"] = [
                {"subnet_ref": ip["subnet_ref"]} if foreign else choosable(ip, view) for ip in ips
            ]
        return params, notes

    @classmethod
    def candidates(cls, view: View, body: dict[str, Any], hints: Hints) -> list[Record]:
        """The network's ports that have one of its addresses. One of somebody else is a conflict.

        A free one is ours when an earlier try made it. One that is what the document says was reserved for it.
        """
        mine = [r for r in view.records(cls.kind) if r["network_id"] == body["network_id"]]
        if not addresses(body):  # nothing to go by but its server; before there is one, a name and the time
            if server := hints.get("device_id"):
                return [r for r in mine if r["device_id"] == server]
            free = [r for r in mine if not r["device_id"] and (r["name"] or "") == (body.get("name") or "")]
            return [r for r in free if made_by_an_earlier_try(r, hints)]
        near = [
            r if r["device_id"] else view.refresh(cls.kind, r["id"]) for r in mine if addresses(r) & addresses(body)
        ]
        found = [r for r in near if r is not None]  # a free one may have been plugged in since it was listed
        if reasons := [why for record in found if (why := cls._taken(view, record, body, hints))]:
            raise Taken("; ".join(reasons))
        return found

    @classmethod
    def in_use(cls, record: Record, hints: Hints) -> bool:
        """Whether something else than what the document is about uses it."""
        return bool(record["device_id"]) and record["device_id"] != hints.get("device_id")

    @classmethod
    def _taken(cls, view: View, record: Record, body: dict[str, Any], hints: Hints) -> str | None:
        """Why a port with one of the addresses is none that may be used or changed; None when it may."""
        shared = ", ".join(sorted(addresses(record) & addresses(body)))
        if cls.in_use(record, hints):
            return f"{shared} is in use here, by {owner(view, record)}"
        if record["device_id"]:
            return None
        unlike = [n for n, f in cls.declared().items() if cls.attribute(n) in body
                  and f.differs(body[cls.attribute(n)], record.get(cls.attribute(n)))]  # fmt: skip
        if not unlike or made_by_an_earlier_try(record, hints):
            return None
        what = f"{shared} is taken here, by port {record['id']}, which has another {', '.join(unlike)}"
        return f"{what}: delete that port, or change it to what is wanted"

    @classmethod
    def create(cls, view: View, body: dict[str, Any], hints: Hints) -> Any:
        """A subnet that is for servers only, by its service types, takes a port as one of a server; so does Nova."""
        if service := _service_type(view, body):
            body = {**body, "device_owner": service}
        return super().create(view, body, hints)

    @classmethod
    def update(cls, view: View, record: Record, body: dict[str, Any], hints: Hints) -> Any:
        """Change it; a DHCP option goes away when it's set to nothing."""
        if "extra_dhcp_opts" in body:
            kept = {option["opt_name"] for option in body["extra_dhcp_opts"]}
            gone = [o["opt_name"] for o in record["extra_dhcp_opts"] or () if o["opt_name"] not in kept]
            body["extra_dhcp_opts"] = [*body["extra_dhcp_opts"], *({"opt_name": n, "opt_value": None} for n in gone)]
        return super().update(view, record, body, hints)


def _service_type(view: View, body: dict[str, Any]) -> str | None:
    """The service type by which a subnet of its addresses takes ports of servers."""
    subnets = [view.get("subnet", ip["subnet_id"]) for ip in body.get("fixed_ips") or [] if ip.get("subnet_id")]
    types = [str(type_) for subnet in subnets if subnet for type_ in subnet["service_types"] or ()]
    return next((type_ for type_ in types if type_.startswith("compute:")), None)


def addresses(port: dict[str, Any]) -> set[str]:
    """The MAC and IP addresses of a record or a body."""
    ips = {Address().canonical(ip.get("ip_address")) for ip in port.get("fixed_ips") or []}
    return {a for a in ips | {Mac().canonical(port.get("mac_address"))} if a}


def owner(view: View, port: Record) -> str:
    """Who uses a port, for people."""
    if not str(port["device_owner"]).startswith("compute:"):
        return f"port {port['id']} ({port['device_owner'] or 'reserved'})"
    server = view.get("server", port["device_id"])
    return f"server {server['name']!r} ({server['id']})" if server else f"server {port['device_id']}"
