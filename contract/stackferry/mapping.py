"""What is called otherwise at the destination: the names that a request gives for flavors, images ... Pure.

A mapping is ``{kind: {name in the documents: name at the destination}}``. It changes references only, never what a
resource of the migration is itself called. ``network`` is about external ones: gateways of routers, floating IPs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .resources import BY_TYPE
from .resources.kind import Kind
from .resources.nested import nested_in

Document = dict[str, Any]
Names = Mapping[str, Mapping[str, str]]
#: kinds whose names are fields, not references
FIELDS = {
    "volume_type": ("volume_type",),
    "availability_zone": ("availability_zone", "availability_zone_hints"),
    "keypair": ("key_name",),
}
REFS = ("flavor", "image", "network")
KINDS = (*REFS, *FIELDS)
#: references to external networks, and what is true in one of them only
EXTERNAL = ("external_gateway_refinfo.network_ref", "floating_network_ref")
OF_ONE_NETWORK = "external_fixed_ips_refs"


def invalid(mapping: Any) -> dict[str, list[str]]:
    """Return field → problems of a mapping; empty when all is well."""
    if not isinstance(mapping, dict):
        return {"mapping": ["expected {kind: {name: name at the destination}}"]}
    errors: dict[str, list[str]] = {}
    for kind, names in mapping.items():
        if kind not in KINDS:
            errors[f"mapping.{kind}"] = [f"{kind!r} can't be mapped; known are {', '.join(sorted(KINDS))}"]
        elif not isinstance(names, dict) or not all(_is_name(n) for pair in names.items() for n in pair):
            errors[f"mapping.{kind}"] = ["expected names and, for each, its name at the destination"]
    return errors


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def mapped(document: Document, mapping: Names | None) -> Document:
    """Return a document as the destination calls things."""
    kind = BY_TYPE.get(document["type"])
    if not mapping or kind is None:
        return document
    parts = {
        name: [mapped(part, mapping) for part in document["params"][name]]
        for name in nested_in(kind)
        if document["params"].get(name)
    }
    params, changed = _references(kind, {n: v for n, v in document["params"].items() if n not in parts}, mapping)
    params = {**_fields(params, mapping), **parts}
    order = {name: params[name] for name in document["params"]}
    return {**document, "params": order, **_facts(document, changed), **_choices(document, mapping)}


def _references(kind: type[Kind], params: Document, mapping: Names) -> tuple[Document, set[str]]:
    """The params with references renamed, and under which names the facts hold the source's ids of these."""
    found_links = list(kind.links(params))
    kinds = {path: field.kind for path, field, _ in found_links}
    attributes = {path: field.attribute or "" for path, field, _ in found_links}
    changed: set[str] = set()

    def renamed(path: str, ref: dict[str, Any]) -> dict[str, Any]:
        names = mapping.get(kinds[path]) or {}
        if kinds[path] not in REFS or ref.get("name") not in names:
            return ref
        if kinds[path] == "network" and path not in EXTERNAL:
            return ref
        changed.add(path)
        return {"name": names[ref["name"]], "project_name": None, "domain_name": None}

    found = kind.map_links(params, renamed)
    if (gateway := EXTERNAL[0]) in changed:
        owner = gateway.partition(".")[0]
        found[owner] = {n: v for n, v in found[owner].items() if n != OF_ONE_NETWORK}
        changed |= {path for path in kinds if path.startswith(f"{owner}.{OF_ONE_NETWORK}")}
    return found, changed | {attributes[path] for path in changed}


def _fields(params: Document, mapping: Names) -> Document:
    changed = dict(params)
    for kind, fields in FIELDS.items():
        names = mapping.get(kind) or {}
        for field in fields:
            value = params.get(field)
            if isinstance(value, str):
                changed[field] = names.get(value, value)
            elif isinstance(value, list):
                changed[field] = [names.get(item, item) for item in value]
    return changed


def _facts(document: Document, changed: set[str]) -> Document:
    """The facts, without the source's id behind a reference that leads elsewhere now."""
    if not changed:
        return {}
    info = {name: value for name, value in (document.get("_info") or {}).items() if name not in changed}
    if ids := info.get("source_ids"):
        info["source_ids"] = {path: id_ for path, id_ in ids.items() if path not in changed}
    return {"_info": info}


def _choices(document: Document, mapping: Names) -> Document:
    """The volume of a boot disk has names too."""
    choices = document.get("_migration_params") or {}
    if not choices.get("boot_volume_params"):
        return {}
    return {"_migration_params": {**choices, "boot_volume_params": _fields(choices["boot_volume_params"], mapping)}}
