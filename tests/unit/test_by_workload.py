"""Servers and volumes are moved by an itinerary of many steps; their disks are read at the source."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from stackferry.resources import KINDS
from stackferry.selection import selects, unknown_kinds
from stackferry_cli import files
from stackferry_cli.options import selection
from stackferry_clouds.view import ProjectView
from stackferry_exporter.inventory import inventory

from ..graphs import build
from .test_documents import EXAMPLES

BY_WORKLOAD = ["floating_ip", "port", "server", "sub_port", "trunk", "volume"]


class Silent:
    """A service that has nothing; it notes what was asked."""

    def __init__(self, asked: list[str]) -> None:
        self.asked = asked

    def __getattr__(self, name: str) -> Any:
        def answer(**_: Any) -> Any:
            self.asked.append(name)
            return iter(())

        return answer


def test_these_are_the_kinds() -> None:
    assert sorted(name for name, kind in KINDS.items() if kind.by_workload) == BY_WORKLOAD


def test_an_inventory_asks_for_them() -> None:
    asked: list[str] = []
    names = ("network", "compute", "image", "block_storage")
    list(inventory(ProjectView(SimpleNamespace(**{n: Silent(asked) for n in names}), "p"), None))
    assert {"server_groups", "servers", "volumes"} <= set(asked)


def kinds_of(documents: list[dict[str, Any]], **how: Any) -> list[tuple[str, str, str | None]]:
    return [(node.key, node.action, node.problem) for node in build(documents, **how)]


def test_a_graph_has_many_steps_for_a_server() -> None:
    keys = {key for key, _, _ in kinds_of([EXAMPLES["workloads"]], workloads=True)}
    assert {"server/uuid-test-server/check", "server/uuid-test-server/stop", "server/uuid-test-server"} <= keys
    assert "port/uuid-port" in keys
    assert "floating_ip/uuid-fip" in keys


def test_without_a_source_cloud_they_are_refused_and_only_compared() -> None:
    (step,) = kinds_of([EXAMPLES["workloads"]])
    assert step[2] == "its disks can't be read: no source cloud is named"
    (step,) = kinds_of([EXAMPLES["workloads"]], compared=True)
    assert step[1:] == ("ensure", None)


def test_they_are_moved_unless_other_kinds_are_named() -> None:
    assert selects(None, EXAMPLES["workloads"])
    assert selects({}, EXAMPLES["detached_volumes"])
    assert not selects({"kinds": ["network"]}, EXAMPLES["workloads"])
    assert unknown_kinds({"kinds": ["server", "volume"]}) == {}


@pytest.mark.parametrize("kind", ["port", "floating_ip"])
def test_parts_of_a_server_go_with_it(kind: str) -> None:
    assert "no such kind" in str(unknown_kinds({"kinds": [kind]}))
    with pytest.raises(Exception, match="is no kind"):
        selection([kind], None, {})


def test_the_command_says_that_their_disks_need_the_source(capsys: pytest.CaptureFixture[str]) -> None:
    found = [EXAMPLES["workloads"], EXAMPLES["networks"]]
    assert files._movable(found, False, {}) == [EXAMPLES["networks"]]
    assert "left out: server 'test-server': its disks are read at the source (--source)" in capsys.readouterr().err
    assert files._movable(found, True, {}) == files._movable(found, False, {"kinds": ["server", "network"]}) == found
