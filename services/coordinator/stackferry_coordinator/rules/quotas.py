"""The first step of a migration of several things: does all that it makes fit into the destination? Pure.

Each server's own check knows only what is left when it's asked. This one is asked before anything is touched, in a
plan as well as in a run; in a run everything else comes after it, and is skipped when it fails. A plan also asks the
source whether its quotas allow the snapshots that servers are read from; in a run each server's own look does, before
it's stopped.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from stackferry import messages
from stackferry.messages import Message
from stackferry.resources.room import PLAIN, demand

from ..plan.ledger import Ledger
from ..plan.node import Node
from ..plan.step import Step
from ..plan.subjects import reading
from . import transitions

KEY, AT_SOURCE, ACTION, KIND = "room", "room-at-source", "room", "quota"
FEWEST = 2  # a single thing is told at its own step
MOST = 800_000  # bytes of demands; a message may have 1 MiB


def add(ledger: Ledger, nodes: list[Node]) -> None:
    """Add the step, if there's something for it to do."""
    heads = [node for node in nodes if _is_head(node) and not node.problem]
    plain = [node for node in nodes if _is_plain(node) and not node.problem]
    demands = [{**demand(node.document), "key": node.key, "source_id": node.source_id} for node in [*heads, *plain]]
    if len(demands) < FEWEST or len(json.dumps(demands)) > MOST:
        return
    ledger.keep_document(KEY, {"type": KIND, "params": {"demands": demands}})
    ledger.add(Step(KEY, ACTION, KIND, f"for {_count([*heads, *plain])} together", order=-1, state="ready"))


def add_at_source(ledger: Ledger, nodes: list[Node]) -> None:
    """Add the step of a plan that asks the source, before the servers that it's about are compared."""
    servers = [node for node in nodes if node.kind.kind == "server" and not node.problem and reading(node.document)]
    told = [{"key": node.key, "name": node.document["params"]["name"], "needed": reading(node.document)}
            for node in servers]  # fmt: skip
    if not servers or len(json.dumps(told)) > MOST:
        return
    ledger.keep_document(AT_SOURCE, {"type": KIND, "params": {"servers": told}})
    ledger.add(Step(AT_SOURCE, ACTION, KIND, f"to read {_count(servers)}", order=-1, state="ready"))


def refuse(ledger: Ledger, refused: dict[str, str]) -> None:
    """Say of servers in a plan why their source has no room to read them."""
    for key, reason in refused.items():
        step = ledger.step(key)
        if step is not None and (step.action, step.state) == ("compare", "waiting"):
            transitions.close(ledger, step, "failed", outcome="conflict", reason=reason)


def come_before(ledger: Ledger, node: Node) -> dict[str, bool]:
    """What of these comes before another step (key → hard): in a run before each, in a plan before servers only."""
    if ledger.head.mode == "run":
        return {} if any(node.after.values()) or ledger.step(KEY) is None else {KEY: True}
    if node.kind.kind == "server" and ledger.step(AT_SOURCE) is not None and reading(node.document):
        return {AT_SOURCE: False}
    return {}


def command(
    ledger: Ledger, step: Step, base: dict[str, Any], known: Callable[[str, str], str | None]
) -> tuple[type[Message], dict[str, Any], str]:
    """Return the command that asks for it; with what the servers are at the destination, as far as that's known."""
    message = messages.PerformAction
    if step.key == AT_SOURCE:
        data = _asked(ledger.head.request["source"], ledger.documents[AT_SOURCE]["params"])
        return message, {**base, "step": step.key, **data}, message.queues[0].name
    demands = [
        {**{n: v for n, v in one.items() if n not in ("key", "source_id")},
         **({"id": id_} if one["source_id"] and (id_ := known(one["kind"], one["source_id"])) else {})}
        for one in ledger.documents[KEY]["params"]["demands"]
    ]  # fmt: skip
    data = _asked(ledger.head.request["destination"], {"demands": demands})
    return message, {**base, "step": step.key, **data}, message.queues[1].name


def _asked(place: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    resource = place.get("project") or place["cloud"]
    return {"place": place, "action": ACTION, "kind": "project", "resource": resource, "known": known}


def _is_head(node: Node) -> bool:
    return node.kind.by_workload and node.key == (node.group or node.key) and node.action == "ensure"


def _is_plain(node: Node) -> bool:
    return node.kind.kind in PLAIN and node.action == "ensure" and not node.group


def _count(heads: list[Node]) -> str:
    counts = Counter(node.kind.kind if node.kind.by_workload else "other" for node in heads)
    others = "other resources" if counts.keys() - {"other"} else "resources"
    words = {"server": "servers", "volume": "volumes", "other": others}
    told = [f"{counts[word]} {many if counts[word] > 1 else many[:-1]}" for word, many in words.items() if counts[word]]
    return " and ".join(", ".join(told).rsplit(", ", 1))
