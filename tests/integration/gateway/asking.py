"""Asking the gateway, by httpx, which knows nothing of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from stackferry_cli.local.stack import Stack

PEOPLE: dict[str, dict[str, Any]] = {
    "root": {"role": "admin"},
    "mover": {"role": "operator"},
    "guest": {"role": "viewer"},
    "team": {"role": "operator", "clouds": ["src", "dst"], "labels": {"team": "web"}},
    "other": {"role": "admin", "clouds": ["elsewhere"]},
    "late": {"role": "admin", "expires": "2020-01-01T00:00:00Z"},
}


NOBODYS = "6f1e4b0a-8b58-4e0c-9d62-5c7f4a1f0e12"


RATE = {"STACKFERRY_RATE": "1000"}


NETWORK = {"type": "openstack.network.Network", "params": {"name": "net"}, "_info": {}, "_migration_params": {}}


def token(name: str) -> str:
    return f"token-of-{name}"


@contextmanager
def caller(stack: Stack, person: str | None) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {token(person)}"} if person else {}
    with httpx.Client(base_url=stack.gateway.url(), headers=headers, timeout=60, trust_env=False) as http:
        yield http


def request(**more: Any) -> dict[str, Any]:
    return {"source": {"cloud": "src"}, "destination": {"cloud": "dst"}, "mode": "plan", **more}


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = response.json()
    assert found["status"] == status
    assert found["type"].startswith("urn:stackferry:problem:")
    assert found["detail"]
    return found


def made(http: httpx.Client, **more: Any) -> str:
    response = http.post("/v1/migrations", json=request(**more))
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


def imported(http: httpx.Client, many: int = 3, **more: Any) -> str:
    """A migration of documents, whose destination can't be reached: it has steps, and they fail."""
    documents = [{**NETWORK, "params": {"name": f"net-{n}"}, "_info": {"id": f"n{n}"}} for n in range(many)]
    response = http.post("/v1/migrations", json={"destination": {"cloud": "dst"}, "documents": documents, **more})
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


def phase(http: httpx.Client, migration: str) -> str:
    return str(http.get(f"/v1/migrations/{migration}").json()["phase"])


def answers(http: httpx.Client) -> bool:
    try:
        return http.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False
