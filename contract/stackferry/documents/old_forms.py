"""Documents of older versions, brought into today's form."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .document import Document

#: keys of files older than references → the reference that took their place
OLD_REFERENCES = {
    "network_name": "network_ref",
    "segment_name": "segment_ref",
    "subnet_pool_name": "subnet_pool_ref",
    "qos_policy_name": "qos_policy_ref",
    "flavor_name": "flavor_ref",
    "security_group_name": "security_group_ref",
    "remote_group_name": "remote_group_ref",
    "kernel_name": "kernel_ref",
    "ramdisk_name": "ramdisk_ref",
}


#: the same for lists of names
OLD_LISTS = {"security_group_names": "security_group_refs"}
#: params of rules in which old files have the text ``null`` where nothing is meant
NULLS = ("remote_ip_prefix", "protocol", "port_range_min", "port_range_max")
RULE = "openstack.network.SecurityGroupRule"
NETWORK = "openstack.network.Network"


def upgrade(document: Document) -> Document:
    """Return *document* in today's form: names of references become references, absent parts empty ones."""
    params = document.get("params")
    if not isinstance(params, dict):
        return document
    renamed: dict[str, Any] = {}
    for key, value in params.items():
        single, several = OLD_REFERENCES.get(key), OLD_LISTS.get(key)
        if (single or several or key) in params and (single or several):
            renamed[key] = value
        elif single:
            renamed[single] = None if value is None else _by_name(value)
        elif several:
            renamed[several] = [_by_name(name) for name in value] if isinstance(value, list) else value
        else:
            renamed[key] = value
    renamed = {key: _inside(value) for key, value in renamed.items()}
    if document.get("type") == RULE:
        renamed |= {name: None for name in NULLS if renamed.get(name) == "null"}
    absent: dict[str, Any] = {name: {} for name in ("_info", "_migration_params") if document.get(name) is None}
    return {**document, **absent, "params": renamed}


def _inside(value: Any) -> Any:
    """A server's document holds those of its ports, volumes and floating IPs."""
    if not isinstance(value, list):
        return value
    return [upgrade(one) if isinstance(one, dict) and "type" in one and "params" in one else one for one in value]


def _by_name(name: Any) -> dict[str, Any]:
    return {"name": name, "project_name": None, "domain_name": None}


def complete(documents: list[Any]) -> None:
    """Give floating IPs whose network is known only by its id at the source (``_info``) the name that another document
    says for it."""
    networks = {}
    for document in documents:
        if isinstance(document, dict) and document.get("type") == NETWORK:
            info, params = document.get("_info"), document.get("params")
            if isinstance(info, dict) and isinstance(params, dict) and params.get("name"):
                networks[str(info.get("id"))] = params["name"]
    for floating_ip in _floating_ips(documents):
        params, info = floating_ip.get("params"), floating_ip.get("_info")
        if not isinstance(params, dict) or not isinstance(info, dict) or params.get("floating_network_ref"):
            continue
        if name := networks.get(str(info.get("floating_network_id"))):
            params["floating_network_ref"] = _by_name(name)


def _floating_ips(documents: list[Any]) -> Iterator[dict[str, Any]]:
    for document in documents:
        params = document.get("params") if isinstance(document, dict) else None
        inside = params.get("floating_ips") if isinstance(params, dict) else None
        yield from (one for one in inside if isinstance(one, dict)) if isinstance(inside, list) else ()
