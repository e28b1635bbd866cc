"""From a request and its documents to steps, slice by slice. Pure.

All of the documents are needed to know what refers to what (the outline); the steps, of which a server alone has some
fifty, are added a few workloads at a time.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from stackferry.mapping import mapped
from stackferry.resources import BY_TYPE, KINDS
from stackferry.resources.room import demand
from stackferry.resources.server_fields import with_group
from stackferry.selection import filter_of, selects_kind

from ..plan import subjects
from ..plan.graph import Outline, keyed, outline
from ..plan.ledger import Head, Ledger
from ..plan.node import Node
from ..plan.states import OPEN
from ..plan.step import Asked, Step, Trouble
from . import quotas, slices, transitions

KEPT = 4  # outlines of migrations that are being planned at once, large ones

#: what the steps of a plan or an export do instead
ACTIONS = {("plan", "ensure"): "compare", ("export", "ensure"): "keep", ("export", "finish"): "keep"}


def plan_when_complete(ledger: Ledger, now: float) -> None:
    """Make the steps once every document is here."""
    head = ledger.head
    export = ledger.step("export")
    if head.agenda or head.phase != "new" or head.parts is None or head.got < head.parts:
        return
    if export is not None and (export.state != "done" or (head.parts and head.attempt != export.attempt)):
        return
    slices.begin(ledger, "plan", now)


def _outline(ledger: Ledger) -> Outline:
    """What is being planned; made anew from the documents where it wasn't kept since the last slice."""
    found = ledger.outlines.get(_tag(ledger))
    if found is None:
        while len(ledger.outlines) >= KEPT:
            del ledger.outlines[next(iter(ledger.outlines))]
        found = ledger.outlines[_tag(ledger)] = _made(ledger)
    return found


def _tag(ledger: Ledger) -> tuple[Any, ...]:
    head = ledger.head
    return head.id, head.created, head.mode, head.attempt, head.got  # an id may be used again for what is forgotten


def _made(ledger: Ledger) -> Outline:
    head = ledger.head
    if head.agenda and head.agenda["do"] == "start":
        documents = ledger.described()
    else:
        documents = list(keyed(mapped(d, head.request.get("mapping")) for d in ledger.all_documents(head.attempt)))
    selection, from_source = head.request.get("selection"), bool(head.request.get("source"))
    exported, files = from_source and not head.request.get("parts"), bool(head.request.get("image_blobs"))
    payloads = {"run": from_source or files, "export": files}.get(head.mode, False)
    rules = selects_kind(selection, "security_group_rule") and not filter_of(selection, "security_group_rule")
    params = head.request.get("migration_params")
    return outline(
        [(key, _as_asked(document, params)) for key, document in documents],
        payloads=payloads, all_rules=exported and rules, prune=bool(head.request.get("prune")),
        workloads=head.mode == "run" and from_source, compared=head.mode != "run", late=head.mode != "plan",
        servers_at_once=head.request.get("servers_at_once"),
    )  # fmt: skip


def _as_asked(document: dict[str, Any], params: dict[str, Any] | None) -> dict[str, Any]:
    """A workload's document in full, with the request's say on how a server is moved."""
    kind = BY_TYPE.get(document["type"])
    if kind is None or not kind.by_workload:
        return document
    document = subjects.whole(document)
    if kind is not KINDS["server"]:
        return document
    document = with_group(document)
    if not params:
        return document
    return {**document, "_migration_params": {**document["_migration_params"], **params}}


def _make_outline(ledger: Ledger, after: str, now: float) -> str:
    """Make the outline, of a large migration in a slice of its own."""
    found = _outline(ledger)
    is_large = len(found.plain) > slices.PLAIN or len(found.workloads) > slices.GROUPS
    return "made" if is_large and not after else ""


def _add_plain(ledger: Ledger, after: str, now: float) -> str:
    """Add some steps of no workload."""
    found, first = _outline(ledger), int(after or 0)
    if not first and ledger.head.mode == "plan" and ledger.head.request.get("source"):
        quotas.add_at_source(ledger, found.plain)
    if not first and ledger.head.mode != "export":
        quotas.add(ledger, [*found.plain, *found.workloads])
    for node in found.plain[first : first + slices.PLAIN]:
        _add(ledger, node)
    return _next(first + slices.PLAIN, found.plain)


def _add_workloads(ledger: Ledger, after: str, now: float) -> str:
    """Add the steps of some workloads."""
    found, first = _outline(ledger), int(after or 0)
    for workload in found.workloads[first : first + slices.GROUPS]:
        for node in found.steps_of(workload):
            _add(ledger, node)
    return _next(first + slices.GROUPS, found.workloads)


def _next(number: int, nodes: list[Node]) -> str:
    return str(number) if number < len(nodes) else ""


def _add(ledger: Ledger, node: Node) -> None:
    """Add a step; it waits for what isn't over, and for what later slices add."""
    head, after = ledger.head, _after(ledger, node)
    for key, hard in after.items():
        ledger.link(key, node.key, hard)
    ledger.keep_document(node.key, node.document)
    step = ledger.add(
        Step(
            node.key,
            ACTIONS.get((head.mode, node.action), node.action),
            node.kind.kind,
            node.kind.title(node.document["params"]),
            order=sum(head.counts.values()),
            waits=sum(1 for key in after if (one := ledger.step(key)) is None or one.state in OPEN),
            source_id=node.source_id,
            links=node.links,
            planned=replace(node.planned, copies=head.mode == "plan" and _is_copied(head, node)),
            group=node.group,
        )
    )
    if step.action == "keep":
        transitions.close(ledger, step, "done")


def _after(ledger: Ledger, node: Node) -> dict[str, bool]:
    """What a step comes after (key → hard); nothing does what will only be kept, or has a problem and fails."""
    if node.problem or ledger.head.mode == "export":
        return {}
    return {**node.after, **quotas.come_before(ledger, node)}


def _is_copied(head: Head, node: Node) -> bool:
    """Whether conversion hosts are needed for it."""
    if not head.request.get("source") or not node.kind.by_workload or node.group not in ("", node.key):
        return False
    needed = demand(node.document)
    return bool(needed.get("volumes") or needed.get("boot"))


def _planned(ledger: Ledger, now: float) -> None:
    if ledger.head.phase == "new":  # or it has been cancelled meanwhile
        ledger.head = replace(ledger.head, phase={"plan": "planning"}.get(ledger.head.mode, "running"))


def _start_plain(ledger: Ledger, after: str, now: float) -> str:
    """Carry out what was compared; add second steps, and the payloads' ways."""
    found, first = _outline(ledger), int(after or 0)
    _carry_out(ledger, found.plain[first : first + slices.PLAIN], also=() if first else (quotas.KEY,))
    return _next(first + slices.PLAIN, found.plain)


def _start_workloads(ledger: Ledger, after: str, now: float) -> str:
    """Add the steps of some workloads, of which a plan has one each."""
    found, first = _outline(ledger), int(after or 0)
    some = found.workloads[first : first + slices.GROUPS]
    _carry_out(ledger, [node for workload in some for node in found.steps_of(workload)])
    return _next(first + slices.GROUPS, found.workloads)


def _carry_out(ledger: Ledger, nodes: list[Node], also: Collection[str] = ()) -> None:
    """Reopen the steps of a plan, as what a run does (*also* these as they are), and add those that it didn't need."""
    compared = {node.key: node for node in nodes if node.action == "ensure" and node.group in ("", node.key)}
    ledger.bring(compared)
    for node in nodes:
        if node.key not in compared:
            _add(ledger, node)
            continue
        step, before = transitions.known(ledger, node.key), {key for key, _ in ledger.before(node.key)}
        for key, hard in _after(ledger, node).items():
            if key not in before:
                ledger.link(key, node.key, hard)
        own = {"links": node.links, "planned": node.planned} if node.group else {}
        nothing = {"asked": Asked(), "trouble": Trouble()}  # a comparison makes nothing
        ledger.change(step, action="ensure", outcome=None, destination_id=None, group=node.group, **nothing, **own)
    chosen = [*compared, *(key for key in also if ledger.step(key))]
    transitions.reopen_unfreed(ledger, dict.fromkeys(chosen, True))


slices.WORKS |= {
    "plan": slices.Work(
        {"outline": _make_outline, "plain": _add_plain, "workloads": _add_workloads, "free": slices.free},
        finish=_planned,
        is_whole=True,
    ),
    "start": slices.Work(
        {"outline": _make_outline, "plain": _start_plain, "workloads": _start_workloads, "free": slices.free},
        is_whole=True,
    ),
}
