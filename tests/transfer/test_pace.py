"""The limit of bytes a second, in a time of its own."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stackferry_transfer.pump.pace import BURST, Pace


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.integers(1, 1 << 20), min_size=1, max_size=60), st.sampled_from([1e5, 1e6, 1e8]))
def test_what_went_stays_below_the_limit_at_any_time(sizes: list[int], rate: float) -> None:
    clock = Clock()
    pace, gone = Pace(rate, clock), 0
    for size in sizes:
        clock.now += pace.reserve(size)
        gone += size
        assert gone <= rate * (clock.now - 100 + BURST) * 1.000001
    assert gone >= rate * (clock.now - 100) * 0.999999  # and no slower than that


def test_connections_share_the_limit() -> None:
    clock = Clock()
    pace = Pace(1000, clock)
    assert [pace.reserve(1000), pace.reserve(1000), pace.reserve(500)] == [1, 2, 2.5]


def test_a_pause_is_good_for_a_short_burst_only() -> None:
    clock = Clock()
    pace = Pace(1000, clock)
    clock.now += 1000
    assert pace.reserve(1000) == 1 - BURST


def test_the_limit_can_change_and_end() -> None:
    clock = Clock()
    pace = Pace(10, clock)
    assert pace.reserve(1000) == 100
    pace.rate = 1000
    assert pace.reserve(1000) == 1
    pace.rate = None
    assert pace.reserve(1 << 40) == 0


def test_stop_ends_the_waiting() -> None:
    stop = threading.Event()
    stop.set()
    Pace(1e-3).wait(1000, stop)  # else 11 days


@pytest.mark.parametrize("rate", [0, -1])
def test_no_limit_stands_still(rate: float) -> None:
    with pytest.raises(ValueError):
        Pace(rate)
