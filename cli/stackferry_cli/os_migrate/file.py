"""What OS Migrate's variables file says: credentials of both clouds, filters, folders. Source: its variables guide."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from stackferry.documents import parse, read_text
from stackferry.errors import Error
from stackferry.selection import invalid_filters

#: variable → kind
FILTERS = {
    "os_migrate_networks_filter": "network",
    "os_migrate_subnets_filter": "subnet",
    "os_migrate_routers_filter": "router",
    "os_migrate_security_groups_filter": "security_group",
    "os_migrate_images_filter": "image",
    "os_migrate_keypairs_filter": "keypair",
    "os_migrate_workloads_filter": "server",
    "os_migrate_volumes_filter": "volume",  # of its export
    "os_migrate_detached_volumes_filter": "volume",  # of its import
}
MOST = 1 << 20  # bytes of a variables file
STOP = "os_migrate_workload_stop_before_migration"
#: variable (after os_migrate_src_ or os_migrate_dst_) → key in clouds.yaml
CLOUD_KEYS = {
    "auth_type": "auth_type",
    "region_name": "region_name",
    "ca_cert": "cacert",
    "client_cert": "cert",
    "client_key": "key",
    "block_storage_api_version": "block_storage_api_version",
}


def read(path: Path) -> dict[str, Any]:
    """Return the variables; raise Error naming the file, and quoting nothing of it: it holds passwords."""
    try:
        content = parse(read_text(path, MOST))
    except Error as error:
        raise Error(f"{path} {error}") from None
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise Error(f"{path}{where}: no YAML that can be read without Ansible (as a !vault can't)") from None
    if not isinstance(content, dict):
        raise Error(f"{path}: expected variables, one a line (name: value)")
    return content


def filters(variables: dict[str, Any]) -> dict[str, list[Any]]:
    """Return kind → filter; raise Error naming the variable that makes no sense."""
    found: dict[str, list[Any]] = {}
    for variable, kind in FILTERS.items():
        if variable not in variables:
            continue
        items = value(variables, variable)
        problems = invalid_filters({"filters": {kind: items}}) if isinstance(items, list) else {"": ["expected a list"]}
        if problems:
            raise Error(f"{variable}: {'; '.join(text for texts in problems.values() for text in texts)}")
        if found.setdefault(kind, items) != items:
            names = [name for name, filtered in FILTERS.items() if filtered == kind]
            raise Error(f"{' and '.join(names)} differ: here one filter is for export and import")
    return found


def leaves_running(variables: dict[str, Any]) -> bool:
    """Whether the variables say that nobody shall stop servers. OS Migrate also means that where they say nothing."""
    return _flag(variables, STOP) is False


def boot_disk_copy(variables: dict[str, Any]) -> bool | None:
    """Whether the boot disks of all servers are copied; None where nothing is said."""
    return _flag(variables, "os_migrate_workloads_boot_disk_copy")


def wants_image_blobs(variables: dict[str, Any]) -> bool | None:
    """Whether an export writes the payloads of images; None where nothing is said."""
    return _flag(variables, "os_migrate_export_images_blobs")


def image_blobs_dir(variables: dict[str, Any]) -> str | None:
    """Return the folder of the images' payloads, if the variables say one."""
    return _path(variables, "os_migrate_image_blobs_dir")


def data_dir(variables: dict[str, Any]) -> str | None:
    """Return the data directory, if the variables say one."""
    return _path(variables, "os_migrate_data_dir")


def _flag(variables: dict[str, Any], name: str) -> bool | None:
    said = value(variables, name)
    if not isinstance(said, bool | None):
        raise Error(f"{name}: expected true or false")
    return said


def _path(variables: dict[str, Any], name: str) -> str | None:
    said = value(variables, name)
    if not isinstance(said, str | None):
        raise Error(f"{name}: expected a path")
    return said


def clouds(variables: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a clouds.yaml with the clouds ``src`` and ``dst``."""
    entries = {}
    for side in ("src", "dst"):
        auth = value(variables, f"os_migrate_{side}_auth")
        if auth is None:
            continue
        if not isinstance(auth, dict):
            raise Error(f"os_migrate_{side}_auth: expected auth_url, username, password, ...")
        entry: dict[str, Any] = {"auth": auth}
        for variable, key in CLOUD_KEYS.items():
            if (said := value(variables, f"os_migrate_{side}_{variable}")) is not None:
                entry[key] = said
        if value(variables, f"os_migrate_{side}_validate_certs") is False:
            entry["verify"] = False
        entries[side] = entry
    if not entries:
        raise Error("neither os_migrate_src_auth nor os_migrate_dst_auth is there")
    return {"clouds": entries}


def value(variables: dict[str, Any], name: str) -> Any:
    """The value of a variable; raise Error naming what Ansible would fill in first."""
    said = variables.get(name)
    if templates := list(_templates(said, name)):
        raise Error(f"{', '.join(templates)}: a template that only Ansible fills in; write the value itself")
    return said


def _templates(value: Any, path: str) -> Iterator[str]:
    """Yield the path of each text in *value* that is a Jinja template."""
    if isinstance(value, dict):
        for key, member in value.items():
            yield from _templates(member, f"{path}.{key}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _templates(item, f"{path}.{number}")
    elif isinstance(value, str) and ("{{" in value or "{%" in value):
        yield path


def write_clouds(variables: dict[str, Any], path: Path) -> None:
    """Write a clouds.yaml that only its owner can read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(yaml.safe_dump(clouds(variables)), "utf-8")
