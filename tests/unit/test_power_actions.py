"""A server at the destination is stopped where it was stopped at the source."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from stackferry_runtime.actions.power import power


class View:
    """A server that stops at once, and what it was told."""

    def __init__(self, status: str) -> None:
        self.server = {"id": "s", "name": "s", "status": status, "task_state": None}
        self.told: list[str] = []

    def refresh(self, kind: str, id_: str) -> Any:
        return self.server

    def proxy(self, service: str) -> Any:
        return SimpleNamespace(stop_server=self._stop)

    def _stop(self, id_: str) -> None:
        self.told.append(id_)
        self.server["status"] = "SHUTOFF"


@pytest.mark.parametrize(
    ("status", "off", "told"), [("ACTIVE", True, ["s"]), ("SHUTOFF", True, []), ("ACTIVE", False, [])]
)
def test_it_is_stopped_once_and_only_where_it_shall_be(status: str, off: bool, told: list[str]) -> None:
    view: Any = View(status)
    done = power(view, "s", {"off": off})
    assert (view.told, done.results) == (told, {"off": True} if off else {})
