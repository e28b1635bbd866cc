"""Filters as OS Migrate has them, and names that aren't there."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stackferry.errors import InvalidMessage
from stackferry.messages import ExportProject
from stackferry.selection import filter_of, invalid_filters, keeps, selects_kind, unknown_kinds, unmatched


@pytest.mark.parametrize(
    ("items", "name", "kept"),
    [
        (None, "net", True),
        ([], "net", False),
        (["net"], "net", True),
        (["net"], "net2", False),
        (["n.t"], "net", False),
        (["a", "net"], "net", True),
        ([{"regex": "e"}], "net", True),  # anywhere in the name
        ([{"regex": "^e"}], "net", False),
        ([{"regex": "^x"}, "net"], "net", True),
        ([{"regex": ".*"}], "", True),
        ([{"regex": ".*"}], None, True),
        ([{"regex": "."}], None, False),
        ([""], None, True),
        (["None"], None, False),
    ],
)
def test_a_filter_keeps_what_any_of_its_items_matches(items: Any, name: str | None, kept: bool) -> None:
    assert bool(keeps(items, name)) is kept


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=20), st.text(max_size=20))
def test_an_item_without_regex_is_the_exact_name(item: str, name: str) -> None:
    assert bool(keeps([item], name)) == (item == name)
    assert keeps([{"regex": re.escape(name)}], name)


@pytest.mark.parametrize(
    "item", [None, 1, {}, {"regex": 1}, {"regex": "["}, {"regex": "a", "x": 1}, {"name": "a"}, [], ["a"], True]
)
def test_a_wrong_item_is_named_with_its_kind(item: Any) -> None:
    errors = invalid_filters({"filters": {"network": ["fine", item]}})
    assert list(errors) == ["filters.network"]
    assert len(errors["filters.network"]) == 1


@pytest.mark.parametrize("filters", [None, {}, {"network": [{"regex": ".*"}, "net"], "subnet": []}])
def test_right_filters_have_no_problems(filters: Any) -> None:
    assert invalid_filters({"filters": filters}) == {}


@pytest.mark.parametrize(
    ("selection", "selected"),
    [(None, True), ({}, True), ({"kinds": None}, True), ({"kinds": ["network"]}, True), ({"kinds": ["subnet"]}, False),
     ({"kinds": []}, False)],
)  # fmt: skip
def test_no_kinds_means_every_kind(selection: Any, selected: bool) -> None:
    assert selects_kind(selection, "network") is selected


@pytest.mark.parametrize("selection", [None, {}, {"filters": None}, {"filters": {"subnet": ["a"]}}])
def test_a_kind_without_a_filter_has_none(selection: Any) -> None:
    assert filter_of(selection, "network") is None
    assert filter_of({"filters": {"network": ["a"]}}, "network") == ["a"]


@pytest.mark.parametrize("selection", [{"kinds": ["netwrk"]}, {"filters": {"netwrk": ["a"]}}])
def test_a_kind_that_does_not_exist_is_named(selection: Any) -> None:
    ((field, (problem,)),) = unknown_kinds(selection).items()
    assert field in selection
    assert problem.startswith("netwrk: no such kind")
    with pytest.raises(InvalidMessage, match="netwrk"):
        ExportProject.load_data(
            {"migration": str(uuid4()), "attempt": 1, "source": {"cloud": "src"}, "selection": selection}
        )


FOUND = [("network", "blue"), ("network", "red"), ("subnet", None)]


@pytest.mark.parametrize(
    ("selection", "missing"),
    [
        (None, []),
        ({"kinds": ["network", "image"]}, ["kind image"]),
        ({"filters": {"network": ["blue", "blu", {"regex": "^g"}, {"regex": "e"}]}}, ["network=blu", "network~^g"]),
        ({"filters": {"image": [{"regex": ".*"}], "router": ["r"]}}, ["router=r"]),
        ({"kinds": ["network"], "filters": {"router": ["r"]}}, []),
        ({"filters": {"security_group_rule": ["web"], "subnet": [""]}}, []),
    ],
)
def test_what_matches_nothing_is_named(selection: Any, missing: list[str]) -> None:
    assert unmatched(selection, FOUND) == missing
