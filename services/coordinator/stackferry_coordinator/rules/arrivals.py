"""What is told of a workload as a whole: that it has arrived, is given up, or was taken back; and when. Pure."""

from __future__ import annotations

from typing import Any

from ..plan.ledger import Ledger
from ..plan.step import verdict
from . import transitions

OVER = ("done", "failed")


def note(ledger: Ledger, now: float) -> None:
    """Keep the time at which workloads were over."""
    for key in sorted(ledger.heads):
        head = transitions.known(ledger, key)
        if head.state in OVER and "over" not in head.results:
            ledger.change(head, results={**head.results, "over": now})


def facts(ledger: Ledger) -> list[dict[str, Any]]:
    """Return the data of a WorkloadChanged for each workload of which there is something to tell."""
    found = []
    for key in sorted(ledger.heads):
        head = transitions.known(ledger, key)
        about = {
            "migration": ledger.head.id,
            "workload": key,
            "name": head.name,
            "state": verdict(head),
        }
        reason = head.reversal.failing if about["state"] == "failing" else head.reason
        found.append({**about, "reason": reason, "destination_id": head.destination_id, "results": head.results})
    return found
