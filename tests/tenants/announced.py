"""Whether a difference was announced: by a reason or a note that is about the object, and names the field."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .comparing import Difference
from .reading import Object, Reading, links

#: what a note may call a field
WORDS = {
    "enable_snat": "snat", "gateway": "gateway|snat|external network", "gateway_addresses": "gateway",
    "mac_address": r"\bmac\b|mac_address", "fixed_ips": "fixed_ip|address", "address_pairs": "allowed_address_pairs|pairs",
    "port_security_enabled": "port_security", "dhcp_options": "dhcp", "security_groups": "group",
    "floating_ip_address": "address|floating", "status": "ACTIVE|SHUTOFF|PAUSED|status|started|stopped|runs|power",
    "nics": "order|port|nic", "volumes": "order|volume|device", "volume_tags": "volume|device", "boot_volume": "boot", "root_disk": "root disk|boot disk",
    "user_data": "user data|user_data", "hostname": "host ?name", "image": "image|boot disk", "content": "content|blocks",
    "router:external": "external", "os_hidden": "hidden", "remote_group": "group",
    "image_metadata": "image metadata|image_metadata", "key_name": "key", "members": "member|server",
    "OS-DCF:diskConfig": "disk_config", "dns_name": "dns_name|host name", "locked": "lock", "payload": "payload|bytes",
    "binding:vnic_type": "vnic_type", "dies_with_it": "delete_on_termination|deleted with", "tags": "tag",
}  # fmt: skip
ENDED_BADLY = ("failed", "skipped")
BAD = ("conflict", "missing", "failed", "interrupted", "pending")


@dataclass(frozen=True)
class Saying:
    """A reason or a note, of a step that is about an object of the source, or of the whole export (no id)."""

    source_id: str
    group: str  # the workload that the step is part of
    kind: str
    bad: bool  # it says that the object does not arrive
    text: str


def sayings(migration: dict[str, Any]) -> Iterator[Saying]:
    """Yield all that a plan or a report says."""
    for step in migration["steps"]:
        bad = step["state"] in ENDED_BADLY or step["outcome"] in BAD
        for text in [step["reason"], *(step["notes"] or ())]:
            if text or bad:
                yield Saying(step["source_id"] or "", step.get("group") or "", step["kind"], bad, str(text or ""))
    for entry in migration.get("stays_behind") or ():
        names = ", ".join(entry["names"]) or "no name is told"
        yield Saying("", "", entry["type"], True, f"stays behind: {entry['type']} {names}: {entry['reason']}")
    if migration.get("reason"):
        yield Saying("", "", "", False, str(migration["reason"]))


def announced(one: Difference, said: list[Saying], source: Reading) -> str | None:
    """Return what announced it; None if nothing did."""
    if one.field == "surplus":  # what a server's root disk has become is no object of the source
        made = (saying.text for saying in said if "root disk becomes a volume" in saying.text)
        return next(made, None) if one.about.kind == "volume" else None
    if one.because:
        gone = [Difference(source[id_], "missing", None, None) for id_ in one.because]
        texts = [announced(lost, said, source) for lost in gone]
        return str(texts[0]) if all(texts) else None
    mine = [saying for saying in said if _about(saying, one.about, source)]
    if one.field == "missing":
        whole = [s for s in mine if s.bad or re.search(r"stays|left out|left behind|not moved|doesn't cross", s.text)]
        return whole[0].text or "ended badly" if whole else None
    word = re.compile(WORDS.get(one.field, re.escape(one.field)), re.IGNORECASE)
    return next((saying.text for saying in mine if word.search(saying.text)), None)


def _about(saying: Saying, one: Object, source: Reading) -> bool:
    """Whether it's about an object: of its step, of the step of the server that it's part of, or by its name."""
    owners = _owners(one, source)
    if not saying.bad and not saying.source_id and re.search(rf"\b{one.kind}s\b", saying.text):
        return True  # of all of its kind
    if saying.source_id:
        return saying.source_id in {one.id, one.id.removeprefix("keypair/"), *owners} or one.id in saying.text
    if any(owner in saying.text or _is_named(saying, source[owner]) for owner in owners):
        return True
    if not one.name and not saying.source_id and saying.kind and one.kind.replace("_", " ") in saying.kind.lower():
        return True  # one of so many that have no name
    return _is_named(saying, one) or one.id in saying.text or _label(one) in saying.text


def _is_named(saying: Saying, one: Object) -> bool:
    """Whether it names an object and its kind; long names are cut."""
    told = saying.text.replace("_", " ").lower()
    return bool(one.name) and one.name[:100] in saying.text and one.kind.replace("_", " ") in told


def _label(one: Object) -> str:
    """What else tells an object from others, in a text."""
    for name in ("cidr", "floating_ip_address", "mac_address"):
        if one.fields.get(name):
            return str(one.fields[name])
    return one.id


def _owners(one: Object, source: Reading, depth: int = 2) -> set[str]:
    """The server that an object is part of: of a port, a trunk, a floating IP, a volume."""
    if one.kind not in ("port", "trunk", "floating_ip", "port_forwarding", "volume", "snapshot"):
        return set()
    near = {id_ for name in ("device", "port", "volume") for id_ in links(one.fields.get(name))}
    near |= {o.id for o in source.values() if o.kind in ("server", "trunk") and one.id in set(links(o.fields))}
    found = {id_ for id_ in near if id_ in source and source[id_].kind == "server"}
    if depth:
        for id_ in near - found:
            if id_ in source:
                found |= _owners(source[id_], source, depth - 1)
    return found
