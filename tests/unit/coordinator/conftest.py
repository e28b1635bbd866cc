"""Whatever a test plays: no step changes its state in a way that the table of states doesn't have."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from unittest import mock

import pytest
from stackferry_coordinator.plan.ledger import Ledger
from stackferry_coordinator.plan.states import STATES
from stackferry_coordinator.plan.step import Step

BEGIN = ("waiting", "ready")
put = Ledger._put


def checked(ledger: Ledger, step: Step) -> Step:
    """What the coordinator changes; a test may put a step where it needs it."""
    old, caller = ledger.steps.get(step.key), sys._getframe(2).f_code.co_filename
    if "stackferry_coordinator" in caller and (old is None or old.state != step.state):
        known = STATES[old.state].then if old else BEGIN
        assert step.state in known, f"{step.key}: {old.state if old else 'nothing'} → {step.state}"
    return put(ledger, step)


@pytest.fixture(autouse=True)
def only_known_changes() -> Iterator[None]:
    with mock.patch.object(Ledger, "_put", checked):
        yield
