"""What an OS Migrate variables file says about conversion hosts. Source: OS Migrate's variables guide. Pure."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, validate
from stackferry.errors import Error

from ..os_migrate import value

SHARED = "os_migrate_conversion_"
#: what is said about one side, after os_migrate_src_conversion_ or os_migrate_dst_conversion_; or about both, as below
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
    """Return what counts for one side (``src`` or ``dst``), without prefix; raise Error naming a wrong variable.

    What a side has may be said for both, as OS Migrate's walkthrough does (``os_migrate_conversion_flavor_name``).
    """
    found = {}
    for name, field in (OF_BOTH | OF_A_SIDE).items():
        of_both = _said(variables, SHARED + name, field)
        of_side = _said(variables, f"os_migrate_{side}_conversion_{name}", field) if name in OF_A_SIDE else None
        if None not in (of_both, of_side) and of_both != of_side:
            raise Error(
                f"{SHARED}{name} is {of_both!r} and os_migrate_{side}_conversion_{name} is {of_side!r}: "
                "OS Migrate takes the former for both sides; remove one of them"
            )
        if (known := of_side if of_both is None else of_both) is not None:
            found[name] = known
    return found


def _said(variables: dict[str, Any], name: str, field: fields.Field) -> Any:
    said = value(variables, name)
    if said is None or said == "" or (said is False and not isinstance(field, fields.Boolean)):
        return None  # OS Migrate's ways to say nothing
    try:
        return _plain(field.deserialize(said))
    except ValidationError as error:
        raise Error(f"{name}: {' '.join(map(str, error.messages))}") from None


def _plain(said: Any) -> Any:
    """Addresses as text."""
    if isinstance(said, list):
        return tuple(map(str, said))
    return said if isinstance(said, bool | int | str) else str(said)
