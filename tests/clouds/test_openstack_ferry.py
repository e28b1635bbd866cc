"""Callers who come with Keystone's tokens; and OpenStack's own client, with `openstack ferry`."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from stackferry_gateway import callers
from stackferry_gateway.callers import Callers
from stackferry_gateway.people import Tokens
from stackferry_gateway.problems import Problem

from ..gateways import gateway

pytestmark = pytest.mark.clouds
OWN = "token-of-nobody-else"


def tokens_file(folder: Path) -> Path:
    file = folder / "tokens.yaml"
    digest = hashlib.sha256(OWN.encode()).hexdigest()
    file.write_text(yaml.safe_dump({"tokens": [{"name": "own", "role": "admin", "sha256": digest}]}))
    return file


def keystone_file(folder: Path, auth_url: str, *people: dict[str, Any]) -> Path:
    file = folder / "keystone.yaml"
    file.write_text(yaml.safe_dump({"auth_url": auth_url, "people": list(people)}))
    return file


@pytest.fixture
def people(source: Any, destination: Any, tmp_path: Path) -> Callable[[], Callers]:
    """The members of the source's project may move between the two clouds of this test."""
    file = keystone_file(
        tmp_path, source.auth["auth"]["auth_url"],
        {"keystone_role": "member", "project": source.name, "domain": "Default", "role": "operator",
         "clouds": [source.entry, destination.entry], "labels": {"team": "web"}},
        {"keystone_role": "ADMIN", "role": "admin"},
    )  # fmt: skip
    return lambda: Callers(Tokens(str(tokens_file(tmp_path))), str(file))


def refused(people: Callers, token: str) -> int:
    with pytest.raises(Problem) as found:
        asyncio.run(people.of(token.encode()))
    return found.value.status


def test_keystone_says_whose_a_token_is(
    source: Any, destination: Any, new_tenant: Any, sandbox: Any, people: Callable[[], Callers], monkeypatch: Any
) -> None:
    known = people()
    member = asyncio.run(known.of(source.connect().auth_token.encode()))
    assert member.client.role == "operator"
    assert member.client.clouds == {source.entry, destination.entry}
    assert member.client.labels == {"team": "web"}
    user = source.connect().current_user_id
    assert member.name.startswith(f"keystone:{user}:")
    assert member.expires is not None
    admin = asyncio.run(known.of(sandbox.connect("src-admin").auth_token.encode()))
    assert (admin.client.role, admin.client.clouds) == ("admin", None)
    assert refused(known, new_tenant("src").connect().auth_token) == 403, "a member of another project"
    assert refused(known, destination.connect().auth_token) == 401, "another cloud's Keystone"
    assert refused(known, "gAAAAAB" + "x" * 176) == 401
    assert asyncio.run(known.of(OWN.encode())).name == "own"


def test_a_token_that_is_revoked_is_good_no_longer(
    source: Any, people: Callable[[], Callers], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "KEEPS", 0.0)
    known = people()
    session = source.connect().session
    token = session.get_token()
    assert asyncio.run(known.of(token.encode())).client.role == "operator"
    url = f"{source.auth['auth']['auth_url'].rstrip('/').removesuffix('/v3')}/v3/auth/tokens"
    gone = httpx.delete(url, headers={"X-Auth-Token": token, "X-Subject-Token": token})
    assert gone.status_code == 204
    session.invalidate()
    assert refused(known, token) == 401


@pytest.fixture
def openstack(
    stack: Any, source: Any, destination: Any, tmp_path: Path, people: Any
) -> Iterator[Callable[..., Any]]:  # fmt: skip
    """OpenStack's command, as a member of the source's project; what it prints is JSON."""
    clouds = tmp_path / "clouds.yaml"
    with gateway(stack, tmp_path, TOKENS=str(tokens_file(tmp_path)), KEYSTONE=str(tmp_path / "keystone.yaml")) as url:
        clouds.write_text(yaml.safe_dump({"clouds": {
            "me": {**source.auth, "ferry_endpoint_override": url},
            "catalogue": source.auth,
            "own": {"ferry_endpoint_override": url, "ferry_token_file": str(tmp_path / "token")},
        }}))  # fmt: skip
        (tmp_path / "token").write_text(f"{OWN}\n")
        env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "OS_CLIENT_CONFIG_FILE": str(clouds)}

        def run(*words: str, cloud: str = "me", code: int = 0) -> Any:
            program = Path(sys.executable).with_name("openstack")
            formatted = () if code or words[-1] == "--help" else ("-f", "json")
            done = subprocess.run(
                [program, "--os-cloud", cloud, "ferry", *words, *formatted], env=env, capture_output=True, text=True,
                timeout=280,
            )  # fmt: skip
            assert done.returncode == code, done.stdout + done.stderr
            assert "Traceback" not in done.stderr
            return json.loads(done.stdout) if not code and done.stdout.strip() else done.stdout + done.stderr

        run.url = url  # type: ignore[attr-defined]
        yield run


def test_a_tenant_is_moved_by_openstack_ferry(
    source: Any, destination: Any, sandbox: Any, openstack: Any, tmp_path: Path
) -> None:
    network = source.connect().network.create_network(name="net")
    source.connect().network.create_subnet(network_id=network.id, ip_version=4, cidr="10.9.0.0/24", name="v4")
    (tmp_path / "request.json").write_text(json.dumps({"selection": {"kinds": ["network"]}, "labels": {"wave": "1"}}))
    planned = openstack(
        "migration", "create", source.entry, destination.entry, "--name", "wave one", "--plan", "--wait", "--kind",
        "network", "--kind", "subnet", "--label", "team=web", "--request", str(tmp_path / "request.json"),
    )  # fmt: skip
    assert (planned["phase"], planned["mode"]) == ("planned", "plan")
    assert planned["labels"] == {"team": "web", "wave": "1"}
    rows = openstack("migration", "plan", "show", "wave one")
    assert sorted((row["Kind"], row["Outcome"]) for row in rows) == [("network", "created"), ("subnet", "created")]
    done = openstack("migration", "start", "wave one", "--wait")
    assert done["phase"] == "done"
    assert destination.connect().network.find_network("net").name == "net"
    (listed,) = openstack("migration", "list", "--label", "wave=1")
    assert (listed["Name"], listed["Phase"], listed["Source"]) == ("wave one", "done", {"cloud": source.entry})
    steps = openstack("migration", "step", "list", planned["id"], "--kind", "subnet")
    assert {row["Kind"] for row in steps} == {"subnet"}
    assert openstack("migration", "workload", "list", "wave one") == []
    assert openstack("migration", "show", "wave one")["id"] == planned["id"]

    said = openstack("migration", "undo", "wave one", code=1)
    assert "for the role admin" in said
    said = openstack("migration", "start", "wave one", code=1)
    assert "a migration that is done can't be told to start" in said
    said = openstack("migration", "show", "nobody's", code=1)
    assert """no migration has the id or the name "nobody's\"""" in said
    said = openstack("migration", "create", source.entry, "nowhere", code=1)
    assert "may not touch that cloud" in said
    said = openstack("migration", "create", source.entry, destination.entry, "--cutover", "auto", code=1)
    assert "add --warm" in said

    assert openstack("migration", "undo", planned["id"], "--wait", cloud="own")["phase"] == "undone"
    assert destination.connect().network.find_network("net") is None
    openstack("migration", "delete", planned["id"], code=1)
    assert openstack("migration", "list", "--label", "wave=1") != []


def test_hosts_workers_and_clouds(source: Any, openstack: Any) -> None:
    assert isinstance(openstack("host", "list"), list)
    assert "--drain --resume" in openstack("host", "set", "nobody", code=2)
    assert "no conversion host nobody was heard of" in openstack("host", "set", "nobody", "--drain", code=1)
    assert {row["Service"] for row in openstack("worker", "list")} == {"exporter", "importer"}
    assert openstack("cloud", "check", source.entry)["project"] == source.name


def test_the_catalogue_says_where_the_gateway_is(source: Any, sandbox: Any, openstack: Any) -> None:
    assert "public endpoint for ferry service" in openstack("host", "list", cloud="catalogue", code=1)
    identity = sandbox.connect("src-admin").identity
    service = identity.create_service(type="ferry", name="stackferry")
    region = next(identity.regions()).id
    identity.create_endpoint(service_id=service.id, interface="public", url=openstack.url, region_id=region)
    try:
        assert isinstance(openstack("host", "list", cloud="catalogue"), list)
    finally:
        identity.delete_service(service)
