"""Places on the conversion hosts: given to volumes, not to be had, or lost. Pure."""

from __future__ import annotations

from typing import Any

from . import moves, relocation
from .copies import destination_before, placed_before
from .ledger import Ledger

HOSTLESS = 60.0  # seconds that a volume waits while no conversion host answers


def assigned(ledger: Ledger, data: dict[str, Any], now: float) -> None:
    """A volume has a place on a conversion host of each cloud."""
    step = ledger.step(data["step"])
    if step is not None and step.state == "wanting":
        hosts = {name: data[name] for name in ("source_host", "destination_host")}
        before = destination_before(ledger, step)
        epoch = placed_before(ledger, step).hints.get("epoch", 0)
        if before not in (None, hosts["destination_host"]):  # the journal of what is there stayed on that host
            epoch += 1
        step = ledger.change(step, hints={**step.hints, "epoch": epoch})
        moves.close(ledger, step, "holding", outcome="done", results=hosts)


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
    if step.due is None:
        ledger.change(step, due=now + HOSTLESS, reason=data["reason"])
    elif step.due <= now:
        moves.close(ledger, step, "failed", outcome="missing", reason=data["reason"])
