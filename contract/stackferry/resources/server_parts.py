"""What belongs to a server at its cloud: ports, floating IPs, volumes; and to its document, for those who move it."""

from __future__ import annotations

import re
from typing import Any

from .boot_disk import boot_disk, device
from .nics import in_order
from .server_fields import left_out
from .trunk import trunks
from .view import Record, View

Document = dict[str, Any]
#: since this microversion a user may choose a server's host name
HOSTNAMES = (2, 90)
#: of a flavor, with their units
SIZES = {"vcpus": "vCPUs", "ram": "MB of memory", "disk": "GB of disk", "ephemeral": "GB of ephemeral disk",
         "swap": "MB of swap"}  # fmt: skip
UNREADABLE = "user data can be read by administrators only: servers are exported without it"


def in_short(record: Record) -> Record:
    """The parts of Nova's answer that are objects, reduced to what we use."""
    flavor, image = record["flavor"] or {}, record["image"] or {}
    name, hostname, own_hostname = flavor.get("original_name"), record["hostname"], None
    if hostname and record["id"] in hostname.lower():
        hostname, own_hostname = None, hostname  # Nova's own, where the name had no letter to make one of
    sizes = {size: int(flavor.get(size) or 0) for size in SIZES} if flavor.get("vcpus") else None
    return {
        "attached_volumes": {v["id"]: v.get("delete_on_termination") for v in record["attached_volumes"] or ()},
        "flavor": {"name": name or flavor.get("name"), "id": None if name else flavor.get("id")},
        "flavor_sizes": sizes,
        "hostname": hostname,
        "own_hostname": own_hostname,
        "image": image.get("id"),
    }


def gathered(view: View, record: Record) -> Record:
    """The record with what its document holds."""
    mine, is_certain = ports(view, record)
    own_trunks, sub_ports = trunks(view, mine)
    flavor = record["flavor"]
    if not flavor["id"]:
        flavor = {**flavor, "id": next((f["id"] for f in view.named("flavor", flavor["name"])), None)}
    groups = dict.fromkeys(id_ for port in mine for id_ in port["security_group_ids"] or ())
    return {
        **record,
        "flavor": flavor,
        "flavor_id": flavor["id"],
        "flavor_sizes": flavor_sizes(view, {**record, "flavor": flavor}),
        "floating_ips": floating_ips(view, [*mine, *sub_ports]),
        "ports": mine,
        "order_is_certain": is_certain,
        "security_group_ids": sorted(groups),
        "server_groups": _group(view, record),
        "sub_ports": sub_ports,
        "trunks": own_trunks,
        "volumes": volumes(view, record),
    }


def flavor_sizes(view: View, record: Record) -> dict[str, int] | None:
    """What its flavor was when it was made; before Nova 2.47, what it is now. None when that can't be told."""
    found = None if record["flavor_sizes"] or not record["flavor"]["id"] else view.get("flavor", record["flavor"]["id"])
    return {size: int(found[size] or 0) for size in SIZES} if found else record["flavor_sizes"]


def unmoved_disks(view: View, record: Record) -> list[str]:
    """The disks of a server that no API can read."""
    sizes = flavor_sizes(view, record) or {}
    return [f"{sizes[size]} {SIZES[size]}" for size in ("ephemeral", "swap") if sizes.get(size)]


def _group(view: View, record: Record) -> str | None:
    """The group that it's in; Nova's listing of servers doesn't say."""
    groups = view.records("server_group")
    return next((str(g["id"]) for g in groups if record["id"] in (g["member_ids"] or ())), None)


def ports(view: View, record: Record) -> tuple[list[Record], bool]:
    """Its ports in order, and whether that order is certain."""
    mine = [
        port
        for port in view.records("port")
        if port["device_id"] == record["id"] and str(port["device_owner"]).startswith("compute:")
    ]
    networks = {id_: view.get("network", id_) for id_ in {port["network_id"] for port in mine}}
    names = {id_: network["name"] for id_, network in networks.items() if network}
    return in_order(mine, record["addresses"] or {}, names)


def floating_ips(view: View, mine: list[Record]) -> list[Record]:
    """The floating IPs of these ports, port by port."""
    places = {port["id"]: place for place, port in enumerate(mine)}
    found = [ip for ip in view.records("floating_ip") if ip["port_id"] in places] if mine else []
    return sorted(found, key=lambda ip: (places[ip["port_id"]], ip["fixed_ip_address"], ip["floating_ip_address"]))


def volumes(view: View, record: Record) -> list[Record]:
    """Its volumes: what it starts from, then in the order of their devices; each attachment says what becomes of it."""
    found = []
    for id_, dies in record["attached_volumes"].items():
        if volume := (view.own("volume", id_) or view.get("volume", id_)):
            attachments = [{**a, "delete_on_termination": dies} for a in volume["attachments"] or ()]
            found.append({**volume, "attachments": attachments})
    first = None if record["image"] else boot_disk(found, record["root_device_name"])
    boot = None if first is None else found[first]
    return sorted(found, key=lambda v: (v is not boot, len(device(v)), device(v)))


def fixed_addresses(record: Record) -> list[str]:
    """Its own addresses, sorted."""
    shown = [a for found in (record["addresses"] or {}).values() for a in found]
    return sorted(a["addr"] for a in shown if a.get("OS-EXT-IPS:type") != "floating")


def remarks(view: View, record: Record) -> list[str]:
    """Disks and trunks that can't be seen; an order that nobody knows; and, once, that user data can't."""
    known = {part["id"] for name in ("volumes", "trunks", "sub_ports") for part in record[name]}
    seen = [f"volume {id_}" for id_ in record["attached_volumes"]]
    for details in (port["trunk_details"] for port in record["ports"] if port["trunk_details"]):
        seen += [f"trunk {details['trunk_id']}"]
        seen += [f"sub-port {sub['port_id']}" for sub in details.get("sub_ports") or ()]
    wishes = left_out(record["scheduler_hints"])
    unread = [what for what in seen if what.rpartition(" ")[2] not in known]
    notes = [f"server {record['name']!r}: its {what} can't be read, and stays" for what in unread]
    notes += [f"server {record['name']!r}: scheduler_hints.{wish} has ids of this cloud, and stays" for wish in wishes]
    if disks := unmoved_disks(view, record):
        notes.append(f"server {record['name']!r}: what is on its {' and '.join(disks)} can't be read, and stays behind")
    if record.get("own_hostname"):
        what = f"its host name {record['own_hostname']!r} is made of its id, and another one is made at the destination"
        notes.append(f"server {record['name']!r}: {what}")
    if not record["order_is_certain"]:
        macs = ", ".join(str(port["mac_address"]) for port in record["ports"])
        how = "Nova doesn't tell the order of its NICs (they're shown network by network), and this one is assumed"
        notes.append(f"server {record['name']!r}: {how}: {macs}")
    return notes if view.is_admin or UNREADABLE in view.notes else [*notes, UNREADABLE]


def may_choose(hostname: Any, view: View) -> bool:
    """Whether this Nova takes such a host name; it makes one of the server's name otherwise."""
    if not hostname or not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", str(hostname)):
        return False
    known = view.once("microversion of compute", lambda: view.proxy("compute").get_endpoint_data().max_microversion)
    return tuple(known or ()) >= HOSTNAMES


def own_ports(document: Document, name: str = "ports") -> list[Document]:
    """Return the documents of a server's ports, or of those in its trunks (``sub_ports``).

    OS Migrate says security groups of the server only: its ports get them, or anybody's default group would be theirs.
    """
    params, ids = document["params"], (document.get("_info") or {}).get("source_ids") or {}
    groups = params.get("security_group_refs")
    own_ids = {path: id_ for path, id_ in ids.items() if path.startswith("security_group_refs.")}
    found = []
    for port in params.get(name) or ():
        said = port["params"]
        if said.get("security_group_refs") is None and groups and said.get("is_port_security_enabled") is not False:
            info = port.get("_info") or {}
            links = {**(info.get("source_ids") or {}), **own_ids}
            port = {**port, "params": {**said, "security_group_refs": groups}, "_info": {**info, "source_ids": links}}
        found.append(port)
    return found


def port_of(document: Document, floating_ip: Document) -> tuple[str, int] | None:
    """Return which port a floating IP leads to, as (port or sub_port, number): by id, else by address.

    None when it can't be told.
    """
    params = document["params"]
    legs = [(kind, n, port) for kind in ("port", "sub_port") for n, port in enumerate(params.get(f"{kind}s") or ())]
    behind, address = (floating_ip.get("_info") or {}).get("port_id"), floating_ip["params"].get("fixed_ip_address")
    by_id = [(kind, n) for kind, n, port in legs if behind and (port.get("_info") or {}).get("id") == behind]
    by_address = [
        (kind, n) for kind, n, port in legs
        if address and address in [ip.get("ip_address") for ip in port["params"].get("fixed_ips_refs") or ()]
    ]  # fmt: skip
    only = [legs[0][:2]] if len(legs) == 1 else []
    return next(iter([*by_id, *by_address, *only]), None)
