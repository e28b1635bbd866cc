"""Documents of older versions, brought into today's form."""

from __future__ import annotations

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


def upgrade(document: Document) -> Document:
    """Return *document* in today's form: names of references become references, absent parts empty ones."""
    params = document.get("params")
    if not isinstance(params, dict):
        return document
    renamed = {}
    for key, value in params.items():
        ref = OLD_REFERENCES.get(key)
        if ref is None or ref in params:
            renamed[key] = value
        else:
            renamed[ref] = None if value is None else {"name": value, "project_name": None, "domain_name": None}
    return {**document, "params": renamed, "_info": document.get("_info") or {},
            "_migration_params": document.get("_migration_params") or {}}  # fmt: skip
