"""From documents to the graph of steps: what must come before what, resource by resource. Pure.

A reference leads to a document by the source's id when it's as exported, else by name; to nothing here when the
destination is expected to have it (an external network). Documents of one name follow one another, so that each
knows which resources of the destination the others have taken.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any

from stackferry.resources import BY_TYPE, KINDS, Kind, order
from stackferry.resources.nested import nested_in
from stackferry.resources.security_group import automatic

from . import legs, subjects
from .workload import stops as stops_of

Document = dict[str, Any]


@dataclass
class Node:
    """A step to be: what it does, and after what (key → hard)."""

    key: str
    action: str
    kind: type[Kind]
    document: Document
    after: dict[str, bool] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    hints: dict[str, Any] = field(default_factory=dict)
    group: str = ""

    @property
    def problem(self) -> str | None:
        """What is known to be wrong with it. Its step remembers: it isn't done by a later ``start`` or ``retry``."""
        return self.hints.get("problem")

    @problem.setter
    def problem(self, problem: str | None) -> None:
        if problem:
            self.hints["problem"] = problem

    @property
    def source_id(self) -> str | None:
        """The id at the source, if the document has one."""
        id_ = self.document.get("_info", {}).get("id")
        return str(id_) if id_ else None


def build(
    documents: list[Document],
    payloads: bool = False,
    all_rules: bool = False,
    workloads: bool = False,
    compared: bool = False,
) -> list[Node]:
    """Return the nodes, prerequisites first.

    *payloads*: with the steps that move the bytes of images, after all others. *workloads*: with every step that a
    server and its disks need, instead of one for each. *compared*: nothing will be made. *all_rules*: the documents
    hold every rule of their security groups, so that a group without rules is one that has none.
    """
    nodes = [_node(number, d) for number, d in enumerate(documents) if d["type"] in BY_TYPE]
    nodes = list({node.key: node for node in nodes}.values())
    index = _Index(nodes)
    for node in nodes:
        _follow_links(node, index)
    _chain_twins(nodes)
    legs.come_first(nodes)
    _keep_automatic_rules(nodes, all_rules)
    transfers = _transfers(nodes) if payloads else []
    moved = [node for node in nodes if workloads and node.kind.by_workload]
    for node in nodes:
        if node.kind.by_workload and not (workloads or compared):
            node.problem = node.problem or "its disks can't be read: no source cloud is named"
        elif node.kind.by_workload:
            node.problem = node.problem or subjects.problem(node.document)
    plain = [node for node in nodes if node not in moved]
    _await_payloads(moved, transfers)
    return _sorted(plain + _late(plain)) + transfers + _workloads(moved, index)


def _node(number: int, document: Document) -> Node:
    kind = BY_TYPE[document["type"]]
    id_ = document.get("_info", {}).get("id")
    return Node(f"{kind.kind}/{id_ or f'#{number}'}", "ensure", kind, document)


class _Index:
    """Documents by source id and by name."""

    def __init__(self, nodes: list[Node]) -> None:
        self.by_id = {(n.kind.kind, n.source_id): n for n in nodes if n.source_id}
        self.by_name: dict[tuple[str, str], list[Node]] = defaultdict(list)
        self.inside = dict(_ports_inside(nodes))
        for n in nodes:
            if "name" in n.kind.declared():
                self.by_name[(n.kind.kind, n.document["params"].get("name") or "")].append(n)


def _ports_inside(nodes: list[Node]) -> Iterator[tuple[str, tuple[Node, str]]]:
    """Yield the id at the source of each port in a server's document, with that node and the key of the port's step."""
    for node in nodes:
        for field_, kind in nested_in(node.kind).items() if issubclass(node.kind, KINDS["server"]) else ():
            for part in node.document["params"].get(field_) or () if issubclass(kind, KINDS["port"]) else ():
                if id_ := (part.get("_info") or {}).get("id"):
                    yield str(id_), (node, f"{kind.kind}/{id_}")


def _follow_links(node: Node, index: _Index) -> None:
    params, info = node.document["params"], node.document.get("_info", {})
    for path, ref, value in node.kind.links(params):
        source_id = (info.get("source_ids") or {}).get(path) or info.get(ref.attribute or "")
        target, problem = _target(ref.kind, value, source_id, index)
        if target is None and ref.kind == "free_port" and source_id in index.inside:
            server, port = index.inside[source_id]
            node.links[path], node.after[server.key] = port, True
        elif problem:
            node.problem = f"{path}: {problem}"
        elif target is not None and target is not node:
            node.links[path] = target.key
            node.after[target.key] = True


def _target(kind: str, ref: dict[str, Any], source_id: Any, index: _Index) -> tuple[Node | None, str | None]:
    name = ref.get("name") or ""
    by_id = index.by_id.get((kind, source_id)) if source_id else None
    named = index.by_name.get((kind, name), [])
    if by_id is not None:
        exported_as = by_id.document.get("_info", {}).get("name", by_id.document["params"].get("name"))
        if (exported_as or "") == name or not named:
            return by_id, None
    if len(named) > 1:
        return (
            None,
            f"{len(named)} documents of kind {kind} are named {name!r}, and no id says which is meant",
        )
    return (named[0] if named else None), None


def _scope(node: Node) -> Any:
    """What a name is unique within: the document that owns this one, or else whatever identifies the owner."""
    link = node.kind.scope
    if link is None:
        return None
    info, ref = node.document.get("_info", {}), node.document["params"].get(link) or {}
    return node.links.get(link) or (info.get("source_ids") or {}).get(link) or ref.get("name")


def _chain_twins(nodes: list[Node]) -> None:
    twins: dict[Any, list[Node]] = defaultdict(list)
    for node in nodes:
        if (namesake := node.kind.namesake(node.document["params"])) is not None:
            twins[(node.kind.kind, _scope(node), namesake)].append(node)
    for same in twins.values():
        for earlier, later in itertools.pairwise(same):
            later.after.setdefault(earlier.key, False)
        if len(same) > 1:
            for node in same:
                node.hints["twins"] = len(same)
                node.hints["twin_keys"] = [other.key for other in same if other is not node]


def _keep_automatic_rules(nodes: list[Node], all_rules: bool) -> None:
    """Tell each group which of Neutron's automatic rules the source still has; nothing when no rules cross."""
    rules = [n for n in nodes if n.kind.kind == "security_group_rule"]
    if not (rules or all_rules):
        return
    kept: dict[str, list[str]] = defaultdict(list)
    for rule in rules:
        group = rule.links.get("security_group_ref")
        params = rule.document["params"]
        remote = {
            "remote_group_id": rule.links.get("remote_group_ref") or (params.get("remote_group_ref") and "elsewhere"),
            "remote_address_group_id": params.get("remote_address_group_ref"),
        }
        name = automatic(group or "", {**params, **remote})
        if group and name:
            kept[group].append(name)
    for node in nodes:
        if node.kind.kind == "security_group":
            node.hints["automatic_rules"] = sorted(kept[node.key])


def _late(nodes: list[Node]) -> list[Node]:
    """A second step for fields that need other resources first (a router's routes need its interfaces)."""
    late = []
    for node in nodes:
        if not any(node.document["params"].get(name) for name in node.kind.late):
            continue
        others = {
            n.key: False for n in nodes if n.kind.kind in node.kind.late.values() and node.key in n.links.values()
        }
        late.append(Node(f"{node.key}/finish", "finish", node.kind, node.document, {**others, node.key: True}))
    return late


def _transfers(nodes: list[Node]) -> list[Node]:
    """A second step for what has a payload: its bytes."""
    return [
        Node(f"{node.key}/transfer", "transfer", node.kind, node.document, {node.key: True})
        for node in nodes
        if node.kind.has_payload(node.document)
    ]


def _await_payloads(workloads: list[Node], transfers: list[Node]) -> None:
    """A server boots from an image when its bytes are there, not only its description."""
    having = {node.key.removesuffix("/transfer") for node in transfers}
    for node in workloads:
        for key in [key for key in node.after if key in having]:
            node.after[f"{key}/transfer"] = True


def _workloads(moved: list[Node], index: _Index) -> list[Node]:
    """The steps of all workloads; one with a problem has a single step, which fails."""
    known: dict[str, Node] = {}
    for workload in moved:
        workload.group = workload.key
        stops = [] if workload.problem else _stops(workload, index)
        if twice := next((stop.key for stop in stops if stop.key in known), None):
            workload.problem = f"{twice.replace('/', ' ')} belongs to another document, too: give it another _info.id"
        found = [workload] if workload.problem else stops
        known |= {node.key: node for node in found}
    return list(known.values())


def _stops(workload: Node, index: _Index) -> list[Node]:
    """The steps of a workload; the first of them comes after whatever the workload refers to."""
    found = []
    for stop in stops_of(workload.key, workload.document):
        kind = KINDS["volume" if stop.subject.each == "segment" else stop.subject.each]
        node = Node(stop.key, stop.task.action, kind, stop.subject.document, group=workload.key)
        if stop.task.action == "ensure":
            _follow_links(node, index)
        if stop.task.action == "check":
            node.links, node.after = dict(workload.links), dict(workload.after)
        if stop.subject.warm and stop.task.action == "assign":
            node.hints["warm"] = True
        if stop.subject.each == "segment":
            node.hints |= {"first": stop.subject.first, "length": stop.subject.length}
        node.after |= dict.fromkeys(stop.after, True)
        found.append(node)
    return found


def _sorted(nodes: list[Node]) -> list[Node]:
    """Prerequisites first; among equals, in the order in which people expect the kinds."""
    by_key = {node.key: node for node in nodes}
    rank = {kind: number for number, kind in enumerate(order())}
    sorter = TopologicalSorter({node.key: node.after.keys() & by_key.keys() for node in nodes})
    try:
        sorter.prepare()
    except CycleError as error:
        cycle = error.args[1]
        for key in cycle:
            by_key[key].problem = f"it refers to itself in a circle: {' → '.join(cycle)}"
            by_key[key].after, by_key[key].links = {}, {}
        return _sorted(nodes)
    found: list[Node] = []
    while sorter.is_active():
        level = sorted(sorter.get_ready(), key=lambda key: rank[by_key[key].kind.kind])
        found += [by_key[key] for key in level]
        sorter.done(*level)
    return found
