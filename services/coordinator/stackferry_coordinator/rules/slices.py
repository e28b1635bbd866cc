"""What concerns a whole migration is done in slices: so many steps, or workloads, in one transaction. Pure.

``head.agenda`` says what is being done, and up to where. Nothing is asked for until it's over: what a later slice
adds, reopens, or gives up, isn't begun before. What comes in meanwhile counts as ever. Who wants something else of the
migration puts it in the agenda's place: each of these may begin where another one has been left. Only a plan is brought
to its end before (``then``): half of one could neither be carried out nor taken back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from stackferry.phases import UNPLANNED

from ..plan.ledger import Ledger
from ..plan.step import Step
from . import transitions

GO_ON = "go-on"  # the message by which the coordinator tells itself to
BROKEN = "go-on-failed"  # and that it can't
PLAIN = 500  # steps of no workload in a slice
GROUPS = 10  # workloads in a slice

#: does what comes after a place, "" the first; returns where the next slice begins, "" when there's none
Stage = Callable[[Ledger, str, float], str]


@dataclass(frozen=True, slots=True)
class Work:
    """What is done, stage by stage, and when all are through. *is_whole*: whatever people ask for meanwhile."""

    stages: dict[str, Stage]
    finish: Callable[[Ledger, float], None] = lambda ledger, now: None
    is_whole: bool = False


WORKS: dict[str, Work] = {}
CANCEL = "cancel"


def with_plain(do: Callable[[Ledger, list[Step], float], None]) -> Stage:
    """The stage that does something with the steps of no workload."""

    def stage(ledger: Ledger, after: str, now: float) -> str:
        steps = ledger.plain(after, PLAIN)
        do(ledger, steps, now)
        return steps[-1].key if len(steps) == PLAIN else ""

    return stage


def with_groups(do: Callable[[Ledger, str, float], None]) -> Stage:
    """The stage that does something with each workload."""

    def stage(ledger: Ledger, after: str, now: float) -> str:
        groups = ledger.groups_after(after, GROUPS)
        for group in groups:
            do(ledger, group, now)
        return groups[-1] if len(groups) == GROUPS else ""

    return stage


def free(ledger: Ledger, after: str, now: float) -> str:
    """The stage that frees what waits for nothing, once all is known that there is to wait for."""
    return "more" if transitions.free_some(ledger, PLAIN) else ""


def begin(ledger: Ledger, what: str, now: float) -> None:
    """Do the first slice of this; a small migration has no more."""
    agenda = ledger.head.agenda
    if agenda and WORKS[agenda["do"]].is_whole:
        ledger.head = replace(ledger.head, agenda={**agenda, "then": what})
        return
    stage = next(iter(WORKS[what].stages))
    ledger.head = replace(ledger.head, agenda={"do": what, "since": now, "stage": stage, "after": ""})
    go_on(ledger, {}, now)


def go_on(ledger: Ledger, _: object, now: float) -> None:
    """Do the next slice of what is being done, if there's anything; when a stage is through, the next at once."""
    agenda = ledger.head.agenda
    if agenda is None:
        return
    work = WORKS[agenda["do"]]
    stages = list(work.stages)
    for stage in stages[stages.index(agenda["stage"]) :]:
        if after := work.stages[stage](ledger, agenda["after"], now):
            ledger.head = replace(ledger.head, agenda={**agenda, "stage": stage, "after": after})
            return
        agenda = {**agenda, "after": ""}
    ledger.head = replace(ledger.head, agenda=None)
    work.finish(ledger, now)
    if then := agenda.get("then"):
        begin(ledger, then, now)


def broken(ledger: Ledger, data: dict[str, Any], now: float) -> None:
    """An error keeps a plan from being made whole: nothing is done of it."""
    agenda = ledger.head.agenda
    if agenda and WORKS[agenda["do"]].is_whole:
        reason = f"{UNPLANNED}: {data['reason']}"
        ledger.head = replace(ledger.head, agenda=None, phase="cancelling", paused=False, reason=reason)
        begin(ledger, CANCEL, now)
