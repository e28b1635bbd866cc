"""The order of an undo: the reverse of that in which things were made."""

from __future__ import annotations

import pytest
from stackferry_coordinator.plan.ledger import Head, Ledger
from stackferry_coordinator.plan.step import Step
from stackferry_coordinator.rules import undo


@pytest.mark.parametrize("hard", [True, False])
def test_what_came_later_goes_first_also_when_it_did_not_need_the_other(hard: bool) -> None:
    ledger = Ledger(Head("m", {}))
    ledger.link("router_interface/leg", "free_floating_ip/door", hard)
    removals = [
        ledger.add(Step(f"{key}/undo/x", "remove", destination_id="x"))
        for key in ("router_interface/leg", "free_floating_ip/door")
    ]
    undo.order(ledger, removals)
    leg, door = (ledger.steps[removal.key] for removal in removals)
    assert (door.state, leg.state, leg.waits) == ("ready", "waiting", 1)
    assert ledger.before(leg.key) == [(door.key, hard)]
