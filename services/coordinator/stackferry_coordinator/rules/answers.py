"""How a try ended, and what that means for its step and for what comes after it. Pure.

Replies carry the attempt. A late one changes nothing, but what it made is remembered: if another try made the same once
more, the surplus is removed. And a payload that has arrived is there, whichever try brought it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from stackferry.messages import GOOD
from stackferry.step_key import TRANSFER, of_task, read, surplus

from ..plan.ledger import Ledger, results_of
from ..plan.step import Step, but, over_it
from ..plan.subjects import RUNS
from . import agreement, quotas, transitions
from .fetch_modes import epoch_of


def ended(ledger: Ledger, data: dict[str, Any], now: float) -> None:
    """A try is over, as its worker says."""
    step = ledger.step(data["step"])
    if step is None or data["attempt"] > step.attempt:
        return
    made = [data.get("destination_id"), *(data.get("also_made") or ())] if data["outcome"] == "created" else []
    if new := [id_ for id_ in made if id_ and id_ not in step.made and step.action == "ensure"]:
        step = ledger.change(step, made=(*step.made, *new))
        if step.group:
            ledger.moved.add(step.group)
        if ledger.head.phase == "undone":
            ledger.head = replace(ledger.head, phase="undoing")
    current = data["attempt"] == step.attempt
    waiting = step.state == "asked" or (step.state == "resting" and data["outcome"] != "interrupted")
    if not (current and waiting) and not _arrived(ledger, step, data):  # late: another try answers for it, or has
        _remove_surplus(ledger, step)
        return
    if (judged := agreement.judged(ledger, step, data, now)) is None:
        return
    data, step = judged, transitions.known(ledger, step.key)
    ledger.counted.append(data)
    if data["outcome"] == "differs":
        _record(ledger, step, data)
    elif data["outcome"] in GOOD:
        succeeded(ledger, step, data, now)
    elif data["outcome"] == "interrupted" or data.get("retryable") or transitions.given_up(ledger, step):
        transitions.again(ledger, step, data, now)
    else:
        transitions.close(ledger, step, "failed", outcome=data["outcome"], reason=data.get("reason"), **_details(data))


def served(ledger: Ledger, data: dict[str, Any], now: float) -> None:
    """A source says what it has answered in a try of a segment."""
    if waiting := agreement.served(ledger, data):
        ended(ledger, waiting, now)


def _record(ledger: Ledger, step: Step, data: dict[str, Any]) -> None:
    """Keep what an update would replace, and ask for it again: nothing is written that undo could not bring back."""
    if transitions.ends_here(ledger, step):
        transitions.close(ledger, step, "skipped", reason="nothing was changed")
        return
    if step.tries >= 2 * transitions.TRIES:
        names = ", ".join(sorted(data["replaces"]))
        reason = f"somebody else keeps changing it ({names}), between our looks at it"
        transitions.close(ledger, step, "failed", outcome="conflict", reason=reason, **_details(data))
        return
    known, id_ = step.asked.replaced, data["destination_id"]
    replaced = {**known, id_: {**known.get(id_, {}), **data["replaces"]}}
    asked = but(step.asked, first_asked=None, replaced=replaced)  # nothing was asked of a cloud
    ledger.change(step, state="ready", due=None, asked=asked, changes=tuple(data.get("changes") or ()))


def _arrived(ledger: Ledger, step: Step, data: dict[str, Any]) -> bool:
    """Whether a payload is there after all: a try that was taken for lost may have gone on."""
    open_ = step.state in ("ready", "asked", "resting", "failed")
    if step.action != "transfer" or not open_ or data["outcome"] not in GOOD:
        return False
    owner = ledger.step(read(step.key).subject)
    return owner is not None and (owner.state, owner.destination_id) == ("done", data.get("destination_id"))


def _details(data: dict[str, Any]) -> dict[str, Any]:
    return {
        "notes": tuple(data.get("notes") or ()),
        "changes": tuple(data.get("changes") or ()),
        "seconds": data.get("seconds") or 0.0,
    }


def succeeded(ledger: Ledger, step: Step, data: dict[str, Any], now: float) -> None:
    """The step has what it's for."""
    outcome = data["outcome"]
    if step.made and outcome in ("unchanged", "updated") and data.get("destination_id") in step.made:
        outcome = "created"  # an earlier try of this step made it, and this one found it
    elif outcome == "unchanged" and data.get("destination_id") in step.asked.replaced:
        outcome, data = "updated", {**data, "changes": step.changes}  # likewise
    if step.action == "remove":
        notes = tuple(data.get("notes") or ())
        transitions.close(ledger, step, "removed", outcome=outcome, reason=None, notes=notes)
        return
    if step.compensates:
        transitions.close(ledger, step, "done", outcome=outcome, reason=None)
        return
    results = {**step.results, **(data.get("results") or {})}
    forgets = over_it(step)
    if step.action == "copy" and step.copying.mode == "rehash":
        forgets["copying"] = replace(forgets["copying"], read_in=epoch_of(ledger, step))
    if step.action == "wait":
        results["down"] = now
    if step.group == step.key and step.kind == "server" and step.action == "ensure":
        results |= _downtime(ledger, step.group, now)
    there = data.get("destination_id") or step.destination_id
    step = ledger.change(step, destination_id=there, results=results, **forgets)
    details = _details(data)
    if _somebody_elses(ledger, step):
        reason = f"volume {step.destination_id} was there before: copying would overwrite it"
        transitions.close(ledger, step, "failed", outcome="conflict", reason=reason, **details)
        return
    if data.get("payload_missing") and not any(map(ledger.head.request.get, ("source", "image_blobs"))):
        details["notes"] += ("its payload did not cross: no source cloud and no image_blobs were named",)
    elif not data.get("payload_missing"):
        _spare_transfer(ledger, step)
    if step.action == "check" and outcome != "created":
        _spare_workload(ledger, step, outcome)
    if step.key == quotas.AT_SOURCE:
        quotas.refuse(ledger, results.get("refused") or {})
    transitions.close(ledger, step, "done", outcome=outcome, reason=None, **details)
    _remove_surplus(ledger, transitions.known(ledger, step.key))


def _spare_workload(ledger: Ledger, check: Step, outcome: str) -> None:
    """It's at the destination already: nothing of it is moved, at most what describes it is brought up to date."""
    for step in ledger.fresh(ledger.of_group(check.group)):
        if step.key == check.group and outcome == "updated":
            ledger.change(step, destination_id=check.destination_id)
        elif step.key != check.key:
            there = check.destination_id if step.key == check.group else None
            transitions.close(ledger, step, "done", outcome="unchanged", reason=None, destination_id=there)


def _somebody_elses(ledger: Ledger, step: Step) -> bool:
    """Whether the disk that was found to write to is none that this migration has made."""
    disk = bool(step.group) and (step.action, step.kind) == ("ensure", "volume")
    check = ledger.step(of_task(step.key, "check"))
    only_described = check is not None and check.outcome == "updated"  # nothing is copied
    return disk and not only_described and step.destination_id is not None and step.destination_id not in step.made


def _spare_transfer(ledger: Ledger, step: Step) -> None:
    """The payload is there already: nobody needs to read it."""
    transfer = None if step.group else ledger.step(of_task(step.key, TRANSFER))  # workloads have none
    if transfer is not None and transfer.state == "waiting":
        transitions.close(
            ledger, transfer, "done", outcome="unchanged", reason=None, destination_id=step.destination_id
        )


def _remove_surplus(ledger: Ledger, step: Step) -> None:
    """Remove what more than one try made: it's ours, and nobody refers to it."""
    if step.state != "done" or step.action != "ensure":
        return
    for id_ in step.made:
        key = surplus(step.key, id_)
        if id_ != step.destination_id and ledger.step(key) is None:
            ledger.add(
                Step(key, "remove", step.kind, step.name, step.order, "ready", destination_id=id_, group=step.group)
            )
            if ledger.head.phase == "done":
                ledger.head = replace(ledger.head, phase="running")


def _downtime(ledger: Ledger, group: str, now: float) -> dict[str, Any]:
    """Return since when a server was stopped at the source, and for how many seconds one that ran was in neither
    cloud, once it runs at the destination."""
    stop, cutover = (ledger.step(of_task(group, name)) for name in ("stop", "cutover"))
    looks = [step for name in ("look-again", "look") if (step := ledger.step(of_task(group, name)))]
    ran = next((step.results["status"] for step in looks if step.results.get("status")), None) == RUNS
    found: dict[str, Any] = {}
    if stop is not None and stop.asked.since is not None:
        down = results_of(ledger, of_task(group, "wait")).get("down", stop.asked.since)
        found["stopped"] = stop.asked.since
        found |= {"downtime": round(now - down, 1)} if ran else {}
    if cutover is not None and cutover.results.get("passes"):
        found["passes"] = cutover.results["passes"] + 1
    return found
