"""What the source's resources have become: learned from what worked, for later migrations to that project."""

from __future__ import annotations

from typing import Any

import pytest
from stackferry_coordinator.plan.ledger import Ledger
from stackferry_coordinator.plan.step import Step
from stackferry_coordinator.rules.reactions import opened
from stackferry_coordinator.storage.identities import Known, learn
from stackferry_coordinator.transactions.shell import Shell

from .test_store import engine  # noqa: F401 - a fixture

SAID = {"step": "network/n1", "destination_id": "d1"}


def ledger(project: str | None = "p", **changes: Any) -> Ledger:
    found = opened({"migration": "m", "destination": {"cloud": "dst", "project": project}})
    step = {"action": "ensure", "kind": "network", "state": "done", "source_id": "n1", "destination_id": "d1"}
    found.add(Step("network/n1", **{**step, **changes}))
    return found


def learned(engine: Any, told: Ledger, message: str = "step-ended", said: dict[str, Any] = SAID) -> str | None:  # noqa: F811
    with engine.begin() as connection:
        upsert = Shell(engine, None).upsert  # type: ignore[arg-type]
        learn(connection, upsert, told, message, said)
        return Known(connection, ledger().head)("network", "n1")


@pytest.mark.parametrize("action", ["ensure", "compare"])
def test_what_was_made_or_found_is_known(engine: Any, action: str) -> None:  # noqa: F811
    assert learned(engine, ledger(action=action)) == "d1"
    assert learned(engine, ledger(destination_id="d2"), said={**SAID, "destination_id": "d2"}) == "d2"


@pytest.mark.parametrize(
    "changes",
    [{"state": state} for state in ("failed", "skipped", "asked", "resting", "removed")]
    + [{"action": "remove"}, {"source_id": None}, {"project": "another"}],
    ids=str,
)
def test_nothing_is_learned_from_what_did_not_work(engine: Any, changes: dict[str, Any]) -> None:  # noqa: F811
    assert learned(engine, ledger(**changes)) is None


def test_nothing_is_learned_from_other_messages_or_without_an_id(engine: Any) -> None:  # noqa: F811
    assert learned(engine, ledger(), "step-progressed") is None
    assert learned(engine, ledger(), said={"step": "network/n1"}) is None
    assert learned(engine, ledger(), said={**SAID, "step": "network/n2"}) is None
