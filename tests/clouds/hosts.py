"""Conversion hosts for tests: servers of the sandbox that run our agents, one in each project."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, contextmanager
from secrets import token_urlsafe
from typing import Any

from stackferry.definitions import password_hash
from stackferry.resources.conversion import MARK, METADATA
from stackferry.topology import Enrolled, host_user
from stackferry_cli.broker_users import local
from stackferry_cli.hosts.broker import with_own_user
from stackferry_cli.local.processes import until
from stackferry_sandbox.hosts import user_data


@contextmanager
def conversion_host(tenant: Any, stack: Any, **settings: Any):  # type: ignore[no-untyped-def]
    """A host with agents that answer; deleted afterwards."""
    with conversion_hosts(stack, [tenant], **settings) as (host,):
        yield host


@contextmanager
def conversion_hosts(stack: Any, tenants: Sequence[Any], agents: int = 1, slots: int = 2, **settings: Any):  # type: ignore[no-untyped-def]
    """A host in each project, with more *settings* if need be. Each has a user of the broker, made in one go."""
    password = token_urlsafe(18)
    env = {"STACKFERRY_SLOTS": slots, "STACKFERRY_AGENTS": agents, **{f"STACKFERRY_{name.upper()}": value for name, value in settings.items()}}  # fmt: skip
    with ExitStack() as opened:
        uris = [with_own_user(stack.node.address(), password, tenant.entry) for tenant in tenants]
        hosts = [
            opened.enter_context(_host(t, {**env, "STACKFERRY_AMQP_URI": u}))
            for t, u in zip(tenants, uris, strict=True)
        ]
        hash_ = password_hash(password)
        local(stack.node).make({host_user(Enrolled(h.id, t.entry)): hash_ for t, h in zip(tenants, hosts, strict=True)})
        for tenant, host in zip(tenants, hosts, strict=True):
            tenant.connect().compute.wait_for_server(host, interval=0.3)
            folder = tenant.box.server_folder(tenant.cloud, host.id)
            ready = [folder / "run" / f"agent-{n}.ready" for n in range(1, agents + 1)]
            log = folder / "var/log/agent-1.log"
            assert until(lambda files=ready: all(file.exists() for file in files), 60), (
                log.read_text() if log.exists() else "no log"
            )
        yield hosts


@contextmanager
def _host(tenant: Any, env: dict[str, Any]):  # type: ignore[no-untyped-def]
    """A host that is being made."""
    compute, network = tenant.connect().compute, tenant.connect().network
    wire = network.create_network(name="conversion", description=MARK)
    network.create_subnet(
        network_id=wire.id, name="conversion", description=MARK, ip_version=4, cidr="192.168.250.0/24"
    )
    flavor = compute.find_flavor("m1.tiny", ignore_missing=False)
    image = next(iter(tenant.connect().image.images(name="conversion")), None) or tenant.connect().image.create_image(
        name="conversion", disk_format="raw", container_format="bare", data=b"x" * 512
    )
    host = compute.create_server(
        name="conversion", flavor_id=flavor.id, image_id=image.id, networks=[{"uuid": wire.id}], metadata=METADATA,
        user_data=_encoded(user_data({**env, "STACKFERRY_CLOUD": tenant.entry})),
    )  # fmt: skip
    try:
        yield host
    finally:
        compute.delete_server(host)
        compute.wait_for_delete(host, interval=0.3)
        network.delete_network(wire)


def _encoded(text: str) -> str:
    import base64

    return base64.b64encode(text.encode()).decode()
