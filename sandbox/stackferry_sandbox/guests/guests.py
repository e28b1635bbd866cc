"""Let the clouds of a sandbox have real guests."""

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from openstack.connection import Connection

from stackferry_sandbox import clouds
from stackferry_sandbox.files import write_json
from stackferry_sandbox.guests import image, programs
from stackferry_sandbox.guests.acceleration import accelerator
from stackferry_sandbox.guests.network import GuestNetwork
from stackferry_sandbox.sandbox import Sandbox

FLAVOR = "g1.guest"
"""Its servers are real guests."""
IMAGE = "debian-guest"
ASK = {"stackferry:guest": "qemu"}
"""The extra spec of a flavor, or metadata of a server, that makes it a real guest."""
RAM = 512
DIGEST = "stackferry_digest"


@dataclass
class Guests:
    """Real guests in the clouds of a sandbox.

    Args:
        sandbox: the sandbox; its clouds that are to have guests must run.
        files: more files for the image, by their path in the guest.
        run: what to put before long commands, such as ``nice``.
    """

    sandbox: Sandbox
    files: Mapping[str, Path] = field(default_factory=dict)
    run: list[str] = field(default_factory=list)

    @property
    def network(self) -> GuestNetwork:
        """The network of all guests of this sandbox."""
        state = hashlib.sha256(str(self.sandbox.state.root).encode()).hexdigest()
        return GuestNetwork(f"stackferry-{state[:8]}", self.sandbox.state.root / "guests.lock")

    def prepare(self, *names: str) -> None:
        """Give clouds the image, a flavor, and what their guests start from."""
        programs.check()
        found = [clouds.get(self.sandbox.state, name) for name in names]
        made = image.ensure(image.cache_folder(os.environ), self.sandbox.tell, self.run)
        boot = {
            "kernel": str(made.kernel),
            "initrd": str(made.initrd),
            "namespace": self.network.name,
            "accelerator": accelerator(made.kernel),
        }
        for cloud in found:
            with self.sandbox.connect(f"{cloud.name}-admin") as admin:
                ensure_flavor(admin)
                self._ensure_image(admin, made)
            write_json(cloud.paths.guests, boot)
            self.sandbox.tell(f"{cloud.name} may have real guests: flavor {FLAVOR}, image {IMAGE}")

    def _ensure_image(self, admin: Connection, made: image.Image) -> None:
        """Upload the image, in place of one of before."""
        digest = image.digest_of(made, self.files)
        found = list(admin.image.images(name=IMAGE))
        if any(each.properties.get(DIGEST) == digest and each.status == "active" for each in found):
            return
        for each in found:
            admin.image.delete_image(each)
        with tempfile.TemporaryDirectory(prefix="guest-", dir=self.sandbox.state.root) as folder:
            packed = Path(folder) / "image.qcow2"
            image.pack(made, self.files, packed)
            formats = {"disk_format": "qcow2", "container_format": "bare", "visibility": "public"}
            admin.create_image(IMAGE, filename=str(packed), wait=True, **formats, **{DIGEST: digest})


def ensure_flavor(admin: Connection) -> None:
    """Make the flavor; its servers boot from the image or from a volume."""
    if not admin.compute.find_flavor(FLAVOR):
        made = admin.compute.create_flavor(name=FLAVOR, ram=RAM, vcpus=1, disk=2)
        admin.compute.create_flavor_extra_specs(made, ASK)
