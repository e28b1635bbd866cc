"""What a cloud is asked once for several who want to know, and when it's asked again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from stackferry.resources import quotas
from stackferry.resources.marks import MARK
from stackferry.resources.server import Server
from stackferry.resources.volume import Volume
from stackferry_clouds import view as views
from stackferry_clouds.actions.settling import settle, unmark
from stackferry_clouds.view import ProjectView


class Gone(Exception):
    status_code = 404


class Cloud:
    """Quotas, servers and volumes whose metadata can be deleted; counts what it's asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.left = 5
        self.metadata: dict[str, dict[str, str] | None] = {}
        self.compute = self.block_storage = self

    def get_quota_set(self, project: str, usage: bool) -> Any:
        self.asked.append("quotas")
        return SimpleNamespace(instances=10, usage={"instances": 10 - self.left}, reservation={})

    def get_server(self, id_: str) -> Any:
        self.asked.append(f"get {id_}")
        if id_ not in self.metadata:
            raise Gone
        return SimpleNamespace(id=id_, name=id_, metadata=dict(self.metadata[id_] or {}))

    get_volume = get_server

    def find_server(self, id_: str, ignore_missing: bool) -> Any:
        return self.get_server(id_) if id_ in self.metadata else None

    find_volume = find_server

    def delete_server_metadata(self, id_: str, keys: list[str]) -> None:
        self.asked.append(f"delete {id_}")
        if MARK not in (self.metadata.get(id_) or {}):
            raise Gone
        del self.metadata[id_][MARK]  # type: ignore[index]

    delete_volume_metadata = delete_server_metadata


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


@pytest.fixture
def view(cloud: Cloud) -> ProjectView:
    return ProjectView(cloud, "project")


def test_quotas_are_asked_for_once_while_they_suffice(cloud: Cloud, view: ProjectView) -> None:
    assert [quotas.beyond(view, {"instances": n}) for n in (1, 5, 2)] == [[], [], []]
    assert cloud.asked == ["quotas"]


def test_quotas_that_fall_short_are_asked_for_again_since_somebody_may_have_raised_them(
    cloud: Cloud, view: ProjectView
) -> None:
    assert quotas.beyond(view, {"instances": 6}) == ["the quota has 5 instances left, and 6 are needed"]
    cloud.left = 6
    assert quotas.beyond(view, {"instances": 6}) == []


def test_quotas_grow_old(cloud: Cloud, view: ProjectView, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(views.time, "monotonic", lambda: now)
    quotas.beyond(view, {"instances": 5})
    cloud.left, now = 4, now + views.FRESH + 0.1
    assert quotas.beyond(view, {"instances": 5}) == ["the quota has 4 instances left, and 5 are needed"]


def test_a_mark_that_was_seen_is_taken_off_by_one_call(cloud: Cloud, view: ProjectView) -> None:
    cloud.metadata["s"] = {MARK: "m/1", "role": "db"}
    view.refresh("server", "s")
    cloud.asked.clear()
    settle(view, "s", {"server": True})
    assert cloud.asked == ["delete s"]
    assert cloud.metadata["s"] == {"role": "db"}
    seen = view.get("server", "s")
    assert seen is not None
    assert seen["metadata"] == {"role": "db"}


def test_what_was_seen_without_a_mark_is_looked_at_again(cloud: Cloud, view: ProjectView) -> None:
    cloud.metadata["s"] = None
    view.refresh("server", "s")  # as Nova answers a creation
    cloud.metadata["s"] = {MARK: "m/1"}
    unmark(view, Server, "s")
    assert cloud.metadata["s"] == {}


@pytest.mark.parametrize("kind", [Server, Volume])
def test_what_has_no_mark_or_is_gone_stays_as_it_is(cloud: Cloud, view: ProjectView, kind: Any) -> None:
    cloud.metadata["plain"] = {"role": "db"}
    cloud.metadata["late"] = {MARK: "m/1"}
    unmark(view, kind, "gone")
    unmark(view, kind, "plain")
    view.refresh(kind.kind, "late")
    cloud.metadata["late"] = {}  # somebody else was faster
    unmark(view, kind, "late")
    assert cloud.metadata == {"plain": {"role": "db"}, "late": {}}
