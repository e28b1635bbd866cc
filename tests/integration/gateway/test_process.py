"""The gateway as a process: its settings, its end, the broker that goes away, what it says of itself."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from jsonschema import Draft202012Validator
from stackferry.bus import connected
from stackferry.errors import BrokerUnavailable, Error
from stackferry.messages import DescribeHosts
from stackferry_cli.local.processes import until
from stackferry_cli.local.stack import Stack
from stackferry_runtime.desk import Desk

from ..conftest import watermark
from .asking import PEOPLE, RATE, answers, caller, imported, phase, problem, request, token
from .listening import Listener, phases

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(("settings", "said"), [
    ({}, "STACKFERRY_TOKENS names no file"),
    ({"TOKENS": "/nowhere"}, "STACKFERRY_TOKENS: /nowhere can't be read"),
    ({"TOKENS": "{tokens}", "ADDRESS": "0.0.0.0"}, "tokens would travel in clear text"),
    ({"TOKENS": "{tokens}", "PORT": "{port}"}, "can't be used: Address already in use"),
    ({"TOKENS": "{tokens}", "TLS_CERTIFICATE": "/nowhere", "TLS_KEY": "/nowhere"}, "TLS_CERTIFICATE /nowhere"),
    ({"TOKENS": "{tokens}", "TLS_CERTIFICATE": "{tokens}", "TLS_KEY": "{tokens}"}, "can't be used, as PEM"),
    ({"TOKENS": "{tokens}", "TLS_KEY": "{tokens}"}, "go together"),
    ({"TOKENS": "{tokens}", "URL_FILE": "/nowhere/url"}, "/nowhere/url can't be written"),
    ({"TOKENS": "{tokens}", "PORT": "many"}, "STACKFERRY_PORT can't be used"),
], ids=lambda value: str(value)[:40])  # fmt: skip
def test_settings_that_make_no_sense_end_it_with_a_sentence(stack: Stack, settings: dict[str, str], said: str) -> None:
    known = {"tokens": stack.gateway.tokens_file, "port": urlsplit(stack.gateway.url()).port}
    environ = {f"STACKFERRY_{name}": value.format(**known) for name, value in settings.items()}
    words = [sys.executable, "-W", "ignore", "-m", "stackferry_gateway"]
    ended = subprocess.run(
        words, env={"PATH": os.environ["PATH"], **environ}, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 2
    assert said in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1


def test_a_gateway_with_listeners_stops_at_once(stack: Stack, http: httpx.Client) -> None:
    with Listener(stack) as one, Listener(stack, "/v1/events?after=-1") as other:
        process, began = stack.process("gateway"), time.monotonic()
        assert process.stop(timeout=20)
        assert time.monotonic() - began < 10
        assert until(lambda: one.is_lost and other.is_lost, 10)
    assert "Traceback" not in process.last_lines(40)
    stack.up({"gateway": 1}, RATE)
    assert until(lambda: answers(http), 30)


def test_the_broker_goes_away_and_comes_back(stack: Stack, http: httpx.Client) -> None:
    with Listener(stack) as listener:
        stack.node.stop()
        assert until(lambda: http.get("/readyz").status_code == 503, 30)
        assert http.get("/livez").status_code == 200
        with caller(stack, "root") as hasty:
            hasty.timeout = httpx.Timeout(60)
            problem(hasty.post("/v1/migrations", json=request()), 503)
        stack.node.start()
        assert until(lambda: http.get("/readyz").status_code == 200, 60)
        migration = imported(http, 1, mode="plan")
        assert until(lambda: phases(listener, migration)[-1:] == ["planned"], 120), "the same stream goes on"
        assert not listener.is_lost


def test_it_describes_itself_and_answers_as_described(http: httpx.Client) -> None:
    document = http.get("/v1/openapi.json").json()
    assert document == json.loads((Path(__file__).parents[3] / "docs" / "openapi.json").read_text())
    assert document["openapi"] == "3.1.0"
    migration = imported(http, 2)
    assert until(lambda: phase(http, migration) == "done", 120)
    for path, methods in document["paths"].items():
        answer = methods.get("get", {}).get("responses", {}).get("200", {}).get("content", {}).get("application/json")
        if answer is None or "cloud" in path or "plan" in path:
            continue
        found = http.get(path.replace("{migration}", migration)).json()
        root = {"$ref": answer["schema"]["$ref"], "components": document["components"]}
        Draft202012Validator(root).validate(found)


@pytest.mark.skipif(not shutil.which("curl"), reason="optional: curl is not installed")
def test_the_examples_of_the_page_as_they_stand(stack: Stack, tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "http.md").read_text()
    commands = re.findall(r"(?m)^curl (?:.*\\\n)*.*$", re.findall(r"```sh\n(.*?)```", page, flags=re.S)[0])
    assert len(commands) == 6
    environ = {"PATH": os.environ["PATH"], "FERRY": f"{stack.gateway.url()}/v1",
               "AUTH": f"Authorization: Bearer {token('root')}", "no_proxy": "*"}  # fmt: skip
    with caller(stack, "root") as http:
        environ["ID"] = imported(http, 1, mode="plan")
        assert until(lambda: phase(http, environ["ID"]) == "planned", 60)
    said = []
    for command in commands:
        limit = " --max-time 2" if "events" in command else ""
        done = subprocess.run(
            ["bash", "-c", command.split("  #")[0] + limit], env=environ, capture_output=True, text=True
        )
        assert done.returncode == (28 if limit else 0), done.stderr
        said.append(done.stdout)
    listed, asked, planned, started, told, report = said
    assert environ["ID"] in [one["id"] for one in json.loads(listed)["items"]]
    assert json.loads(asked)["mode"] == "plan"
    assert [one["key"] for one in json.loads(planned)["items"]] == ["network/n0"]
    assert json.loads(started)["phase"] in ("running", "done")
    assert told.startswith("retry: ")
    assert report.startswith("kind,created")


def test_metrics_count_what_was_asked(http: httpx.Client) -> None:
    assert http.get("/v1/hosts").status_code == 200
    text = http.get("/metrics").text
    assert 'stackferry_http_requests_total{method="GET",path="/v1/hosts",status="200"}' in text
    assert "stackferry_ready 1.0" in text
    assert token("root") not in text


def test_no_token_is_in_any_log(stack: Stack) -> None:
    logs = "".join(file.read_text(errors="replace") for file in (stack.folder / "logs").iterdir())
    assert "audit=True" in logs
    for name in PEOPLE:
        assert token(name) not in logs


def test_a_broker_that_takes_nothing_keeps_nobody_waiting_for_ever(stack: Stack) -> None:
    """Each of several gives up within its own time, and not after all that came before it."""
    desk = Desk(stack.node.uri("gateway"), 2, "stackferry/gateway")
    desk.link.start()
    assert until(lambda: desk.link.is_ready, 20)
    wrong: list[Exception] = []

    def ask() -> None:
        try:
            desk.ask(DescribeHosts, {}, "tests")
        except Error as error:
            wrong.append(error)

    desk.ask(DescribeHosts, {}, "tests")
    watermark(stack.node, "0.000001")
    try:
        assert until(lambda: not _is_answered(desk), 60), "the alarm is felt"
        askers = [threading.Thread(target=ask) for _ in range(6)]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join(40)
        assert not any(asker.is_alive() for asker in askers)
        assert [type(error) for error in wrong].count(BrokerUnavailable) >= 5
    finally:
        watermark(stack.node, "0.4")
    assert until(lambda: _is_answered(desk), 60)
    desk.close()


def _is_answered(desk: Desk) -> bool:
    try:
        return bool(desk.ask(DescribeHosts, {}, "tests"))
    except Error:
        return False


def test_a_connection_that_broke_is_left_without_a_farewell(stack: Stack) -> None:
    pid = int((stack.node.folder / "pid").read_text())
    began = time.monotonic()
    try:
        with pytest.raises(ZeroDivisionError), connected(stack.node.uri("gateway"), "tests"):
            os.kill(pid, signal.SIGSTOP)
            began = time.monotonic()
            raise ZeroDivisionError
        assert time.monotonic() - began < 10, "nobody would answer it"
    finally:
        os.kill(pid, signal.SIGCONT)
