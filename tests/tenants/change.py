"""One change of one field of one object at the source."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from .reading import Object, Reading
from .seeding import NEUTRON, NOVA, WORD, call

#: kind → fields that its owner may change, with new values
NEW: dict[str, dict[str, Any]] = {
    "network": {"description": "changed", "name": "changed", "admin_state_up": None},
    "subnet": {"description": "changed", "name": "changed", "dns_nameservers": ["4.4.4.4", "5.5.5.5"]},
    "router": {"description": "changed", "name": "changed", "admin_state_up": None},
    "security_group": {"description": "changed"},
    "address_group": {"description": "changed", "name": "changed"},
    "image": {"name": "changed", "min_ram": 128, "my_new": "property"},
    "server": {"metadata": {"changed": "yes"}, "tags": ["changed"], "description": "changed", "name": "changed"},
    "volume": {"description": "changed", "name": "changed", "metadata": {"changed": "yes"}},
}
IMAGE_PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}


@dataclass
class Change:
    """A field that gets a new value."""

    object: Object
    field: str
    value: Any

    def __str__(self) -> str:
        return f"{self.object} ({self.object.id}) {self.field} := {self.value!r}"

    def make(self, tenant: Any) -> None:
        """Do it."""
        c, kind, id_, told = tenant.connect(), self.object.kind, self.object.id, {self.field: self.value}
        if kind in NEUTRON:
            call(c.network, "PUT", f"/{NEUTRON[kind]}/{id_}", {WORD.get(kind, kind): told})
        elif kind == "volume" and self.field == "metadata":
            call(c.block_storage, "PUT", f"/volumes/{id_}/metadata", told)
        elif kind == "volume":
            call(c.block_storage, "PUT", f"/volumes/{id_}", {"volume": told})
        elif kind == "server" and self.field in ("metadata", "tags"):
            call(c.compute, "PUT", f"/servers/{id_}/{self.field}", told, microversion=NOVA)
        elif kind == "server":
            call(c.compute, "PUT", f"/servers/{id_}", {"server": told}, microversion=NOVA)
        else:
            operation = "replace" if self.field in self.object.fields else "add"
            patch = [{"op": operation, "path": f"/{self.field}", "value": self.value}]
            call(c.image, "PATCH", f"/images/{id_}", patch, headers=IMAGE_PATCH)


def changes(seed: int, source: Reading, arrived: set[str]) -> Change | None:
    """One of the changes that can be made to what has arrived; None if nothing can be changed."""
    attached = {link for one in source.values() if one.kind == "server" for link in map(str, one.fields["volumes"])}
    able = [
        (one, name) for one in sorted(source.values(), key=lambda o: (o.kind, o.name, str(o.fields.get("cidr"))))
        if one.id in arrived and str(one.fields.get("name")) != "default" and f"Link(id='{one.id}')" not in attached
        for name in NEW.get(one.kind, ())
    ]  # fmt: skip
    if not able:
        return None
    one, name = random.Random(seed).choice(able)
    value = NEW[one.kind][name]
    if name == "admin_state_up":
        value = not one.fields[name]
    if one.kind == "subnet" and name == "dns_nameservers" and one.fields["ip_version"] == 6:
        value = ["2001:db8::44"]
    return Change(one, name, value)
