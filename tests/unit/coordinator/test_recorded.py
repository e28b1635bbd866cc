"""Migrations that really happened fold to the state that they had: a change of the core must not forget them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from stackferry_coordinator.rules.reactions import opened, react

RECORDED = sorted((Path(__file__).parent / "recorded").glob("*.json"))


def folded(recording: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    (request,) = [data for name, data, _ in recording["messages"] if name == "request-migration"]
    ledger = opened(request)
    for name, data, at in recording["messages"]:
        react(ledger, name, data, at)
    steps = sorted([s.key, s.state, s.outcome, s.attempt, s.destination_id] for s in ledger.all())
    return [ledger.head.phase, ledger.head.counts], steps


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_recorded_migration_folds_to_its_state(path: Path):
    recording = json.loads(path.read_text())
    assert folded(recording) == (recording["head"], recording["steps"])


def test_there_are_recordings():
    assert len(RECORDED) >= 3
