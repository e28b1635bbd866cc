"""Conversion hosts for tests: servers of the sandbox that run our agents, one in each project."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

from stackferry.resources.conversion import MARK, METADATA
from stackferry_cli.local.processes import until
from stackferry_sandbox.hosts import user_data


@contextmanager
def conversion_host(tenant: Any, uri: str, agents: int = 1, slots: int = 2, **settings: Any):  # type: ignore[no-untyped-def]
    """A host with agents that answer, with more *settings* if need be; deleted afterwards."""
    compute, network = tenant.connect().compute, tenant.connect().network
    env = {"STACKFERRY_AMQP_URI": uri, "STACKFERRY_CLOUD": tenant.entry, "STACKFERRY_SLOTS": slots,
           "STACKFERRY_AGENTS": agents, **{f"STACKFERRY_{name.upper()}": value for name, value in settings.items()}}  # fmt: skip
    wire = network.create_network(name="conversion", description=MARK)
    network.create_subnet(
        network_id=wire.id, name="conversion", description=MARK, ip_version=4, cidr="192.168.250.0/24"
    )
    flavor = compute.find_flavor("m1.tiny", ignore_missing=False)
    image = next(iter(tenant.connect().image.images(name="conversion")), None) or tenant.connect().image.create_image(
        name="conversion", disk_format="raw", container_format="bare", data=b"x" * 512
    )
    host = compute.create_server(
        name="conversion", flavor_id=flavor.id, image_id=image.id, networks=[{"uuid": wire.id}],
        user_data=_encoded(user_data(env)), metadata=METADATA,
    )  # fmt: skip
    host = compute.wait_for_server(host, interval=0.3)
    folder = tenant.box.server_folder(tenant.cloud, host.id)
    ready = [folder / "run" / f"agent-{n}.ready" for n in range(1, agents + 1)]
    log = folder / "var/log/agent-1.log"
    assert until(lambda: all(file.exists() for file in ready), 60), log.read_text() if log.exists() else "no log"
    try:
        yield host
    finally:
        compute.delete_server(host)
        compute.wait_for_delete(host, interval=0.3)
        network.delete_network(wire)


def _encoded(text: str) -> str:
    import base64

    return base64.b64encode(text.encode()).decode()
