"""The whole graph of some documents at once: every step that they are to become."""

from __future__ import annotations

from typing import Any

from stackferry_coordinator.plan.graph import keyed, outline
from stackferry_coordinator.plan.node import Node


def build(documents: list[dict[str, Any]], **how: Any) -> list[Node]:
    """The nodes, prerequisites first; *how*: see ``outline``."""
    found = outline(keyed(documents), **how)
    return found.plain + [step for workload in found.workloads for step in found.steps_of(workload)]
