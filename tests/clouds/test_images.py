"""Images cross between two real clouds with their payload: whole, once, and whatever is killed meanwhile."""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from stackferry_cli.local.processes import until

pytestmark = pytest.mark.clouds
MIB = 1 << 20
ONLY = {"kinds": ["image"]}
BINARY = {"Content-Type": "application/octet-stream"}
EMPTY_QCOW2 = b"QFI\xfb" + (3).to_bytes(4, "big") + bytes(12) + (16).to_bytes(4, "big") + (64 * MIB).to_bytes(8, "big")


def noise(seed: str, mib: int = 1) -> bytes:
    block = b"".join(hashlib.sha512(f"{seed} {n}".encode()).digest() for n in range(MIB // 64))
    return b"".join(n.to_bytes(8, "big") + block[8:] for n in range(mib))


def put(tenant, name: str, payload: bytes | None, **attributes: Any) -> str:
    glance = tenant.connect().image
    content = {"name": name, "disk_format": "raw", "container_format": "bare", "visibility": "private", **attributes}
    made = glance.post("/images", json=content)
    assert made.status_code == 201, made.text
    id_ = made.json()["id"]
    if payload is not None:
        assert glance.put(f"/images/{id_}/file", data=payload, headers=BINARY).status_code == 204
    return id_


def images(tenant) -> dict[str, Any]:
    project = tenant.connect().current_project_id
    found = [i for hidden in (False, True) for i in tenant.connect().image.images(owner=project, is_hidden=hidden)]
    assert len({i.name for i in found}) == len(found), "an image was made twice"
    return {i.name: i for i in found}


def migrate(ferry, source, destination, timeout=90, **more):
    return ferry.wait(ferry.migrate(source.entry, destination.entry, selection=ONLY, **more), timeout=timeout)


def outcomes(state) -> dict[tuple[str, str], Any]:
    return {(s["name"], s["action"]): s["outcome"] for s in state["steps"] if s["kind"]}


def reasons(state) -> list[Any]:
    return [s["reason"] for s in state["steps"] if s["state"] in ("failed", "skipped")]


def asked(sandbox, cloud: str, tenant, since: float) -> list[Any]:
    project = tenant.connect().current_project_id
    return [r for r in sandbox.access_log(cloud, "glance", since=since) if r.project_id == project]


def test_images_cross_with_payload_and_description(source, destination, ferry, sandbox):
    payloads = {
        "raw": noise("raw", 3),
        "qcow2": EMPTY_QCOW2.ljust(2 * MIB, b"\0"),
        "kept": noise("kept"),
        "hidden": b"x",
    }
    kernel = put(source, "kernel", noise("kernel"), disk_format="aki", container_format="aki")
    put(source, "raw", payloads["raw"], min_disk=1, os_distro="debian", hw_cpu_sockets="2", tags=["lts", "golden"],
        **{"com.example/owner": "Ольга", "hw_boot_menu": "true"})  # fmt: skip
    put(source, "qcow2", payloads["qcow2"], disk_format="qcow2", kernel_id=kernel)
    put(source, "kept", payloads["kept"], protected=True, visibility="community")
    put(source, "hidden", payloads["hidden"], os_hidden=True)
    put(source, "unfinished", None)

    state = migrate(ferry, source, destination)
    assert state["phase"] == "done"
    assert reasons(state) == []
    assert [(left["names"], left["reason"]) for left in state["stays_behind"]] == [(["unfinished"], "it's queued")]

    here, there = images(source), images(destination)
    assert there.keys() == here.keys() - {"unfinished"}
    for name, copy in there.items():
        assert copy.status == "active", name
        assert (copy.hash_algo, copy.hash_value) == ("sha512", here[name].hash_value)
    for name, payload in payloads.items():
        back = destination.connect().image.get(f"/images/{there[name].id}/file").content
        assert hashlib.sha512(back).hexdigest() == hashlib.sha512(payload).hexdigest()
    assert there["raw"].properties["com.example/owner"] == "Ольга"
    assert (there["raw"].min_disk, there["raw"].os_distro, there["raw"].hw_cpu_sockets) == (1, "debian", 2)
    assert sorted(there["raw"].tags) == ["golden", "lts"]
    assert there["raw"].is_hw_boot_menu_enabled is True
    assert there["qcow2"].disk_format == "qcow2"
    assert there["qcow2"].kernel_id == there["kernel"].id
    assert there["kept"].is_protected
    assert there["kept"].visibility == "community"
    assert there["hidden"].is_hidden

    since = time.time()
    again = migrate(ferry, source, destination)
    assert set(outcomes(again).values()) == {"unchanged"}
    seen = [
        r for cloud, tenant in (("src", source), ("dst", destination)) for r in asked(sandbox, cloud, tenant, since)
    ]
    assert seen
    assert {r.method for r in seen} == {"GET"}
    assert not [r.path for r in seen if r.path.endswith("/file")]

    glance = source.connect().image
    change = [{"op": "add", "path": "/os_distro", "value": "devuan"}, {"op": "add", "path": "/new", "value": "1"}]
    patch = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
    assert glance.patch(f"/images/{here['raw'].id}", json=change, headers=patch).status_code == 200
    since = time.time()
    third = migrate(ferry, source, destination)
    assert {k for k, v in outcomes(third).items() if v != "unchanged"} == {("raw", "ensure")}
    assert [r.method for r in asked(sandbox, "dst", destination, since) if r.method != "GET"] == ["PATCH"]
    assert images(destination)["raw"].os_distro == "devuan"
    assert images(destination)["raw"].properties["new"] == "1"

    ferry.control(state["id"], "undo")
    assert ferry.wait_for(state["id"], "undone", timeout=60)["phase"] == "undone"
    assert images(destination) == {}


def test_another_payload_under_the_same_name_is_a_conflict(source, destination, ferry):
    put(source, "base", noise("one"))
    put(destination, "base", noise("two"))
    state = migrate(ferry, source, destination)
    assert outcomes(state) == {("base", "ensure"): "conflict", ("base", "transfer"): None}
    assert "another hash_value" in reasons(state)[0]


def test_documents_without_a_source_cloud_say_that_the_payload_stays(source, destination, ferry):
    put(source, "base", noise("one"))
    exported = migrate(ferry, source, destination, mode="export")
    documents = [s["document"] for s in ferry.show(exported["id"], documents=True)["steps"] if s["kind"]]
    state = ferry.wait(ferry.migrate(None, destination.entry, documents=documents), timeout=60)
    assert outcomes(state) == {("base", "ensure"): "created"}
    assert "its payload did not cross" in state["steps"][0]["notes"][0]
    assert images(destination)["base"].status == "queued"


def test_an_administrator_takes_members_and_visibility_along(new_tenant, ferry, sandbox):
    source, destination, member = new_tenant("src", admin=True), new_tenant("dst", admin=True), new_tenant("dst")
    partner = f"partner-{member.name}"
    ids = {
        cloud: sandbox.connect(f"{cloud}-admin").identity.create_project(name=partner).id for cloud in ("src", "dst")
    }
    try:
        shared = put(source, "shared", b"bytes", visibility="shared")
        source.connect().image.add_member(shared, member_id=ids["src"])
        put(source, "public", b"bytes", visibility="public")

        assert reasons(migrate(ferry, source, destination)) == []
        there = images(destination)
        assert there["public"].visibility == "public"
        assert [m.member_id for m in destination.connect().image.members(there["shared"].id)] == [ids["dst"]]
        assert set(outcomes(migrate(ferry, source, destination)).values()) == {"unchanged"}

        state = migrate(ferry, source, member)  # who may neither publish nor find projects
        notes = {s["name"]: s["notes"] for s in state["steps"] if s["action"] == "ensure"}
        assert "needs administrator rights" in notes["public"][0]
        assert "1 members were left out" in notes["shared"][0]
        assert set(outcomes(migrate(ferry, source, member)).values()) == {"unchanged"}
    finally:
        for cloud, id_ in ids.items():
            sandbox.connect(f"{cloud}-admin").identity.delete_project(id_)


# -- kills in the middle of a payload ---------------------------------------------------------------------------


def children(pid: int) -> list[int]:
    return [int(c) for t in Path(f"/proc/{pid}/task").iterdir() for c in (t / "children").read_text().split()]


def peak_mib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024


@pytest.mark.parametrize("victim", ["importer", "exporter"])
def test_a_kill_in_the_middle_of_a_payload(victim, source, destination, ferry, stack, clouds_file):
    payload = noise("big", 256)
    put(source, "big", payload, tags=["x"])
    migration = ferry.migrate(source.entry, destination.entry, selection=ONLY)

    def uploading() -> bool:
        found = images(destination).get("big")
        return found is not None and found.status == "saving"

    assert until(uploading, 60)
    pid = stack.process(victim).pid()
    assert children(pid)
    os.kill(pid, 9)
    assert until(lambda: stack.process(victim).pid() is None, 10)
    assert images(destination)["big"].status != "active"
    stack.up(environ={"OS_CLIENT_CONFIG_FILE": str(clouds_file.path)})
    state = ferry.wait(migration, timeout=180)
    assert reasons(state) == []
    copy = images(destination)["big"]
    assert (copy.status, copy.hash_value) == ("active", hashlib.sha512(payload).hexdigest())


def test_a_kill_before_the_exporter_has_said_a_word(source, destination, ferry, stack, clouds_file):
    put(source, "small", noise("small"))
    migration = ferry.migrate(source.entry, destination.entry, selection=ONLY)
    pid = stack.process("exporter").pid()
    assert until(lambda: bool(children(pid)), 60)
    os.kill(pid, 9)
    assert until(lambda: stack.process("exporter").pid() is None, 10)
    stack.up(environ={"OS_CLIENT_CONFIG_FILE": str(clouds_file.path)})
    state = ferry.wait(migration, timeout=90)  # a lease is 300 s
    assert reasons(state) == []
    assert images(destination)["small"].status == "active"


def test_a_long_payload_needs_little_memory(source, destination, ferry, stack):
    put(source, "long", noise("long", 256))
    migration = ferry.migrate(source.entry, destination.entry, selection=ONLY)
    peaks: dict[str, int] = {}

    def look() -> bool:
        for service in ("exporter", "importer"):
            for child in children(stack.process(service).pid()):
                with suppress(OSError, StopIteration):
                    peaks[service] = max(peaks.get(service, 0), peak_mib(child))
        return ferry.show(migration)["phase"] == "done"

    assert until(look, 90)
    assert images(destination)["long"].status == "active"
    assert peaks.keys() == {"exporter", "importer"}
    assert max(peaks.values()) < 200, peaks
