"""Create a seed's volumes and write what they hold."""

from collections.abc import Callable
from typing import Any

from openstack.connection import Connection

from stackferry_sandbox.disks import Disks
from stackferry_sandbox.rest import call, create
from stackferry_sandbox.seed.contents import fill

NOT_ATTRIBUTES = ("bootable", "image_metadata", "content")
"""What a description says of a volume that cinder is told later, or not at all."""

Volumes = dict[str, dict[str, Any]]


def request(key: str, attributes: dict[str, Any]) -> dict[str, Any]:
    """What cinder is asked to create."""
    return {"name": key} | {name: value for name, value in attributes.items() if name not in NOT_ATTRIBUTES}


def build(connection: Connection, disks: Disks, volumes: Volumes, tell: Callable[[str], None]) -> dict[str, str]:
    """Create volumes; returns their ids by key."""
    storage = connection.block_storage
    made = {key: create(storage, "volumes", request(key, each))["id"] for key, each in volumes.items()}
    for key, volume in made.items():
        found = storage.get_volume(volume)
        storage.wait_for_status(found, "available", failures=["error"], interval=0.1, wait=120)
        complete(storage, disks, volume, key, volumes[key])
        tell(f"volume {key}")
    return made


def complete(storage: Any, disks: Disks, volume: str, key: str, attributes: dict[str, Any]) -> None:
    """Write a volume's content, and say what POST doesn't take."""
    fill(disks.volume(volume), key, attributes.get("content", {}))
    actions = {
        "os-set_bootable": {"bootable": attributes.get("bootable", False)},
        "os-set_image_metadata": {"metadata": attributes.get("image_metadata", {})},
    }
    for action, said in actions.items():
        if any(said.values()):
            call(storage, "POST", f"/volumes/{volume}/action", {action: said})
