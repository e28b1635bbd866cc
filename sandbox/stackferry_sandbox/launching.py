"""Start services: hand a plan to the launcher and wait until it has forked them all."""

import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

from stackferry_sandbox.clouds import Cloud, is_free
from stackferry_sandbox.errors import SandboxError
from stackferry_sandbox.layout import State, process_environment
from stackferry_sandbox.logs import tail
from stackferry_sandbox.processes import process_of
from stackferry_sandbox.services import START_ORDER


@dataclass(frozen=True)
class Start:
    """One service that is to be started."""

    cloud: Cloud
    service: str

    @property
    def port(self) -> int:
        """Where it will listen."""
        return self.cloud.port(self.service)


def missing(clouds: Iterable[Cloud]) -> list[Start]:
    """The services that don't run, in the order in which to start them."""
    clouds = list(clouds)
    return [
        Start(cloud, service) for service in START_ORDER for cloud in clouds if not process_of(cloud.paths, service)
    ]


def check_ports(starts: Iterable[Start]) -> None:
    """Refuse to start a service whose port another program has taken."""
    for start in starts:
        if not is_free(start.port):
            name = start.cloud.name
            raise SandboxError(
                f"port {start.port}, where {start.service} of cloud {name!r} listens, is taken by another "
                f"program. See which: `ss -ltnp 'sport = :{start.port}'`. Stop that program, or make the "
                f"cloud anew on other ports: `stackferry-sandbox destroy {name}`, then `up {name}` "
                "(STACKFERRY_SANDBOX_PORT says where to look for free ports)"
            )


def launch(state: State, starts: list[Start], lock: int) -> None:
    """Start services and return when each has a process of its own.

    The launcher inherits the lock and gives it back when all services are forked and recorded. So even
    if this process is killed now, the next `up` waits for the launcher, and finds what it started.

    Args:
        state: the folder of all state.
        starts: what to start.
        lock: the descriptor of the lock that is held.
    """
    if not starts:
        return
    check_ports(starts)
    plan = [{"service": start.service, "port": start.port, "root": str(start.cloud.paths.root)} for start in starts]
    log = starts[0].cloud.paths.launch_log
    with log.open("ab") as output:
        launcher = subprocess.Popen(
            [state.python, "-m", "stackferry_inside.launcher", json.dumps(plan)],
            cwd=state.root,
            env=process_environment() | {"STACKFERRY_SANDBOX_LOCK": str(lock)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            pass_fds=(lock,),
            start_new_session=True,
        )
    # The launcher leaves this process at once. Its standard output ends when every service is forked
    # and recorded, or when it dies.
    said, _ = launcher.communicate()
    if said.strip() != b"forked":
        raise SandboxError(f"the launcher of the services died; the end of {log}:\n{tail(log)}")
