"""Where the bytes of a cloud's disks are."""

from dataclasses import dataclass
from pathlib import Path

from stackferry_sandbox.errors import SandboxError
from stackferry_sandbox.layout import CloudPaths


@dataclass(frozen=True)
class Disks:
    """The disks of one cloud, as files."""

    paths: CloudPaths

    def volume(self, volume_id: str) -> Path:
        """The file of a volume."""
        return self._existing(self.paths.volume(volume_id), f"volume {volume_id}")

    def root(self, server_id: str) -> Path:
        """The file of the root disk of a server that was booted from an image."""
        return self._existing(self.paths.host(server_id) / "root.raw", f"root disk of server {server_id}")

    def _existing(self, path: Path, what: str) -> Path:
        if not path.exists():
            raise SandboxError(f"cloud {self.paths.root.name!r} has no {what}")
        return path
