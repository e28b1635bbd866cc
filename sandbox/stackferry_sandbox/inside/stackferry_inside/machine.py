"""A server as a machine: it has disks and power, and transfer agents if its user data asks for them."""

import shutil
from pathlib import Path

from stackferry_inside import agents, disks, user_data
from stackferry_inside.server_folder import ServerFolder

RUNNING = 1
"""nova's power state."""


class Machine:
    """One server. Without agents it is only a folder with links."""

    def __init__(self, path: Path) -> None:
        """Name its folder; it need not exist."""
        self.folder = ServerFolder(path)

    @property
    def has_agents(self) -> bool:
        """Whether it is a conversion host."""
        return self.folder.transfer_env.exists()

    @property
    def runs(self) -> bool:
        """Whether its power is on."""
        return self.folder.read().get("power_state") == RUNNING

    def make(self, data: bytes) -> None:
        """Create its folder, and the files that its user data asks for."""
        self.folder.make()
        if data:
            self.folder.user_data.write_bytes(data)
        for file in user_data.files(data):
            path = self.folder.path / file.path.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            own = file.path == user_data.TRANSFER_ENV
            path.write_bytes(user_data.moved(file.content, str(self.folder.etc)) if own else file.content)
            path.chmod(file.mode)

    def remove(self, *, with_disks: bool) -> None:
        """End what runs in it, and remove the folder; or only the devices, if the disks are to stay."""
        agents.stop([self.folder])
        disks.unplug_all(self.folder)
        shutil.rmtree(self.folder.path if with_disks else self.folder.devices, ignore_errors=True)

    def power_on(self) -> None:
        """Start the agents that don't run."""
        if self.has_agents:
            agents.start(self.folder)

    def power_off(self, seconds: float = 0) -> None:
        """End the agents; seconds are what a guest has to end by itself."""
        agents.stop([self.folder])

    def plug(self, file: Path, volume_id: str, device: str | None) -> None:
        """Make a volume appear."""
        if self.has_agents:
            disks.plug(self.folder, file, volume_id, device)
        else:
            self.folder.plug(file, volume_id, device)

    def unplug(self, file: Path) -> None:
        """Make a volume vanish."""
        if self.has_agents:
            disks.unplug(self.folder, file)
        else:
            self.folder.unplug(file)

    def grow(self, file: Path) -> None:
        """Show that a volume has grown."""
        disks.grow(self.folder, file)
