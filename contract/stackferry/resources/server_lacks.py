"""Everything that a cloud lacks for a server, found before anything is made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from marshmallow import ValidationError

from . import quotas, trunk
from .comparing import body_of, said
from .hints import Hints
from .kind import Kind
from .migration_params import SERVER, chosen
from .nested import within_owners
from .port import Port, owner
from .room import counted, demand, flavor_named
from .server_fields import left_out
from .server_parts import SIZES
from .trunk import SubPort
from .view import Ambiguous, Missing, Taken, View
from .volume import missing_names
from .ways_out import ways_missing

Document = dict[str, Any]


def lacks(kind: type[Kind], view: View, document: Document, hints: Hints) -> list[str]:
    """Return one sentence for each thing. What ``hints`` says is made already isn't asked for again."""
    how = chosen(SERVER, document)
    found = [
        *_links(kind, view, document, how, hints),
        *_key(view, document),
        *_zone(view, document),
        *_disks(view, document, how, hints),
        *_room(view, document, how),
        *([] if hints.get("port_ids") else _addresses(view, document)),
        *_trunks(view, document),
        *_floating_ips(view, document, how),
        *(ways_missing(view, document, hints.get("led", ())) if how["floating_ip_mode"] != "skip" else ()),
        *quotas.beyond(view, needed(view, document, how, hints)),
    ]
    return list(dict.fromkeys(found))


def _links(kind: type[Kind], view: View, document: Document, how: Document, hints: Hints) -> Iterator[str]:
    skipped = ["key_name"]  # key pairs are said in other words
    skipped += ["image_ref"] if copies_boot_disk(how, hints) else []
    skipped += ["ports.", "sub_ports."] if hints.get("port_ids") else []
    skipped += ["floating_ips."] if how["floating_ip_mode"] in ("skip", "existing") else []
    for path, field, ref in kind.links(within_owners(kind, document["params"])):
        if not path.startswith(tuple(skipped)):
            try:
                view.resolve(field.kind, ref)
            except (Missing, Ambiguous) as error:
                yield str(error)


def provisos(view: View, document: Document) -> list[str]:
    """What will be otherwise: a smaller flavor of its name, wishes by id, what becomes of a root disk, addresses."""
    return [
        *_smaller(view, document), *_wishes(document), *_root_disk(document), *_other_addresses(view, document),
    ]  # fmt: skip


def _other_addresses(view: View, document: Document) -> Iterator[str]:
    """Floating IPs that aren't reserved here: nobody but Neutron chooses which ones these become."""
    mode = chosen(SERVER, document)["floating_ip_mode"]
    here = [ip["floating_ip_address"] for ip in view.records("floating_ip") if mode == "auto" and not ip["port_id"]]
    for part in document["params"].get("floating_ips") or () if mode in ("auto", "new") else ():
        address = part["params"].get("floating_ip_address")
        if address and address not in here:
            yield f"floating IP {address}: another address takes its place, since no floating IP here has it"


def _smaller(view: View, document: Document) -> Iterator[str]:
    had, name = (document.get("_info") or {}).get("flavor_sizes") or {}, document["params"]["flavor_ref"]["name"]
    has = flavor_named(view, name)
    less = [f"{int(has[size] or 0)} {SIZES[size]} instead of {had[size]}" for size in SIZES
            if has and int(has[size] or 0) < int(had.get(size) or 0)]  # fmt: skip
    if less:
        yield f"flavor {name!r} here has {', '.join(less)}"


def _wishes(document: Document) -> list[str]:
    wishes = left_out(document["params"].get("scheduler_hints"))
    return [f"scheduler_hints.{wish} was left out: its ids are the source's" for wish in wishes]


def _root_disk(document: Document) -> list[str]:
    how, image = chosen(SERVER, document), document["params"].get("image_ref")
    if not image or not how["data_copy"]:
        return []
    if how["boot_disk_copy"]:
        what = "its root disk becomes a volume, from which it boots instead of an image"
        return [f"{what}; the volume is deleted with the server"]
    what = f"its root disk is made anew from image {image['name']!r}"
    return [f"{what}, without what was written to it; boot_disk_copy (migrate --boot-disk-copy) copies it"]


def copies_boot_disk(how: Document, hints: Hints) -> bool:
    """Whether the server starts from a copy of its boot disk, so that no image is needed."""
    return bool(hints.get("boot_volume_id") or how["boot_disk_copy"] or not how["data_copy"])


def _key(view: View, document: Document) -> Iterator[str]:
    """The key pair, unless it's made by the same migration."""
    key = document["params"].get("key_name")
    if isinstance(key, str) and key and key not in {pair["name"] for pair in view.records("keypair")}:
        yield f"the user who migrates has no key pair named {key!r} here"


def _zone(view: View, document: Document) -> Iterator[str]:
    zone = document["params"].get("availability_zone")
    ask = view.proxy("compute").availability_zones
    if zone and zone not in view.once("availability zones", lambda: {item.name for item in ask()}):
        yield f"there is no availability zone named {zone!r} here"


def _disks(view: View, document: Document, how: Document, hints: Hints) -> Iterator[str]:
    """The volumes that are to be made, or those that must be there."""
    if not how["data_copy"]:
        given = [how["boot_volume"], *how["additional_volumes"]]
        for id_ in (volume.get("uuid") for volume in given):
            if id_ and view.get("volume", id_) is None:
                yield f"there is no volume {id_} here"
    elif not hints.get("volume_ids"):
        for volume in document["params"].get("volumes") or ():
            yield from missing_names(view, volume)
        if copies_boot_disk(how, hints):
            yield from missing_names(view, {"params": how["boot_volume_params"]})


def _room(view: View, document: Document, how: Document) -> Iterator[str]:
    """Whether what it starts from fits its flavor."""
    params = document["params"]
    flavor, ref = flavor_named(view, params["flavor_ref"]["name"]), params.get("image_ref")
    if not flavor or not ref or copies_boot_disk(how, {}):
        return
    try:
        image = view.get("image", view.resolve("image", ref))
    except (Missing, Ambiguous):
        return
    size = int((image or {}).get("virtual_size") or (image or {}).get("size") or 0)
    disk = max(int((image or {}).get("min_disk") or 0), -(-size // 2**30))
    if flavor["disk"] and disk > flavor["disk"]:  # a flavor without a disk sets no limit
        yield f"image {ref['name']!r} needs {disk} GB of disk, and flavor {flavor['name']!r} has {flavor['disk']}"
    if (ram := int((image or {}).get("min_ram") or 0)) > flavor["ram"]:
        yield f"image {ref['name']!r} needs {ram} MB of memory, and flavor {flavor['name']!r} has {flavor['ram']}"


def _addresses(view: View, document: Document) -> Iterator[str]:
    """Addresses that others have. Ports of other projects can't be seen: Neutron will tell."""
    for kind, name in ((Port, "ports"), (SubPort, "sub_ports")):
        for part in document["params"].get(name) or ():
            try:
                params, _ = kind.prepare(said(kind, part), view)
                early = {n: v for n, v in params.items() if n not in kind.initial}
                kind.candidates(view, body_of(kind, early, view), {})
            except Taken as error:
                yield str(error)
            except (Missing, Ambiguous, ValidationError):
                continue  # told elsewhere


def _trunks(view: View, document: Document) -> Iterator[str]:
    """Whether there are trunks here, and whether each part of one says whose it is."""
    params = document["params"]
    if params.get("trunks") and not trunk.offered(view):
        yield "this cloud has no trunks (Neutron's extension 'trunk')"
    ports = {_mac(port, "mac_address") for port in params.get("ports") or ()}
    trunks = {_mac(one, "mac_address") for one in params.get("trunks") or ()}
    for mac in sorted(trunks - ports):
        yield f"its trunk of {mac} has no port: none of its ports has that MAC address"
    for mac in sorted({_mac(port, "trunk_mac_address") for port in params.get("sub_ports") or ()} - trunks):
        yield f"its sub-ports in a trunk of {mac} have none: no trunk has that MAC address"


def _mac(document: Document, field: str) -> str:
    return str(document["params"].get(field) or "").lower()


def _floating_ips(view: View, document: Document, how: Document) -> Iterator[str]:
    if how["floating_ip_mode"] == "existing":
        known = {ip["floating_ip_address"]: ip for ip in view.records("floating_ip")}
        for part in document["params"].get("floating_ips") or ():
            address = part["params"].get("floating_ip_address")
            if address not in known:
                yield f"there is no floating IP {address} in this project"
            elif known[address]["port_id"]:
                user = view.get("port", known[address]["port_id"])
                yield f"{address} is in use here, by {owner(view, user) if user else 'another port'}"


def needed(view: View, document: Document, how: Document, hints: Hints) -> dict[str, int]:
    """How much of which quota the server and its parts need, so far as they aren't made yet."""
    wanted = demand({**document, "_migration_params": how})
    made = ["ports"] if hints.get("port_ids") else []
    made += ["volumes", "gigabytes", "largest", "types", "boot"] if hints.get("volume_ids") else []
    made += ["boot"] if hints.get("boot_volume_id") else []
    return counted(view, {name: value for name, value in wanted.items() if name not in made})
