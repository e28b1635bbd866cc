"""Servers without a disk to copy are stopped a few at a time, as they can be made. Pure.

A server with disks is stopped when the first of them gets a place on the conversion hosts. One without would be stopped
at once, beside all others of its sort, and be down for as long as the cloud needs to make all of them.
"""

from __future__ import annotations

from .node import Node
from .subjects import is_awaited

#: without ``servers_at_once`` in the request
USUAL = 8


def few_at_once(workloads: list[Node], steps: list[Node], limit: int | None) -> None:
    """Let each of them be stopped once the one that is *limit* places before it was made, or was given up.

    Those that are shut down by whoever runs them (``shutdown: wait``) wait for nobody, and nobody waits for them.
    """
    by_key = {node.key: node for node in steps}
    placed = {node.group for node in steps if node.action == "assign"}
    mine = [node for node in workloads if node.key not in placed and f"{node.key}/stop" in by_key]
    mine = [node for node in mine if not is_awaited(node.document)]
    limit = limit or USUAL
    for earlier, later in zip(mine, mine[limit:], strict=False):
        by_key[f"{later.key}/stop"].after.setdefault(earlier.key, False)
