"""Several wait for servers of one project: what is asked, and what each sees."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import pytest
from stackferry_clouds import watching
from stackferry_clouds.watching import Watch


class Cloud:
    """Counts what it's asked; what it shows is its state when it's asked."""

    def __init__(self, *, lists: bool = True) -> None:
        self.states = {f"s{n}": "BUILD" for n in range(5)}
        self.lists, self.asked, self.listed = lists, 0, 0
        self.watch = Watch(self.ask, self.changed)

    def ask(self, id_: str) -> dict[str, Any] | None:
        self.asked += 1
        return {"id": id_, "status": self.states[id_]} if id_ in self.states else None

    def changed(self) -> list[dict[str, Any]] | None:
        if not self.lists:
            return None
        self.listed += 1
        return [{"id": id_, "status": status} for id_, status in self.states.items()]


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at the clock is a tenth of a second later."""
    ticks = itertools.count()
    monkeypatch.setattr(watching.time, "monotonic", lambda: next(ticks) / 10)


def test_whoever_waits_alone_asks_for_one() -> None:
    cloud = Cloud()
    look = cloud.watch.wait("s0")
    assert [look(), look()] == [{"id": "s0", "status": "BUILD"}] * 2
    assert (cloud.asked, cloud.listed) == (2, 0)


def test_one_listing_serves_all_who_wait() -> None:
    cloud = Cloud()
    looks = {id_: cloud.watch.wait(id_) for id_ in cloud.states}
    for _ in range(2):  # until all are known to wait
        for look in looks.values():
            look()
    cloud.asked = cloud.listed = 0
    for _ in range(10):
        for look in looks.values():
            look()
    assert cloud.asked == 0
    assert cloud.listed <= 10, "one a round, not one for each"


def test_nobody_sees_what_was_before_their_last_look_or_their_wait() -> None:
    cloud = Cloud()
    looks = [cloud.watch.wait(id_) for id_ in cloud.states]
    for look in looks * 2:
        look()
    cloud.states["s4"] = "ACTIVE"
    late = cloud.watch.wait("s4")  # the listings so far are older
    assert late() == {"id": "s4", "status": "ACTIVE"}
    cloud.states["s4"] = "SHUTOFF"
    assert late() == {"id": "s4", "status": "SHUTOFF"}


def test_what_is_in_no_listing_is_asked_for() -> None:
    cloud = Cloud()
    looks = [cloud.watch.wait(id_) for id_ in cloud.states]
    for look in looks * 2:
        look()
    del cloud.states["s2"]
    looks[2]()  # may be what another one's listing has shown since this one's last look
    assert looks[2]() is None


def test_where_nothing_can_be_listed_each_is_asked_for() -> None:
    cloud = Cloud(lists=False)
    looks = [cloud.watch.wait(id_) for id_ in cloud.states]
    assert [look() for look in looks * 3] == [{"id": f"s{n}", "status": "BUILD"} for n in range(5)] * 3
    assert cloud.asked == 15


def test_who_waits_no_more_is_not_listed_for() -> None:
    cloud = Cloud()
    looks = [cloud.watch.wait(id_) for id_ in cloud.states]
    for look in looks * 2:
        look()
    cloud.listed = 0
    for _ in range(200):  # the others' last looks are long ago by then
        looks[0]()
    assert cloud.listed < 100


def test_a_listing_that_fails_fails_for_who_asked_and_frees_the_others() -> None:
    cloud = Cloud()
    looks = [cloud.watch.wait(id_) for id_ in cloud.states]
    for look in looks * 2:
        look()
    cloud.watch._changed = lambda: 1 / 0  # type: ignore[assignment,return-value]
    with pytest.raises(ZeroDivisionError):
        [look() for look in looks]
    cloud.watch._changed = cloud.changed
    ended = threading.Thread(target=looks[3], daemon=True)
    ended.start()
    ended.join(5)
    assert not ended.is_alive()
