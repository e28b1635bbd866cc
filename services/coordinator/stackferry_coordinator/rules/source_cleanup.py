"""cleanup-source: steps that delete at the source what a migration has moved, apart from the workloads' own. Pure.

They belong to no workload's group: their failure must not take anything back, and neither ``retry`` nor ``undo`` may
ask for them again. Three for each workload: it's at the destination, it's at rest at the source, it's deleted there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from stackferry import messages
from stackferry.cleanup import ACTIONS, ARRIVED, AT_REST, CLEAN_UP, Candidate, candidates, deleted, step_keys
from stackferry.messages import Message
from stackferry.step_key import read

from ..plan.ledger import Ledger, results_of
from ..plan.step import Step
from . import transitions

ASKED = "clean-up-source"  # the message
#: what of a step decides
ROW = (
    "key",
    "action",
    "state",
    "outcome",
    "attempt",
    "group",
    "kind",
    "name",
    "source_id",
    "destination_id",
    "results",
)


def refused(ledger: Ledger, name: str, data: dict[str, Any]) -> dict[str, str] | None:
    """Return field → why a message makes no sense, about cleaning up or undoing what was cleaned up; else None."""
    if name == "control-migration" and data["action"] == "undo":
        why = deleted(_row(step) for step in ledger.all() if step.action == CLEAN_UP)
        return {"action": why} if why else None
    if name != ASKED:
        return None
    head = ledger.head
    if head.phase != "done" or head.paused:
        return {"migration": f"its source can be cleaned up when it is done, and it is {head.phase}"}
    known = set(ledger.groups())
    if unknown := [key for key in data["workloads"] if key not in known]:
        return {"workloads": f"{', '.join(unknown[:5])}: no workloads of this migration"}
    return None


def begin(ledger: Ledger, data: dict[str, Any], now: float) -> None:
    """Ask for what is to be deleted; workloads that this migration has not moved and verified are refused, each."""
    wanted, begun = set(data["workloads"]), False
    for candidate in candidates(_row(step) for step in ledger.all()):
        if candidate.key not in wanted or candidate.is_cleaned:
            continue
        if candidate.refusal:
            reason = {"outcome": "conflict", "reason": candidate.refusal}
            transitions.close(ledger, _step(ledger, candidate, CLEAN_UP), "failed", **reason)
        else:
            _ask(ledger, candidate)
            begun = True
    if begun:
        ledger.head = replace(ledger.head, phase="cleaning")


def _row(step: Step) -> dict[str, Any]:
    return {name: getattr(step, name) for name in ROW}


def _ask(ledger: Ledger, candidate: Candidate) -> None:
    """Add a workload's steps, or give those that were refused or failed another round."""
    fresh: dict[str, Any] = {"tries": 0, "due": None, "outcome": None, "reason": None}
    keys, looks = step_keys(candidate.key), [action for action in ACTIONS if action != CLEAN_UP]
    for action in looks:
        if ledger.step(keys[action]) is None:
            ledger.link(keys[action], keys[CLEAN_UP], True)
        ledger.change(_step(ledger, candidate, action), state="ready", **fresh)
    ledger.change(_step(ledger, candidate, CLEAN_UP), state="waiting", waits=len(looks), **fresh)


def _step(ledger: Ledger, candidate: Candidate, action: str) -> Step:
    key, order = step_keys(candidate.key)[action], transitions.known(ledger, candidate.key).order
    new = Step(key, action, candidate.kind, candidate.name, order, source_id=candidate.source_id)
    return ledger.step(key) or ledger.add(new)


def command(ledger: Ledger, step: Step, base: dict[str, Any]) -> tuple[type[Message], dict[str, Any], str]:
    """Return the command of one try."""
    workload = read(step.key).subject
    (candidate,) = candidates(_row(one) for one in ledger.of_group(workload))
    there = step.action == ARRIVED
    known: dict[str, Any] = {"kind": candidate.kind}
    if there:
        known["volumes"] = list(candidate.destination_volumes)
        known |= {"off": True} if results_of(ledger, f"{workload}/power").get("off") else {}
    else:
        known |= {**candidate.parts, "moved_at": candidate.moved_at, "has_boot_disk": candidate.has_boot_disk}
        if forwardings := _forwardings(ledger, workload):
            known["forwardings"] = forwardings
    if step.action == CLEAN_UP:
        looked = transitions.known(ledger, step_keys(workload)[AT_REST]).results
        known["kept"] = looked.get("kept") or {}
    data = {
        **base, "step": step.key, "action": step.action, "kind": candidate.kind, "known": known,
        "place": ledger.head.request["destination" if there else "source"],
        "resource": candidate.destination_id if there else candidate.source_id,
    }  # fmt: skip
    return messages.PerformAction, data, messages.PerformAction.queues[1 if there else 0].name


def _forwardings(ledger: Ledger, workload: str) -> list[str]:
    """The forwardings to a server's ports that were moved too, by their ids at the source."""
    found = [ledger.step(key) for key, _ in ledger.after(workload)]
    return [str(s.source_id) for s in found if s is not None and s.kind == "port_forwarding" and s.state == "done"]
