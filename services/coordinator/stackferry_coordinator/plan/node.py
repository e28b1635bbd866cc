"""A node of the graph: a step to be."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from stackferry.resources import Kind

from .step import Planned

Document = dict[str, Any]


@dataclass(eq=False)
class Node:
    """A step to be: what it does, and after what (key → hard)."""

    key: str
    action: str
    kind: type[Kind]
    document: Document
    after: dict[str, bool] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    planned: Planned = field(default_factory=Planned)
    group: str = ""

    @property
    def problem(self) -> str | None:
        """What is known to be wrong with it. Its step remembers: it isn't done by a later ``start`` or ``retry``."""
        return self.planned.problem

    @problem.setter
    def problem(self, problem: str | None) -> None:
        if problem:
            self.planned = replace(self.planned, problem=problem)

    @property
    def source_id(self) -> str | None:
        """The id at the source, if the document has one."""
        id_ = self.document.get("_info", {}).get("id")
        return str(id_) if id_ else None
