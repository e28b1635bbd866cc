"""Build the tenant that tenant.yaml describes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from openstack.connection import Connection

from stackferry_sandbox.disks import Disks
from stackferry_sandbox.errors import SandboxError
from stackferry_sandbox.rest import create
from stackferry_sandbox.seed import image_builder, network_builder, server_builder, volume_builder
from stackferry_sandbox.seed.keys import public_key

Description = dict[str, dict[str, dict[str, Any]]]
"""Section, key, attributes."""

Tell = Callable[[str], None]

DESCRIPTION = Path(__file__).parent / "tenant.yaml"
IMAGE_MIB = 2
KEYPAIR_MICROVERSION = "2.92"
"""From here on nova takes names with '@' and '.'."""
NEED_DISKS = ("volumes", "server_groups", "servers")
"""Sections that are left out where nobody says where the disks are."""


def load(path: Path = DESCRIPTION) -> Description:
    """The description, with an empty mapping where nothing is said."""
    sections = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {
        section: {key: attributes or {} for key, attributes in items.items()} for section, items in sections.items()
    }


def missing(description: Description, existing: dict[str, list[str]]) -> dict[str, list[str]]:
    """The names that a description wants and that don't exist, by section.

    Args:
        description: what is wanted.
        existing: the names that exist, by section.
    """
    return {
        section: gone
        for section, names in existing.items()
        if (gone := [name for name in map(str, wanted_names(description[section])) if name not in names])
    }


def wanted_names(section: dict[str, dict[str, Any]]) -> list[str]:
    """The names in a section, without what belongs to the administrator or is always there."""
    return [
        attributes.get("name", key)
        for key, attributes in section.items()
        if key != "default" and attributes.get("admin") is not True
    ]


def existing_names(connection: Connection) -> dict[str, list[str]]:
    """The names of what a project has, by section."""
    project = connection.current_project_id
    network, compute = connection.network, connection.compute
    return {
        "networks": [each.name for each in network.networks(project_id=project)],
        "security_groups": [each.name for each in network.security_groups(project_id=project)],
        "routers": [each.name for each in network.routers(project_id=project)],
        "keypairs": [each.name for each in compute.keypairs()],
        "images": [each.name for each in connection.image.images(owner=project)]
        + [each.name for each in connection.image.images(owner=project, is_hidden=True)],
        "volumes": [each.name for each in connection.block_storage.volumes()],
        "server_groups": [each.name for each in compute.server_groups()],
        "servers": [each.name for each in compute.servers()],
    }


def possible(description: Description, disks: Disks | None, tell: Tell) -> Description:
    """The part of a description that can be built here."""
    skipped = image_builder.impossible(description["images"])
    for key in skipped:
        tell(f"image {key} is left out: qemu-img is not installed")
    left_out = () if disks else NEED_DISKS
    images = {key: each for key, each in description["images"].items() if key not in skipped}
    return description | {"images": images} | {section: {} for section in left_out}


def seed_tenant(
    connection: Connection,
    admin_connection: Connection,
    *,
    size_mib: int = IMAGE_MIB,
    disks: Disks | None = None,
    tell: Tell = lambda _line: None,
) -> bool:
    """Fill an empty project with the tenant of tenant.yaml.

    Args:
        connection: as a member of the project.
        admin_connection: for what only an administrator can do.
        size_mib: the size of each image.
        disks: where the cloud's disks are (``Sandbox.disks``); without it there will be no volumes and servers.
        tell: called with a line of text about what is being done.

    Returns:
        False if the tenant was there already.
    """
    wanted = possible(load(), disks, tell)
    existing = existing_names(connection)
    gone = missing(wanted, existing)
    if not gone:
        return False
    if any(existing[section] for section in existing if section != "security_groups"):
        raise SandboxError(
            f"the project isn't empty, and isn't this tenant either: it lacks {gone}; seed another project"
        )
    ids = network_builder.build(connection, admin_connection, wanted, tell)
    make_keypairs(connection, wanted["keypairs"])
    images = image_builder.build(connection, admin_connection, wanted["images"], size_mib, tell)
    if disks:
        volumes = volume_builder.build(connection, disks, wanted["volumes"], tell)
        ids |= {("images", key): image for key, image in images.items()}
        ids |= {("volumes", key): volume for key, volume in volumes.items()}
        server_builder.build(connection, disks, ids, wanted, tell)
    return True


def make_keypairs(connection: Connection, keypairs: dict[str, dict[str, Any]]) -> None:
    """Create keypairs whose private halves nobody has."""
    for key, attributes in keypairs.items():
        name = attributes.get("name", key)
        line = public_key(attributes["algorithm"], name.replace(" ", "-"))
        keypair = {"name": name, "public_key": line}
        create(connection.compute, "os-keypairs", keypair, microversion=KEYPAIR_MICROVERSION)
