"""A request by each way in does the same, and is answered there: terminal, HTTP, AMQP by two clients, NATS, OpenStack's."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from stackferry_cli.local.processes import until
from stackferry_cli.local.stack import Stack

from ..bridge.carried import Bridge
from ..bridge.test_targets import Nats
from ..test_examples import example
from .asking import phase, request, token

pytestmark = pytest.mark.integration
UNKNOWN = "no importer has credentials for a cloud 'nowhere' in its clouds.yaml; known: dst, elsewhere, src"
Way = Callable[[str], tuple[bool, str]]  # asks for a plan from src to a cloud: whether it was taken, and what was said


@pytest.fixture(scope="module")
def ways(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Way]]:
    folder = tmp_path_factory.mktemp("ways")
    uri = urlsplit(stack.uri())._replace(path="/%2F").geturl()
    environ = {**os.environ, "AMQP_URI": uri, "PYTHONWARNINGS": "ignore", "NO_COLOR": "1", "COLUMNS": "300"}

    def run(*words: Any, good: tuple[int, ...] = (0,), **more: str) -> tuple[bool, str]:
        done = subprocess.run([*map(str, words)], env={**environ, **more}, capture_output=True, text=True, timeout=120)
        return done.returncode in good, done.stdout + done.stderr

    def terminal(cloud: str) -> tuple[bool, str]:  # 4: the plan needs a person, since nobody is let in
        return run(sys.executable, "-m", "stackferry_cli.app", "plan", "-s", "src", "-d", cloud, good=(4,))

    def http(cloud: str) -> tuple[bool, str]:
        headers = {"Authorization": f"Bearer {token('root')}"}
        answer = httpx.post(
            f"{stack.gateway.url()}/v1/migrations", headers=headers, json=request(destination={"cloud": cloud})
        )
        return answer.status_code == 202, answer.text

    def kombu(cloud: str) -> tuple[bool, str]:
        return run(sys.executable, "-c", example("kombu", "python"), "src", cloud)

    def node(cloud: str) -> tuple[bool, str]:
        (folder / "example.js").write_text(example("Node.js", "javascript"))
        return run("node", folder / "example.js", "src", cloud)

    def nats_way(url: str) -> Way:
        async def ask(cloud: str) -> dict[str, Any]:
            import nats

            data = {"migration": str(uuid.uuid4()), **request(destination={"cloud": cloud}), "reply_to": "x"}
            event = {"specversion": "1.0", "id": str(uuid.uuid4()), "source": "/my/tool",
                     "type": "stackferry.request-migration.v1", "data": data}  # fmt: skip
            client = await nats.connect(url)
            try:
                answer = await client.request("ferry.ask", json.dumps(event).encode(), timeout=20)
            finally:
                await client.close()
            return json.loads(answer.data)  # type: ignore[no-any-return]

        def way(cloud: str) -> tuple[bool, str]:
            found = asyncio.run(ask(cloud))
            return "parts" in found, json.dumps(found)

        return way

    def openstack(cloud: str) -> tuple[bool, str]:
        (folder / "token").write_text(token("root"))
        return run(
            Path(sys.executable).with_name("openstack"), "ferry", "migration", "create", "src", cloud, "--plan",
            OS_FERRY_ENDPOINT_OVERRIDE=stack.gateway.url(), OS_FERRY_TOKEN_FILE=str(folder / "token"),
        )  # fmt: skip

    found: dict[str, Way] = {
        "terminal": terminal, "http": http, "amqp from python": kombu, "openstack ferry": openstack,
    }  # fmt: skip
    with ExitStack() as over:
        if shutil.which("nats-server"):
            beyond = Nats(folder)
            over.enter_context(beyond())
            over.enter_context(Bridge(stack, folder / "b", "nats", target=beyond.url, requests="ferry.ask"))
            found["nats"] = nats_way(beyond.url)
        words = ["npm", "install", "--no-audit", "--no-fund", "--prefix", folder, "amqplib@0.10.9"]
        if shutil.which("npm") and not subprocess.run(words, capture_output=True, timeout=300).returncode:
            found["amqp from node.js"] = node
        yield found


NEEDS = {
    "terminal": "", "amqp from python": "", "openstack ferry": "", "nats": "nats-server is not installed",
    "amqp from node.js": "optional: npm is not installed, or amqplib can't be",
}  # fmt: skip


def known(http: httpx.Client) -> set[str]:
    return {one["id"] for one in http.get("/v1/migrations", params={"limit": 1000}).json()["items"]}


def made(http: httpx.Client, way: Way) -> dict[str, Any]:
    """What a way makes of a request for a plan, as it is then, without what is each one's own."""
    before = known(http)
    taken, said = way("dst")
    assert taken, said
    (id_,) = known(http) - before
    assert until(lambda: phase(http, id_) == "stuck", 60)
    found = http.get(f"/v1/migrations/{id_}").json()
    return {key: value for key, value in found.items() if key not in ("id", "created", "changed")}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", NEEDS)
def test_each_way_does_the_same_and_is_answered(http: httpx.Client, ways: dict[str, Way], name: str) -> None:
    if name not in ways:
        pytest.skip(NEEDS[name])
    plan = made(http, ways["http"])
    assert plan["mode"] == "plan"
    assert made(http, ways[name]) == plan


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["http", *NEEDS])
def test_each_way_says_why_a_request_is_refused(http: httpx.Client, ways: dict[str, Way], name: str) -> None:
    if name not in ways:
        pytest.skip(NEEDS[name])
    before = known(http)
    taken, said = ways[name]("nowhere")
    assert not taken, said
    assert UNKNOWN in said.replace("\n", " ")
    assert known(http) == before, "what was refused was made"
