"""A volume whose conversion host was lost goes to other hosts, and goes on there. Pure.

It's taken off both hosts first: what is detached can't be written to any more by an agent that was only thought to be
lost. Then it wants places again, is attached there, and what was not copied is. The journal stayed on the host of the
destination: where that's another one now, what is there is found out by reading it.
"""

from __future__ import annotations

from stackferry.step_key import move, of_task, read

from ..plan.itinerary import place_of, task_of
from ..plan.ledger import Ledger
from ..plan.states import OPEN
from ..plan.step import Step
from . import transitions


def relocate(ledger: Ledger, place: Step, lost: set[str]) -> None:
    """Move a volume that holds a place on a lost host; nothing when it's about to leave the hosts anyway, or is asked
    to be attached or detached right now (then it's asked again a little later)."""
    steps = [s for s in ledger.of_group(place.group) if s.key == s.of and place_of(s.key) == place.key]
    copies = [s for s in steps if s.action in ("copy", "verify") and s.state != "done"]
    if not (lost & set(place.results.values()) and copies) or transitions.failing(ledger, place.group):
        return
    attached = [s for s in steps if s.action == "attach" and _may_be_attached(ledger, s)]
    if _on_the_way(steps):
        return
    _take_off(ledger, place, attached)
    again = [place, *attached, *[s for s in copies if s.state != "waiting"]]
    transitions.reopen_keys(ledger, {s.key: s.state not in OPEN for s in again})


def _on_the_way(steps: list[Step]) -> bool:
    """Whether the volume is between hosts: a step that attaches or detaches it is asked, or about to be."""
    open_ = {"attach": ("ready", "asked"), "detach": ("ready", "asked", "resting")}
    return any(s.state in open_.get(s.action, ()) for s in steps)


def _may_be_attached(ledger: Ledger, attach: Step) -> bool:
    """Whether the volume is on its host, or may be: the cloud was asked for it, and didn't say that it is."""
    return attach.state == "resting" or (attach.state == "done" and not _detached(ledger, attach))


def _detached(ledger: Ledger, attach: Step) -> bool:
    """Whether what was attached has been detached since."""
    about = read(attach.key)
    detach = ledger.step(of_task(about.subject, about.task.replace("attach", "detach")))
    return detach is not None and detach.state == "done"


def _take_off(ledger: Ledger, place: Step, attached: list[Step]) -> None:
    """Detach it from the hosts that it's on; only then it may have a place elsewhere."""
    for step in attached:
        task = task_of(step.key)
        key = move(step.key, step.attempt)
        if task is None or ledger.step(key) is not None:
            continue
        ledger.add(
            Step(key, "detach", step.kind, step.name, step.order, "ready", group=step.group, source_id=step.source_id)
        )
        ledger.link(key, place.key, True)
