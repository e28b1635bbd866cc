"""Servers cross by the other ways: nbdkit and nbdcopy, and through ssh where only its port is open."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from typing import Any

import pytest

from ..sshd import needs_sshd, sshd
from .hosts import conversion_host
from .test_workloads import bad, left_over, server, sha256, volumes  # noqa: F401 - a fixture

pytestmark = pytest.mark.clouds
SELECTION = {"kinds": ["network", "subnet", "server"],
             "filters": {"server": ["db"], "network": ["net"], "subnet": ["v4"]}}  # fmt: skip
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="without root: no block devices")
needs_nbd = pytest.mark.skipif(
    not (shutil.which("nbdkit") and shutil.which("nbdcopy")), reason="nbdkit and nbdcopy are not installed"
)


def crosses(source: Any, destination: Any, ferry: Any, **how: Any) -> dict[str, Any]:
    """Move the server; nothing failed, its disks are equal, nothing is left over."""
    state = ferry.wait(ferry.migrate(source.entry, destination.entry, selection=SELECTION, **how), timeout=200)
    assert (state["phase"], bad(state)) == ("done", [])
    here, there = volumes(source), volumes(destination)
    assert {n: sha256(source, v.id) for n, v in here.items()} == {
        n: sha256(destination, v.id) for n, v in there.items()
    }
    assert left_over(source) == left_over(destination) == []
    return state  # type: ignore[no-any-return]


@needs_root
@needs_nbd
@pytest.mark.parametrize("mode", ["cold", pytest.param("warm", marks=pytest.mark.chaos)])  # that takes minutes
def test_a_server_crosses_by_nbdkit_and_nbdcopy(source, destination, server, hosts, ferry, mode):  # noqa: F811
    if mode == "warm":
        compute = source.connect().compute
        compute.start_server(server)
        compute.wait_for_server(server, "ACTIVE", interval=0.3)
    crosses(source, destination, ferry, migration_params={"engine": "nbd", "mode": mode}, bandwidth=64 << 20)


@needs_sshd
def test_a_server_crosses_through_ssh(source, destination, server, stack, ferry, tmp_path):  # noqa: F811
    with ExitStack() as opened:
        ssh = opened.enter_context(sshd(tmp_path / "ssh"))
        opened.enter_context(conversion_host(source, stack))
        gateway = {"tunnel": ssh.settings["tunnel"].format(host="127.0.0.1")}  # hosts have addresses of their own
        opened.enter_context(conversion_host(destination, stack, **ssh.settings | gateway))
        crosses(source, destination, ferry)
        assert b"Accepted publickey" in ssh.log.read_bytes()
