"""The rules of Nova and Cinder that kinds must live with: what's made later than answered, attached, and refused."""

from __future__ import annotations

import json as json_
import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import requests
from openstack.block_storage.v3.volume import Volume
from openstack.compute.v2.flavor import Flavor
from openstack.compute.v2.keypair import Keypair
from openstack.compute.v2.server import Server
from openstack.network.v2.network import Network
from openstack.network.v2.port import Port

if TYPE_CHECKING:
    from .fake_cloud import Cloud

GRADUAL = (Server, Volume)
UNLIMITED = -1


def response(status: int, content: Any) -> requests.Response:
    answer = requests.Response()
    answer.status_code, answer._content = status, json_.dumps(content).encode()
    return answer


class Compute:
    """Part of the proxy: calls that Neutron doesn't have."""

    cloud: Cloud
    admin: bool

    # -- what comes later ----------------------------------------------------------------------------------

    def _advance(self, cls: type, id_: str) -> None:
        """Let time pass: each look at a resource is the next state of it."""
        coming = self.cloud.soon.get(id_)
        if cls not in GRADUAL or not coming:
            return
        state = coming.pop(0)
        if state == "gone":
            del self.cloud.rows[cls][id_]
            del self.cloud.soon[id_]
        else:
            self.cloud.rows[cls][id_]["status"] = state
            if state == "ERROR":
                self.cloud.rows[cls][id_]["fault"] = {"message": "No valid host was found."}

    def _end(self, cls: type, id_: str) -> None:
        """Begin to delete."""
        if cls is Server:
            for port in self.cloud.all(Port):
                if port["device_id"] == id_:
                    port.update(device_id="", device_owner="", dns_name="")
            for volume in self.cloud.all(Volume):
                left = [a for a in volume["attachments"] if a["server_id"] != id_]
                volume.update(attachments=left, status="in-use" if left else "available")
        elif self.cloud.rows[cls][id_]["attachments"]:
            self._refuse(400, "Invalid volume: Volume status must be available")
        self.cloud.soon[id_] = ["deleting", "gone"]

    def _refuse(self, status: int, text: str) -> None:
        from .fake_cloud import refuse

        refuse(status, text)

    # -- volumes -------------------------------------------------------------------------------------------

    def _new_volume(self, new: dict[str, Any]) -> dict[str, Any]:
        if not new.get("size"):
            self._refuse(400, "Invalid input for field/attribute size")
        return {**new, "status": "creating"}

    def set_volume_bootable_status(self, id_: str, bootable: bool) -> None:
        self._volume(id_)["is_bootable"] = bootable

    def delete_volume_metadata(self, id_: str, keys: list[str]) -> None:
        row = self._volume(id_)
        row["metadata"] = {n: v for n, v in row["metadata"].items() if n not in keys}

    def _volume(self, id_: str) -> dict[str, Any]:
        self.cloud.writes.append(("update", "Volume"))
        row = self.cloud.rows[Volume][id_]
        if row["status"] == "creating":
            self._refuse(400, "Invalid volume: volume is still being created")
        return row

    # -- servers -------------------------------------------------------------------------------------------

    def _new_server(self, new: dict[str, Any]) -> dict[str, Any]:
        flavor = self.cloud.rows[Flavor].get(new.pop("flavor_id"))
        if flavor is None:
            self._refuse(400, "Flavor could not be found.")
            raise AssertionError
        if new.get("key_name") and new["key_name"] not in [k["name"] for k in self.cloud.all(Keypair)]:
            self._refuse(400, "Invalid key_name provided.")
        legs = [] if new["networks"] == "none" else [self.cloud.rows[Port][n["port"]] for n in new.pop("networks")]
        disks = new.pop("block_device_mapping", [])
        if any(port["device_id"] for port in legs):
            self._refuse(400, "Port is still in use.")
        if [d["boot_index"] for d in disks].count(0) != 1 and (disks or not new.get("image_id")):
            self._refuse(400, "Block Device Mapping is Invalid: Boot sequence for the instance is not valid")
        hints = new.pop("scheduler_hints", {})
        image = new.pop("image_id", None)
        return {
            "description": None, "key_name": None, "metadata": {}, "tags": [], "user_data": None, **new,
            "status": "BUILD", "is_locked": False, "disk_config": new.get("disk_config", "MANUAL"),
            "availability_zone": new.get("availability_zone", "nova"), "_legs": legs, "_disks": disks, "_hints": hints,
            "config_drive": "True" if new.get("config_drive") else "",
            "flavor": {n: flavor[n] for n in ("vcpus", "ram", "disk")} | {"original_name": flavor["name"]},
            "hostname": new.get("hostname") or re.sub(r"[^a-z0-9-]", "-", new["name"].lower()),
            "image": {"id": image} if image else None, "scheduler_hints": hints,
        }  # fmt: skip

    def _plug(self, row: dict[str, Any], legs: list[Any], disks: list[Any], hints: dict[str, Any]) -> None:
        """What Nova does with a new server's ports, volumes and group."""
        from openstack.compute.v2.server_group import ServerGroup

        self.cloud.nics[row["id"]] = [port["id"] for port in legs]
        for port in legs:
            port.update(device_id=row["id"], device_owner="compute:nova", dns_name=row["hostname"])
        row["attached_volumes"] = []
        letters = iter("abcdefg")
        for disk in disks:
            device = f"/dev/vd{next(letters)}"
            if disk["source_type"] == "volume":
                volume = self.cloud.rows[Volume][disk["uuid"]]
                volume["attachments"] = [*volume["attachments"], {"server_id": row["id"], "device": device}]
                volume["status"] = "in-use"
                row["attached_volumes"].append(
                    {"id": disk["uuid"], "delete_on_termination": disk["delete_on_termination"]}
                )
        if group := hints.get("group"):
            self.cloud.rows[ServerGroup][group].setdefault("member_ids", []).append(row["id"])

    def shown_addresses(self, id_: str) -> dict[str, Any]:
        """Network by network, NICs in the order in which they were plugged."""
        found: dict[str, Any] = {}
        order = self.cloud.nics.get(id_, [])
        mine = [port for port in self.cloud.all(Port) if port["device_id"] == id_]
        for port in sorted(mine, key=lambda p: order.index(p["id"]) if p["id"] in order else len(order)):
            label = self.cloud.rows[Network][port["network_id"]]["name"]
            found.setdefault(label, [])
            for ip in port["fixed_ips"]:
                entry = {
                    "addr": ip["ip_address"],
                    "OS-EXT-IPS:type": "fixed",
                    "OS-EXT-IPS-MAC:mac_addr": port["mac_address"],
                }
                found[label].append(entry)
        return found

    # -- calls that openstacksdk has no method for, or we don't use it ----------------------------------------

    def put(self, url: str, json: dict[str, Any], microversion: str | None = None) -> requests.Response:
        _, kind, id_, what = url.split("/")
        assert (kind, what) in {("volumes", "metadata"), ("servers", "metadata"), ("servers", "tags")}
        row = self._volume(id_) if kind == "volumes" else self.cloud.rows[Server][id_]
        if kind == "servers":
            self.cloud.writes.append(("update", "Server"))
        row[what] = json[what]
        return response(200, json)

    def act(self, url: str, json: dict[str, Any]) -> requests.Response:
        id_ = url.split("/")[2]
        (action, values), *_ = json.items()
        row = self._volume(id_)
        if action == "os-update_readonly_flag":
            row["metadata"] = {**(row["metadata"] or {}), "readonly": str(values["readonly"])}
            return response(202, {})
        if action == "os-unset_image_metadata":
            del row["volume_image_metadata"][values["key"]]
            return response(200, {})
        assert action == "os-set_image_metadata"
        row["volume_image_metadata"] = {**(row["volume_image_metadata"] or {}), **values["metadata"]}
        return response(200, {})

    def get_endpoint_data(self) -> Any:
        return SimpleNamespace(max_microversion=self.cloud.compute_version)

    def get_quota_set(self, project: str, usage: bool) -> Any:
        assert usage
        limits = self.cloud.quotas
        return SimpleNamespace(**limits, usage=dict.fromkeys(limits, 1), reservation=dict.fromkeys(limits, 0))

    def get_quota(self, project: str, details: bool) -> Any:
        assert details
        return SimpleNamespace(**{n: {"limit": v, "used": 1, "reserved": 0} for n, v in self.cloud.quotas.items()})
