"""Address groups: named sets of addresses for security group rules. Source: Networking API v2.0."""

from __future__ import annotations

from typing import Any

from .fields import Cidr, Many, Text
from .hints import Hints
from .kind import Kind
from .view import Record, View


class AddressGroup(Kind):
    """A named set of address ranges. Sharing it is a matter of RBAC policies, which do not cross."""

    type = "openstack.network.AddressGroup"
    file = "address_groups"
    optional = True
    info = ("id", "project_id")

    name = Text("name")
    description = Text("free text")
    addresses = Many(Cidr(), "ranges")

    @classmethod
    def fingerprint(cls, view: View, record: Record) -> list[str] | None:
        """Address groups of one name differ by their addresses."""
        return sorted(record["addresses"] or [])

    @classmethod
    def update(cls, view: View, record: Record, body: dict[str, Any], hints: Hints) -> Any:
        """Addresses are added and removed by calls of their own."""
        network, wanted = view.proxy("network"), body.pop("addresses", None)
        group = network.update_address_group(record["id"], **body) if body else None
        if wanted is not None:
            canonical = Cidr().canonical
            want, have = {canonical(a) for a in wanted}, {canonical(a) for a in record["addresses"] or []}
            if want - have:
                group = network.add_addresses_to_address_group(record["id"], sorted(want - have))
            if have - want:
                group = network.remove_addresses_from_address_group(record["id"], sorted(have - want))
        return group
