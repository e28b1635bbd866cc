"""From documents to the graph of steps: what must come before what, resource by resource. Pure.

A reference leads to a document by the source's id when it's as exported, else by name; to nothing here when the
destination is expected to have it (an external network). Documents of one name follow one another, so that each
knows which resources of the destination the others have taken.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from typing import Any

from stackferry.resources import BY_TYPE, KINDS, order
from stackferry.resources.nested import beside_of, nested_in, source_ids
from stackferry.resources.security_group import automatic
from stackferry.resources.view import OWN
from stackferry.step_key import FINISH, TRANSFER, of_resource, of_task, read

from . import legs, subjects
from .at_once import few_at_once
from .itinerary import Stop
from .itinerary import stops as stops_of
from .node import Node
from .subjects import keys_of

Document = dict[str, Any]


def outline(
    documents: Iterable[tuple[str, Document]],
    payloads: bool = False,
    all_rules: bool = False,
    prune: bool = False,
    workloads: bool = False,
    compared: bool = False,
    late: bool = True,
    servers_at_once: int | None = None,
) -> Outline:
    """Return what these documents, each with the key of its step, are to become.

    *payloads*: with the steps that move the bytes of images, after all others. *workloads*: with every step that a
    server and its disks need, instead of one for each. *compared*: nothing will be made. *late*: with second steps for
    what needs other resources first. *all_rules*: the documents hold every rule of their security groups, so that a
    group without rules is one that has none. *prune*: rules are taken away from groups that are there already, though
    the files don't say where they come from. *servers_at_once*: see ``at_once``.
    """
    nodes = list({key: Node(key, "ensure", BY_TYPE[d["type"]], d) for key, d in documents}.values())
    index = _Index(nodes)
    rank = _ranks()
    for node in sorted(nodes, key=lambda node: rank[node.kind.kind]):  # which subnet a name means, its own link tells
        _follow_links(node, index)
    _chain_twins(nodes)
    legs.come_first(nodes)
    _keep_automatic_rules(nodes, all_rules, prune)
    transfers = _transfers(nodes) if payloads else []
    moved = [node for node in nodes if workloads and node.kind.by_workload]
    for node in nodes:
        if node.kind.by_workload and not (workloads or compared):
            node.problem = node.problem or "its disks can't be read: no source cloud is named"
        elif node.kind.by_workload:
            node.problem = node.problem or subjects.problem(node.document)
    plain = [node for node in nodes if not (workloads and node.kind.by_workload)]
    _await_payloads(moved, transfers)
    _tell_apart([node for node in nodes if node.kind.by_workload and not node.problem])
    for node in moved:
        node.group = node.key
    awaited = legs.awaited(nodes)
    for node in plain if compared else ():
        node.after = {**awaited.get(node.key, {}), **node.after}
    plain = _sorted(plain + (_late(plain) if late else [])) + transfers
    return Outline(plain, moved, index, awaited, few_at_once(moved, servers_at_once))


def keyed(documents: Iterable[Document]) -> Iterator[tuple[str, Document]]:
    """Yield each document whose type is known with the key of its step: its kind, and its id or else its place."""
    for number, document in enumerate(documents):
        if kind := BY_TYPE.get(document["type"]):
            yield of_resource(kind.kind, document.get("_info", {}).get("id") or f"#{number}"), document


class Outline:
    """What documents are to become: ``plain`` nodes, prerequisites first, and ``workloads``, in the documents' order.

    The steps of a workload are made when they're asked for: those of all would be half a million of 10,000 servers.
    """

    def __init__(
        self, plain: list[Node], workloads: list[Node], index: _Index, awaited: dict[str, dict[str, bool]],
        earlier: dict[str, str],
    ) -> None:  # fmt: skip
        self.plain, self.workloads = plain, workloads
        self._index, self._awaited, self._earlier = index, awaited, earlier
        self._checks = {node.key: of_task(node.key, "check") for node in workloads}
        self._known = {node.key for node in [*plain, *workloads]}
        self._known |= {self._checks[node.key] for node in workloads if not node.problem}
        for node in plain:
            node.after = self._of_these(node.after)

    def steps_of(self, workload: Node) -> list[Node]:
        """The steps of a workload, prerequisites first; one with a problem has a single step, which fails."""
        if workload.problem:
            return [workload]
        steps = [self._step(workload, stop) for stop in stops_of(workload.key, workload.document)]
        own = {step.key for step in steps}
        for step in steps:
            step.after = self._of_these(step.after, own)
        return steps

    def _of_these(self, after: dict[str, bool], own: Collection[str] = ()) -> dict[str, bool]:
        return {key: hard for key, hard in after.items() if key in own or key in self._known}

    def _step(self, workload: Node, stop: Stop) -> Node:
        """One step of a workload; the first of them comes after whatever the workload refers to.

        It also comes after the checks of namesakes, so that each knows which ones of the destination the others are.
        """
        kind = KINDS["volume" if stop.subject.each == "segment" else stop.subject.each]
        node = Node(stop.key, stop.task.action, kind, stop.subject.document, group=workload.key)
        if stop.task.action == "ensure":
            _follow_links(node, self._index)
        if stop.task.action == "check":
            node.links, node.planned = dict(workload.links), workload.planned
            node.after = {self._checks.get(key, key): hard for key, hard in workload.after.items()}
        if stop.subject.warm and stop.task.action == "assign":
            node.planned = replace(node.planned, warm=True)
        if stop.subject.each == "segment":
            node.planned = replace(node.planned, first=stop.subject.first, length=stop.subject.length)
        node.after |= dict.fromkeys(stop.after, True)
        if node.action == "check" or kind.kind == "floating_ip":
            node.after = {**self._awaited.get(workload.key, {}), **node.after}
        if node.key == of_task(workload.key, "stop") and (earlier := self._earlier.get(workload.key)):
            node.after.setdefault(earlier, False)
        return node


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
                    yield str(id_), (node, of_resource(kind.kind, id_))


def _follow_links(node: Node, index: _Index) -> None:
    ids, foreign = source_ids(node.kind, node.document), []
    links = {path: (ref, value) for path, ref, value in node.kind.links(node.document["params"])}
    for path in sorted(links, key=lambda path: _scope_of(links[path][0].kind) is not None):
        ref, value = links[path]
        beside = beside_of(path, _scope_of(ref.kind), links)
        within = _owner(node, beside, ids, links[beside][1]) if beside else None
        target, problem = _target(ref.kind, value, ids.get(path), index, within)
        if target is None and ref.kind == "free_port" and ids.get(path) in index.inside:
            server, port = index.inside[ids[path]]
            node.links[path], node.after[server.key] = port, True
        elif problem:
            node.problem = f"{path}: {problem}"
        elif target is not None and target is not node:
            node.links[path] = target.key
            node.after[target.key] = True
        elif target is None and path in ids and value.get("project_name") is None:
            foreign.append(path)
    if foreign:
        node.planned = replace(node.planned, foreign=tuple(foreign))


def _scope_of(kind: str) -> str | None:
    """The link that a name of this kind is unique within."""
    return KINDS[kind].scope if kind in KINDS else None


def _owner(node: Node, path: str, ids: dict[str, str], ref: dict[str, Any]) -> Any:
    """What a link leads to: a document, or else whatever tells it from others."""
    return node.links.get(path) or ids.get(path) or ref.get("name")


def _target(
    kind: str, ref: dict[str, Any], source_id: Any, index: _Index, within: Any
) -> tuple[Node | None, str | None]:
    """The document that a reference means; *within*: what owns it, where names are unique within that only."""
    name = ref.get("name") or ""
    by_id = index.by_id.get((kind, source_id)) if source_id else None
    named = index.by_name.get((kind, name), [])
    if source_id and ref.get("project_name") != OWN:  # what it means has no document, whatever the others are called
        named = [node for node in named if not node.source_id]
    if within is not None and (len(named) > 1 or "/" in str(within)):
        named = [node for node in named if _scope(node) == within]
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
    return _owner(node, link, source_ids(node.kind, node.document), node.document["params"].get(link) or {})


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
                others = tuple(other.key for other in same if other is not node)
                node.planned = replace(node.planned, twins=len(same), twin_keys=others)


def _keep_automatic_rules(nodes: list[Node], all_rules: bool, prune: bool) -> None:
    """Tell each group whose rules are here which of Neutron's automatic ones the source still has.

    They're taken away from a group that is there already (``prune``) only where the documents are a cloud's own, with
    ids: somebody else's file may hold a few rules that are to be added.
    """
    rules = [n for n in nodes if n.kind.kind == "security_group_rule" and n.links.get("security_group_ref")]
    kept: dict[str, list[str]] = defaultdict(list)
    ours: set[str] = set()
    for rule in rules:
        group = rule.links["security_group_ref"]
        kept[group] = kept[group]
        if (rule.document.get("_info") or {}).get("source_ids"):
            ours.add(group)
        params = rule.document["params"]
        remote = {
            "remote_group_id": rule.links.get("remote_group_ref") or (params.get("remote_group_ref") and "elsewhere"),
            "remote_address_group_id": params.get("remote_address_group_ref"),
        }
        name = automatic(group or "", {**params, **remote})
        if name:
            kept[group].append(name)
    for node in nodes:
        if node.kind.kind != "security_group":
            continue
        has_none = (node.document.get("_info") or {}).get("rules") == 0
        if node.key in kept or all_rules or has_none:
            pruned = prune or all_rules or has_none or node.key in ours
            node.planned = replace(node.planned, automatic_rules=tuple(sorted(kept[node.key])), prune=pruned)


def _late(nodes: list[Node]) -> list[Node]:
    """A second step for fields that need other resources first (a router's routes need its interfaces)."""
    late = []
    for node in nodes:
        if not any(node.document["params"].get(name) for name in node.kind.late):
            continue
        others = {
            n.key: False for n in nodes if n.kind.kind in node.kind.late.values() and node.key in n.links.values()
        }
        late.append(Node(of_task(node.key, FINISH), FINISH, node.kind, node.document, {**others, node.key: True}))
    return late


def _transfers(nodes: list[Node]) -> list[Node]:
    """A second step for what has a payload: its bytes."""
    return [
        Node(of_task(node.key, TRANSFER), TRANSFER, node.kind, node.document, {node.key: True})
        for node in nodes
        if node.kind.has_payload(node.document)
    ]


def _await_payloads(workloads: list[Node], transfers: list[Node]) -> None:
    """A server boots from an image when its bytes are there, not only its description."""
    having = {read(node.key).subject for node in transfers}
    for node in workloads:
        for key in [key for key in node.after if key in having]:
            node.after[of_task(key, TRANSFER)] = True


def _tell_apart(workloads: list[Node]) -> None:
    """What belongs to two workloads, or is one and belongs to another, would be moved twice: the other isn't moved."""
    known = {workload.key for workload in workloads}
    for workload in workloads:
        keys = set(keys_of(workload.key, workload.document)) - {workload.key}
        if twice := min(keys & known, default=None):
            what = f"{twice.replace('/', ' ')} belongs to another document, too"
            workload.problem = f"{what}: leave it out of one, or give it another _info.id"
        else:
            known |= keys


def _ranks() -> dict[str, int]:
    """Where people expect each kind."""
    return {kind: number for number, kind in enumerate(order())}


def _sorted(nodes: list[Node]) -> list[Node]:
    """Prerequisites first; among equals, in the order in which people expect the kinds."""
    by_key = {node.key: node for node in nodes}
    rank = _ranks()
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
