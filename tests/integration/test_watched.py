"""Whoever watches the services: alive, ready, and how things stand, over a broker that goes and comes back."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from stackferry.client import Client
from stackferry_cli.local.processes import until
from stackferry_cli.local.rabbitmq import free_port
from stackferry_cli.local.stack import Stack

from ..conftest import scratch

pytestmark = pytest.mark.integration
SERVICES = ("coordinator", "exporter", "importer")
SAMPLE = re.compile(r"([a-z_]+)(?:\{(.*)\})? ([-+0-9.eInfNa]+)")


@pytest.fixture(scope="module")
def watched() -> Iterator[tuple[Stack, dict[str, httpx.Client]]]:
    """The services, each with an address of its own."""
    with scratch("watched") as folder, pytest.MonkeyPatch.context() as patch:
        patch.delenv("AMQP_URI", raising=False)
        clouds = folder / "clouds.yaml"
        clouds.write_text(
            "clouds: {src: &a {auth: {auth_url: 'http://127.0.0.1:1/v3', username: u, password: p, project_name: p}}, dst: *a}"
        )
        stack, http = Stack(folder / "home"), {}
        try:
            counts = dict.fromkeys(SERVICES, 0)
            for service in SERVICES:
                counts[service], port = 1, free_port()
                told = {"STACKFERRY_METRICS_ADDRESS": f"127.0.0.1:{port}", "OS_CLIENT_CONFIG_FILE": str(clouds)}
                stack.up(dict(counts), told)
                http[service] = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False)
            yield stack, http
        finally:
            stack.down()
            for client in http.values():
                client.close()


def values(http: httpx.Client) -> dict[tuple[str, str], float]:
    """(name, labels) → value, read by this test's own eyes."""
    response = http.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in response.text.splitlines() if not line.startswith("#")]
    found = [SAMPLE.fullmatch(line) for line in lines]
    assert all(found), [line for line, one in zip(lines, found, strict=True) if not one]
    return {(one[1], one[2] or ""): float(one[3]) for one in found if one}


def test_each_service_is_alive_and_ready(watched: Any) -> None:
    _, http = watched
    for client in http.values():
        assert client.get("/livez").status_code == 200
        assert until(lambda c=client: c.get("/readyz").status_code == 200, 20)
        assert values(client)["stackferry_ready", ""] == 1.0
        assert client.get("/none").status_code == 404
        assert client.post("/livez").status_code == 501


def test_what_happens_is_counted(watched: Any) -> None:
    stack, http = watched
    coordinator = http["coordinator"]
    with Client(stack.uri()) as ferry:
        migration = ferry.migrate("src", "dst", mode="plan")
        assert until(lambda: ferry.show(migration)["phase"] == "stuck" or ferry.show(migration)["steps"], 30)
        ferry.control(migration, "cancel")
        ferry.wait_for(migration, "cancelled", timeout=60)

    def told() -> dict[tuple[str, str], float]:
        return values(coordinator)

    assert until(lambda: told().get(("stackferry_migrations", 'phase="cancelled"')) == 1.0, 20), told()
    found = told()
    assert found["stackferry_messages_total", 'outcome="done",queue="stackferry.coordinator"'] >= 3
    assert found["stackferry_workers", 'service="exporter"'] == found["stackferry_workers", 'service="importer"'] == 1.0
    assert found["stackferry_volumes_waiting", ""] == 0.0
    assert found["stackferry_unsent_messages", ""] == 0.0
    calls = {
        labels: many
        for (name, labels), many in values(http["exporter"]).items()
        if name == "stackferry_cloud_calls_total"
    }
    assert any('host="127.0.0.1:1"' in labels and 'status="0"' in labels for labels in calls), calls


def test_ready_is_who_reads_its_queue_and_alive_who_waits_for_the_broker(watched: Any) -> None:
    stack, http = watched
    stack.node.stop()
    try:
        for client in http.values():
            assert until(lambda c=client: c.get("/readyz").status_code == 503, 30)
            assert client.get("/livez").status_code == 200
            assert values(client)["stackferry_ready", ""] == 0.0
    finally:
        stack.node.start()
    for client in http.values():
        assert until(lambda c=client: c.get("/readyz").status_code == 200, 60)


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1", "127.0.0.1:99999", "192.0.2.1:9100"])
def test_an_address_that_cannot_be_used_is_named(address: str) -> None:
    for module in ("stackferry_coordinator", "stackferry_exporter"):
        env = {
            "PATH": "/usr/bin",
            "STACKFERRY_METRICS_ADDRESS": address,
            "STACKFERRY_AMQP_URI": "amqp://u:p@127.0.0.1:1//",
        }
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", module], env=env, capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
        assert "STACKFERRY_METRICS_ADDRESS" in done.stderr
