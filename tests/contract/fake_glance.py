"""Glance's own rules for the cloud in memory: properties are text, a payload comes once, some things are refused."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from inspect import getattr_static
from typing import Any

import requests
from openstack.fields import Body
from openstack.image.v2.image import Image
from openstack.image.v2.member import Member

from .fake_cloud import PROXIES, Cloud, Proxy, answered, refuse

PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
BINARY = {"Content-Type": "application/octet-stream"}
UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")
VISIBILITIES = ("community", "private", "public", "shared")
#: what isn't text
TYPES = {"min_disk": int, "min_ram": int, "protected": bool, "os_hidden": bool, "tags": list}
READ_ONLY = {"checksum", "created_at", "direct_url", "file", "os_hash_algo", "os_hash_value", "schema", "self",
             "size", "status", "updated_at", "virtual_size"}  # fmt: skip
#: the API's names of attributes → openstacksdk's
ATTRIBUTES = {
    body.name: name
    for name in dir(Image)
    if isinstance(body := getattr_static(Image, name), Body) and name not in ("owner", "properties")
}


def described(payload: bytes) -> dict[str, Any]:
    """What Glance says of an image once it has its payload."""
    return {
        "status": "active", "size": len(payload), "checksum": hashlib.md5(payload).hexdigest(),
        "hash_algo": "sha512", "hash_value": hashlib.sha512(payload).hexdigest(),
    }  # fmt: skip


def seed_image(cloud: Cloud, name: str, payload: bytes, **attributes: Any) -> dict[str, Any]:
    """Put an image there by hand, with its payload."""
    formats = {"container_format": "bare", "disk_format": "raw"}
    return cloud.seed(Image, name=name, **{**formats, **described(payload), **attributes})


class ImageProxy(Proxy):
    """openstacksdk's calls of Glance, and the plain requests that kinds and payloads need."""

    # -- reading -----------------------------------------------------------------------------------------

    def _sees(self, cls: type, row: dict[str, Any]) -> bool:
        ours = self.cloud.project["id"]
        shared = row["visibility"] == "shared" and ours in row["members"]
        return self.admin or row["owner_id"] == ours or row["visibility"] in ("community", "public") or shared

    def _list(self, cls: type, **query: Any) -> Iterator[Any]:
        """A listing leaves out what is hidden, and what others show but don't offer, unless that's asked for."""
        query = {"is_hidden": False, **query}
        if "owner" in query:
            query["owner_id"] = query.pop("owner")
        seen = ("public", "community" if query.get("visibility") == "community" else "public")
        for image in super()._list(cls, **query):
            if self.admin or image.owner_id == self.cloud.project["id"] or image.visibility in seen:
                yield image

    def members(self, image: str, **query: Any) -> Iterator[Any]:
        for id_ in self._shared(image)["members"]:
            yield Member.existing(image_id=image, member_id=id_, status="pending")

    def _shared(self, id_: str) -> dict[str, Any]:
        row = self._row(Image, id_)
        if row["visibility"] != "shared":
            refuse(403, f"Not allowed to list or create members for image {id_}: Only shared images have members.")
        return row

    # -- writing -----------------------------------------------------------------------------------------

    def add_member(self, image: str, **attrs: Any) -> Any:
        self._write("member", Image)
        row = self._shared(image)
        if attrs["member_id"] in row["members"]:
            refuse(409, f"Image member {attrs['member_id']} already exists for image {image}")
        row["members"] = [*row["members"], attrs["member_id"]]

    def remove_member(self, member: str, image: str, ignore_missing: bool = True) -> None:
        self._write("member", Image)
        row = self._shared(image)
        if member not in row["members"] and not ignore_missing:
            refuse(404, f"{member} not found in the member list of the image {image}")
        row["members"] = [m for m in row["members"] if m != member]

    def post(self, url: str, json: dict[str, Any]) -> requests.Response:  # type: ignore[override]
        assert url == "/images"
        self._write("create", Image)
        return answered(201, lambda: self._new(json))

    def patch(self, url: str, json: list[dict[str, Any]], headers: dict[str, str]) -> requests.Response:
        assert headers == PATCH
        self._write("update", Image)
        id_ = url.removeprefix("/images/")
        if {change["op"] for change in json} == {"remove"}:
            return answered(200, lambda: self._take_away(id_, [_name(change) for change in json]))
        assert {change["op"] for change in json} == {"add"}
        return answered(200, lambda: self._change(id_, _patched(json)))

    def put(self, url: str, data: bytes, headers: dict[str, str]) -> requests.Response:
        assert headers == BINARY
        self._write("payload", Image)
        return answered(204, lambda: self._fill(url.removeprefix("/images/").removesuffix("/file"), data))

    def _new(self, content: dict[str, Any]) -> dict[str, Any]:
        self._allow(content)
        if given := content.get("id"):
            if not UUID.fullmatch(given):
                refuse(400, f"{given!r} does not match the pattern of ids")
            if given in self.cloud.rows.get(Image, {}):
                refuse(409, f"Image ID {given} already exists!")
        return self.cloud.seed(Image, **_attributes(content, {}))

    def _change(self, id_: str, content: dict[str, Any]) -> dict[str, Any]:
        row = self._row(Image, id_)
        self._allow(content)
        if row["status"] != "queued" and {"container_format", "disk_format"} & content.keys():
            refuse(403, "Attribute 'disk_format' can be only replaced for a queued image.")
        row.update(_attributes(content, row["properties"]), updated_at=self.cloud.now())
        return row

    def _take_away(self, id_: str, names: list[str]) -> dict[str, Any]:
        row = self._row(Image, id_)
        for name in names:
            attribute = ATTRIBUTES.get(name, name)
            if name in TYPES:
                refuse(403, f"Property {name} may not be removed.")
            if row["properties"].pop(name, None) is None and row.pop(attribute, None) is None:
                refuse(409, f"Property {name} does not exist.")
        row["updated_at"] = self.cloud.now()
        return row

    def _fill(self, id_: str, payload: bytes) -> dict[str, Any]:
        row = self._row(Image, id_)
        if row["status"] != "queued":
            refuse(409, f"Image status transition from {row['status']} to saving is not allowed")
        row.update(described(payload), updated_at=self.cloud.now())
        return row

    def _delete(self, cls: type, id_: str, ignore_missing: bool = True) -> None:
        if self.cloud.rows[Image].get(id_, {}).get("is_protected"):
            refuse(403, f"Image {id_} is protected and cannot be deleted.")
        super()._delete(cls, id_, ignore_missing)

    def _allow(self, content: dict[str, Any]) -> None:
        """Refuse what Glance refuses."""
        for name, value in content.items():
            if name in READ_ONLY or name.startswith("os_glance_"):
                refuse(403, f"Attribute '{name}' is read-only, or reserved.")
            if type(value) is not TYPES.get(name, str):
                refuse(400, f"Provided object does not match schema 'image': {name}: {value!r} is not of its type")
        visibility = content.get("visibility", "shared")
        if visibility not in VISIBILITIES:
            refuse(400, f"Provided object does not match schema 'image': {visibility!r} is not one of {VISIBILITIES}")
        if visibility == "public" and not self.admin:
            refuse(403, "You are not authorized to complete publicize_image action.")


def _attributes(content: dict[str, Any], properties: dict[str, Any]) -> dict[str, Any]:
    """openstacksdk's names; what it has no name for is a property, beside those that are there."""
    known = {ATTRIBUTES.get(name, name): value for name, value in content.items() if name in ATTRIBUTES or name == "id"}
    free = {name: value for name, value in content.items() if name not in ATTRIBUTES and name != "id"}
    return {**known, "properties": {**properties, **free}}


def _patched(changes: list[dict[str, Any]]) -> dict[str, Any]:
    """What a patch sets, by the API's names."""
    return {_name(change): change["value"] for change in changes}


def _name(change: dict[str, Any]) -> str:
    if change["path"].count("/") != 1:
        refuse(400, f"Invalid JSON pointer for this resource: {change['path']!r}")
    name: str = change["path"][1:].replace("~1", "/").replace("~0", "~")
    return name


PROXIES["image"] = ImageProxy
