"""Wait until a cloud answers, and say which service failed if one dies."""

import http.client
import time
from collections.abc import Callable
from functools import partial

from keystoneauth1.exceptions import ClientException
from openstack.connection import Connection
from openstack.exceptions import SDKException

from stackferry_sandbox.clouds import Cloud
from stackferry_sandbox.connections import connect_admin
from stackferry_sandbox.errors import SandboxError
from stackferry_sandbox.logs import tail
from stackferry_sandbox.processes import process_of
from stackferry_sandbox.services import NAMES

PATIENCE = 300.0
"""Seconds for one condition. A start takes 20 s on two idle cores; on a busy machine much longer."""

POLL_SECONDS = 0.1

NOVA_WORKERS = {"nova-conductor", "nova-scheduler", "nova-compute"}
CINDER_WORKERS = {"cinder-scheduler", "cinder-volume"}


def check_alive(cloud: Cloud, service: str) -> None:
    """Fail, with the reason, if a service's process is gone."""
    if not process_of(cloud.paths, service):
        log = cloud.paths.log(service)
        raise SandboxError(f"{service} of cloud {cloud.name!r} died; the end of {log}:\n{tail(log)}")


def answers(cloud: Cloud, service: str) -> bool:
    """Whether a service answers HTTP requests."""
    connection = http.client.HTTPConnection("127.0.0.1", cloud.port(service), timeout=30)
    try:
        connection.request("GET", "/", headers={"User-Agent": "stackferry-sandbox"})
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def wait(cloud: Cloud, service: str, what: str, condition: Callable[[], bool]) -> None:
    """Wait for a condition that a service has to bring about."""
    end = time.monotonic() + PATIENCE
    while True:
        check_alive(cloud, service)
        reason = "not yet"
        try:
            if condition():
                return
        except (SDKException, ClientException) as error:
            reason = str(error)
        if time.monotonic() > end:
            raise SandboxError(
                f"cloud {cloud.name!r}: {what} after {PATIENCE:.0f} s ({reason}); see {cloud.paths.log(service)}"
            )
        time.sleep(POLL_SECONDS)


def wait_ready(cloud: Cloud) -> None:
    """Wait until every service answers and every worker has reported."""
    for service in NAMES:
        wait(cloud, service, f"{service} does not answer", partial(answers, cloud, service))
    with connect_admin(cloud) as admin:
        wait(cloud, "nova", "not all of nova's workers are up", partial(nova_works, admin))
        wait(cloud, "cinder", "not all of cinder's workers are up", partial(cinder_works, admin))


def nova_works(admin: Connection) -> bool:
    """Whether nova's workers are up and its host is mapped to the cell."""
    up = {service.binary for service in admin.compute.services() if service.state == "up"}
    return up >= NOVA_WORKERS and any(True for _ in admin.compute.hypervisors())


def cinder_works(admin: Connection) -> bool:
    """Whether cinder's workers are up."""
    up = {service.binary for service in admin.block_storage.services() if service.state == "up"}
    return up >= CINDER_WORKERS
