"""One resource as a document: which kind it is of, and which resource of its source."""

from __future__ import annotations

from typing import Any

from ..resources import BY_TYPE

Document = dict[str, Any]

#: kinds that other parts of the product will read; they're kept, and not imported yet
KNOWN_TYPES = frozenset(
    {
        "openstack.compute.Flavor",
        "openstack.identity.Project",
        "openstack.identity.UserProjectRoleAssignment",
        "openstack.user.User",
    }
)


def kind_of(document: Document) -> str | None:
    """The kind's name, or None for a type that isn't imported."""
    kind = BY_TYPE.get(document["type"])
    return kind.kind if kind else None


def identity(document: Document) -> tuple[str, str] | None:
    """Type and id of a document whose form is right; None when it has no id."""
    id_ = document.get("_info", {}).get("id")
    return (document["type"], id_) if id_ else None
