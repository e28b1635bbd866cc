"""Places on the conversion hosts: given to volumes, not to be had, or lost. Pure."""

from __future__ import annotations

from typing import Any

from ..plan.ledger import Ledger
from ..plan.step import but
from . import relocation, transitions
from .fetch_modes import destination_before, placed_before

HOSTLESS = 60.0  # seconds that a volume waits while no conversion host answers
LOOKED = 15.0  # seconds without a look after which the wait begins anew: hosts answered, or nobody was there to look


def assigned(ledger: Ledger, data: dict[str, Any], now: float) -> None:
    """A volume has a place on a conversion host of each cloud."""
    step = ledger.step(data["step"])
    if step is not None and step.state == "wanting":
        hosts = {name: data[name] for name in ("source_host", "destination_host")}
        before = destination_before(ledger, step)
        epoch = placed_before(ledger, step).copying.epoch
        if before not in (None, hosts["destination_host"]):  # the journal of what is there stayed on that host
            epoch += 1
        step = ledger.change(step, copying=but(step.copying, epoch=epoch))
        transitions.close(ledger, step, "holding", outcome="done", reason=None, results=hosts)


def host_lost(ledger: Ledger, data: dict[str, Any], now: float) -> None:
    """A conversion host has been silent for long, and another one can do its work."""
    step = ledger.step(data["step"])
    if step is not None and step.state == "holding":
        relocation.relocate(ledger, step, set(data["hosts"]))


def unassignable(ledger: Ledger, data: dict[str, Any], now: float) -> None:
    """No conversion host answers that could take a volume: it waits a little, since one may be starting."""
    step = ledger.step(data["step"])
    if step is None or step.state != "wanting":
        return
    looked = step.copying.looked
    if step.due is not None and looked is not None and now - looked <= LOOKED:
        if step.due <= now:
            transitions.close(ledger, step, "failed", outcome="missing", reason=data["reason"])
            return
        if now - looked < LOOKED / 3:
            return
    else:
        step = ledger.change(step, due=now + HOSTLESS, reason=data["reason"])
    ledger.change(step, copying=but(step.copying, looked=now))
