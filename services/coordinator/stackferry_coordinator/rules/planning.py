"""From a request and its documents to steps. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from stackferry.mapping import mapped
from stackferry.resources import BY_TYPE, KINDS
from stackferry.resources.room import demand
from stackferry.resources.server_fields import with_group
from stackferry.selection import filter_of, selects_kind

from ..plan import subjects
from ..plan.graph import build
from ..plan.ledger import COPIES, Head, Ledger, Step
from ..plan.node import Node
from . import quotas, transitions

#: what the steps of a plan or an export do instead
ACTIONS = {("plan", "ensure"): "compare", ("export", "ensure"): "keep", ("export", "finish"): "keep"}


def plan_when_complete(ledger: Ledger) -> None:
    """Make the steps once every document is here."""
    head = ledger.head
    export = ledger.step("export")
    if head.phase != "new" or head.parts is None or head.got < head.parts:
        return
    if export is not None and (export.state != "done" or (head.parts and head.attempt != export.attempt)):
        return
    _plan(ledger)


def _nodes(head: Head, documents: list[dict[str, Any]]) -> list[Node]:
    """The graph of these documents, as far as the request wants it."""
    selection, from_source = head.request.get("selection"), bool(head.request.get("source"))
    exported, files = from_source and not head.request.get("parts"), bool(head.request.get("image_blobs"))
    payloads = {"run": from_source or files, "export": files}.get(head.mode, False)
    rules = selects_kind(selection, "security_group_rule") and not filter_of(selection, "security_group_rule")
    moved = head.mode == "run" and from_source
    documents = [_as_asked(document, head.request.get("migration_params")) for document in documents]
    return build(
        documents, payloads=payloads, all_rules=exported and rules, prune=bool(head.request.get("prune")),
        workloads=moved, compared=head.mode != "run", servers_at_once=head.request.get("servers_at_once"),
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


def _plan(ledger: Ledger) -> None:
    """Turn the documents into steps."""
    head = ledger.head
    ledger.all()  # or each new step would be looked for in the database
    nodes = _nodes(head, [mapped(d, head.request.get("mapping")) for d in ledger.all_documents(head.attempt)])
    if head.mode == "plan":
        nodes = [node for node in nodes if node.action == "ensure"]
        if head.request.get("source"):
            quotas.add_at_source(ledger, nodes)
    if head.mode != "export":
        quotas.add(ledger, nodes)
    if head.mode == "run":
        quotas.comes_first(ledger, nodes)
    keys = {node.key for node in nodes} | {quotas.KEY, quotas.AT_SOURCE}
    for number, node in enumerate(nodes):
        after = {key: hard for key, hard in node.after.items() if key in keys}
        for key, hard in after.items():
            ledger.link(key, node.key, hard)
        ledger.keep_document(node.key, node.document)
        ledger.add(
            Step(
                node.key,
                ACTIONS.get((head.mode, node.action), node.action),
                node.kind.kind,
                node.kind.title(node.document["params"]),
                number,
                waits=len(after),
                source_id=node.source_id,
                links=node.links,
                hints=node.hints | ({COPIES: True} if head.mode == "plan" and _is_copied(head, node) else {}),
                group=node.group,
            )
        )
    ledger.head = replace(ledger.head, phase={"plan": "planning"}.get(head.mode, "running"))
    for node in nodes:
        step = transitions.known(ledger, node.key)
        if step.action == "keep":
            transitions.close(ledger, step, "done")
        elif node.problem:
            transitions.close(ledger, step, "failed", outcome="conflict", reason=node.problem)
        elif step.state == "waiting" and step.waits == 0:
            transitions.free(ledger, step)


def _is_copied(head: Head, node: Node) -> bool:
    """Whether conversion hosts are needed for it."""
    if not head.request.get("source") or not node.kind.by_workload or node.group not in ("", node.key):
        return False
    needed = demand(node.document)
    return bool(needed.get("volumes") or needed.get("boot"))


def add_late_steps(ledger: Ledger, documents: list[dict[str, Any]]) -> None:
    """Add the steps that a plan doesn't need and a run does, and what each of the others comes after then."""
    nodes = _nodes(ledger.head, documents)
    quotas.comes_first(ledger, nodes)
    for node in nodes:
        known, before = ledger.step(node.key), {key for key, _ in ledger.before(node.key)}
        for key, hard in node.after.items():
            if key not in before:
                ledger.link(key, node.key, hard)
        if known is None:
            ledger.keep_document(node.key, node.document)
            title, order = node.kind.title(node.document["params"]), len(ledger.all())
            ledger.add(
                Step(node.key, node.action, node.kind.kind, title, order, source_id=node.source_id,
                     links=node.links, hints=node.hints, group=node.group)
            )  # fmt: skip
        elif node.group:
            ledger.change(known, group=node.group, links=node.links, hints=node.hints)
