"""What people see of a warm migration at real clouds: its passes, its downtime, and that its source can be cleaned up."""

from __future__ import annotations

import json
import re

import pytest
from stackferry_cli.local.processes import until

from .test_warm import KINDS, check, server, writing  # noqa: F401 - a fixture
from .test_workloads import block_digest

pytestmark = pytest.mark.clouds
LATER = re.compile(r"server db: copying pass ([2-9]|\d\d+)")


def test_passes_and_downtime_are_told(source, destination, server, hosts, ferry, cli, watching):  # noqa: F811
    how = {"mode": "warm", "cutover": "manual", "pass_interval": 1}
    with writing(source, server):
        migration = ferry.migrate(source.entry, destination.entry, selection=KINDS, migration_params=how)
        with watching("watch", migration) as lines:
            # There are passes until somebody cuts over: sooner or later one of them is seen while it copies.
            assert until(lambda: any(LATER.fullmatch(line) for line in lines()), 90), lines()
            cli("cutover", migration)
    said = list(dict.fromkeys(line for line in lines() if line.startswith("server db: ")))
    assert next(n for n, line in enumerate(said) if LATER.fullmatch(line)) < said.index("server db: done")
    state = json.loads(cli("show", migration, "-o", "json"))
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
