"""Servers and their parts wait for an itinerary of their own: nothing else has them yet, and says so."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from stackferry.resources import KINDS
from stackferry.resources.view import View
from stackferry.selection import unknown_kinds
from stackferry_cli.commands import data
from stackferry_cli.options import selection
from stackferry_coordinator.graph import build
from stackferry_exporter.inventory import inventory

from .test_documents import EXAMPLES

BY_WORKLOAD = ["floating_ip", "port", "server", "volume"]


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


def test_an_inventory_does_not_ask_for_them() -> None:
    asked: list[str] = []
    names = ("network", "compute", "image", "block_storage")
    list(inventory(View(SimpleNamespace(**{n: Silent(asked) for n in names}), "p"), None))
    assert "server_groups" in asked
    assert not {"servers", "volumes", "ips"} & set(asked)


@pytest.mark.parametrize("name", ["workloads", "detached_volumes"])
def test_a_graph_has_no_step_for_them(name: str) -> None:
    assert [node.kind.kind for node in build([EXAMPLES[name], EXAMPLES["networks"]])] == ["network"]


@pytest.mark.parametrize("kind", BY_WORKLOAD)
def test_they_cannot_be_asked_for(kind: str) -> None:
    assert "no such kind" in str(unknown_kinds({"kinds": [kind]}))
    with pytest.raises(Exception, match="is no kind"):
        selection([kind], None, None)


def test_the_command_says_that_they_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    kept = data._selected([EXAMPLES["workloads"], EXAMPLES["networks"]], {})
    assert kept == [EXAMPLES["networks"]]
    assert "left out: server 'test-server': not imported by this version" in capsys.readouterr().err
