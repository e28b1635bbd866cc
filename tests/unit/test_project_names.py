"""The project of a shared resource, where the administrator of a project may not read others."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from stackferry_clouds.view import ProjectView


class Identity:
    """Keystone that refuses, with this status."""

    def __init__(self, status: int) -> None:
        self.status = status

    def find_project(self, *_: Any, **__: Any) -> Any:
        error = Exception("no")
        error.status_code = self.status  # type: ignore[attr-defined]
        raise error


def reference(status: int) -> dict[str, Any]:
    network = SimpleNamespace(find_network=lambda *_, **__: SimpleNamespace(id="n", name="shared", project_id="theirs"))
    view = ProjectView(SimpleNamespace(identity=Identity(status), network=network), "mine", is_admin=True)
    return view.reference("network", "n")


def test_a_project_that_may_not_be_read_has_no_name_and_ends_nothing() -> None:
    assert reference(403) == {"name": "shared", "project_name": None, "domain_name": None, "_id": "n"}


def test_a_cloud_that_fails_is_not_taken_for_one_that_refuses() -> None:
    with pytest.raises(Exception, match="no"):
        reference(500)
