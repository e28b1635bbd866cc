"""The walks of docs/from-os-migrate.md and of the README, as they stand there: each command, in order, as typed."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from .servers import disk, ground, server

pytestmark = pytest.mark.clouds
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "from-os-migrate.md").read_text()
README = [line.strip().partition("#")[0] for line in (ROOT / "README.md").read_text().splitlines()]
FILE = "os-migrate-vars.yml"


def blocks(language: str) -> list[str]:
    """What the page holds in this language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


COMMANDS = [shlex.split(line)[1:] for block in blocks("bash") for line in block.splitlines()]


#: the commands under "Use it"; whoever reads them edits a file in between
WALK = [shlex.split(line)[1:] for line in README if line.startswith("stackferry ")]


def variables(folder: Path, source: Any, destination: Any) -> dict[str, Any]:
    """The page's variables, with values of this machine."""
    (said,) = map(yaml.safe_load, blocks("yaml"))
    for side, tenant in (("src", source), ("dst", destination)):
        auth = {key: tenant.auth["auth"].get(key, was) for key, was in said[f"os_migrate_{side}_auth"].items()}
        said |= {f"os_migrate_{side}_auth": auth, f"os_migrate_{side}_region_name": tenant.auth["region_name"]}
    return said | {"os_migrate_data_dir": str(folder / "data"), "os_migrate_conversion_flavor_name": "m1.tiny"}


@pytest.fixture
def typed(source, destination, tmp_path):
    """Run a command in a folder with the variables file, with a system of its own."""
    (tmp_path / FILE).write_text(yaml.safe_dump(variables(tmp_path, source, destination)))
    left_out = ("AMQP_URI", "OS_CLIENT_CONFIG_FILE", "OS_CLOUD")
    env = {name: value for name, value in os.environ.items() if name not in left_out}
    env |= {"STACKFERRY_HOME": str(tmp_path / "home"), "NO_COLOR": "1"}

    def run(words: list[str], code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "stackferry_cli.app", *words],
            env=env, cwd=tmp_path, capture_output=True, text=True, timeout=300, input="y\n",  # who is asked says yes
        )  # fmt: skip
        assert done.returncode == code, f"{words}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    yield run
    run(["down"])


def conversion_images(*tenants: Any) -> None:
    """What conversion hosts boot from, unless another image is named."""
    for tenant in tenants:
        image = {"name": "os_migrate_conv", "disk_format": "raw", "container_format": "bare"}
        tenant.connect().image.create_image(**image, data=b"x" * 512)


def digests(tenant: Any) -> dict[str, str]:
    volumes = tenant.connect().block_storage.volumes()
    return {
        v.name: hashlib.sha256(tenant.box.volume_file(tenant.cloud, v.id).read_bytes()).hexdigest() for v in volumes
    }


@pytest.mark.timeout(900)  # some thirty commands, each a process
def test_the_walkthrough_moves_a_tenant(typed, source, destination, tmp_path):
    net = ground(source)
    here = source.connect()
    group = here.network.create_security_group(name="web")
    here.network.create_security_group_rule(security_group_id=group.id, direction="ingress", protocol="tcp",
                                            port_range_min=80, port_range_max=80, remote_ip_prefix="0.0.0.0/0")  # fmt: skip
    here.compute.create_keypair(name="mine")
    here.image.create_image(name="golden", disk_format="raw", container_format="bare", data=b"golden" * 1000)
    conversion_images(source, destination)
    disk(source, "lonely", [3])
    vm = server(source, "vm", net, [disk(source, "root", [0, 7], bootable=True)], floating=True)
    here.compute.wait_for_server(vm, interval=0.3)
    before = digests(source)

    for words in COMMANDS:
        said = typed(words)
        unread = [line for line in said.splitlines() if line.startswith(("warning: ", "left out: "))]
        assert unread == [], words

    there = destination.connect()
    assert {n.name for n in there.network.networks(project_id=there.current_project_id)} == {"net"}
    assert {g.name for g in there.network.security_groups(project_id=there.current_project_id)} >= {"web", "default"}
    assert [r.port_range_min for r in there.network.security_group_rules() if r.protocol == "tcp"] == [80]
    assert [k.name for k in there.compute.keypairs()] == ["mine"]
    golden = there.image.find_image("golden")
    assert (golden.status, golden.checksum) == ("active", hashlib.md5(b"golden" * 1000).hexdigest())
    assert [(s.name, s.status) for s in there.compute.servers()] == [("vm", "ACTIVE")]
    assert digests(destination) == before
    assert [s.status for s in here.compute.servers()] == ["SHUTOFF"]


def test_a_file_for_another_project_writes_nowhere(typed, source, destination, new_tenant, tmp_path):
    typed(["up", "--vars", FILE])
    other = new_tenant("dst")
    source.connect().network.create_network(name="blue")
    (tmp_path / FILE).write_text(yaml.safe_dump(variables(tmp_path, source, other)))
    typed(["export", "data", "-s", "src"])
    for words in (["migrate"], ["plan", "-s", "src"], ["plan", "data"], ["import", "data"]):
        said = typed([*words, "--vars", FILE], code=2)
        assert f"os_migrate_dst_auth.project_name is {other.name!r}, and there {destination.name!r}" in said
        assert "os_migrate_dst_auth.username" in said
    (tmp_path / FILE).write_text(yaml.safe_dump(variables(tmp_path, new_tenant("src"), destination)))
    said = typed(["export", "other", "-s", "src", "--vars", FILE], code=2)
    assert f", and there {source.name!r}" in said
    assert not (tmp_path / "other").exists()
    (tmp_path / FILE).write_text(yaml.safe_dump({"os_migrate_dst_auth": "secret"}))
    said = typed(["validate", "data", "--vars", FILE], code=2)
    assert "os_migrate_dst_auth" in said
    assert "secret" not in said
    for tenant in (destination, other):
        mine = tenant.connect().current_project_id
        assert list(tenant.connect().network.networks(project_id=mine)) == []


@pytest.mark.timeout(900)
def test_the_readmes_walk_works_as_typed(typed, source, destination, tmp_path):
    assert [words[0] for words in WALK] == [
        "up", "clouds", "hosts", "plan", "migrate", "show", "export", "plan", "import",
    ]  # fmt: skip
    (tmp_path / "clouds.yaml").write_text(yaml.safe_dump({"clouds": {"src": source.auth, "dst": destination.auth}}))
    conversion_images(source, destination)
    net = ground(source)
    server(source, "vm", net, [disk(source, "root", [0, 7], bootable=True)])
    before = digests(source)
    for words in WALK:
        typed(words)
    assert {n.name for n in destination.connect().network.networks(is_router_external=False)} >= {"net"}
    assert [s.name for s in destination.connect().compute.servers() if s.name == "vm"] == ["vm"]
    assert before.items() <= digests(destination).items()
    typed(["hosts", "delete", "-s", "src", "-d", "dst", "--yes"])
