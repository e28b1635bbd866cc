"""What is told of migrations, workers and clouds."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import threading
import uuid
from typing import Any

import amqp
import httpx
import pytest
from stackferry import __version__
from stackferry.bus import connect
from stackferry.client import Client
from stackferry_cli.local.processes import until
from stackferry_cli.local.stack import Stack

from .asking import caller, imported, made, phase, problem
from .test_page import visitor

pytestmark = pytest.mark.integration


def test_pages_show_each_migration_once(http: httpx.Client) -> None:
    label = uuid.uuid4().hex
    ids = [made(http, labels={"page": label}) for _ in range(5)]
    seen, cursor = [], None
    for _ in range(10):
        params = {"limit": 2, "label": f"page={label}", **({"cursor": cursor} if cursor else {})}
        page = http.get("/v1/migrations", params=params).json()
        seen += [one["id"] for one in page["items"]]
        assert len(page["items"]) <= 2
        if not (cursor := page["next"]):
            break
    assert seen == ids


def test_steps_report_and_what_became_of_ids(http: httpx.Client) -> None:
    migration = imported(http, 4)
    assert until(lambda: phase(http, migration) == "done", 120)
    first = http.get(f"/v1/migrations/{migration}/steps", params={"limit": 2}).json()
    rest = http.get(f"/v1/migrations/{migration}/steps", params={"cursor": first["next"]}).json()
    keys = [step["key"] for step in [*first["items"], *rest["items"]]]
    assert set(keys) >= {f"network/n{n}" for n in range(4)}
    assert len(keys) == len(set(keys))
    assert rest["next"] is None
    failed = http.get(f"/v1/migrations/{migration}/steps", params={"state": "failed", "kind": "network"}).json()
    report = http.get(f"/v1/migrations/{migration}/report").json()
    assert report["migration"]["phase"] == "done"
    assert report["kinds"][-1]["failed"] + report["kinds"][-1]["skipped"] == 4
    assert {one["key"] for one in report["attention"]} >= {one["key"] for one in failed["items"]}
    table = http.get(f"/v1/migrations/{migration}/report", params={"format": "csv"})
    assert table.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert [row["kind"] for row in rows] == ["network", "all"]
    assert http.get(f"/v1/migrations/{migration}/id-map").json() == {"items": []}
    assert http.get(f"/v1/migrations/{migration}/workloads").json()["items"] == []
    problem(http.get(f"/v1/migrations/{migration}/plan"), 409)
    problem(http.post(f"/v1/migrations/{migration}/actions", json={"action": "pause"}), 409)
    problem(http.post(f"/v1/migrations/{migration}/cleanup", json={"workloads": ["server/x"], "names": ["x"]}), 422)


def test_a_plan_says_why_it_cannot_be_and_can_be_asked_for_again(http: httpx.Client) -> None:
    migration = imported(http, 1, mode="plan")
    assert until(lambda: phase(http, migration) == "planned", 120)
    (step,) = http.get(f"/v1/migrations/{migration}/plan").json()["items"]
    assert (step["key"], step["state"]) == ("network/n0", "failed")
    assert step["reason"]
    response = http.post(f"/v1/migrations/{migration}/actions", json={"action": "retry"})
    assert response.status_code == 202
    assert until(lambda: phase(http, migration) == "planned", 120)


def test_nothing_is_sent_again_that_is_known_already(http: httpx.Client) -> None:
    migration = made(http)
    assert until(lambda: phase(http, migration) in ("stuck", "planned", "done"), 120)
    first = http.get(f"/v1/migrations/{migration}")
    again = http.get(f"/v1/migrations/{migration}", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert http.get(f"/v1/migrations/{migration}", headers={"If-None-Match": '"else"'}).status_code == 200


def test_workers_say_what_they_know_to_those_who_may_know_it(stack: Stack, http: httpx.Client) -> None:
    found = http.get("/v1/workers").json()["items"]
    assert {(one["service"], tuple(sorted(one["clouds"]))) for one in found} == {
        (service, ("dst", "elsewhere", "src")) for service in ("exporter", "importer")
    }
    assert all(one["seen"] < 120 and one["version"] for one in found)
    with caller(stack, "other") as other:
        assert [one["clouds"] for one in other.get("/v1/workers").json()["items"]] == [["elsewhere"]] * len(found)
    with Client(stack.uri(), timeout=20) as ferry:
        assert {one["service"] for one in ferry.workers()} == {"exporter", "importer"}


def test_the_credentials_of_a_cloud_are_tried(http: httpx.Client) -> None:
    found = problem(http.get("/v1/clouds/src/check"), 409)
    assert "src" in found["detail"] or "127.0.0.1" in found["detail"]
    problem(http.get("/v1/clouds/src/check", params={"side": "middle"}), 422)


def test_many_ask_at_once_and_each_gets_its_own_answer(stack: Stack, http: httpx.Client) -> None:
    ids = [made(http, name=f"m{n}") for n in range(20)]
    wrong: list[Any] = []

    def ask(number: int) -> None:
        with caller(stack, "root") as mine:
            for turn in range(10):
                wanted = ids[(number + turn) % len(ids)]
                found = mine.get(f"/v1/migrations/{wanted}")
                if found.status_code != 200 or found.json()["id"] != wanted:
                    wrong.append(found.text)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_messages_that_nobody_could_act_on_are_counted(stack: Stack, http: httpx.Client) -> None:
    with connect(stack.uri(), "tests") as connection, connection.channel() as channel:
        message = amqp.Message(b"no JSON", content_type="application/json", user_id="client")
        channel.basic_publish(message, "stackferry.requests", "stackferry.coordinator")
    assert until(lambda: http.get("/v1/workers").json()["parked"], 60)
    assert http.get("/v1/workers").json()["coordinator"] == __version__
    with caller(stack, "team") as team, caller(stack, "other") as other:
        assert team.get("/v1/workers").json()["parked"] is None
        assert other.get("/v1/workers").json()["parked"] is None
    with visitor(stack, "root") as page, visitor(stack, "team") as limited:
        assert "no service could act on" in page.get("/trouble").text
        assert "no service could act on" not in limited.get("/trouble").text
    told = {row["service"]: row["why"] for row in json.loads(status(stack))}
    assert "parked: stackferry dead-letters list" in told["rabbitmq"]


def status(stack: Stack) -> str:
    env = {**os.environ, "AMQP_URI": stack.uri(), "PYTHONWARNINGS": "ignore"}
    words = [sys.executable, "-m", "stackferry_cli.app", "status", "-o", "json"]
    return subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=True).stdout
