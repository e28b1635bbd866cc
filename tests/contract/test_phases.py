"""What can be asked of a migration in which phase."""

from __future__ import annotations

import pytest
from stackferry.phases import ACTIONS, FITS, PHASES, refusal


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_fits_its_phases_only(action: str, phase: str, paused: bool) -> None:
    fits = phase in FITS[action] and (action != "pause" or not paused) and (action != "resume" or paused)
    assert (refusal(phase, paused, action) is None) is fits


def test_every_phase_of_the_table_exists() -> None:
    assert {phase for phases in FITS.values() for phase in phases} <= set(PHASES)


def test_a_refusal_says_why() -> None:
    assert refusal("running", True, "pause") == "a migration that is running and paused can't be told to pause"
    assert refusal("done", False, "start") == "a migration that is done can't be told to start"
