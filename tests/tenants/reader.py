"""Read a whole project by the API references' words, sharing no code with what moves it.

The administrator is asked for what members aren't told (user data, root devices), and the sandbox for bytes of disks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from ..clouds.servers import content, digest
from . import reader_network
from .reading import Object, Reading, bag, link

Answer = dict[str, Any]
NOVA = "2.96"
#: what Glance says of an image besides its properties, and what isn't carried since it's the cloud's own
GLANCE = (
    "name",
    "disk_format",
    "container_format",
    "min_disk",
    "min_ram",
    "visibility",
    "protected",
    "os_hidden",
    "status",
)
OWN_OF_GLANCE = ("id", "created_at", "updated_at", "owner", "schema", "self", "file", "checksum", "size", "virtual_size",
                 "os_hash_algo", "os_hash_value", "locations", "direct_url", "stores", "tags")  # fmt: skip


def read(tenant: Any) -> Reading:
    """Return what a tenant's project has, by id; key pairs are those of its user."""
    c = tenant.connect()
    admin = tenant.box.connect(f"{tenant.cloud}-admin")
    found = [
        *reader_network.read(c.network, c.current_project_id),
        *_images(c.image, c.current_project_id),
        *_volumes(tenant, c.block_storage),
        *_servers(tenant, c.compute, admin.compute),
    ]
    return {one.id: one for one in found}


def _images(service: Any, project: str) -> Iterator[Object]:
    for hidden in ("false", "true"):
        for found in service.get(f"/images?owner={project}&os_hidden={hidden}&limit=200").json()["images"]:
            told = {name: found.get(name) for name in GLANCE}
            own = {n: v for n, v in found.items() if n not in (*GLANCE, *OWN_OF_GLANCE)}
            payload = None
            if found["status"] == "active":
                payload = hashlib.sha256(service.get(f"/images/{found['id']}/file").content).hexdigest()
            yield Object(
                "image", found["id"], told | {"properties": own, "tags": bag(found["tags"]), "payload": payload}
            )


def _volumes(tenant: Any, service: Any) -> Iterator[Object]:
    for found in service.get("/volumes/detail").json()["volumes"]:
        told = {name: found.get(name) for name in ("name", "description", "size", "volume_type", "bootable", "multiattach",
                                                   "encrypted", "availability_zone", "status")}  # fmt: skip
        metadata = dict(found["metadata"])
        readonly = metadata.pop("readonly", "False")
        metadata.pop("attached_mode", None)
        yield Object(
            "volume", found["id"],
            told | {"metadata": metadata, "readonly": readonly, "image_metadata": found.get("volume_image_metadata") or {},
                    "content": content(tenant, found["id"])},
        )  # fmt: skip
    for found in service.get("/snapshots/detail").json()["snapshots"]:
        told = {name: found.get(name) for name in ("name", "description", "size", "metadata")}
        yield Object("snapshot", found["id"], told | {"volume": link(found["volume_id"])})


def _servers(tenant: Any, service: Any, admin: Any) -> Iterator[Object]:
    for found in (k["keypair"] for k in service.get("/os-keypairs", microversion=NOVA).json()["keypairs"]):
        told = {name: found.get(name) for name in ("name", "type", "public_key", "fingerprint")}
        yield Object("keypair", f"keypair/{found['name']}", told)
    groups = service.get("/os-server-groups", microversion=NOVA).json()["server_groups"]
    for found in groups:
        told = {name: found.get(name) for name in ("name", "policy", "rules")}
        yield Object("server_group", found["id"], told | {"members": bag(link(m) for m in found["members"])})
    for one in service.get("/servers", microversion=NOVA).json()["servers"]:
        yield _server(tenant, admin.get(f"/servers/{one['id']}", microversion=NOVA).json()["server"], service)


def _server(tenant: Any, found: Answer, service: Any) -> Object:
    id_ = found["id"]
    told = {name: found.get(name) for name in ("name", "description", "status", "metadata", "key_name", "locked",
                                               "config_drive", "OS-DCF:diskConfig")}  # fmt: skip
    attached = service.get(f"/servers/{id_}/os-volume_attachments", microversion=NOVA).json()["volumeAttachments"]
    legs = service.get(f"/servers/{id_}/os-interface", microversion="2.70").json()["interfaceAttachments"]
    tags = {leg["port_id"]: leg.get("tag") for leg in legs}
    attached.sort(key=lambda a: (len(a.get("device") or ""), a.get("device") or ""))
    root = found.get("OS-EXT-SRV-ATTR:root_device_name")
    boots = [a["volumeId"] for a in attached if a.get("device") == root]
    folder = tenant.box.server_folder(tenant.cloud, id_)
    guest = json.loads((folder / "server.json").read_text()) if (folder / "server.json").exists() else {}
    root_disk = None
    if not boots and (folder / "root.raw").exists():
        with (folder / "root.raw").open("rb") as file:
            root_disk = digest(file.fileno())
    flavor = {
        name: found["flavor"].get(name) for name in ("original_name", "vcpus", "ram", "disk", "ephemeral", "swap")
    }
    return Object(
        "server", id_,
        told | {
            "hostname": found.get("OS-EXT-SRV-ATTR:hostname"), "user_data": found.get("OS-EXT-SRV-ATTR:user_data"),
            "tags": bag(found["tags"]), "flavor": flavor, "image": link((found["image"] or {}).get("id")),
            "volumes": [link(a["volumeId"]) for a in attached],
            "dies_with_it": [a["volumeId"] and a.get("delete_on_termination") for a in attached],
            "boot_volume": link(boots[0]) if boots else None, "root_disk": root_disk,
            "nics": [link(nic["port_id"]) for nic in guest.get("networks") or ()],
            "volume_tags": [a.get("tag") for a in attached],
            "nic_tags": [tags.get(nic["port_id"]) for nic in guest.get("networks") or ()],
        },
    )  # fmt: skip
