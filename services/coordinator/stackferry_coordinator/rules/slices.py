"""What concerns a whole migration is done in slices: so many steps, or workloads, in one transaction. Pure.

``head.agenda`` says what is being done, and up to where. Nothing is asked for until it's over: what a later slice
reopens, or gives up, isn't begun before. What comes in meanwhile counts as ever. Who wants something else of the
migration puts it in the agenda's place: each of these may begin where another one has been left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ..plan.ledger import Ledger, Step
from . import transitions

GO_ON = "go-on"  # the message by which the coordinator tells itself to
PLAIN = 500  # steps of no workload in a slice
GROUPS = 10  # workloads in a slice


@dataclass(frozen=True, slots=True)
class Work:
    """What is done with the steps of no workload, so many at once; with each workload; and when all are through.

    ``frees``: it has reopened steps, of which those that wait for nothing are freed once all of them are known.
    """

    with_plain: Callable[[Ledger, list[Step], float], None]
    with_group: Callable[[Ledger, str, float], None]
    frees: bool = False
    finish: Callable[[Ledger], None] = lambda ledger: None


WORKS: dict[str, Work] = {}


def begin(ledger: Ledger, what: str, now: float) -> None:
    """Do the first slice of this; a small migration has no more."""
    ledger.head = replace(ledger.head, agenda={"do": what, "since": now, "stage": "plain", "after": ""})
    go_on(ledger, {}, now)


def go_on(ledger: Ledger, _: object, now: float) -> None:
    """Do the next slice of what is being done, if there's anything."""
    agenda = ledger.head.agenda
    if agenda is None:
        return
    stage, last = _slice(ledger, WORKS[agenda["do"]], agenda["stage"], agenda["after"], now)
    if stage:
        ledger.head = replace(ledger.head, agenda={**agenda, "stage": stage, "after": last})
        return
    ledger.head = replace(ledger.head, agenda=None)
    WORKS[agenda["do"]].finish(ledger)


def _slice(ledger: Ledger, work: Work, stage: str, last: str, now: float) -> tuple[str, str]:
    """Do a slice; return where the next one begins, ("", "") when there's none. What is small goes on at once."""
    if stage == "plain":
        steps = ledger.plain(last, PLAIN)
        work.with_plain(ledger, steps, now)
        return ("plain", steps[-1].key) if len(steps) == PLAIN else _slice(ledger, work, "groups", "", now)
    if stage == "groups":
        groups = ledger.groups_after(last, GROUPS)
        for group in groups:
            work.with_group(ledger, group, now)
        return ("groups", groups[-1]) if len(groups) == GROUPS else _slice(ledger, work, "free", "", now)
    return ("free", "") if work.frees and transitions.free_some(ledger, PLAIN) else ("", "")
