"""Look inside the clouds, and break things in them."""

import contextlib
import signal
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

from stackferry_sandbox import accesslog, agents, clouds, faults, layout, processes
from stackferry_sandbox.agents import Agent
from stackferry_sandbox.clouds import Cloud
from stackferry_sandbox.disks import Disks
from stackferry_sandbox.errors import SandboxError
from stackferry_sandbox.services import NAMES


class Inspection:
    """The part of a sandbox that tests use to see and to break things."""

    state: layout.State

    def access_log(
        self, cloud: str, service: str | None = None, since: datetime | float | None = None
    ) -> Iterator[accesslog.Request]:
        """The API requests that a cloud, or one of its services, has answered, in order of time."""
        return accesslog.read(self._cloud(cloud).paths, self._services(service), since)

    def faults(
        self, cloud: str, service: str, rules: Iterable[faults.Rule | dict[str, object]]
    ) -> contextlib.AbstractContextManager[list[faults.Rule]]:
        """A context in which a service misbehaves as rules say."""
        (service,) = self._services(service)
        return faults.active(self._cloud(cloud).paths.faults(service), rules)

    def pid_of(self, cloud: str, service: str) -> int | None:
        """The pid of a service; None if it doesn't run."""
        (service,) = self._services(service)
        process = processes.process_of(self._cloud(cloud).paths, service)
        return process.pid if process else None

    def kill(self, cloud: str, service: str) -> None:
        """Kill a service (SIGKILL) and wait until it is gone; ``up`` brings it back."""
        (service,) = self._services(service)
        if process := processes.process_of(self._cloud(cloud).paths, service):
            process.send(signal.SIGKILL)
            processes.wait_until(lambda: not process.alive, 60.0)

    # -- servers, their disks and their agents

    def server_folder(self, cloud: str, server_id: str) -> Path:
        """The folder that stands for a server."""
        return self._cloud(cloud).paths.host(server_id)

    def volume_file(self, cloud: str, volume_id: str) -> Path:
        """The file of a volume. What an agent writes is there once it has synced, or the volume is detached."""
        return self.disks(cloud).volume(volume_id)

    def disks(self, cloud: str) -> Disks:
        """The files of a cloud's disks."""
        return Disks(self._cloud(cloud).paths)

    def agents(self, cloud: str) -> list[Agent]:
        """The transfer agents that run: server id, instance, pid, log."""
        return agents.running(self._cloud(cloud))

    def kill_agent(self, cloud: str, server_id: str, instance: int = 1) -> None:
        """Kill an agent (SIGKILL) and wait until it is gone."""
        agents.kill(self._cloud(cloud), server_id, instance)

    def start_agents(self, cloud: str, server_id: str) -> None:
        """Start those agents of a server that don't run; the server must."""
        agents.act(self._cloud(cloud), "start", server_id)

    # -- within

    def _cloud(self, name: str) -> Cloud:
        return clouds.get(self.state, name)

    @staticmethod
    def _services(service: str | None) -> tuple[str, ...]:
        if service is not None and service not in NAMES:
            raise SandboxError(f"{service!r} is no service; there are {', '.join(NAMES)}")
        return (service,) if service else NAMES
