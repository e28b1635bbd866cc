"""What volume types promise, where a cloud shows it. Source: Block Storage API v3, "Volume types"."""

from __future__ import annotations

from typing import Any

from .view import View

#: where a type's volumes lie: this differs in any two clouds
OF_ITS_CLOUD = ("volume_backend_name",)
#: what every user sees of a type; administrators see all of its extra specs
FOR_USERS = ("RESKEY:availability_zones", "multiattach", "replication_enabled")


def specs(view: View) -> dict[str, dict[str, str]]:
    """Name of each volume type → its extra specs, as far as they're shown."""

    def ask() -> dict[str, dict[str, str]]:
        found = view.proxy("block_storage").types()
        return {str(type_.name): {str(n): str(v) for n, v in (type_.extra_specs or {}).items()} for type_ in found}

    return view.once("volume types", ask)  # type: ignore[no-any-return]


def otherwise(view: View, document: dict[str, Any]) -> list[str]:
    """Say what a volume's type promises otherwise here than at its source."""
    name = document["params"].get("volume_type")
    had, has = (document.get("_info") or {}).get("volume_type_specs"), specs(view).get(name) if name else None
    if had is None or has is None:
        return []
    shown = {*FOR_USERS, *(had.keys() & has.keys())}.difference(OF_ITS_CLOUD)
    return [
        f"volume type {name!r} here has {spec} = {has.get(spec)!r} instead of {had.get(spec)!r}"
        for spec in sorted(shown) if had.get(spec) != has.get(spec)
    ]  # fmt: skip
