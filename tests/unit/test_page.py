"""What the page knows and says, without a gateway: where servers are, how fast, what to do next, whose session it is."""

from __future__ import annotations

import itertools
import json
import shlex
import threading
from datetime import UTC, datetime
from typing import Any

import pytest
import typer
from stackferry.messages import RequestMigration
from stackferry.phases import PHASES, refusal
from stackferry.roles import Client
from stackferry.step_key import of_task
from stackferry_cli import app, options
from stackferry_gateway import standings
from stackferry_gateway.pace import BUCKET, KEPT, Pace
from stackferry_gateway.page import advice, chart, new
from stackferry_gateway.page.advice import BUTTONS
from stackferry_gateway.page.sessions import LASTS, Sessions
from stackferry_gateway.page.site import _own
from stackferry_gateway.people import Person
from stackferry_gateway.problems import Problem
from stackferry_gateway.standings import MOST, Standings
from starlette.requests import Request
from starlette.responses import Response


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standings, "FRESH", 0.0)


M = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
COPY = of_task("volume/v", "copy/0")


def rows(state: str = "waiting", done: int = 0) -> list[dict[str, Any]]:
    """A server with one disk of 100 bytes."""
    base = {"attempt": 0, "action": "x", "kind": "", "name": "", "group": "server/s", "results": {}, "done": 0}
    return [
        {**base, "key": "server/s", "action": "ensure", "kind": "server", "name": "db", "state": "waiting"},
        {**base, "key": "volume/v", "action": "ensure", "kind": "volume", "name": "disk", "state": "done", "attempt": 1},
        {**base, "key": COPY, "state": state, "done": done, "total": 100, "length": 100, "attempt": int(state != "waiting")},
    ]  # fmt: skip


def progressed(done: int, attempt: int = 1) -> tuple[str, dict[str, Any]]:
    return "step-progressed", {"migration": M, "step": COPY, "attempt": attempt, "done": done, "total": 100}


def test_steps_are_read_once_and_events_do_the_rest() -> None:
    reads = itertools.count()

    def load() -> list[dict[str, Any]]:
        next(reads)
        return rows("asked", 10)

    seen = Standings()
    seen.heard(*progressed(5))  # nobody looks yet
    assert seen.of(M, load)[1].copied.done == 10
    for done in (20, 70):
        seen.heard(*progressed(done))
        (one,), whole, phases = seen.of(M, load)
        assert (one.name, one.phase, whole.copied.done, dict(phases)) == ("db", "copying", done, {"copying": 1})
    seen.heard("step-progressed", {**progressed(99)[1], "migration": "another"})
    assert seen.of(M, load)[1].copied.done == 70
    assert next(reads) == 1
    seen.heard("migration-changed", {"migration": M, "phase": "running", "was": "running"})
    seen.of(M, load)
    assert next(reads) == 2
    seen.heard("migration-changed", {"migration": M, "phase": "cancelling", "was": "running"})
    seen.of(M, load)
    assert next(reads) == 4  # read again: there may be others now


def test_what_is_told_while_steps_are_read_counts_and_another_phase_has_them_read_again() -> None:
    seen, turns = Standings(), itertools.count()

    def load() -> list[dict[str, Any]]:
        if (turn := next(turns)) == 0:
            seen.heard("migration-changed", {"migration": M, "phase": "running", "was": "planning"})
            return []  # as they were before
        seen.heard(*progressed(42))
        return rows("asked", 10 if turn == 1 else 11)

    assert seen.of(M, load)[1].copied.done == 42
    assert next(turns) == 2


def test_an_error_while_steps_are_read_is_the_readers_and_the_next_one_reads() -> None:
    seen = Standings()

    def away() -> list[dict[str, Any]]:
        raise Problem(503, "away")

    with pytest.raises(Problem):
        seen.of(M, away)
    assert seen.of(M, rows)[1].copied.total == 100


def test_several_look_at_once_and_it_is_read_once() -> None:
    seen, reads, everybody = Standings(), itertools.count(), threading.Barrier(8)

    def look() -> None:
        everybody.wait()
        seen.of(M, lambda: [next(reads)] and rows())

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert next(reads) == 1


def test_nothing_is_kept_of_what_nobody_looks_at() -> None:
    seen = Standings()
    seen.of(M, rows)
    seen.heard("migration-changed", {"migration": M, "phase": "running", "was": "planning"})
    for done in range(1000):
        seen.heard(*progressed(done))
    assert seen._known[M].missed == []
    assert seen.peek(M) is None
    assert seen.peek("another") is None
    seen.of(M, rows)
    assert seen.peek(M) is not None
    seen._known[M].seen -= standings.UNSEEN + 1
    seen.of("another", rows)
    assert list(seen._known) == ["another"]


def test_so_many_migrations_are_kept() -> None:
    seen, reads = Standings(), itertools.count()
    for number in range(MOST + 1):
        seen.of(f"m{number}", lambda: [next(reads)] and rows())
    seen.of(f"m{MOST}", lambda: [next(reads)] and rows())
    assert next(reads) == MOST + 1
    seen.of("m0", lambda: [next(reads)] and rows())
    assert next(reads) == MOST + 3


def test_the_pace_is_of_what_was_moved_and_ends() -> None:
    now = [1000.0]
    pace = Pace(lambda: now[0])
    assert pace.of(M) == []
    pace.heard(*progressed(500))  # where it is, when it was first heard of
    pace.heard(*progressed(900))
    now[0] += BUCKET
    pace.heard(*progressed(1000))
    pace.heard("step-progressed", {**progressed(7)[1], "unit": "rows"})
    pace.heard("step-ended", {"migration": M, "step": COPY})
    pace.heard(*progressed(50, attempt=2))  # another try: not from 1000 down to 50
    now[0] += 2 * BUCKET
    assert pace.of(M) == [400 / BUCKET, 100 / BUCKET, 0.0]
    now[0] += KEPT * BUCKET
    assert set(pace.of(M)) <= {0.0}
    pace.heard("step-ended", {"migration": "another", "step": "s"})
    assert pace.of(M) == []


def test_the_line_lies_in_its_picture() -> None:
    assert chart.drawn([], 5) is chart.drawn([1.0], 5) is chart.drawn([0.0, 0.0], 5) is None
    drawn = chart.drawn([0.0, 5.0, 10.0], 5)
    assert drawn is not None
    points = [tuple(map(float, point.split(","))) for point in drawn.points.split()]
    assert [x for x, _ in points] == [0, chart.WIDE / 2, chart.WIDE]
    assert points[0][1] == chart.HIGH > points[1][1] > points[2][1] > 0
    assert (drawn.most, drawn.latest, drawn.seconds) == (10.0, 10.0, 15.0)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("paused", [False, True])
def test_what_is_offered_can_be_done_and_only_by_who_may(phase: str, paused: bool) -> None:
    about = {"phase": phase, "paused": paused, "reason": "because", "mode": "run", "totals": {"done": 1, "failed": 1}}
    for failed, cutover, admin, operator in itertools.product((0, 2), (0, 1), (False, True), (False, True)):
        found = advice.advice(about, failed, cutover, admin, operator)
        assert found.text
        for button in found.buttons:
            assert refusal(phase, paused, button.action, "because") is None
            assert button.label == BUTTONS[button.action][0]
            assert admin if button.action == "undo" else operator
        if not admin and not operator:
            assert found.buttons == ()
        assert sum(button.is_main for button in found.buttons) <= 1
        assert 0.0 <= advice.crossed(about) <= 1.0
        if failed and phase == "done":
            assert "attention" in found.text


def test_the_command_line_that_is_shown_asks_for_the_same() -> None:
    """Said by the page, read by the command's own options: a flag that is renamed is noticed."""
    body = {
        "mode": "plan", "source": {"cloud": "old", "project": "a b"}, "destination": {"cloud": "new", "project": "$x"},
        "selection": {"kinds": ["network", "server"], "filters": {"server": ["db 1", {"regex": "^web-'"}]}},
        "mapping": {"flavor": {"m1.small": "s 1"}, "network": {"pub": "ext"}}, "labels": {"team": "web=1"}, "name": "it's",
        "migration_params": {"mode": "warm", "cutover": "manual", "boot_disk_copy": True, "shutdown": "wait",
                             "power": "running"},
        "volumes_at_once": 2, "servers_at_once": 3, "bandwidth": 4,
    }  # fmt: skip
    for mode, command in (("plan", "plan"), ("run", "migrate")):
        equal = new.equal({**body, "mode": mode})
        program, name, *words = shlex.split(equal["command"])
        assert (program, name) == ("stackferry", command)
        context = typer.main.get_command(app.app).commands[name].make_context(name, words)  # type: ignore[attr-defined]
        said = context.params
        read = {
            "mode": mode, "source": {"cloud": said["source"], "project": said["source_project"]},
            "destination": {"cloud": said["destination"], "project": said["destination_project"]},
            "selection": options.selection(said["kinds"], said["filters"], {}), "mapping": options.mapping(said["maps"]),
            "labels": options.labels(said["label"]), "name": said["name"],
            "migration_params": options.migration_params(
                {}, said["warm"], said["cutover_when"], said["boot_disk_copy"], said["wait_for_shutdown"],
                said["start_servers"],
            ),
            **{each: said[each] for each in ("volumes_at_once", "servers_at_once", "bandwidth")},
        }  # fmt: skip
        assert read == {**body, "mode": mode}
        message = json.loads(equal["message"])
        RequestMigration.load_data({**message, "migration": M})
        assert {key: value for key, value in message.items() if key != "migration"} == {**body, "mode": mode}


def request(cookie: str | None, name: str = "stackferry") -> Request:
    headers = [] if cookie is None else [(b"cookie", f"{name}={cookie}".encode("latin-1", "replace"))]
    return Request({"type": "http", "headers": headers, "method": "GET", "path": "/"})


class People:
    """Whose token is good."""

    def __init__(self, *known: Person) -> None:
        self.known = {one.name: one for one in known}

    def named(self, name: str) -> Person:
        if name not in self.known:
            raise Problem(401, "nobody has this token")
        return self.known[name]


def begun(sessions: Sessions, person: Person) -> str:
    response = Response()
    sessions.begin(person, response)
    return response.headers["set-cookie"].partition("=")[2].partition(";")[0].strip('"')


def test_a_session_is_this_persons_with_this_token_for_so_long() -> None:
    now = [datetime.now(UTC).timestamp()]
    sessions = Sessions(b"k" * 32, clock=lambda: now[0])
    ann, eve = Person("ann", Client(), None, "a" * 64), Person("eve", Client(), None, "e" * 64)
    people: Any = People(ann, eve)
    cookie = begun(sessions, ann)
    assert sessions.knock(request(cookie), people) == ann
    assert Sessions(b"k" * 32).knock(request(cookie), people) == ann  # another gateway with the same key
    said, _, signature = cookie.partition(".")
    other = begun(sessions, eve).partition(".")
    wrong = [None, "", ".", said, f"{said}.", f".{signature}", f"{said}.{other[2]}", f"{other[0]}.{signature}", "a.b.c",
             f"{said}.{signature}x", f"{'W10'}.{signature}", "é.é", "x" * 5000]  # fmt: skip
    for one in wrong:
        with pytest.raises(Problem) as caught:
            sessions.knock(request(one), people)
        assert (caught.value.status, str(caught.value)) == (401, "sign in first")  # whoever it might have been
    changed: Any = People(Person("ann", Client(), None, "b" * 64))
    for anew, whose in ((Sessions(), people), (sessions, changed), (sessions, People(eve))):
        with pytest.raises(Problem):
            anew.knock(request(cookie), whose)
    sessions.forget(request(cookie))
    with pytest.raises(Problem):  # it was ended, whoever has kept the cookie
        sessions.knock(request(cookie), people)
    long = Person("é" * 255, Client(), None, "c" * 64)
    assert sessions.knock(request(begun(sessions, long)), People(long)) == long  # type: ignore[arg-type]
    cookie = begun(sessions, ann)
    now[0] += LASTS + 1
    with pytest.raises(Problem, match="over"):
        sessions.knock(request(cookie), people)


def test_the_cookie_of_a_page_with_tls_goes_nowhere_else() -> None:
    response, sessions = Response(), Sessions(is_secure=True)
    sessions.begin(Person("ann", digest="a"), response)
    said = response.headers["set-cookie"]
    assert said.startswith("__Host-stackferry=")
    assert {"Secure", "HttpOnly", "Path=/"} <= set(said.split("; "))


@pytest.mark.parametrize(("to", "goes"), [
    ("/hosts?x=1", "/hosts?x=1"), ("", "/"), ("//evil", "/"), ("/\\evil", "/"), ("http://evil", "/"), ("/a\nb", "/"),
    ("/é", "/"), ("javascript:x", "/"), ("/%0d%0aSet-Cookie:x", "/%0d%0aSet-Cookie:x"),
])  # fmt: skip
def test_after_the_door_it_goes_on_here(to: str, goes: str) -> None:
    assert _own(to) == goes
