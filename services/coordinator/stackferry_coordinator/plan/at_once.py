"""Servers without a disk to copy are stopped a few at a time, as they can be made. Pure.

A server with disks is stopped when the first of them gets a place on the conversion hosts. One without would be stopped
at once, beside all others of its sort, and be down for as long as the cloud needs to make all of them.
"""

from __future__ import annotations

from .node import Node
from .subjects import is_awaited, is_copied

#: without ``servers_at_once`` in the request
USUAL = 8


def few_at_once(workloads: list[Node], limit: int | None) -> dict[str, str]:
    """Let each of them be stopped once the one that is *limit* places before it was made, or was given up: that by key.

    Those that are shut down by whoever runs them (``shutdown: wait``) wait for nobody, and nobody waits for them.
    """
    mine = [node.key for node in workloads if not node.problem and not is_copied(node.key, node.document)
            and not is_awaited(node.document)]  # fmt: skip
    return dict(zip(mine[limit or USUAL :], mine, strict=False))
