"""Whose word counts about a step: a forged fact changes nothing. (Who is listened to: the simulators check each command.)"""

from __future__ import annotations

from typing import Any

import pytest
from stackferry_coordinator.senders import refused

from .test_transfers import ENSURE, MIGRATION, TRANSFER, Play

USERS = {"exporter", "importer", "transfer", "client", "operator", ""}


def believed(play: Play, name: str, **data: Any) -> set[str]:
    """The users whose word counts."""
    about = {"migration": MIGRATION, "attempt": 1, **data}
    return {user for user in USERS if refused(play.ledger, name, about, user) is None}


def test_the_importer_alone_says_what_was_made() -> None:
    play = Play()
    for outcome in ("created", "unchanged", "failed", "conflict"):
        assert believed(play, "step-ended", step=ENSURE, outcome=outcome, destination_id="x") == {"importer"}


@pytest.mark.parametrize("said", [{"destination_id": "x"}, {"also_made": ["x"]}, {"replaces": {"name": ["a", "b"]}}])
def test_nobody_else_names_anything_that_undo_would_remove(said: dict[str, Any]) -> None:
    play = Play()
    play.made()
    for outcome in ("created", "failed", "interrupted"):
        assert believed(play, "step-ended", step=TRANSFER, outcome=outcome, **said) == {"importer"}


def test_of_a_payload_the_exporter_says_that_it_can_be_had_and_the_importer_that_it_is_there() -> None:
    play = Play()
    play.made()
    assert believed(play, "image-offered", step=TRANSFER) == {"exporter"}
    assert believed(play, "step-ended", step=TRANSFER, outcome="done") == {"importer"}
    assert believed(play, "step-ended", step=TRANSFER, outcome="failed") == {"importer", "exporter"}
    assert believed(play, "step-claimed", step=TRANSFER) == {"importer", "exporter"}
    assert believed(play, "step-progressed", step=TRANSFER) == {"importer", "exporter"}


def test_the_exporter_alone_says_what_is_at_the_source() -> None:
    play = Play()
    for name in ("documents-exported", "export-ended"):
        assert believed(play, name) == {"exporter"}


def test_a_refusal_names_who_said_it_and_who_may() -> None:
    play = Play()
    about = {"step": ENSURE, "attempt": 1, "outcome": "failed"}
    assert refused(play.ledger, "step-ended", about, "transfer") == {
        "sender": "transfer has no say in this; importer has"
    }
    assert refused(play.ledger, "step-ended", {**about, "destination_id": "x"}, "") == {
        "destination_id": "nobody known makes nothing at a destination"
    }
