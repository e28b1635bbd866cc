"""The playbook of examples/ansible, run by Ansible itself: it plans, shows, starts, and may be run again."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from ..gateways import gateway

pytestmark = pytest.mark.clouds
PLAYBOOK = Path(__file__).parents[2] / "examples" / "ansible" / "migrate.yml"
TOKEN = "token-of-the-playbook"


@pytest.fixture
def url(stack: Any, tmp_path: Path) -> Iterator[str]:
    tokens = tmp_path / "tokens.yaml"
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    tokens.write_text(yaml.safe_dump({"tokens": [{"name": "ansible", "role": "operator", "sha256": digest}]}))
    with gateway(stack, tmp_path, TOKENS=str(tokens)) as found:
        yield found


@pytest.fixture
def play(url: str, tmp_path: Path) -> Callable[..., str]:
    """Run the playbook; what it prints. The token is in its environment."""

    def run(code: int = 0, token: str = TOKEN, **said: str) -> str:
        words = [
            word
            for name, value in {"ferry": url, "asks_every": "1", **said}.items()
            for word in ("-e", f"{name}={value}")
        ]
        env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "FERRY_TOKEN": token, "LC_ALL": "C.UTF-8",
               "ANSIBLE_LOCALHOST_WARNING": "false"}  # fmt: skip
        program = Path(sys.executable).with_name("ansible-playbook")
        done = subprocess.run([program, PLAYBOOK, *words], env=env, capture_output=True, text=True, timeout=280)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    return run


def test_a_tenant_is_planned_moved_and_asked_for_again(
    source: Any, destination: Any, play: Callable[..., str], url: str
) -> None:
    source.connect().network.create_network(name="net")
    where = {"source": source.entry, "destination": destination.entry, "wave": f"wave-{source.entry}"}
    assert "created network net" in play(**where)
    assert destination.connect().network.find_network("net") is None, "a plan makes nothing"
    assert "changed=1" in play(start="true", **where)
    assert destination.connect().network.find_network("net").name == "net"
    assert "changed=0" in play(start="true", **where)
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}) as http:
        found = http.get("/v1/migrations").json()["items"]
    assert [(one["name"], one["phase"]) for one in found if one["name"] == where["wave"]] == [(where["wave"], "done")]


def test_what_goes_wrong_ends_it(source: Any, play: Callable[..., str]) -> None:
    assert "401" in play(2, token="nobodys", source=source.entry, destination="nowhere")
    assert "nowhere" in play(2, source=source.entry, destination="nowhere")
