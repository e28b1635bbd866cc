"""What an OS Migrate variables file says about conversion hosts. Source: OS Migrate's variables guide. Pure."""

from __future__ import annotations

import re
from typing import Any

from marshmallow import ValidationError, fields, validate
from stackferry.errors import Error

from ..os_migrate import value

SHARED = "os_migrate_conversion_"
ABOUT_HOSTS = re.compile(r"os_migrate_(\w+_)?conversion_")
#: what is said about one side, after os_migrate_src_conversion_ or os_migrate_dst_conversion_
OF_A_SIDE: dict[str, fields.Field] = {
    "host_name": fields.String(),
    "image_name": fields.String(),
    "flavor_name": fields.String(),
    "net_name": fields.String(),
    "subnet_name": fields.String(),
    "router_name": fields.String(),
    "secgroup_name": fields.String(),
    "external_network_name": fields.String(),
    "manage_network": fields.Boolean(),
    "manage_fip": fields.Boolean(),
    "floating_ip_address": fields.String(),
    "availability_zone": fields.String(),
    "net_mtu": fields.Integer(),
    "subnet_dns_nameservers": fields.List(fields.IP()),
    "host_boot_from_volume": fields.Boolean(),
    "host_volume_size": fields.Integer(validate=validate.Range(1)),
    "host_pre_content_hook": fields.String(),
    "host_post_content_hook": fields.String(),
}
#: what is said about both
OF_BOTH: dict[str, fields.Field] = {
    "subnet_cidr": fields.String(),
    "subnet_alloc_start": fields.IP(),
    "subnet_alloc_end": fields.IP(),
    "router_ip": fields.IP(),
    "keypair_private_path": fields.String(),
    "host_content_install": fields.Boolean(),
}


def of_side(variables: dict[str, Any], side: str) -> dict[str, Any]:
    """Return what counts for one side (``src`` or ``dst``), without prefix; raise Error naming a wrong variable."""
    found = {}
    for prefix, known in ((SHARED, OF_BOTH), (f"os_migrate_{side}_conversion_", OF_A_SIDE)):
        for name, field in known.items():
            said = value(variables, prefix + name)
            if said is None or said == "" or (said is False and not isinstance(field, fields.Boolean)):
                continue  # OS Migrate's ways to say nothing
            try:
                found[name] = _plain(field.deserialize(said))
            except ValidationError as error:
                raise Error(f"{prefix}{name}: {' '.join(map(str, error.messages))}") from None
    return found


def unread(variables: dict[str, Any]) -> list[str]:
    """The variables about conversion hosts that are there and have no effect here."""
    read = {SHARED + name for name in OF_BOTH}
    read |= {f"os_migrate_{side}_conversion_{name}" for side in ("src", "dst") for name in OF_A_SIDE}
    return sorted(name for name in variables if ABOUT_HOSTS.match(str(name)) and name not in read)


def _plain(said: Any) -> Any:
    """Addresses as text."""
    if isinstance(said, list):
        return tuple(map(str, said))
    return said if isinstance(said, bool | int | str) else str(said)
