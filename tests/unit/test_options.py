"""What the command line's options mean: filters, places, migrations by their beginning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from stackferry.errors import Error
from stackferry_cli import options


def test_options_add_to_the_filters_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "vars.yml"
    path.write_text("os_migrate_networks_filter: [a]")
    assert options.selection(["network"], ["network=b", "network~^c=d", "subnet~e~f"], options.variables(path)) == {
        "kinds": ["network"],
        "filters": {"network": ["a", "b", {"regex": "^c=d"}], "subnet": [{"regex": "e~f"}]},
    }
    assert options.selection(None, None, {}) == {}


def test_a_name_may_hold_any_operator() -> None:
    assert options.selection(None, ["network=a~b=c", "network="], {}) == {"filters": {"network": ["a~b=c", ""]}}


@pytest.mark.parametrize("text", ["network", "", "=a", "~a", "net work=a", "network:a"])
def test_a_filter_without_kind_or_operator_is_refused(text: str) -> None:
    with pytest.raises(Error, match="expected KIND=NAME or KIND~REGEX"):
        options.selection(None, [text], {})


@pytest.mark.parametrize("how", [(["netwrok"], None), (None, ["netwrok=a"])])
def test_an_unknown_kind_is_refused_with_those_that_are_known(how: Any) -> None:
    with pytest.raises(Error, match=r"'netwrok' is no kind; known are .*network"):
        options.selection(*how, {})


@pytest.mark.parametrize("pattern", ["[", "a{99999999999999999999}"])
def test_a_pattern_that_makes_no_sense_is_refused(pattern: str) -> None:
    with pytest.raises(Error, match="--filter"):
        options.selection(None, [f"network~{pattern}"], {})


@pytest.mark.parametrize(
    ("cloud", "project", "expected"),
    [
        (None, None, None),
        ("c", None, {"cloud": "c"}),
        ("c", "", {"cloud": "c"}),
        ("c", "p", {"cloud": "c", "project": "p"}),
    ],
)
def test_a_side_is_a_cloud_and_perhaps_a_project(cloud: str | None, project: str | None, expected: Any) -> None:
    assert options.place(cloud, project) == expected


class Ferry:
    """A client that knows migrations."""

    def __init__(self, *ids: str, **more: dict[str, Any]) -> None:
        self.ids, self.more = ids, more

    def migrations(self) -> list[dict[str, Any]]:
        return [{"id": id_, "mode": "run", **self.more.get(id_, {})} for id_ in self.ids]


def find(beginning: str, *ids: str, **more: dict[str, Any]) -> str:
    ferry: Any = Ferry(*ids, **more)
    return options.find(ferry, beginning)


def test_a_migration_is_found_by_its_beginning_or_as_the_last() -> None:
    assert find("a1", "a1b2", "a2b2") == "a1b2"
    assert find("last", "a1b2", "a2b2") == "a2b2"


@pytest.mark.parametrize(("beginning", "count"), [("a", "2"), ("", "no"), ("x", "no")])
def test_a_beginning_of_several_or_none_is_refused(beginning: str, count: str) -> None:
    with pytest.raises(Error, match=f"{count} migrations have the name"):
        find(beginning, "a1b2", "a2b2")


def test_a_migration_is_found_by_its_name() -> None:
    assert find("wave 1", "a1", "a2", a2={"name": "wave 1"}) == "a2"
    assert find("a1", "a1", "a2", a2={"name": "a1"}) == "a1", "an id is nobody else's"
    for named in ({"a1": {"name": "w"}, "a2": {"name": "w"}}, {"a2": {"name": "a"}}):
        with pytest.raises(Error, match="2 migrations have the name"):
            find(next(iter(named.values()))["name"], "a1", "a2", **named)


def test_an_export_is_not_the_last() -> None:
    assert find("last", "a1", "a2", a2={"mode": "export"}) == "a1"
    assert find("last", "a1", "a2", a2={"mode": "plan"}) == "a2"


def test_nothing_is_last_where_nothing_is() -> None:
    with pytest.raises(Error, match="no migrations"):
        find("last")
