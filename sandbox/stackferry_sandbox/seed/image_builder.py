"""Create a seed's images and upload their bytes."""

import shutil
from collections.abc import Callable
from typing import Any

from openstack.connection import Connection

from stackferry_sandbox.rest import call
from stackferry_sandbox.seed.images import payload

NOT_ATTRIBUTES = ("admin", "members")
"""What a description says of an image that glance isn't told."""

Images = dict[str, dict[str, Any]]


def impossible(images: Images) -> list[str]:
    """The keys of images that can't be made here: qcow2 needs qemu-img."""
    if shutil.which("qemu-img"):
        return []
    return [key for key, attributes in images.items() if attributes["disk_format"] == "qcow2"]


def request(key: str, attributes: dict[str, Any]) -> dict[str, Any]:
    """What glance is asked to create."""
    asked = {name: value for name, value in attributes.items() if name not in NOT_ATTRIBUTES}
    return {"name": key, "container_format": "bare"} | asked


def build(
    connection: Connection,
    admin: Connection,
    images: Images,
    size_mib: int,
    tell: Callable[[str], None],
) -> dict[str, str]:
    """Create images, those of the administrator only once in a cloud; returns the ids of the project's by key."""
    made = {}
    for key, attributes in images.items():
        if not attributes.get("admin"):
            made[key] = create(connection, key, attributes, size_mib)
            for member in attributes.get("members", ()):
                share(connection, admin, made[key], member)
        elif not any(True for _ in admin.image.images(name=key, visibility=attributes["visibility"])):
            create(admin, key, attributes, size_mib)
        tell(f"image {key}")
    return made


def create(connection: Connection, key: str, attributes: dict[str, Any], size_mib: int) -> str:
    """Create an image and upload its bytes; returns its id."""
    image = call(connection.image, "POST", "/images", request(key, attributes))
    response = connection.image.put(
        f"/images/{image['id']}/file",
        data=payload(key, image["disk_format"], size_mib),
        headers={"Content-Type": "application/octet-stream"},
    )
    response.raise_for_status()
    return str(image["id"])


def share(connection: Connection, admin: Connection, image: str, project_name: str) -> None:
    """Offer an image to another project, which is made if need be and hasn't accepted it yet."""
    identity: Any = admin.identity
    project = identity.find_project(project_name) or identity.create_project(name=project_name)
    call(connection.image, "POST", f"/images/{image}/members", {"member": project.id})
