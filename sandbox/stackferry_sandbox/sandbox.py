"""The sandbox as an object: everything that the command line and tests can do with it."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from openstack.connection import Connection

from stackferry_sandbox import (
    agents,
    clouds,
    connections,
    creation,
    environment,
    launching,
    layout,
    processes,
    readiness,
    status,
    template,
    tenants,
)
from stackferry_sandbox.clouds import Cloud
from stackferry_sandbox.errors import SandboxError
from stackferry_sandbox.files import locked, write_atomically
from stackferry_sandbox.furnish import furnish, is_furnished
from stackferry_sandbox.inspection import Inspection

Tell = Callable[[str], None]

DEFAULT_CLOUDS = ("src", "dst")


class Sandbox(Inspection):
    """Real OpenStack clouds on loopback, with all their state in one folder.

    Several objects, in several processes, may use one folder at once.
    """

    def __init__(
        self,
        state: Path | None = None,
        first_port: int | None = None,
        tell: Tell = lambda _line: None,
        agent: Sequence[str] | None = None,
    ) -> None:
        """Use a folder; nothing happens yet.

        Args:
            state: the folder of all state; by default as STACKFERRY_SANDBOX says.
            first_port: where new clouds look for free ports; by default as STACKFERRY_SANDBOX_PORT says.
            tell: called with a line of text about what is being done.
            agent: the command that conversion hosts run; by default as STACKFERRY_SANDBOX_AGENT says, else
                stackferry_transfer in this Python.
        """
        folder = Path(state).expanduser().absolute() if state else layout.state_folder(os.environ)
        self.state = layout.State(folder)
        self.first_port = first_port or layout.first_port(os.environ)
        self.tell = tell
        self.agent = list(agent or agents.default_command(os.environ))

    # -- life of clouds

    def install(self) -> None:
        """Make the clouds' Python environment, unless it is there and up to date."""
        with self._locked() as lock:
            self._install(lock)

    def up(self, *names: str) -> None:
        """Start clouds, making those that don't exist; starts only the services that don't run.

        Args:
            names: which; src and dst if none is named.
        """
        wanted = dict.fromkeys(names or DEFAULT_CLOUDS)
        for name in wanted:
            clouds.check_name(name)
        with self._locked() as lock:
            self._install(lock)
            found = [clouds.find(self.state, name) or self._create(name, lock) for name in wanted]
            for cloud in found:
                clouds.check_version(cloud, environment.digest())
            starts = launching.missing(found)
            for cloud in {start.cloud.name: start.cloud for start in starts}.values():
                # Written again at each start: a newer version of this package may configure differently.
                creation.write_configs(cloud.paths, creation.settings_of(self.state, cloud))
            self._write_clouds_yaml()
            for cloud in found:
                agents.write_command(cloud, self.agent)
            launching.launch(self.state, starts, lock)
            for cloud in found:
                readiness.wait_ready(cloud)
                if not is_furnished(cloud):
                    furnish(cloud)
                agents.act(cloud, "boot", lock=lock)
                self.tell(f"{cloud.name} is up: {cloud.url('keystone')}")

    def down(self, *names: str) -> None:
        """Stop clouds (all if none is named) and keep their state."""
        with self._locked() as lock:
            chosen = [clouds.get(self.state, name) for name in names]
            self._stop(chosen or clouds.known(self.state), lock)

    def destroy(self, *names: str) -> None:
        """Stop clouds (all if none is named) and remove their state; what doesn't exist is no error."""
        with self._locked() as lock:
            found = [cloud for cloud in clouds.known(self.state) if not names or cloud.name in names]
            self._stop(found, lock)
            for cloud in found:
                # First the record: a folder without it is no cloud, if this is interrupted.
                cloud.paths.record.unlink()
                shutil.rmtree(cloud.paths.root)
            self._write_clouds_yaml()

    @contextlib.contextmanager
    def stand_in(self, *command: str) -> Iterator[None]:
        """A context in which conversion hosts that are switched on run another command as their agents."""
        usual, self.agent = self.agent, list(command)
        try:
            self._write_agent()
            yield
        finally:
            self.agent = usual
            self._write_agent()

    def status(self) -> list[status.CloudStatus]:
        """What exists, what runs, and how much memory it takes."""
        return [status.status_of(cloud) for cloud in clouds.known(self.state)]

    # -- access

    def clouds_yaml(self) -> str:
        """A clouds.yaml with two entries for each cloud: ``<name>`` (the tenant) and ``<name>-admin``."""
        return connections.clouds_yaml(clouds.known(self.state))

    def write_clouds_yaml(self, path: Path) -> None:
        """Write clouds.yaml, readable by its owner only."""
        write_atomically(Path(path), self.clouds_yaml(), 0o600)

    def connect(self, cloud_entry_name: str) -> Connection:
        """A connection for an entry of clouds.yaml, such as ``src`` or ``src-admin``."""
        cloud = self._cloud(cloud_entry_name.removesuffix("-admin"))
        return connections.connect(connections.entries(cloud)[cloud_entry_name])

    def create_tenant(self, cloud: str, name: str, admin: bool = False) -> connections.Entry:
        """Make a new project with a user; returns how to log in, as in clouds.yaml."""
        return tenants.create_tenant(self._cloud(cloud), name, admin=admin)

    def delete_tenant(self, cloud: str, name: str) -> None:
        """Remove a project, its user, and all that the project has."""
        tenants.delete_tenant(self._cloud(cloud), name)

    # -- within

    def _locked(self) -> contextlib.AbstractContextManager[int]:
        self.state.make()
        return locked(self.state.lock, waiting=self._tell_waiting())

    @contextlib.contextmanager
    def _tell_waiting(self) -> Iterator[None]:
        self.tell("waiting for another stackferry-sandbox to finish ...")
        yield

    def _install(self, lock: int) -> None:
        if environment.is_installed(self.state):
            return
        running = [cloud.name for cloud in self.status() if any(service.pid for service in cloud.services)]
        if running:
            raise SandboxError(
                f"the clouds' Python environment is out of date, but {', '.join(running)} still use it; "
                "stop them: `stackferry-sandbox down`"
            )
        self.tell("installing the clouds' Python environment ...")
        environment.install(self.state, lock)

    def _create(self, name: str, lock: int) -> Cloud:
        if not template.is_built(self.state):
            self.tell("building the template of all clouds (once, half a minute) ...")
            template.build(self.state, lock)
        cloud = clouds.draft(self.state, name, self.first_port, environment.digest())
        creation.create(self.state, cloud)
        clouds.record(cloud)
        return cloud

    def _stop(self, stopping: list[Cloud], lock: int) -> None:
        names = {cloud.name for cloud in stopping}
        others = [cloud.paths for cloud in clouds.known(self.state) if cloud.name not in names]
        processes.stop_services([cloud.paths for cloud in stopping], others)
        for cloud in stopping:
            agents.act(cloud, "halt", lock=lock)

    def _write_agent(self) -> None:
        for cloud in clouds.known(self.state):
            agents.write_command(cloud, self.agent)

    def _write_clouds_yaml(self) -> None:
        self.write_clouds_yaml(self.state.clouds_yaml)
