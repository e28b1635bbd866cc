"""A step's concerns are read back as they were stored, whatever they say."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from stackferry_coordinator.plan.step import CONCERNS, Planned, Step, concerns, stored

TEXT = st.text(max_size=5)
BY_TYPE = {
    "bool": st.booleans(), "int": st.integers(0, 1 << 50), "str | None": st.none() | TEXT,
    "float | None": st.none() | st.floats(0, 1e10), "int | None": st.none() | st.integers(0, 9),
    "tuple[str, ...]": st.lists(TEXT).map(tuple), "tuple[str, ...] | None": st.none() | st.lists(TEXT).map(tuple),
    "dict[str, Any]": st.dictionaries(TEXT, TEXT), "dict[str, Any] | None": st.none() | st.dictionaries(TEXT, TEXT),
}  # fmt: skip


def anything(concern: str) -> st.SearchStrategy[Any]:
    type_ = CONCERNS[concern]
    return st.builds(type_, **{name: BY_TYPE[said] for name, said in type_.__annotations__.items()})


@given(st.builds(dict, **{concern: anything(concern) for concern in CONCERNS}))
def test_what_is_stored_is_read_back(said: dict[str, Any]) -> None:
    step = Step("volume/v", "ensure", **said)
    row = json.loads(json.dumps(stored(step)))
    assert Step("volume/v", "ensure", **concerns(row)) == step


def test_no_two_fields_are_stored_under_one_name() -> None:
    each = [stored(Step("k", "a", **{concern: _other(type_)})) for concern, type_ in CONCERNS.items()]
    names = [name for one in each for name in one]
    assert len(names) == len(set(names)) == sum(len(type_.__annotations__) for type_ in CONCERNS.values())


def _other(type_: type[Any]) -> Any:
    """A record of which nothing is as by default."""
    others = {"bool": True, "int": 7, "float | None": 7.0, "int | None": 7, "str | None": "x"}
    found = {
        name: others.get(said, ("x",) if "tuple" in said else {"x": 1}) for name, said in type_.__annotations__.items()
    }
    return type_(**found)


def test_a_segment_at_the_beginning_says_so() -> None:
    """A coordinator of the version before looks for it in the same row."""
    assert stored(Step("volume/v/copy/0", "copy", planned=Planned(first=0, length=0))) == {"first": 0, "length": 0}


def test_a_row_of_an_older_program_has_what_is_known_of_it() -> None:
    row = {"pass": 3, "doubt": True, "only_look": True, "forgotten": 1}
    assert stored(Step("k", "a", **concerns(row))) == {"pass": 3, "doubt": True, "only_look": True}
    assert Step("k", "a", **concerns({})) == Step("k", "a")
