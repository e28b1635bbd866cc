"""What `hosts deploy` has made in a project, known by its marks: it isn't part of the tenant, and never moved."""

from __future__ import annotations

from typing import Any

#: description of everything in Neutron that is ours: it can be said at creation, unlike tags
MARK = "made by stackferry hosts deploy"
#: metadata of our servers
METADATA = {"stackferry": "conversion-host"}


class Ours:
    """Knows the documents of what is ours. A document is asked about after those that it refers to."""

    def __init__(self) -> None:
        self._ids: set[str] = set()

    def __contains__(self, document: dict[str, Any]) -> bool:
        params, info = document["params"], document["_info"]
        marked = params.get("description") == MARK or METADATA.items() <= (params.get("metadata") or {}).items()
        # rules and interfaces that Neutron made by itself carry no mark, and follow what they're part of
        within = self._ids & set((info.get("source_ids") or {}).values()) and not params.get("name")
        if marked or within:
            self._ids.add(str(info.get("id")))
        return bool(marked or within)
