"""Server groups: which servers stay together or apart. Source: Compute API, "Server groups"."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .fields import Bag, Text
from .kind import Kind
from .view import View


class ServerGroup(Kind):
    """A rule for the places of servers, which join it when they're made. Nothing of it can be changed."""

    type = "openstack.compute.ServerGroup"
    file = "server_groups"
    service = "compute"
    fixed = frozenset({"name", "policy", "rules"})
    info = ("id", "member_ids", "project_id", "user_id")

    name = Text("name; not unique")
    policy = Text("affinity, anti-affinity, soft-affinity or soft-anti-affinity", required=True)
    rules = Bag("max_server_per_host, for anti-affinity")

    @classmethod
    def listing(cls, view: View) -> Iterable[Any]:
        """The project's own groups."""
        yield from view.proxy("compute").server_groups()
