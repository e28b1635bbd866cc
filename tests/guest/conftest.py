"""Two clouds with real guests, whose image has the wheels of the agent."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stackferry_sandbox.guests import FLAVOR, IMAGE, Guests

from .machine import Machine, encoded, user_data

WHEELS = Path(__file__).parents[2] / "deploy/agent_wheels.py"
NICE = os.environ.get("STACKFERRY_GUEST_NICE", "").split()


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    done = subprocess.run([sys.executable, WHEELS, folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def guests(sandbox: Any, wheels: Path) -> Guests:
    files = {f"/opt/wheels/{path.name}": path for path in wheels.glob("*.whl")}
    made = Guests(sandbox, files, run=NICE)
    made.prepare("src", "dst")
    return made


@pytest.fixture
def boot(guests: Guests) -> Iterator[Callable[..., Machine]]:
    """Make servers that are guests; they are deleted, whatever becomes of the test."""
    made: list[Machine] = []

    def one(connection: Any, name: str, network: Any, flavor: str = FLAVOR, **more: Any) -> Machine:
        compute = connection.compute
        if "block_device_mapping" not in more:
            more["image_id"] = connection.image.find_image(IMAGE, ignore_missing=False).id
        more.setdefault("user_data", encoded(user_data()))
        flavor_id = compute.find_flavor(flavor, ignore_missing=False).id
        server = compute.create_server(name=name, flavor_id=flavor_id, networks=[{"uuid": network.id}], **more)
        made.append(Machine(guests, connection, server))
        made[-1].become("ACTIVE")
        return made[-1]

    yield one
    for machine in made:
        machine.connection.compute.delete_server(machine.server, ignore_missing=True)
    for machine in made:
        machine.connection.compute.wait_for_delete(machine.server, interval=0.3)
