"""Batches that several connections share: each is done once, whoever breaks."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stackferry_transfer.copying.batches import BATCH, Work, all_of


def test_there_is_nothing_now_while_others_may_give_back() -> None:
    work = Work(iter([range(0, 5)]), threading.Event())
    assert work.take(wait=True) == range(0, 5)
    assert work.take(wait=False) is None
    assert not work.complete
    work.settle(2)
    work.give_back(range(2, 5))
    assert work.take(wait=True) == range(2, 5)
    work.settle(3)
    assert work.take(wait=True) is None
    assert work.complete


@pytest.mark.parametrize("end", ["given back", "settled", "closed"])
def test_who_waits_hears_of_the_end(end: str) -> None:
    work, got = Work(iter([range(0, 5)]), threading.Event()), []
    work.take(wait=True)
    thread = threading.Thread(target=lambda: got.append(work.take(wait=True)))
    thread.start()
    thread.join(0.05)
    assert thread.is_alive(), "it shouldn't have got anything yet"
    {"given back": lambda: work.give_back(range(1, 5)), "settled": lambda: work.settle(5), "closed": work.close}[end]()
    thread.join(30)
    assert got == [range(1, 5) if end == "given back" else None]


def test_nothing_is_taken_when_all_shall_stop() -> None:
    stop = threading.Event()
    work = Work(all_of(range(100)), stop)
    assert work.take(wait=True)
    stop.set()
    assert work.take(wait=True) is None
    assert work.closed


@given(st.integers(0, 500), st.integers(0, 500))
def test_batches_cover_a_range(start: int, length: int) -> None:
    batches = list(all_of(range(start, start + length)))
    assert [block for batch in batches for block in batch] == list(range(start, start + length))
    assert all(0 < len(batch) <= BATCH for batch in batches)
