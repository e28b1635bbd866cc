"""Which clouds this process has credentials for: their names in ``clouds.yaml``, read again whenever it changes."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import openstack.config

log = logging.getLogger(__name__)
Stamp = tuple[object, ...]


def names() -> list[str] | None:
    """The names of the clouds that openstacksdk finds; None where it can't read its files: they may be changing."""
    try:
        found = [
            name for name in openstack.config.OpenStackConfig().get_cloud_names() if isinstance(name, str) and name
        ]
    except Exception as error:  # whatever the files hold: it's no reason to end
        log.warning("the clouds' names can't be read: %s: %s", type(error).__name__, error)
        return None
    return None if found == ["defaults"] else sorted(found)  # what it calls what it makes up where it finds no file


def stamp() -> Stamp:
    """Another one once the files have changed. Source: openstacksdk, "Configuring OpenStack SDK applications"."""
    given = [os.environ.get(f"OS_CLIENT_{which}_FILE") for which in ("CONFIG", "SECURE")]
    files = [Path(file) for file in given if file] or [Path(file) for file in openstack.config.loader.CONFIG_FILES]
    return tuple(_stamp(file) for file in files)


def _stamp(file: Path) -> object:
    try:
        found = file.stat()
    except OSError:
        return None
    return file, found.st_mtime_ns, found.st_size
