"""Make a description in a project, by plain REST calls in the words of the API reference."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from openstack.exceptions import ResourceFailure

from ..clouds.servers import MIB
from .description import Body, Thing

NOVA = "2.92"  # names of key pairs with '@'; descriptions, tags, host names
#: kind → where it's made, and what it's called in the request
NEUTRON = {
    "network": "networks", "subnet": "subnets", "router": "routers", "address_group": "address-groups",
    "security_group": "security-groups", "rule": "security-group-rules", "port": "ports", "trunk": "trunks",
    "floating_ip": "floatingips", "rbac_policy": "rbac-policies",
}  # fmt: skip
WORD = {"rule": "security_group_rule", "floating_ip": "floatingip"}
WAIT = {"interval": 0.2, "wait": 120}


class Refused(Exception):
    """A cloud refuses what the generator has drawn: a fault of the generator."""


def call(service: Any, method: str, path: str, body: Any = None, **options: Any) -> Any:
    """Do a request; return the answer's JSON."""
    answer = service.request(path, method, json=body, raise_exc=False, **options)
    if answer.status_code >= 400:
        raise Refused(f"{method} {path} {body}: {answer.status_code} {answer.text[:500]}")
    return answer.json() if answer.content else None


class Seeding:
    """Makes things in a tenant's project, and remembers their ids by key."""

    def __init__(self, tenant: Any) -> None:
        self.tenant = tenant
        c = tenant.connect()
        self.network, self.compute, self.storage, self.image = c.network, c.compute, c.block_storage, c.image
        public = call(self.network, "GET", "/networks?router:external=true")["networks"]
        self.ids: dict[str, str] = {"public": public[0]["id"]}

    def make(self, things: list[Thing]) -> dict[str, str]:
        """Make all of them; return their ids by key."""
        for thing in things:
            special: Callable[[Thing, Body], str] | None = getattr(self, f"_{thing.kind}", None)
            body = self._told(thing.body)
            self.ids[thing.key] = special(thing, body) if special else self._neutron(thing, body)
        return self.ids

    def _told(self, value: Any) -> Any:
        """The body with ids in the place of references."""
        if isinstance(value, dict):
            return self.ids[value["$"]] if set(value) == {"$"} else {n: self._told(v) for n, v in value.items()}
        return [self._told(v) for v in value] if isinstance(value, list) else value

    def _neutron(self, thing: Thing, body: Body) -> str:
        collection, word = NEUTRON[thing.kind], WORD.get(thing.kind, thing.kind)
        made = str(call(self.network, "POST", f"/{collection}", {word: body})[word]["id"])
        if tags := thing.more.get("tags"):
            call(self.network, "PUT", f"/{collection}/{made}/tags", {"tags": tags})
        return made

    def _leg(self, thing: Thing, body: Body) -> str:
        router = self._told(thing.more["router"])
        return str(call(self.network, "PUT", f"/routers/{router}/add_router_interface", body)["port_id"])

    def _routes(self, thing: Thing, body: Body) -> str:
        call(self.network, "PUT", f"/routers/{self._told(thing.more['router'])}", body)
        return ""

    def _trunk_down(self, thing: Thing, body: Body) -> str:
        call(self.network, "PUT", f"/trunks/{self._told(thing.more['trunk'])}", {"trunk": {"admin_state_up": False}})
        return ""

    def _port_forwarding(self, thing: Thing, body: Body) -> str:
        url = f"/floatingips/{self._told(thing.more['floating_ip'])}/port_forwardings"
        return str(call(self.network, "POST", url, {"port_forwarding": body})["port_forwarding"]["id"])

    # -- security groups

    def _default_group(self, thing: Thing, body: Body) -> str:
        project = self.tenant.connect().current_project_id
        url = f"/security-groups?name=default&project_id={project}"
        group = call(self.network, "GET", url)["security_groups"][0]
        if thing.more.get("bare"):
            self._empty(group)
        if text := thing.more.get("description"):
            call(self.network, "PUT", f"/security-groups/{group['id']}", {"security_group": {"description": text}})
        return str(group["id"])

    def _security_group(self, thing: Thing, body: Body) -> str:
        made = self._neutron(thing, body)
        if thing.more.get("bare"):
            self._empty(call(self.network, "GET", f"/security-groups/{made}")["security_group"])
        return made

    def _empty(self, group: Body) -> None:
        for rule in group["security_group_rules"]:
            call(self.network, "DELETE", f"/security-group-rules/{rule['id']}")

    def _rule(self, thing: Thing, body: Body) -> str:
        """Chance may draw the same rule twice; Neutron takes it once."""
        try:
            return self._neutron(thing, body)
        except Refused as error:
            if ": 409 " in str(error):
                return ""
            raise

    # -- images and volumes

    def _image(self, thing: Thing, body: Body) -> str:
        made = str(call(self.image, "POST", "/images", body)["id"])
        if payload := thing.more.get("payload"):
            seed, kib = payload
            data, headers = random.Random(seed).randbytes(kib * 1024), {"Content-Type": "application/octet-stream"}
            answer = self.image.put(f"/images/{made}/file", data=data, headers=headers)
            if answer.status_code >= 400:
                raise Refused(f"payload of image {made}: {answer.status_code} {answer.text[:300]}")
        return made

    def _volume(self, thing: Thing, body: Body) -> str:
        made = str(call(self.storage, "POST", "/volumes", {"volume": body})["volume"]["id"])
        self.storage.wait_for_status(self.storage.get_volume(made), "available", failures=["error"], **WAIT)
        self._noise(
            self.tenant.box.volume_file(self.tenant.cloud, made), thing.more.get("blocks") or [], thing.more["seed"]
        )
        actions = {
            "os-set_bootable": {"bootable": True} if thing.more.get("bootable") else None,
            "os-set_image_metadata": {"metadata": thing.more["image_metadata"]} if thing.more.get("image_metadata") else None,
            "os-update_readonly_flag": {"readonly": True} if thing.more.get("readonly") else None,
        }  # fmt: skip
        for action, told in actions.items():
            if told:
                call(self.storage, "POST", f"/volumes/{made}/action", {action: told})
        return made

    @staticmethod
    def _noise(path: Any, blocks: list[int], seed: int) -> None:
        with path.open("r+b") as content:
            for block in blocks:
                content.seek(block * MIB)
                content.write(random.Random(f"{seed} {block}").randbytes(MIB))

    def _snapshot(self, thing: Thing, body: Body) -> str:
        made = str(call(self.storage, "POST", "/snapshots", {"snapshot": body | {"force": True}})["snapshot"]["id"])
        self.storage.wait_for_status(self.storage.get_snapshot(made), "available", failures=["error"], **WAIT)
        return made

    # -- compute

    def _keypair(self, thing: Thing, body: Body) -> str:
        call(self.compute, "POST", "/os-keypairs", {"keypair": body}, microversion=NOVA)
        return str(body["name"])

    def _server_group(self, thing: Thing, body: Body) -> str:
        answer = call(self.compute, "POST", "/os-server-groups", {"server_group": body}, microversion=NOVA)
        return str(answer["server_group"]["id"])

    def _server(self, thing: Thing, body: Body) -> str:
        more = thing.more
        flavors = call(self.compute, "GET", "/flavors", microversion=NOVA)["flavors"]
        body["flavorRef"] = next(flavor["id"] for flavor in flavors if flavor["name"] == more["flavor"])
        request: Body = {"server": body}
        if more.get("group"):
            request["os:scheduler_hints"] = {"group": self._told(more["group"])}
        made = str(call(self.compute, "POST", "/servers", request, microversion=NOVA)["server"]["id"])
        self._wait(made, "ACTIVE")
        if blocks := more.get("root"):
            self._noise(self.tenant.box.disks(self.tenant.cloud).root(made), blocks, 1)
        if name := more.get("rename"):
            call(self.compute, "PUT", f"/servers/{made}", {"server": {"name": name}}, microversion=NOVA)
        if state := more.get("state"):
            action = {"stop": "os-stop"}.get(state, state)
            call(self.compute, "POST", f"/servers/{made}/action", {action: None}, microversion=NOVA)
            self._wait(made, {"stop": "SHUTOFF", "pause": "PAUSED"}.get(state, "ACTIVE"))
        return made

    def _wait(self, id_: str, status: str) -> None:
        try:
            self.compute.wait_for_server(self.compute.get_server(id_), status, **WAIT)
        except ResourceFailure as error:
            raise Refused(f"server {id_}: {self.compute.get_server(id_).fault}") from error
