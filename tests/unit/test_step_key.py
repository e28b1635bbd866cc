"""Keys of steps are read as they were made, whatever they are about."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stackferry import step_key
from stackferry_coordinator.plan.itinerary import WORKLOAD, task_of

IDS = st.text(st.characters(blacklist_characters="/", blacklist_categories=["Cs"]), min_size=1)
KINDS = st.sampled_from(["network", "volume", "server"])


@given(KINDS, IDS, st.sampled_from(["", "finish", "warm-copy"]), st.sampled_from(["", 0, 17]))
def test_a_key_is_read_as_it_was_made(kind: str, id_: str, task: str, number: int | str) -> None:
    subject = step_key.of_resource(kind, id_)
    key = step_key.of_task(subject, task, number if task else "")
    read = step_key.read(key)
    assert (read.kind, read.id, read.subject, read.of) == (kind, id_, subject, key)
    assert (read.task, read.number) == (task, str(number) if task else "")
    assert read.is_warm == (task == "warm-copy")
    assert (read.is_undo, read.takes_away, read.back) == (False, False, "")


@given(KINDS, IDS, st.sampled_from(["", "attach-source"]))
def test_what_takes_back_is_about_the_same_thing(kind: str, id_: str, task: str) -> None:
    key = step_key.of_task(step_key.of_resource(kind, id_), task)
    own = step_key.read(key)
    for made, is_undo, takes_away in (
        (step_key.undo(key, 3), True, True),
        (step_key.undo(key, "made/2"), True, True),
        (step_key.surplus(key, "made"), False, True),
        (step_key.move(key, 1), False, False),
    ):
        read = step_key.read(made)
        assert read[:3] == own[:3]
        assert (read.of, read.is_undo, read.takes_away) == (key, is_undo, takes_away)


@pytest.mark.parametrize("key", ["room", "room-at-source", "export"])
def test_what_is_about_no_resource_has_no_id(key: str) -> None:
    read = step_key.read(key)
    assert (read.subject, read.kind, read.id, read.task, read.of) == (key, key, "", "", key)


@pytest.mark.parametrize("task", WORKLOAD, ids=lambda task: task.id)
def test_each_line_of_the_itinerary_is_found_by_the_keys_of_its_steps(task: object) -> None:
    kind = "volume" if task.each == "segment" else task.each
    key = step_key.of_task(step_key.of_resource(kind, "x"), task.name, 4 if task.each == "segment" else "")
    found = task_of(key)
    assert found is not None
    assert (found.name, found.each) == (task.name, task.each)
    assert task_of(step_key.undo(key, 1)) == found
