"""How a segment is fetched: what is skipped, what is found out from the device, what a journal is believed about."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from stackferry_coordinator.plan.ledger import Head, Ledger
from stackferry_coordinator.plan.step import Copying, Planned, Step, concerns
from stackferry_coordinator.rules.fetch_modes import destination_before, fetch_mode

WARM, LAST = "volume/v/warm-copy/0", "volume/v/copy/0"


def ledger(epoch: int, last_epoch: int = 0, **passes: Any) -> Ledger:
    """A volume that was so often on other hosts during the passes, and for the last one; *passes*: what these noted."""
    found = Ledger(Head("m", {}))
    found.add(Step("volume/v/warm-assign", "assign", copying=Copying(epoch=epoch), results={"destination_host": "d1"}))
    found.add(Step("volume/v/assign", "assign", copying=Copying(epoch=last_epoch), planned=Planned(warm=True)))
    found.add(Step(WARM, "copy", **concerns(passes)))
    found.add(Step(LAST, "copy"))
    return found


@pytest.mark.parametrize(
    ("epoch", "passes", "mode"),
    [
        (0, {}, "copy"),  # the first pass finds nothing
        (1, {}, "rehash"),  # what another host has copied of it is found out
        (0, {"pass": 2}, "rehash"),  # nothing of it was read from the device yet
        (0, {"pass": 3, "read_in": 0}, "delta"),
        (1, {"pass": 3, "read_in": 0}, "rehash"),  # the journal stayed on the other host
        (1, {"pass": 4, "read_in": 1}, "delta"),
    ],
)
def test_a_pass(epoch: int, passes: dict[str, Any], mode: str) -> None:
    played = ledger(epoch, **passes)
    assert fetch_mode(played, played.steps[WARM]) == mode


@pytest.mark.parametrize(
    ("last_epoch", "passes", "mode"),
    [
        (0, {}, "rehash"),
        (0, {"pass": 2}, "rehash"),
        (0, {"pass": 2, "read_in": 0}, "delta"),
        (1, {"pass": 2, "read_in": 0}, "rehash"),
        (1, {"pass": 2, "read_in": 1}, "delta"),
    ],
)
def test_the_last_pass(last_epoch: int, passes: dict[str, Any], mode: str) -> None:
    played = ledger(0, last_epoch, **passes)
    assert fetch_mode(played, played.steps[LAST]) == mode


@pytest.mark.parametrize(("epoch", "mode"), [(0, "copy"), (1, "rehash")])
def test_a_cold_copy(epoch: int, mode: str) -> None:
    played = ledger(0, epoch)
    del played.steps[WARM], played.steps["volume/v/warm-assign"]
    assert fetch_mode(played, played.steps[LAST]) == mode
    verify = Step("volume/v/verify/0", "verify")
    assert fetch_mode(played, verify) == "verify"


def test_the_last_pass_goes_to_the_host_of_the_passes_before_until_it_has_one_of_its_own() -> None:
    played = ledger(0)
    place = played.steps["volume/v/assign"]
    assert destination_before(played, place) == "d1"
    assert destination_before(played, replace(place, results={"destination_host": "d2"})) == "d2"
