"""What people see of a warm migration at real clouds: its passes, its downtime, and that its source can be cleaned up."""

from __future__ import annotations

import json

import pytest

from .test_warm import check, server, writing  # noqa: F401 - a fixture
from .test_workloads import block_digest

pytestmark = pytest.mark.clouds


def test_passes_and_downtime_are_told(source, destination, server, hosts, ferry, cli):  # noqa: F811
    words = ["migrate", "-s", source.entry, "-d", destination.entry, "-k", "network", "-k", "subnet", "-k", "server",
             "-f", "server=db", "-f", "network=net", "-f", "subnet=v4", "--warm"]  # fmt: skip
    with writing(source, server):
        lines = cli(*words).splitlines()
    said = list(dict.fromkeys(line for line in lines if line.startswith("server db: ")))
    assert "server db: copying pass 2" in said, lines
    assert said.index("server db: copying pass 2") < said.index("server db: done")
    state = json.loads(cli("show", "-o", "json"))
    check(source, destination, server, {**state, "phase": state["phase"]})
    (db,) = state["workloads"]
    assert 0 < db["downtime"] < db["seconds"]
    assert db["passes"] >= 2
    assert db["pass"] == db["passes"]
    for one in db["disks"]:
        assert one["is_verified"]
        assert (
            one["digest"] == block_digest(source, one["source_id"]) == block_digest(destination, one["destination_id"])
        )
        assert one["counts"]["warm-copy"]["zero"] + one["counts"]["warm-copy"]["same"] > 1000
    assert f"{db['downtime']:.1f}" in cli("show")

    assert "deleted    server db" in cli("cleanup-source", state["id"], "--yes")
    assert [s.name for s in source.connect().compute.servers()] == ["conversion"]
    assert list(source.connect().block_storage.volumes()) == []
