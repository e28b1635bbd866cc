"""The folder that stands for a server: its devices, its root disk, its description."""

import json
import os
from pathlib import Path
from typing import Any


def link(target: Path, path: Path) -> None:
    """Make a symbolic link, replacing one that is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.rename(path)


class ServerFolder:
    """The files of one server."""

    def __init__(self, path: Path) -> None:
        """Name the folder, ``<cloud>/hosts/<server id>``; it need not exist."""
        self.path = path
        self.cloud = path.parent.parent
        self.devices = path / "dev"
        self.by_id = self.devices / "disk/by-id"
        """Where an agent looks for a volume."""
        self.root_disk = path / "root.raw"
        self.user_data = path / "user_data"
        self.description = path / "server.json"
        self.etc = path / "etc/stackferry"
        self.transfer_env = self.etc / "transfer.env"
        """Is there if agents run in this server."""
        self.agent_state = path / "var/lib/stackferry"
        self.log = path / "var/log"
        self.run = path / "run"
        self.disks = self.run / "disks.json"

    def agent_record(self, instance: int) -> Path:
        """Which process is an agent."""
        return self.run / f"agent-{instance}.json"

    def agent_records(self) -> list[Path]:
        """The records of all agents, dead or alive."""
        return sorted(self.run.glob("agent-*.json"))

    def ready_file(self, instance: int) -> Path:
        """What an agent makes when it is ready."""
        return self.run / f"agent-{instance}.ready"

    def agent_log(self, instance: int) -> Path:
        """What an agent prints."""
        return self.log / f"agent-{instance}.log"

    def make(self) -> None:
        """Create the folder."""
        self.by_id.mkdir(parents=True, exist_ok=True)

    def link_device(self, target: Path, device: str) -> None:
        """Make a disk appear under the name that nova gave it."""
        link(target, self.devices / Path(device).name)

    def plug(self, target: Path, volume_id: str, device: str | None) -> None:
        """Make a volume appear, as udev would."""
        link(target, self.by_id / f"virtio-{volume_id[:20]}")
        if device:
            self.link_device(target, device)

    def unplug(self, target: Path) -> None:
        """Make a volume vanish."""
        for folder in (self.devices, self.by_id):
            for path in folder.iterdir() if folder.is_dir() else ():
                if path.is_symlink() and path.readlink() == target:
                    path.unlink()

    def grow_root_disk(self, size: int) -> None:
        """Make the root disk as large as the flavor says; never smaller."""
        if size > self.root_disk.stat().st_size:
            os.truncate(self.root_disk, size)

    def read(self) -> dict[str, Any]:
        """What is known of the server; empty if it has no description."""
        try:
            return json.loads(self.description.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return {}

    def update(self, changes: dict[str, Any]) -> None:
        """Change the description."""
        new = self.description.with_suffix(".new")
        new.write_text(json.dumps(self.read() | changes, indent=1), encoding="utf-8")
        new.rename(self.description)


def describe(instance: Any, power_state: int, network_info: Any) -> dict[str, Any]:
    """What a server's folder says about it; networks only where they are known."""
    flavor = instance.flavor
    found = {
        "uuid": instance.uuid,
        "name": instance.display_name,
        "nova_name": instance.name,
        "hostname": instance.hostname,
        "project_id": instance.project_id,
        "key_name": instance.key_name,
        "key_data": instance.key_data,
        "metadata": dict(instance.metadata),
        "vcpus": flavor.vcpus,
        "ram": flavor.memory_mb,
        "disk": flavor.root_gb,
        "power_state": power_state,
    }
    if network_info is not None:
        found["networks"] = [
            {"port_id": vif["id"], "mac": vif["address"], "ips": [ip["address"] for ip in vif.fixed_ips()]}
            for vif in network_info
        ]
    return found
