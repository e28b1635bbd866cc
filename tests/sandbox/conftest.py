"""What the sandbox's tests share: a tenant of one's own, and short words for servers and volumes."""

import base64
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from openstack.connection import Connection
from stackferry_sandbox import Sandbox
from stackferry_sandbox.connections import connect
from stackferry_sandbox.hosts import user_data

STAND_IN = (sys.executable, str(Path(__file__).parent / "agent.py"))


@pytest.fixture
def tenant(sandbox: Sandbox) -> Iterator[Connection]:
    """A member of a new project in src."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    with connect(sandbox.create_tenant("src", name)) as connection:
        yield connection
    sandbox.delete_tenant("src", name)


def until(condition: Callable[[], Any], seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


@dataclass
class Kit:
    """A tenant with a network and an image, and what it takes to make servers and volumes."""

    box: Sandbox
    cloud: Connection
    made: dict[str, str] = field(default_factory=dict)

    def network(self) -> str:
        if "network" not in self.made:
            network = self.cloud.network.create_network(name="n").id
            self.cloud.network.create_subnet(network_id=network, ip_version=4, cidr="10.9.0.0/24")
            self.made["network"] = network
        return self.made["network"]

    def image(self) -> str:
        if "image" not in self.made:
            data = os.urandom(100_000)
            image = self.cloud.create_image("i", data=data, disk_format="raw", container_format="bare")
            self.made["image"] = image.id
        return self.made["image"]

    def server(self, name: str = "s", flavor: str = "m1.tiny", **more: Any) -> Any:
        compute = self.cloud.compute
        if "block_device_mapping" not in more:
            more["image_id"] = self.image()
        more.setdefault("networks", [{"uuid": self.network()}])
        server = compute.create_server(name=name, flavor_id=compute.find_flavor(flavor).id, **more)
        return compute.wait_for_server(server, interval=0.1)

    def host(self, name: str = "h", env: dict[str, object] | None = None, **files: str) -> Any:
        data = user_data(env or {}, files)
        return self.server(name, user_data=base64.b64encode(data.encode()).decode())

    def folder(self, server: Any) -> Path:
        return self.box.server_folder("src", server.id)

    def volume(self, size: int = 1, **more: Any) -> Any:
        return self.settled(self.cloud.block_storage.create_volume(size=size, **more), "available")

    def file(self, volume: Any) -> Path:
        return self.box.volume_file("src", volume.id)

    def settled(self, item: Any, status: str) -> Any:
        item = item.fetch(self.cloud.block_storage)  # it may say what was true before the last request
        return self.cloud.block_storage.wait_for_status(item, status, failures=["error"], interval=0.1)

    def attach(self, server: Any, volume: Any) -> None:
        self.cloud.compute.create_volume_attachment(server, volume_id=volume.id)
        self.settled(volume, "in-use")

    def detach(self, server: Any, volume: Any) -> None:
        self.cloud.compute.delete_volume_attachment(server, volume)
        self.settled(volume, "available")
        # nova forgets it a moment after cinder, and until then refuses to attach it again
        assert until(lambda: volume.id not in self.attached(server))

    def attached(self, server: Any) -> list[str]:
        return [each.volume_id for each in self.cloud.compute.volume_attachments(server)]

    def become(self, server: Any, status: str) -> Any:
        server = server.fetch(self.cloud.compute)
        return self.cloud.compute.wait_for_server(server, status, interval=0.1)

    def delete(self, server: Any) -> None:
        self.cloud.compute.delete_server(server)
        self.cloud.compute.wait_for_delete(server, interval=0.1)


@pytest.fixture
def kit(sandbox: Sandbox, tenant: Connection) -> Kit:
    return Kit(sandbox, tenant)


@pytest.fixture
def stand_in(sandbox: Sandbox) -> Iterator[None]:
    """Conversion hosts run agent.py of this folder."""
    with sandbox.stand_in(*STAND_IN):
        yield


@pytest.fixture
def wait() -> Callable[..., bool]:
    return until


@pytest.fixture
def stand_in_command() -> tuple[str, str]:
    return STAND_IN
