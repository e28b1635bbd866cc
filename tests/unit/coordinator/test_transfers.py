"""Transfers: when a payload is offered, fetched, spared, postponed, given up."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from stackferry import messages
from stackferry_coordinator.commands.resources import command
from stackferry_coordinator.plan.ledger import Ledger
from stackferry_coordinator.rules.reactions import Do, granted, opened, react
from stackferry_coordinator.rules.transitions import BACKOFF, SETTLE, TRIES

from .documents import image

MIGRATION = "6b6f4f0c-5d3c-4c59-9d0b-0b6f1c1f0001"
ENSURE, TRANSFER = "image/i-base", "image/i-base/transfer"
OFFER = {"address": "10.0.0.1:4321", "certificate": "PEM", "size": 3, "hash_algo": "sha512", "hash_value": "ab"}


class Play:
    """A migration of one image, told what happens."""

    def __init__(self, mode: str = "run", source: bool = True, size: int | None = 3) -> None:
        request = {"migration": MIGRATION, "destination": {"cloud": "dst"}, "mode": mode}
        request |= {"source": {"cloud": "src"}} if source else {"parts": 1}
        self.ledger: Ledger = opened(request)
        self.now = 1000.0
        self.tell("request-migration", **request)
        if source:
            self.tell("documents-exported", attempt=1, part=1, documents=[image("base", size=size)])
            self.due = self.tell("export-ended", attempt=1, parts=1, outcome="done")
        else:
            self.due = self.tell("submit-documents", part=1, documents=[image("base", size=size)])

    def tell(self, name: str, **data: Any) -> list[Do]:
        return react(self.ledger, name, {"migration": MIGRATION, **data}, self.now)

    def ended(self, key: str, outcome: str, attempt: int = 1, **more: Any) -> list[Do]:
        return self.tell("step-ended", step=key, attempt=attempt, outcome=outcome, **more)

    def made(self) -> list[Do]:
        return self.ended(ENSURE, "created", destination_id="d1", payload_missing=True)

    def offered(self, attempt: int = 1) -> list[Do]:
        return self.tell("image-offered", step=TRANSFER, attempt=attempt, **OFFER)

    def rest(self, seconds: float = SETTLE) -> list[Do]:
        self.now += seconds + 1
        return self.tell("tick")

    def command(self, do: Do) -> tuple[type[messages.Message], dict[str, Any]]:
        message, data, _ = command(self.ledger, do, lambda *_: None, ["importer's certificate"])
        return message, message.load_data(data)

    def step(self, key: str = TRANSFER) -> Any:
        return self.ledger.step(key)


def test_one_try_offers_at_the_source_and_fetches_at_the_destination() -> None:
    play = Play()
    assert play.due == [Do(ENSURE, 1)]
    (offer,) = play.made()
    message, data = play.command(offer)
    assert message is messages.OfferImage
    assert (data["source"], data["image"]) == ({"cloud": "src"}, "i-base")
    assert data["certificates"] == ["importer's certificate"]
    (fetch,) = play.offered()
    message, data = play.command(fetch)
    assert message is messages.FetchImage
    assert (data["destination"], data["image"], data["attempt"]) == ({"cloud": "dst"}, "d1", 1)
    assert {name: data[name] for name in OFFER} == OFFER
    assert play.ended(TRANSFER, "created", destination_id="d1") == []
    assert (play.step().state, play.ledger.head.phase) == ("done", "done")


def test_the_id_is_chosen_once_and_anew_when_what_was_made_is_gone() -> None:
    play = Play()
    _, first = play.command(play.due[0])
    _, again = play.command(play.due[0])
    assert first["hints"]["new_id"] == again["hints"]["new_id"]
    assert uuid.UUID(first["hints"]["new_id"])
    play.made()
    play.ended(TRANSFER, "missing", reason="it's gone")
    assert (play.step().state, play.ledger.head.phase) == ("failed", "done")
    (ensure,) = play.tell("control-migration", action="retry")
    assert ensure == Do(ENSURE, 2)
    assert play.command(ensure)[1]["hints"]["new_id"] != first["hints"]["new_id"]


def test_a_payload_that_is_there_is_not_read() -> None:
    play = Play()
    assert play.ended(ENSURE, "unchanged", destination_id="d1") == []
    assert (play.step().state, play.step().outcome, play.ledger.head.phase) == ("done", "unchanged", "done")


def test_a_failed_image_has_no_transfer() -> None:
    play = Play()
    play.ended(ENSURE, "conflict", reason="another payload")
    assert (play.step().state, play.ledger.head.phase) == ("skipped", "done")


@pytest.mark.parametrize("stale", [{"attempt": 2}, {"attempt": 0}])
def test_an_offer_of_another_try_leads_to_nothing(stale: dict[str, int]) -> None:
    play = Play()
    play.made()
    assert play.offered(**stale) == []


def test_an_offer_comes_too_late_when_the_try_is_over_or_nobody_wants_it() -> None:
    play = Play()
    play.made()
    play.ended(TRANSFER, "interrupted", retryable=True)
    assert play.offered() == []
    assert play.rest() == [Do(TRANSFER, 2)]
    play.tell("control-migration", action="cancel")
    assert play.offered(attempt=2) == []


def test_the_importer_has_the_last_word() -> None:
    play = Play()
    play.made()
    play.offered()
    play.ended(TRANSFER, "interrupted", retryable=True, reason="the exporter saw the connection break")
    play.ended(TRANSFER, "failed", reason="no quota")
    assert (play.step().state, play.step().reason) == ("failed", "no quota")


def test_a_try_that_nobody_can_serve_rests_and_is_not_counted() -> None:
    play = Play()
    play.made()
    for attempt in range(1, 20):
        tell = {"step": TRANSFER, "attempt": attempt, "reason": "no importer"}
        assert play.tell("postponed", **tell) == []
        assert play.step().state == "resting"
        assert play.rest() == [Do(TRANSFER, attempt + 1)]


def lose(play: Play, tries: int) -> None:
    """Let so many tries of the transfer be lost."""
    for attempt in range(1, tries + 1):
        play.ended(TRANSFER, "interrupted", attempt=attempt, retryable=True, reason="its worker was lost")
        play.rest(BACKOFF[-1])


@pytest.mark.parametrize("tries", [1, TRIES])
def test_a_payload_that_arrives_after_all_is_there(tries: int) -> None:
    play = Play()
    play.made()
    lose(play, tries)
    assert play.step().state == ("asked" if tries < TRIES else "failed")
    play.ended(TRANSFER, "created", destination_id="d1")
    assert (play.step().state, play.step().reason, play.ledger.head.phase) == ("done", None, "done")


@pytest.mark.parametrize(
    "late", [{"destination_id": "d0"}, {"destination_id": None}, {"destination_id": "d1", "outcome": "failed"}]
)
def test_what_else_comes_late_changes_nothing(late: dict[str, Any]) -> None:
    play = Play()
    play.made()
    play.ended(TRANSFER, "interrupted", retryable=True)
    play.rest()
    before = play.step()
    assert play.ended(TRANSFER, **{"outcome": "created", **late}) == []
    assert play.step() == before


def test_a_payload_that_was_given_up_does_not_hold_up_undo() -> None:
    play = Play()
    play.made()
    lose(play, TRIES)
    assert (play.step().state, play.step().outcome) == ("failed", "interrupted")
    (remove,) = play.tell("control-migration", action="undo")
    play.ended(remove.key, "removed")
    assert (play.ledger.head.phase, play.ledger.head.reason) == ("undone", None)


def test_undo_does_not_begin_a_payload_again() -> None:
    play = Play()
    play.made()
    play.tell("step-claimed", step=TRANSFER, attempt=1, token="t", again=False)
    play.offered()
    play.tell("control-migration", action="undo")
    assert play.ledger.head.phase == "undoing"
    (remove,) = play.ended(TRANSFER, "interrupted", retryable=True)
    assert play.step().state == "skipped"
    assert play.command(remove)[0] is messages.RemoveResource


def test_a_payload_is_claimed_by_its_exporter_and_kept_alive_by_its_importer() -> None:
    play = Play()
    play.made()
    claim = {"step": TRANSFER, "attempt": 1, "token": "t", "again": False}
    play.tell("step-claimed", **claim)
    assert granted(play.ledger, claim)
    for _ in range(10):
        play.now += 200
        play.tell("step-progressed", step=TRANSFER, attempt=1, done=1, total=3)
        assert play.tell("tick") == []
    play.now += 301
    play.tell("tick")
    assert play.step().reason == "its worker fell silent"


@pytest.mark.parametrize(("mode", "source", "size"), [("run", False, 3), ("plan", True, 3), ("run", True, None)])
def test_where_no_payload_crosses_there_is_no_transfer(mode: str, source: bool, size: int | None) -> None:
    play = Play(mode, source, size)
    play.ended(ENSURE, "created", destination_id=None if mode == "plan" else "d1", payload_missing=True)
    assert play.step() is None
    assert (play.step(ENSURE).notes != ()) == (not source)


def test_a_plan_that_is_started_moves_payloads() -> None:
    play = Play("plan")
    play.ended(ENSURE, "created", payload_missing=True)
    assert play.ledger.head.phase == "planned"
    (ensure,) = play.tell("control-migration", action="start")
    (offer,) = play.ended(ENSURE, "created", attempt=ensure.attempt, destination_id="d1", payload_missing=True)
    assert play.command(offer)[0] is messages.OfferImage
