"""What a workload consists of, by its document: the server, its disks in segments, its ports, trunks, floating IPs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from stackferry.cleanup import BY_HAND
from stackferry.resources.boot_disk import boot_volume, unclear
from stackferry.resources.server_parts import own_ports
from stackferry.step_key import of_resource, read

GIB = 1 << 30
SEGMENT = 4 * GIB  # bytes that one try of a copy is about, at most
AT_ONCE = 2  # segments of one volume that are under way at the same time
RUNS = "ACTIVE"  # the status of a server that runs
SERVER, VOLUME = "openstack.compute.Server", "openstack.network.ServerVolume"
#: lists of a server's document whose parts need no id of the source: a port may have been added, or copied, by hand
ADDED = ("ports", "sub_ports", "trunks", "floating_ips")


@dataclass(frozen=True, slots=True)
class Subject:
    """What steps are about; ``owner`` is the key of what it's a part of.

    ``each``: server, volume, segment, port, sub_port, trunk or floating_ip.
    """

    each: str
    key: str
    document: dict[str, Any]
    owner: str = ""
    lead: bool = False
    detached: bool = False
    warm: bool = False
    awaited: bool = False  # nobody stops it but who runs it
    as_found: bool = False  # it's stopped at the destination if it was at the source
    number: int = 0  # of a segment
    first: int = 0  # byte of a segment
    length: int = 0  # bytes of a segment; 0: to the end


def subjects(group: str, document: dict[str, Any]) -> list[Subject]:
    """Return a workload's subjects; *group* is the key of the server, or of the detached volume."""
    if read(group).kind != "server":
        volume = Subject("volume", group, document, lead=True, detached=True)
        return [volume, *_segments(volume)]
    volumes = _volumes(group, document)
    warm = is_warm(document) and bool(volumes)
    found = [Subject("server", group, document, warm=warm, awaited=is_awaited(document),
                     as_found=is_as_found(document))]  # fmt: skip
    for number, disk in enumerate(volumes):
        subject = Subject("volume", _key("volume", disk), disk, group, lead=number == 0, warm=warm)
        found += [subject, *_segments(subject)]
    parts = {
        "port": own_ports(document),
        "sub_port": own_ports(document, "sub_ports"),
        "trunk": document["params"].get("trunks") or [],
        "floating_ip": document["params"].get("floating_ips") or [],
    }
    if document["_migration_params"].get("floating_ip_mode") == "skip":
        del parts["floating_ip"]
    return found + [Subject(each, _key(each, part), part, group) for each, some in parts.items() for part in some]


def keys_of(group: str, document: dict[str, Any]) -> list[str]:
    """The keys of a workload's subjects, the segments of its disks aside."""
    return [subject.key for subject in subjects(group, document) if subject.each != "segment"]


def is_copied(group: str, document: dict[str, Any]) -> bool:
    """Whether bytes of it are copied from disk to disk."""
    return read(group).kind != "server" or bool(_volumes(group, document))


def is_warm(document: dict[str, Any]) -> bool:
    """Whether a server's disks are copied while it runs; one that doesn't run is simply moved."""
    return bool(document["_migration_params"].get("mode") == "warm" and document["_info"].get("status") == RUNS)


def is_awaited(document: dict[str, Any]) -> bool:
    """Whether nobody stops or starts a server but who runs it."""
    return bool(document["_migration_params"].get("shutdown") == "wait")


def is_as_found(document: dict[str, Any]) -> bool:
    """Whether a server that was stopped stays so. Where a document doesn't say, it's OS Migrate's: that starts all."""
    asked = document["_migration_params"]
    return "power" in asked and asked["power"] != "running"


def problem(document: dict[str, Any]) -> str | None:
    """What is wrong with how a server or a volume is to be moved; None when nothing is."""
    if not document["_info"].get("id"):
        return "_info.id is missing: it says which one of the source is to be moved"
    volumes = document["params"].get("volumes") or ()
    ids = [volume["_info"].get("id") or "" for volume in volumes]
    if "" in ids:
        return f"volumes.{ids.index('')}._info.id is missing: it says which volume of the source is to be copied"
    if twice := next((id_ for id_ in ids if ids.count(id_) > 1), None):
        return f"volumes: {twice} stands twice"
    for number, volume in enumerate(volumes):
        if not re.fullmatch(r"\d{0,9}", str(volume["_info"].get("size") or "")):
            return f"volumes.{number}._info.size is {volume['_info']['size']!r}, and not a number of GiB"
    copied = document["type"] == SERVER and document["_migration_params"].get("data_copy") is not False
    if copied and (reason := unclear(document)):
        return reason
    if document["_migration_params"].get("source_access") == "detach" and is_warm(document):
        return "source_access: a disk can't be detached and copied while its server runs"
    return None


def whole(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document with facts and choices, and its parts likewise, where whoever wrote it left them out."""
    full = {"_info": {}, "_migration_params": {}, **{n: v for n, v in document.items() if v is not None}}
    params = dict(full["params"])
    for name in ("volumes", *ADDED):
        if params.get(name):
            params[name] = [whole(part) for part in params[name]]
    for name in ADDED:
        known: set[str] = set()
        for number, part in enumerate(params.get(name) or ()):
            id_ = part["_info"].get("id")
            if not id_ or id_ in known:
                id_ = f"{BY_HAND}{full['_info'].get('id')}-{name}-{number}"
            part["_info"] = {**part["_info"], "id": id_}
            known.add(id_)
    return {**full, "params": params}


def _key(kind: str, document: dict[str, Any]) -> str:
    return of_resource(kind, document["_info"]["id"])


def _volumes(group: str, document: dict[str, Any]) -> list[dict[str, Any]]:
    """The disks to copy, the boot disk first; that of an image-booted server only when it's asked for."""
    asked = document["_migration_params"]
    if asked.get("data_copy") is False:
        return []
    volumes = list(document["params"].get("volumes") or [])
    if document["params"].get("image_ref") and asked.get("boot_disk_copy"):
        given = {n: v for n, v in (asked.get("boot_volume_params") or {}).items() if v is not None}
        info = {"id": f"{read(group).id}-boot", "is_bootable": True, "size": None}
        volumes.insert(0, {"type": VOLUME, "params": given, "_info": info, "_migration_params": {}})
    return volumes


def size_of(volume: dict[str, Any]) -> int:
    """Bytes of a volume, by its document; 0 when that doesn't say. Older files have the number as text."""
    return int(volume["_info"].get("size") or 0) * GIB


def reading(document: dict[str, Any]) -> dict[str, int]:
    """What of the source's quotas a server's disks need that are surely read from snapshots, and volumes of these."""
    asked, volumes = document["_migration_params"], document["params"].get("volumes") or []
    if not is_warm(document) and asked.get("source_access") != "snapshot":
        boot = boot_volume(document)
        volumes = [] if boot is None else [volumes[boot]]
    if not volumes or asked.get("data_copy") is False:
        return {}
    gigabytes = sum(int(one["_info"].get("size") or one["params"].get("size") or 0) for one in volumes)
    return {"snapshots": len(volumes), "volumes": len(volumes), "gigabytes": 2 * gigabytes}


def segments(size: int) -> list[tuple[int, int]]:
    """Where the segments of a volume begin, and their bytes; (0, 0) of one whose size nobody knows yet.

    A volume of a few GiB is divided as well, so that it's moved by as many agents at once as a large one.
    """
    each = min(SEGMENT, max(GIB, -(-size // (AT_ONCE * GIB)) * GIB))
    return [(first, min(each, size - first)) for first in range(0, size, each)] or [(0, 0)]


def _segments(volume: Subject) -> list[Subject]:
    return [
        Subject("segment", volume.key, volume.document, volume.key, number=n, first=first, length=length,
                warm=volume.warm)
        for n, (first, length) in enumerate(segments(size_of(volume.document)))
    ]  # fmt: skip
