"""Move bytes between glance and the root disk in a server's folder."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

from nova.image import glance

from stackferry_inside.server_folder import ServerFolder


def download(context: Any, instance: Any, folder: ServerFolder) -> None:
    """Make a server's root disk from its image, unless the disk is there already."""
    if folder.root_disk.exists():
        return
    images = glance.API()
    disk_format = images.get(context, instance.image_ref).get("disk_format")
    download = folder.path / "root.download"
    images.download(context, instance.image_ref, dest_path=str(download))
    if disk_format == "qcow2":
        command = ["qemu-img", "convert", "-f", "qcow2", "-O", "raw"]
    else:
        command = ["cp", "--sparse=always"]
    subprocess.run([*command, download, folder.root_disk], check=True)
    download.unlink()
    folder.grow_root_disk(instance.flavor.root_gb << 30)


def upload(context: Any, instance: Any, folder: ServerFolder, image_id: str) -> None:
    """Fill an image, which nova has created, with a server's root disk."""
    images = glance.API()
    packed, disk_format = pack(folder)
    image = {
        "name": images.get(context, image_id)["name"],
        "status": "active",
        "disk_format": disk_format,
        "container_format": "bare",
        "properties": {
            "image_location": "snapshot",
            "image_state": "available",
            "owner_id": instance.project_id,
        },
    }
    with packed.open("rb") as file:
        images.update(context, image_id, image, file)
    if packed != folder.root_disk:
        packed.unlink()


def pack(folder: ServerFolder) -> tuple[Path, str]:
    """The root disk as qcow2, as from libvirt, and without its holes; raw where there is no qemu-img."""
    if not shutil.which("qemu-img"):
        return folder.root_disk, "raw"
    packed = folder.path / "root.upload"
    command = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", folder.root_disk, packed]
    subprocess.run(command, check=True)
    return packed, "qcow2"
